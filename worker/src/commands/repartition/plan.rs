//! What is intended, kept in the table `layouts`, so that a repartition that was broken off goes on where it was.

use shared::domain::layout::Layout;
use sqlx::{PgConnection, PgPool};

use crate::Problem;
use crate::commands::owner_is_needed;
use crate::layout::{self, Start};

/// A repartition on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The layout to come.
    pub next: Layout,
    /// How many lanes the layout before has.
    pub lanes_before: u16,
    /// The positions are those of the next layout already: there is no way back.
    pub is_taken: bool,
}

type Row = (i32, i32, i32, i32, bool);

/// The one that was begun and not finished.
pub async fn unfinished(pool: &PgPool) -> Result<Option<Plan>, sqlx::Error> {
    let row: Option<Row> = sqlx::query_as(
        "/* plan.unfinished */ SELECT epoch, partitions, lanes, lanes_before, taken_at IS NOT NULL FROM layouts WHERE finished_at IS NULL",
    )
    .fetch_optional(pool)
    .await?;
    let narrow = |n: i32| u16::try_from(n).unwrap_or(0);
    Ok(row.map(|(epoch, partitions, lanes, lanes_before, is_taken)| Plan {
        next: Layout { epoch: u32::try_from(epoch).unwrap_or(0), partitions: narrow(partitions), lanes: narrow(lanes) },
        lanes_before: narrow(lanes_before),
        is_taken,
    }))
}

/// Notes a new one.
pub async fn begin(pool: &PgPool, before: Layout, partitions: u16, lanes: u16) -> Result<Plan, Problem> {
    let next = Layout { epoch: before.epoch + 1, partitions, lanes };
    let noted = sqlx::query(
        "/* plan.begin */ INSERT INTO layouts (epoch, partitions, lanes, lanes_before) VALUES ($1, $2, $3, $4)",
    )
    .bind(i32::try_from(next.epoch)?)
    .bind(i32::from(partitions))
    .bind(i32::from(lanes))
    .bind(i32::from(before.lanes))
    .execute(pool)
    .await;
    noted.map_err(owner_is_needed)?;
    Ok(Plan { next, lanes_before: before.lanes, is_taken: false })
}

/// Gives it up. Only before it was taken.
pub async fn forget(pool: &PgPool, plan: &Plan) -> Result<(), Problem> {
    let gone = sqlx::query("/* plan.forget */ DELETE FROM layouts WHERE epoch = $1 AND taken_at IS NULL")
        .bind(i32::try_from(plan.next.epoch)?)
        .execute(pool)
        .await;
    gone.map_err(owner_is_needed)?;
    Ok(())
}

/// It is done.
pub async fn finish(pool: &PgPool, plan: &Plan) -> Result<(), Problem> {
    sqlx::query("/* plan.finish */ UPDATE layouts SET finished_at = clock_timestamp() WHERE epoch = $1")
        .bind(i32::try_from(plan.next.epoch)?)
        .execute(pool)
        .await?;
    Ok(())
}

/// Where each lane begins: the last message of the layout before, and the identity of its stream.
pub type Starts = Vec<Start>;

/// The point of no return: one transaction replaces the positions, which fences all owners out. `false`: not everything up to the
/// barriers of `all` lanes is processed.
pub async fn take(pool: &PgPool, plan: &Plan, all: &Starts) -> Result<bool, Problem> {
    let mut transaction = pool.begin().await?;
    sqlx::query("/* plan.take.layouts */ SET LOCAL lock_timeout = '5s'").execute(&mut *transaction).await?;
    let epoch = i32::try_from(plan.next.epoch)?;
    let noted = sqlx::query("/* plan.take.layouts.2 */ UPDATE layouts SET taken_at = clock_timestamp() WHERE epoch = $1 AND taken_at IS NULL")
        .bind(epoch)
        .execute(&mut *transaction)
        .await
        .map_err(owner_is_needed)?;
    if noted.rows_affected() != 1 {
        return Err("somebody else has gone on with this, or given it up".into());
    }
    if !reached(&mut transaction, all).await.map_err(owner_is_needed)? {
        transaction.rollback().await?;
        return Ok(false);
    }
    let starts: Starts = all.iter().filter(|start| start.lane.number < plan.next.lanes).cloned().collect();
    layout::replace(&mut transaction, plan.next, &starts).await.map_err(owner_is_needed)?;
    transaction.commit().await?;
    Ok(true)
}

/// Somebody holds a lock that is needed; it will pass.
pub fn is_busy(problem: &Problem) -> bool {
    let code = problem.downcast_ref::<sqlx::Error>().and_then(|e| e.as_database_error()).and_then(|e| e.code());
    matches!(code.as_deref(), Some("55P03" | "40P01"))
}

async fn reached(transaction: &mut PgConnection, all: &Starts) -> Result<bool, sqlx::Error> {
    let barrier = |lane: i32| all.iter().find(|start| i32::from(start.lane.number) == lane).map(|start| start.seq);
    let positions = layout::lock(transaction).await?;
    Ok(positions.iter().all(|&(lane, at)| barrier(lane).is_some_and(|barrier| at >= barrier)))
}

/// Where each lane of the layout that was taken begins.
pub async fn barriers(pool: &PgPool) -> Result<Vec<(i32, i64)>, sqlx::Error> {
    sqlx::query_as("/* plan.barriers */ SELECT lane, min(counted_from) FROM partitions GROUP BY lane ORDER BY lane")
        .fetch_all(pool)
        .await
}

/// How far each lane is processed.
pub async fn processed(pool: &PgPool) -> Result<Vec<(i32, i64)>, sqlx::Error> {
    sqlx::query_as("/* plan.processed */ SELECT lane, min(last_seq) FROM partitions GROUP BY lane ORDER BY lane")
        .fetch_all(pool)
        .await
}

/// Workers that were seen a moment ago: lane and version.
pub async fn workers(pool: &PgPool) -> Result<Vec<(i32, String)>, sqlx::Error> {
    sqlx::query_as("/* plan.workers */ SELECT DISTINCT lane, version FROM workers WHERE seen_at > clock_timestamp() - interval '15 s'")
        .fetch_all(pool)
        .await
}
