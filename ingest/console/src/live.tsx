// What comes in just now: the live tail, with filters, a pause and the content of each event.
import { useEffect, useRef, useState } from "preact/hooks";
import { lines, Refused, request } from "./api";
import { count } from "./format";
import { useSettled } from "./loading";
import { adjust, link } from "./router";
import { Card, Empty, Failure, JsonBlock, Page, Tag } from "./shell/pieces";
import type { Json } from "./types";

/** Rows that are kept: the page stays quick. */
const KEPT = 300;
/** Rows that wait while the tail is paused. */
const WAITING = 1_000;
/** Most repaints a second: at a hundred events a second one each would be wasted. */
const PAINT_MILLISECONDS = 150;
const RETRY_MILLISECONDS = 2_000;

interface Entry {
  n: number;
  outcome: string;
  at: string;
  skipped?: number;
  [field: string]: Json | undefined;
}

const FILTERS: [string, string][] = [
  ["user_id", "User or visitor"],
  ["event", "Event"],
  ["source", "Key's name"],
];
const KINDS = ["track", "identify", "page", "screen", "group", "alias"];

export function Live({ query }: { query: URLSearchParams }) {
  const [filter, setFilter] = useState<Record<string, string>>(() => Object.fromEntries(query));
  const asked = useSettled(JSON.stringify(filter), 400);
  const [isPaused, setPaused] = useState(false);
  const { entries, waiting, listening, error, skipped, clear } = useTail(asked, isPaused);
  useEffect(() => adjust(["live"], filter), [asked]);
  const set = (name: string, value: string) => setFilter((before) => ({ ...before, [name]: value }));
  return (
    <Page
      title="Live events"
      lead={listening ? (isPaused ? `Paused: ${count(waiting)} wait` : "Listening to all ingest processes") : "Connecting…"}
      actions={
        <>
          <button type="button" class="primary" aria-pressed={isPaused} onClick={() => setPaused(!isPaused)}>
            {isPaused ? "Go on" : "Pause"}
          </button>
          <button type="button" onClick={clear}>
            Clear
          </button>
        </>
      }
    >
      <div class="filters">
        {FILTERS.map(([name, label], n) => (
          <input key={name} data-search={n === 0 ? "" : undefined} type="search" aria-label={label} placeholder={label} value={filter[name] ?? ""} onInput={(e) => set(name, e.currentTarget.value.trim())} />
        ))}
        <select aria-label="Type" value={filter.type ?? ""} onChange={(e) => set("type", e.currentTarget.value)}>
          <option value="">All types</option>
          {KINDS.map((kind) => (
            <option key={kind}>{kind}</option>
          ))}
        </select>
        <select aria-label="Outcome" value={filter.outcome ?? ""} onChange={(e) => set("outcome", e.currentTarget.value)}>
          <option value="">Accepted and rejected</option>
          <option value="accepted">Accepted</option>
          <option value="rejected">Rejected</option>
        </select>
      </div>
      {error && <Failure error={error} />}
      {skipped > 0 && <p class="hint">{count(skipped)} more came than can be shown: this is a sample. Narrow it by a filter.</p>}
      {entries.length === 0 ? (
        <Empty title={listening ? "Nothing came yet." : "Connecting…"}>What SDKs send appears here the moment it is on disk, or is refused.</Empty>
      ) : (
        <Card class="flush">
          <ul class="tail" aria-label="Events, latest first" data-waiting={waiting}>
            {entries.map((entry) => (
              <Row key={entry.n} entry={entry} />
            ))}
          </ul>
        </Card>
      )}
    </Page>
  );
}

function Row({ entry }: { entry: Entry }) {
  const [isOpen, setOpen] = useState(false);
  const user = String(entry.user_id ?? entry.anonymous_id ?? "");
  const kind = entry.user_id === undefined ? "anonymous" : "";
  const { n, ...content } = entry;
  return (
    <li>
      <details onToggle={(e) => setOpen(e.currentTarget.open)}>
        <summary>
          <time dateTime={entry.at}>{new Date(entry.at).toLocaleTimeString("en-GB")}</time>
          <Tag>{entry.outcome}</Tag>
          <b>{String(entry.event ?? entry.type ?? "–")}</b>
          <span class="who">{user}</span>
          <span class="what">{String(entry.message ?? (entry.properties ? JSON.stringify(entry.properties) : ""))}</span>
        </summary>
        {isOpen && (
          <div class="opened">
            {user && <a href={link(["users", user], { kind })}>The page of {user}</a>}
            <JsonBlock label={`Event ${n}`} text={JSON.stringify(content, null, 2)} />
          </div>
        )}
      </details>
    </li>
  );
}

/** The tail for a filter (as JSON), latest first. While it is paused what comes waits. */
function useTail(filter: string, isPaused: boolean) {
  const [entries, setEntries] = useState<Entry[]>([]);
  const [waiting, setWaiting] = useState(0);
  const [listening, setListening] = useState(false);
  const [error, setError] = useState<Error | null>(null);
  const [skipped, setSkipped] = useState(0);
  const queue = useRef<Entry[]>([]);
  const paused = useRef(isPaused);
  const number = useRef(0);
  paused.current = isPaused;

  useEffect(() => {
    const stop = new AbortController();
    let retry: ReturnType<typeof setTimeout>;
    queue.current = [];
    setEntries([]);
    setSkipped(0);
    const listen = async () => {
      try {
        const response = await request("GET", "v1/admin/events/stream", { query: JSON.parse(filter), accept: "text/event-stream", signal: stop.signal });
        setError(null);
        let kind = "";
        for await (const line of lines(response)) {
          if (line.startsWith("event: ")) kind = line.slice(7);
          if (!line.startsWith("data: ")) continue;
          if (kind === "listening") {
            setListening(true);
            continue;
          }
          const entry = JSON.parse(line.slice(6)) as Entry;
          entry.n = number.current++;
          if (entry.skipped) setSkipped((before) => before + (entry.skipped ?? 0));
          queue.current = [entry, ...queue.current].slice(0, WAITING);
        }
      } catch (failed) {
        if (stop.signal.aborted) return;
        setError(failed as Error);
        if (failed instanceof Refused && failed.status >= 400 && failed.status < 500 && failed.status !== 429) return;
      }
      setListening(false);
      if (!stop.signal.aborted) retry = setTimeout(listen, RETRY_MILLISECONDS);
    };
    void listen();
    const paint = setInterval(() => {
      const came = queue.current;
      setWaiting(paused.current ? came.length : 0);
      if (paused.current || came.length === 0) return;
      queue.current = [];
      setEntries((before) => [...came, ...before].slice(0, KEPT));
    }, PAINT_MILLISECONDS);
    return () => {
      stop.abort();
      clearTimeout(retry);
      clearInterval(paint);
      setListening(false);
    };
  }, [filter]);
  const clear = () => {
    queue.current = [];
    setEntries([]);
    setSkipped(0);
  };
  return { entries, waiting, listening, error, skipped, clear };
}
