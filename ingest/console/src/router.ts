// Which page is shown: the part of the address behind #, so that links, bookmarks and the back button work and nothing of it is sent
// to the server.
import { useEffect, useState } from "preact/hooks";

export interface Route {
  /** Decoded parts: `#/users/ada?kind=user` has `["users", "ada"]`. */
  parts: string[];
  query: URLSearchParams;
}

export function parse(hash: string): Route {
  const [path = "", query = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  const parts = path.split("/").filter(Boolean).map(decode);
  return { parts, query: new URLSearchParams(query) };
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

export type Query = Record<string, string | number | undefined | null>;

/** `#/users/ada?kind=user`. Parts without a value are left out of the query. */
export function link(parts: string[], query: Query = {}): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== null && value !== "") search.set(name, String(value));
  }
  const text = search.toString();
  return `#/${parts.map(encodeURIComponent).join("/")}${text ? `?${text}` : ""}`;
}

export function go(target: string) {
  location.hash = target;
}

const moved = new EventTarget();

/** Another query of the same page without another entry in the history: what is typed into a filter. */
export function adjust(parts: string[], query: Query) {
  history.replaceState(null, "", link(parts, query));
  moved.dispatchEvent(new Event("adjusted"));
}

export function useRoute(): Route {
  const [route, setRoute] = useState(() => parse(location.hash));
  useEffect(() => {
    const follow = () => setRoute(parse(location.hash));
    addEventListener("hashchange", follow);
    moved.addEventListener("adjusted", follow);
    return () => {
      removeEventListener("hashchange", follow);
      moved.removeEventListener("adjusted", follow);
    };
  }, []);
  return route;
}
