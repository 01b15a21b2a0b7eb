//! What a campaign is for: `goal` with `event` and `within_seconds`, the event that a match should lead to.
//!
//! A goal event converts the user's latest match of the campaign if that match came before it, within the window, and has not
//! converted yet: so a match converts at most once and an event at most one match per campaign. Held-out matches convert as well:
//! what those users do on their own is what the campaign is compared with. Previews never do. Strangers have no history.

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::definition::MAX_TRIGGER_CHARS;
use super::option::Section;
use crate::domain::raw_object::RawObject;
use crate::domain::rules::Fault;

/// A week, where a goal does not say.
const DEFAULT_WINDOW_SECONDS: u32 = 7 * 86_400;
/// As long as events are kept by default.
const LONGEST_WINDOW_SECONDS: u32 = 90 * 86_400;

/// The goal of one campaign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Goal {
    /// Name of the event, exactly as spelt.
    pub event: String,
    window: TimeDelta,
}

/// A match that may still convert: the latest of its user and campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Open {
    /// The event that matched.
    pub event_id: Uuid,
    /// When it was received.
    pub at: DateTime<Utc>,
}

impl Goal {
    /// Reads the goal of a document; without an event there is none.
    pub fn read(document: &RawObject, faults: &mut Vec<Fault>) -> Option<Self> {
        let section = Section::within(document, "goal", faults);
        let seconds = section.whole("within_seconds", 1..=LONGEST_WINDOW_SECONDS, faults);
        let event = section.text("event", faults)?;
        if event.chars().count() > MAX_TRIGGER_CHARS {
            let message = format!("must be at most {MAX_TRIGGER_CHARS} characters");
            faults.push(Fault::new(section.path("event"), "too_long", message));
        }
        let window = TimeDelta::seconds(i64::from(seconds.unwrap_or(DEFAULT_WINDOW_SECONDS)));
        Some(Self { event, window })
    }

    /// Does a goal event received now convert this match, which came before it in the user's order? The clocks of two ingest
    /// machines may disagree about that; the order counts.
    #[must_use]
    pub fn converts(&self, open: Open, now: DateTime<Utc>) -> bool {
        now - open.at <= self.window
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_converts_what_came_before_it_within_its_window() {
        let document = RawObject::parse(r#"{"goal":{"event":" bought ","within_seconds":60}}"#).unwrap();
        let goal = Goal::read(&document, &mut Vec::new()).unwrap();
        assert_eq!(goal.event, "bought");
        let open = Open { event_id: Uuid::nil(), at: DateTime::UNIX_EPOCH };
        let after = |seconds| goal.converts(open, DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds));
        assert_eq!([-1, 0, 60, 61].map(after), [true, true, true, false]);
    }

    #[test]
    fn without_an_event_there_is_no_goal_and_faults_are_named() {
        let read = |text: &str| {
            let mut faults = Vec::new();
            let goal = Goal::read(&RawObject::parse(text).unwrap(), &mut faults);
            (goal.is_some(), faults.into_iter().map(|f| f.field).collect::<Vec<_>>())
        };
        for text in ["{}", r#"{"goal":null}"#, r#"{"goal":{}}"#, r#"{"goal":{"event":"","rolloutPercentage":50}}"#] {
            assert_eq!(read(text), (false, vec![]), "{text}");
        }
        assert_eq!(read(r#"{"goal":[]}"#), (false, vec!["goal".to_owned()]));
        assert_eq!(read(r#"{"goal":{"event":"e","within_seconds":0}}"#).1, ["goal.within_seconds"]);
    }
}
