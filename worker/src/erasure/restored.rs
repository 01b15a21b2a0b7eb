//! Erases again what a restored database holds of people who were erased after its backup was taken.
//!
//! Of those only hashes are known, so every key that occurs anywhere is hashed and compared: one pass over all rows, for a rare occasion.
//! A profile or link goes when it is older than the erasure; events by the tombstone's own rule. Anonymised people's events are
//! deleted here: what was kept of them is in no older backup.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt;
use shared::domain::tombstone::{KeyHash, Salt};
use shared::domain::user_key::{KeyKind, Placeholders};
use shared::store::tombstones;
use sqlx::types::Json;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::{Counts, Erasure, Key, Keys, Task, letters, rows, sums};
use crate::jobs::partitions::{Until, become_owner};

/// Keys that are swept together.
const KEYS_AT_ONCE: usize = 500;

/// Where keys occur. Ids of strangers are left out below.
const OCCURRENCES: [&str; 5] = [
    "/* restored.occurrences.users */ SELECT kind, id FROM users",
    "/* restored.occurrences.identity_links */ SELECT 'user', user_id FROM identity_links UNION SELECT 'anonymous', anonymous_id FROM identity_links",
    "/* restored.occurrences.matches */ SELECT DISTINCT coalesce(user_kind, 'user'), user_id FROM matches WHERE user_id IS NOT NULL",
    "/* restored.occurrences.deliveries */ SELECT DISTINCT user_kind, user_id FROM deliveries",
    "/* restored.occurrences.events */ SELECT DISTINCT k.kind, k.id FROM events, LATERAL (VALUES ('user', user_id), ('anonymous', anonymous_id)) AS k (kind, id)
      WHERE k.id IS NOT NULL
     UNION SELECT k.kind, user_id FROM dead_letters, (VALUES ('user'), ('anonymous')) AS k (kind) WHERE user_id IS NOT NULL",
];

/// Erases again; says how many rows went.
pub async fn erase_again(pool: &PgPool, placeholders: &Placeholders) -> Result<Counts, sqlx::Error> {
    let mut connection = pool.acquire().await?;
    let salt = tombstones::salt(&mut connection).await?;
    let stones: Vec<(Vec<u8>, DateTime<Utc>)> =
        sqlx::query_as("/* restored.erase_again */ SELECT key_hash, erased_at FROM tombstones")
            .fetch_all(&mut *connection)
            .await?;
    let stones: BTreeMap<KeyHash, DateTime<Utc>> =
        stones.into_iter().filter_map(|(hash, at)| Some((tombstones::key_hash(hash)?, at))).collect();
    let mut found = BTreeSet::new();
    for statement in OCCURRENCES {
        occurring(&mut connection, statement, &salt, &stones, &mut found).await?;
    }
    drop(connection);
    let mut counts = Counts::new();
    let found: Vec<(Key, DateTime<Utc>)> =
        found.into_iter().map(|(kind, id, erased_at)| (Key { kind, id }, erased_at)).collect();
    for some in found.chunks(KEYS_AT_ONCE) {
        *counts.entry("profiles_and_links").or_default() += forget_profiles(pool, some).await?;
        let keys: Vec<Key> = some.iter().map(|(key, _)| key.clone()).collect();
        let task = Task { keys, named_by: Vec::new(), pseudonym: String::new(), secret: Uuid::nil() };
        let erasure =
            Erasure { id: Uuid::nil(), mode: "delete".to_owned(), keep_properties: Vec::new(), task: Json(task) };
        let keys = Keys::new(&erasure.task.keys, salt.clone());
        *counts.entry("rollups").or_default() += sums::sweep(pool, &erasure.task.keys).await?;
        for (table, rows) in rows::sweep(pool, &erasure, &keys, placeholders).await? {
            *counts.entry(table).or_default() += rows;
        }
        *counts.entry("dead_letters").or_default() += letters::sweep(pool, &keys, placeholders).await?;
    }
    Ok(counts)
}

async fn occurring(
    connection: &mut PgConnection,
    statement: &str,
    salt: &Salt,
    stones: &BTreeMap<KeyHash, DateTime<Utc>>,
    found: &mut BTreeSet<(KeyKind, String, DateTime<Utc>)>,
) -> Result<(), sqlx::Error> {
    let mut rows = sqlx::query_as::<_, (String, String)>(statement).fetch(connection);
    while let Some((kind, id)) = rows.try_next().await? {
        let kind = if kind == "user" { KeyKind::User } else { KeyKind::Anonymous };
        let key = Key { kind, id };
        if let Some(erased_at) = stones.get(&salt.hash(key.as_user())) {
            found.insert((kind, key.id, *erased_at));
        }
    }
    Ok(())
}

async fn forget_profiles(pool: &PgPool, keys: &[(Key, DateTime<Utc>)]) -> Result<u64, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    become_owner(&mut transaction, Until::Commit).await?;
    let mut gone = 0;
    for statement in [
        "/* restored.forget_profiles.users */ DELETE FROM users u USING unnest($1::text[], $2::text[], $3::timestamptz[]) AS k (kind, id, erased_at)
          WHERE (u.kind, u.id) = (k.kind, k.id) AND u.created_at <= k.erased_at",
        "/* restored.forget_profiles.identity_links */ DELETE FROM identity_links l USING unnest($1::text[], $2::text[], $3::timestamptz[]) AS k (kind, id, erased_at)
          WHERE k.id = CASE k.kind WHEN 'user' THEN l.user_id ELSE l.anonymous_id END AND l.linked_at <= k.erased_at",
    ] {
        let done = sqlx::query(statement)
            .bind(keys.iter().map(|(key, _)| key.kind.as_str()).collect::<Vec<_>>())
            .bind(keys.iter().map(|(key, _)| key.id.as_str()).collect::<Vec<_>>())
            .bind(keys.iter().map(|(_, erased_at)| *erased_at).collect::<Vec<_>>())
            .execute(&mut *transaction)
            .await?;
        gone += done.rows_affected();
    }
    transaction.commit().await?;
    Ok(gone)
}
