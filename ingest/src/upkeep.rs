//! What a running ingest does on its own, besides serving: reading keys and campaigns, hearing who listens to the live tail and who has new matches, and letting
//! go of what the database shows.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use shared::store::catalog::{Loader, Snapshot};
use shared::store::schema;
use tokio::sync::{mpsc, watch};

use crate::app::App;
use crate::matches::{token, wake};
use crate::tail::hear;
use crate::{keys, profile};

/// How often committed offsets are read, for the overlay.
const OFFSETS: Duration = Duration::from_secs(1);
/// Between looks at a schema that is too old, or a database that is away.
const SCHEMA: Duration = Duration::from_secs(5);

/// Starts all of it. The tasks end with the process: none holds anything that must be finished.
pub fn start(app: &Arc<App>, campaigns: watch::Sender<Arc<Snapshot>>, tail_entries: mpsc::Receiver<(String, Bytes)>) {
    let pool = app.database.pool().clone();
    let loader = Loader::new(pool.clone(), true);
    tokio::spawn(loader.keep_current(app.settings.pipeline.catalog_poll, campaigns));
    tokio::spawn(keys::table::keep_current(pool, Arc::clone(&app.door.keys)));
    if let Some(standby) = app.database.standby() {
        let (database, metrics) = (app.database.pool().clone(), Arc::clone(&app.metrics));
        tokio::spawn(standby.keep_looking(database, app.settings.database_read_max_lag, metrics));
    }
    tokio::spawn(prune_overlay(Arc::clone(app)));
    tokio::spawn(hear::hear(app.client.clone(), Arc::clone(&app.tail)));
    tokio::spawn(hear::publish(app.client.clone(), tail_entries));
    let (feed, prefix) = (Arc::clone(&app.feed), app.settings.pipeline.stream_prefix.clone());
    tokio::spawn(wake::hear(app.readiness.connection().clone(), prefix, feed));
    tokio::spawn(token::keep_salt(app.database.pool().clone(), Arc::clone(&app.feed)));
    tokio::spawn(check_schema(app.database.pool().clone()));
}

/// Says what to do when the schema is older than this program, until it is not. Events are accepted all the same: the stream
/// needs no schema, and the worker does not touch a database that it does not know.
async fn check_schema(pool: sqlx::PgPool) {
    let mut said = String::new();
    loop {
        match schema::problem(&pool).await {
            Ok(None) => return,
            Ok(Some(problem)) if problem != said => {
                tracing::error!("{problem}; until then campaigns and admin routes do not work");
                said = problem;
            }
            // Away, or said already: look again.
            Ok(Some(_)) | Err(_) => {}
        }
        tokio::time::sleep(SCHEMA).await;
    }
}

async fn prune_overlay(app: Arc<App>) {
    let mut adoptions = app.readiness.adoptions();
    loop {
        let now = app.readiness.adoptions();
        if now != adoptions {
            app.overlay.clear();
            adoptions = now;
        }
        if !app.overlay.is_empty() {
            // A failure is the database being away; the overlay is bounded without it.
            if let Ok(offsets) = profile::committed(app.database.pool().clone()).await {
                let of = |partition| offsets.iter().find(|(p, _)| *p == partition).map(|(_, sequence)| *sequence);
                app.overlay.prune(of);
            }
        }
        tokio::time::sleep(OFFSETS).await;
    }
}
