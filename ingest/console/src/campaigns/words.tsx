// A campaign's rules as sentences.
import { duration } from "../format";
import { isObject, type Node, operatorOf, read, shown, source } from "./rules";
import type { Document, Json } from "../types";

const JOINS = { all: "All of these hold:", any: "At least one of these holds:", none: "None of these holds:" };

/** One rule as a sentence. `segments`: names by id. */
export function sentence(rule: Document, segments: Map<string, string>): string {
  const value = (of: Json | undefined) => (Array.isArray(of) ? of.map(quoted).join(", ") : quoted(of));
  const operator = operatorOf(rule.operator);
  switch (source(rule)) {
    case "segment": {
      const id = shown(rule.segment);
      return `The user ${rule.operator === "not_in" ? "is not" : "is"} in the segment ${segments.get(id) ?? id}`;
    }
    case "event_count":
      return `The user did ${quoted(rule.event)} ${(operator?.words ?? "is at least").replace(/^is /, "")} ${shown(rule.value)} times ${rule.within ? `within ${shown(rule.within)}` : "ever"}`;
    default: {
      const about = { trait: "The trait", context: "The event's context", event: "The event's" }[source(rule) as "trait" | "context" | "event"];
      const words = operator ? `${operator.words}${operator.takes === "nothing" ? "" : ` ${value(rule.value)}`}` : `${shown(rule.operator)} ${value(rule.value)}`;
      const how = [rule.ignore_case === true ? "in capitals or not" : "", typeof rule.compare === "string" && rule.compare !== "auto" ? `compared as ${rule.compare}` : ""].filter(Boolean);
      return `${about} ${shown(rule.field)} ${words}${how.length ? ` (${how.join(", ")})` : ""}`;
    }
  }
}

function quoted(value: Json | undefined): string {
  return typeof value === "string" ? `“${value}”` : value === undefined ? "null" : JSON.stringify(value);
}

export function RulesInWords({ rules, segments }: { rules: unknown; segments: Map<string, string> }) {
  const group = read(rules);
  if (group.items.length === 0) return <p>Everybody: there are no rules.</p>;
  return <Words node={group} segments={segments} />;
}

function Words({ node, segments }: { node: Node; segments: Map<string, string> }) {
  if (node.kind === "rule") return <>{sentence(node.rule, segments)}</>;
  if (node.kind === "foreign") return <code>{JSON.stringify(node.value)}</code>;
  return (
    <>
      {JOINS[node.join]}
      <ul class="words">
        {node.items.map((item, n) => (
          <li key={n}>
            <Words node={item} segments={segments} />
          </li>
        ))}
      </ul>
    </>
  );
}

/** What else decides, in words: triggers, schedule, caps, shares, goal. */
export function delivery(document: Document): [string, string][] {
  const lines: [string, string][] = [];
  const say = (name: string, text: string) => text && lines.push([name, text]);
  const field = (of: Json | undefined, key: string) => (isObject(of) ? shown(of[key]) : "");
  say("Listens to", triggers(document).join(", ") || "no event: it is only fetched");
  if (document.trigger_match === "loose") say("Names of events", "compared without case, with _ as a blank");
  say("Priority", shown(document.priority));
  const { schedule, frequency_cap: cap, goal } = document;
  const starts = field(schedule, "starts_at") || field(schedule, "start_date") || shown(document.starts_at ?? document.start_date);
  const ends = field(schedule, "ends_at") || field(schedule, "end_date") || shown(document.ends_at ?? document.end_date);
  if (starts || ends) say("Runs", `${starts ? `from ${starts}` : "from now"} ${ends ? `until ${ends}` : "without end"} (${field(schedule, "time_zone") || "UTC"})`);
  const windows = isObject(schedule) && Array.isArray(schedule.windows) ? schedule.windows : [];
  say("Hours", windows.map((w) => (isObject(w) ? `${Array.isArray(w.days) ? w.days.map(shown).join(" ") : "every day"} ${shown(w.from)}–${shown(w.to)}` : "")).join("; "));
  const caps = [["per_user", "per user"], ["per_user_per_day", "per user and day"], ["total", "in all"]] as const;
  say("Shown at most", caps.filter(([key]) => field(cap, key)).map(([key, words]) => `${field(cap, key)} ${words}`).join(", "));
  if (field(cap, "min_gap_seconds")) say("Pause between", duration(Number(field(cap, "min_gap_seconds"))));
  if (document.rollout_percentage !== undefined && document.rollout_percentage !== null) say("Roll-out", `${shown(document.rollout_percentage)} % of users`);
  if (document.hold_out_percentage) say("Held out", `${shown(document.hold_out_percentage)} % of users see nothing, for comparison`);
  if (Array.isArray(document.variants) && document.variants.length) say("Variants", document.variants.map((v) => (isObject(v) ? `${shown(v.name)} (${shown(v.weight) || "1"})` : "")).join(", "));
  if (field(goal, "event")) say("Goal", `${field(goal, "event")} within ${duration(Number(field(goal, "within_seconds") || 604_800))}`);
  if (Array.isArray(document.test_users) && document.test_users.length) say("Test users", document.test_users.map(shown).join(", "));
  return lines;
}

/** `trigger` and `triggers` together. */
export function triggers(document: Document): string[] {
  const more = Array.isArray(document.triggers) ? document.triggers.map((t) => (isObject(t) ? shown(t.event) : shown(t))) : [];
  return [...new Set([shown(document.trigger), ...more])].filter(Boolean);
}
