//! Points in time as fields and rules spell them.
//!
//! Text is what [`crate::domain::timestamp`] reads, of any year; a time without a zone is read as UTC, because a rule needs one
//! answer. Numbers, also in text, are epoch seconds, or milliseconds from 100,000,000,000 on.

use chrono::{DateTime, TimeDelta, Utc};

use super::value::Scalar;
use crate::domain::timestamp::{self, ClientTime};

/// How far a field may lie ahead of our clock and still count as "within the last …": clocks differ.
const AHEAD: TimeDelta = TimeDelta::minutes(5);

/// What a time may look like, for a fault.
pub const EXPECTED: &str =
    r#"must be a time: ISO 8601 such as "2026-01-31T18:00:00Z" or "2026-01-31", or epoch seconds or milliseconds"#;

/// The instant; `None` for what is no time.
#[must_use]
pub fn read(value: &Scalar<'_>) -> Option<DateTime<Utc>> {
    let time = match value {
        Scalar::Null | Scalar::Bool(_) => return None,
        Scalar::Number(number) => timestamp::parse_number(number.as_f64()),
        Scalar::Text(text) => match timestamp::parse_text_of_any_year(text) {
            ClientTime::Unreadable => timestamp::parse_number(value.number()?.as_f64()),
            time => time,
        },
    };
    time.as_written().map(|written| written.and_utc())
}

/// Does `time` lie in the last `seconds` before `now`? Just so long ago is no more, up to five minutes ahead still is.
#[must_use]
pub fn is_within_last(time: DateTime<Utc>, seconds: u32, now: DateTime<Utc>) -> bool {
    let age = now.signed_duration_since(time);
    age < TimeDelta::seconds(i64::from(seconds)) && age >= -AHEAD
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::value::RawValue;

    fn read_json(json: &str) -> Option<String> {
        let raw: &RawValue = serde_json::from_str(json).unwrap();
        read(&Scalar::decode(raw)?).map(|time| time.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true))
    }

    #[test]
    fn times_of_all_spellings_are_read() {
        for (json, expected) in [
            (r#""2026-01-31T18:00:00+05:30""#, "2026-01-31T12:30:00Z"),
            (r#""2026-01-31T18:00:00.25""#, "2026-01-31T18:00:00.250Z"),
            (r#""2026-01-31""#, "2026-01-31T00:00:00Z"),
            (r#""1965-04-12""#, "1965-04-12T00:00:00Z"),
            (r#""1965-04-12T00:00:00Z""#, "1965-04-12T00:00:00Z"),
            ("1763201218", "2025-11-15T10:06:58Z"),
            ("1763201218123", "2025-11-15T10:06:58.123Z"),
            (r#""1763201218""#, "2025-11-15T10:06:58Z"),
            ("99999999999", "5138-11-16T09:46:39Z"),
            ("100000000000", "1973-03-03T09:46:40Z"),
        ] {
            assert_eq!(read_json(json).as_deref(), Some(expected), "{json}");
        }
    }

    #[test]
    fn anything_else_is_none() {
        for json in [r#""""#, r#""soon""#, "true", "null", "-1", "0", "1e300", r#""2026-02-30""#] {
            assert_eq!(read_json(json), None, "{json}");
        }
    }

    #[test]
    fn the_last_seconds_end_five_minutes_ahead() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let at = |seconds| is_within_last(now + TimeDelta::seconds(seconds), 60, now);
        assert_eq!([-61, -60, -59, 0, 300, 301].map(at), [false, false, true, true, true, false]);
    }
}
