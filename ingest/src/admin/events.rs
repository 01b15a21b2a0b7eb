//! `GET /v1/admin/events`: stored events, newest first.
//!
//! `user_id` (also an anonymous id) and `event` filter; `limit` (100, at most 1,000) and `offset` page. Days past the retention
//! are not shown, whether their partition still stands or not. `total` is exact up to [`COUNT_LIMIT`] and stays there beyond:
//! counting millions of rows for a page of a hundred would cost more than the page.
//!
//! For the old dashboard `user_id` and `event` are always strings and `properties` an object: an event without a name shows its
//! type.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Days, SecondsFormat, Utc};
use http::HeaderMap;
use serde::Serialize;
use serde_json::value::RawValue;
use sqlx::QueryBuilder;
use sqlx::postgres::{PgPool, Postgres};
use uuid::Uuid;

use crate::app::App;
use crate::intake::ok;
use crate::problem::{Kind, Problem};
use crate::query::Query;

/// Beyond this `total` is not counted on.
pub const COUNT_LIMIT: i64 = 10_000;
const DEFAULT_LIMIT: i64 = 100;
const LARGEST_LIMIT: i64 = 1_000;

#[derive(Debug, Clone)]
struct Wanted {
    oldest_day: chrono::NaiveDate,
    user_id: Option<String>,
    event: Option<String>,
    limit: i64,
    offset: i64,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    kind: String,
    user_id: Option<String>,
    anonymous_id: Option<String>,
    event: Option<String>,
    message_id: Option<String>,
    event_id: Option<String>,
    timestamp: DateTime<Utc>,
    original_timestamp: Option<String>,
    received_at: DateTime<Utc>,
    source: String,
    flags: i16,
    properties: Option<String>,
    traits: Option<String>,
}

#[derive(Serialize)]
struct Listed {
    events: Vec<Shown>,
    total: i64,
}

#[derive(Serialize)]
struct Shown {
    id: Uuid,
    event: String,
    user_id: String,
    /// Milliseconds.
    ts: i64,
    properties: Option<Box<RawValue>>,
    #[serde(rename = "type")]
    kind: String,
    anonymous_id: Option<String>,
    message_id: Option<String>,
    event_id: Option<String>,
    timestamp: String,
    original_timestamp: Option<String>,
    received_at: String,
    source: String,
    flags: i16,
    #[serde(skip_serializing_if = "Option::is_none")]
    traits: Option<Box<RawValue>>,
}

/// The handler.
pub async fn list(State(app): State<Arc<App>>, headers: HeaderMap, RawQuery(query): RawQuery) -> Response {
    answer(&app, &headers, query.as_deref()).await.unwrap_or_else(IntoResponse::into_response)
}

async fn answer(app: &App, headers: &HeaderMap, query: Option<&str>) -> Result<Response, Problem> {
    app.door.admin(headers)?;
    let query = Query::parse(query);
    let retention = Days::new(u64::from(app.settings.pipeline.retention_days));
    let event = query.text("event").map(str::to_owned);
    if event.as_deref().is_some_and(|event| event.contains('\0')) {
        return Err(Problem::new(Kind::InvalidParameter, "event must not hold a zero byte"));
    }
    let wanted = Wanted {
        oldest_day: Utc::now().date_naive().checked_sub_days(retention).unwrap_or(chrono::NaiveDate::MIN),
        user_id: query.id("user_id")?.map(str::to_owned),
        event,
        limit: query.number("limit").filter(|n| *n > 0).unwrap_or(DEFAULT_LIMIT).min(LARGEST_LIMIT),
        offset: query.number("offset").unwrap_or(0),
    };
    let (rows, total) = app.database.run(|pool| read(pool, wanted)).await?;
    ok(&Listed { events: rows.into_iter().map(shown).collect(), total })
}

/// Page and total as of one moment.
async fn read(pool: PgPool, wanted: Wanted) -> Result<(Vec<Row>, i64), sqlx::Error> {
    let mut moment = pool.begin().await?;
    sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY").execute(&mut *moment).await?;
    let mut page = QueryBuilder::new(
        r#"SELECT id, type AS kind, user_id, anonymous_id, event, message_id, event_id, "timestamp", original_timestamp,
                  received_at, source, flags, properties::text AS properties, traits::text AS traits FROM events"#,
    );
    narrow(&mut page, &wanted);
    page.push(r#" ORDER BY "timestamp" DESC, id LIMIT "#)
        .push_bind(wanted.limit)
        .push(" OFFSET ")
        .push_bind(wanted.offset);
    let rows = page.build_query_as::<Row>().fetch_all(&mut *moment).await?;

    let mut count = QueryBuilder::new("SELECT count(*) FROM (SELECT 1 FROM events");
    narrow(&mut count, &wanted);
    count.push(" LIMIT ").push_bind(COUNT_LIMIT).push(") AS counted");
    let total = count.build_query_scalar().fetch_one(&mut *moment).await?;
    moment.commit().await?;
    Ok((rows, total))
}

fn narrow(query: &mut QueryBuilder<'_, Postgres>, wanted: &Wanted) {
    query.push(" WHERE day >= ").push_bind(wanted.oldest_day);
    if let Some(user_id) = &wanted.user_id {
        // The expression of the index events_user.
        query.push(" AND coalesce(user_id, anonymous_id) = ").push_bind(user_id.clone());
    }
    if let Some(event) = &wanted.event {
        query.push(" AND event = ").push_bind(event.clone());
    }
}

fn shown(row: Row) -> Shown {
    let iso = |t: DateTime<Utc>| t.to_rfc3339_opts(SecondsFormat::Millis, true);
    let raw = |text: Option<String>| text.and_then(|text| RawValue::from_string(text).ok());
    Shown {
        id: row.id,
        event: row.event.unwrap_or_else(|| row.kind.clone()),
        user_id: row.user_id.or_else(|| row.anonymous_id.clone()).unwrap_or_default(),
        ts: row.timestamp.timestamp_millis(),
        properties: raw(row.properties.or_else(|| Some("{}".to_owned()))),
        kind: row.kind,
        anonymous_id: row.anonymous_id,
        message_id: row.message_id,
        event_id: row.event_id,
        timestamp: iso(row.timestamp),
        original_timestamp: row.original_timestamp,
        received_at: iso(row.received_at),
        source: row.source,
        flags: row.flags,
        traits: raw(row.traits),
    }
}
