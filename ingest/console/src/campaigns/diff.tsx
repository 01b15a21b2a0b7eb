// What differs between two documents: one line per value, named by its path.
import { isObject } from "./rules";
import type { Json } from "../types";
import { Value } from "../shell/pieces";

export interface Difference {
  path: string;
  before?: Json;
  after?: Json;
}

/** What the server says about a document is no part of it. */
export const ABOUT = ["id", "createdAt", "updatedAt", "created_at", "_version", "_notes", "_faults"];

export function differences(before: Json | undefined, after: Json | undefined, path = ""): Difference[] {
  if (same(before, after)) return [];
  if (isObject(before) && isObject(after)) {
    const keys = [...new Set([...Object.keys(before), ...Object.keys(after)])];
    return keys.filter((key) => path !== "" || !ABOUT.includes(key)).flatMap((key) => differences(before[key], after[key], path ? `${path}.${key}` : key));
  }
  if (Array.isArray(before) && Array.isArray(after)) {
    const longest = Math.max(before.length, after.length);
    return Array.from({ length: longest }, (_, n) => differences(before[n], after[n], `${path}[${n}]`)).flat();
  }
  return [{ path, before, after }];
}

/** Equal, whatever the order of keys. */
export function same(a: Json | undefined, b: Json | undefined): boolean {
  if (a === b) return true;
  if (Array.isArray(a) && Array.isArray(b)) return a.length === b.length && a.every((item, n) => same(item, b[n]));
  if (isObject(a) && isObject(b)) {
    const keys = Object.keys(a);
    return keys.length === Object.keys(b).length && keys.every((key) => key in b && same(a[key], b[key]));
  }
  return false;
}

export function Differences({ of, none }: { of: Difference[]; none: string }) {
  if (of.length === 0) return <p class="hint">{none}</p>;
  return (
    <ul class="diff">
      {of.map(({ path, before, after }) => (
        <li key={path}>
          <code class="path">{path || "the whole document"}</code>
          {before !== undefined && (
            <del>
              <span class="unseen">was </span>
              <Value of={JSON.stringify(before)} most={300} />
            </del>
          )}
          {after !== undefined && (
            <ins>
              <span class="unseen">is </span>
              <Value of={JSON.stringify(after)} most={300} />
            </ins>
          )}
        </li>
      ))}
    </ul>
  );
}
