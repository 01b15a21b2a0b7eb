//! Rows of an event, with what followed from them.

use chrono::{DateTime, Utc};
use serde::Serialize;
use shared::domain::event_id::client_day;
use sqlx::postgres::PgConnection;
use sqlx::{FromRow, Row};
use utoipa::ToSchema;
use uuid::Uuid;

use super::asked::Asked;

/// Without a time so many of a user's latest events are looked through.
pub const MOST_EVENTS: i64 = 10_000;

const COLUMNS: &str = r#"id, type AS kind, user_id, anonymous_id, event, message_id, event_id, "timestamp", original_timestamp,
    received_at, source"#;

/// A row, as a receipt shows it: what identifies it, its times, and what became of it.
#[derive(Debug, Serialize, FromRow, ToSchema)]
#[schema(as = StoredReceipt)]
pub struct Stored {
    /// Ours.
    pub id: Uuid,
    #[serde(rename = "type")]
    kind: String,
    #[schema(required)]
    user_id: Option<String>,
    #[schema(required)]
    anonymous_id: Option<String>,
    #[schema(required)]
    event: Option<String>,
    #[schema(required)]
    message_id: Option<String>,
    #[schema(required)]
    event_id: Option<String>,
    timestamp: DateTime<Utc>,
    #[schema(required)]
    original_timestamp: Option<String>,
    received_at: DateTime<Utc>,
    source: String,
    #[sqlx(skip)]
    matched: Vec<Match>,
    #[schema(required)]
    #[sqlx(skip)]
    duplicates: Option<Duplicates>,
}

/// A campaign that it matched.
#[derive(Debug, Serialize, FromRow, ToSchema)]
#[schema(as = ReceiptMatch)]
struct Match {
    campaign_id: String,
    campaign_version: i64,
    #[schema(required)]
    variant: Option<String>,
    /// `show`, `hold_out` or `preview`.
    disposition: String,
    matched_at: DateTime<Utc>,
}

/// Copies that were dropped.
#[derive(Debug, Serialize, FromRow, ToSchema)]
#[schema(as = DroppedCopies)]
struct Duplicates {
    copies: i64,
    last_received_at: DateTime<Utc>,
}

/// Reads the rows, newest first.
pub async fn read(
    connection: &mut PgConnection,
    asked: &Asked,
    notes: &mut Vec<String>,
) -> Result<Vec<Stored>, sqlx::Error> {
    let mut rows = by_id(connection, asked).await?;
    if rows.is_empty() && asked.id.is_none() {
        rows = by_user(connection, asked, notes).await?;
    }
    rows.retain(|row| {
        asked.is_theirs(row.user_id.as_deref(), row.anonymous_id.as_deref()) && asked.may_see(&row.source)
    });
    let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
    let sql = "/* stored.read.matches */ SELECT event_id, campaign_id, campaign_version, variant, disposition, matched_at FROM matches
                WHERE event_id = ANY($1) ORDER BY position";
    for row in sqlx::query(sql).bind(&ids).fetch_all(&mut *connection).await? {
        let event_id: Uuid = row.try_get("event_id")?;
        if let Some(stored) = rows.iter_mut().find(|stored| stored.id == event_id) {
            stored.matched.push(Match::from_row(&row)?);
        }
    }
    let sql = "/* stored.read.duplicates */ SELECT event_id, copies, last_received_at FROM duplicates WHERE event_id = ANY($1)";
    for row in sqlx::query(sql).bind(&ids).fetch_all(connection).await? {
        let event_id: Uuid = row.try_get("event_id")?;
        if let Some(stored) = rows.iter_mut().find(|stored| stored.id == event_id) {
            stored.duplicates = Some(Duplicates::from_row(&row)?);
        }
    }
    Ok(rows)
}

/// By what the event must be called: its own day leads the id, and a late one is filed under the day of its receipt.
async fn by_id(connection: &mut PgConnection, asked: &Asked) -> Result<Vec<Stored>, sqlx::Error> {
    if asked.ids.is_empty() {
        return Ok(Vec::new());
    }
    let days: Vec<_> = asked.ids.iter().map(|id| client_day(*id).unwrap_or_default()).collect();
    let sql = format!(
        r#"/* stored.by_id */ SELECT {COLUMNS} FROM events
            WHERE (day, id) IN (SELECT * FROM unnest($1::date[], $2::uuid[])
                                 UNION ALL SELECT received_day, id FROM late_ids WHERE id = ANY($2))
              AND day >= $3 ORDER BY "timestamp" DESC"#
    );
    sqlx::query_as(&sql).bind(days).bind(&asked.ids).bind(asked.oldest_day).fetch_all(connection).await
}

/// Among what the user did last.
async fn by_user(
    connection: &mut PgConnection,
    asked: &Asked,
    notes: &mut Vec<String>,
) -> Result<Vec<Stored>, sqlx::Error> {
    let user = asked.user_id.as_ref().or(asked.anonymous_id.as_ref());
    let sql = format!(
        r#"/* stored.by_user */ WITH latest AS MATERIALIZED (
               SELECT {COLUMNS} FROM events WHERE day >= $1 AND coalesce(user_id, anonymous_id) = $2
                ORDER BY "timestamp" DESC LIMIT $3)
           SELECT *, (SELECT count(*) FROM latest) AS seen FROM (SELECT true) AS always
             LEFT JOIN latest ON message_id = $4 OR event_id = $4"#
    );
    let rows = sqlx::query(&sql)
        .bind(asked.oldest_day)
        .bind(user)
        .bind(MOST_EVENTS)
        .bind(&asked.name)
        .fetch_all(connection)
        .await?;
    let mut found = Vec::new();
    for row in &rows {
        if row.try_get::<Option<Uuid>, _>("id")?.is_some() {
            found.push(Stored::from_row(row)?);
        } else if row.try_get::<i64, _>("seen")? >= MOST_EVENTS {
            notes.push(format!(
                "only the user's latest {MOST_EVENTS} events were looked through: send the event's own timestamp"
            ));
        }
    }
    Ok(found)
}
