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

    /// Does a goal event received now convert this match?
    #[must_use]
    pub fn converts(&self, open: Open, now: DateTime<Utc>) -> bool {
        (TimeDelta::zero()..=self.window).contains(&(now - open.at))
    }
}
