//! Everything that is stored about a person, as one JSON object, written piece by piece: what a subject access request asks for.
//!
//! Who is meant is told as for an erasure: the key, and the visitors that a user is linked to. Read page by page, each in a statement of
//! its own, so an export of any length holds neither memory nor a snapshot; what comes in meanwhile may be in it or not.

use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};
use sqlx::postgres::PgPool;
use tokio::sync::mpsc::Sender;
use uuid::Uuid;

use super::{erasures, tombstones};
use crate::domain::event::Event;
use crate::domain::user_key::{KeyKind, Placeholders, UserKey};

/// Rows of one statement.
const ROWS_PER_PAGE: i64 = 500;
/// Bytes that are handed on at once.
const PIECE_BYTES: usize = 64 << 10;

/// Who is meant.
#[derive(Debug, Clone)]
pub struct Subject {
    /// Which id space.
    pub kind: KeyKind,
    /// The id.
    pub id: String,
    /// Visitors that a user is linked to.
    pub anonymous_ids: Vec<String>,
    /// Users that name a visitor; their data is not the visitor's.
    pub user_ids: Vec<String>,
}

/// Why an export ended early.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The database.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// Nobody reads it any more.
    #[error("the reader is gone")]
    Gone,
}

impl Subject {
    /// Follows the links of a key.
    pub async fn find(pool: &PgPool, kind: KeyKind, id: String) -> Result<Self, sqlx::Error> {
        let statement = match kind {
            KeyKind::User => {
                "/* subject_access.find.identity_links */ SELECT anonymous_id FROM identity_links WHERE user_id = $1 ORDER BY linked_at, anonymous_id"
            }
            KeyKind::Anonymous => {
                "/* subject_access.find.identity_links.2 */ SELECT user_id FROM identity_links WHERE anonymous_id = $1 ORDER BY linked_at, user_id"
            }
        };
        let linked: Vec<String> = sqlx::query_scalar(statement).bind(&id).fetch_all(pool).await?;
        let (anonymous_ids, user_ids) = match kind {
            KeyKind::User => (linked, Vec::new()),
            KeyKind::Anonymous => (Vec::new(), linked),
        };
        Ok(Self { kind, id, anonymous_ids, user_ids })
    }

    fn keys(&self) -> impl Iterator<Item = UserKey<'_>> {
        let own = UserKey { kind: self.kind, id: &self.id };
        std::iter::once(own).chain(self.anonymous_ids.iter().map(|id| UserKey::anonymous(id)))
    }
}

/// Writes the export of a subject.
pub async fn export(
    pool: &PgPool,
    subject: &Subject,
    placeholders: &Placeholders,
    now: DateTime<Utc>,
    out: Sender<Bytes>,
) -> Result<(), ExportError> {
    let mut writer = Writer { out, buffer: Vec::with_capacity(PIECE_BYTES), is_first: true };
    let head = json!({
        "format": "subject-access-export",
        "version": 1,
        "generated_at": now.to_rfc3339_opts(SecondsFormat::Millis, true),
        "subject": {"kind": subject.kind, "id": subject.id},
        "linked_anonymous_ids": subject.anonymous_ids,
        "named_by_user_ids": subject.user_ids,
    })
    .to_string();
    writer.raw(&head[..head.len() - 1]).await?;
    let (kinds, ids): (Vec<&str>, Vec<&str>) = subject.keys().map(|key| (key.kind.as_str(), key.id)).unzip();

    writer.begin("profiles").await?;
    let profiles = "/* subject_access.export.users */ SELECT row_to_json(u)::text FROM users u
                      JOIN unnest($1::text[], $2::text[]) WITH ORDINALITY AS k (kind, id, place) USING (kind, id) ORDER BY place";
    writer.rows(sqlx::query_scalar(profiles).bind(&kinds).bind(&ids).fetch_all(pool).await?).await?;
    writer.begin("events").await?;
    for key in subject.keys() {
        events(pool, key, placeholders, &mut writer).await?;
    }
    writer.begin("matches").await?;
    let of_keys = "JOIN unnest($1::text[], $2::text[]) AS k (kind, id) ON t.user_kind = k.kind AND t.user_id = k.id";
    let matches = format!(
        "/* subject_access.export.matches */ SELECT row_to_json(t)::text FROM matches t {of_keys} ORDER BY t.position"
    );
    writer.rows(sqlx::query_scalar(&matches).bind(&kinds).bind(&ids).fetch_all(pool).await?).await?;
    writer.begin("conversions").await?;
    let conversions = "/* subject_access.export.conversions */ SELECT row_to_json(c)::text FROM conversions c WHERE (c.campaign_id, c.match_event_id) IN (
        SELECT t.campaign_id, t.event_id FROM matches t
          JOIN unnest($1::text[], $2::text[]) AS k (kind, id) ON t.user_kind = k.kind AND t.user_id = k.id) ORDER BY c.converted_at";
    writer.rows(sqlx::query_scalar(conversions).bind(&kinds).bind(&ids).fetch_all(pool).await?).await?;
    writer.begin("webhook_deliveries").await?;
    let deliveries = format!(
        "/* subject_access.export.webhook_deliveries */ SELECT (to_jsonb(t) - 'claim')::text FROM webhook_deliveries t {of_keys} ORDER BY t.position"
    );
    writer.rows(sqlx::query_scalar(&deliveries).bind(&kinds).bind(&ids).fetch_all(pool).await?).await?;
    writer.begin("active_days").await?;
    let hashes: Vec<Uuid> = subject.keys().map(|key| key.fingerprint()).collect();
    let active = "/* subject_access.export.active_users */ SELECT DISTINCT to_json(a.day)::text FROM active_users a
                   JOIN (SELECT generate_series(min(day), max(day), interval '1 day')::date AS day FROM active_users) AS d USING (day)
                  WHERE a.user_hash = ANY($1) ORDER BY 1";
    writer.rows(sqlx::query_scalar(active).bind(&hashes).fetch_all(pool).await?).await?;
    writer.begin("dead_letters").await?;
    dead_letters(pool, subject, placeholders, &mut writer).await?;
    writer.begin("erasures").await?;
    let mut connection = pool.acquire().await?;
    let salt = tombstones::salt(&mut connection).await?;
    for key in subject.keys() {
        let found = erasures::page(&mut connection, Some(salt.hash(key)), None, ROWS_PER_PAGE).await?;
        writer.rows(found.iter().map(|one| one.statement().to_string()).collect()).await?;
    }
    writer.raw("]}\n").await?;
    writer.flush().await
}

/// Events of a key, oldest first.
async fn events(
    pool: &PgPool,
    key: UserKey<'_>,
    placeholders: &Placeholders,
    writer: &mut Writer,
) -> Result<(), ExportError> {
    // The index is on coalesce(user_id, anonymous_id), "timestamp".
    let whose: &[&str] = match key.kind {
        KeyKind::User => &["coalesce(user_id, anonymous_id) = $1 AND user_id = $1 AND $2::text[] IS NOT NULL"],
        KeyKind::Anonymous => &[
            "coalesce(user_id, anonymous_id) = $1 AND user_id IS NULL AND $2::text[] IS NOT NULL",
            "coalesce(user_id, anonymous_id) = ANY($2) AND anonymous_id = $1 AND user_id IS NOT NULL",
        ],
    };
    let strangers: Vec<&str> = placeholders.ids().collect();
    for whose in whose {
        let sql = format!(
            r#"/* subject_access.events */ SELECT e."timestamp", e.id, row_to_json(e)::text FROM events e
                WHERE {whose} AND ($3::timestamptz IS NULL OR (e."timestamp", e.id) > ($3, $4))
                ORDER BY e."timestamp", e.id LIMIT $5"#
        );
        let mut after: Option<(DateTime<Utc>, Uuid)> = None;
        loop {
            let rows: Vec<(DateTime<Utc>, Uuid, String)> = sqlx::query_as(&sql)
                .bind(key.id)
                .bind(&strangers)
                .bind(after.map(|(at, _)| at))
                .bind(after.map(|(_, id)| id))
                .bind(ROWS_PER_PAGE)
                .fetch_all(pool)
                .await?;
            let Some((at, id, _)) = rows.last() else { break };
            after = Some((*at, *id));
            writer.rows(rows.into_iter().map(|(_, _, text)| text).collect()).await?;
        }
    }
    Ok(())
}

/// Letters that are events of one of the keys. What nobody can read is nobody's.
async fn dead_letters(
    pool: &PgPool,
    subject: &Subject,
    placeholders: &Placeholders,
    writer: &mut Writer,
) -> Result<(), ExportError> {
    let ids: Vec<&str> = subject.keys().map(|key| key.id).collect();
    let mut after = 0;
    loop {
        let rows: Vec<(i64, String, DateTime<Utc>, Vec<u8>)> = sqlx::query_as(
            "/* subject_access.dead_letters */ SELECT id, reason, received_at, payload FROM dead_letters WHERE user_id = ANY($1) AND id > $2 ORDER BY id LIMIT $3",
        )
        .bind(&ids)
        .bind(after)
        .bind(ROWS_PER_PAGE)
        .fetch_all(pool)
        .await?;
        let Some((last, ..)) = rows.last() else { return Ok(()) };
        after = *last;
        let theirs = rows.iter().filter_map(|(id, reason, received_at, payload)| {
            let event: Event<'_> = serde_json::from_slice(payload).ok()?;
            let key = event.user_key(placeholders)?;
            subject.keys().any(|own| own == key).then(|| {
                let event: Value = serde_json::from_slice(payload).unwrap_or_default();
                json!({"id": id, "reason": reason, "received_at": received_at, "event": event}).to_string()
            })
        });
        writer.rows(theirs.collect()).await?;
    }
}

/// Collects pieces and hands them on.
struct Writer {
    out: Sender<Bytes>,
    buffer: Vec<u8>,
    is_first: bool,
}

impl Writer {
    async fn raw(&mut self, text: &str) -> Result<(), ExportError> {
        self.buffer.extend_from_slice(text.as_bytes());
        if self.buffer.len() >= PIECE_BYTES { self.flush().await } else { Ok(()) }
    }

    /// Begins an array, behind the one before.
    async fn begin(&mut self, name: &str) -> Result<(), ExportError> {
        let end = if name == "profiles" { "" } else { "]" };
        self.is_first = true;
        self.raw(&format!("{end},\n\"{name}\":[")).await
    }

    async fn rows(&mut self, rows: Vec<String>) -> Result<(), ExportError> {
        for row in rows {
            let comma = if std::mem::take(&mut self.is_first) { "\n" } else { ",\n" };
            self.raw(comma).await?;
            self.raw(&row).await?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), ExportError> {
        let piece = Bytes::from(std::mem::take(&mut self.buffer));
        self.out.send(piece).await.map_err(|_| ExportError::Gone)
    }
}
