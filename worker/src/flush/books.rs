//! The books: per partition and hour, how many events ended in which outcome.

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use shared::domain::outcome::Tally;
use sqlx::PgConnection;

use super::dead_letters::DeadLetter;
use crate::own::buffer::Line;

/// Tallies by partition and hour.
pub type Books = BTreeMap<(i32, DateTime<Utc>), Tally>;

/// Counts a flush: every line is fresh, dead, or else a duplicate.
#[must_use]
pub fn tally(lines: &[Line], fresh: &HashSet<(i64, i32, i32)>, dead: &[DeadLetter<'_>]) -> Books {
    let put_aside: HashSet<_> = dead.iter().map(|d| (d.seq, d.partition, d.position)).collect();
    let mut books = Books::new();
    for line in lines {
        let place = (line.seq, line.partition, line.position);
        let tally = books.entry((line.partition, hour(line.sealed_at))).or_default();
        if fresh.contains(&place) {
            tally.stored += 1;
        } else if !put_aside.contains(&place) {
            tally.duplicate += 1;
        }
    }
    for letter in dead {
        books.entry((letter.partition, hour(letter.received_at))).or_default().dead += letter.events;
    }
    books
}

fn hour(at: DateTime<Utc>) -> DateTime<Utc> {
    // Only times beyond the years of a 64-bit nanosecond count cannot be cut; they stay as they are.
    at.duration_trunc(TimeDelta::hours(1)).unwrap_or(at)
}

/// Adds to the ledger.
pub async fn write(transaction: &mut PgConnection, books: &Books) -> Result<(), sqlx::Error> {
    if books.is_empty() {
        return Ok(());
    }
    let count = |of: fn(&Tally) -> u64| -> Vec<i64> {
        books.values().map(|t| i64::try_from(of(t)).unwrap_or(i64::MAX)).collect()
    };
    sqlx::query(
        "INSERT INTO ledger AS l (partition, hour, read, stored, duplicate, dead, suppressed)
         SELECT * FROM unnest($1::int[], $2::timestamptz[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])
         ON CONFLICT (partition, hour) DO UPDATE SET
            read = l.read + excluded.read, stored = l.stored + excluded.stored, duplicate = l.duplicate + excluded.duplicate,
            dead = l.dead + excluded.dead, suppressed = l.suppressed + excluded.suppressed",
    )
    .bind(books.keys().map(|k| k.0).collect::<Vec<_>>())
    .bind(books.keys().map(|k| k.1).collect::<Vec<_>>())
    .bind(count(Tally::read))
    .bind(count(|t| t.stored))
    .bind(count(|t| t.duplicate))
    .bind(count(|t| t.dead))
    .bind(count(|t| t.suppressed))
    .execute(transaction)
    .await?;
    Ok(())
}
