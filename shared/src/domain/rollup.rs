//! Daily sums over events, which stay when the events go: what is counted, under which name.
//!
//! Only events that are new count, so a resend or a replay changes nothing. The day is the one the event is filed under. What apps
//! report about campaigns is read by [`super::reported`].

use std::collections::BTreeMap;

use chrono::NaiveDate;

use super::event::Event;
use super::reported::report;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum What {
    /// Events, by type: `track`, `identify`, …
    Events,
    /// Tracks, pages and screens, by name.
    Names,
    /// Matches that were shown, by campaign.
    Shown,
    /// Matches that were held out, by campaign.
    HeldOut,
    /// Goal events that followed a match in time, by campaign.
    Converted,
    /// What apps reported as seen, by campaign; under [`OTHER`] what names none.
    Impressions,
    /// The same, as clicked.
    Clicks,
    /// The same, as closed.
    Dismissals,
    /// The same, as reached.
    Conversions,
    /// User keys that sent anything, each once a day; under [`OTHER`], because there is only one sum.
    ActiveUsers,
}

impl What {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Events,
        Self::Names,
        Self::Shown,
        Self::HeldOut,
        Self::Converted,
        Self::Impressions,
        Self::Clicks,
        Self::Dismissals,
        Self::Conversions,
        Self::ActiveUsers,
    ];

    /// The stored form.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Names => "names",
            Self::Shown => "shown",
            Self::HeldOut => "held_out",
            Self::Converted => "converted",
            Self::Impressions => "impressions",
            Self::Clicks => "clicks",
            Self::Dismissals => "dismissals",
            Self::Conversions => "conversions",
            Self::ActiveUsers => "active_users",
        }
    }

    /// The stored form, read.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|what| what.as_str() == text)
    }

    /// Clients send any event names and campaign ids they like, without end; matches and types are ours.
    #[must_use]
    pub fn is_unbounded(self) -> bool {
        self == Self::Names || self.is_reported()
    }

    /// What apps report about campaigns.
    #[must_use]
    pub fn is_reported(self) -> bool {
        matches!(self, Self::Impressions | Self::Clicks | Self::Dismissals | Self::Conversions)
    }
}

/// Names of a day that one writer tells apart, and as many ids that no campaign has. What comes after them counts under [`OTHER`].
pub const NAMES_PER_DAY: usize = 1_000;
/// The names beyond [`NAMES_PER_DAY`], together, and what has no name.
pub const OTHER: &str = "";

/// Sums by day, what is counted, and its name.
pub type Sums = BTreeMap<(NaiveDate, What), BTreeMap<String, i64>>;

/// Adds one.
pub fn count(sums: &mut Sums, day: NaiveDate, what: What, metric: &str) {
    let names = sums.entry((day, what)).or_default();
    // Nearly always there: no copy of the name.
    match names.get_mut(metric) {
        Some(count) => *count += 1,
        None => {
            names.insert(metric.to_owned(), 1);
        }
    }
}

/// Counts an event that is new.
pub fn count_event(sums: &mut Sums, day: NaiveDate, event: &Event<'_>) {
    count(sums, day, What::Events, event.kind.as_str());
    if let Some(name) = event.trigger() {
        count(sums, day, What::Names, name);
    }
    if let Some((what, campaign)) = report(event) {
        count(sums, day, what, campaign.as_deref().unwrap_or(OTHER));
    }
}

/// Adds all of `more`.
pub fn add(sums: &mut Sums, more: Sums) {
    for (key, names) in more {
        let sum = sums.entry(key).or_default();
        for (name, count) in names {
            *sum.entry(name).or_default() += count;
        }
    }
}
