// What happened, said once: shown in a corner and read out by screen readers. Failures stay until they are closed.
import { useEffect, useState } from "preact/hooks";

interface Notice {
  id: number;
  kind: "good" | "bad";
  text: string;
}

const SHOWN_MILLISECONDS = 6_000;

let notices: Notice[] = [];
let next = 0;
const listeners = new Set<() => void>();

function set(changed: Notice[]) {
  notices = changed;
  listeners.forEach((listener) => listener());
}

export function notify(text: string, kind: Notice["kind"] = "good") {
  const id = next++;
  set([...notices.slice(-3), { id, kind, text }]);
  if (kind === "good") setTimeout(() => dismiss(id), SHOWN_MILLISECONDS);
}

export function complain(error: unknown) {
  notify(error instanceof Error ? error.message : String(error), "bad");
}

function dismiss(id: number) {
  set(notices.filter((notice) => notice.id !== id));
}

export function Notices() {
  const [, again] = useState(0);
  useEffect(() => {
    const listener = () => again((n) => n + 1);
    listeners.add(listener);
    return () => void listeners.delete(listener);
  }, []);
  return (
    <div class="notices" role="status" aria-live="polite">
      {notices.map((notice) => (
        <div key={notice.id} class={`notice ${notice.kind}`}>
          <span>{notice.text}</span>
          <button type="button" class="icon" aria-label="Close this notice" onClick={() => dismiss(notice.id)}>
            ✕
          </button>
        </div>
      ))}
    </div>
  );
}
