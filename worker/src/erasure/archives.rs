//! Archived days: an archive that holds events of erased people is written anew without them.
//!
//! Ids are gone by then, and archives have no index, so each line's key is hashed and compared with the tombstones: one pass over all
//! archives for all erasures that were swept before it. Runs under the retention's leadership, so that no archive is made meanwhile.
//! Anonymised people's events go, too. Bringing an archive back passes them over by the same rule ([`Covering::covers`]).

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use shared::domain::tombstone::{KeyHash, Salt, Tombstone};
use shared::domain::user_key::{Placeholders, UserKey};
use shared::store::tombstones;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::Problem;
use crate::archive::ArchiveError;
use crate::archive::folder::Folder;
use crate::archive::lines::Reader;
use crate::archive::manifest::Manifest;
use crate::archive::rewrite::rewrite;

/// What of an archived row tells whose it is.
#[derive(Deserialize)]
struct Row<'a> {
    #[serde(borrow)]
    user_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    anonymous_id: Option<Cow<'a, str>>,
    timestamp: DateTime<Utc>,
    received_at: DateTime<Utc>,
}

/// All tombstones, to compare lines with.
#[derive(Debug)]
pub struct Covering {
    salt: Salt,
    stones: HashMap<KeyHash, Tombstone>,
    placeholders: Placeholders,
}

impl Covering {
    /// As they are now.
    pub async fn read(connection: &mut PgConnection, placeholders: &Placeholders) -> Result<Self, sqlx::Error> {
        let salt = tombstones::salt(connection).await?;
        Ok(Self { salt, stones: tombstones::all(connection).await?, placeholders: placeholders.clone() })
    }

    /// Is a line an event that a tombstone covers?
    #[must_use]
    pub fn covers(&self, line: &str) -> bool {
        if self.stones.is_empty() {
            return false;
        }
        let Ok(row) = serde_json::from_str::<Row<'_>>(line) else { return false };
        let key = UserKey::of(row.user_id.as_deref(), row.anonymous_id.as_deref(), &self.placeholders);
        let stone = key.and_then(|key| self.stones.get(&self.salt.hash(key)));
        stone.is_some_and(|stone| stone.covers(row.timestamp.min(row.received_at)))
    }
}

/// Erasures that are swept, and not looked for in archives.
const DUE: &str = "/* archives.due */ SELECT id FROM erasures WHERE state = 'provisional' AND archives_at IS NULL";

/// Is there something to do?
pub async fn are_due(pool: &PgPool) -> Result<bool, sqlx::Error> {
    Ok(sqlx::query(DUE).fetch_optional(pool).await?.is_some())
}

/// Goes through all archives for the erasures that wait for it.
pub async fn pass(pool: &PgPool, folder: Option<&Folder>, placeholders: &Placeholders) -> Result<(), Problem> {
    let due: Vec<Uuid> = sqlx::query_scalar(
        "/* archives.pass.due */ SELECT id FROM erasures WHERE state = 'provisional' AND archives_at IS NULL",
    )
    .fetch_all(pool)
    .await?;
    if due.is_empty() {
        return Ok(());
    }
    let mut gone = 0;
    if let Some(folder) = folder.filter(|folder| folder.path().exists()) {
        let covering = Arc::new(Covering::read(&mut *pool.acquire().await?, placeholders).await?);
        for manifest in folder.all()? {
            let (folder, covering) = (folder.clone(), Arc::clone(&covering));
            gone += tokio::task::spawn_blocking(move || erase(&folder, &manifest, &covering)).await??;
        }
    }
    // Of several that were looked for at once nobody can tell any more whose events they were.
    sqlx::query("/* archives.pass */ UPDATE erasures SET archives_at = clock_timestamp() WHERE id = ANY($1)")
        .bind(&due)
        .execute(pool)
        .await?;
    if gone > 0 {
        tracing::info!(events = gone, erasures = due.len(), "events of erased people are gone from archives");
    }
    Ok(())
}

/// Writes an archive anew if it holds one of them; says how many it held.
fn erase(folder: &Folder, manifest: &Manifest, covering: &Covering) -> Result<u64, ArchiveError> {
    let mut reader = Reader::open(folder, manifest)?;
    let mut held = 0;
    while let Some(line) = reader.read()? {
        held += u64::from(covering.covers(&line));
    }
    if held > 0 {
        rewrite(folder, manifest, |line| (!covering.covers(&line)).then_some(line))?;
    }
    Ok(held)
}
