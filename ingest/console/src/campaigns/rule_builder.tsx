// Builds rules by clicks: groups inside groups, fields and events that were seen, operators that fit the type of the field.
import { useId } from "preact/hooks";
import type { Document, Json } from "../types";
import { type Group, type Join, newGroup, newRule, type Node, offered, operatorOf, OPERATORS, shown, type Source, source, SOURCES, typed, withOperator, withSource } from "./rules";
import type { Seen } from "./seen";

interface Props {
  group: Group;
  onChange: (group: Group) => void;
  seen: Seen;
  segments: Map<string, string>;
}

/** The operators for which `compare` means something. */
const COMPARED = ["==", "!=", ">", ">=", "<", "<=", "in", "not_in"];

const JOINS: [Join, string][] = [
  ["all", "All of these hold"],
  ["any", "At least one of these holds"],
  ["none", "None of these holds"],
];

export function RuleBuilder(props: Props) {
  const id = useId();
  return (
    <div class="rules">
      <Suggestions id={`${id}-events`} names={props.seen.events} />
      <Suggestions id={`${id}-traits`} names={[...props.seen.traits.keys()]} />
      <Suggestions id={`${id}-properties`} names={[...props.seen.properties.keys()]} />
      <Members {...props} id={id} top />
    </div>
  );
}

function Suggestions({ id, names }: { id: string; names: string[] }) {
  return (
    <datalist id={id}>
      {names.map((name) => (
        <option key={name} value={name} />
      ))}
    </datalist>
  );
}

function Members({ group, onChange, seen, segments, id, top, depth = 0 }: Props & { id: string; top?: boolean; depth?: number }) {
  const set = (n: number, item: Node) => onChange({ ...group, items: group.items.map((old, k) => (k === n ? item : old)) });
  const drop = (n: number) => onChange({ ...group, items: group.items.filter((_, k) => k !== n) });
  const add = (item: Node) => onChange({ ...group, items: [...group.items, item] });
  return (
    <>
      {group.items.map((item, n) => (
        <div key={n} class={`rule-item ${item.kind}`} role="group" aria-label={item.kind === "group" ? `Group ${n + 1}` : `Rule ${n + 1}`}>
          {item.kind === "rule" ? (
            <RuleRow rule={item.rule} onChange={(rule) => set(n, { kind: "rule", rule })} seen={seen} segments={segments} id={id} />
          ) : item.kind === "foreign" ? (
            <code>{JSON.stringify(item.value)}</code>
          ) : (
            <div class="group">
              <select aria-label="How its rules go together" value={item.join} onChange={(e) => set(n, { ...item, join: e.currentTarget.value as Join })}>
                {JOINS.map(([join, words]) => (
                  <option key={join} value={join}>
                    {words}
                  </option>
                ))}
              </select>
              <Members group={item} onChange={(changed) => set(n, changed)} seen={seen} segments={segments} id={id} depth={depth + 1} />
            </div>
          )}
          <button type="button" class="icon remove" aria-label={item.kind === "group" ? "Remove this group" : "Remove this rule"} onClick={() => drop(n)}>
            ✕
          </button>
        </div>
      ))}
      <div class="rule-add">
        <button type="button" onClick={() => add(newRule())}>
          Add a rule
        </button>
        {depth < 15 && (
          <button type="button" onClick={() => add(newGroup())}>
            Add a group
          </button>
        )}
        {top && group.items.length === 0 && <span class="hint">No rules: everybody sees it.</span>}
      </div>
    </>
  );
}

function RuleRow({ rule, onChange, seen, segments, id }: { rule: Document; onChange: (rule: Document) => void; seen: Seen; segments: Map<string, string>; id: string }) {
  const about = source(rule);
  // Null takes a key out.
  const set = (changes: Document) => onChange(Object.fromEntries(Object.entries({ ...rule, ...changes }).filter(([key, value]) => !(key in changes) || value !== null)));
  return (
    <div class="rule-row">
      <select aria-label="What it is about" value={about} onChange={(e) => onChange(withSource(rule, e.currentTarget.value as Source))}>
        {SOURCES.map(([name, words]) => (
          <option key={name} value={name}>
            {words}
          </option>
        ))}
      </select>
      {about === "segment" ? (
        <SegmentRule rule={rule} set={set} segments={segments} />
      ) : about === "event_count" ? (
        <CountRule rule={rule} set={set} id={id} />
      ) : (
        <FieldRule rule={rule} onChange={onChange} set={set} seen={seen} id={id} about={about} />
      )}
    </div>
  );
}

function SegmentRule({ rule, set, segments }: { rule: Document; set: (changes: Document) => void; segments: Map<string, string> }) {
  const chosen = shown(rule.segment);
  return (
    <>
      <select aria-label="In it or not" value={rule.operator === "not_in" ? "not_in" : "in"} onChange={(e) => set({ operator: e.currentTarget.value })}>
        <option value="in">the user is in</option>
        <option value="not_in">the user is not in</option>
      </select>
      <select aria-label="Segment" value={chosen} onChange={(e) => set({ segment: e.currentTarget.value })}>
        <option value="">Choose a segment</option>
        {!segments.has(chosen) && chosen && <option value={chosen}>{chosen}</option>}
        {[...segments].map(([id, name]) => (
          <option key={id} value={id}>
            {name}
          </option>
        ))}
      </select>
    </>
  );
}

function CountRule({ rule, set, id }: { rule: Document; set: (changes: Document) => void; id: string }) {
  const within = shown(rule.within);
  return (
    <>
      <input aria-label="Event" list={`${id}-events`} placeholder="event" value={shown(rule.event)} onInput={(e) => set({ event: e.currentTarget.value })} />
      <select aria-label="Comparison" value={operatorOf(rule.operator)?.name ?? ">="} onChange={(e) => set({ operator: e.currentTarget.value })}>
        {OPERATORS.slice(0, 6).map(({ name, words }) => (
          <option key={name} value={name}>
            {words.replace("is ", "")}
          </option>
        ))}
      </select>
      <input class="short" aria-label="Times" type="number" min={0} max={1000} value={shown(rule.value)} onInput={(e) => set({ value: Number(e.currentTarget.value) })} />
      <span>times within</span>
      <input class="short" aria-label="Within" placeholder="ever" value={within} onInput={(e) => set({ within: e.currentTarget.value || null })} />
    </>
  );
}

interface FieldProps {
  rule: Document;
  onChange: (rule: Document) => void;
  set: (changes: Document) => void;
  seen: Seen;
  id: string;
  about: "event" | "trait" | "context";
}

function FieldRule({ rule, onChange, set, seen, id, about }: FieldProps) {
  const field = shown(rule.field);
  const types = about === "trait" ? seen.traits.get(field) : about === "event" ? seen.properties.get(field) : undefined;
  const operator = operatorOf(rule.operator);
  const choices = offered(types);
  const list = about === "trait" ? `${id}-traits` : about === "event" ? `${id}-properties` : undefined;
  return (
    <>
      <input aria-label="Field" list={list} placeholder={about === "context" ? "app.version" : "field"} value={field} onInput={(e) => set({ field: e.currentTarget.value })} />
      <select aria-label="Comparison" value={shown(rule.operator)} onChange={(e) => onChange(withOperator(rule, e.currentTarget.value))}>
        {!choices.some((choice) => choice.name === rule.operator) && <option value={shown(rule.operator)}>{operator?.words ?? (shown(rule.operator) || "choose")}</option>}
        {choices.map(({ name, words }) => (
          <option key={name} value={name}>
            {words}
          </option>
        ))}
      </select>
      {operator?.takes !== "nothing" && <ValueInput rule={rule} takes={operator?.takes ?? "value"} set={set} />}
      {operator && (COMPARED.includes(operator.name) || rule.compare !== undefined) && (
        <select aria-label="How values are compared" value={shown(rule.compare) || "auto"} onChange={(e) => set({ compare: e.currentTarget.value === "auto" ? null : e.currentTarget.value })}>
          <option value="auto">as it comes</option>
          <option value="text">as text</option>
          <option value="number">as numbers</option>
          <option value="version">as versions</option>
          <option value="time">as times</option>
        </select>
      )}
    </>
  );
}

function ValueInput({ rule, takes, set }: { rule: Document; takes: "value" | "list" | "time" | "duration"; set: (changes: Document) => void }) {
  const asText = rule.compare === "text" || rule.compare === "version";
  const read = (text: string): Json => (asText ? text : typed(text));
  const text = takes === "list" && Array.isArray(rule.value) ? rule.value.map(shown).join(", ") : shown(rule.value);
  const placeholder = { value: "value", list: "one, another", time: "2026-03-01T09:00", duration: "7d" }[takes];
  const change = (typedText: string) =>
    set({ value: takes === "list" ? typedText.split(",").map((part) => read(part.trim())).filter((part) => part !== "") : read(typedText) });
  // A list is read when the box is left: a comma at its end is still being typed.
  return takes === "list" ? (
    <input key={text} aria-label="Values, with commas" placeholder={placeholder} defaultValue={text} onChange={(e) => change(e.currentTarget.value)} />
  ) : (
    <input aria-label="Value" placeholder={placeholder} value={text} onInput={(e) => change(e.currentTarget.value)} />
  );
}
