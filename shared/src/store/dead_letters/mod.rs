//! Dead letters as people handle them: looking at them here, which are meant ([`filter`]), and what is done about open ones ([`open`]).
//! The worker's flush writes them.
//!
//! A letter is open until it is marked `redriven` or `discarded`; marks are never taken back, and nothing is deleted. Who marks letters
//! locks them first and passes over those that somebody else has locked, so two people at once share the work.

pub mod filter;
pub mod open;

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{FromRow, QueryBuilder};

pub use self::filter::Filter;

/// What a letter is shown with; without its payload.
pub const COLUMNS: &str = "id, event_id, user_id, lane, stream_seq, partition, position, events, sqlstate, reason,
    length(payload) AS payload_bytes, received_at, created_at, previous_id,
    CASE WHEN redriven_at IS NOT NULL THEN 'redriven' WHEN discarded_at IS NOT NULL THEN 'discarded' ELSE 'open' END AS state,
    redriven_at, redriven_by, redriven_seq, discarded_at, discarded_by, discard_reason";

/// What became of a letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nothing yet.
    Open,
    /// It went through the stream again.
    Redriven,
    /// Somebody decided that it stays dead.
    Discarded,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Open, Self::Redriven, Self::Discarded];

    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Redriven => "redriven",
            Self::Discarded => "discarded",
        }
    }

    fn condition(self) -> &'static str {
        match self {
            Self::Open => "redriven_at IS NULL AND discarded_at IS NULL",
            Self::Redriven => "redriven_at IS NOT NULL",
            Self::Discarded => "discarded_at IS NOT NULL",
        }
    }
}

/// A page of letters, latest first: those before the id `before`, `offset` of them left out. Rows have [`COLUMNS`].
pub async fn page<T>(
    connection: &mut PgConnection,
    (filter, state): (&Filter, Option<State>),
    (before, offset, limit): (Option<i64>, i64, Option<i64>),
) -> Result<Vec<T>, sqlx::Error>
where
    T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
{
    let mut query = QueryBuilder::new(format!("/* dead_letters.page */ SELECT {COLUMNS} FROM dead_letters WHERE "));
    query.push(state.map_or("true", State::condition));
    filter.narrow(&mut query);
    if let Some(id) = before {
        query.push(" AND id < ").push_bind(id);
    }
    query.push(" ORDER BY id DESC LIMIT ").push_bind(limit).push(" OFFSET ").push_bind(offset);
    query.build_query_as().fetch_all(connection).await
}

/// How many letters are meant, counted up to `most`.
pub async fn count(
    connection: &mut PgConnection,
    (filter, state): (&Filter, Option<State>),
    most: i64,
) -> Result<i64, sqlx::Error> {
    let mut query =
        QueryBuilder::new("/* dead_letters.count */ SELECT count(*) FROM (SELECT 1 FROM dead_letters WHERE ");
    query.push(state.map_or("true", State::condition));
    filter.narrow(&mut query);
    query.push(" LIMIT ").push_bind(most).push(") AS counted");
    query.build_query_scalar().fetch_one(connection).await
}

/// One letter with its payload.
pub async fn one<T>(connection: &mut PgConnection, id: i64) -> Result<Option<(T, Vec<u8>)>, sqlx::Error>
where
    T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
{
    let sql = format!("/* dead_letters.one.dead_letters */ SELECT {COLUMNS} FROM dead_letters WHERE id = $1");
    let letter = sqlx::query_as(&sql).bind(id).fetch_optional(&mut *connection).await?;
    let payload = "/* dead_letters.one.dead_letters.2 */ SELECT payload FROM dead_letters WHERE id = $1";
    let payload = sqlx::query_scalar(payload).bind(id).fetch_optional(connection).await?;
    Ok(letter.zip(payload))
}
