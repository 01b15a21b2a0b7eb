// A small line over the last minutes. Holes are where nothing is known.
import { useState } from "preact/hooks";

interface Props {
  /** Oldest first, one per step; null is not known. */
  values: (number | null)[];
  /** How many steps the width stands for. */
  steps: number;
  label: string;
  format: (value: number) => string;
  /** The least that the height stands for, so that noise near zero stays small. */
  least?: number;
  tone?: string;
}

const WIDTH = 300;
const HEIGHT = 56;

export function Sparkline({ values, steps, label, format, least = 1, tone = "" }: Props) {
  const [at, setAt] = useState<number | null>(null);
  const known = values.filter((value): value is number => value !== null);
  const top = Math.max(least, ...known);
  const x = (n: number) => ((steps - values.length + n) / Math.max(1, steps - 1)) * WIDTH;
  const y = (value: number) => HEIGHT - 3 - (value / top) * (HEIGHT - 8);
  const runs = split(values);
  const last = known.at(-1);
  const text = last === undefined ? `${label}: not known` : `${label}: ${format(last)} now, at most ${format(Math.max(...known))} in the last minutes`;
  const seen = at === null ? null : values[at];
  const point = (event: PointerEvent) => {
    const box = (event.currentTarget as Element).getBoundingClientRect();
    const n = Math.round(((event.clientX - box.left) / box.width) * (steps - 1)) - (steps - values.length);
    setAt(n >= 0 && n < values.length ? n : null);
  };
  return (
    <div class={`sparkline ${tone}`}>
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label={text} onPointerMove={point} onPointerLeave={() => setAt(null)}>
        <line class="floor" x1="0" x2={WIDTH} y1={HEIGHT - 3} y2={HEIGHT - 3} />
        {runs.map(([start, run]) => (
          <g key={start}>
            <path class="area" d={`M${x(start)} ${HEIGHT - 3}${run.map((v, n) => `L${x(start + n)} ${y(v)}`).join("")}L${x(start + run.length - 1)} ${HEIGHT - 3}Z`} />
            <path class="line" d={run.map((v, n) => `${n ? "L" : "M"}${x(start + n)} ${y(v)}`).join("") + (run.length === 1 ? "h0.01" : "")} />
          </g>
        ))}
        {at !== null && <line class="cursor" x1={x(at)} x2={x(at)} y1="0" y2={HEIGHT} />}
      </svg>
      <span class="most" aria-hidden="true">
        {seen === null || seen === undefined ? format(top) : format(seen)}
      </span>
    </div>
  );
}

/** Stretches without holes, each with its beginning. */
function split(values: (number | null)[]): [number, number[]][] {
  const runs: [number, number[]][] = [];
  values.forEach((value, n) => {
    if (value === null) return;
    const before = runs.at(-1);
    if (before && before[0] + before[1].length === n) before[1].push(value);
    else runs.push([n, [value]]);
  });
  return runs;
}
