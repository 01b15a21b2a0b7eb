//! What the database says at one moment: positions, ledger, letters, and how many rows there are.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use shared::stream::lanes::Lane;
use sqlx::{Executor, PgConnection, PgPool};

use super::Counts;
use crate::Problem;
use crate::attach::{self, LaneRecord, Position};
use crate::jobs::partitions::{Until, become_owner};

/// One row of the ledger.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Page {
    /// Events read.
    pub read: i64,
    /// … that became rows.
    pub stored: i64,
    /// … that were known.
    pub duplicate: i64,
    /// … that were put aside.
    pub dead: i64,
    /// Of these: closed long ago, so that their letters were dropped.
    pub letters_dropped: i64,
    /// … that were dropped on purpose.
    pub suppressed: i64,
    /// Of `read`: before the positions were last restarted.
    pub settled: i64,
    /// No message before this one counts in `read - settled`.
    pub first_seq: i64,
}

/// Where a partition stands, and from where its books count.
#[derive(Debug, Clone)]
pub struct Place {
    /// Where it stands.
    pub position: Position,
    /// Messages up to here are not counted.
    pub counted_from: i64,
}

/// One lane.
#[derive(Debug, Clone)]
pub struct LaneBooks {
    /// Its names.
    pub lane: Lane,
    /// What was recorded about its stream.
    pub record: LaneRecord,
    /// By partition.
    pub positions: BTreeMap<i32, Place>,
}

/// Events that the ledger calls stored, and where they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rows {
    /// The ledger's total.
    pub stored: i64,
    /// Rows there are.
    pub present: i64,
    /// Rows that were removed on purpose.
    pub removed: i64,
}

/// The database at one moment.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// The lanes that some worker has begun.
    pub lanes: Vec<LaneBooks>,
    /// By partition and hour.
    pub ledger: BTreeMap<(i32, DateTime<Utc>), Page>,
    /// Events in dead letters.
    pub letters: Counts,
    /// Of everything; not counted when only some hours are looked at.
    pub rows: Option<Rows>,
}

impl Snapshot {
    /// Takes it. When the rows do not add up it is taken once more: a partition may have been dropped just then.
    pub async fn take(pool: &PgPool, lanes: &[Lane], since: Option<DateTime<Utc>>) -> Result<Self, Problem> {
        let first = Self::once(pool, lanes, since).await;
        match &first {
            Ok(snapshot) if snapshot.rows.is_none_or(|rows| rows.stored == rows.present + rows.removed) => first,
            _ => Self::once(pool, lanes, since).await,
        }
    }

    async fn once(pool: &PgPool, lanes: &[Lane], since: Option<DateTime<Utc>>) -> Result<Self, Problem> {
        let mut transaction = pool.begin().await?;
        transaction
            .execute("/* snapshot.once.partitions */ SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            .await?;
        let mut snapshot = Self::default();
        for lane in lanes {
            let Some((record, positions)) = attach::read(&mut transaction, lane).await? else { continue };
            let counted_from: Vec<(i32, i64)> = sqlx::query_as(
                "/* snapshot.once.partitions.2 */ SELECT partition, counted_from FROM partitions WHERE lane = $1",
            )
            .bind(i32::from(lane.number))
            .fetch_all(&mut *transaction)
            .await?;
            let counted_from: BTreeMap<_, _> = counted_from.into_iter().collect();
            let place = |position: Position| Place {
                counted_from: counted_from.get(&position.partition).copied().unwrap_or(0),
                position,
            };
            let positions = positions.into_iter().map(|p| (p.partition, place(p))).collect();
            snapshot.lanes.push(LaneBooks { lane: lane.clone(), record, positions });
        }
        snapshot.ledger = ledger(&mut transaction, since).await?;
        snapshot.letters = letters(&mut transaction, since).await?;
        if since.is_none() {
            snapshot.rows = Some(rows(&mut transaction).await?);
        }
        transaction.rollback().await?;
        Ok(snapshot)
    }
}

type LedgerRow = (i32, DateTime<Utc>, i64, i64, i64, i64, i64, i64, i64, i64);

async fn ledger(
    database: &mut PgConnection,
    since: Option<DateTime<Utc>>,
) -> Result<BTreeMap<(i32, DateTime<Utc>), Page>, sqlx::Error> {
    let rows: Vec<LedgerRow> = sqlx::query_as(
        "/* snapshot.ledger */ SELECT partition, hour, read, stored, duplicate, dead, suppressed, settled, first_seq, letters_dropped
           FROM ledger WHERE $1::timestamptz IS NULL OR hour >= $1",
    )
    .bind(since)
    .fetch_all(database)
    .await?;
    let page = |(partition, hour, read, stored, duplicate, dead, suppressed, settled, first_seq, letters_dropped)| {
        ((partition, hour), Page { read, stored, duplicate, dead, letters_dropped, suppressed, settled, first_seq })
    };
    Ok(rows.into_iter().map(page).collect())
}

async fn letters(database: &mut PgConnection, since: Option<DateTime<Utc>>) -> Result<Counts, sqlx::Error> {
    let rows: Vec<(i32, DateTime<Utc>, i64)> = sqlx::query_as(
        "/* snapshot.letters */ SELECT partition, date_trunc('hour', received_at, 'UTC'), sum(events)::bigint
           FROM dead_letters WHERE $1::timestamptz IS NULL OR received_at >= $1 GROUP BY 1, 2",
    )
    .bind(since)
    .fetch_all(database)
    .await?;
    Ok(rows.into_iter().map(|(partition, hour, events)| ((partition, hour), events)).collect())
}

/// Counts rows: of the partitions, and of what was detached and is not dropped yet, which only their owner can read.
async fn rows(database: &mut PgConnection) -> Result<Rows, sqlx::Error> {
    let (stored, removed): (i64, i64) = sqlx::query_as(
        "/* snapshot.rows.ledger */ SELECT (SELECT coalesce(sum(stored), 0) FROM ledger)::bigint, (SELECT coalesce(sum(events), 0) FROM removals)::bigint",
    )
    .fetch_one(&mut *database)
    .await?;
    let detached: Vec<String> = sqlx::query_scalar(
        r"/* snapshot.rows.pg_class */ SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
           WHERE n.nspname = current_schema() AND c.relkind = 'r' AND c.relname ~ '^events_\d{8}$'
             AND NOT EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = c.oid AND NOT i.inhdetachpending)",
    )
    .fetch_all(&mut *database)
    .await?;
    let mut present: i64 =
        sqlx::query_scalar("/* snapshot.rows.events */ SELECT count(*) FROM events").fetch_one(&mut *database).await?;
    if !detached.is_empty() {
        become_owner(database, Until::Commit).await?;
    }
    for table in detached {
        // The name is made of digits, as the query says.
        let count = format!("/* snapshot.rows.database */ SELECT count(*) FROM {table}");
        present += sqlx::query_scalar::<_, i64>(&count).fetch_one(&mut *database).await?;
    }
    Ok(Rows { stored, present, removed })
}
