//! Every metric of the worker: one documented function each, so that the names live in one list.
//!
//! Counters are raised after the COMMIT that made them true. Invariant, asserted by a test: read = stored + duplicate + dead +
//! suppressed.

use std::time::Duration;

use metrics::{counter, gauge, histogram};
use shared::domain::outcome::Tally;

/// Lets every counter start at zero, so that a first increase is seen.
pub fn start(build_version: &'static str) {
    flushed(Tally::default(), 0);
    for class in ["database", "fence", "stream", "attach"] {
        counter!("worker_retries_total", "cause" => class).increment(0);
    }
    for event in ["claimed", "released", "lost"] {
        counter!("worker_partition_changes_total", "event" => event).increment(0);
    }
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

/// One flush: how long it took, from the first statement to the COMMIT, and how many events it held.
pub fn flush(took: Duration, events: usize) {
    histogram!("worker_flush_seconds").record(took);
    histogram!("worker_flush_events").record(precise(events as u64));
}

/// A step that is tried again, by what was in the way: `database`, `fence`, `stream` or `attach`.
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

/// Events of an owner that wait: those read but not flushed, and an estimate (messages behind, times the mean of events per message)
/// of those not read yet.
pub fn owner_lag(owner: &str, events: u64) {
    gauge!("worker_lag_events", "owner" => owner.to_owned()).set(precise(events));
}

/// 1 while an owner is halted because going on would skip or misread events.
pub fn halted(yes: bool) {
    gauge!("worker_halted").set(if yes { 1.0 } else { 0.0 });
}

/// Over all partitions: events not yet processed (messages behind the slowest partition, times the mean of events per message), and the
/// age in seconds of the oldest message not yet processed. Each worker reports the same figures.
pub fn pipeline_lag(events: u64, oldest: Duration) {
    gauge!("pipeline_lag_events").set(precise(events));
    gauge!("pipeline_lag_seconds").set(oldest.as_secs_f64());
}

/// How full a lane's stream is, and how many seconds of processed messages it still holds (the replay window).
pub fn stream(lane: u16, bytes: u64, max_bytes: i64, replay_window: Duration) {
    let lane = lane.to_string();
    gauge!("stream_bytes", "lane" => lane.clone()).set(precise(bytes));
    gauge!("stream_max_bytes", "lane" => lane.clone()).set(precise(u64::try_from(max_bytes).unwrap_or(0)));
    gauge!("stream_replay_window_seconds", "lane" => lane).set(replay_window.as_secs_f64());
}

/// Connections of the database pool, and how many of them are idle.
pub fn pool(size: u32, idle: usize) {
    gauge!("worker_database_connections").set(f64::from(size));
    gauge!("worker_database_connections_idle").set(precise(idle as u64));
}

#[expect(clippy::cast_precision_loss, reason = "gauges are doubles; nothing here reaches 2^53")]
fn precise(n: u64) -> f64 {
    n as f64
}
