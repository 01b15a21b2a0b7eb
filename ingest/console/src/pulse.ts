// How the pipeline is doing, asked every two seconds while the tab is seen, and the last five minutes of it. It goes on while other
// pages are shown, so the plots have no holes when one comes back.
import { useEffect, useState } from "preact/hooks";
import { get, Refused } from "./api";
import { adminKey } from "./session";
import type { Status } from "./types";

const EVERY_MILLISECONDS = 2_000;
/** Five minutes. */
export const SAMPLES = 150;

/** One look. Null is "not known". */
export interface Sample {
  at: number;
  processedPerSecond: number | null;
  acceptedPerSecond: number | null;
  refusedPerSecond: number | null;
  lagEvents: number | null;
  lagSeconds: number | null;
  openLetters: number | null;
  fill: number | null;
}

export interface Pulse {
  status?: Status;
  /** Why the last look failed. */
  error?: string;
  samples: Sample[];
}

let pulse: Pulse = { samples: [] };
let timer: ReturnType<typeof setTimeout> | undefined;
let running = false;
const listeners = new Set<() => void>();

function rate(now: number | undefined, before: number | undefined, seconds: number): number | null {
  if (now === undefined || before === undefined || now < before || seconds <= 0) return null;
  return (now - before) / seconds;
}

/** The sum of what all lanes know; null when one does not. */
function over(status: Status, value: (lane: Status["lanes"][number]) => number | null, join: (a: number, b: number) => number) {
  let sum: number | null = 0;
  for (const lane of status.lanes) {
    const own = value(lane);
    sum = sum === null || own === null ? null : join(sum, own);
  }
  return sum;
}

export function sample(status: Status, before: Status | undefined): Sample {
  const at = Date.parse(status.at);
  const seconds = before ? (at - Date.parse(before.at)) / 1000 : 0;
  const sameProcess = before?.process.id === status.process.id;
  const sameBooks = before?.events?.since === status.events?.since;
  const bytes = over(status, (lane) => lane.bytes, (a, b) => a + b);
  const room = over(status, (lane) => lane.max_bytes, (a, b) => a + b);
  return {
    at,
    processedPerSecond: sameBooks ? rate(status.events?.read, before?.events?.read, seconds) : null,
    acceptedPerSecond: sameProcess ? rate(status.process.accepted, before?.process.accepted, seconds) : null,
    refusedPerSecond: sameProcess ? rate(status.process.refused, before?.process.refused, seconds) : null,
    lagEvents: over(status, (lane) => lane.lag_events, (a, b) => a + b),
    lagSeconds: over(status, (lane) => lane.lag_seconds, Math.max),
    openLetters: status.dead_letters?.open ?? null,
    fill: bytes === null || !room ? null : bytes / room,
  };
}

async function look() {
  try {
    const status = await get<Status>("v1/admin/status");
    // The same answer may be given twice within a second.
    if (status.at !== pulse.status?.at) {
      pulse = { status, samples: [...pulse.samples, sample(status, pulse.status)].slice(-SAMPLES) };
    }
  } catch (error) {
    const message = error instanceof Refused ? error.message : String(error);
    pulse = { ...pulse, error: message };
  }
  listeners.forEach((listener) => listener());
}

async function turn() {
  if (!running) return;
  if (document.visibilityState === "visible" && adminKey()) await look();
  if (running) timer = setTimeout(turn, EVERY_MILLISECONDS);
}

export function startPulse() {
  if (running) return;
  running = true;
  void turn();
}

export function stopPulse() {
  running = false;
  clearTimeout(timer);
  pulse = { samples: [] };
}

export function usePulse(): Pulse {
  const [, again] = useState(0);
  useEffect(() => {
    const listener = () => again((n) => n + 1);
    listeners.add(listener);
    return () => void listeners.delete(listener);
  }, []);
  return pulse;
}
