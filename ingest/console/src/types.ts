// Answers of the admin API, as far as the console reads them. The API itself is described at /docs.

export interface Status {
  at: string;
  events: { since: string; read: number; stored: number; duplicate: number; dead: number; suppressed: number } | null;
  lanes: {
    lane: number;
    stream: string;
    bytes: number | null;
    max_bytes: number | null;
    lag_messages: number | null;
    lag_events: number | null;
    lag_seconds: number | null;
  }[];
  dead_letters: { open: number; oldest_open_seconds: number } | null;
  workers: { name: string; version: string; lane: number; started_at: string; partitions: number }[] | null;
  process: {
    id: string;
    version: string;
    uptime_seconds: number;
    ready: boolean;
    reasons: string[];
    accepted: number;
    refused: number;
    in_flight_bytes: number;
    in_flight_limit_bytes: number;
  };
  unanswered: string[];
}

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
export type Document = { [key: string]: Json };

export interface Campaign extends Document {
  id: string;
  name: string;
  status: string;
  type: string;
  trigger: string | null;
  rules: Json[];
  createdAt: string;
  updatedAt: string;
  _version: number;
}

export interface Change {
  version: number;
  action: string;
  by: string;
  at: string;
  before: Document | null;
  after: Document | null;
  changed: string[];
}

export interface StoredEvent {
  id: string;
  event: string;
  user_id: string;
  type: string;
  anonymous_id: string | null;
  timestamp: string;
  received_at: string;
  source: string;
  properties: Document | null;
  traits?: Document;
}

export interface ListedUser {
  id: string;
  kind: string;
  traits: Document;
  created_at: string;
  updated_at: string;
}

export interface Profile {
  id: string;
  kind: string;
  traits: Document;
  created_at: string | null;
  updated_at: string | null;
  opted_out: boolean;
  links: { anonymous_ids: string[]; user_ids: string[] };
  timeline: { events: StoredEvent[]; next_cursor: string | null };
  matches: {
    event_id: string;
    campaign_id: string;
    campaign_name: string | null;
    campaign_version: number;
    variant: string | null;
    disposition: string;
    at: string;
  }[];
  standing: { campaigns: { id: string; variant: string | null }[]; segments: string[] } | null;
}

export interface Letter {
  id: number;
  event_id: string | null;
  user_id: string | null;
  lane: number;
  stream_seq: number;
  events: number;
  sqlstate: string | null;
  reason: string;
  payload_bytes: number;
  created_at: string;
  received_at: string;
  previous_id: number | null;
  state: "open" | "redriven" | "discarded";
  redriven_at: string | null;
  redriven_by: string | null;
  discarded_at: string | null;
  discarded_by: string | null;
  discard_reason: string | null;
}

export interface OpenedLetter extends Letter {
  payload: string;
  payload_encoding: "text" | "base64";
}

export interface Handled {
  dry_run: boolean;
  matched: number;
  letters: number;
  events: number;
  passed_over: { id: number; why: string }[];
  passed_over_total: number;
  next_cursor: string | null;
}

export interface Key {
  id: string;
  name: string;
  role: "client" | "admin";
  created_at: string;
  revoked_at: string | null;
  limits: { events_per_second: number | null; bytes_per_second: number | null; burst_seconds: number | null };
  identity_verification: boolean;
  key?: string;
  identity_secret?: string;
}

export interface Daily {
  date: string;
  matches: number;
  impressions: number;
  clicks: number;
  dismissals: number;
  conversions: number;
}

export interface CampaignNumbers {
  from: string;
  to: string;
  held_out: number;
  dismissals: number;
  funnel: { step: string; count: number; rate_of_previous: number | null; rate_of_first: number | null }[];
  daily: Daily[];
}

export interface Backtest {
  complete: boolean;
  complete_until?: string;
  from: string;
  to: string;
  events: number;
  matched_events: number;
  matched_users: number;
  daily: { date: string; events: number; matched_events: number; matched_users: number }[];
  suppressed: Record<string, number>;
  elapsed_seconds: number;
  notes: string[];
}

export interface Explained {
  campaign: { id: string | null; name: string; version: number | null; status: string | null };
  as_of: string;
  decision: string;
  reason?: string;
  summary: string;
  trigger: { expected: string[]; seen: string | null; pass: boolean | null };
  rules: ExplainedRule;
  checks: { check: string; pass: boolean | null; detail: string }[];
  priority?: { value: number; place: number; of: number; before: { id: string; name: string }[] };
  recorded?: Document;
  notes?: string[];
}

export type ExplainedRule =
  | { all: ExplainedRule[]; pass?: boolean | null }
  | { any: ExplainedRule[]; pass?: boolean | null }
  | { not: ExplainedRule | ExplainedRule[]; pass?: boolean | null }
  | { text: string; source: string; field?: string; operator?: string; expected?: Json; seen?: Json; pass: boolean | null };
