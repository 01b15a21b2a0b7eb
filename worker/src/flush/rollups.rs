//! Adds what a flush stored to the daily sums, in its transaction.
//!
//! A flush counts all it did under one of its partitions, the lowest: nobody else writes there while it holds that partition's
//! lock. So there is one row for each day and name, whatever the number of partitions.

use std::collections::{BTreeMap, HashSet};

use chrono::NaiveDate;
use shared::domain::campaign::Catalog;
use shared::domain::rollup::{NAMES_PER_DAY, OTHER, Sums, What};
use sqlx::PgConnection;

/// Columns of rows.
#[derive(Debug, Default)]
struct Rows<'a> {
    days: Vec<NaiveDate>,
    whats: Vec<&'static str>,
    metrics: Vec<&'a str>,
    counts: Vec<i64>,
}

impl<'a> Rows<'a> {
    fn push(&mut self, day: NaiveDate, what: What, metric: &'a str, count: i64) {
        self.days.push(day);
        self.whats.push(what.as_str());
        self.metrics.push(metric);
        self.counts.push(count);
    }
}

/// Adds. Campaigns of the catalog always have sums of their own.
pub async fn write(
    transaction: &mut PgConnection,
    slot: i32,
    sums: &Sums,
    catalog: &Catalog,
) -> Result<(), sqlx::Error> {
    if sums.is_empty() {
        return Ok(());
    }
    let mut rows = Rows::default();
    for ((day, what), names) in sums {
        names.iter().for_each(|(name, count)| rows.push(*day, *what, name, *count));
    }
    let known: Vec<(NaiveDate, String, String)> = sqlx::query_as(
        "/* rollups.write */ UPDATE rollups r SET count = r.count + m.count
           FROM unnest($1::date[], $2::text[], $3::text[], $4::bigint[]) AS m (day, what, metric, count)
          WHERE r.day = m.day AND r.what = m.what AND r.metric = m.metric AND r.partition = $5
         RETURNING r.day, r.what, r.metric",
    )
    .bind(&rows.days)
    .bind(&rows.whats)
    .bind(&rows.metrics)
    .bind(&rows.counts)
    .bind(slot)
    .fetch_all(&mut *transaction)
    .await?;
    if known.len() < rows.days.len() {
        let known: HashSet<_> = known.iter().map(|(day, what, name)| (*day, what.as_str(), name.as_str())).collect();
        insert(transaction, slot, sums, &known, catalog).await?;
    }
    Ok(())
}

/// Inserts what is not `known` yet; of names only as many as a day has room for.
async fn insert(
    transaction: &mut PgConnection,
    slot: i32,
    sums: &Sums,
    known: &HashSet<(NaiveDate, &str, &str)>,
    catalog: &Catalog,
) -> Result<(), sqlx::Error> {
    let (mut rows, mut others) = (Rows::default(), BTreeMap::<(NaiveDate, What), i64>::new());
    for ((day, what), names) in sums {
        let new = names.iter().filter(|(name, _)| !known.contains(&(*day, what.as_str(), name.as_str())));
        let mut new: Vec<_> = new.collect();
        if what.is_reported() {
            let ours: Vec<_> = new.extract_if(.., |(name, _)| catalog.has_campaign(name)).collect();
            ours.into_iter().for_each(|(name, count)| rows.push(*day, *what, name, *count));
        }
        if what.is_unbounded() && !new.is_empty() {
            let query = "/* rollups.insert.rollups */ SELECT count(*) FROM rollups WHERE day = $1 AND what = $2 AND partition = $3";
            let there = sqlx::query_scalar::<_, i64>(query).bind(day).bind(what.as_str()).bind(slot);
            let there = usize::try_from(there.fetch_one(&mut *transaction).await?).unwrap_or(usize::MAX);
            let beyond = new.split_off(new.len().min(NAMES_PER_DAY.saturating_sub(there)));
            if !beyond.is_empty() {
                others.insert((*day, *what), beyond.into_iter().map(|(_, count)| count).sum());
            }
        }
        for (name, count) in new {
            match others.get_mut(&(*day, *what)).filter(|_| name == OTHER) {
                Some(other) => *other += count,
                None => rows.push(*day, *what, name, *count),
            }
        }
    }
    others.iter().for_each(|((day, what), count)| rows.push(*day, *what, OTHER, *count));
    sqlx::query(
        "/* rollups.insert.rollups.2 */ INSERT INTO rollups AS r (day, what, metric, partition, count)
         SELECT day, what, metric, $5, count FROM unnest($1::date[], $2::text[], $3::text[], $4::bigint[]) AS m (day, what, metric, count)
         ON CONFLICT (day, what, metric, partition) DO UPDATE SET count = r.count + excluded.count",
    )
    .bind(&rows.days)
    .bind(&rows.whats)
    .bind(&rows.metrics)
    .bind(&rows.counts)
    .bind(slot)
    .execute(transaction)
    .await?;
    Ok(())
}
