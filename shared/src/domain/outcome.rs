//! The one named outcome in which every accepted event ends.
//!
//! Invariant of the books (`ledger`): `read = stored + duplicate + dead + suppressed`, per partition and hour.

/// How many events of a partition ended in which outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// A new row.
    pub stored: u64,
    /// The same event was stored before; nothing else happened.
    pub duplicate: u64,
    /// Put aside with its payload and the reason.
    pub dead: u64,
    /// Of an erased user; dropped on purpose.
    pub suppressed: u64,
}

impl Tally {
    /// All events read, whatever their outcome.
    #[must_use]
    pub fn read(&self) -> u64 {
        self.stored + self.duplicate + self.dead + self.suppressed
    }

    /// Adds another tally to this one.
    pub fn add(&mut self, other: Self) {
        self.stored += other.stored;
        self.duplicate += other.duplicate;
        self.dead += other.dead;
        self.suppressed += other.suppressed;
    }
}
