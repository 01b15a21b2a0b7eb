//! Reading the times that clients send.
//!
//! Accepted: RFC 3339 with any offset (`Z`, `+00:00`, `+0530`), a space for the `T`, any number of fractional digits, Node's
//! expanded years (`+275760-…`), times without an offset (Flutter: device-local, so the offset is unknown), plain dates, and
//! epoch seconds or milliseconds as a number. Everything else is unreadable, which never refuses an event.

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};

/// A client's time as far as it could be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientTime {
    /// An instant.
    Instant(DateTime<Utc>),
    /// A wall-clock time whose zone nobody knows. Never to be read as UTC, except for its date as written.
    Zoneless(NaiveDateTime),
    /// Not a time, or one outside what a calendar of four-digit years holds.
    Unreadable,
}

impl ClientTime {
    /// The time as written, with the zone ignored where there is none: stable for one message, whoever reads it.
    #[must_use]
    pub fn as_written(self) -> Option<NaiveDateTime> {
        match self {
            Self::Instant(t) => Some(t.naive_utc()),
            Self::Zoneless(t) => Some(t),
            Self::Unreadable => None,
        }
    }
}

/// Reads a time that came as a JSON string.
#[must_use]
pub fn parse_text(text: &str) -> ClientTime {
    match parse_text_of_any_year(text) {
        ClientTime::Instant(instant) => within_years(instant),
        ClientTime::Zoneless(local) => zoneless(local),
        ClientTime::Unreadable => ClientTime::Unreadable,
    }
}

/// The same, but not only of the years that events have: a date of birth may lie before 1970.
#[must_use]
pub fn parse_text_of_any_year(text: &str) -> ClientTime {
    let text = text.trim();
    if let Ok(instant) = DateTime::parse_from_rfc3339(text) {
        return ClientTime::Instant(instant.with_timezone(&Utc));
    }
    for format in ["%Y-%m-%dT%H:%M:%S%.f%z", "%Y-%m-%d %H:%M:%S%.f%z", "%Y-%m-%dT%H:%M%z"] {
        if let Ok(instant) = DateTime::parse_from_str(text, format) {
            return ClientTime::Instant(instant.with_timezone(&Utc));
        }
    }
    for format in ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M"] {
        if let Ok(local) = NaiveDateTime::parse_from_str(text, format) {
            return ClientTime::Zoneless(local);
        }
    }
    match NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        Ok(date) => ClientTime::Zoneless(date.and_time(chrono::NaiveTime::MIN)),
        Err(_) => ClientTime::Unreadable,
    }
}

/// Reads a time that came as a JSON number: epoch milliseconds, or seconds where milliseconds would lie before 1973.
#[must_use]
pub fn parse_number(number: f64) -> ClientTime {
    if !number.is_finite() || number <= 0.0 || number >= 253_402_300_800_000.0 {
        return ClientTime::Unreadable;
    }
    let milliseconds = if number < 100_000_000_000.0 { number * 1_000.0 } else { number };
    #[expect(clippy::cast_possible_truncation, reason = "checked to lie within the years 1970 to 9999")]
    DateTime::from_timestamp_millis(milliseconds as i64).map_or(ClientTime::Unreadable, within_years)
}

fn within_years(instant: DateTime<Utc>) -> ClientTime {
    if (0..253_402_300_800).contains(&instant.timestamp()) {
        ClientTime::Instant(instant)
    } else {
        ClientTime::Unreadable
    }
}

fn zoneless(local: NaiveDateTime) -> ClientTime {
    if (0..253_402_300_800).contains(&local.and_utc().timestamp()) {
        ClientTime::Zoneless(local)
    } else {
        ClientTime::Unreadable
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instant(text: &str) -> String {
        match parse_text(text) {
            ClientTime::Instant(t) => t.to_rfc3339_opts(chrono::SecondsFormat::Micros, true),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn every_form_that_real_sdks_send_is_read() {
        for (sent, read) in [
            ("2026-11-22T10:00:00.123Z", "2026-11-22T10:00:00.123000Z"),
            ("2026-11-22T10:00:00.123456+00:00", "2026-11-22T10:00:00.123456Z"),
            ("2026-11-22T15:30:00+05:30", "2026-11-22T10:00:00.000000Z"),
            ("2026-11-22T15:30:00.5+0530", "2026-11-22T10:00:00.500000Z"),
            ("2026-11-22 10:00:00Z", "2026-11-22T10:00:00.000000Z"),
        ] {
            assert_eq!(instant(sent), read, "{sent}");
        }
    }

    #[test]
    fn a_time_without_offset_is_never_taken_for_utc() {
        assert!(matches!(parse_text("2025-11-15T15:36:21.267949"), ClientTime::Zoneless(_)));
        assert!(matches!(parse_text("2025-11-15"), ClientTime::Zoneless(_)));
    }

    #[test]
    fn garbage_and_impossible_years_are_unreadable() {
        for text in [
            "",
            "yesterday",
            "+275760-09-13T00:00:00.000Z",
            "-005000-01-01T00:00:00.000Z",
            "2026-13-45T00:00:00Z",
            "1969-12-31T23:59:59Z",
        ] {
            assert_eq!(parse_text(text), ClientTime::Unreadable, "{text}");
        }
    }

    #[test]
    fn numbers_are_milliseconds_or_seconds() {
        let expected = parse_text("2025-11-15T10:06:58Z");
        assert_eq!(parse_number(1_763_201_218.0), expected);
        assert_eq!(parse_number(1_763_201_218_000.0), expected);
        assert_eq!(parse_number(f64::NAN), ClientTime::Unreadable);
        assert_eq!(parse_number(-5.0), ClientTime::Unreadable);
    }
}
