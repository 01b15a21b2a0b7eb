// What stands around every page: the way around, the state of the service, the look, and the keyboard.
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { count } from "../format";
import { startPulse, stopPulse, usePulse } from "../pulse";
import { link, useRoute } from "../router";
import { end, type Look, look, setLook } from "../session";

const PAGES: [string, string][] = [
  ["overview", "Overview"],
  ["campaigns", "Campaigns"],
  ["analytics", "Analytics"],
  ["live", "Live events"],
  ["users", "Users"],
  ["dead-letters", "Dead letters"],
  ["keys", "Keys"],
];

export function Shell({ children }: { children: ComponentChildren }) {
  const route = useRoute();
  const { status, error } = usePulse();
  const main = useRef<HTMLElement>(null);
  const first = useRef(true);
  const here = route.parts[0] ?? "overview";
  const place = route.parts.join("/");

  useEffect(() => {
    startPulse();
    return stopPulse;
  }, []);
  useEffect(() => searchOnSlash(), []);
  // A new page begins at its head, for the eyes and for a screen reader; not the first one.
  useEffect(() => {
    if (!first.current) {
      scrollTo(0, 0);
      main.current?.querySelector<HTMLElement>("h1")?.focus();
    }
    first.current = false;
  }, [place]);
  useEffect(() => {
    const name = PAGES.find(([part]) => part === here)?.[1];
    document.title = name ? `${name} – Console` : "Console";
  }, [here]);

  const open = status?.dead_letters?.open ?? 0;
  const problems = error ? [error] : [...(status?.process.reasons ?? []), ...(status?.unanswered ?? [])];
  return (
    <>
      <a class="skip" href="#main" onClick={(e) => (e.preventDefault(), main.current?.focus())}>
        Skip to the content
      </a>
      <header class="top">
        <a class="brand" href={link(["overview"])}>
          <img src="console/icon.svg" alt="" width="24" height="24" /> Console
        </a>
        <nav aria-label="Pages">
          {PAGES.map(([part, name]) => (
            <a key={part} href={link([part])} aria-current={here === part ? "page" : undefined}>
              {name}
              {part === "dead-letters" && open > 0 && (
                <span class="badge" title={`${count(open)} open`}>
                  {open > 999 ? "999+" : count(open)}
                  <span class="unseen"> open</span>
                </span>
              )}
            </a>
          ))}
        </nav>
        <div class="tools">
          <a href="docs" class="api wide-only">
            API
          </a>
          <LookSwitch />
          <button type="button" onClick={() => end("You signed out. The key is forgotten.")}>
            Sign out
          </button>
        </div>
      </header>
      <main id="main" ref={main} tabIndex={-1}>
        {problems.length > 0 && (
          <div class="failure banner" role="alert">
            <div>
              <strong>{status && !status.process.ready && !error ? "Events are not accepted just now." : "Something does not answer."}</strong>{" "}
              {problems.join("; ")}
            </div>
          </div>
        )}
        {children}
      </main>
    </>
  );
}

function LookSwitch() {
  const [chosen, setChosen] = useState<Look>(look());
  return (
    <select
      aria-label="Colours"
      value={chosen}
      onChange={(e) => {
        const next = e.currentTarget.value as Look;
        setLook(next);
        setChosen(next);
      }}
    >
      <option value="auto">Auto</option>
      <option value="light">Light</option>
      <option value="dark">Dark</option>
    </select>
  );
}

/** `/` goes to the page's search box, unless something is being typed. */
function searchOnSlash(): () => void {
  const listen = (event: KeyboardEvent) => {
    const target = event.target as HTMLElement;
    const typing = target.matches("input, textarea, select, [contenteditable]");
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || typing) return;
    if (document.querySelector("dialog[open]")) return;
    const box = document.querySelector<HTMLInputElement>("[data-search]");
    if (!box) return;
    event.preventDefault();
    box.focus();
    box.select();
  };
  addEventListener("keydown", listen);
  return () => removeEventListener("keydown", listen);
}
