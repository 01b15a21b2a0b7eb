//! Open letters: what there is, locking a piece of it, and the marks.

use std::collections::HashSet;
use std::ops::RangeInclusive;

use bytes::Bytes;
use sqlx::FromRow;
use sqlx::postgres::{PgConnection, PgPool};
use uuid::Uuid;

use super::Filter;
use crate::domain::redrive::Identify;

/// A longest piece of payloads that is taken in at once, unless one alone is longer: fits into one stream message.
const PIECE_BYTES: i64 = 512 << 10;
/// Kinds of reasons that a summary names.
const MOST_REASONS: i64 = 20;

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
        "/* open.not_open */ SELECT i.id, CASE WHEN redriven_at IS NOT NULL THEN 'it was redriven at ' || to_char(redriven_at, 'YYYY-MM-DD HH24:MI:SS')
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
    let sql = "/* open.lock */ SELECT id, events, payload FROM dead_letters WHERE id = ANY($1) ORDER BY id";
    let letters: Vec<(i64, i32, Vec<u8>)> = sqlx::query_as(sql).bind(piece).fetch_all(transaction).await?;
    Ok(letters.into_iter().map(|(id, events, payload)| Locked { id, events, payload: payload.into() }).collect())
}

/// Which letters, of these with their identifies, are older than another identify of the same user that is stored.
pub async fn outdated(
    transaction: &mut PgConnection,
    identifies: &[(i64, &Identify)],
) -> Result<HashSet<i64>, sqlx::Error> {
    if identifies.is_empty() {
        return Ok(HashSet::new());
    }
    // The profile tells cheaply of most users that there is none; a minute, because clocks differ.
    let letters: Vec<i64> = sqlx::query_scalar(
        "/* open.outdated */ SELECT letter FROM unnest($1::bigint[], $2::text[], $3::text[], $4::uuid[], $5::timestamptz[])
                         AS i (letter, kind, id, event_id, received_at)
           JOIN users u ON u.kind = i.kind AND u.id = i.id AND u.updated_at >= i.received_at - interval '1 minute'
          WHERE EXISTS (SELECT FROM events e
                         WHERE coalesce(e.user_id, e.anonymous_id) = i.id AND (e.user_id IS NOT NULL) = (i.kind = 'user')
                           AND e.type = 'identify' AND e.received_at >= i.received_at AND e.id <> i.event_id)",
    )
    .bind(identifies.iter().map(|(letter, _)| *letter).collect::<Vec<_>>())
    .bind(identifies.iter().map(|(_, i)| i.kind.as_str()).collect::<Vec<_>>())
    // No profile has a name that no text can hold.
    .bind(identifies.iter().map(|(_, i)| i.id.replace('\0', "\u{fffd}")).collect::<Vec<_>>())
    .bind(identifies.iter().map(|(_, i)| i.event_id).collect::<Vec<_>>())
    .bind(identifies.iter().map(|(_, i)| i.received_at).collect::<Vec<_>>())
    .fetch_all(transaction)
    .await?;
    Ok(letters.into_iter().collect())
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
        "/* open.mark_redriven */ UPDATE dead_letters d SET redriven_at = clock_timestamp(), redriven_by = $4, redriven_seq = r.seq,
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
    let mark = "/* open.discard */ UPDATE dead_letters SET discarded_at = clock_timestamp(), discarded_by = $2, discard_reason = $3 WHERE id = ANY($1)";
    let ids: Vec<i64> = locked.iter().map(|(id, _)| *id).collect();
    sqlx::query(mark).bind(&ids).bind(by).bind(why).execute(&mut *transaction).await?;
    transaction.commit().await?;
    let events = locked.iter().map(|(_, events)| u64::from(events.unsigned_abs())).sum();
    Ok(Discarded { letters: ids.len() as u64, events, reached: ids.last().copied() })
}
