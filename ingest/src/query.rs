//! Query parameters, read leniently as the old server did: what is no number counts as absent.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use shared::domain::limits;
use shared::domain::timestamp::{ClientTime, parse_number, parse_text};

use crate::problem::{Kind, Problem};

/// The parameters of one request, decoded.
#[derive(Debug)]
pub struct Query<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Query<'a> {
    /// Reads a query string.
    #[must_use]
    pub fn parse(query: Option<&'a str>) -> Self {
        Self(form_urlencoded::parse(query.unwrap_or_default().as_bytes()).collect())
    }

    /// A text; blank is absent.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
    }

    /// An id that could be one of ours.
    pub fn id(&self, name: &str) -> Result<Option<&str>, Problem> {
        let text = self.text(name);
        if text.is_some_and(|text| text.len() > limits::ID_BYTES || text.contains('\0')) {
            let message = format!("{name} must be at most {} bytes, without a zero byte", limits::ID_BYTES);
            return Err(Problem::new(Kind::InvalidParameter, message));
        }
        Ok(text)
    }

    /// A text that the database can be asked for.
    pub fn plain(&self, name: &str) -> Result<Option<&str>, Problem> {
        let text = self.text(name);
        if text.is_some_and(|text| text.contains('\0')) {
            return Err(Problem::new(Kind::InvalidParameter, format!("{name} must not hold a zero byte")));
        }
        Ok(text)
    }

    /// A time: ISO 8601, in UTC where it names no zone, or epoch milliseconds. Read strictly: a filter that silently does
    /// nothing would show the wrong rows.
    pub fn time(&self, name: &str) -> Result<Option<DateTime<Utc>>, Problem> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let read = |text: &str| text.parse().map_or_else(|_| parse_text(text), parse_number);
        let time = match read(text) {
            // The plus sign of a zone that was not encoded has become a space.
            ClientTime::Unreadable => read(&text.replace(' ', "+")),
            time => time,
        };
        match time {
            ClientTime::Instant(time) => Ok(Some(time)),
            ClientTime::Zoneless(time) => Ok(Some(time.and_utc())),
            ClientTime::Unreadable => {
                let message = format!("{name} must be a time in ISO 8601, or epoch milliseconds");
                Err(Problem::new(Kind::InvalidParameter, message))
            }
        }
    }

    /// A whole number, zero or more.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<i64> {
        self.text(name)?.parse().ok().filter(|number| *number >= 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_absent() {
        let query = Query::parse(Some("user_id=a%20b&limit=ten&offset=-1&event=&x=3"));
        assert_eq!((query.text("user_id"), query.text("event"), query.text("nothing")), (Some("a b"), None, None));
        assert_eq!((query.number("limit"), query.number("offset"), query.number("x")), (None, None, Some(3)));
        assert!(Query::parse(Some("user_id=%00")).id("user_id").is_err());
    }

    #[test]
    fn a_time_is_read_in_several_forms_and_nonsense_is_refused() {
        for text in ["2025-11-15T10:06:58Z", "2025-11-15T15:36:58+05:30", "1763201218000", "2025-11-15 10:06:58"] {
            let query = format!("from={text}");
            let read = Query::parse(Some(&query)).time("from").unwrap().unwrap();
            assert_eq!(read.timestamp(), 1_763_201_218, "{text}");
        }
        assert_eq!(Query::parse(Some("")).time("from").unwrap(), None);
        assert!(Query::parse(Some("from=yesterday")).time("from").is_err());
    }
}
