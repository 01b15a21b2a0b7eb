//! The way back: everything that the old server knows of, as a `data.json` that it loads.
//!
//! Read in one snapshot of the database and written as it comes, one element a line, to a file beside the one that is asked for, which
//! is only named so when it is whole and durable.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt;
use shared::domain::event::Flags;
use shared::domain::legacy::back;
use shared::domain::raw_object::RawObject;
use sqlx::{Executor, FromRow, PgConnection, PgPool};
use uuid::Uuid;

use super::backup::{parent, sync_folder};
use super::progress::Progress;
use crate::Problem;

/// What was written, and what the old server has no place for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// Campaigns.
    pub campaigns: u64,
    /// Segments.
    pub segments: u64,
    /// Feature flags.
    pub flags: u64,
    /// Users.
    pub users: u64,
    /// Tracks, pages and screens.
    pub events: u64,
    /// Profiles of visitors without a user id: left out.
    pub anonymous: u64,
    /// Identifies (their traits are in the profiles), groups and aliases: left out.
    pub other_calls: u64,
}

#[derive(FromRow)]
struct Document {
    id: String,
    document: String,
    created_at: DateTime<Utc>,
    updated_at: Option<DateTime<Utc>>,
}

#[derive(FromRow)]
struct Event {
    id: Uuid,
    user: Option<String>,
    name: String,
    properties: Option<String>,
    ts: DateTime<Utc>,
    flags: i16,
    event_id: Option<String>,
    original_timestamp: Option<String>,
    extra: Option<String>,
}

/// Writes the file. One that is there is left alone.
pub async fn export(pool: &PgPool, path: &Path) -> Result<Exported, Problem> {
    if path.exists() {
        return Err(format!("{} is there already: choose another name, or move it away", path.display()).into());
    }
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let failed = |error: std::io::Error| format!("{} cannot be written: {error}", partial.display());
    let mut out = Out { file: BufWriter::new(File::create(&partial).map_err(failed)?), first: true };
    let mut transaction = pool.begin().await?;
    // As long as it takes; nothing is locked.
    transaction.execute("/* export.database */ SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY").await?;
    transaction.execute("/* export.database.2 */ SET LOCAL statement_timeout = 0").await?;
    let exported = write(&mut transaction, &mut out).await?;
    transaction.commit().await?;
    out.file.flush().map_err(failed)?;
    out.file.get_ref().sync_all().map_err(failed)?;
    std::fs::rename(&partial, path).map_err(failed)?;
    sync_folder(&parent(path)).map_err(failed)?;
    Ok(exported)
}

async fn write(database: &mut PgConnection, out: &mut Out) -> Result<Exported, Problem> {
    let mut exported = Exported::default();
    let documents = |table| {
        format!(
            "/* export.write.database */ SELECT id, document::text AS document, created_at, updated_at FROM {table} ORDER BY position DESC"
        )
    };

    out.open("{\"campaigns\":[")?;
    let query = documents("campaigns");
    let mut rows = sqlx::query_as::<_, Document>(&query).fetch(&mut *database);
    while let Some(row) = rows.try_next().await? {
        let campaign = back::campaign(&RawObject::parse(&row.document)?, &row.id, row.created_at, row.updated_at)?;
        out.element(&campaign.to_json())?;
        exported.campaigns += 1;
    }
    drop(rows);

    out.open("],\n\"users\":{")?;
    let query =
        "/* export.write.users */ SELECT id, traits::text FROM users WHERE kind = 'user' ORDER BY created_at, id";
    let mut rows = sqlx::query_as::<_, (String, String)>(query).fetch(&mut *database);
    while let Some((id, traits)) = rows.try_next().await? {
        out.element(&format!("{}:{traits}", serde_json::Value::from(id)))?;
        exported.users += 1;
    }
    drop(rows);

    out.open("},\n\"events\":[")?;
    let mut progress = Progress::counting("events written");
    let query = r#"/* export.write.events */ SELECT id, coalesce(user_id, anonymous_id) AS "user", coalesce(event, type) AS name, properties::text AS properties,
                          "timestamp" AS ts, flags, event_id, original_timestamp, extra::text AS extra
                     FROM events WHERE type IN ('track', 'page', 'screen') ORDER BY "timestamp", id"#;
    let mut rows = sqlx::query_as::<_, Event>(query).fetch(&mut *database);
    while let Some(row) = rows.try_next().await? {
        out.element(&event_line(&row)?)?;
        exported.events += 1;
        progress.at(exported.events);
    }
    progress.end();
    drop(rows);

    out.open("],\n\"featureFlags\":{")?;
    let query = documents("features");
    let mut rows = sqlx::query_as::<_, Document>(&query).fetch(&mut *database);
    while let Some(row) = rows.try_next().await? {
        let flag = back::flag(&RawObject::parse(&row.document)?);
        out.element(&format!("{}:{}", serde_json::Value::from(row.id), flag.to_json()))?;
        exported.flags += 1;
    }
    drop(rows);

    out.open("},\n\"segments\":[")?;
    let query = documents("segments");
    let mut rows = sqlx::query_as::<_, Document>(&query).fetch(&mut *database);
    while let Some(row) = rows.try_next().await? {
        let segment = back::document(&RawObject::parse(&row.document)?, &row.id, row.created_at, row.updated_at)?;
        out.element(&segment.to_json())?;
        exported.segments += 1;
    }
    drop(rows);
    out.open("]}\n")?;

    let left_out = "/* export.write.users.2 */ SELECT (SELECT count(*) FROM users WHERE kind = 'anonymous'),
                           (SELECT count(*) FROM events WHERE type NOT IN ('track', 'page', 'screen'))";
    let (anonymous, other_calls): (i64, i64) = sqlx::query_as(left_out).fetch_one(database).await?;
    exported.anonymous = anonymous.unsigned_abs();
    exported.other_calls = other_calls.unsigned_abs();
    Ok(exported)
}

fn event_line(row: &Event) -> serde_json::Result<String> {
    let imported = row.flags & Flags::IMPORTED.bits() != 0;
    let others = imported.then_some(back::Others {
        event_id: row.event_id.as_deref(),
        timestamp: row.original_timestamp.as_deref(),
        extra: row.extra.as_deref(),
    });
    back::event(&back::Event {
        id: &row.id.to_string(),
        user: row.user.as_deref().unwrap_or_default(),
        name: &row.name,
        properties: row.properties.as_deref(),
        ts: row.ts.timestamp_millis(),
        others,
    })
}

/// The file, with the commas between elements.
struct Out {
    file: BufWriter<File>,
    first: bool,
}

impl Out {
    fn open(&mut self, text: &str) -> std::io::Result<()> {
        self.first = true;
        self.file.write_all(text.as_bytes())
    }

    fn element(&mut self, text: &str) -> std::io::Result<()> {
        self.file.write_all(if self.first { b"\n" } else { b",\n" })?;
        self.first = false;
        self.file.write_all(text.as_bytes())
    }
}
