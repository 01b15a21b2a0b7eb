//! Daily partitions of `events`, made ahead of time, and on demand when an event needs an older one.
//!
//! `CREATE TABLE … PARTITION OF` would lock the parent against everything; a table made LIKE it, with a CHECK, and then attached does
//! not stall writers.
//!
//! The worker's database role may not change tables. What makes and drops partitions does so as the owner of `events`
//! ([`become_owner`]), a role that this one is a member of; so all partitions have that owner, whoever made them.

use chrono::{Days, NaiveDate};
use sqlx::{Executor, PgConnection, PgPool};

/// How many days ahead partitions exist.
pub const DAYS_AHEAD: u64 = 7;

/// Name of a day's partition.
#[must_use]
pub fn name(day: NaiveDate) -> String {
    format!("events_{}", day.format("%Y%m%d"))
}

/// Makes the partitions from yesterday to [`DAYS_AHEAD`] days after `today`; tells how many were new.
pub async fn ensure_ahead(pool: &PgPool, today: NaiveDate) -> Result<usize, sqlx::Error> {
    let mut made = 0;
    for ahead in 0..=DAYS_AHEAD + 1 {
        let day = today.checked_sub_days(Days::new(1)).and_then(|d| d.checked_add_days(Days::new(ahead)));
        if let Some(day) = day {
            made += usize::from(ensure(pool, day).await?);
        }
    }
    Ok(made)
}

/// Makes a day's partition if it is missing; tells whether it was. Safe against others doing the same.
pub async fn ensure(pool: &PgPool, day: NaiveDate) -> Result<bool, sqlx::Error> {
    let table = name(day);
    let exists =
        "SELECT EXISTS (SELECT FROM pg_inherits WHERE inhparent = 'events'::regclass AND inhrelid = to_regclass($1))";
    if sqlx::query_scalar(exists).bind(&table).fetch_one(pool).await? {
        return Ok(false);
    }
    let next = day.succ_opt().unwrap_or(day);
    let mut transaction = pool.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended('ec-event-partitions', 0))")
        .execute(&mut *transaction)
        .await?;
    if sqlx::query_scalar(exists).bind(&table).fetch_one(&mut *transaction).await? {
        return Ok(false);
    }
    become_owner(&mut transaction, Until::Commit).await?;
    // One that was detached and not dropped.
    if sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL").bind(&table).fetch_one(&mut *transaction).await? {
        note_removal(&mut transaction, &table, day).await?;
    }
    // The name and the dates are made of digits only.
    let statements = format!(
        "DROP TABLE IF EXISTS {table};
         CREATE TABLE {table} (LIKE events INCLUDING DEFAULTS INCLUDING INDEXES,
                               CONSTRAINT {table}_day CHECK (day >= '{day}' AND day < '{next}'));
         ALTER TABLE events ATTACH PARTITION {table} FOR VALUES FROM ('{day}') TO ('{next}');
         ALTER TABLE {table} DROP CONSTRAINT {table}_day;"
    );
    transaction.execute(statements.as_str()).await?;
    transaction.commit().await?;
    tracing::info!(partition = table, "event partition made");
    Ok(true)
}

/// Notes, for the audit, how many rows go with a table that is dropped in the same transaction. Its name was made by [`name`].
pub async fn note_removal(transaction: &mut PgConnection, table: &str, day: NaiveDate) -> Result<(), sqlx::Error> {
    // Counting takes a tenth of a second for a million rows.
    transaction.execute("SET LOCAL statement_timeout = '10min'").await?;
    let note = format!("INSERT INTO removals (day, events, reason) SELECT $1, count(*), 'retention' FROM {table}");
    sqlx::query(&note).bind(day).execute(transaction).await?;
    Ok(())
}

/// How long a connection acts as the owner of `events`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// To the end of its transaction.
    Commit,
    /// To its end.
    Close,
}

/// Lets a connection act as the owner of `events`.
pub async fn become_owner(connection: &mut PgConnection, until: Until) -> Result<(), sqlx::Error> {
    let become_owner =
        "SELECT set_config('role', pg_get_userbyid(relowner), $1) FROM pg_class WHERE oid = 'events'::regclass";
    sqlx::query(become_owner).bind(until == Until::Commit).execute(connection).await?;
    Ok(())
}
