//! What must be gathered before conditions can be evaluated.

use std::collections::BTreeSet;

use super::facts::{CountWindow, Segments};

/// What a condition, or several together, look at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs {
    /// Traits of the user.
    pub traits: bool,
    /// The event: its properties or its context.
    pub event: bool,
    /// Counts of the user's events.
    pub counts: BTreeSet<CountWindow>,
    /// Segments, by id.
    pub segments: BTreeSet<String>,
}

impl Needs {
    /// Adds what others need.
    pub fn merge(&mut self, other: &Self) {
        self.traits |= other.traits;
        self.event |= other.event;
        self.counts.extend(other.counts.iter().cloned());
        self.segments.extend(other.segments.iter().cloned());
    }

    /// Adds what the segments named so far need. Segments name no others, so once is enough.
    pub fn resolve(&mut self, segments: &Segments) {
        for id in self.segments.clone() {
            if let Some(condition) = segments.get(&id) {
                self.merge(condition.needs());
            }
        }
    }
}
