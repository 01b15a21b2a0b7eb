//! What is known when rules are evaluated. Whoever asks gathers it first ([`super::Needs`] says what), so that nothing here reads.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::condition::Condition;
use super::fields::Fields;

/// What is known about a user, an event and the moment.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    /// Traits of the user at that point in the user's order; of a stranger none.
    pub traits: &'a dyn Fields,
    /// Properties of the event. `None`: no event is at hand, so a rule on them is unknown.
    pub properties: Option<&'a dyn Fields>,
    /// Context of the event. `None`: no event is at hand, so a rule on it is unknown.
    pub context: Option<&'a dyn Fields>,
    /// How often the user did what.
    pub counts: &'a dyn Counts,
    /// Every segment that a rule may name.
    pub segments: &'a Segments,
    /// When the event was received; without an event, now.
    pub now: DateTime<Utc>,
}

/// Which events of a user to count.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CountWindow {
    /// Name of the event, exactly.
    pub event: String,
    /// Happened less than so long before the moment of the rules; `None`: ever.
    pub within_seconds: Option<u32>,
    /// One more than the rule's threshold: counting further decides nothing.
    pub most: u32,
}

impl CountWindow {
    /// Where the window begins that ends now: what happened then or before is not in it. Absent: it has no begin.
    #[must_use]
    pub fn since(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.within_seconds.and_then(|seconds| now.checked_sub_signed(TimeDelta::seconds(i64::from(seconds))))
    }
}

/// How often a user did something.
pub trait Counts {
    /// The number of such events; beyond `window.most` any number from there on will do. `None` when it cannot be known, which makes the rule unknown.
    fn count(&self, window: &CountWindow) -> Option<u32>;
}

/// Nothing is known about counts.
#[derive(Debug, Clone, Copy)]
pub struct NoCounts;

impl Counts for NoCounts {
    fn count(&self, _window: &CountWindow) -> Option<u32> {
        None
    }
}

/// The conditions of segments, by id. One that is malformed or does not exist is not among them.
#[derive(Debug, Default)]
pub struct Segments(HashMap<String, Condition>);

impl Segments {
    /// No segment.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Who belongs to the segment.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Condition> {
        self.0.get(id)
    }

    /// Each with its id, in any order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Condition)> {
        self.0.iter().map(|(id, condition)| (id.as_str(), condition))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// None at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<(String, Condition)> for Segments {
    fn from_iter<I: IntoIterator<Item = (String, Condition)>>(segments: I) -> Self {
        Self(segments.into_iter().collect())
    }
}
