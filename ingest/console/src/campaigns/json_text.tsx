// A value as JSON that can be edited. While the text is no JSON the value stays, and what is wrong is said.
import { useEffect, useId, useRef, useState } from "preact/hooks";
import type { Json } from "../types";
import { same } from "./diff";
import { isObject } from "./rules";

interface Props {
  label: string;
  value: Json | undefined;
  onChange: (value: Json) => void;
  onValid?: (valid: boolean) => void;
  rows?: number;
  /** Nothing but an object will do. */
  object?: boolean;
  hint?: string;
}

const print = (value: Json | undefined) => (value === undefined ? "" : JSON.stringify(value, null, 2));

export function JsonText({ label, value, onChange, onValid, rows = 8, object, hint }: Props) {
  const id = useId();
  const [text, setText] = useState(print(value));
  const [wrong, setWrong] = useState("");
  const mine = useRef(value);
  useEffect(() => {
    if (same(mine.current, value)) return;
    mine.current = value;
    setText(print(value));
    setWrong("");
  }, [value]);
  useEffect(() => () => onValid?.(true), []);
  const edit = (next: string) => {
    setText(next);
    const [read, problem] = parse(next, object);
    setWrong(problem);
    onValid?.(!problem);
    if (problem || read === undefined) return;
    mine.current = read;
    onChange(read);
  };
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <textarea
        id={id}
        class="code"
        rows={rows}
        spellcheck={false}
        aria-invalid={wrong ? true : undefined}
        aria-describedby={`${id}-about`}
        value={text}
        onInput={(e) => edit(e.currentTarget.value)}
      />
      <div id={`${id}-about`} class={wrong ? "hint bad" : "hint"} role={wrong ? "alert" : undefined}>
        {wrong || hint}
      </div>
    </div>
  );
}

function parse(text: string, object?: boolean): [Json | undefined, string] {
  try {
    const value = JSON.parse(text) as Json;
    return object && !isObject(value) ? [undefined, "This must be an object: { … }"] : [value, ""];
  } catch (error) {
    return [undefined, `This is no JSON yet: ${(error as Error).message}`];
  }
}
