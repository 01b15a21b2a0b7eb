//! How the lists of the admin API are paged.
//!
//! | parameter | meaning |
//! |---|---|
//! | `limit` | rows of a page; 0 or no number: the list's default; at most the list's largest |
//! | `offset` | rows to leave out, as on the old server; shifts when rows are added meanwhile |
//! | `cursor` | `next_cursor` of the page before: goes on behind its last row, whatever was added since |
//!
//! `next_cursor` is null on the last page. A cursor is opaque to clients; inside it is the sort key of a row, as JSON in base64.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::problem::{Kind, Problem};
use crate::query::Query;

/// Which page of a list whose rows are sorted by a `Key`.
#[derive(Debug, Clone)]
pub struct Page<Key> {
    /// `None`: all rows.
    pub limit: Option<i64>,
    /// Rows to leave out.
    pub offset: i64,
    /// Only rows behind this one.
    pub after: Option<Key>,
}

impl<Key: Serialize + DeserializeOwned> Page<Key> {
    /// Reads the parameters; `default` rows, and never more than `largest`.
    pub fn read(query: &Query<'_>, default: Option<i64>, largest: i64) -> Result<Self, Problem> {
        let limit = query.number("limit").filter(|limit| *limit > 0).or(default);
        Ok(Self {
            limit: limit.map(|limit| limit.min(largest)),
            offset: query.number("offset").unwrap_or(0),
            after: query.text("cursor").map(decode).transpose()?,
        })
    }

    /// How many rows to ask for: one more than the page has, to know whether it is the last.
    #[must_use]
    pub fn rows_to_read(&self) -> Option<i64> {
        self.limit.map(|limit| limit.saturating_add(1))
    }

    /// Cuts what was read to the page; returns `next_cursor`.
    pub fn cut<Row>(&self, rows: &mut Vec<Row>, key: impl Fn(&Row) -> Key) -> Option<String> {
        let limit = self.limit.and_then(|limit| usize::try_from(limit).ok())?;
        if rows.len() <= limit {
            return None;
        }
        rows.truncate(limit);
        rows.last().map(|last| encode(&key(last)))
    }
}

/// The cursor that leads behind a row with this key.
#[must_use]
pub fn encode(key: &impl Serialize) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(key).unwrap_or_default())
}

fn decode<Key: DeserializeOwned>(text: &str) -> Result<Key, Problem> {
    let key = URL_SAFE_NO_PAD.decode(text).ok().and_then(|json| serde_json::from_slice(&json).ok());
    key.ok_or_else(|| {
        Problem::new(Kind::InvalidParameter, "cursor is not one of this list: send next_cursor of a page as it came")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(query: &str) -> Page<(i64, String)> {
        Page::read(&Query::parse(Some(query)), Some(2), 3).unwrap()
    }

    #[test]
    fn a_cursor_leads_behind_the_last_row_of_a_full_page_and_is_absent_on_the_last() {
        let first = page("limit=0");
        assert_eq!(first.rows_to_read(), Some(3));
        let row = |n: i64| (n, format!("{n}/ä"));
        let mut rows = vec![row(3), row(2), row(1)];
        let cursor = first.cut(&mut rows, Clone::clone).unwrap();
        assert_eq!(rows, [row(3), row(2)]);
        let second = page(&format!("limit=99&cursor={cursor}"));
        assert_eq!((second.after.clone(), second.limit), (Some(row(2)), Some(3)));
        assert_eq!(second.cut(&mut vec![row(1)], Clone::clone), None);
    }

    #[test]
    fn what_is_no_cursor_of_this_list_is_refused() {
        for cursor in ["x", "!!", "MQ", "WzEsMl0"] {
            let query = format!("cursor={cursor}");
            assert!(Page::<(i64, String)>::read(&Query::parse(Some(&query)), None, 9).is_err(), "{cursor}");
        }
    }
}
