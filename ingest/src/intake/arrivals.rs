//! Makes sure that every event that arrives is counted once more when it leaves, accepted or rejected.

use crate::metrics::{ABANDONED, Metrics};

/// The events of one request on their way. What is not settled when this is dropped was abandoned: its client went away.
#[derive(Debug)]
#[must_use = "dropping it counts its events as abandoned"]
pub struct Arrivals<'a> {
    metrics: &'a Metrics,
    open: u64,
}

impl<'a> Arrivals<'a> {
    /// A request arrived; until its events can be told apart it counts as one.
    pub fn begin(metrics: &'a Metrics) -> Self {
        metrics.received(1);
        Self { metrics, open: 1 }
    }

    /// It has so many events, at least one.
    pub fn are(&mut self, events: usize) {
        let events = events as u64;
        self.metrics.received(events.saturating_sub(self.open));
        self.open = self.open.max(events);
    }

    /// One event is refused.
    pub fn reject_one(&mut self, reason: &'static str) {
        self.open = self.open.saturating_sub(1);
        self.metrics.rejected(reason, 1);
    }

    /// All that are left are refused.
    pub fn reject_rest(&mut self, reason: &'static str) {
        self.metrics.rejected(reason, self.open);
        self.open = 0;
    }

    /// All that are left are in the stream.
    pub fn accept_rest(&mut self) {
        self.metrics.accepted(self.open);
        self.open = 0;
    }
}

impl Drop for Arrivals<'_> {
    fn drop(&mut self) {
        if self.open > 0 {
            self.metrics.rejected(ABANDONED, self.open);
        }
    }
}
