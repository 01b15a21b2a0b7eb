//! What one key may send: events and bytes per second, each with a burst. Reads count as one event.
//!
//! A key of the table may have its own [`Allowance`]; others have that of the settings. The meter outlives each reading of the
//! table, so that a refresh fills no bucket.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::bucket::{Bucket, Rate};
use super::quota::Quota;
use crate::problem::{Kind, Problem};

/// The largest limit that can be set.
pub const MOST_PER_SECOND: u64 = 1 << 40;
/// The log names a key that is over its limit this often at most.
const QUIET: Duration = Duration::from_secs(60);

/// What a key may use; 0 is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// Events and reads.
    pub events_per_second: u64,
    /// Of bodies, decompressed.
    pub bytes_per_second: u64,
    /// So many seconds' worth may come at once.
    pub burst_seconds: u32,
}

impl Allowance {
    /// No limit.
    pub const UNLIMITED: Self = Self { events_per_second: 0, bytes_per_second: 0, burst_seconds: 1 };
}

/// The limits that the table holds for a key; what is absent is as in the settings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "as in `Allowance`")]
pub struct OwnAllowance {
    pub events_per_second: Option<u64>,
    pub bytes_per_second: Option<u64>,
    pub burst_seconds: Option<u32>,
}

impl OwnAllowance {
    /// Filled up.
    #[must_use]
    pub fn or(self, default: Allowance) -> Allowance {
        Allowance {
            events_per_second: self.events_per_second.unwrap_or(default.events_per_second),
            bytes_per_second: self.bytes_per_second.unwrap_or(default.bytes_per_second),
            burst_seconds: self.burst_seconds.unwrap_or(default.burst_seconds),
        }
    }
}

/// The meter of one key.
#[derive(Debug)]
pub struct Meter {
    allowance: Allowance,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Of events, then of bytes.
    buckets: [Option<Bucket>; 2],
    named_at: Option<Instant>,
}

impl Meter {
    /// A fresh one, full.
    #[must_use]
    pub fn new(allowance: Allowance) -> Self {
        let now = Instant::now();
        let full = |per_second| Rate::new(per_second, allowance.burst_seconds).map(|rate| Bucket::full(rate, now));
        let buckets = [full(allowance.events_per_second), full(allowance.bytes_per_second)];
        Self { allowance, state: Mutex::new(State { buckets, named_at: None }) }
    }

    /// What it allows.
    #[must_use]
    pub fn allowance(&self) -> Allowance {
        self.allowance
    }

    /// Is there anything left at all? Asked before a body is read.
    pub fn admit(&self, source: &str) -> Result<(), Problem> {
        self.spend(0, 0, source)
    }

    /// Counts a request: all of it, or, when the key has nothing left, nothing.
    pub fn spend(&self, events: usize, bytes: usize, source: &str) -> Result<(), Problem> {
        self.spend_at(Instant::now(), [events, bytes], source)
    }

    fn spend_at(&self, now: Instant, costs: [usize; 2], source: &str) -> Result<(), Problem> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(dry) = state.buckets.iter_mut().flatten().find_map(|b| (b.level(now) <= 0.0).then_some(*b)) {
            if state.named_at.is_none_or(|at| now.duration_since(at) >= QUIET) {
                state.named_at = Some(now);
                let allowance = self.allowance;
                tracing::warn!(source, ?allowance, "a key is over its limit; its requests are answered with 429");
            }
            return Err(refusal(Quota::dry(&dry)));
        }
        for (bucket, cost) in state.buckets.iter_mut().zip(costs) {
            if let Some(bucket) = bucket {
                #[expect(clippy::cast_precision_loss, reason = "no body is near 2^53")]
                bucket.take(cost as f64);
            }
        }
        Ok(())
    }
}

fn refusal(quota: Quota) -> Problem {
    let message = "this key has used up its share of events or bytes; send this again after Retry-After";
    Problem::new(Kind::RateLimited, message).with_quota(quota)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_and_bytes_are_counted_apart_and_a_refused_request_costs_nothing() {
        let meter = Meter::new(Allowance { events_per_second: 10, bytes_per_second: 1_000, burst_seconds: 1 });
        let start = Instant::now();
        let spend = |seconds, events, bytes| {
            meter.spend_at(start + Duration::from_secs(seconds), [events, bytes], "app").is_ok()
        };
        assert!(spend(0, 4, 100) && spend(0, 1, 5_000));
        assert!(!spend(0, 1, 1) && !spend(4, 100, 1), "the bytes are used up for four seconds");
        assert!(spend(6, 10, 1), "the refused ones used no events");
        assert!(!spend(6, 1, 1));
    }

    #[test]
    fn without_an_allowance_nothing_is_refused() {
        let meter = Meter::new(Allowance::UNLIMITED);
        assert!((0..3).all(|_| meter.spend(usize::MAX, usize::MAX, "app").is_ok()));
        let only_bytes = Meter::new(Allowance { bytes_per_second: 1, ..Allowance::UNLIMITED });
        assert!(only_bytes.spend(usize::MAX, 5, "app").is_ok());
        assert_eq!(only_bytes.admit("app").unwrap_err().kind(), Kind::RateLimited);
    }
}
