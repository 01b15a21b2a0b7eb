// How many would have matched: the draft is tried on the events of the last days, with progress.
import { useEffect, useRef, useState } from "preact/hooks";
import { lines, request } from "../api";
import { count, day, duration, plural } from "../format";
import { DailyPlot } from "../plots/daily";
import { Card, Empty, Failure, Field } from "../shell/pieces";
import type { Backtest, Document } from "../types";

const TIME_LIMIT_SECONDS = 30;

interface Progress {
  day?: string;
  days_done: number;
  days: number;
  events: number;
  matched_users: number;
}

const REASONS: Record<string, string> = {
  rules: "The rules did not hold", schedule: "Outside its time", opted_out: "The user opted out", roll_out: "Not rolled out to the user",
  capped: "Shown often enough", hold_out: "Held out for comparison", held_out: "Held out for comparison", not_active: "Not active",
};

const SERIES = [
  { name: "Matched users", value: (day: Backtest["daily"][number]) => day.matched_users },
  { name: "Matched events", value: (day: Backtest["daily"][number]) => day.matched_events },
];

/** `draft` is asked when the test begins: what is being edited, saved or not. */
export function BacktestForm({ draft }: { draft: () => Document }) {
  const [days, setDays] = useState(7);
  const [progress, setProgress] = useState<Progress | null>(null);
  const [result, setResult] = useState<Backtest | null>(null);
  const [error, setError] = useState<Error | null>(null);
  const stop = useRef<AbortController | null>(null);
  useEffect(() => () => stop.current?.abort(), []);
  const run = async (event: Event) => {
    event.preventDefault();
    stop.current?.abort();
    const mine = new AbortController();
    stop.current = mine;
    setError(null);
    setResult(null);
    setProgress({ days_done: 0, days, events: 0, matched_users: 0 });
    try {
      const body = { campaign: draft(), days, time_limit_seconds: TIME_LIMIT_SECONDS };
      const response = await request("POST", "v1/admin/campaigns/backtest", { body, accept: "application/x-ndjson", signal: mine.signal });
      for await (const line of lines(response)) {
        if (!line) continue;
        const said = JSON.parse(line) as { progress?: Progress; result?: Backtest; error?: { message?: string } };
        if (said.progress) setProgress(said.progress);
        else if (said.result) setResult(said.result);
        else if (said.error) throw new Error(said.error.message ?? "The backtest failed.");
      }
    } catch (failed) {
      if (!mine.signal.aborted) setError(failed as Error);
    }
    if (stop.current === mine) setProgress(null);
  };
  return (
    <>
      <Card title="How many would have matched?">
        <form class="inline" onSubmit={run}>
          <Field label="Days to look back" hint={`It takes at most ${TIME_LIMIT_SECONDS} seconds, and changes nothing.`}>
            {(props) => <input {...props} type="number" min={1} max={90} value={days} onInput={(e) => setDays(Number(e.currentTarget.value))} />}
          </Field>
          {progress ? (
            <button type="button" onClick={() => (stop.current?.abort(), setProgress(null))}>
              Stop
            </button>
          ) : (
            <button type="submit" class="primary">
              Run the backtest
            </button>
          )}
        </form>
        {progress && (
          <div role="status">
            <progress aria-label="Days looked at" max={progress.days} value={progress.days_done} />
            <p class="hint">
              {count(progress.events)} events, {plural(progress.matched_users, "user")} so far
            </p>
          </div>
        )}
        {error && <Failure error={error} />}
        {!progress && !result && !error && (
          <Empty title="Try it before it is active.">The rules, schedule, caps and roll-out are applied to what really happened.</Empty>
        )}
        {result && <Outcome result={result} />}
      </Card>
    </>
  );
}

function Outcome({ result }: { result: Backtest }) {
  const suppressed = Object.entries(result.suppressed).filter(([, n]) => n > 0);
  return (
    <div class="outcome" role="status">
      <div class="numbers-row">
        <div>
          <b>{count(result.matched_users)}</b> {result.matched_users === 1 ? "user" : "users"}
        </div>
        <div>
          <b>{count(result.matched_events)}</b> {result.matched_events === 1 ? "match" : "matches"}
        </div>
        <div>
          <b>{count(result.events)}</b> {result.events === 1 ? "event" : "events"} brought it up, looked at in {duration(result.elapsed_seconds)}
        </div>
      </div>
      {!result.complete && (
        <p class="why">
          The time was up before everything was looked at{result.complete_until && `: it is complete up to ${day(result.complete_until)}`}. The real numbers are higher.
        </p>
      )}
      {result.daily.length > 0 && <DailyPlot title="Matches each day" rows={result.daily} series={SERIES} />}
      {suppressed.length > 0 && (
        <dl class="pairs">
          {suppressed.map(([reason, n]) => (
            <>
              <dt>{REASONS[reason] ?? reason}</dt>
              <dd>{count(n)}</dd>
            </>
          ))}
        </dl>
      )}
      {result.notes.map((note) => (
        <p class="hint" key={note}>
          {note}
        </p>
      ))}
    </div>
  );
}
