//! The books: per partition and hour, how many events ended in which outcome.
//!
//! A letter that is there already (a replay brought its event again) is a duplicate: so `stored` is the number of new rows and
//! `dead` the number of events in letters, whatever is read again. [`crate::audit`] compares them.

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use shared::domain::outcome::Tally;
use sqlx::PgConnection;

use super::dead_letters::DeadLetter;
use crate::own::buffer::Line;

/// What a flush adds to one row of the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// Events by outcome.
    pub tally: Tally,
    /// The first message among them.
    pub first_seq: i64,
}

/// Pages by partition and hour.
pub type Books = BTreeMap<(i32, DateTime<Utc>), Page>;

/// Counts a flush: every line is fresh, suppressed, dead, or else a duplicate. `known` are the dead ones that were there before.
#[must_use]
pub fn tally(
    lines: &[Line],
    fresh: &HashSet<(i64, i32, i32)>,
    suppressed: &HashSet<(i64, i32, i32)>,
    dead: &[DeadLetter<'_>],
    known: &HashSet<(i64, i32, i32)>,
) -> Books {
    let put_aside: HashSet<_> = dead.iter().map(DeadLetter::place).collect();
    let mut books = Books::new();
    for line in lines {
        let place = (line.seq, line.partition, line.position);
        let tally = page(&mut books, line.partition, line.sealed_at, line.seq);
        if fresh.contains(&place) {
            tally.stored += 1;
        } else if suppressed.contains(&place) {
            tally.suppressed += 1;
        } else if !put_aside.contains(&place) {
            tally.duplicate += 1;
        }
    }
    for letter in dead {
        let tally = page(&mut books, letter.partition, letter.received_at, letter.seq);
        if known.contains(&letter.place()) {
            tally.duplicate += letter.events;
        } else {
            tally.dead += letter.events;
        }
    }
    books
}

fn page(books: &mut Books, partition: i32, at: DateTime<Utc>, seq: i64) -> &mut Tally {
    let empty = Page { tally: Tally::default(), first_seq: seq };
    let page = books.entry((partition, hour(at))).or_insert(empty);
    page.first_seq = page.first_seq.min(seq);
    &mut page.tally
}

/// The hour of the books that a time falls in.
#[must_use]
pub fn hour(at: DateTime<Utc>) -> DateTime<Utc> {
    // Only times beyond the years of a 64-bit nanosecond count cannot be cut; they stay as they are.
    at.duration_trunc(TimeDelta::hours(1)).unwrap_or(at)
}

/// Adds to the ledger.
pub async fn write(transaction: &mut PgConnection, books: &Books) -> Result<(), sqlx::Error> {
    if books.is_empty() {
        return Ok(());
    }
    let count = |of: fn(&Tally) -> u64| -> Vec<i64> {
        books.values().map(|page| i64::try_from(of(&page.tally)).unwrap_or(i64::MAX)).collect()
    };
    sqlx::query(
        "/* books.write */ INSERT INTO ledger AS l (partition, hour, read, stored, duplicate, dead, suppressed, first_seq)
         SELECT * FROM unnest($1::int[], $2::timestamptz[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
                              $8::bigint[])
         ON CONFLICT (partition, hour) DO UPDATE SET
            read = l.read + excluded.read, stored = l.stored + excluded.stored, duplicate = l.duplicate + excluded.duplicate,
            dead = l.dead + excluded.dead, suppressed = l.suppressed + excluded.suppressed,
            first_seq = least(l.first_seq, excluded.first_seq)",
    )
    .bind(books.keys().map(|k| k.0).collect::<Vec<_>>())
    .bind(books.keys().map(|k| k.1).collect::<Vec<_>>())
    .bind(count(Tally::read))
    .bind(count(|t| t.stored))
    .bind(count(|t| t.duplicate))
    .bind(count(|t| t.dead))
    .bind(count(|t| t.suppressed))
    .bind(books.values().map(|page| page.first_seq).collect::<Vec<_>>())
    .execute(transaction)
    .await?;
    Ok(())
}
