//! Work at a steady pace: so many units a second, however they are cut, and no burst after a pause.

use std::time::Duration;

use tokio::time::Instant;

/// A pace that is kept by waiting before each piece of work for the time that the pieces before it are worth.
#[derive(Debug)]
pub struct Pace {
    per_second: u32,
    next: Instant,
}

impl Pace {
    /// So many units a second, at least 1.
    #[must_use]
    pub fn new(per_second: u32) -> Self {
        Self { per_second: per_second.max(1), next: Instant::now() }
    }

    /// Units for a piece that is worth about a tenth of a second.
    #[must_use]
    pub fn piece(&self) -> u32 {
        (self.per_second / 10).max(1)
    }

    /// Waits for the turn of the next piece.
    pub async fn turn(&mut self) {
        tokio::time::sleep_until(self.next).await;
    }

    /// Counts a piece that begins now.
    pub fn spend(&mut self, units: u64) {
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        self.next = self.next.max(Instant::now()) + Duration::from_secs(1) * units / self.per_second;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_costs_the_time_it_is_worth_and_a_pause_saves_nothing_up() {
        let mut pace = Pace::new(100);
        assert_eq!((pace.piece(), Pace::new(1).piece(), Pace::new(0).piece()), (10, 1, 1));
        let start = pace.next;
        pace.spend(10);
        pace.spend(40);
        let waits = pace.next - start;
        assert!(waits >= Duration::from_millis(500) && waits < Duration::from_secs(5), "{waits:?}");
        pace.next = start - Duration::from_secs(60);
        pace.spend(100);
        assert!(pace.next >= start + Duration::from_secs(1));
    }
}
