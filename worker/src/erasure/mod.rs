//! What comes after an erasure took effect in the flush ([`crate::flush::controls`]): what was stored before is swept up, and the
//! receipt is signed, and signed again when it is final.
//!
//! States: `sweeping` → `provisional` (nothing is left in the tables; the stream and backups still hold it) → `final` (the stream is
//! trimmed beyond the request, and no backup from before the end of the sweep is left).
//!
//! The sweep runs in small transactions, each of which can be repeated: [`rows`] takes events, matches and conversions, [`letters`]
//! dead letters; [`sums`] daily sums named after an id; [`archives`] goes through archived days; [`mentions`] looks for documents that name an id, which only a person can edit;
//! [`restored`] does the same for a database that was restored from an older backup. Each batch locks the tombstones
//! before it looks ([`Keys::lock`]), so a renewal of consent waits for it and what is stored after the renewal is never touched.
//! The statements that change rows run as the owner of `events`, which alone may.

pub mod archives;
pub mod letters;
pub mod mentions;
pub mod receipt;
pub mod restored;
pub mod rows;
pub mod settle;
pub mod sums;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use shared::domain::control::Mode;
use shared::domain::tombstone::{KeyHash, Salt};
use shared::domain::user_key::{KeyKind, Placeholders, UserKey};
use shared::store::tombstones;
use sqlx::types::Json;
use sqlx::{Executor, FromRow, PgConnection, PgPool};
use uuid::Uuid;

/// One key in clear.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Key {
    /// Which id space.
    pub kind: KeyKind,
    /// The id.
    pub id: String,
}

impl Key {
    /// As the rest of the program names people.
    #[must_use]
    pub fn as_user(&self) -> UserKey<'_> {
        UserKey { kind: self.kind, id: &self.id }
    }
}

/// What is to be swept, in clear; gone from the database when it is done.
#[derive(Debug, Clone, Deserialize)]
pub struct Task {
    /// The key that was asked for, and the visitors it was linked to.
    pub keys: Vec<Key>,
    /// Users whose events name the first key, as their anonymous or previous id.
    #[serde(default)]
    pub named_by: Vec<String>,
    /// The random id that anonymised rows carry.
    pub pseudonym: String,
    /// What their event ids are mixed with.
    pub secret: Uuid,
}

/// An erasure that is not swept yet.
#[derive(Debug, FromRow)]
pub struct Erasure {
    /// Of the request.
    pub id: Uuid,
    /// `delete` or `anonymise`.
    pub mode: String,
    /// Properties that anonymised events keep.
    pub keep_properties: Vec<String>,
    /// What is to be done.
    pub task: Json<Task>,
}

impl Erasure {
    /// Do rows stay, without what identifies?
    #[must_use]
    pub fn anonymises(&self) -> bool {
        Mode::parse(&self.mode) == Some(Mode::Anonymise)
    }
}

/// The next erasures to sweep, oldest first.
pub async fn unswept(pool: &PgPool) -> Result<Vec<Erasure>, sqlx::Error> {
    sqlx::query_as(
        "/* erasure.unswept */ SELECT id, coalesce(mode, 'delete') AS mode, keep_properties, task FROM erasures
          WHERE state = 'sweeping' AND task IS NOT NULL ORDER BY position LIMIT 100",
    )
    .fetch_all(pool)
    .await
}

/// Rows that an erasure took, by table.
pub type Counts = BTreeMap<&'static str, u64>;

/// Sweeps one erasure to its end, and notes it. A sweep that was cut off is done again, and then counts only what was left.
pub async fn sweep(pool: &PgPool, erasure: &Erasure, placeholders: &Placeholders) -> Result<(), sqlx::Error> {
    let keys = Keys::new(&erasure.task.keys, tombstones::salt(&mut *pool.acquire().await?).await?);
    let mut counts = rows::sweep(pool, erasure, &keys, placeholders).await?;
    counts.insert("rollups", sums::sweep(pool, &erasure.task.keys).await?);
    counts.insert("dead_letters", letters::sweep(pool, &keys, placeholders).await?);
    let mentions = mentions::find(pool, &erasure.task.keys).await?;
    let mut transaction = pool.begin().await?;
    sqlx::query(
        "/* erasure.sweep */ UPDATE erasures SET state = 'provisional', swept_at = clock_timestamp(), task = NULL, mentions = $2, counts = $3
          WHERE id = $1 AND state = 'sweeping'",
    )
    .bind(erasure.id)
    .bind(Json(mentions))
    .bind(Json(&counts))
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    tracing::info!(erasure = %erasure.id, ?counts, "an erasure is swept");
    Ok(())
}

/// The keys of an erasure, with what their tombstones say at the moment.
#[derive(Debug)]
pub struct Keys<'a> {
    keys: &'a [Key],
    hashes: Vec<KeyHash>,
}

/// Keys of which something is to be swept, as parameters of a statement.
#[derive(Debug, Clone, Default)]
pub struct Bounds {
    /// `user` or `anonymous`.
    pub kinds: Vec<&'static str>,
    /// The ids.
    pub ids: Vec<String>,
    /// What stands for them where their text does not.
    pub fingerprints: Vec<Uuid>,
    /// What happened later stays; `None`: nothing stays.
    pub until: Vec<Option<DateTime<Utc>>>,
}

impl<'a> Keys<'a> {
    /// Of these keys.
    #[must_use]
    pub fn new(keys: &'a [Key], salt: Salt) -> Self {
        let hashes = keys.iter().map(|key| salt.hash(key.as_user())).collect();
        drop(salt);
        Self { keys, hashes }
    }

    /// Locks the tombstones until the commit, and tells up to when they cover.
    pub async fn lock(&self, transaction: &mut PgConnection) -> Result<Bounds, sqlx::Error> {
        transaction.execute("/* erasure.lock.tombstones */ SET LOCAL statement_timeout = '10min'").await?;
        sqlx::query("/* erasure.lock.tombstones.2 */ SELECT FROM tombstones WHERE key_hash = ANY($1) ORDER BY key_hash FOR SHARE")
            .bind(tombstones::bytes(&self.hashes))
            .execute(&mut *transaction)
            .await?;
        let stones = tombstones::read(transaction, &self.hashes).await?;
        let mut bounds = Bounds::default();
        for (key, hash) in self.keys.iter().zip(&self.hashes) {
            if let Some(stone) = stones.get(hash) {
                bounds.kinds.push(key.kind.as_str());
                bounds.ids.push(key.id.clone());
                bounds.fingerprints.push(key.as_user().fingerprint());
                bounds.until.push(stone.renewed_at);
            }
        }
        Ok(bounds)
    }
}
