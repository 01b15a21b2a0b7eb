//! The campaigns of the database as a compiled snapshot, kept current by polling one row.
//!
//! Polling works behind any connection pooler, and costs one primary-key read per poll. While the database is away the last
//! snapshot stays in force. Invariant: a snapshot is read in one transaction with the version it is stamped with.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnection, PgPool};
use tokio::sync::watch;

use super::campaigns;
use super::documents::{COLUMNS, Stored};
use crate::domain::campaign::Catalog;

/// A compiled snapshot with the version it was read at.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// `catalog.version`; -1 before the first read.
    pub version: i64,
    /// The campaigns.
    pub catalog: Catalog,
}

/// The current version of the catalog.
pub async fn version(connection: &mut PgConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("SELECT version FROM catalog").fetch_one(connection).await
}

/// Reads and compiles all campaigns.
pub async fn read(pool: &PgPool) -> Result<Snapshot, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY").execute(&mut *transaction).await?;
    let version = version(&mut transaction).await?;
    let query = format!("SELECT {COLUMNS} FROM campaigns ORDER BY position DESC");
    let rows: Vec<Stored> = sqlx::query_as(&query).fetch_all(&mut *transaction).await?;
    transaction.commit().await?;
    let catalog = Catalog::new(rows.iter().map(campaigns::compile));
    for inert in catalog.inert() {
        tracing::warn!(campaign_id = inert.id, "{inert}");
    }
    Ok(Snapshot { version, catalog })
}

/// Keeps `current` up to date; returns only when every receiver is gone. Run it as a task of its own.
pub async fn keep_current(pool: PgPool, poll: Duration, current: watch::Sender<Arc<Snapshot>>) {
    let mut away = false;
    while !current.is_closed() {
        let seen = current.borrow().version;
        match newer_than(&pool, seen).await {
            Ok(Some(snapshot)) => {
                tracing::info!(version = snapshot.version, "campaigns loaded");
                current.send_replace(Arc::new(snapshot));
                away = false;
            }
            Ok(None) => away = false,
            Err(error) if !away => {
                tracing::warn!(%error, "campaigns cannot be read; the last ones stay in force");
                away = true;
            }
            Err(_) => {}
        }
        tokio::time::sleep(poll).await;
    }
}

async fn newer_than(pool: &PgPool, seen: i64) -> Result<Option<Snapshot>, sqlx::Error> {
    let now = version(&mut *pool.acquire().await?).await?;
    if now == seen { Ok(None) } else { read(pool).await.map(Some) }
}

/// A channel that starts with an empty snapshot, for [`keep_current`].
#[must_use]
pub fn channel() -> (watch::Sender<Arc<Snapshot>>, watch::Receiver<Arc<Snapshot>>) {
    watch::channel(Arc::new(Snapshot { version: -1, catalog: Catalog::default() }))
}
