//! How often a campaign may be shown: `frequency_cap` with `per_user`, `per_user_per_day`, `min_gap_seconds` and `total`.
//!
//! The day is the calendar day of the campaign's zone. What counts are matches that were shown or held out (a held-out user is
//! treated like any other, or the comparison would be worthless), by the time their event was received; previews count for
//! nothing. `total` counts what was shown to anybody. Strangers have no history, so only `total` binds them.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

use super::option::Section;
use super::schedule::Schedule;
use crate::domain::raw_object::RawObject;
use crate::domain::rules::Fault;

/// The longest calendar day there is (a clock change, or a change of zone rules), and some: history this old decides no daily cap.
pub const LONGEST_DAY: TimeDelta = TimeDelta::hours(26);
const MOST: u32 = 1_000_000_000;

/// The caps of one campaign. None set: no cap.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Caps {
    per_user: Option<u32>,
    per_user_per_day: Option<u32>,
    min_gap: Option<TimeDelta>,
    /// Over all users.
    pub total: Option<u32>,
}

/// What one user was shown of one campaign.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// Times in all.
    pub shown: u64,
    /// The last time.
    pub last_at: Option<DateTime<Utc>>,
    /// The times within [`LONGEST_DAY`], in any order; older ones do no harm.
    pub recent: Vec<DateTime<Utc>>,
}

impl History {
    /// One more.
    pub fn record(&mut self, at: DateTime<Utc>) {
        self.shown += 1;
        self.last_at = self.last_at.max(Some(at));
        self.recent.push(at);
    }

    fn since(&self, midnight: DateTime<Utc>) -> u64 {
        self.recent.iter().filter(|at| **at >= midnight).count() as u64
    }
}

impl Caps {
    /// Reads the caps of a document.
    pub fn read(document: &RawObject, faults: &mut Vec<Fault>) -> Self {
        let section = Section::within(document, "frequency_cap", faults);
        Self {
            per_user: section.whole("per_user", 1..=MOST, faults),
            per_user_per_day: section.whole("per_user_per_day", 1..=MOST, faults),
            min_gap: section.whole("min_gap_seconds", 1..=MOST, faults).map(|s| TimeDelta::seconds(i64::from(s))),
            total: section.whole("total", 1..=MOST, faults),
        }
    }

    /// Must a user's history be known?
    #[must_use]
    pub fn per_user(&self) -> bool {
        self.per_user.is_some() || self.per_user_per_day.is_some() || self.min_gap.is_some()
    }

    /// May it be shown once more to a user with this history? `total` is not looked at.
    #[must_use]
    pub fn allow(&self, history: &History, schedule: &Schedule, now: DateTime<Utc>) -> bool {
        let today = || history.since(schedule.start_of_day(now));
        // A gap also keeps away what is handled out of order: the distance counts, not the direction.
        let rested = |gap| history.last_at.is_none_or(|last| (now - last).abs() >= gap);
        self.per_user.is_none_or(|most| history.shown < u64::from(most))
            && self.per_user_per_day.is_none_or(|most| today() < u64::from(most))
            && self.min_gap.is_none_or(rested)
    }
}

impl Caps {
    /// How the caps of a user stand, for people; empty where there are none.
    #[must_use]
    pub fn standing(&self, history: &History, schedule: &Schedule, now: DateTime<Utc>) -> String {
        let iso = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
        let mut parts = Vec::new();
        if let Some(most) = self.per_user {
            let never = if history.shown >= u64::from(most) { ": never again" } else { "" };
            parts.push(format!("shown {} of {most} times in all{never}", history.shown));
        }
        if let Some(most) = self.per_user_per_day {
            let (begin, next) = (schedule.start_of_day(now), schedule.end_of_day(now));
            let today = history.since(begin);
            let again = if today >= u64::from(most) { format!(": next from {}", iso(next)) } else { String::new() };
            parts.push(format!("shown {today} of {most} times since {}{again}", iso(begin)));
        }
        if let Some(gap) = self.min_gap {
            let seconds = gap.num_seconds();
            parts.push(match history.last_at {
                None => format!("not shown yet; {seconds} s must lie between two times"),
                Some(last) if (now - last).abs() < gap => {
                    format!("last shown at {}: {seconds} s must pass, next from {}", iso(last), iso(last + gap))
                }
                Some(last) => format!("last shown at {}, at least {seconds} s ago", iso(last)),
            });
        }
        parts.join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text).unwrap().with_timezone(&Utc)
    }

    fn read(text: &str) -> (Caps, Schedule) {
        let (document, mut faults) = (RawObject::parse(text).unwrap(), Vec::new());
        let read = (Caps::read(&document, &mut faults), Schedule::read(&document, &mut faults));
        assert_eq!(faults, []);
        read
    }

    /// Which of these times are shown, one after the other.
    fn shown(text: &str, times: &[&str]) -> Vec<bool> {
        let (caps, schedule) = read(text);
        let mut history = History::default();
        let mut show = |time: &&str| {
            let allowed = caps.allow(&history, &schedule, at(time));
            if allowed {
                history.record(at(time));
            }
            allowed
        };
        times.iter().map(&mut show).collect()
    }

    #[test]
    fn a_total_per_user_is_a_total() {
        let times = ["2026-03-01T00:00:00Z", "2026-03-01T00:00:00Z", "2027-01-01T00:00:00Z"];
        assert_eq!(shown(r#"{"frequency_cap":{"per_user":2}}"#, &times), [true, true, false]);
        assert_eq!(
            shown(r#"{"frequency_cap":{"total":1}}"#, &times),
            [true, true, true],
            "the total is counted elsewhere"
        );
    }

    #[test]
    fn a_day_is_a_calendar_day_of_the_zone() {
        let times = ["2026-03-01T18:00:00Z", "2026-03-01T18:29:59Z", "2026-03-01T18:30:00Z", "2026-03-01T23:59:00Z"];
        let india = r#"{"frequency_cap":{"per_user_per_day":1},"schedule":{"time_zone":"Asia/Kolkata"}}"#;
        assert_eq!(shown(india, &times), [true, false, true, false]);
        assert_eq!(shown(r#"{"frequency_cap":{"per_user_per_day":3}}"#, &times), [true, true, true, false]);
    }

    #[test]
    fn a_gap_is_a_distance() {
        let times = [
            "2026-03-01T10:00:00Z",
            "2026-03-01T10:00:59Z",
            "2026-03-01T10:01:00Z",
            "2026-03-01T10:00:30Z",
            "2026-03-01T09:59:00Z",
        ];
        assert_eq!(shown(r#"{"frequency_cap":{"min_gap_seconds":60}}"#, &times), [true, false, true, false, true]);
    }

    #[test]
    fn faults_say_the_range() {
        let mut faults = Vec::new();
        Caps::read(
            &RawObject::parse(r#"{"frequency_cap":{"per_user":0,"total":1.5,"min_gap_seconds":"x"}}"#).unwrap(),
            &mut faults,
        );
        assert_eq!(
            faults.iter().map(|f| (f.field.as_str(), f.code)).collect::<Vec<_>>(),
            [
                ("frequency_cap.per_user", "out_of_range"),
                ("frequency_cap.min_gap_seconds", "wrong_type"),
                ("frequency_cap.total", "out_of_range"),
            ]
        );
    }
}
