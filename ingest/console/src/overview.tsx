// How the pipeline is doing: a plot for each figure, and what they are made of.
import type { ComponentChildren } from "preact";
import { bytes, compact, count, duration, perCent } from "./format";
import { Sparkline } from "./plots/sparkline";
import { type Pulse, type Sample, SAMPLES, usePulse } from "./pulse";
import { link } from "./router";
import { Card, Empty, Failure, Page, Skeleton, Table, Tag, Time } from "./shell/pieces";
import type { Status } from "./types";

export function Overview() {
  const pulse = usePulse();
  const { status, error } = pulse;
  return (
    <Page title="Overview" lead="The last five minutes, renewed every two seconds.">
      {error && !status && <Failure error={new Error(error)} />}
      {status ? <Figures pulse={pulse} status={status} /> : !error && <Skeleton rows={6} />}
    </Page>
  );
}

interface Figure {
  title: string;
  value: (sample: Sample) => number | null;
  format: (value: number) => string;
  /** What it is about, or what else is known. */
  note: ComponentChildren;
  least?: number;
  /** From which value on somebody should look. */
  bad?: number;
}

const perSecond = (n: number) => `${compact(n)}/s`;

function Figures({ pulse, status }: { pulse: Pulse; status: Status }) {
  const bytesHeld = status.lanes.reduce((sum, lane) => sum + (lane.bytes ?? 0), 0);
  const bytesAllowed = status.lanes.reduce((sum, lane) => sum + (lane.max_bytes ?? 0), 0);
  const workers = status.workers;
  const figures: Figure[] = [
    { title: "Processed", value: (s) => s.processedPerSecond, format: perSecond, note: "events, all workers" },
    { title: "Accepted", value: (s) => s.acceptedPerSecond, format: perSecond, note: "events, this ingest process" },
    { title: "Lag", value: (s) => s.lagSeconds, format: duration, note: `${count(pulse.samples.at(-1)?.lagEvents ?? 0)} events wait`, bad: 30 },
    { title: "Refused with 503", value: (s) => s.refusedPerSecond, format: perSecond, note: `${count(status.process.refused)} requests since this process started`, bad: 0.01 },
    {
      title: "Dead letters open",
      value: (s) => s.openLetters,
      format: count,
      note: status.dead_letters?.open ? <a href={link(["dead-letters"])}>the oldest for {duration(status.dead_letters.oldest_open_seconds)}</a> : "nothing waits for you",
      bad: 1,
    },
    { title: "Stream fill", value: (s) => s.fill, format: perCent, note: `${bytes(bytesHeld)} of ${bytes(bytesAllowed)}`, least: 1, bad: 0.8 },
  ];
  return (
    <>
      <div class="figures">
        {figures.map((figure) => (
          <FigureCard key={figure.title} figure={figure} samples={pulse.samples} />
        ))}
      </div>
      <div class="columns">
        <Card title="Workers">
          {workers === null ? (
            <Empty title="Not known while PostgreSQL is away." />
          ) : workers.length === 0 ? (
            <Empty title="No worker is running.">Events are accepted and wait in the stream. Start a worker to process them.</Empty>
          ) : (
            <Table label="Workers" head={<><th>Name</th><th class="n">Lane</th><th class="n">Partitions</th><th>Started</th><th>Version</th></>}>
              {workers.map((worker) => (
                <tr key={worker.name + worker.started_at}>
                  <td>{worker.name}</td>
                  <td class="n">{worker.lane}</td>
                  <td class="n">{worker.partitions}</td>
                  <td><Time at={worker.started_at} /></td>
                  <td>{worker.version}</td>
                </tr>
              ))}
            </Table>
          )}
        </Card>
        <Card title="Lanes">
          <Table label="Lanes" head={<><th>Stream</th><th class="n">Held</th><th class="n">Lag</th><th class="n">Events</th></>}>
            {status.lanes.map((lane) => (
              <tr key={lane.lane}>
                <td>{lane.stream}</td>
                <td class="n">{lane.bytes === null ? "–" : bytes(lane.bytes)}</td>
                <td class="n">{lane.lag_seconds === null ? "–" : duration(lane.lag_seconds)}</td>
                <td class="n">{lane.lag_events === null ? "–" : count(lane.lag_events)}</td>
              </tr>
            ))}
          </Table>
        </Card>
        <Card title="Since yesterday, UTC">
          {status.events ? (
            <dl class="pairs">
              <dt>Processed</dt><dd>{count(status.events.read)}</dd>
              <dt>Stored</dt><dd>{count(status.events.stored)}</dd>
              <dt>Duplicates</dt><dd>{count(status.events.duplicate)}</dd>
              <dt>Dead letters</dt><dd>{count(status.events.dead)}</dd>
              <dt>Of erased users</dt><dd>{count(status.events.suppressed)}</dd>
            </dl>
          ) : (
            <Empty title="Not known while PostgreSQL is away." />
          )}
        </Card>
        <Card title="This ingest process">
          <dl class="pairs">
            <dt>State</dt><dd><Tag>{status.process.ready ? "ready" : "not_ready"}</Tag></dd>
            <dt>Running for</dt><dd>{duration(status.process.uptime_seconds)}</dd>
            <dt>Accepted events</dt><dd>{count(status.process.accepted)}</dd>
            <dt>In flight</dt><dd>{bytes(status.process.in_flight_bytes)} of {bytes(status.process.in_flight_limit_bytes)}</dd>
            <dt>Version</dt><dd>{status.process.version}</dd>
          </dl>
        </Card>
      </div>
    </>
  );
}

function FigureCard({ figure, samples }: { figure: Figure; samples: Sample[] }) {
  const values = samples.map(figure.value);
  const now = values.at(-1) ?? null;
  const isBad = now !== null && figure.bad !== undefined && now >= figure.bad;
  return (
    <section class={`card figure ${isBad ? "bad" : ""}`}>
      <h2>{figure.title}</h2>
      <div class="now">{now === null ? "–" : figure.format(now)}</div>
      <Sparkline values={values} steps={SAMPLES} label={figure.title} format={figure.format} least={figure.least} tone={isBad ? "bad" : ""} />
      <div class="hint">{figure.note}</div>
    </section>
  );
}
