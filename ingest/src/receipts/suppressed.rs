//! Whether events of this user are suppressed, because they were erased and their consent was not renewed.

use chrono::{DateTime, Utc};
use serde::Serialize;
use shared::store::tombstones;
use sqlx::postgres::PgConnection;
use utoipa::ToSchema;

use super::asked::Asked;

/// Events of this user are not stored.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SuppressedReceipt)]
pub struct Suppressed {
    /// When the erasure was asked for.
    since: DateTime<Utc>,
}

/// Reads the tombstone of the user that is asked about.
pub async fn read(connection: &mut PgConnection, asked: &Asked) -> Result<Option<Suppressed>, sqlx::Error> {
    let Some(key) = asked.key() else { return Ok(None) };
    let hash = tombstones::salt(connection).await?.hash(key);
    let sql = "/* suppressed.read */ SELECT erased_at FROM tombstones WHERE key_hash = $1 AND renewed_at IS NULL";
    let since = sqlx::query_scalar(sql).bind(hash.0.to_vec()).fetch_optional(connection).await?;
    Ok(since.map(|since| Suppressed { since }))
}
