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

/// The day in the name of a partition.
#[must_use]
pub fn day_of(table: &str) -> Option<NaiveDate> {
    NaiveDate::parse_from_str(table.strip_prefix("events_")?, "%Y%m%d").ok()
}

/// How a day's table belongs to `events`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// A partition.
    Attached,
    /// Its detach was cut off. PostgreSQL has room for one such.
    Detaching,
    /// No partition any more: it waits to be exported, or dropped.
    Detached,
}

/// The table of a day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DayTable {
    /// The day.
    pub day: NaiveDate,
    /// Its name, made of digits but for the beginning: safe inside a statement.
    pub name: String,
    /// How it belongs to `events`.
    pub state: State,
    /// With indexes.
    pub bytes: u64,
}

/// All tables of days, oldest first.
pub async fn all(connection: &mut PgConnection) -> Result<Vec<DayTable>, sqlx::Error> {
    let tables: Vec<(String, Option<bool>, Option<i64>)> = sqlx::query_as(
        r"/* partitions.all */ SELECT c.relname::text, i.inhdetachpending, pg_total_relation_size(c.oid)
            FROM pg_class c LEFT JOIN pg_inherits i ON i.inhrelid = c.oid AND i.inhparent = 'events'::regclass
           WHERE c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'events'::regclass)
             AND c.relkind = 'r' AND c.relname ~ '^events_\d{8}$' ORDER BY c.relname",
    )
    .fetch_all(connection)
    .await?;
    let table = |(name, detaching, bytes): (String, Option<bool>, Option<i64>)| {
        let state = match detaching {
            None => State::Detached,
            Some(true) => State::Detaching,
            Some(false) => State::Attached,
        };
        let bytes = bytes.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0);
        Some(DayTable { day: day_of(&name)?, name, state, bytes })
    };
    Ok(tables.into_iter().filter_map(table).collect())
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

/// Makes a day's partition if it is missing; tells whether it was. One that was detached comes back with its rows. Safe against others
/// doing the same.
pub async fn ensure(pool: &PgPool, day: NaiveDate) -> Result<bool, sqlx::Error> {
    let table = name(day);
    let detaching = "/* partitions.ensure.pg_inherits */ SELECT inhdetachpending FROM pg_inherits
                      WHERE inhparent = 'events'::regclass AND inhrelid = to_regclass($1)";
    match sqlx::query_scalar(detaching).bind(&table).fetch_optional(pool).await? {
        Some(false) => return Ok(false),
        Some(true) => {
            let mut transaction = pool.begin().await?;
            become_owner(&mut transaction, Until::Commit).await?;
            transaction
                .execute(
                    format!("/* partitions.ensure.events */ ALTER TABLE events DETACH PARTITION {table} FINALIZE")
                        .as_str(),
                )
                .await?;
            transaction.commit().await?;
        }
        None => {}
    }
    let next = day.succ_opt().unwrap_or(day);
    let mut transaction = pool.begin().await?;
    sqlx::query(
        "/* partitions.ensure.events.2 */ SELECT pg_advisory_xact_lock(hashtextextended('ec-event-partitions', 0))",
    )
    .execute(&mut *transaction)
    .await?;
    if sqlx::query_scalar::<_, bool>(detaching).bind(&table).fetch_optional(&mut *transaction).await?.is_some() {
        return Ok(false);
    }
    become_owner(&mut transaction, Until::Commit).await?;
    let is_there = sqlx::query_scalar("/* partitions.ensure.events.3 */ SELECT to_regclass($1) IS NOT NULL")
        .bind(&table)
        .fetch_one(&mut *transaction);
    // The name and the dates are made of digits only.
    let attach = format!(
        "/* partitions.ensure.events.4 */ ALTER TABLE events ATTACH PARTITION {table} FOR VALUES FROM ('{day}') TO ('{next}')"
    );
    if is_there.await? {
        transaction.execute(attach.as_str()).await?;
    } else {
        let statements = format!(
            "/* partitions.ensure.database */ CREATE TABLE {table} (LIKE events INCLUDING DEFAULTS INCLUDING INDEXES,
                                   CONSTRAINT {table}_day CHECK (day >= '{day}' AND day < '{next}'));
             {attach};
             ALTER TABLE {table} DROP CONSTRAINT {table}_day;"
        );
        transaction.execute(statements.as_str()).await?;
    }
    transaction.commit().await?;
    tracing::info!(partition = table, "event partition made");
    Ok(true)
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
    let become_owner = "/* partitions.become_owner */ SELECT set_config('role', pg_get_userbyid(relowner), $1) FROM pg_class WHERE oid = 'events'::regclass";
    sqlx::query(become_owner).bind(until == Until::Commit).execute(connection).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_day_is_read_back_from_the_name() {
        let day = NaiveDate::from_ymd_opt(2028, 2, 29).unwrap();
        assert_eq!(day_of(&name(day)), Some(day));
        assert_eq!(day_of("events_default"), None);
        assert_eq!(day_of("users"), None);
    }
}
