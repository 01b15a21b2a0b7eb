//! A token bucket. Pure: told the time.
//!
//! Whoever finds something in it is served, whatever that costs: the level may fall below zero, and then nobody is served until
//! it has come back. So a batch larger than the whole bucket passes too, once it is its turn, and over time the rate holds.

use std::time::{Duration, Instant};

/// How fast a bucket fills, and how much it holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    per_second: f64,
    burst: f64,
}

impl Rate {
    /// `per_second` tokens, of which `burst_seconds` may be used at once; `None` when 0, which is no limit.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "no limit is near 2^53")]
    pub fn new(per_second: u64, burst_seconds: u32) -> Option<Self> {
        let rate = per_second as f64;
        (per_second > 0).then(|| Self { per_second: rate, burst: rate * f64::from(burst_seconds.max(1)) })
    }

    /// The most that can be used at once.
    #[must_use]
    pub fn burst(&self) -> f64 {
        self.burst
    }

    /// The time in which an empty bucket fills.
    #[must_use]
    pub fn window(&self) -> Duration {
        Duration::from_secs_f64(self.burst / self.per_second)
    }
}

/// A bucket.
#[derive(Debug, Clone, Copy)]
pub struct Bucket {
    rate: Rate,
    level: f64,
    at: Instant,
}

impl Bucket {
    /// A full one.
    #[must_use]
    pub fn full(rate: Rate, now: Instant) -> Self {
        Self { rate, level: rate.burst, at: now }
    }

    /// How it fills.
    #[must_use]
    pub fn rate(&self) -> Rate {
        self.rate
    }

    /// What is in it now.
    pub fn level(&mut self, now: Instant) -> f64 {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.level = (self.level + passed * self.rate.per_second).min(self.rate.burst);
        self.at = self.at.max(now);
        self.level
    }

    /// Takes out; look at the level before.
    pub fn take(&mut self, cost: f64) {
        self.level -= cost;
    }

    /// How long until there is something in it again.
    #[must_use]
    pub fn dry_for(&self) -> Duration {
        Duration::from_secs_f64((-self.level / self.rate.per_second).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_burst_is_served_and_then_the_rate() {
        let rate = Rate::new(10, 2).unwrap();
        let start = Instant::now();
        let mut bucket = Bucket::full(rate, start);
        let mut served = |seconds: f64, cost: f64| {
            let there = bucket.level(start + Duration::from_secs_f64(seconds)) > 0.0;
            if there {
                bucket.take(cost);
            }
            there
        };
        assert_eq!([served(0.0, 15.0), served(0.0, 15.0), served(0.0, 1.0)], [true, true, false]);
        assert_eq!(
            [served(0.9, 1.0), served(1.1, 30.0), served(4.0, 1.0), served(4.2, 1.0)],
            [false, true, false, true]
        );
        assert!(Rate::new(0, 10).is_none());
    }

    proptest! {
        /// Over any time, no more is served than the burst, the rate, and one request beyond.
        #[test]
        fn the_rate_holds(steps in proptest::collection::vec((0u64..2_000, 1u32..50), 1..200)) {
            let rate = Rate::new(7, 3).unwrap();
            let start = Instant::now();
            let (mut bucket, mut now, mut used, mut largest) = (Bucket::full(rate, start), start, 0.0, 0.0_f64);
            for (milliseconds, cost) in steps {
                now += Duration::from_millis(milliseconds);
                if bucket.level(now) > 0.0 {
                    bucket.take(cost.into());
                    used += f64::from(cost);
                    largest = largest.max(cost.into());
                } else {
                    let later = now + bucket.dry_for() + Duration::from_millis(1);
                    prop_assert!(bucket.clone().level(later) > 0.0);
                }
            }
            let allowed = rate.burst() + now.duration_since(start).as_secs_f64() * 7.0 + largest;
            prop_assert!(used <= allowed + 1e-6, "{used} of {allowed}");
        }
    }
}
