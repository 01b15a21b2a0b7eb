//! Documents that admins own: campaigns, segments and feature flags, each with its history.
//!
//! The three tables look alike, so one set of statements serves them ([`Collection`]). A write is a single statement that also
//! adds its row to `changes`: neither is ever there without the other. A write names the version it was made from and does
//! nothing when that is no longer current; the caller then reads again. Versions of an id only grow, across a deletion too.

use chrono::{DateTime, Utc};
use sqlx::postgres::{PgConnection, PgPool, Postgres};
use sqlx::{FromRow, PgExecutor, QueryBuilder};

use crate::domain::raw_object::RawObject;

/// The columns of a [`Stored`], for a `SELECT` or a `RETURNING`.
pub const COLUMNS: &str =
    "id, position, version, document::text AS document, created_at, coalesce(updated_at, created_at) AS updated_at";

/// A table of documents.
#[derive(Debug)]
pub struct Collection {
    table: &'static str,
    /// It has the columns `status` and `words`, to filter by.
    searchable: bool,
}

/// The table `campaigns`.
pub static CAMPAIGNS: Collection = Collection { table: "campaigns", searchable: true };
/// The table `segments`.
pub static SEGMENTS: Collection = Collection { table: "segments", searchable: false };
/// The table `features`; an id is the flag's key.
pub static FEATURES: Collection = Collection { table: "features", searchable: false };

/// One row.
#[derive(Debug, FromRow)]
pub struct Stored {
    /// Fixed at creation.
    pub id: String,
    /// Lists begin with the highest.
    pub position: i64,
    /// Grows with each change.
    pub version: i64,
    /// The client's object, as JSON.
    pub document: String,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it was last changed, or else created.
    pub updated_at: DateTime<Utc>,
}

impl Stored {
    /// The document, empty if it is not an object.
    #[must_use]
    pub fn document(&self) -> RawObject {
        RawObject::parse(&self.document).unwrap_or_default()
    }
}

/// A document from elsewhere.
#[derive(Debug, Clone, Copy)]
pub struct Imported<'a> {
    /// Its id.
    pub id: &'a str,
    /// As JSON.
    pub document: &'a str,
    /// Lists begin with the highest.
    pub position: i64,
    /// When it was created; now, if nobody knows.
    pub created_at: Option<DateTime<Utc>>,
    /// When it was last changed.
    pub updated_at: Option<DateTime<Utc>>,
}

/// Which documents, newest created first.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Only these; of campaigns only. No status counts as `draft`.
    pub statuses: Vec<String>,
    /// A `tsquery` that must match; of campaigns only.
    pub words: Option<String>,
    /// Only those behind this position.
    pub before: Option<i64>,
    /// At most so many; all if absent.
    pub limit: Option<i64>,
    /// After leaving out so many.
    pub offset: i64,
}

impl Collection {
    /// One document.
    pub async fn read(&self, database: impl PgExecutor<'_>, id: &str) -> Result<Option<Stored>, sqlx::Error> {
        let sql = format!("/* documents.read */ SELECT {COLUMNS} FROM {} WHERE id = $1", self.table);
        sqlx::query_as(&sql).bind(id).fetch_optional(database).await
    }

    /// A page of the documents.
    pub async fn list(&self, connection: &mut PgConnection, wanted: &Wanted) -> Result<Vec<Stored>, sqlx::Error> {
        let mut query =
            QueryBuilder::new(format!("/* documents.list */ SELECT {COLUMNS} FROM {} WHERE true", self.table));
        narrow(&mut query, wanted);
        if let Some(position) = wanted.before {
            query.push(" AND position < ").push_bind(position);
        }
        query.push(" ORDER BY position DESC LIMIT ").push_bind(wanted.limit);
        query.push(" OFFSET ").push_bind(wanted.offset);
        query.build_query_as().fetch_all(connection).await
    }

    /// How many there are in all pages.
    pub async fn count(&self, connection: &mut PgConnection, wanted: &Wanted) -> Result<i64, sqlx::Error> {
        let mut query =
            QueryBuilder::new(format!("/* documents.count */ SELECT count(*) FROM {} WHERE true", self.table));
        narrow(&mut query, wanted);
        query.build_query_scalar().fetch_one(connection).await
    }

    /// Adds a document; `None` when the id is taken. An id that was there before goes on counting its versions.
    pub async fn create(
        &self,
        pool: &PgPool,
        id: &str,
        document: &str,
        by: &str,
    ) -> Result<Option<Stored>, sqlx::Error> {
        let Self { table, .. } = self;
        let (status, its_status) = self.status("$2");
        let logged = self.logged("'create'", "$3", "NULL", "document", "version");
        let sql = format!(
            "/* documents.create */ WITH written AS (
                 INSERT INTO {table} (id, document, version{status})
                 SELECT $1, $2::jsonb, coalesce(max(version), 0) + 1{its_status}
                   FROM changes WHERE collection = '{table}' AND entity_id = $1
                     ON CONFLICT (id) DO NOTHING RETURNING *
             ), {logged} SELECT {COLUMNS} FROM written"
        );
        sqlx::query_as(&sql).bind(id).bind(document).bind(by).fetch_optional(pool).await
    }

    /// Adds a document that came from elsewhere, at its place and with its times; false when the id is taken.
    pub async fn import(&self, pool: &PgPool, from: &Imported<'_>, by: &str) -> Result<bool, sqlx::Error> {
        let Self { table, .. } = self;
        let (status, its_status) = self.status("$2");
        let logged = self.logged("'create'", "$3", "NULL", "document", "version");
        let sql = format!(
            "/* documents.import */ WITH written AS (
                 INSERT INTO {table} (id, document, position, created_at, updated_at{status})
                 OVERRIDING SYSTEM VALUE
                 SELECT $1, $2::jsonb, $4, coalesce($5, now()), $6{its_status}
                     ON CONFLICT (id) DO NOTHING RETURNING *
             ), {logged} SELECT count(*) FROM written"
        );
        let written: i64 = sqlx::query_scalar(&sql)
            .bind(from.id)
            .bind(from.document)
            .bind(by)
            .bind(from.position)
            .bind(from.created_at)
            .bind(from.updated_at)
            .fetch_one(pool)
            .await?;
        Ok(written > 0)
    }

    /// Replaces a document; `None` when `version` is not its version any more. `action` is `change` or `restore`.
    pub async fn replace(
        &self,
        pool: &PgPool,
        (id, version): (&str, i64),
        document: &str,
        by: &str,
        action: &str,
    ) -> Result<Option<Stored>, sqlx::Error> {
        let Self { table, .. } = self;
        let status = if self.searchable { ", status = $3::jsonb ->> 'status'" } else { "" };
        // The statement still sees the row as it was before.
        let before = format!("(SELECT document FROM {table} WHERE id = $1)");
        let logged = self.logged("$5", "$4", &before, "document", "version");
        let sql = format!(
            "/* documents.replace */ WITH written AS (
                 UPDATE {table} SET document = $3::jsonb, version = version + 1, updated_at = now(){status}
                  WHERE id = $1 AND version = $2 RETURNING *
             ), {logged} SELECT {COLUMNS} FROM written"
        );
        sqlx::query_as(&sql).bind(id).bind(version).bind(document).bind(by).bind(action).fetch_optional(pool).await
    }

    /// Deletes a document and returns what it was; `None` when `version` is not its version any more.
    pub async fn delete(
        &self,
        pool: &PgPool,
        (id, version): (&str, i64),
        by: &str,
    ) -> Result<Option<Stored>, sqlx::Error> {
        let Self { table, .. } = self;
        let logged = self.logged("'delete'", "$3", "document", "NULL", "version + 1");
        let sql = format!(
            "/* documents.delete */ WITH written AS (DELETE FROM {table} WHERE id = $1 AND version = $2 RETURNING *), {logged}
             SELECT {COLUMNS} FROM written"
        );
        sqlx::query_as(&sql).bind(id).bind(version).bind(by).fetch_optional(pool).await
    }

    /// Brings a deleted document back to its place; `None` when `version` is not that of its deletion any more.
    pub async fn revive(
        &self,
        pool: &PgPool,
        (id, version): (&str, i64),
        document: &str,
        by: &str,
    ) -> Result<Option<Stored>, sqlx::Error> {
        let Self { table, .. } = self;
        let (status, its_status) = self.status("$3");
        let logged = self.logged("'restore'", "$4", "NULL", "document", "version");
        let sql = format!(
            "/* documents.revive */ WITH written AS (
                 INSERT INTO {table} (id, document, version, position, created_at, updated_at{status})
                 OVERRIDING SYSTEM VALUE
                 SELECT $1, $3::jsonb, version + 1, position, created_at, now(){its_status}
                   FROM changes WHERE collection = '{table}' AND entity_id = $1 AND version = $2 AND action = 'delete'
                     ON CONFLICT (id) DO NOTHING RETURNING *
             ), {logged} SELECT {COLUMNS} FROM written"
        );
        sqlx::query_as(&sql).bind(id).bind(version).bind(document).bind(by).fetch_optional(pool).await
    }

    /// Name of the table, and of the collection in `changes`.
    #[must_use]
    pub fn table(&self) -> &'static str {
        self.table
    }

    /// The extra column of an insert, and its value.
    fn status(&self, document: &str) -> (&'static str, String) {
        if self.searchable { (", status", format!(", {document}::jsonb ->> 'status'")) } else { ("", String::new()) }
    }

    /// The part of a write that keeps the history; every text is an SQL expression over `written`.
    fn logged(&self, action: &str, by: &str, before: &str, after: &str, version: &str) -> String {
        format!(
            "logged AS (
                 INSERT INTO changes
                        (collection, entity_id, version, action, changed_by, before, after, position, created_at)
                 SELECT '{}', id, {version}, {action}, {by}, {before}, {after}, position, created_at FROM written
             )",
            self.table
        )
    }
}

fn narrow(query: &mut QueryBuilder<'_, Postgres>, wanted: &Wanted) {
    if !wanted.statuses.is_empty() {
        query.push(" AND coalesce(status, 'draft') = ANY(").push_bind(wanted.statuses.clone()).push(")");
    }
    if let Some(words) = &wanted.words {
        query.push(" AND words @@ to_tsquery('simple', ").push_bind(words.clone()).push(")");
    }
}
