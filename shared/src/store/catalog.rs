//! The campaigns, segments and flags of the database as a compiled snapshot, kept current by polling one row.
//!
//! Polling works behind any connection pooler, and costs one primary-key read per poll. After a change only the campaigns that
//! changed are read and compiled again, so a change among ten thousand takes effect within a second as well. While the database is
//! away the last snapshot stays in force. Invariant: a snapshot is read in one transaction with the version it is stamped with.
//!
//! A database that was restored from a backup counts its versions, and its transactions, from an earlier point on: equal numbers then
//! stand for other contents. So a version is only compared within one [`Incarnation`], and in another everything is read anew.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnection, PgPool};
use tokio::sync::watch;

use super::documents::{COLUMNS, Stored};
use super::{campaigns, failure};
use crate::domain::campaign::{Catalog, Compiled, Contents, Inert};
use crate::domain::{feature, segment};

/// Campaigns read at once: each may hold images, and a statement must end in time.
const CHUNK: usize = 200;

/// A running database: which one of the server, when the server started, and the table itself. A restore changes at least one of
/// them; a restart too, which costs one reading. (The system identifier and the timeline would tell them apart, but not every
/// provider shows those.)
pub type Incarnation = String;

/// A compiled snapshot with the version it was read at.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// `catalog.version`; -1 before the first read.
    pub version: i64,
    /// Where that version counts.
    pub incarnation: Incarnation,
    /// The campaigns, segments and flags.
    pub catalog: Catalog,
    /// How many campaigns were compiled for it; all others are those of the snapshot before.
    pub compiled: usize,
}

/// Reads snapshots, each from the one before.
#[derive(Debug)]
pub struct Loader {
    pool: PgPool,
    with_objects: bool,
    /// What each campaign was compiled from, and what came of it.
    known: HashMap<String, (String, Result<Arc<Compiled>, Inert>)>,
    /// Where that holds.
    incarnation: Incarnation,
}

/// The current version of the catalog, and where it counts.
pub async fn version(connection: &mut PgConnection) -> Result<(i64, Incarnation), sqlx::Error> {
    let query = "/* catalog.version */ SELECT version, concat_ws('/', (SELECT oid FROM pg_database WHERE datname = current_database()),
                                                pg_postmaster_start_time(), tableoid::oid) FROM catalog";
    sqlx::query_as(query).fetch_one(connection).await
}

impl Loader {
    /// Who answers clients wants their objects as well; they hold images and take memory.
    #[must_use]
    pub fn new(pool: PgPool, with_objects: bool) -> Self {
        Self { pool, with_objects, known: HashMap::new(), incarnation: Incarnation::new() }
    }

    /// Keeps `current` up to date; returns only when every receiver is gone. Run it as a task of its own.
    pub async fn keep_current(mut self, poll: Duration, current: watch::Sender<Arc<Snapshot>>) {
        let mut away = false;
        while !current.is_closed() {
            let seen = {
                let snapshot = current.borrow();
                (snapshot.version, snapshot.incarnation.clone())
            };
            match self.other_than(&seen).await {
                Ok(Some(snapshot)) => {
                    tracing::info!(version = snapshot.version, compiled = snapshot.compiled, "campaigns loaded");
                    current.send_replace(Arc::new(snapshot));
                    away = false;
                }
                Ok(None) => away = false,
                Err(error) => {
                    failure::count(&error);
                    if !away {
                        tracing::warn!(%error, "campaigns cannot be read; the last ones stay in force");
                    }
                    away = true;
                }
            }
            tokio::time::sleep(poll).await;
        }
    }

    async fn other_than(&mut self, seen: &(i64, Incarnation)) -> Result<Option<Snapshot>, sqlx::Error> {
        let now = version(&mut *self.pool.acquire().await?).await?;
        if now == *seen { Ok(None) } else { self.read().await.map(Some) }
    }

    /// Reads everything that changed.
    pub async fn read(&mut self) -> Result<Snapshot, sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        sqlx::query("/* catalog.read.campaigns */ SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            .execute(&mut *transaction)
            .await?;
        let (version, incarnation) = version(&mut transaction).await?;
        if self.incarnation != incarnation {
            self.known.clear();
            self.incarnation.clone_from(&incarnation);
        }
        // The transaction that wrote a row tells one state of it from every other, whoever wrote it and how.
        let marks: Vec<(String, String)> = sqlx::query_as(
            "/* catalog.read.campaigns.2 */ SELECT id, xmin::text FROM campaigns ORDER BY position DESC",
        )
        .fetch_all(&mut *transaction)
        .await?;
        let changed = |(id, mark): &&(String, String)| self.known.get(id).is_none_or(|(known, _)| known != mark);
        let changed: Vec<(String, String)> = marks.iter().filter(changed).cloned().collect();
        let query = format!("/* catalog.read.campaigns.3 */ SELECT {COLUMNS} FROM campaigns WHERE id = ANY($1)");
        for chunk in changed.chunks(CHUNK) {
            let ids: Vec<&str> = chunk.iter().map(|(id, _)| id.as_str()).collect();
            let rows: Vec<Stored> = sqlx::query_as(&query).bind(&ids).fetch_all(&mut *transaction).await?;
            let marks: HashMap<&str, &str> = chunk.iter().map(|(id, mark)| (id.as_str(), mark.as_str())).collect();
            for row in &rows {
                let mark = marks.get(row.id.as_str()).copied().unwrap_or_default().to_owned();
                // Kept although the rest may fail: the next attempt goes on from here.
                self.known.insert(row.id.clone(), (mark, self.compile(row)));
            }
        }
        let segments = all(&mut transaction, "segments").await?;
        let features = all(&mut transaction, "features").await?;
        transaction.commit().await?;

        let compiled = changed.len();
        let still_there: HashSet<&str> = marks.iter().map(|(id, _)| id.as_str()).collect();
        self.known.retain(|id, _| still_there.contains(id.as_str()));
        let mut contents = Contents::default();
        contents.campaigns.extend(marks.iter().filter_map(|(id, _)| Some(self.known.get(id)?.1.clone())));
        let inert = |kind, row: &Stored, faults| Inert { kind, id: row.id.clone(), version: row.version, faults };
        let mut conditions = Vec::with_capacity(segments.len());
        for row in &segments {
            match segment::compile(&row.document()) {
                Ok(condition) => conditions.push((row.id.clone(), condition)),
                Err(faults) => contents.inert.push(inert("segment", row, faults)),
            }
        }
        contents.segments = conditions.into_iter().collect();
        for row in &features {
            match feature::compile(&row.document()) {
                Ok(flag) => drop(contents.features.insert(row.id.clone(), flag)),
                Err(faults) => contents.inert.push(inert("feature", row, faults)),
            }
        }
        let catalog = Catalog::new(contents);
        for inert in catalog.inert() {
            tracing::warn!(id = inert.id, "{inert}");
        }
        Ok(Snapshot { version, incarnation, catalog, compiled })
    }

    fn compile(&self, row: &Stored) -> Result<Arc<Compiled>, Inert> {
        let compiled = if self.with_objects { campaigns::compile_with_objects(row) } else { campaigns::compile(row) };
        compiled.map(Arc::new)
    }
}

async fn all(connection: &mut PgConnection, table: &str) -> Result<Vec<Stored>, sqlx::Error> {
    sqlx::query_as(&format!("/* catalog.all */ SELECT {COLUMNS} FROM {table}")).fetch_all(connection).await
}

/// A channel that starts with an empty snapshot, for [`Loader::keep_current`].
#[must_use]
pub fn channel() -> (watch::Sender<Arc<Snapshot>>, watch::Receiver<Arc<Snapshot>>) {
    watch::channel(Arc::new(Snapshot { version: -1, ..Snapshot::default() }))
}
