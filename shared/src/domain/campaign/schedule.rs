//! When a campaign runs: from, until, and in which hours of the week, by the clock of its time zone.
//!
//! Read from `schedule` (`starts_at`, `ends_at`, `time_zone`, `windows`; also under the names `start_date`, `end_date`,
//! `timezone`), and for the two times also from the top of the document. Decided:
//! - A time without an offset, and a plain date, are in the campaign's zone (UTC if it names none). `ends_at` is the first moment
//!   at which it does not run any more; a plain date as the end includes that day.
//! - Within these, one of the [`window`]s must be open; without any it runs at all hours. A window is what the clock on the wall
//!   shows, so it is an hour longer or shorter on a day of a clock change.

use chrono::{
    DateTime, Days, LocalResult, NaiveDate, NaiveDateTime, NaiveTime, SecondsFormat, TimeDelta, TimeZone, Utc,
};
use chrono_tz::Tz;

use super::option::Section;
use super::window::{self, Window};
use crate::domain::raw_object::RawObject;
use crate::domain::rules::Fault;
use crate::domain::timestamp::{self, ClientTime};

/// When a campaign runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    starts_at: Option<DateTime<Utc>>,
    ends_at: Option<DateTime<Utc>>,
    zone: Tz,
    windows: Vec<Window>,
}

impl Default for Schedule {
    fn default() -> Self {
        Self { starts_at: None, ends_at: None, zone: Tz::UTC, windows: Vec::new() }
    }
}

impl Schedule {
    /// Reads the schedule of a document.
    pub fn read(document: &RawObject, faults: &mut Vec<Fault>) -> Self {
        let top = Section::document(document);
        let section = Section::within(document, "schedule", faults);
        let zone = zone(&section, faults);
        let starts_at = time(
            &[(&section, "starts_at"), (&section, "start_date"), (&top, "starts_at"), (&top, "start_date")],
            zone,
            false,
            faults,
        );
        let ends_at = time(
            &[(&section, "ends_at"), (&section, "end_date"), (&top, "ends_at"), (&top, "end_date")],
            zone,
            true,
            faults,
        );
        if let (Some(start), Some(end)) = (starts_at, ends_at)
            && end <= start
        {
            faults.push(Fault::new("schedule", "never", "ends before it starts"));
        }
        Self { starts_at, ends_at, zone, windows: window::read_all(&section, faults) }
    }

    /// Does the campaign run at this moment?
    #[must_use]
    pub fn is_open(&self, now: DateTime<Utc>) -> bool {
        if self.starts_at.is_some_and(|start| now < start) || self.ends_at.is_some_and(|end| now >= end) {
            return false;
        }
        let local = now.with_timezone(&self.zone).naive_local();
        self.windows.is_empty() || self.windows.iter().any(|window| window.holds(local))
    }

    /// The midnight with which the next day begins in the campaign's zone.
    #[must_use]
    pub fn end_of_day(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        let date = now.with_timezone(&self.zone).date_naive();
        let next = date.checked_add_days(Days::new(1)).unwrap_or(date);
        instant(next.and_time(NaiveTime::MIN), self.zone)
    }

    /// Whether it runs at this moment and why, for people.
    #[must_use]
    pub fn standing(&self, now: DateTime<Utc>) -> String {
        let iso = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
        if let Some(start) = self.starts_at.filter(|start| now < *start) {
            return format!("it starts at {}", iso(start));
        }
        if let Some(end) = self.ends_at.filter(|end| now >= *end) {
            return format!("it ended at {}", iso(end));
        }
        let local = now.with_timezone(&self.zone).naive_local();
        let clock = format!("{} in {}", local.format("%a %H:%M"), self.zone);
        match self.windows.iter().find(|window| window.holds(local)) {
            Some(window) => format!("it is {clock}, within {window}"),
            None if self.windows.is_empty() && (self.starts_at, self.ends_at) == (None, None) => {
                "it runs at all times".to_owned()
            }
            None if self.windows.is_empty() => {
                let from = self.starts_at.map(|at| format!(" from {}", iso(at))).unwrap_or_default();
                let until = self.ends_at.map(|at| format!(" until {}", iso(at))).unwrap_or_default();
                format!("it runs{from}{until}")
            }
            None => {
                let all: Vec<String> = self.windows.iter().map(ToString::to_string).collect();
                format!("it is {clock}, in none of its windows: {}", all.join(", "))
            }
        }
    }

    /// The midnight with which the day of this moment began in the campaign's zone.
    #[must_use]
    pub fn start_of_day(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        let date = now.with_timezone(&self.zone).date_naive();
        instant(date.and_time(NaiveTime::MIN), self.zone)
    }
}

fn zone(section: &Section<'_>, faults: &mut Vec<Fault>) -> Tz {
    for key in ["time_zone", "timezone"] {
        let Some(name) = section.text(key, faults) else { continue };
        return name.parse().unwrap_or_else(|_| {
            let message = format!("{:?} is no time zone; use a name such as Asia/Kolkata", window::short(&name));
            faults.push(Fault::new(section.path(key), "unknown_value", message));
            Tz::UTC
        });
    }
    Tz::UTC
}

/// The first of these fields that is set.
fn time(places: &[(&Section<'_>, &str)], zone: Tz, is_end: bool, faults: &mut Vec<Fault>) -> Option<DateTime<Utc>> {
    for (section, key) in places {
        let Some(raw) = section.object().get(key).map(serde_json::value::RawValue::get) else { continue };
        let (read, date_only) = match serde_json::from_str(raw) {
            Ok(serde_json::Value::Null) => continue,
            Ok(serde_json::Value::String(text)) if text.trim().is_empty() => continue,
            Ok(serde_json::Value::String(text)) => {
                (timestamp::parse_text(&text), NaiveDate::parse_from_str(text.trim(), "%Y-%m-%d").is_ok())
            }
            Ok(serde_json::Value::Number(number)) => {
                (number.as_f64().map_or(ClientTime::Unreadable, timestamp::parse_number), false)
            }
            _ => (ClientTime::Unreadable, false),
        };
        match read {
            ClientTime::Instant(instant) => return Some(instant),
            ClientTime::Zoneless(local) if is_end && date_only => {
                return Some(instant(local.checked_add_days(Days::new(1)).unwrap_or(local), zone));
            }
            ClientTime::Zoneless(local) => return Some(instant(local, zone)),
            ClientTime::Unreadable => {
                let message = "must be a time such as 2026-03-01T09:00:00+05:30, a date, or epoch milliseconds";
                faults.push(Fault::new(section.path(key), "wrong_type", message));
            }
        }
    }
    None
}

/// The moment at which a clock in this zone shows `local`: the first of two, and after a gap the end of the gap.
fn instant(local: NaiveDateTime, zone: Tz) -> DateTime<Utc> {
    let mut at = local;
    // No gap is longer than a day (Samoa skipped one).
    for _ in 0..=24 * 4 {
        match zone.from_local_datetime(&at) {
            LocalResult::Single(found) | LocalResult::Ambiguous(found, _) => return found.with_timezone(&Utc),
            LocalResult::None => at += TimeDelta::minutes(15),
        }
    }
    local.and_utc()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(text: &str) -> Schedule {
        let mut faults = Vec::new();
        let schedule = Schedule::read(&RawObject::parse(text).unwrap(), &mut faults);
        assert_eq!(faults, [], "{text}");
        schedule
    }

    fn at(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text).unwrap().with_timezone(&Utc)
    }

    fn open(schedule: &Schedule, times: &[(&str, bool)]) {
        for (time, expected) in times {
            assert_eq!(schedule.is_open(at(time)), *expected, "{time}");
        }
    }

    #[test]
    fn without_a_schedule_it_always_runs() {
        for text in ["{}", r#"{"schedule":null,"starts_at":"","end_date":null}"#, r#"{"schedule":{"windows":[]}}"#] {
            open(&schedule(text), &[("1999-01-01T00:00:00Z", true), ("2999-01-01T00:00:00Z", true)]);
        }
    }

    #[test]
    fn it_runs_from_its_start_until_before_its_end() {
        let edges = [
            ("2026-03-01T03:29:59Z", false),
            ("2026-03-01T03:30:00Z", true),
            ("2026-03-02T18:29:59Z", true),
            ("2026-03-02T18:30:00Z", false),
        ];
        open(&schedule(r#"{"starts_at":"2026-03-01T09:00:00+05:30","ends_at":"2026-03-02T18:30:00Z"}"#), &edges);
        // Without an offset, and as plain dates, in the zone; the last day is included.
        open(
            &schedule(
                r#"{"schedule":{"start_date":"2026-03-01T09:00","end_date":"2026-03-02","timezone":"Asia/Kolkata"}}"#,
            ),
            &edges,
        );
        open(
            &schedule(r#"{"starts_at":1772335800000,"end_date":"2026-03-02","schedule":{"time_zone":"Asia/Kolkata"}}"#),
            &edges,
        );
        assert!(!schedule(r#"{"ends_at":"2026-03-02"}"#).is_open(at("2026-03-03T00:00:00Z")));
    }

    #[test]
    fn windows_are_what_the_clock_on_the_wall_shows() {
        let office = schedule(
            r#"{"schedule":{"time_zone":"America/New_York","windows":[{"days":["Mon","friday"],"from":"09:00","to":"17:00"}]}}"#,
        );
        // 2026-03-06 is a Friday in winter time, 2026-03-09 the Monday after the clocks went forward.
        open(
            &office,
            &[
                ("2026-03-06T13:59:00Z", false),
                ("2026-03-06T14:00:00Z", true),
                ("2026-03-06T22:00:00Z", false),
                ("2026-03-09T13:00:00Z", true),
                ("2026-03-09T21:00:00Z", false),
                ("2026-03-10T15:00:00Z", false),
            ],
        );
        let night = schedule(r#"{"schedule":{"windows":[{"days":["sat"],"from":"22:00","to":"02:00"}]}}"#);
        // 2026-03-07 is a Saturday.
        open(
            &night,
            &[
                ("2026-03-07T01:00:00Z", false),
                ("2026-03-07T22:00:00Z", true),
                ("2026-03-08T01:59:00Z", true),
                ("2026-03-08T02:00:00Z", false),
                ("2026-03-08T23:00:00Z", false),
            ],
        );
        let day = schedule(r#"{"schedule":{"windows":[{"from":"00:00","to":"24:00"}]}}"#);
        open(&day, &[("2026-03-07T00:00:00Z", true), ("2026-03-07T23:59:59Z", true)]);
    }

    #[test]
    fn a_day_begins_at_midnight_in_the_zone_or_where_the_clock_first_shows_it() {
        let india = schedule(r#"{"schedule":{"time_zone":"Asia/Kolkata"}}"#);
        assert_eq!(india.start_of_day(at("2026-03-07T18:29:59Z")), at("2026-03-06T18:30:00Z"));
        assert_eq!(india.start_of_day(at("2026-03-07T18:30:00Z")), at("2026-03-07T18:30:00Z"));
        // In Beirut the clocks skip midnight.
        let beirut = schedule(r#"{"schedule":{"time_zone":"Asia/Beirut"}}"#);
        assert_eq!(beirut.start_of_day(at("2025-03-30T12:00:00Z")), at("2025-03-29T22:00:00Z"));
    }

    #[test]
    fn every_fault_is_named() {
        let text = r#"{"starts_at":"soon","schedule":{"ends_at":[],"time_zone":"Mars/Base","windows":[
            {"days":["mon","xyz"],"from":"9","to":"17:00"},{"to":"25:00","days":5}]}}"#;
        let mut faults = Vec::new();
        Schedule::read(&RawObject::parse(text).unwrap(), &mut faults);
        let fields: Vec<_> = faults.iter().map(|f| f.field.as_str()).collect();
        assert_eq!(
            fields,
            [
                "schedule.time_zone",
                "starts_at",
                "schedule.ends_at",
                "schedule.windows[0].from",
                "schedule.windows[0].days",
                "schedule.windows[1].from",
                "schedule.windows[1].to",
                "schedule.windows[1].days"
            ]
        );
        let mut faults = Vec::new();
        Schedule::read(
            &RawObject::parse(r#"{"schedule":7,"starts_at":"2026-03-02","ends_at":"2026-03-01"}"#).unwrap(),
            &mut faults,
        );
        assert_eq!(faults.iter().map(|f| f.code).collect::<Vec<_>>(), ["wrong_type", "never"]);
    }
}
