//! How far an owner is behind: an estimate of the events it has not read (messages behind it, times the mean of events per message), and
//! the time of the oldest message whose effects are not committed.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::reader::Fetched;

/// What is known about messages that are not processed.
#[derive(Debug, Default)]
pub struct Behind {
    pending: u64,
    mean_events: f64,
    last: Option<DateTime<Utc>>,
    oldest: Option<DateTime<Utc>>,
}

impl Behind {
    /// Learns from a message that was read.
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    pub fn saw(&mut self, fetched: &Fetched) {
        self.pending = fetched.pending;
        let events = fetched.events as f64;
        self.mean_events = if self.mean_events == 0.0 { events } else { self.mean_events * 0.95 + events * 0.05 };
        self.last = Some(fetched.published);
        self.oldest = self.oldest.or(self.last);
    }

    /// Everything that was read is committed. What is still unread is at most as old as the last message read.
    pub fn committed(&mut self) {
        self.oldest = self.last.filter(|_| self.pending > 0);
    }

    /// Events not read yet.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an estimate"
    )]
    pub fn events(&self) -> u64 {
        (self.pending as f64 * self.mean_events) as u64
    }

    /// Age of the oldest message that is not processed; zero when there is none.
    #[must_use]
    pub fn age(&self, now: DateTime<Utc>) -> Duration {
        self.oldest.and_then(|oldest| (now - oldest).to_std().ok()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_message_counts_until_it_is_committed() {
        let at = |seconds| DateTime::from_timestamp(seconds, 0).unwrap();
        let fetched = |second, pending| Fetched {
            seq: second,
            batch_id: String::new(),
            events: 10,
            pending,
            published: at(second),
            payload: bytes::Bytes::new(),
            foreign: None,
        };
        let mut behind = Behind::default();
        behind.saw(&fetched(100, 2));
        behind.saw(&fetched(103, 1));
        assert_eq!((behind.events(), behind.age(at(110)).as_secs()), (10, 10));
        behind.committed();
        assert_eq!(behind.age(at(110)).as_secs(), 7, "one message is still unread");
        behind.saw(&fetched(105, 0));
        behind.committed();
        assert_eq!((behind.events(), behind.age(at(110))), (0, Duration::ZERO));
    }
}
