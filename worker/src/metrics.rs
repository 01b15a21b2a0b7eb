//! Every metric of the worker: one documented function each, so that the names live in one list.
//!
//! Counters are raised after the COMMIT that made them true. Invariant, asserted by a test: read = stored + duplicate + dead +
//! suppressed. After a commit whose answer was lost the counters miss that flush; the ledger in the database does not.

use std::time::Duration;

use metrics::{counter, gauge, histogram};
use shared::domain::outcome::Tally;
use shared::store::failure;

/// Name, kind and meaning of each metric, for `/metrics` and the README's table.
pub static ALL: [(&str, &str, &str); 49] = [
    (
        "worker_events_read_total",
        "counter",
        "events of owned partitions read from the stream and committed, whatever their outcome",
    ),
    ("worker_events_stored_total", "counter", "of these: new rows"),
    ("worker_events_duplicate_total", "counter", "of these: stored before"),
    ("worker_events_dead_lettered_total", "counter", "of these: put aside with a reason"),
    ("worker_events_suppressed_total", "counter", "of these: dropped on purpose, of an erased user"),
    ("worker_matches_total", "counter", "matches written"),
    ("worker_flush_seconds", "histogram", "one flush, from its first statement to the COMMIT"),
    ("worker_flush_events", "histogram", "events in one flush"),
    ("worker_flush_rows", "histogram", "new rows of one flush"),
    ("worker_flush_bytes", "histogram", "bytes of events in one flush"),
    ("worker_retries_total", "counter", "steps tried again, by `cause`: database, fence, stream, attach"),
    ("worker_partition_changes_total", "counter", "partitions that changed hands, by `event`: claimed, released, lost"),
    ("worker_owned_partitions", "gauge", "partitions held by an `owner` of this process"),
    (
        "worker_lag_events",
        "gauge",
        "events an `owner` has before it: read but not flushed, and an estimate of those not read",
    ),
    (
        "worker_lag_seconds",
        "gauge",
        "age of the oldest message whose events an `owner` has not committed; 0 when there is none",
    ),
    (
        "worker_halted",
        "gauge",
        "1 while an owner is halted because going on would skip or misread events: a person must act",
    ),
    ("worker_database_connections", "gauge", "connections of the pool for jobs and checks, by `state`: idle, in_use"),
    ("worker_database_errors_total", "counter", "statements that failed, by `class` (`shared/src/store/failure.rs`)"),
    ("worker_catalog_version", "gauge", "version of the campaigns in force; -1 before the first read"),
    ("worker_inert_documents", "gauge", "campaigns, segments and flags that are malformed and do nothing"),
    ("worker_build_info", "gauge", "1, with the `version` of this build"),
    (
        "pipeline_lag_events",
        "gauge",
        "events not yet processed, over all partitions (messages behind the slowest, times events per message)",
    ),
    ("pipeline_lag_seconds", "gauge", "age of the oldest message not yet processed, over all partitions"),
    ("dead_letters_open", "gauge", "events put aside that were neither driven again nor discarded"),
    (
        "dead_letters_oldest_open_seconds",
        "gauge",
        "how long ago the oldest of these was put aside; 0 when there is none",
    ),
    ("erasures_sweeping", "gauge", "erasures in force whose stored data is not swept up yet"),
    ("erasures_oldest_sweeping_seconds", "gauge", "how long ago the oldest of these took effect; 0 when there is none"),
    ("erasures_provisional", "gauge", "erasures that wait for the stream to be trimmed, or for old backups to go"),
    (
        "pipeline_audit_imbalance",
        "gauge",
        "events by which the books did not balance at the last look of the continuous audit; must be 0",
    ),
    ("events_oldest_day_seconds", "gauge", "how long ago the oldest day of which there are events began"),
    (
        "events_next_drop_seconds",
        "gauge",
        "in how long the oldest day that is not held is dropped for its age; 0: at the next look",
    ),
    ("events_bytes", "gauge", "bytes of all events in the database, with indexes"),
    ("events_day_bytes", "gauge", "… of one day: the mean of the last seven full ones"),
    ("events_held_days", "gauge", "days that are held: kept although they are older than the retention"),
    (
        "retention_waiting_days",
        "gauge",
        "days that are taken out of `events` and still there: their export fails, or the database has not let go yet",
    ),
    (
        "retention_clock_doubted",
        "gauge",
        "1 while the clock may be wrong, so that nothing is dropped: a person must look",
    ),
    ("retention_days_dropped_total", "counter", "days that this process has dropped, by `why`: age, bytes"),
    ("archive_failures_total", "counter", "exports of a day by this process that failed; the day stays"),
    (
        "webhook_attempts_total",
        "counter",
        "messages to receivers that this process tried to send, by `outcome`: delivered, failed (and tried again), given_up, cancelled (the event is gone), interrupted",
    ),
    ("webhook_attempt_seconds", "histogram", "one attempt, from the name's resolution to the answer"),
    (
        "webhook_pending",
        "gauge",
        "messages that are still to be sent, of webhooks that are neither paused nor disabled",
    ),
    ("webhook_oldest_pending_seconds", "gauge", "how long ago the oldest of these was written; 0 when there is none"),
    ("webhook_held", "gauge", "messages that wait because their webhook is paused, disabled or gone"),
    (
        "webhook_paused_endpoints",
        "gauge",
        "webhooks that are paused after failures in a row: a person must look, and resume them",
    ),
    ("stream_bytes", "gauge", "bytes in the stream of a `lane`"),
    ("stream_max_bytes", "gauge", "bytes that stream may hold"),
    (
        "stream_replay_window_seconds",
        "gauge",
        "age of the oldest message still in that stream: how far back a replay can go",
    ),
    (
        "backup_age_seconds",
        "gauge",
        "age of what a restore would bring back: the newest backup, or the newest archived WAL after a base backup; infinite without any",
    ),
    (
        "backup_missing_messages",
        "gauge",
        "processed messages that were trimmed since that backup: what a restore would lose for good; must be 0",
    ),
];

/// Describes all metrics, and lets every counter start at zero, so that a first increase is seen.
pub fn start(build_version: &'static str) {
    for (name, kind, meaning) in ALL {
        match kind {
            "counter" => metrics::describe_counter!(name, meaning),
            "gauge" => metrics::describe_gauge!(name, meaning),
            _ => metrics::describe_histogram!(name, meaning),
        }
    }
    flushed(Tally::default(), 0);
    for cause in ["database", "fence", "stream", "attach"] {
        counter!("worker_retries_total", "cause" => cause).increment(0);
    }
    for event in ["claimed", "released", "lost"] {
        counter!("worker_partition_changes_total", "event" => event).increment(0);
    }
    for why in ["age", "bytes"] {
        counter!("retention_days_dropped_total", "why" => why).increment(0);
    }
    counter!("archive_failures_total").increment(0);
    for outcome in ["delivered", "failed", "given_up", "cancelled", "interrupted"] {
        counter!("webhook_attempts_total", "outcome" => outcome).increment(0);
    }
    failure::count_as("worker_database_errors_total");
    halted(false);
    gauge!("worker_build_info", "version" => build_version).set(1.0);
}

/// Events by outcome, and matches written, of one committed flush.
pub fn flushed(tally: Tally, matches: u64) {
    counter!("worker_events_read_total").increment(tally.read());
    counter!("worker_events_stored_total").increment(tally.stored);
    counter!("worker_events_duplicate_total").increment(tally.duplicate);
    counter!("worker_events_dead_lettered_total").increment(tally.dead);
    counter!("worker_events_suppressed_total").increment(tally.suppressed);
    counter!("worker_matches_total").increment(matches);
}

/// Erasures that are not swept yet with the age of the oldest, and those that are not final.
pub fn erasures(sweeping: u64, oldest: Duration, provisional: u64) {
    gauge!("erasures_sweeping").set(precise(sweeping));
    gauge!("erasures_oldest_sweeping_seconds").set(oldest.as_secs_f64());
    gauge!("erasures_provisional").set(precise(provisional));
}

/// The shape of one committed flush.
pub fn flush(took: Duration, events: usize, bytes: usize, rows: u64) {
    histogram!("worker_flush_seconds").record(took);
    histogram!("worker_flush_events").record(precise(events as u64));
    histogram!("worker_flush_bytes").record(precise(bytes as u64));
    histogram!("worker_flush_rows").record(precise(rows));
}

/// A step that is tried again, by what was in the way.
pub fn retry(cause: &'static str) {
    counter!("worker_retries_total", "cause" => cause).increment(1);
}

/// Partitions that changed hands: `claimed`, `released` (given back) or `lost` (found with someone else).
pub fn partitions_changed(event: &'static str, count: usize) {
    counter!("worker_partition_changes_total", "event" => event).increment(count as u64);
}

/// Partitions that an owner holds.
pub fn owned(owner: &str, partitions: usize) {
    gauge!("worker_owned_partitions", "owner" => owner.to_owned()).set(precise(partitions as u64));
}

/// Events that wait for an owner, and how long the oldest has waited.
pub fn owner_lag(owner: &str, events: u64, oldest: Duration) {
    gauge!("worker_lag_events", "owner" => owner.to_owned()).set(precise(events));
    gauge!("worker_lag_seconds", "owner" => owner.to_owned()).set(oldest.as_secs_f64());
}

/// How old the newest backup is (`None`: there is none), and how many messages since then are not in the streams any more.
pub fn backups(age: Option<Duration>, missing_messages: u64) {
    gauge!("backup_age_seconds").set(age.map_or(f64::INFINITY, |age| age.as_secs_f64()));
    gauge!("backup_missing_messages").set(precise(missing_messages));
}

/// Whether an owner is halted.
pub fn halted(yes: bool) {
    gauge!("worker_halted").set(if yes { 1.0 } else { 0.0 });
}

/// The campaigns, segments and flags in force.
pub fn catalog(version: i64, inert: usize) {
    #[expect(clippy::cast_precision_loss, reason = "gauges")]
    let (version, inert) = (version as f64, inert as f64);
    gauge!("worker_catalog_version").set(version);
    gauge!("worker_inert_documents").set(inert);
}

/// How far processing is behind, over all partitions. Each worker reports the same figures.
pub fn pipeline_lag(events: u64, oldest: Duration) {
    gauge!("pipeline_lag_events").set(precise(events));
    gauge!("pipeline_lag_seconds").set(oldest.as_secs_f64());
}

/// Dead letters that wait for a person. Each worker reports the same figures.
pub fn dead_letters(open: u64, oldest: Duration) {
    gauge!("dead_letters_open").set(precise(open));
    gauge!("dead_letters_oldest_open_seconds").set(oldest.as_secs_f64());
}

/// What the continuous audit found at its last look. Each worker reports the same figure.
pub fn audit(imbalance: i64) {
    gauge!("pipeline_audit_imbalance").set(precise(u64::try_from(imbalance).unwrap_or(0)));
}

/// What is kept of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// How long ago the oldest day began.
    pub oldest_seconds: i64,
    /// In how long a day is dropped for its age.
    pub next_drop_seconds: i64,
    /// All days.
    pub bytes: u64,
    /// A full day.
    pub bytes_per_day: u64,
    /// Days that are out of `events` and not dropped.
    pub waiting: usize,
    /// Days that are held.
    pub held: usize,
    /// The clock may be wrong.
    pub clock_doubted: bool,
}

/// What is kept of events. Each worker reports the same figures, but for the clock, which each compares with its own.
pub fn kept(kept: Kept) {
    let signed = |n: i64| precise(u64::try_from(n).unwrap_or(0));
    gauge!("events_oldest_day_seconds").set(signed(kept.oldest_seconds));
    gauge!("events_next_drop_seconds").set(signed(kept.next_drop_seconds));
    gauge!("events_bytes").set(precise(kept.bytes));
    gauge!("events_day_bytes").set(precise(kept.bytes_per_day));
    gauge!("events_held_days").set(precise(kept.held as u64));
    gauge!("retention_waiting_days").set(precise(kept.waiting as u64));
    gauge!("retention_clock_doubted").set(if kept.clock_doubted { 1.0 } else { 0.0 });
}

/// A day was dropped.
pub fn day_dropped(why: &'static str) {
    counter!("retention_days_dropped_total", "why" => why).increment(1);
}

/// A day could not be exported.
pub fn archive_failed() {
    counter!("archive_failures_total").increment(1);
}

/// A message was sent, or was not.
pub fn webhook_attempt(outcome: &'static str) {
    counter!("webhook_attempts_total", "outcome" => outcome).increment(1);
}

/// How long an attempt took.
pub fn webhook_took(took: Duration) {
    histogram!("webhook_attempt_seconds").record(took);
}

/// Messages that wait to be sent with the age of the oldest, those that are held, and paused endpoints. Each worker reports the same
/// figures.
pub fn webhooks(pending: u64, oldest: Duration, held: u64, paused: u64) {
    gauge!("webhook_pending").set(precise(pending));
    gauge!("webhook_oldest_pending_seconds").set(oldest.as_secs_f64());
    gauge!("webhook_held").set(precise(held));
    gauge!("webhook_paused_endpoints").set(precise(paused));
}

/// How full a lane's stream is, and how far back it reaches.
pub fn stream(lane: u16, bytes: u64, max_bytes: i64, replay_window: Duration) {
    let lane = lane.to_string();
    gauge!("stream_bytes", "lane" => lane.clone()).set(precise(bytes));
    gauge!("stream_max_bytes", "lane" => lane.clone()).set(precise(u64::try_from(max_bytes).unwrap_or(0)));
    gauge!("stream_replay_window_seconds", "lane" => lane).set(replay_window.as_secs_f64());
}

/// Connections of the pool.
pub fn pool(size: u32, idle: usize) {
    let idle = precise(idle as u64);
    gauge!("worker_database_connections", "state" => "idle").set(idle);
    gauge!("worker_database_connections", "state" => "in_use").set(f64::from(size) - idle);
}

#[expect(clippy::cast_precision_loss, reason = "gauges are doubles; nothing here reaches 2^53")]
fn precise(n: u64) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_carry_their_unit_and_counters_say_total() {
        for (name, kind, _) in ALL {
            assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
        }
    }
}
