//! What is known at an event, put before the engine.

use super::event::Event;
use crate::domain::campaign::assignment::Who;
use crate::domain::campaign::caps::History;
use crate::domain::campaign::delivery::{Situation, opted_out};
use crate::domain::campaign::person::{PastCounts, Person};
use crate::domain::rules::{Facts, JsonFields, Segments};
use crate::domain::user_key::UserKey;

/// What is known at an event.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// The event.
    pub event: &'a Event,
    /// Whose it is; `None` for a stranger.
    pub key: Option<UserKey<'a>>,
    /// The user as of before it.
    pub person: &'a Person,
}

impl Known<'_> {
    /// Asks the engine. `shown` is what the user, and how often anybody, was shown of the campaign in question.
    pub fn ask<T>(
        &self,
        segments: &Segments,
        (history, shown_to_all): (&History, u64),
        ask: impl FnOnce(&Facts<'_>, &Situation<'_>) -> T,
    ) -> T {
        let Self { event, key, person } = *self;
        let (properties, context) = (JsonFields::of(event.properties()), JsonFields::of(event.context()));
        let counts = PastCounts {
            person: key.map(|_| person),
            event: event.trigger().unwrap_or_default(),
            at: event.happened_at(),
            now: event.received_at,
        };
        let facts = Facts {
            traits: &person.traits,
            properties: Some(&properties),
            context: Some(&context),
            counts: &counts,
            segments,
            now: event.received_at,
        };
        let situation = Situation {
            who: key.map_or(Who::Stranger(event.id), Who::User),
            now: event.received_at,
            opted_out: opted_out(&person.traits),
            history,
            shown_to_all,
        };
        ask(&facts, &situation)
    }
}
