//! The history of documents: what [`super::documents`] writes with each change, read back.

use chrono::{DateTime, Utc};
use sqlx::postgres::PgPool;
use sqlx::{FromRow, PgExecutor};

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
    database: impl PgExecutor<'_>,
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
    .fetch_one(database)
    .await
}

/// The version of a document that was in force at a moment, as far as its history goes back; `None` when it did not exist then.
///
/// What was imported, and never changed since, has no history: then it is the version that there is now.
pub async fn version_at(
    database: impl PgExecutor<'_>,
    collection: &Collection,
    (id, at): (&str, DateTime<Utc>),
) -> Result<Option<i64>, sqlx::Error> {
    let then = "SELECT CASE action WHEN 'delete' THEN -1 ELSE version END FROM changes
                 WHERE collection = $1 AND entity_id = $2 AND changed_at <= $3 ORDER BY version DESC LIMIT 1";
    let first = "SELECT CASE action WHEN 'create' THEN -1 ELSE version - 1 END FROM changes
                  WHERE collection = $1 AND entity_id = $2 ORDER BY version LIMIT 1";
    let current = format!("SELECT version FROM {} WHERE id = $2", collection.table());
    let version: Option<i64> =
        sqlx::query_scalar(&format!("/* changes.version_at */ SELECT coalesce(({then}), ({first}), ({current}))"))
            .bind(collection.table())
            .bind(id)
            .bind(at)
            .fetch_one(database)
            .await?;
    Ok(version.filter(|version| *version >= 0))
}
