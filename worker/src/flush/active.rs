//! Who was active on which day: one row for each day and user key, so that each counts once in the day's sum, whatever comes late,
//! again or through another worker.
//!
//! Strangers have no key and do not count. The rows go with the events ([`crate::jobs::retention::sweep`]) or with the person
//! ([`crate::erasure::rows`]); the sum stays. What this session has committed is remembered ([`Seen`]), so that a user who sends many
//! events costs one statement's row a day and not one a flush.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use chrono::NaiveDate;
use shared::domain::rollup::{self, OTHER, Sums, What};
use shared::domain::user_key::UserKey;
use sqlx::PgConnection;
use uuid::Uuid;

use super::Incoming;
use super::effects::Plan;
use super::rows::ROWS_PER_STATEMENT;

/// A day, and the fingerprint of somebody who was active on it.
pub type Pair = (NaiveDate, Uuid);

/// Pairs that are remembered in each of two generations; some 3 MB when full.
const PAIRS_PER_GENERATION: usize = 50_000;

/// Pairs that are in the database. One that is forgotten costs a statement that changes nothing.
#[derive(Debug, Default)]
pub struct Seen {
    young: HashSet<Pair>,
    old: HashSet<Pair>,
}

impl Seen {
    fn contains(&self, pair: &Pair) -> bool {
        self.young.contains(pair) || self.old.contains(pair)
    }

    /// Remembers what a flush committed; of very many the oldest are forgotten.
    pub fn remember(&mut self, pairs: impl IntoIterator<Item = Pair>) {
        for pair in pairs {
            if self.young.len() >= PAIRS_PER_GENERATION {
                self.old = std::mem::take(&mut self.young);
            }
            self.young.insert(pair);
        }
    }
}

/// Notes whose events these are, and counts those who were not active on that day before. Gives back what is in the database with the
/// commit.
pub async fn note(
    transaction: &mut PgConnection,
    fresh: &[&Incoming<'_>],
    plan: &Plan<'_>,
    sums: &mut Sums,
) -> Result<BTreeSet<Pair>, sqlx::Error> {
    let whose: HashSet<(NaiveDate, UserKey<'_>)> = (fresh.iter())
        .filter_map(|incoming| Some((plan.day_of(incoming), incoming.event.user_key(plan.context.placeholders)?)))
        .collect();
    let pairs = whose.into_iter().map(|(day, key)| (day, key.fingerprint()));
    // In order: neighbours in the index, and nobody waits in a circle.
    let pairs: BTreeSet<Pair> = pairs.filter(|pair| !plan.context.seen.contains(pair)).collect();
    let mut new = BTreeMap::<NaiveDate, i64>::new();
    for chunk in pairs.iter().collect::<Vec<_>>().chunks(ROWS_PER_STATEMENT) {
        let days: Vec<(NaiveDate, i64)> = sqlx::query_as(
            "/* active.note */ WITH new AS (INSERT INTO active_users (day, user_hash) SELECT * FROM unnest($1::date[], $2::uuid[])
                                            ON CONFLICT DO NOTHING RETURNING day)
             SELECT day, count(*) FROM new GROUP BY day",
        )
        .bind(chunk.iter().map(|(day, _)| *day).collect::<Vec<_>>())
        .bind(chunk.iter().map(|(_, hash)| *hash).collect::<Vec<_>>())
        .fetch_all(&mut *transaction)
        .await?;
        days.into_iter().for_each(|(day, count)| *new.entry(day).or_default() += count);
    }
    let of_day = |(day, count)| ((day, What::ActiveUsers), BTreeMap::from([(OTHER.to_owned(), count)]));
    rollup::add(sums, new.into_iter().map(of_day).collect());
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_are_remembered_and_never_more_than_two_generations() {
        let pair = |n: usize| (NaiveDate::MIN, Uuid::from_u128(n as u128));
        let mut seen = Seen::default();
        seen.remember((0..PAIRS_PER_GENERATION * 3).map(pair));
        assert!(seen.young.len() + seen.old.len() <= 2 * PAIRS_PER_GENERATION);
        let last = PAIRS_PER_GENERATION * 3 - 1;
        assert!(seen.contains(&pair(last)) && seen.contains(&pair(last - PAIRS_PER_GENERATION)));
        assert!(!seen.contains(&pair(0)));
    }
}
