// Names that were seen, as suggestions: events, traits with the types of their values, and the properties of one event.
import { useEffect, useState } from "preact/hooks";
import { get } from "../api";
import { useLoad, useSettled } from "../loading";
import type { StoredEvent } from "../types";

export interface Seen {
  events: string[];
  /** Types of the values, by name. */
  traits: Map<string, string[]>;
  properties: Map<string, string[]>;
}

const LATEST = 50;

export function useSeen(trigger: string): Seen {
  const events = useLoad((signal) => get<{ events: { name: string }[] }>("v1/admin/metadata/events", { signal }), []);
  const traits = useLoad((signal) => get<{ traits: { name: string; types: string[] }[] }>("v1/admin/metadata/traits", { signal }), []);
  return {
    events: events.data?.events.map((event) => event.name) ?? [],
    traits: new Map(traits.data?.traits.map((trait) => [trait.name, trait.types])),
    properties: useProperties(trigger),
  };
}

/** Those of the latest events of this name. */
function useProperties(trigger: string): Map<string, string[]> {
  const [properties, setProperties] = useState(new Map<string, string[]>());
  const settled = useSettled(trigger, 400);
  useEffect(() => {
    if (!settled) return setProperties(new Map());
    const stop = new AbortController();
    get<{ events: StoredEvent[] }>("v1/admin/events", { query: { event: settled, limit: LATEST }, signal: stop.signal }).then(
      ({ events }) => {
        const found = new Map<string, string[]>();
        for (const event of events) {
          for (const [name, value] of Object.entries(event.properties ?? {})) {
            const type = value === null ? "null" : Array.isArray(value) ? "array" : typeof value;
            const types = found.get(name) ?? [];
            if (!types.includes(type)) found.set(name, [...types, type]);
          }
        }
        setProperties(found);
      },
      () => {}, // only suggestions
    );
    return () => stop.abort();
  }, [settled]);
  return properties;
}
