//! Which day an event is filed under, and which time it is shown with.
//!
//! The day is decided once, at ingest, from the message's own bytes and the time of receipt, and carried from there: it is
//! half of the primary key, so a resend must come to the same answer. Times outside the window that is kept never refuse an
//! event (old SDKs would resend it for ever): it is filed under its day of receipt and says so.

use std::ops::Range;

use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeDelta, Utc};

use super::event::Flags;
use super::timestamp::ClientTime;

/// How far ahead of our clock a client's clock may be and still be believed.
const FUTURE: TimeDelta = TimeDelta::days(1);
/// A resend this much later than its own time is looked up in `late_ids`.
const LATE: TimeDelta = TimeDelta::days(7);
/// Client clocks that differ less than this are left alone: network delay is no skew.
pub const SKEW_THRESHOLD: TimeDelta = TimeDelta::seconds(60);
/// 2000-01-01: an earlier time is a broken clock, not an event.
const EARLIEST_UNIX_SECONDS: i64 = 946_684_800;

/// The day an event is filed under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Filing {
    /// Partition key of `events`.
    pub day: NaiveDate,
    /// The day did not come from the event's own time, or came more than seven days late: a resend has to be looked up in
    /// `late_ids`, because it may compute another day or meet an index nobody keeps warm.
    pub late: bool,
    /// What to say about it on the row.
    pub flags: Flags,
}

/// Files an event by its raw client time (`originalTimestamp`, else `timestamp`).
#[must_use]
pub fn file(raw: Option<ClientTime>, received_at: DateTime<Utc>, retention_days: u16) -> Filing {
    let by_receipt = |flags| Filing { day: received_at.date_naive(), late: true, flags };
    let Some(raw) = raw else { return by_receipt(Flags::default()) };
    let Some(written) = raw.as_written() else { return by_receipt(Flags::CLOCK_CLAMPED | Flags::TIME_UNREADABLE) };
    let zone = if matches!(raw, ClientTime::Zoneless(_)) { Flags::TIME_ZONELESS } else { Flags::default() };

    let kept = TimeDelta::days(i64::from(retention_days) - 2).max(TimeDelta::days(1));
    let age = received_at.naive_utc() - written;
    if age > kept || age < -FUTURE {
        return by_receipt(zone | Flags::CLOCK_CLAMPED);
    }
    Filing { day: written.date(), late: age > LATE, flags: zone }
}

/// The time an event is shown and ordered by: the client's own where it can be believed, else the time of receipt.
///
/// `skew` is the batch's offset (see [`skew`]). A time without a zone, an unreadable one, one from before 2000 or more than a
/// day ahead falls back to `received_at`; the raw text stays on the row.
#[must_use]
pub fn shown_time(
    event_time: Option<ClientTime>,
    received_at: DateTime<Utc>,
    skew: Option<TimeDelta>,
) -> (DateTime<Utc>, Flags) {
    match event_time {
        None => (received_at, Flags::default()),
        Some(ClientTime::Unreadable) => (received_at, Flags::TIME_UNREADABLE),
        Some(ClientTime::Zoneless(_)) => (received_at, Flags::TIME_ZONELESS),
        Some(ClientTime::Instant(t)) => {
            let (corrected, flags) = match skew {
                Some(offset) => (t.checked_add_signed(offset).unwrap_or(t), Flags::SKEW_CORRECTED),
                None => (t, Flags::default()),
            };
            if corrected.timestamp() < EARLIEST_UNIX_SECONDS || corrected > received_at + FUTURE {
                return (received_at, Flags::CLOCK_CLAMPED);
            }
            (corrected, flags)
        }
    }
}

/// How far from its day an event's timestamp may lie without being noted: zones and skew move it by less.
const USUAL_DAYS: TimeDelta = TimeDelta::days(2);

/// The times that events filed under a day usually have: from two days before it to two days after it. Of a day that holds others
/// `day_spans` says so.
#[must_use]
pub fn usual_times(day: NaiveDate) -> Range<DateTime<Utc>> {
    let midnight = day.and_time(NaiveTime::MIN).and_utc();
    let add = |delta| midnight.checked_add_signed(delta).unwrap_or(midnight);
    add(-USUAL_DAYS)..add(USUAL_DAYS + TimeDelta::days(1))
}

/// How much to add to a client's times so that they fit our clock: one offset per batch, from `sentAt`, and only when it is
/// larger than [`SKEW_THRESHOLD`].
#[must_use]
pub fn skew(sent_at: Option<ClientTime>, received_at: DateTime<Utc>) -> Option<TimeDelta> {
    let Some(ClientTime::Instant(sent)) = sent_at else { return None };
    let offset = received_at - sent;
    (offset.abs() > SKEW_THRESHOLD).then_some(offset)
}

/// The oldest day whose partition still stands on `today`: partitions go two days after the retention ends.
#[must_use]
pub fn oldest_kept(today: NaiveDate, retention_days: u16) -> NaiveDate {
    today.checked_sub_days(Days::new(u64::from(retention_days) + 2)).unwrap_or(NaiveDate::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::timestamp::parse_text;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn filed(time: &str) -> (String, bool, bool) {
        let filing = file(Some(parse_text(time)), at("2026-11-22T00:30:00Z"), 90);
        (filing.day.to_string(), filing.late, filing.flags.contains(Flags::CLOCK_CLAMPED))
    }

    #[test]
    fn an_event_is_filed_under_its_own_day_within_the_window() {
        assert_eq!(filed("2026-11-21T23:59:59Z"), ("2026-11-21".into(), false, false));
        assert_eq!(filed("2026-11-22T23:00:00+05:30"), ("2026-11-22".into(), false, false));
        assert_eq!(filed("2026-11-10T00:00:00Z"), ("2026-11-10".into(), true, false));
        assert_eq!(filed("2026-08-26T01:00:00Z"), ("2026-08-26".into(), true, false));
    }

    #[test]
    fn outside_the_window_it_is_filed_under_the_day_of_receipt_and_says_so() {
        for time in ["2026-08-25T00:00:00Z", "2026-11-24T00:00:00Z", "1999-01-01T00:00:00Z", "rubbish"] {
            assert_eq!(filed(time), ("2026-11-22".into(), true, true), "{time}");
        }
    }

    #[test]
    fn a_zoneless_time_files_by_its_date_as_written() {
        let filing = file(Some(parse_text("2026-11-22T05:59:00.000001")), at("2026-11-22T00:30:00Z"), 90);
        assert_eq!(filing.day.to_string(), "2026-11-22");
        assert_eq!(filing.flags, Flags::TIME_ZONELESS);
        assert_eq!(
            shown_time(Some(parse_text("2026-11-22T05:59:00")), at("2026-11-22T00:30:00Z"), None).0,
            at("2026-11-22T00:30:00Z")
        );
    }

    #[test]
    fn skew_is_corrected_only_beyond_the_threshold() {
        let received = at("2026-11-22T12:00:00Z");
        assert_eq!(skew(Some(parse_text("2026-11-22T11:59:30Z")), received), None);
        let offset = skew(Some(parse_text("2026-11-22T10:00:00Z")), received);
        let (shown, flags) = shown_time(Some(parse_text("2026-11-22T09:59:00Z")), received, offset);
        assert_eq!(shown, at("2026-11-22T11:59:00Z"));
        assert_eq!(flags, Flags::SKEW_CORRECTED);
    }
}
