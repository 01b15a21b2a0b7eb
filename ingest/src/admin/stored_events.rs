//! Stored events as the admin API reads and shows them, newest first.
//!
//! Days past the retention are not shown, whether their partition still stands or not, unless they are held. Only as many days are read
//! as a page needs ([`super::days`]): four partitions for the latest events, however many there are; more for an older page, and all of
//! them only for what is nowhere.
//!
//! For the old dashboard `user_id` and `event` are always strings and `properties` an object: an event without a name shows its
//! type.

use std::time::{Duration, Instant};

use chrono::{DateTime, Days as Count, NaiveDate, SecondsFormat, Utc};
use serde::Serialize;
use serde_json::value::RawValue;
use shared::store::connection::sqlstate;
use sqlx::postgres::{PgConnection, Postgres};
use sqlx::{FromRow, QueryBuilder};
use utoipa::ToSchema;
use uuid::Uuid;

use super::days::{Days, INSTANT};
use crate::app::App;
use crate::database::QUERY_CANCELED;

/// Beyond this rows are not counted on: counting millions for a page of a hundred would cost more than the page.
pub const COUNT_LIMIT: i64 = 10_000;
/// Longest time to count for.
const COUNT_PATIENCE: Duration = Duration::from_secs(1);

/// What the order goes by; also the inside of a cursor.
pub type Key = (DateTime<Utc>, Uuid);

/// Which events. Absent parts narrow nothing.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// User or anonymous ids.
    pub ids: Option<Vec<String>>,
    /// Event name of a track, name of a page or screen.
    pub event: Option<String>,
    /// `track`, `identify`, …
    pub kind: Option<&'static str>,
    /// Name of the key it came with.
    pub source: Option<String>,
    /// Not before.
    pub from: Option<DateTime<Utc>>,
    /// Before.
    pub to: Option<DateTime<Utc>>,
}

/// The oldest day that is still shown.
#[must_use]
pub fn oldest_day(app: &App) -> NaiveDate {
    let retention = Count::new(u64::from(app.settings.pipeline.retention_days));
    Utc::now().date_naive().checked_sub_days(retention).unwrap_or(NaiveDate::MIN)
}

/// One row.
#[derive(Debug, FromRow)]
pub struct Row {
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

impl Row {
    /// Its place in the order.
    #[must_use]
    pub fn key(&self) -> Key {
        (self.timestamp, self.id)
    }
}

/// Reads up to `limit` events of these days behind `after`, leaving out `offset`.
pub async fn page(
    connection: &mut PgConnection,
    (filter, days): (&Filter, &Days),
    after: Option<Key>,
    limit: Option<i64>,
    offset: i64,
) -> Result<Vec<Row>, sqlx::Error> {
    let behind = after.map(|(timestamp, _)| timestamp + INSTANT);
    let to = [behind, filter.to].into_iter().flatten().min();
    let days = days.within(filter.from, to);
    let mut rows = Vec::new();
    for (piece, outside) in days.growing() {
        rows = page_of(connection, (filter, &piece), after, limit, offset).await?;
        let full = limit.is_some_and(|limit| i64::try_from(rows.len()).is_ok_and(|read| read >= limit));
        let last = rows.last().map(|row: &Row| row.timestamp);
        if full && outside.is_some_and(|outside| last.is_some_and(|last| last >= outside)) {
            break;
        }
    }
    Ok(rows)
}

/// The same, of some days.
async fn page_of(
    connection: &mut PgConnection,
    (filter, days): (&Filter, &[NaiveDate]),
    after: Option<Key>,
    limit: Option<i64>,
    offset: i64,
) -> Result<Vec<Row>, sqlx::Error> {
    let mut query = QueryBuilder::new(
        r#"/* stored_events.page_of */ SELECT id, type AS kind, user_id, anonymous_id, event, message_id, event_id, "timestamp", original_timestamp,
                  received_at, source, flags, properties::text AS properties, traits::text AS traits FROM events"#,
    );
    narrow(&mut query, filter, days);
    if let Some((timestamp, id)) = after {
        // The first condition says nothing new, but is what the index can begin at.
        query.push(r#" AND "timestamp" <= "#).push_bind(timestamp);
        query.push(r#" AND ("timestamp", id) < ("#).push_bind(timestamp).push(", ").push_bind(id).push(")");
    }
    query.push(r#" ORDER BY "timestamp" DESC, id DESC LIMIT "#).push_bind(limit);
    query.push(" OFFSET ").push_bind(offset);
    query.build_query_as().fetch_all(connection).await
}

/// How many there are, up to [`COUNT_LIMIT`]; `None` when counting takes longer than a second, because what is asked for is rare.
/// The last statement of its transaction: a count that was given up ends it.
pub async fn count(
    connection: &mut PgConnection,
    (filter, days): (&Filter, &Days),
) -> Result<Option<i64>, sqlx::Error> {
    let started = Instant::now();
    let days = days.within(filter.from, filter.to);
    let mut total: i64 = 0;
    for piece in days.pieces() {
        let left = COUNT_PATIENCE.saturating_sub(started.elapsed()).as_millis();
        if left == 0 {
            return Ok(None);
        }
        sqlx::query("/* stored_events.count.events */ SELECT set_config('statement_timeout', $1, true)")
            .bind(left.to_string())
            .execute(&mut *connection)
            .await?;
        let mut query =
            QueryBuilder::new("/* stored_events.count.events.2 */ SELECT count(*) FROM (SELECT 1 FROM events");
        narrow(&mut query, filter, &piece);
        query.push(" LIMIT ").push_bind(COUNT_LIMIT - total).push(") AS counted");
        match query.build_query_scalar::<i64>().fetch_one(&mut *connection).await {
            Ok(count) => total += count,
            Err(error) if sqlstate(&error).as_deref() == Some(QUERY_CANCELED) => return Ok(None),
            Err(error) => return Err(error),
        }
        if total >= COUNT_LIMIT {
            break;
        }
    }
    Ok(Some(total))
}

/// This id, and those that are the same person: the anonymous ids a user was seen under; of an anonymous id its users, and theirs.
/// A device that many share has many users: not all of them are looked at.
pub async fn linked_ids(connection: &mut PgConnection, id: &str) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar(
        "/* stored_events.linked_ids */ WITH people AS (SELECT $1::text AS id UNION SELECT user_id FROM identity_links WHERE anonymous_id = $1)
         SELECT id FROM people
          UNION SELECT l.anonymous_id FROM identity_links l JOIN people p ON p.id = l.user_id
          LIMIT 1000",
    )
    .bind(id)
    .fetch_all(connection)
    .await
}

fn narrow(query: &mut QueryBuilder<'_, Postgres>, filter: &Filter, days: &[NaiveDate]) {
    query.push(" WHERE day = ANY(").push_bind(days.to_vec()).push(")");
    if let Some(ids) = &filter.ids {
        // The expression of the index events_user, which gives the order too when there is one id.
        query.push(" AND coalesce(user_id, anonymous_id) = ");
        match ids.as_slice() {
            [id] => query.push_bind(id.clone()),
            ids => query.push("ANY(").push_bind(ids.to_vec()).push(")"),
        };
    }
    if let Some(event) = &filter.event {
        query.push(" AND event = ").push_bind(event.clone());
    }
    if let Some(kind) = filter.kind {
        query.push(" AND type = ").push_bind(kind);
    }
    if let Some(source) = &filter.source {
        query.push(" AND source = ").push_bind(source.clone());
    }
    if let Some(from) = filter.from {
        query.push(r#" AND "timestamp" >= "#).push_bind(from);
    }
    if let Some(to) = filter.to {
        query.push(r#" AND "timestamp" < "#).push_bind(to);
    }
}

/// An event in a reply.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StoredEvent)]
pub struct Shown {
    id: Uuid,
    /// Its name, or its type when it has none.
    event: String,
    /// Or the anonymous id.
    user_id: String,
    /// `timestamp` in milliseconds.
    ts: i64,
    #[schema(value_type = Option<Object>, required)]
    properties: Option<Box<RawValue>>,
    #[serde(rename = "type")]
    kind: String,
    #[schema(required)]
    anonymous_id: Option<String>,
    #[schema(required)]
    message_id: Option<String>,
    #[schema(required)]
    event_id: Option<String>,
    /// When it happened; corrected where the client's clock was far off.
    #[schema(format = DateTime)]
    timestamp: String,
    /// As it was sent.
    #[schema(required)]
    original_timestamp: Option<String>,
    #[schema(format = DateTime)]
    received_at: String,
    /// Name of the key.
    source: String,
    /// What was noticed on its way in, as bits.
    flags: i16,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>, nullable = false)]
    traits: Option<Box<RawValue>>,
}

impl From<Row> for Shown {
    fn from(row: Row) -> Self {
        let iso = |t: DateTime<Utc>| t.to_rfc3339_opts(SecondsFormat::Millis, true);
        let raw = |text: Option<String>| text.and_then(|text| RawValue::from_string(text).ok());
        Self {
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
}
