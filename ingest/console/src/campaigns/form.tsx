// The form of a campaign. It reads and writes the document itself: what it has no field for stays as it is.
import { useId, useState } from "preact/hooks";
import type { Fault } from "../api";
import { Card, Field } from "../shell/pieces";
import type { Document } from "../types";
import { textAt, withKey, within, withTriggers } from "./draft";
import { JsonText } from "./json_text";
import { RuleBuilder } from "./rule_builder";
import { isObject, read, shown, typed, write } from "./rules";
import { useSeen } from "./seen";
import { useSegments } from "./segments";
import { triggers } from "./words";

interface Props {
  document: Document;
  onChange: (document: Document) => void;
  faults: Fault[];
}

const TYPES = ["modal", "banner", "bottomsheet", "tooltip", "inline", "pip", "scratchcard", "story", "floater"];
const STATUSES: [string, string][] = [
  ["draft", "Draft: shown to test users only"],
  ["active", "Active"],
  ["paused", "Paused"],
  ["archived", "Archived"],
];

export function CampaignForm({ document, onChange, faults }: Props) {
  const names = triggers(document);
  const seen = useSeen(names[0] ?? "");
  const segments = useSegments();
  const wrong = (path: string) => faults.filter((fault) => fault.path === path).map((fault) => fault.msg).join("; ") || undefined;
  const set = (key: string, value: string) => onChange({ ...document, [key]: value });
  const number = (key: string, text: string) => onChange(withKey(document, key, text === "" ? null : typed(text)));
  const part = (section: string, key: string, text: string, asText = false) => onChange(within(document, section, key, text === "" ? null : asText ? text : typed(text)));
  const ruleFaults = faults.filter((fault) => fault.path.startsWith("rules"));
  return (
    <div class="editor">
      <Card title="Basics">
        <div class="grid">
          <Field label="Name" error={wrong("name")} class="full">
            {(props) => <input {...props} value={shown(document.name)} onInput={(e) => set("name", e.currentTarget.value)} />}
          </Field>
          <Field label="Status" error={wrong("status")}>
            {(props) => (
              <select {...props} value={shown(document.status) || "draft"} onChange={(e) => set("status", e.currentTarget.value)}>
                {STATUSES.map(([value, words]) => (
                  <option key={value} value={value}>
                    {words}
                  </option>
                ))}
              </select>
            )}
          </Field>
          <Suggested label="Type" hint="How the app renders it." value={shown(document.type)} names={TYPES} onChange={(text) => set("type", text)} />
          <Field label="Priority" hint="A higher one comes first.">
            {(props) => <input {...props} inputMode="numeric" value={shown(document.priority)} onInput={(e) => number("priority", e.currentTarget.value)} />}
          </Field>
        </div>
      </Card>
      <Card title="When it comes up">
        <EventNames names={names} seen={seen.events} error={wrong("trigger")} onChange={(next) => onChange(withTriggers(document, next))} />
        <label class="check">
          <input type="checkbox" checked={document.trigger_match === "loose"} onChange={(e) => onChange(withKey(document, "trigger_match", e.currentTarget.checked ? "loose" : null))} />
          Take names for equal that differ in case only, or in _ and blank
        </label>
      </Card>
      <Card title="Who sees it">
        {ruleFaults.map((fault) => (
          <p class="hint bad" key={fault.path + fault.msg} role="alert">
            <code>{fault.path}</code> {fault.msg}
          </p>
        ))}
        <RuleBuilder group={read(document.rules)} seen={seen} segments={segments} onChange={(group) => onChange({ ...document, rules: write(group) })} />
      </Card>
      <Card title="When and how often">
        <div class="grid">
          <Moment label="Starts" document={document} keys={["starts_at", "start_date"]} onChange={onChange} />
          <Moment label="Ends" document={document} keys={["ends_at", "end_date"]} onChange={onChange} />
          <Suggested label="Time zone" hint="UTC unless it says otherwise." value={textAt(document, "schedule", "time_zone")} names={Intl.supportedValuesOf("timeZone")} onChange={(text) => part("schedule", "time_zone", text, true)} />
          <Numeric label="Shown to a user at most" unit="times" value={textAt(document, "frequency_cap", "per_user")} onChange={(text) => part("frequency_cap", "per_user", text)} />
          <Numeric label="… and on one day" unit="times" value={textAt(document, "frequency_cap", "per_user_per_day")} onChange={(text) => part("frequency_cap", "per_user_per_day", text)} />
          <Numeric label="Pause between" unit="seconds" value={textAt(document, "frequency_cap", "min_gap_seconds")} onChange={(text) => part("frequency_cap", "min_gap_seconds", text)} />
          <Numeric label="Over all users" unit="times" value={textAt(document, "frequency_cap", "total")} onChange={(text) => part("frequency_cap", "total", text)} />
          <Numeric label="Roll-out" unit="% of users" value={shown(document.rollout_percentage)} onChange={(text) => number("rollout_percentage", text)} />
          <Numeric label="Held out" unit="% of users" value={shown(document.hold_out_percentage)} onChange={(text) => number("hold_out_percentage", text)} />
          <Suggested label="Goal" hint="An event that counts as a conversion." value={textAt(document, "goal", "event")} names={seen.events} onChange={(text) => part("goal", "event", text, true)} />
          <Numeric label="Goal within" unit="seconds" value={textAt(document, "goal", "within_seconds")} onChange={(text) => part("goal", "within_seconds", text)} />
        </div>
      </Card>
      <Card title="What the app gets">
        {(!isObject(document.config) || typeof document.config.text !== "object") && (
          <Field label="Text">{(props) => <input {...props} value={textAt(document, "config", "text")} onInput={(e) => onChange({ ...document, config: { ...(isObject(document.config) ? document.config : {}), text: e.currentTarget.value } })} />}</Field>
        )}
        <JsonText label="Configuration" hint="JSON. The app reads it as it is." value={document.config ?? {}} object onChange={(value) => onChange({ ...document, config: value })} />
      </Card>
    </div>
  );
}

function Suggested({ label, hint, value, names, onChange }: { label: string; hint: string; value: string; names: string[]; onChange: (text: string) => void }) {
  const id = useId();
  return (
    <Field label={label} hint={hint}>
      {(props) => (
        <>
          <input {...props} list={id} value={value} onInput={(e) => onChange(e.currentTarget.value)} />
          <datalist id={id}>
            {names.map((name) => (
              <option key={name} value={name} />
            ))}
          </datalist>
        </>
      )}
    </Field>
  );
}

function Numeric({ label, unit, value, onChange }: { label: string; unit: string; value: string; onChange: (text: string) => void }) {
  return (
    <Field label={label} hint={unit}>
      {(props) => <input {...props} inputMode="decimal" value={value} onInput={(e) => onChange(e.currentTarget.value.trim())} />}
    </Field>
  );
}

/** A time of the schedule, wherever and however the document spells it. */
function Moment({ label, document, keys, onChange }: { label: string; document: Document; keys: [string, string]; onChange: (document: Document) => void }) {
  const inSchedule = keys.find((key) => textAt(document, "schedule", key));
  const atTop = keys.find((key) => shown(document[key]));
  const value = inSchedule ? textAt(document, "schedule", inSchedule) : atTop ? shown(document[atTop]) : "";
  const isPlain = value === "" || /^\d{4}-\d\d-\d\dT\d\d:\d\d$/.test(value);
  const set = (text: string) => {
    const to = text === "" ? null : text;
    onChange(!inSchedule && atTop ? withKey(document, atTop, to) : within(document, "schedule", inSchedule ?? keys[0], to));
  };
  return (
    <Field label={label} hint="In the time zone below.">
      {(props) =>
        isPlain ? (
          <input {...props} type="datetime-local" value={value} onInput={(e) => set(e.currentTarget.value)} />
        ) : (
          <input {...props} value={value} onInput={(e) => set(e.currentTarget.value)} />
        )
      }
    </Field>
  );
}

/** Names of events, one after the other. */
function EventNames({ names, seen, error, onChange }: { names: string[]; seen: string[]; error?: string; onChange: (names: string[]) => void }) {
  const [typing, setTyping] = useState("");
  const id = useId();
  const add = () => {
    const name = typing.trim();
    if (name && !names.includes(name)) onChange([...names, name]);
    setTyping("");
  };
  return (
    <>
      <Field label="Add an event" error={error} hint={names.length ? "Any of them brings it up." : "Without one it never comes up by itself: apps fetch it."}>
        {(props) => (
          <div class="with-button">
            <input
              {...props}
              list={id}
              value={typing}
              placeholder="cart_viewed"
              onInput={(e) => setTyping(e.currentTarget.value)}
              onKeyDown={(e) => e.key === "Enter" && (e.preventDefault(), add())}
              onBlur={add}
            />
            <button type="button" onClick={add}>
              Add
            </button>
          </div>
        )}
      </Field>
      <datalist id={id}>
        {seen.map((name) => (
          <option key={name} value={name} />
        ))}
      </datalist>
      {names.length > 0 && (
        <ul class="chips" aria-label="Events that bring it up">
          {names.map((name) => (
            <li key={name}>
              <code>{name}</code>
              <button type="button" class="icon" aria-label={`Remove ${name}`} onClick={() => onChange(names.filter((other) => other !== name))}>
                ✕
              </button>
            </li>
          ))}
        </ul>
      )}
    </>
  );
}
