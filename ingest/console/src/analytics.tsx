// Counts over all campaigns, what happens each day, and which events are most frequent.
import { get } from "./api";
import { count, daysAgo, perCent } from "./format";
import { useLoad } from "./loading";
import { DailyPlot } from "./plots/daily";
import { Period, periodOf } from "./campaigns/results";
import { adjust } from "./router";
import { Card, Empty, Page, Show, Table } from "./shell/pieces";
import type { Daily } from "./types";

interface Totals {
  totalCampaigns: number;
  activeCampaigns: number;
  totalEvents: number;
  totalUsers: number;
  matches: number;
  impressions: number;
  clicks: number;
  conversions: number;
  dismissals: number;
  ctr: number | string;
  conversionRate: number | string;
}

type Day = Daily & { events: number; active_users: number };

const PEOPLE = [
  { name: "Active users", value: (day: Day) => day.active_users },
  { name: "Events", value: (day: Day) => day.events },
];
const CAMPAIGNS = [
  { name: "Matches", value: (day: Day) => day.matches },
  { name: "Impressions", value: (day: Day) => day.impressions },
  { name: "Clicks", value: (day: Day) => day.clicks },
  { name: "Dismissals", value: (day: Day) => day.dismissals },
  { name: "Conversions", value: (day: Day) => day.conversions },
];

export function Analytics({ query }: { query: URLSearchParams }) {
  const days = periodOf(query);
  const range = { from: daysAgo(days - 1), to: daysAgo(0) };
  const totals = useLoad((signal) => get<Totals>("v1/analytics/overview", { signal }), []);
  const daily = useLoad((signal) => get<{ daily: Day[] }>("v1/analytics/daily", { query: range, signal }), [days]);
  const top = useLoad((signal) => get<{ events: { name: string; count: number }[]; other: number; total: number }>("v1/analytics/events", { query: { ...range, limit: 20 }, signal }), [days]);
  return (
    <Page title="Analytics" lead="Counted by the day that events are filed under, UTC." actions={<Period days={days} onChange={(n) => adjust(["analytics"], { days: n })} />}>
      <Show loaded={totals}>
        {(t) => (
          <dl class="totals">
            {(
              [
                ["Active campaigns", `${count(t.activeCampaigns)} of ${count(t.totalCampaigns)}`],
                ["Users", count(t.totalUsers)],
                ["Events", count(t.totalEvents)],
                ["Matches", count(t.matches)],
                ["Impressions", count(t.impressions)],
                ["Clicks", `${count(t.clicks)} (${Number(t.ctr)} %)`],
                ["Conversions", `${count(t.conversions)} (${Number(t.conversionRate)} %)`],
                ["Dismissals", count(t.dismissals)],
              ] as const
            ).map(([name, value]) => (
              <div key={name}>
                <dt>{name}</dt>
                <dd>{value}</dd>
              </div>
            ))}
          </dl>
        )}
      </Show>
      <Show loaded={daily} rows={6}>
        {(answer) => (
          <>
            <Card title="People and events">
              <DailyPlot title="Active users and events each day" rows={answer.daily} series={PEOPLE} />
            </Card>
            <Card title="Campaigns">
              <DailyPlot title="Campaigns each day" rows={answer.daily} series={CAMPAIGNS} />
            </Card>
          </>
        )}
      </Show>
      <Card title="Most frequent events">
        <Show loaded={top}>
          {({ events, other, total }) =>
            events.length === 0 ? (
              <Empty title="No events in this time." />
            ) : (
              <Table label="Most frequent events" head={<><th>Event</th><th class="n">Count</th><th class="n">Share</th></>}>
                {[...events, ...(other > 0 ? [{ name: "All others", count: other }] : [])].map((event) => (
                  <tr key={event.name}>
                    <td>{event.name}</td>
                    <td class="n">{count(event.count)}</td>
                    <td class="n">{perCent(total ? event.count / total : 0)}</td>
                  </tr>
                ))}
              </Table>
            )
          }
        </Show>
      </Card>
    </Page>
  );
}
