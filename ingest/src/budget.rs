//! A cap on the bytes of all requests in flight, so that nothing is ever buffered beyond what was planned for.
//!
//! A request takes a [`Share`] *before* its body is read, grows it while reading, decoding and packing, and holds it until it is
//! answered. When the budget is used up the request is refused at once: waiting would only move the queue. Importance decides
//! who is refused first: imports may fill half of the budget, events nine tenths, identifies and the admin API all of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::problem::{Kind, Problem};

/// What a request costs even with an empty body: its connection's buffers, headers, bookkeeping.
const FLOOR_BYTES: usize = 4 << 10;

/// How much of the budget a request may help to fill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Importance {
    /// `/v1/import`: refused first, at half of the budget.
    Import,
    /// Events: refused at nine tenths.
    Event,
    /// Identifies, and the admin API: refused last.
    Profile,
}

impl Importance {
    fn of(self, limit: usize) -> usize {
        match self {
            Self::Import => limit / 2,
            Self::Event => limit - limit / 10,
            Self::Profile => limit,
        }
    }
}

/// The budget of the process.
#[derive(Debug, Clone)]
pub struct Budget(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    used: AtomicUsize,
    limit: usize,
}

impl Budget {
    /// A budget of so many bytes.
    #[must_use]
    pub fn new(limit_bytes: usize) -> Self {
        Self(Arc::new(Inner { used: AtomicUsize::new(0), limit: limit_bytes }))
    }

    /// Bytes in flight now.
    #[must_use]
    pub fn used_bytes(&self) -> usize {
        self.0.used.load(Ordering::Relaxed)
    }

    /// The share of a new request whose body is expected to have so many bytes.
    pub fn take(&self, importance: Importance, expected_bytes: usize) -> Result<Share, Problem> {
        let mut share = Share { budget: Arc::clone(&self.0), importance, bytes: 0 };
        share.grow(FLOOR_BYTES.saturating_add(expected_bytes))?;
        Ok(share)
    }
}

/// A part of the budget; returned when dropped.
#[derive(Debug)]
#[must_use = "dropping it returns the bytes while they are still held"]
pub struct Share {
    budget: Arc<Inner>,
    importance: Importance,
    bytes: usize,
}

impl Share {
    /// Takes more bytes.
    pub fn grow(&mut self, bytes: usize) -> Result<(), Problem> {
        let allowed = self.importance.of(self.budget.limit);
        let before = self.budget.used.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) > allowed {
            self.budget.used.fetch_sub(bytes, Ordering::Relaxed);
            return Err(Problem::new(
                Kind::Overloaded,
                "too many bytes are in flight; send this again after Retry-After",
            ));
        }
        self.bytes += bytes;
        Ok(())
    }

    /// Gives bytes back before the end.
    pub fn shrink(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        self.budget.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Cuts off a share that lives on its own.
    pub fn split(&mut self, bytes: usize) -> Self {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        Self { budget: Arc::clone(&self.budget), importance: self.importance, bytes }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_are_refused_first_and_identifies_last() {
        let budget = Budget::new(1 << 20);
        let _half = budget.take(Importance::Profile, 512 << 10).unwrap();
        assert_eq!(budget.take(Importance::Import, 0).unwrap_err().kind(), Kind::Overloaded);
        let _more = budget.take(Importance::Event, 400 << 10).unwrap();
        assert!(budget.take(Importance::Event, 40 << 10).is_err());
        let _last = budget.take(Importance::Profile, 40 << 10).unwrap();
    }

    #[test]
    fn everything_comes_back() {
        let budget = Budget::new(1 << 20);
        let mut share = budget.take(Importance::Event, 1_000).unwrap();
        share.grow(5_000).unwrap();
        assert!(share.grow(2 << 20).is_err());
        share.shrink(1_000);
        let part = share.split(2_000);
        assert_eq!(budget.used_bytes(), FLOOR_BYTES + 5_000);
        drop(share);
        assert_eq!(budget.used_bytes(), 2_000);
        drop(part);
        assert_eq!(budget.used_bytes(), 0);
    }
}
