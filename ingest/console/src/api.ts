// Calls of the admin API with the key of this tab. Addresses are relative to the page, so a proxy may put both below a path.
import { adminKey, end } from "./session";

/** What was wrong with one field. */
export interface Fault {
  path: string;
  msg: string;
}

/** An answer that is no success, or none at all (status 0). */
export class Refused extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly code = "",
    readonly faults: Fault[] = [],
    readonly retryAfterSeconds = 0,
  ) {
    super(message);
  }
}

export interface Options {
  query?: Record<string, string | number | undefined | null>;
  body?: unknown;
  version?: number;
  accept?: string;
  signal?: AbortSignal;
  /** Another key than the tab's, to try it. */
  key?: string;
}

/** `v1/admin/users/a%2Fb`: each part encoded. */
export function path(...parts: string[]): string {
  return parts.map(encodeURIComponent).join("/");
}

export async function request(method: string, address: string, options: Options = {}): Promise<Response> {
  const key = options.key ?? adminKey() ?? "";
  const headers: Record<string, string> = { Authorization: `Bearer ${key}` };
  if (options.body !== undefined) headers["Content-Type"] = "application/json";
  if (options.version !== undefined) headers["If-Match"] = `"${options.version}"`;
  if (options.accept) headers.Accept = options.accept;
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(options.query ?? {})) {
    if (value !== undefined && value !== null && value !== "") query.set(name, String(value));
  }
  const text = query.toString();
  let response: Response;
  try {
    response = await fetch(text ? `${address}?${text}` : address, {
      method,
      headers,
      body: options.body === undefined ? undefined : JSON.stringify(options.body),
      signal: options.signal,
      credentials: "omit",
      cache: "no-store",
    });
  } catch (error) {
    if ((error as Error).name === "AbortError") throw error;
    throw new Refused(0, "The server does not answer. Is it running, and are you online?");
  }
  if (response.ok) return response;
  const refused = await refusal(response);
  if ((response.status === 401 || response.status === 403) && options.key === undefined && key === adminKey()) {
    end(
      response.status === 401
        ? "The server does not know this key any more: it was revoked or mistyped. Enter an admin key."
        : "This is no admin key: it may send events, but not administer. Enter an admin key.",
    );
  }
  throw refused;
}

export async function call<T>(method: string, address: string, options: Options = {}): Promise<T> {
  const response = await request(method, address, options);
  return (await response.json()) as T;
}

export const get = <T>(address: string, options?: Options) => call<T>("GET", address, options);
export const post = <T>(address: string, body: unknown = {}, options?: Options) =>
  call<T>("POST", address, { ...options, body });

async function refusal(response: Response): Promise<Refused> {
  const retryAfter = Number(response.headers.get("Retry-After")) || 0;
  try {
    const body = (await response.json()) as { message?: string; error?: string; code?: string; details?: Fault[] };
    const faults = Array.isArray(body.details) ? body.details.filter((fault) => typeof fault?.msg === "string") : [];
    const message = body.message ?? body.error ?? `The server answered ${response.status}.`;
    return new Refused(response.status, message, body.code, faults, retryAfter);
  } catch {
    return new Refused(response.status, `The server answered ${response.status}.`, "", [], retryAfter);
  }
}

/** The lines of a streamed answer, without their ends. */
export async function* lines(response: Response): AsyncGenerator<string> {
  if (!response.body) return;
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    const parts = (rest + value).split("\n");
    rest = parts.pop() ?? "";
    for (const line of parts) yield line.replace(/\r$/, "");
  }
  if (rest) yield rest;
}
