// Rules as a tree that can be edited, and back. What the builder does not know stays in the rule as it was.
import type { Document, Json } from "../types";

export type Source = "event" | "trait" | "context" | "segment" | "event_count";
/** `none`: none of these; in a document `{not: …}`. */
export type Join = "all" | "any" | "none";

export type Node = Group | Rule | Foreign;

export interface Group {
  kind: "group";
  join: Join;
  items: Node[];
}

export interface Rule {
  kind: "rule";
  rule: Document;
}

/** Something that is no rule: kept, and shown as JSON. */
export interface Foreign {
  kind: "foreign";
  value: Json;
}

export const SOURCES: [Source, string][] = [
  ["event", "Event property"],
  ["trait", "User trait"],
  ["context", "Event context"],
  ["event_count", "How often"],
  ["segment", "Segment"],
];

export function isObject(value: unknown): value is Document {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The `rules` of a document. */
export function read(rules: unknown): Group {
  const list = Array.isArray(rules) ? rules : isObject(rules) ? [rules] : [];
  return { kind: "group", join: "all", items: list.filter((item) => !isLeftover(item)).map(node) };
}

/** What an old editor leaves behind: the server drops it on every save. */
function isLeftover(value: Json): boolean {
  return isObject(value) && value.field === "unknown" && value.operator === "==" && value.value === "";
}

function node(value: Json): Node {
  if (!isObject(value)) return { kind: "foreign", value };
  for (const join of ["all", "any"] as const) {
    const items = value[join];
    if (Array.isArray(items)) return { kind: "group", join, items: items.map(node) };
  }
  if (isObject(value.not)) {
    const inner = node(value.not);
    const items = inner.kind === "group" && inner.join === "any" ? inner.items : [inner];
    return { kind: "group", join: "none", items };
  }
  return { kind: "rule", rule: value };
}

/** As a document holds them. */
export function write(group: Group): Json[] {
  return group.items.map(one);
}

function one(node: Node): Json {
  if (node.kind === "rule") return node.rule;
  if (node.kind === "foreign") return node.value;
  const items = node.items.map(one);
  if (node.join !== "none") return { [node.join]: items };
  return { not: items.length === 1 ? items[0]! : { any: items } };
}

export function source(rule: Document): Source {
  switch (rule.type) {
    case "attribute":
    case "trait":
      return "trait";
    case "context":
    case "segment":
    case "event_count":
      return rule.type;
    default:
      return "event";
  }
}

/** The same rule about something else. */
export function withSource(rule: Document, to: Source): Document {
  const { id } = rule;
  const keep: Document = id === undefined ? {} : { id };
  if (to === "segment") return { ...keep, type: to, segment: "", operator: "in" };
  if (to === "event_count") return { ...keep, type: to, event: "", operator: ">=", value: 1, within: "30d" };
  const from = source(rule);
  if (from === "segment" || from === "event_count") return { ...keep, type: to, field: "", operator: "==", value: "" };
  return { ...rule, type: to };
}

export const newRule = (): Rule => ({ kind: "rule", rule: { type: "event", field: "", operator: "==", value: "" } });
export const newGroup = (): Group => ({ kind: "group", join: "any", items: [newRule()] });

interface Operator {
  name: string;
  /** As a sentence goes: the field … the value. */
  words: string;
  takes: "value" | "list" | "nothing" | "time" | "duration";
  /** For which types of values it is offered; all of them when the type is not known. */
  types: ("string" | "number" | "boolean" | "array")[];
}

export const OPERATORS: Operator[] = [
  { name: "==", words: "is", takes: "value", types: ["string", "number", "boolean", "array"] },
  { name: "!=", words: "is not", takes: "value", types: ["string", "number", "boolean", "array"] },
  { name: ">", words: "is more than", takes: "value", types: ["number", "string"] },
  { name: ">=", words: "is at least", takes: "value", types: ["number", "string"] },
  { name: "<", words: "is less than", takes: "value", types: ["number", "string"] },
  { name: "<=", words: "is at most", takes: "value", types: ["number", "string"] },
  { name: "in", words: "is one of", takes: "list", types: ["string", "number", "array"] },
  { name: "not_in", words: "is none of", takes: "list", types: ["string", "number", "array"] },
  { name: "contains", words: "contains", takes: "value", types: ["string", "array"] },
  { name: "not_contains", words: "does not contain", takes: "value", types: ["string", "array"] },
  { name: "starts_with", words: "starts with", takes: "value", types: ["string", "array"] },
  { name: "ends_with", words: "ends with", takes: "value", types: ["string", "array"] },
  { name: "matches", words: "matches the pattern", takes: "value", types: ["string", "array"] },
  { name: "is_true", words: "is true", takes: "nothing", types: ["boolean"] },
  { name: "is_false", words: "is false", takes: "nothing", types: ["boolean"] },
  { name: "exists", words: "is there", takes: "nothing", types: ["string", "number", "boolean", "array"] },
  { name: "not_exists", words: "is not there", takes: "nothing", types: ["string", "number", "boolean", "array"] },
  { name: "before", words: "is before", takes: "time", types: ["string", "number"] },
  { name: "after", words: "is after", takes: "time", types: ["string", "number"] },
  { name: "within_last", words: "is within the last", takes: "duration", types: ["string", "number"] },
];

/** Other spellings of an operator, as other editors write them. */
const SAME: Record<string, string> = {
  equals: "==", eq: "==", is: "==", not_equals: "!=", neq: "!=", is_not: "!=", greater_than: ">", gt: ">",
  greater_than_or_equal: ">=", greater_than_or_equals: ">=", gte: ">=", less_than: "<", lt: "<", less_than_or_equal: "<=",
  less_than_or_equals: "<=", lte: "<=", does_not_contain: "not_contains", set: "exists", is_set: "exists", not_set: "not_exists",
  is_not_set: "not_exists", regex: "matches",
};

export function operatorOf(name: Json | undefined): Operator | undefined {
  const spelt = typeof name === "string" ? (SAME[name] ?? name) : "";
  return OPERATORS.find((operator) => operator.name === spelt);
}

/** Those for values of these types; all when no type is known. */
export function offered(types: string[] | undefined): Operator[] {
  const known = types?.filter((type) => type !== "null" && type !== "object") ?? [];
  return known.length === 0 ? OPERATORS : OPERATORS.filter((operator) => operator.types.some((type) => known.includes(type)));
}

/** What was typed: a number where it is one and reads the same, else the text. */
export function typed(text: string): Json {
  return /^-?\d+(\.\d+)?$/.test(text) && String(Number(text)) === text ? Number(text) : text;
}

export function shown(value: Json | undefined): string {
  if (value === undefined || value === null) return "";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/** The rule with another operator, its value in the form that it takes. */
export function withOperator(rule: Document, name: string): Document {
  const takes = operatorOf(name)?.takes;
  const { value, ...rest } = rule;
  if (takes === "nothing") return { ...rest, operator: name };
  if (takes === "list") return { ...rest, operator: name, value: Array.isArray(value) ? value : shown(value) ? [value!] : [] };
  return { ...rest, operator: name, value: Array.isArray(value) ? (value[0] ?? "") : (value ?? (takes === "duration" ? "7d" : "")) };
}
