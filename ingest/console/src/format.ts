// Numbers, sizes and times for people.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const one = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

export function count(n: number): string {
  return whole.format(n);
}

/** 1.2K: for axes and small plots. */
export function compact(n: number): string {
  return Math.abs(n) < 1000 ? one.format(n) : short.format(n);
}

/** `40 %` of a rate from 0 to 1. */
export function perCent(rate: number): string {
  return `${rate > 0 && rate < 0.1 ? one.format(rate * 100) : whole.format(rate * 100)} %`;
}

export function bytes(n: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (n >= 1024 && unit < units.length - 1) {
    n /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? whole.format(n) : one.format(n)} ${units[unit]}`;
}

/** `1.5 s`, `4 min`, `3 h`, `12 d`. */
export function duration(seconds: number): string {
  if (seconds < 10) return `${one.format(seconds)} s`;
  if (seconds < 120) return `${whole.format(seconds)} s`;
  if (seconds < 7_200) return `${whole.format(seconds / 60)} min`;
  if (seconds < 172_800) return `${whole.format(seconds / 3_600)} h`;
  return `${whole.format(seconds / 86_400)} d`;
}

export function relative(time: number, now: number): string {
  const seconds = (now - time) / 1000;
  if (Math.abs(seconds) < 5) return "just now";
  return seconds < 0 ? `in ${duration(-seconds)}` : `${duration(Math.floor(seconds))} ago`;
}

export function exact(time: number): string {
  const local = new Date(time).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "medium" });
  return `${local} (${new Date(time).toISOString()})`;
}

/** `3 Mar` of `2026-03-03`. */
export function day(date: string): string {
  return new Date(`${date}T00:00:00Z`).toLocaleDateString("en-GB", { day: "numeric", month: "short", timeZone: "UTC" });
}

/** A day as `YYYY-MM-DD`, so many days ago, UTC. */
export function daysAgo(days: number): string {
  return new Date(Date.now() - days * 86_400_000).toISOString().slice(0, 10);
}

export function plural(n: number, one: string, many = `${one}s`): string {
  return `${count(n)} ${n === 1 ? one : many}`;
}
