// Events that could not be stored: why, what was in them, and what becomes of them.
import { useEffect, useState } from "preact/hooks";
import { get, path, post } from "./api";
import { bytes, count, plural } from "./format";
import { useLoad, useSettled } from "./loading";
import { adjust, link } from "./router";
import { confirm, Dialog } from "./shell/dialog";
import { complain, notify } from "./shell/notices";
import { Act, Card, Empty, JsonBlock, More, Page, Search, Show, Table, Tag, Time } from "./shell/pieces";
import type { Handled, Letter, OpenedLetter } from "./types";

const STATES: [string, string][] = [
  ["open", "Open"],
  ["redriven", "Driven again"],
  ["discarded", "Discarded"],
];

interface Listed {
  dead_letters: Letter[];
  total: number;
  next_cursor: string | null;
}

type Chosen = { ids: number[] } | { all: true } | { reason: string };

export function DeadLetters({ query }: { query: URLSearchParams }) {
  const [reason, setReason] = useState(query.get("reason") ?? "");
  const state = query.get("state") ?? "open";
  const asked = useSettled(reason);
  const [marked, setMarked] = useState<number[]>([]);
  const [opened, setOpened] = useState<Letter | null>(null);
  useEffect(() => adjust(["dead-letters"], { reason: asked, state }), [asked]);
  useEffect(() => setMarked([]), [asked, state]);
  const filter = { reason: asked, state: state === "all" ? "" : state, limit: 50 };
  const list = useLoad((signal) => get<Listed>("v1/admin/dead-letters", { query: filter, signal }), [asked, state]);
  const more = async () => {
    const page = await get<Listed>("v1/admin/dead-letters", { query: { ...filter, cursor: list.data?.next_cursor } });
    list.set({ ...page, dead_letters: [...(list.data?.dead_letters ?? []), ...page.dead_letters] });
  };
  const act = async (what: "redrive" | "discard", chosen: Chosen) => {
    const done = await handle(what, chosen);
    if (!done) return;
    setMarked([]);
    setOpened(null);
    list.reload();
  };
  const mark = (id: number, is: boolean) => setMarked((before) => (is ? [...before, id] : before.filter((other) => other !== id)));
  const all: Chosen = asked ? { reason: asked } : { all: true };
  const letters = list.data?.dead_letters ?? [];
  return (
    <Page title="Dead letters" lead="Events that were accepted and could not be stored. Mend the cause, then drive them again.">
      <div class="filters">
        <Search label="Search reasons" value={reason} onChange={setReason} placeholder="Part of the reason" />
        <select aria-label="State" value={state} onChange={(e) => adjust(["dead-letters"], { reason, state: e.currentTarget.value })}>
          {STATES.map(([value, words]) => (
            <option key={value} value={value}>
              {words}
            </option>
          ))}
          <option value="all">All of them</option>
        </select>
        {state === "open" && letters.length > 0 && (
          <span class="actions">
            <Act class="primary" onAct={() => act("redrive", marked.length ? { ids: marked } : all)}>
              {marked.length ? `Drive ${marked.length} again` : "Drive all again"}
            </Act>
            <Act class="danger" onAct={() => act("discard", marked.length ? { ids: marked } : all)}>
              {marked.length ? `Discard ${marked.length}` : "Discard all"}
            </Act>
          </span>
        )}
      </div>
      <Show loaded={list} rows={5}>
        {({ dead_letters, total, next_cursor }) =>
          dead_letters.length === 0 ? (
            <Empty title={state === "open" ? (asked ? "No open letter has this reason." : "Nothing is open.") : "There is none."}>
              {state === "open" && !asked && "Every accepted event is stored, a duplicate, or dropped for an erased user."}
            </Empty>
          ) : (
            <Card class="flush">
              <Table label="Dead letters" class="list" head={<><th><span class="unseen">Mark</span></th><th>Reason</th><th>State</th><th class="wide-only">User</th><th class="wide-only">Size</th><th>Put aside</th></>}>
                {dead_letters.map((letter) => (
                  <tr key={letter.id}>
                    <td>
                      {letter.state === "open" && (
                        <input type="checkbox" aria-label={`Mark letter ${letter.id}`} checked={marked.includes(letter.id)} onChange={(e) => mark(letter.id, e.currentTarget.checked)} />
                      )}
                    </td>
                    <td class="name">
                      <button type="button" class="link" onClick={() => setOpened(letter)}>
                        {letter.reason}
                      </button>
                      {letter.sqlstate && <code class="hint"> {letter.sqlstate}</code>}
                    </td>
                    <td>
                      <Tag>{letter.state}</Tag>
                    </td>
                    <td class="wide-only">{letter.user_id ? <a href={link(["users", letter.user_id])}>{letter.user_id}</a> : "–"}</td>
                    <td class="wide-only n">{bytes(letter.payload_bytes)}</td>
                    <td>
                      <Time at={letter.created_at} />
                    </td>
                  </tr>
                ))}
              </Table>
              <p class="hint foot">
                {count(dead_letters.length)} of {count(total)}
              </p>
              <More cursor={next_cursor} onMore={more} />
            </Card>
          )
        }
      </Show>
      {opened && <Opened letter={opened} onClose={() => setOpened(null)} onAct={(what) => act(what, { ids: [opened.id] })} />}
    </Page>
  );
}

function Opened({ letter, onClose, onAct }: { letter: Letter; onClose: () => void; onAct: (what: "redrive" | "discard") => Promise<void> }) {
  const loaded = useLoad((signal) => get<OpenedLetter>(path("v1", "admin", "dead-letters", String(letter.id)), { signal }), [letter.id]);
  return (
    <Dialog title={`Letter ${letter.id}`} onClose={onClose} wide>
      <dl class="pairs">
        <dt>Reason</dt>
        <dd>
          {letter.reason} {letter.sqlstate && <code>{letter.sqlstate}</code>}
        </dd>
        <dt>Where</dt>
        <dd>
          lane {letter.lane}, message {letter.stream_seq}
          {letter.events > 1 && `, ${plural(letter.events, "event")}`}
        </dd>
        {letter.redriven_at && (
          <>
            <dt>Driven again</dt>
            <dd>
              by {letter.redriven_by}, <Time at={letter.redriven_at} />
            </dd>
          </>
        )}
        {letter.discarded_at && (
          <>
            <dt>Discarded</dt>
            <dd>
              by {letter.discarded_by}, <Time at={letter.discarded_at} /> {letter.discard_reason}
            </dd>
          </>
        )}
        {letter.previous_id !== null && (
          <>
            <dt>Failed before</dt>
            <dd>as letter {letter.previous_id}</dd>
          </>
        )}
      </dl>
      <Show loaded={loaded}>{(opened) => <JsonBlock label="Payload" text={pretty(opened)} />}</Show>
      <footer>
        <button type="button" onClick={onClose}>
          Close
        </button>
        {letter.state === "open" && (
          <>
            <Act class="danger" onAct={() => onAct("discard")}>
              Discard
            </Act>
            <Act class="primary" onAct={() => onAct("redrive")}>
              Drive again
            </Act>
          </>
        )}
      </footer>
    </Dialog>
  );
}

function pretty({ payload, payload_encoding }: OpenedLetter): string {
  if (payload_encoding === "base64") return `No JSON; as base64:\n${payload}`;
  try {
    return JSON.stringify(JSON.parse(payload), null, 2);
  } catch {
    return payload;
  }
}

/** Asks what it would do, then a person, then does it to the end. */
async function handle(what: "redrive" | "discard", chosen: Chosen): Promise<boolean> {
  const address = `v1/admin/dead-letters/${what}`;
  try {
    const dry = await post<Handled>(address, { ...chosen, dry_run: true });
    const letters = plural(dry.matched, "letter");
    const sure = await confirm(
      what === "redrive"
        ? { title: `Drive ${letters} again?`, text: "Each event goes through the stream once more, under its own id. What fails again becomes a new letter.", action: "Drive again" }
        : { title: `Discard ${letters}?`, text: "They stay dead, and stay listed as discarded. This is not undone by a click.", action: "Discard", danger: true },
    );
    if (!sure) return false;
    const why = what === "discard" ? { why: "discarded in the console" } : {};
    let done = 0;
    let passed = 0;
    let cursor: string | null = null;
    do {
      const step: Handled = await post<Handled>(address, { ...chosen, ...why, ...(cursor ? { cursor } : {}) });
      done += step.letters;
      passed += step.passed_over_total;
      cursor = step.next_cursor;
    } while (cursor);
    const left = passed ? `; ${plural(passed, "letter")} passed over` : "";
    notify(what === "redrive" ? `${plural(done, "letter")} driven again${left}.` : `${plural(done, "letter")} discarded${left}.`);
    return true;
  } catch (error) {
    complain(error);
    return false;
  }
}
