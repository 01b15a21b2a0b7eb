//! The statements about ownership. All times are the database's own clock.
//!
//! A partition is free when it has no owner, its lease has run out, or its owner's session lock can be taken (the owner is dead).
//! Before a partition is taken from somebody, what is left of them in the database is ended: a paused process may sit in a transaction
//! with the row locked.

use std::time::Duration;

use sqlx::PgConnection;
use sqlx::postgres::types::PgInterval;
use uuid::Uuid;

use super::session_lock;
use crate::attach::Position;

/// `application_name` of an owner's sessions, by which a successor ends them.
#[must_use]
pub fn session_name(owner: Uuid) -> String {
    format!("ec-worker-{owner}")
}

/// Who an owner is.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Random, per start.
    pub id: Uuid,
    /// The lane it works on.
    pub lane: i32,
    /// Epoch of the layout it works for: under another one nothing is taken.
    pub epoch: i32,
    /// For people.
    pub name: String,
    /// Holds a session lock.
    pub locked: bool,
    /// How long it is believed without a sign of life.
    pub lease: Duration,
}

fn interval(duration: Duration) -> PgInterval {
    PgInterval { months: 0, days: 0, microseconds: i64::try_from(duration.as_micros()).unwrap_or(i64::MAX) }
}

/// Shows a sign of life and prolongs the leases; gives back what is still owned.
pub async fn renew(database: &mut PgConnection, me: &Identity) -> Result<Vec<Position>, sqlx::Error> {
    sqlx::query(
        "/* leases.renew.workers */ INSERT INTO workers (id, lane, name, version, locked) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (id) DO UPDATE SET seen_at = clock_timestamp(), locked = excluded.locked",
    )
    .bind(me.id)
    .bind(me.lane)
    .bind(&me.name)
    .bind(env!("CARGO_PKG_VERSION"))
    .bind(me.locked)
    .execute(&mut *database)
    .await?;
    sqlx::query_as(
        "/* leases.renew.partitions */ UPDATE partitions SET lease_until = clock_timestamp() + $3, updated_at = clock_timestamp()
          WHERE lane = $1 AND owner = $2 RETURNING partition, last_seq, last_batch_id",
    )
    .bind(me.lane)
    .bind(me.id)
    .bind(interval(me.lease))
    .fetch_all(database)
    .await
}

/// How many owners of the lane have shown a sign of life within the lease, this one included. The dead are buried first: they
/// would be counted until their lease ends, and nobody would want what they held.
pub async fn live(database: &mut PgConnection, me: &Identity) -> Result<usize, sqlx::Error> {
    bury(database, me).await?;
    let count: i64 = sqlx::query_scalar(
        "/* leases.live */ SELECT count(*) FROM workers WHERE lane = $1 AND seen_at > clock_timestamp() - $2",
    )
    .bind(me.lane)
    .bind(interval(me.lease))
    .fetch_one(database)
    .await?;
    Ok(usize::try_from(count).unwrap_or(1))
}

/// Frees what dead owners held, and forgets them. Only those are looked at that have missed two heartbeats.
async fn bury(database: &mut PgConnection, me: &Identity) -> Result<(), sqlx::Error> {
    let silent: Vec<Uuid> = sqlx::query_scalar(
        "/* leases.bury.workers */ SELECT id FROM workers WHERE lane = $1 AND id <> $2 AND locked AND seen_at < clock_timestamp() - interval '1 s'",
    )
    .bind(me.lane)
    .bind(me.id)
    .fetch_all(&mut *database)
    .await?;
    for owner in silent {
        if !is_dead(database, owner).await? {
            continue;
        }
        end_sessions(database, &[owner]).await?;
        sqlx::query(
            "/* leases.bury.partitions */ WITH freed AS (UPDATE partitions SET owner = NULL, lease_until = '-infinity', updated_at = clock_timestamp()
                             WHERE owner = $1)
             DELETE FROM workers WHERE id = $1",
        )
        .bind(owner)
        .execute(&mut *database)
        .await?;
    }
    Ok(())
}

/// Takes up to `want` free partitions and gives them back with where they stand.
pub async fn claim(database: &mut PgConnection, me: &Identity, want: usize) -> Result<Vec<Position>, sqlx::Error> {
    let gone = end_of_others(database, me).await?;
    sqlx::query_as(
        "/* leases.claim */ UPDATE partitions SET owner = $2, lease_until = clock_timestamp() + $3, updated_at = clock_timestamp()
          WHERE partition IN (
                SELECT partition FROM partitions
                 WHERE lane = $1 AND owner IS DISTINCT FROM $2
                   AND (owner IS NULL OR lease_until < clock_timestamp() OR owner = ANY($4))
                   AND (SELECT coalesce(max(epoch), 0) FROM layouts WHERE taken_at IS NOT NULL) = $6
                 ORDER BY partition LIMIT $5 FOR UPDATE SKIP LOCKED)
         RETURNING partition, last_seq, last_batch_id",
    )
    .bind(me.lane)
    .bind(me.id)
    .bind(interval(me.lease))
    .bind(gone)
    .bind(i64::try_from(want).unwrap_or(i64::MAX))
    .bind(me.epoch)
    .fetch_all(database)
    .await
}

/// Finds owners whose lease ran out, and ends what is left of them in the database.
async fn end_of_others(database: &mut PgConnection, me: &Identity) -> Result<Vec<Uuid>, sqlx::Error> {
    let gone: Vec<Uuid> = sqlx::query_scalar(
        "/* leases.end_of_others */ SELECT DISTINCT owner FROM partitions
          WHERE lane = $1 AND owner IS NOT NULL AND owner <> $2 AND lease_until < clock_timestamp()",
    )
    .bind(me.lane)
    .bind(me.id)
    .fetch_all(&mut *database)
    .await?;
    if !gone.is_empty() {
        end_sessions(database, &gone).await?;
    }
    Ok(gone)
}

/// Ends what is left of these owners in the database. One that worked under a role we may not end is fenced out all the same.
async fn end_sessions(database: &mut PgConnection, owners: &[Uuid]) -> Result<(), sqlx::Error> {
    let names: Vec<String> = owners.iter().map(|&owner| session_name(owner)).collect();
    sqlx::query(
        "/* leases.end_sessions */ SELECT pg_terminate_backend(pid) FROM pg_stat_activity
          WHERE datname = current_database() AND application_name = ANY($1) AND pg_has_role(usesysid, 'USAGE')",
    )
    .bind(names)
    .execute(&mut *database)
    .await?;
    tracing::info!(?owners, "taking over from owners that are gone");
    Ok(())
}

async fn is_dead(database: &mut PgConnection, owner: Uuid) -> Result<bool, sqlx::Error> {
    let key = session_lock::key(owner);
    let free: bool = sqlx::query_scalar("/* leases.is_dead.partitions */ SELECT pg_try_advisory_lock($1)")
        .bind(key)
        .fetch_one(&mut *database)
        .await?;
    if free {
        sqlx::query("/* leases.is_dead.partitions.2 */ SELECT pg_advisory_unlock($1)")
            .bind(key)
            .execute(database)
            .await?;
    }
    Ok(free)
}

/// Gives partitions back.
pub async fn release(database: &mut PgConnection, me: &Identity, partitions: &[i32]) -> Result<(), sqlx::Error> {
    sqlx::query(
        "/* leases.release */ UPDATE partitions SET owner = NULL, lease_until = '-infinity', updated_at = clock_timestamp()
          WHERE owner = $1 AND partition = ANY($2)",
    )
    .bind(me.id)
    .bind(partitions)
    .execute(database)
    .await?;
    Ok(())
}

/// Leaves: gives everything back, and is no longer counted.
pub async fn leave(database: &mut PgConnection, me: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query(
        "/* leases.leave */ WITH back AS (UPDATE partitions SET owner = NULL, lease_until = '-infinity', updated_at = clock_timestamp()
                        WHERE owner = $1)
         DELETE FROM workers WHERE id = $1 OR seen_at < clock_timestamp() - interval '1 day'",
    )
    .bind(me)
    .execute(database)
    .await?;
    Ok(())
}
