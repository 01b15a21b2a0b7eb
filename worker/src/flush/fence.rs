//! The fence: the positions are locked and advanced in the transaction of their effects, and only if they are exactly where this owner
//! left them. A zombie that was paused beyond its lease fails here.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use sqlx::PgConnection;
use sqlx::postgres::types::PgInterval;

use super::FlushError;
use crate::own::leases::Identity;

/// What the database says of the day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Days {
    /// Its date (UTC).
    pub today: NaiveDate,
    /// Earlier days were dropped to save room.
    pub kept_from: Option<NaiveDate>,
}

/// Locks the owned partitions in partition order and compares them with what is expected.
pub async fn lock(
    transaction: &mut PgConnection,
    me: &Identity,
    expected: &BTreeMap<i32, i64>,
) -> Result<Days, FlushError> {
    let rows: Vec<(i32, i64, NaiveDate, Option<NaiveDate>)> = sqlx::query_as(
        "SELECT partition, last_seq, (now() AT TIME ZONE 'UTC')::date, (SELECT kept_from FROM retention)
           FROM partitions WHERE lane = $1 AND owner = $2 ORDER BY partition FOR UPDATE",
    )
    .bind(me.lane)
    .bind(me.id)
    .fetch_all(transaction)
    .await?;
    if !rows.iter().map(|&(partition, last_seq, ..)| (partition, last_seq)).eq(expected.iter().map(|(&p, &s)| (p, s))) {
        return Err(FlushError::Fenced);
    }
    rows.first().map(|row| Days { today: row.2, kept_from: row.3 }).ok_or(FlushError::Fenced)
}

/// Advances every owned partition that is not there yet, whether it had events or not, and prolongs the leases.
pub async fn advance(
    transaction: &mut PgConnection,
    me: &Identity,
    read_to: i64,
    batch_id: &str,
) -> Result<(), FlushError> {
    let lease =
        PgInterval { months: 0, days: 0, microseconds: i64::try_from(me.lease.as_micros()).unwrap_or(i64::MAX) };
    sqlx::query(
        "UPDATE partitions SET last_seq = $3, last_batch_id = $4, lease_until = clock_timestamp() + $5, updated_at = clock_timestamp()
          WHERE lane = $1 AND owner = $2 AND last_seq < $3",
    )
    .bind(me.lane)
    .bind(me.id)
    .bind(read_to)
    .bind(batch_id)
    .bind(lease)
    .execute(transaction)
    .await?;
    Ok(())
}
