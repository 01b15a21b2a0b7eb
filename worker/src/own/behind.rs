//! An estimate of what an owner has not read yet: messages behind it, times the mean of events per message.

use crate::reader::Fetched;

/// What is known about messages not read yet.
#[derive(Debug, Default)]
pub struct Behind {
    pending: u64,
    mean_events: f64,
}

impl Behind {
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    /// Learns from a message.
    pub fn saw(&mut self, fetched: &Fetched) {
        self.pending = fetched.pending;
        let events = fetched.events as f64;
        self.mean_events = if self.mean_events == 0.0 { events } else { self.mean_events * 0.95 + events * 0.05 };
    }

    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an estimate"
    )]
    /// Events not read yet.
    #[must_use]
    pub fn events(&self) -> u64 {
        (self.pending as f64 * self.mean_events) as u64
    }
}
