// How many are left at each step.
import { compact, count, perCent } from "../format";
import type { CampaignNumbers } from "../types";

const NAMES: Record<string, string> = { matches: "Matches", impressions: "Impressions", clicks: "Clicks", conversions: "Conversions" };

/** Apps may report more than was matched: of days before, or without having asked. */
function part(rate: number, of: string): string {
  return rate > 1 ? `${compact(rate)} times the ${of}` : `${perCent(rate)} of ${of}`;
}

export function Funnel({ steps }: { steps: CampaignNumbers["funnel"] }) {
  const most = Math.max(1, ...steps.map((step) => step.count));
  return (
    <ol class="funnel">
      {steps.map((step, n) => (
        <li key={step.step}>
          <span class="name">{NAMES[step.step] ?? step.step}</span>
          <span class="track" aria-hidden="true">
            <svg viewBox="0 0 100 10" preserveAspectRatio="none">
              <rect class={`s${n}`} width={(step.count / most) * 100} height="10" />
            </svg>
          </span>
          <span class="n">{count(step.count)}</span>
          <span class="rate">
            {n > 0 && steps[n - 1]!.count > 0 ? part(step.rate_of_previous ?? 0, steps[n - 1]!.step) : ""}
          </span>
        </li>
      ))}
    </ol>
  );
}
