// What is being edited: the document, what it was, and what of it has to be sent. Only top-level keys that differ are sent, so nothing
// that this editor does not know is ever lost, and what others changed elsewhere stays.
import type { Campaign, Document, Json } from "../types";
import { ABOUT, same } from "./diff";
import { isObject, shown } from "./rules";

/** A document without what the server says about it. */
export function plain(campaign: Document): Document {
  return Object.fromEntries(Object.entries(campaign).filter(([key]) => !ABOUT.includes(key)));
}

/** The keys that differ; null for those that are gone. */
export function changes(before: Document, after: Document): Document {
  const changed: Document = {};
  for (const key of new Set([...Object.keys(before), ...Object.keys(after)])) {
    if (!same(before[key], after[key])) changed[key] = after[key] ?? null;
  }
  return changed;
}

export const EMPTY: Document = { name: "", status: "draft", type: "modal", trigger: "", rules: [], config: { text: "" } };

/** Drafts that were left without being saved, by campaign; the new one has none. They go with the tab. */
export const left = new Map<string, { document: Document; base: Campaign | null }>();

/** The same document with `key` of its object `section`; null takes it out, and an empty section with it. */
export function within(document: Document, section: string, key: string, value: Json): Document {
  const before = isObject(document[section]) ? (document[section] as Document) : {};
  const { [key]: _, ...rest } = before;
  const after = value === null ? rest : { ...before, [key]: value };
  return withKey(document, section, Object.keys(after).length === 0 ? null : after);
}

/** The same document with this key; null takes it out. */
export function withKey(document: Document, key: string, value: Json): Document {
  const { [key]: _, ...rest } = document;
  return value === null ? rest : { ...document, [key]: value };
}

export function textAt(document: Document, section: string, key: string): string {
  return isObject(document[section]) ? shown((document[section] as Document)[key]) : "";
}

/** Names of events, the first as `trigger`, the others in `triggers`; an entry that says more than its name stays as it is. */
export function withTriggers(document: Document, names: string[]): Document {
  const [first = "", ...rest] = names;
  const entries = Array.isArray(document.triggers) ? document.triggers : [];
  const entry = (name: string) => entries.find((old) => isObject(old) && old.event === name) ?? name;
  const changed: Document = { ...document, trigger: first };
  if (rest.length > 0) changed.triggers = rest.map(entry);
  else delete changed.triggers;
  return changed;
}
