//! The history of documents: what [`super::documents`] writes with each change, read back.

use chrono::{DateTime, Utc};
use sqlx::FromRow;
use sqlx::postgres::PgPool;

use super::documents::Collection;

/// One change.
#[derive(Debug, FromRow)]
pub struct Change {
    /// The version that the change made.
    pub version: i64,
    /// `create`, `change`, `restore` or `delete`.
    pub action: String,
    /// Name of the admin key.
    pub changed_by: String,
    /// When.
    pub changed_at: DateTime<Utc>,
    /// The document before, as JSON; absent for a create, and when a deleted one came back.
    pub before: Option<String>,
    /// The document after, as JSON; absent for a delete.
    pub after: Option<String>,
}

/// Changes of one document, newest first, older than the version `before` if given.
pub async fn list(
    pool: &PgPool,
    collection: &Collection,
    id: &str,
    before: Option<i64>,
    limit: i64,
) -> Result<Vec<Change>, sqlx::Error> {
    sqlx::query_as(
        "/* changes.list */ SELECT version, action, changed_by, changed_at, before::text AS before, after::text AS after FROM changes
          WHERE collection = $1 AND entity_id = $2 AND ($3::bigint IS NULL OR version < $3)
          ORDER BY version DESC LIMIT $4",
    )
    .bind(collection.table())
    .bind(id)
    .bind(before)
    .bind(limit)
    .fetch_all(pool)
    .await
}

/// The version that the latest change made; `None` when there was none.
pub async fn latest_version(pool: &PgPool, collection: &Collection, id: &str) -> Result<Option<i64>, sqlx::Error> {
    sqlx::query_scalar(
        "/* changes.latest_version */ SELECT max(version) FROM changes WHERE collection = $1 AND entity_id = $2",
    )
    .bind(collection.table())
    .bind(id)
    .fetch_one(pool)
    .await
}

/// The document as it was in a version, as JSON; `None` when there was no such version, or it was a deletion.
///
/// A document that was imported has no change that made its first version; the change that followed it still knows it.
pub async fn document_of(
    pool: &PgPool,
    collection: &Collection,
    (id, version): (&str, i64),
) -> Result<Option<String>, sqlx::Error> {
    let known = "SELECT after FROM changes WHERE collection = $1 AND entity_id = $2 AND version = $3";
    let followed = "SELECT before FROM changes WHERE collection = $1 AND entity_id = $2 AND version - 1 = $3";
    let current = format!("SELECT document FROM {} WHERE id = $2 AND version = $3", collection.table());
    sqlx::query_scalar(&format!(
        "/* changes.document_of */ SELECT coalesce(({known}), ({followed}), ({current}))::text"
    ))
    .bind(collection.table())
    .bind(id)
    .bind(version)
    .fetch_one(pool)
    .await
}
