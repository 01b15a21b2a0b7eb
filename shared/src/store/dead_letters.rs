//! Dead letters as people handle them: which are meant, what is open among them, and the marks. Written by the worker's flush.
//!
//! A letter is open until it is marked `redriven` or `discarded`; marks are never taken back, and nothing is deleted. Who marks letters
//! locks them first and passes over those that somebody else has locked, so two people at once share the work.

use std::ops::RangeInclusive;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use sqlx::postgres::{PgConnection, PgPool, PgRow, Postgres};
use sqlx::{FromRow, QueryBuilder};
use uuid::Uuid;

use crate::domain::redrive::Identify;

/// What a letter is shown with; without its payload.
pub const COLUMNS: &str = "id, event_id, user_id, lane, stream_seq, partition, position, events, sqlstate, reason,
    length(payload) AS payload_bytes, received_at, created_at, previous_id,
    CASE WHEN redriven_at IS NOT NULL THEN 'redriven' WHEN discarded_at IS NOT NULL THEN 'discarded' ELSE 'open' END AS state,
    redriven_at, redriven_by, redriven_seq, discarded_at, discarded_by, discard_reason";
/// A longest piece of payloads that is taken in at once, unless one alone is longer: fits into one stream message.
const PIECE_BYTES: i64 = 512 << 10;
/// Kinds of reasons that a summary names.
const MOST_REASONS: i64 = 20;

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

/// Which letters are meant: those for which everything holds. Texts are free of zero bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// These.
    pub ids: Option<Vec<i64>>,
    /// Of this event.
    pub event_id: Option<Uuid>,
    /// Refused by the database with this code.
    pub sqlstate: Option<String>,
    /// With this text in the reason, in capitals or not.
    pub reason: Option<String>,
    /// Of this user id, or of this anonymous id where the event has no user id.
    pub user_id: Option<String>,
    /// Put aside then or later.
    pub from: Option<DateTime<Utc>>,
    /// Put aside before.
    pub to: Option<DateTime<Utc>>,
}

impl Filter {
    /// Are all letters meant?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn narrow(&self, query: &mut QueryBuilder<'_, Postgres>) {
        if let Some(ids) = &self.ids {
            query.push(" AND id = ANY(").push_bind(ids.clone()).push(")");
        }
        if let Some(event_id) = self.event_id {
            query.push(" AND event_id = ").push_bind(event_id);
        }
        if let Some(sqlstate) = &self.sqlstate {
            query.push(" AND sqlstate = ").push_bind(sqlstate.clone());
        }
        if let Some(reason) = &self.reason {
            query.push(" AND position(lower(").push_bind(reason.clone()).push(") IN lower(reason)) > 0");
        }
        if let Some(user_id) = &self.user_id {
            query.push(" AND user_id = ").push_bind(user_id.clone());
        }
        if let Some(from) = self.from {
            query.push(" AND created_at >= ").push_bind(from);
        }
        if let Some(to) = self.to {
            query.push(" AND created_at < ").push_bind(to);
        }
    }

    fn open<'a>(&self, what: &str, ids: &RangeInclusive<i64>) -> QueryBuilder<'a, Postgres> {
        let mut query = QueryBuilder::new(format!("SELECT {what} FROM dead_letters WHERE {}", State::Open.condition()));
        query.push(" AND id BETWEEN ").push_bind(*ids.start()).push(" AND ").push_bind(*ids.end());
        self.narrow(&mut query);
        query
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
    let mut query = QueryBuilder::new(format!("SELECT {COLUMNS} FROM dead_letters WHERE "));
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
    let mut query = QueryBuilder::new("SELECT count(*) FROM (SELECT 1 FROM dead_letters WHERE ");
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
    let sql = format!("SELECT {COLUMNS} FROM dead_letters WHERE id = $1");
    let letter = sqlx::query_as(&sql).bind(id).fetch_optional(&mut *connection).await?;
    let payload = "SELECT payload FROM dead_letters WHERE id = $1";
    let payload = sqlx::query_scalar(payload).bind(id).fetch_optional(connection).await?;
    Ok(letter.zip(payload))
}

/// What is open among the letters that are meant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// How many letters.
    pub letters: i64,
    /// How many events they stand for.
    pub events: i64,
    /// The last id there is. Who goes no further never meets what fails again on the way.
    pub last_id: i64,
    /// Why they are dead, most frequent first.
    pub reasons: Vec<Reason>,
}

/// Letters that are dead for one reason.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Reason {
    /// The database's code.
    pub sqlstate: Option<String>,
    /// In words.
    pub reason: String,
    /// How many.
    pub letters: i64,
}

/// Sums up what is open.
pub async fn summary(connection: &mut PgConnection, filter: &Filter) -> Result<Summary, sqlx::Error> {
    let all = 0..=i64::MAX;
    let sums = "count(*), coalesce(sum(events), 0)::bigint, coalesce(max(id), 0)";
    let (letters, events, last_id) =
        filter.open(sums, &all).build_query_as::<(i64, i64, i64)>().fetch_one(&mut *connection).await?;
    let mut reasons = filter.open("sqlstate, reason, count(*) AS letters", &all);
    reasons.push(" GROUP BY sqlstate, reason ORDER BY letters DESC, reason LIMIT ").push_bind(MOST_REASONS);
    Ok(Summary { letters, events, last_id, reasons: reasons.build_query_as().fetch_all(connection).await? })
}

/// Which of these ids are no open letters, and why not.
pub async fn not_open(connection: &mut PgConnection, ids: &[i64]) -> Result<Vec<(i64, String)>, sqlx::Error> {
    sqlx::query_as(
        "SELECT i.id, CASE WHEN redriven_at IS NOT NULL THEN 'it was redriven at ' || to_char(redriven_at, 'YYYY-MM-DD HH24:MI:SS')
                           WHEN discarded_at IS NOT NULL THEN 'it was discarded at ' || to_char(discarded_at, 'YYYY-MM-DD HH24:MI:SS')
                           ELSE 'there is no such letter' END
           FROM unnest($1::bigint[]) AS i (id) LEFT JOIN dead_letters d ON d.id = i.id
          WHERE d.id IS NULL OR redriven_at IS NOT NULL OR discarded_at IS NOT NULL ORDER BY 1",
    )
    .bind(ids)
    .fetch_all(connection)
    .await
}

/// An open letter that is locked.
#[derive(Debug, Clone)]
pub struct Locked {
    /// Of the letter.
    pub id: i64,
    /// How many events it stands for.
    pub events: i32,
    /// As it lay in the stream.
    pub payload: Bytes,
}

/// Locks the next open letters that are meant, by id, until the transaction ends: at most `most`, and not too many bytes.
pub async fn lock(
    transaction: &mut PgConnection,
    filter: &Filter,
    ids: RangeInclusive<i64>,
    most: u32,
) -> Result<Vec<Locked>, sqlx::Error> {
    let mut query = filter.open("id, length(payload)::bigint", &ids);
    query.push(" ORDER BY id LIMIT ").push_bind(i64::from(most)).push(" FOR UPDATE SKIP LOCKED");
    let lengths: Vec<(i64, i64)> = query.build_query_as().fetch_all(&mut *transaction).await?;
    let mut bytes = 0;
    let fits = |(place, (id, length)): (usize, &(i64, i64))| {
        bytes += length;
        (place == 0 || bytes <= PIECE_BYTES).then_some(*id)
    };
    let piece: Vec<i64> = lengths.iter().enumerate().map_while(fits).collect();
    let sql = "SELECT id, events, payload FROM dead_letters WHERE id = ANY($1) ORDER BY id";
    let letters: Vec<(i64, i32, Vec<u8>)> = sqlx::query_as(sql).bind(piece).fetch_all(transaction).await?;
    Ok(letters.into_iter().map(|(id, events, payload)| Locked { id, events, payload: payload.into() }).collect())
}

/// Which of these identifies, by place, are older than the last change of the profile they would change.
pub async fn outdated(transaction: &mut PgConnection, identifies: &[Identify]) -> Result<Vec<usize>, sqlx::Error> {
    if identifies.is_empty() {
        return Ok(Vec::new());
    }
    let places: Vec<i64> = sqlx::query_scalar(
        "SELECT place FROM unnest($1::text[], $2::text[], $3::timestamptz[]) WITH ORDINALITY AS i (kind, id, received_at, place)
           JOIN users u ON u.kind = i.kind AND u.id = i.id WHERE u.updated_at >= i.received_at",
    )
    .bind(identifies.iter().map(|i| i.kind.as_str()).collect::<Vec<_>>())
    // No profile has a name that no text can hold.
    .bind(identifies.iter().map(|i| i.id.replace('\0', "\u{fffd}")).collect::<Vec<_>>())
    .bind(identifies.iter().map(|i| i.received_at).collect::<Vec<_>>())
    .fetch_all(transaction)
    .await?;
    Ok(places.into_iter().filter_map(|place| usize::try_from(place - 1).ok()).collect())
}

/// A letter that is in the stream again.
#[derive(Debug, Clone, Copy)]
pub struct Redriven {
    /// Of the letter.
    pub id: i64,
    /// Of its event, which could perhaps not be read at first.
    pub event_id: Option<Uuid>,
    /// The message that carries it.
    pub seq: i64,
}

/// Marks letters as redriven.
pub async fn mark_redriven(transaction: &mut PgConnection, letters: &[Redriven], by: &str) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE dead_letters d SET redriven_at = clock_timestamp(), redriven_by = $4, redriven_seq = r.seq,
                                   event_id = coalesce(d.event_id, r.event_id)
           FROM unnest($1::bigint[], $2::uuid[], $3::bigint[]) AS r (id, event_id, seq) WHERE d.id = r.id",
    )
    .bind(letters.iter().map(|l| l.id).collect::<Vec<_>>())
    .bind(letters.iter().map(|l| l.event_id).collect::<Vec<_>>())
    .bind(letters.iter().map(|l| l.seq).collect::<Vec<_>>())
    .bind(by)
    .execute(transaction)
    .await?;
    Ok(())
}

/// What was discarded in one go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Discarded {
    /// How many letters.
    pub letters: u64,
    /// How many events they stand for.
    pub events: u64,
    /// The last of them; `None` when there was none left.
    pub reached: Option<i64>,
}

/// Marks the next open letters that are meant as discarded, at most `most`.
pub async fn discard(
    pool: &PgPool,
    filter: &Filter,
    ids: RangeInclusive<i64>,
    most: u32,
    (by, why): (&str, Option<&str>),
) -> Result<Discarded, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    let mut query = filter.open("id, events", &ids);
    query.push(" ORDER BY id LIMIT ").push_bind(i64::from(most)).push(" FOR UPDATE SKIP LOCKED");
    let locked: Vec<(i64, i32)> = query.build_query_as().fetch_all(&mut *transaction).await?;
    let mark = "UPDATE dead_letters SET discarded_at = clock_timestamp(), discarded_by = $2, discard_reason = $3 WHERE id = ANY($1)";
    let ids: Vec<i64> = locked.iter().map(|(id, _)| *id).collect();
    sqlx::query(mark).bind(&ids).bind(by).bind(why).execute(&mut *transaction).await?;
    transaction.commit().await?;
    let events = locked.iter().map(|(_, events)| u64::from(events.unsigned_abs())).sum();
    Ok(Discarded { letters: ids.len() as u64, events, reached: ids.last().copied() })
}
