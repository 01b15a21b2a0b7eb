// What came of a campaign: its funnel, and each day.
import { get, path } from "../api";
import { count, daysAgo } from "../format";
import { useLoad } from "../loading";
import { DailyPlot } from "../plots/daily";
import { Funnel } from "../plots/funnel";
import { adjust } from "../router";
import { Card, Empty, Show } from "../shell/pieces";
import type { CampaignNumbers, Daily } from "../types";

export const PERIODS: [number, string][] = [
  [7, "7 days"],
  [30, "30 days"],
  [90, "90 days"],
];

const SERIES = [
  { name: "Matches", value: (day: Daily) => day.matches },
  { name: "Impressions", value: (day: Daily) => day.impressions },
  { name: "Clicks", value: (day: Daily) => day.clicks },
  { name: "Dismissals", value: (day: Daily) => day.dismissals },
  { name: "Conversions", value: (day: Daily) => day.conversions },
];

export function Period({ days, onChange }: { days: number; onChange: (days: number) => void }) {
  return (
    <select aria-label="Period" value={String(days)} onChange={(e) => onChange(Number(e.currentTarget.value))}>
      {PERIODS.map(([n, name]) => (
        <option key={n} value={n}>
          The last {name}
        </option>
      ))}
    </select>
  );
}

/** The period that an address asks for. */
export function periodOf(query: URLSearchParams): number {
  const asked = Number(query.get("days"));
  return PERIODS.some(([n]) => n === asked) ? asked : 30;
}

export function Results({ id, query }: { id: string; query: URLSearchParams }) {
  const days = periodOf(query);
  const range = { from: daysAgo(days - 1), to: daysAgo(0) };
  const numbers = useLoad((signal) => get<CampaignNumbers>(path("v1", "analytics", "campaigns", id), { query: range, signal }), [id, days]);
  const nothing = numbers.data?.funnel.every((step) => step.count === 0) && numbers.data.held_out === 0;
  return (
    <>
      <div class="filters">
        <Period days={days} onChange={(n) => adjust(["campaigns", id, "results"], { days: n })} />
      </div>
      <Show loaded={numbers} rows={6}>
        {({ funnel, daily, held_out, dismissals }) => (
          <>
            {nothing && (
              <Empty title="Nothing happened in this time.">
                An active campaign counts here from its first match on. <a href={`#/campaigns/${encodeURIComponent(id)}/preview`}>Preview</a> tells how many it would have matched.
              </Empty>
            )}
            <Card title="Funnel">
              <Funnel steps={funnel} />
              <p class="hint">
                {count(dismissals)} dismissed, {count(held_out)} held out.
              </p>
            </Card>
            <Card title="Each day, UTC">
              <DailyPlot title="Each day of this campaign" rows={daily} series={SERIES} />
            </Card>
          </>
        )}
      </Show>
    </>
  );
}
