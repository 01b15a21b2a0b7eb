//! What an admin wants done with dead letters, read from the body. The shapes are in [`super::letter_actions`].

use axum::extract::Request;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer};
use shared::store::dead_letters::Filter;
use uuid::Uuid;

use super::sent::{self, SMALL_BODY_BYTES};
use crate::app::App;
use crate::problem::{Kind, Problem};

/// Letters of one call.
pub const MOST_LETTERS: u32 = 1_000;
/// The same, when nothing is said.
pub const DEFAULT_LETTERS: u32 = 500;

/// As sent.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Body {
    #[serde(deserialize_with = "given")]
    ids: Option<Vec<i64>>,
    #[serde(deserialize_with = "given")]
    event_id: Option<Uuid>,
    #[serde(deserialize_with = "given")]
    sqlstate: Option<String>,
    #[serde(deserialize_with = "given")]
    reason: Option<String>,
    #[serde(deserialize_with = "given")]
    user_id: Option<String>,
    #[serde(deserialize_with = "given")]
    from: Option<DateTime<Utc>>,
    #[serde(deserialize_with = "given")]
    to: Option<DateTime<Utc>>,
    all: bool,
    dry_run: bool,
    #[serde(deserialize_with = "given")]
    limit: Option<u32>,
    #[serde(deserialize_with = "given")]
    cursor: Option<String>,
    #[serde(deserialize_with = "given")]
    overwrite_traits: Option<bool>,
    #[serde(deserialize_with = "given")]
    why: Option<String>,
}

/// A null is no value: a filter that silently does nothing would hit the wrong letters.
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// What to do with whom.
#[derive(Debug)]
pub struct Wanted {
    /// Which letters.
    pub filter: Filter,
    /// Only say what would be done.
    pub dry_run: bool,
    /// Letters of this call.
    pub limit: u32,
    /// Where the call before ended.
    pub cursor: Option<Cursor>,
    /// Identifies too of whose user a later one is stored.
    pub overwrite_traits: bool,
    /// Why they are discarded.
    pub why: Option<String>,
}

/// How far a run of calls has come, and where it ends: ids of letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// The last one that was looked at.
    pub after: i64,
    /// The last one there was when the run began.
    pub last_id: i64,
}

impl Cursor {
    /// As it is sent.
    #[must_use]
    pub fn text(self) -> String {
        format!("{}-{}", self.after, self.last_id)
    }

    fn parse(text: &str) -> Option<Self> {
        let id = |text: &str| -> Option<i64> {
            if text.len() <= 18 && text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { None }
        };
        let (after, last_id) = text.split_once('-')?;
        Some(Self { after: id(after)?, last_id: id(last_id)? })
    }
}

/// Reads the request. `foreign` is a field that only the other call has.
pub async fn read(app: &App, request: Request, foreign: &str) -> Result<Wanted, Problem> {
    let sent = sent::object(app, request, SMALL_BODY_BYTES, Kind::InvalidParameter).await?;
    let wrong = |what: String| Problem::new(Kind::InvalidParameter, what);
    if sent.get(foreign).is_some() {
        return Err(wrong(format!("{foreign} is not of this call: leave it out")));
    }
    let body: Body =
        serde_json::from_str(&sent.to_json()).map_err(|error| wrong(format!("the body cannot be used: {error}")))?;
    for (name, text) in [("sqlstate", &body.sqlstate), ("reason", &body.reason), ("user_id", &body.user_id)] {
        if text.as_ref().is_some_and(String::is_empty) {
            return Err(wrong(format!("{name} must not be empty: leave it out")));
        }
    }
    if body.ids.as_ref().is_some_and(|ids| ids.is_empty() || ids.len() > MOST_LETTERS as usize) {
        return Err(wrong(format!("ids must name 1 to {MOST_LETTERS} letters")));
    }
    let limit = body.limit.unwrap_or(DEFAULT_LETTERS);
    if !(1..=MOST_LETTERS).contains(&limit) {
        return Err(wrong(format!("limit must be from 1 to {MOST_LETTERS}")));
    }
    let cursor = match body.cursor.as_deref().map(Cursor::parse) {
        Some(None) => return Err(wrong("cursor must be the next_cursor of an answer".to_owned())),
        cursor => cursor.flatten(),
    };
    let filter = Filter {
        ids: body.ids,
        event_id: body.event_id,
        sqlstate: body.sqlstate,
        reason: body.reason,
        user_id: body.user_id,
        from: body.from,
        to: body.to,
    };
    if filter.is_empty() != body.all {
        let message =
            "say which letters: ids, event_id, sqlstate, reason, user_id, from or to; or \"all\": true, alone";
        return Err(wrong(message.to_owned()));
    }
    let (dry_run, overwrite_traits, why) = (body.dry_run, body.overwrite_traits.unwrap_or(false), body.why);
    Ok(Wanted { filter, dry_run, limit, cursor, overwrite_traits, why })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_back_and_nothing_else_is_one() {
        let cursor = Cursor { after: 12, last_id: 999 };
        assert_eq!(Cursor::parse(&cursor.text()), Some(cursor));
        for text in ["", "-", "12", "12-", "+1-2", "1-2-3", "1234567890123456789-1", "a-b"] {
            assert_eq!(Cursor::parse(text), None, "{text}");
        }
    }
}
