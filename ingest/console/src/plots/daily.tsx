// Lines over days, with an axis, a legend, the day under the pointer or chosen with the arrow keys, and the same numbers as a table.
import { useRef, useState } from "preact/hooks";
import { compact, count, day } from "../format";
import { Table } from "../shell/pieces";

export interface Series<Row> {
  name: string;
  value: (row: Row) => number;
}

interface Props<Row> {
  title: string;
  rows: Row[];
  series: Series<Row>[];
}

const WIDTH = 720;
const HEIGHT = 220;
const LEFT = 44;
const RIGHT = 10;
const TOP = 10;
const BOTTOM = 24;

export function DailyPlot<Row extends { date: string }>({ title, rows, series }: Props<Row>) {
  const [at, setAt] = useState<number | null>(null);
  const svg = useRef<SVGSVGElement>(null);
  const top = ceiling(Math.max(0, ...rows.flatMap((row) => series.map((s) => s.value(row)))));
  const step = (WIDTH - LEFT - RIGHT) / Math.max(1, rows.length - 1);
  const x = (n: number) => (rows.length === 1 ? (WIDTH + LEFT) / 2 : LEFT + n * step);
  const y = (value: number) => HEIGHT - BOTTOM - (value / top) * (HEIGHT - TOP - BOTTOM);
  const every = Math.max(1, Math.ceil(rows.length / 7));
  const row = at === null ? undefined : rows[at];
  const point = (event: PointerEvent) => {
    const box = svg.current?.getBoundingClientRect();
    if (!box) return;
    const n = Math.round(((event.clientX - box.left) * (WIDTH / box.width) - LEFT) / step);
    setAt(Math.max(0, Math.min(rows.length - 1, n)));
  };
  const move = (event: KeyboardEvent) => {
    const by = { ArrowLeft: -1, ArrowRight: 1, Home: -rows.length, End: rows.length }[event.key];
    if (by === undefined) return;
    event.preventDefault();
    setAt(Math.max(0, Math.min(rows.length - 1, (at ?? rows.length - 1) + (at === null && Math.abs(by) === 1 ? 0 : by))));
  };
  const says = (r: Row) => `${day(r.date)}: ${series.map((s) => `${s.name} ${count(s.value(r))}`).join(", ")}`;
  return (
    <figure class="daily">
      <ul class="legend">
        {series.map((s, n) => (
          <li key={s.name}>
            <svg width="22" height="8" aria-hidden="true">
              <line class={`series s${n}`} x1="1" x2="21" y1="4" y2="4" />
            </svg>
            {s.name}
            {row && <b>{count(s.value(row))}</b>}
          </li>
        ))}
        <li class="chosen">{row ? day(row.date) : ""}</li>
      </ul>
      <div
        class="plot"
        role="slider"
        tabIndex={0}
        aria-label={`${title}: choose a day`}
        aria-valuemin={0}
        aria-valuemax={Math.max(0, rows.length - 1)}
        aria-valuenow={at ?? Math.max(0, rows.length - 1)}
        aria-valuetext={says(row ?? (rows.at(-1) as Row))}
        onKeyDown={move}
        onBlur={() => setAt(null)}
      >
        <svg ref={svg} viewBox={`0 0 ${WIDTH} ${HEIGHT}`} aria-hidden="true" onPointerMove={point} onPointerLeave={() => setAt(null)}>
          {[0, 0.25, 0.5, 0.75, 1].map((part) => (
            <g key={part}>
              <line class="grid" x1={LEFT} x2={WIDTH - RIGHT} y1={y(top * part)} y2={y(top * part)} />
              {(part === 0 || part === 0.5 || part === 1) && (
                <text x={LEFT - 6} y={y(top * part) + 4} text-anchor="end">
                  {compact(top * part)}
                </text>
              )}
            </g>
          ))}
          {rows.map((r, n) =>
            (rows.length - 1 - n) % every === 0 ? (
              <text key={r.date} x={Math.min(x(n), WIDTH - RIGHT - 16)} y={HEIGHT - 6} text-anchor="middle">
                {day(r.date)}
              </text>
            ) : null,
          )}
          {series.map((s, k) => (
            <path key={s.name} class={`series s${k}`} d={rows.map((r, n) => `${n ? "L" : "M"}${x(n).toFixed(1)} ${y(s.value(r)).toFixed(1)}`).join("") + (rows.length === 1 ? "h0.01" : "")} />
          ))}
          {at !== null && row && (
            <>
              <line class="cursor" x1={x(at)} x2={x(at)} y1={TOP} y2={HEIGHT - BOTTOM} />
              {series.map((s, k) => (
                <circle key={s.name} class={`dot s${k}`} cx={x(at)} cy={y(s.value(row))} r="4" />
              ))}
            </>
          )}
        </svg>
      </div>
      <details>
        <summary>The same as a table</summary>
        <Table
          label={title}
          class="numbers"
          head={
            <>
              <th>Day</th>
              {series.map((s) => (
                <th key={s.name} class="n">
                  {s.name}
                </th>
              ))}
            </>
          }
        >
          {[...rows].reverse().map((r) => (
            <tr key={r.date}>
              <td>{r.date}</td>
              {series.map((s) => (
                <td key={s.name} class="n">
                  {count(s.value(r))}
                </td>
              ))}
            </tr>
          ))}
        </Table>
      </details>
    </figure>
  );
}

/** The next 1, 2 or 5 with zeros, and at least 4: whole quarters of it are whole numbers there. */
function ceiling(value: number): number {
  if (value <= 4) return 4;
  const ten = 10 ** Math.floor(Math.log10(value));
  return ([1, 2, 4, 5, 8, 10].find((n) => n * ten >= value) ?? 10) * ten;
}
