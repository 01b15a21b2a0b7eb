//! Events, matches and conversions of erased keys, a thousand rows at a time, and the days on which they were active.
//!
//! Deleted, or anonymised: then each row stays with its type, name, times and source under one random id, and its own id is replaced by
//! one that cannot be computed from the user's (`anonymised_id`), alike in all three tables. Rows that are deleted are booked in
//! `removals` in the same transaction. Messages to receivers, and ids of events in `late_ids` and `duplicates`, go in both cases.
//!
//! Events are taken out of the tables of their days, by name: a day that waits to be exported is no part of `events` any more, and may
//! come back. A table that is dropped meanwhile fails the sweep, which begins again.

use shared::domain::user_key::Placeholders;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::{PgConnection, PgPool, Postgres};
use uuid::Uuid;

use super::{Bounds, Counts, Erasure, Keys};
use crate::jobs::partitions::{self, DayTable, Until, become_owner};

/// Rows of one transaction.
const ROWS_PER_BATCH: i64 = 1_000;

/// The keys with their bounds, as every statement here begins, after its name. $1 to $3.
const KEYS: &str = "WITH keys AS MATERIALIZED (
    SELECT kind, id, coalesce(until, 'infinity') AS until
      FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS k (kind, id, until))";

/// Events of a day's table that belong to the keys; $5 are the ids of strangers, $4 the most.
fn doomed(table: &DayTable) -> String {
    let table = &table.name;
    format!(
        r#"doomed AS MATERIALIZED (
    SELECT e.id FROM keys k JOIN {table} e ON coalesce(e.user_id, e.anonymous_id) = k.id
     WHERE CASE k.kind WHEN 'user' THEN e.user_id = k.id ELSE e.user_id IS NULL END
       AND least(e."timestamp", e.received_at) <= k.until
    UNION
    SELECT e.id FROM keys k JOIN {table} e ON e.anonymous_id = k.id AND coalesce(e.user_id, e.anonymous_id) = ANY($5)
     WHERE k.kind = 'anonymous' AND e.user_id = ANY($5) AND least(e."timestamp", e.received_at) <= k.until
    LIMIT $4)"#
    )
}

/// Sweeps all of it; says how many rows.
pub async fn sweep(
    pool: &PgPool,
    erasure: &Erasure,
    keys: &Keys<'_>,
    placeholders: &Placeholders,
) -> Result<Counts, sqlx::Error> {
    let strangers: Vec<String> = placeholders.ids().map(str::to_owned).collect();
    let mut counts = Counts::new();
    // First, so that as little as possible is still sent.
    loop {
        let swept = deliveries(pool, keys).await?;
        *counts.entry("webhook_deliveries").or_default() += swept.unsigned_abs();
        if swept < ROWS_PER_BATCH {
            break;
        }
    }
    let tables = partitions::all(&mut *pool.acquire().await?).await?;
    for table in tables {
        loop {
            let swept = events(pool, erasure, keys, &table, &strangers).await?;
            *counts.entry("events").or_default() += swept.unsigned_abs();
            if swept < ROWS_PER_BATCH {
                break;
            }
        }
        *counts.entry("events_that_named_it").or_default() += unname(pool, erasure, &table).await?;
    }
    loop {
        let (matches, conversions) = matches(pool, erasure, keys).await?;
        *counts.entry("matches").or_default() += matches.unsigned_abs();
        *counts.entry("conversions").or_default() += conversions.unsigned_abs();
        if matches < ROWS_PER_BATCH {
            break;
        }
    }
    counts.insert("active_users", active_days(pool, keys).await?);
    Ok(counts)
}

/// One batch of one day.
async fn events(
    pool: &PgPool,
    erasure: &Erasure,
    keys: &Keys<'_>,
    table: &DayTable,
    strangers: &[String],
) -> Result<i64, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    let bounds = keys.lock(&mut transaction).await?;
    become_owner(&mut transaction, Until::Commit).await?;
    let change = if erasure.anonymises() {
        r"SET id = anonymised_id(e.id, $6), user_id = CASE WHEN e.user_id = ANY($5) THEN e.user_id WHEN e.user_id IS NOT NULL THEN $7 END,
                 anonymous_id = CASE WHEN e.user_id IS NULL OR e.user_id = ANY($5) THEN $7 END,
                 message_id = NULL, event_id = NULL, group_id = NULL, previous_id = NULL, original_timestamp = NULL, sent_at = NULL,
                 traits = NULL, context = NULL, extra = NULL,
                 properties = (SELECT jsonb_object_agg(key, value) FROM jsonb_each(e.properties) WHERE key = ANY($8)) FROM doomed d"
    } else {
        "USING doomed d"
    };
    let verb = if erasure.anonymises() { "UPDATE" } else { "DELETE FROM" };
    let change = format!("{verb} {} e {change} WHERE e.id = d.id", table.name);
    let statement = format!("/* rows.events */ {KEYS}, {}, changed AS ({change}) SELECT id FROM doomed", doomed(table));
    let mut query = of_keys(&statement, &bounds).bind(strangers);
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
        book(&mut transaction, table, swept).await?;
    }
    transaction.commit().await?;
    Ok(swept)
}

/// Notes, for the audit, that rows left on purpose.
async fn book(transaction: &mut PgConnection, table: &DayTable, events: i64) -> Result<(), sqlx::Error> {
    sqlx::query("/* rows.book */ INSERT INTO removals (day, events, reason) VALUES ($1, $2, 'erasure')")
        .bind(table.day)
        .bind(events)
        .execute(transaction)
        .await?;
    Ok(())
}

/// Other people's events that name the first key as their anonymous or previous id lose that name.
async fn unname(pool: &PgPool, erasure: &Erasure, table: &DayTable) -> Result<u64, sqlx::Error> {
    let Some(key) = erasure.task.keys.first().filter(|_| !erasure.task.named_by.is_empty()) else { return Ok(0) };
    let mut transaction = pool.begin().await?;
    become_owner(&mut transaction, Until::Commit).await?;
    let statement = format!(
        "/* rows.unname */ UPDATE {} SET previous_id = nullif(previous_id, $1), anonymous_id = nullif(anonymous_id, $1)
          WHERE coalesce(user_id, anonymous_id) = ANY($2) AND user_id = ANY($2) AND (previous_id = $1 OR anonymous_id = $1)",
        table.name
    );
    let changed = sqlx::query(&statement).bind(&key.id).bind(&erasure.task.named_by).execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(changed.rows_affected())
}

/// Messages to receivers go in any case: those that are not sent must not be, and the others would tell whose the events were.
async fn deliveries(pool: &PgPool, keys: &Keys<'_>) -> Result<i64, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    let bounds = keys.lock(&mut transaction).await?;
    become_owner(&mut transaction, Until::Commit).await?;
    let statement = format!(
        "/* rows.webhook_deliveries */ {KEYS}, doomed AS MATERIALIZED (
            SELECT d.position FROM keys k JOIN webhook_deliveries d ON d.user_id = k.id AND d.user_kind = k.kind
             WHERE d.occurred_at <= k.until LIMIT $4),
         gone AS (DELETE FROM webhook_deliveries d USING doomed WHERE d.position = doomed.position RETURNING 1)
         SELECT count(*) FROM gone"
    );
    let row = of_keys(&statement, &bounds).fetch_one(&mut *transaction).await?;
    transaction.commit().await?;
    sqlx::Row::try_get(&row, 0)
}

/// One batch of matches with their conversions.
async fn matches(pool: &PgPool, erasure: &Erasure, keys: &Keys<'_>) -> Result<(i64, i64), sqlx::Error> {
    let mut transaction = pool.begin().await?;
    let bounds = keys.lock(&mut transaction).await?;
    become_owner(&mut transaction, Until::Commit).await?;
    let (change, convert) = if erasure.anonymises() {
        (
            "UPDATE matches m SET event_id = anonymised_id(m.event_id, $5), user_id = $6",
            "UPDATE conversions c SET match_event_id = anonymised_id(c.match_event_id, $5),
                    event_id = anonymised_id(c.event_id, $5), user_id = $6",
        )
    } else {
        ("DELETE FROM matches m", "DELETE FROM conversions c")
    };
    let using = if erasure.anonymises() { "FROM" } else { "USING" };
    let statement = format!(
        "/* rows.matches */ {KEYS}, doomed AS MATERIALIZED (
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

/// The days on which they are known to have been active: at most one row a day and key. That they were counted stays.
async fn active_days(pool: &PgPool, keys: &Keys<'_>) -> Result<u64, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    let bounds = keys.lock(&mut transaction).await?;
    become_owner(&mut transaction, Until::Commit).await?;
    // By day and hash, as the primary key has them.
    let gone = sqlx::query(
        "/* rows.active_days */ WITH days AS (SELECT generate_series(min(day), max(day), interval '1 day')::date AS day FROM active_users)
         DELETE FROM active_users a USING days d, unnest($1::uuid[], $2::timestamptz[]) AS k (hash, until)
          WHERE a.day = d.day AND a.user_hash = k.hash AND a.day <= (coalesce(k.until, 'infinity') AT TIME ZONE 'UTC')::date",
    )
    .bind(&bounds.fingerprints)
    .bind(&bounds.until)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(gone.rows_affected())
}

/// A statement that begins with [`KEYS`]; $4 is the size of a batch.
fn of_keys<'q>(statement: &'q str, bounds: &'q Bounds) -> Query<'q, Postgres, PgArguments> {
    sqlx::query(statement).bind(&bounds.kinds).bind(&bounds.ids).bind(&bounds.until).bind(ROWS_PER_BATCH)
}
