// The admin key of this tab, and the look of the page. The key lives in the tab's session storage: it is in no URL, no cookie and no
// other tab, and goes when the tab is closed.
import { useEffect, useState } from "preact/hooks";

const KEY = "console-key";
const LOOK = "console-look";

export type Look = "auto" | "light" | "dark";

let key = sessionStorage.getItem(KEY);
let farewell = "";
const listeners = new Set<() => void>();

function changed() {
  listeners.forEach((listener) => listener());
}

export function adminKey(): string | null {
  return key;
}

/** Why the last session ended, for the key page. */
export function whyEnded(): string {
  return farewell;
}

export function begin(entered: string) {
  key = entered;
  farewell = "";
  sessionStorage.setItem(KEY, entered);
  changed();
}

export function end(why: string) {
  key = null;
  farewell = why;
  sessionStorage.removeItem(KEY);
  changed();
}

/** The key, and again whenever it changes. */
export function useKey(): string | null {
  const [, again] = useState(0);
  useEffect(() => {
    const listener = () => again((n) => n + 1);
    listeners.add(listener);
    return () => void listeners.delete(listener);
  }, []);
  return key;
}

export function look(): Look {
  const stored = localStorage.getItem(LOOK);
  return stored === "light" || stored === "dark" ? stored : "auto";
}

export function setLook(chosen: Look) {
  if (chosen === "auto") localStorage.removeItem(LOOK);
  else localStorage.setItem(LOOK, chosen);
  applyLook();
}

export function applyLook() {
  document.documentElement.dataset.look = look();
}
