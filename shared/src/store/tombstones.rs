//! Tombstones as they lie in the database. The worker writes them, in the flush that meets an erasure.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::postgres::PgConnection;

use crate::domain::tombstone::{KeyHash, Salt, Tombstone};

/// What keys are hashed with.
pub async fn salt(connection: &mut PgConnection) -> Result<Salt, sqlx::Error> {
    sqlx::query_scalar("/* tombstones.salt */ SELECT salt FROM erasure_secrets")
        .fetch_one(connection)
        .await
        .map(Salt::new)
}

/// The tombstones among these keys.
pub async fn read(
    connection: &mut PgConnection,
    hashes: &[KeyHash],
) -> Result<HashMap<KeyHash, Tombstone>, sqlx::Error> {
    if hashes.is_empty() {
        return Ok(HashMap::new());
    }
    let rows: Vec<(Vec<u8>, Option<DateTime<Utc>>)> =
        sqlx::query_as("/* tombstones.read */ SELECT key_hash, renewed_at FROM tombstones WHERE key_hash = ANY($1)")
            .bind(bytes(hashes))
            .fetch_all(connection)
            .await?;
    Ok(rows.into_iter().filter_map(|(hash, renewed_at)| Some((key_hash(hash)?, Tombstone { renewed_at }))).collect())
}

/// Hashes as a parameter of a statement.
#[must_use]
pub fn bytes(hashes: &[KeyHash]) -> Vec<Vec<u8>> {
    hashes.iter().map(|hash| hash.0.to_vec()).collect()
}

/// A hash of the database; its CHECK holds the length.
#[must_use]
pub fn key_hash(bytes: Vec<u8>) -> Option<KeyHash> {
    bytes.try_into().ok().map(KeyHash)
}
