//! The fence: the positions are locked and advanced in the transaction of their effects, and only if they are exactly where this owner
//! left them. A zombie that was paused beyond its lease fails here.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use shared::domain::tombstone::Salt;
use shared::store::tombstones;
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
        "/* fence.lock */ SELECT partition, last_seq, (now() AT TIME ZONE 'UTC')::date, (SELECT kept_from FROM retention)
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

/// Locks the rows of all partitions, in the order in which everybody locks them: no other flush is under way until the commit.
pub async fn lock_all(transaction: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query("/* fence.lock_all */ SELECT FROM partitions ORDER BY partition FOR UPDATE")
        .execute(transaction)
        .await?;
    Ok(())
}

/// Advances every owned partition that is not there yet, whether it had events or not, and prolongs the leases. Gives back what ids are
/// hashed with if somebody was ever erased: the statement begins after the lock was taken, so it knows of every erasure before it.
pub async fn advance(
    transaction: &mut PgConnection,
    me: &Identity,
    read_to: i64,
    batch_id: &str,
) -> Result<Option<Salt>, FlushError> {
    let lease =
        PgInterval { months: 0, days: 0, microseconds: i64::try_from(me.lease.as_micros()).unwrap_or(i64::MAX) };
    let salts: Vec<Option<Vec<u8>>> = sqlx::query_scalar(
        "/* fence.advance */ UPDATE partitions SET last_seq = $3, last_batch_id = $4, lease_until = clock_timestamp() + $5, updated_at = clock_timestamp()
          WHERE lane = $1 AND owner = $2 AND last_seq < $3
         RETURNING (SELECT salt FROM erasure_secrets WHERE EXISTS (SELECT FROM tombstones))",
    )
    .bind(me.lane)
    .bind(me.id)
    .bind(read_to)
    .bind(batch_id)
    .bind(lease)
    .fetch_all(&mut *transaction)
    .await?;
    match salts.into_iter().next() {
        Some(salt) => Ok(salt.map(Salt::new)),
        // All were there already.
        None => Ok(Some(tombstones::salt(transaction).await?)),
    }
}
