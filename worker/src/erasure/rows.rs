//! Events, matches and conversions of erased keys, a thousand rows at a time.
//!
//! Deleted, or anonymised: then each row stays with its type, name, times and source under one random id, and its own id is replaced by
//! one that cannot be computed from the user's (`anonymised_id`), alike in all three tables. Rows that are deleted are booked in
//! `removals` in the same transaction. Ids of events in `late_ids` and `duplicates` go in both cases.

use chrono::NaiveDate;
use shared::domain::user_key::Placeholders;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::{PgConnection, PgPool, Postgres};
use uuid::Uuid;

use super::{Bounds, Counts, Erasure, Keys};
use crate::jobs::partitions::day_of;
use crate::jobs::partitions::{Until, become_owner};

/// Rows of one transaction.
const ROWS_PER_BATCH: i64 = 1_000;

/// The keys with their bounds, as every statement here begins. $1 to $3.
const KEYS: &str = "/* rows.keys */ WITH keys AS MATERIALIZED (
    SELECT kind, id, coalesce(until, 'infinity') AS until
      FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS k (kind, id, until))";

/// Events of the day $5 that belong to the keys; $6 are the ids of strangers, $4 the most.
const DOOMED: &str = r#"doomed AS MATERIALIZED (
    SELECT e.id FROM keys k JOIN events e ON coalesce(e.user_id, e.anonymous_id) = k.id
     WHERE e.day = $5 AND CASE k.kind WHEN 'user' THEN e.user_id = k.id ELSE e.user_id IS NULL END
       AND least(e."timestamp", e.received_at) <= k.until
    UNION
    SELECT e.id FROM keys k JOIN events e ON e.anonymous_id = k.id AND coalesce(e.user_id, e.anonymous_id) = ANY($6)
     WHERE e.day = $5 AND k.kind = 'anonymous' AND e.user_id = ANY($6) AND least(e."timestamp", e.received_at) <= k.until
    LIMIT $4)"#;

/// Sweeps all of it; says how many rows.
pub async fn sweep(
    pool: &PgPool,
    erasure: &Erasure,
    keys: &Keys<'_>,
    placeholders: &Placeholders,
) -> Result<Counts, sqlx::Error> {
    let strangers: Vec<String> = placeholders.ids().map(str::to_owned).collect();
    let mut counts = Counts::new();
    for day in days(pool).await? {
        loop {
            let swept = events(pool, erasure, keys, day, &strangers).await?;
            *counts.entry("events").or_default() += swept.unsigned_abs();
            if swept < ROWS_PER_BATCH {
                break;
            }
        }
        *counts.entry("events_that_named_it").or_default() += unname(pool, erasure, day).await?;
    }
    loop {
        let (matches, conversions) = matches(pool, erasure, keys).await?;
        *counts.entry("matches").or_default() += matches.unsigned_abs();
        *counts.entry("conversions").or_default() += conversions.unsigned_abs();
        if matches < ROWS_PER_BATCH {
            return Ok(counts);
        }
    }
}

/// All days that have a partition.
async fn days(pool: &PgPool) -> Result<Vec<NaiveDate>, sqlx::Error> {
    let tables: Vec<String> = sqlx::query_scalar(
        "/* rows.days */ SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
          WHERE i.inhparent = 'events'::regclass ORDER BY c.relname",
    )
    .fetch_all(pool)
    .await?;
    Ok(tables.iter().filter_map(|table| day_of(table)).collect())
}

/// One batch of one day.
async fn events(
    pool: &PgPool,
    erasure: &Erasure,
    keys: &Keys<'_>,
    day: NaiveDate,
    strangers: &[String],
) -> Result<i64, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    let bounds = keys.lock(&mut transaction).await?;
    become_owner(&mut transaction, Until::Commit).await?;
    let change = if erasure.anonymises() {
        r"/* rows.events.events */ UPDATE events e
             SET id = anonymised_id(e.id, $7), user_id = CASE WHEN e.user_id = ANY($6) THEN e.user_id WHEN e.user_id IS NOT NULL THEN $8 END,
                 anonymous_id = CASE WHEN e.user_id IS NULL OR e.user_id = ANY($6) THEN $8 END,
                 message_id = NULL, event_id = NULL, group_id = NULL, previous_id = NULL, original_timestamp = NULL, sent_at = NULL,
                 traits = NULL, context = NULL, extra = NULL,
                 properties = (SELECT jsonb_object_agg(key, value) FROM jsonb_each(e.properties) WHERE key = ANY($9))
            FROM doomed d WHERE e.day = $5 AND e.id = d.id"
    } else {
        "/* rows.events.events.2 */ DELETE FROM events e USING doomed d WHERE e.day = $5 AND e.id = d.id"
    };
    let statement = format!("{KEYS}, {DOOMED}, changed AS ({change}) SELECT id FROM doomed");
    let mut query = of_keys(&statement, &bounds).bind(day).bind(strangers);
    if erasure.anonymises() {
        query = query.bind(erasure.task.secret.into_bytes().to_vec()).bind(&erasure.task.pseudonym);
        query = query.bind(&erasure.keep_properties);
    }
    let rows = query.fetch_all(&mut *transaction).await?;
    let ids: Vec<Uuid> = rows.iter().map(|row| sqlx::Row::try_get(row, 0)).collect::<Result<_, _>>()?;
    for forget in [
        "/* rows.events.late_ids */ DELETE FROM late_ids WHERE id = ANY($1)",
        "/* rows.events.duplicates */ DELETE FROM duplicates WHERE event_id = ANY($1)",
    ] {
        sqlx::query(forget).bind(&ids).execute(&mut *transaction).await?;
    }
    let swept = i64::try_from(ids.len()).unwrap_or(i64::MAX);
    if swept > 0 && !erasure.anonymises() {
        book(&mut transaction, day, swept).await?;
    }
    transaction.commit().await?;
    Ok(swept)
}

/// Notes, for the audit, that rows left on purpose.
async fn book(transaction: &mut PgConnection, day: NaiveDate, events: i64) -> Result<(), sqlx::Error> {
    sqlx::query("/* rows.book */ INSERT INTO removals (day, events, reason) VALUES ($1, $2, 'erasure')")
        .bind(day)
        .bind(events)
        .execute(transaction)
        .await?;
    Ok(())
}

/// Other people's events that name the first key as their anonymous or previous id lose that name.
async fn unname(pool: &PgPool, erasure: &Erasure, day: NaiveDate) -> Result<u64, sqlx::Error> {
    let Some(key) = erasure.task.keys.first().filter(|_| !erasure.task.named_by.is_empty()) else { return Ok(0) };
    let mut transaction = pool.begin().await?;
    become_owner(&mut transaction, Until::Commit).await?;
    let changed = sqlx::query(
        "/* rows.unname */ UPDATE events SET previous_id = nullif(previous_id, $2), anonymous_id = nullif(anonymous_id, $2)
          WHERE day = $1 AND coalesce(user_id, anonymous_id) = ANY($3) AND user_id = ANY($3) AND (previous_id = $2 OR anonymous_id = $2)",
    )
    .bind(day)
    .bind(&key.id)
    .bind(&erasure.task.named_by)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(changed.rows_affected())
}

/// One batch of matches with their conversions.
async fn matches(pool: &PgPool, erasure: &Erasure, keys: &Keys<'_>) -> Result<(i64, i64), sqlx::Error> {
    let mut transaction = pool.begin().await?;
    let bounds = keys.lock(&mut transaction).await?;
    become_owner(&mut transaction, Until::Commit).await?;
    let (change, convert) = if erasure.anonymises() {
        (
            "/* rows.matches.matches */ UPDATE matches m SET event_id = anonymised_id(m.event_id, $5), user_id = $6",
            "/* rows.matches.conversions */ UPDATE conversions c SET match_event_id = anonymised_id(c.match_event_id, $5),
                    event_id = anonymised_id(c.event_id, $5), user_id = $6",
        )
    } else {
        (
            "/* rows.matches.matches.2 */ DELETE FROM matches m",
            "/* rows.matches.conversions.2 */ DELETE FROM conversions c",
        )
    };
    let using = if erasure.anonymises() { "FROM" } else { "USING" };
    let statement = format!(
        "{KEYS}, doomed AS MATERIALIZED (
            SELECT m.event_id, m.campaign_id FROM keys k JOIN matches m ON m.user_id = k.id AND m.user_kind = k.kind
             WHERE coalesce(m.received_at, m.matched_at) <= k.until LIMIT $4),
         gone AS ({change} {using} doomed d WHERE (m.event_id, m.campaign_id) = (d.event_id, d.campaign_id) RETURNING 1),
         converted AS ({convert} {using} doomed d WHERE (c.campaign_id, c.match_event_id) = (d.campaign_id, d.event_id) RETURNING 1)
         SELECT (SELECT count(*) FROM gone), (SELECT count(*) FROM converted)"
    );
    let mut query = of_keys(&statement, &bounds);
    if erasure.anonymises() {
        query = query.bind(erasure.task.secret.into_bytes().to_vec()).bind(&erasure.task.pseudonym);
    }
    let row = query.fetch_one(&mut *transaction).await?;
    transaction.commit().await?;
    Ok((sqlx::Row::try_get(&row, 0)?, sqlx::Row::try_get(&row, 1)?))
}

/// A statement that begins with [`KEYS`]; $4 is the size of a batch.
fn of_keys<'q>(statement: &'q str, bounds: &'q Bounds) -> Query<'q, Postgres, PgArguments> {
    sqlx::query(statement).bind(&bounds.kinds).bind(&bounds.ids).bind(&bounds.until).bind(ROWS_PER_BATCH)
}
