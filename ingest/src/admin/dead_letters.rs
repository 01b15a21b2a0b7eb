//! `/v1/admin/dead-letters`: events that could not be stored, latest first, and one of them with its payload.
//!
//! The list is `{dead_letters, total, next_cursor}`; `limit` 50, at most 500. It takes `sqlstate`, `event_id`, and `from`/`to` on
//! the time it was put aside (as in [`super::events`]). One letter also has `payload`: a text with `payload_encoding: "text"` when
//! it is JSON, else base64 with `"base64"`. `total` is exact up to [`COUNT_LIMIT`] and stays there beyond.

use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde::de::IgnoredAny;
use sqlx::postgres::{PgPool, Postgres};
use sqlx::{FromRow, QueryBuilder};
use utoipa::ToSchema;
use uuid::Uuid;

use super::documents::answered;
use super::paging::Page;
use super::stored_events::COUNT_LIMIT;
use crate::app::App;
use crate::database::moment;
use crate::intake::ok;
use crate::openapi::parameters::{Between, Paging};
use crate::openapi::refusals::{AsksDatabase, Missing, ReadsParameters};
use crate::problem::{Kind, Problem};
use crate::query::Query;

const DEFAULT_LIMIT: i64 = 50;
const LARGEST_LIMIT: i64 = 500;
const COLUMNS: &str = "id, event_id, lane, stream_seq, partition, position, events, sqlstate, reason,
    length(payload) AS payload_bytes, received_at, created_at, redriven_at";

#[derive(Serialize, ToSchema)]
#[schema(as = DeadLetterList)]
struct Listed {
    dead_letters: Vec<Letter>,
    /// Exact up to 10,000, and stays there beyond.
    total: i64,
    #[schema(required)]
    next_cursor: Option<String>,
}

/// A letter without its payload.
#[derive(Serialize, FromRow, ToSchema)]
#[schema(as = DeadLetter)]
struct Letter {
    id: i64,
    #[schema(required)]
    event_id: Option<Uuid>,
    lane: i32,
    stream_seq: i64,
    partition: i32,
    position: i32,
    /// More than one: a whole message that could not be read.
    events: i32,
    #[schema(required)]
    sqlstate: Option<String>,
    reason: String,
    payload_bytes: i32,
    received_at: DateTime<Utc>,
    created_at: DateTime<Utc>,
    #[schema(required)]
    redriven_at: Option<DateTime<Utc>>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = OpenedDeadLetter)]
struct Opened {
    #[serde(flatten)]
    letter: Letter,
    /// `text`, or `base64` of what is not JSON.
    payload_encoding: &'static str,
    payload: String,
}

#[derive(Debug, Clone)]
struct Filter {
    sqlstate: Option<String>,
    event_id: Option<Uuid>,
    from: Option<DateTime<Utc>>,
    to: Option<DateTime<Utc>>,
}

/// Events that could not be stored, latest first.
///
/// `limit` is 50, at most 500.
#[utoipa::path(
    get, path = "/v1/admin/dead-letters", operation_id = "listDeadLetters", tag = "Dead letters",
    params(
        Paging, Between,
        ("sqlstate" = Option<String>, Query, description = "Only those that the database refused with this code."),
        ("event_id" = Option<String>, Query, format = Uuid, description = "Only of this event."),
    ),
    responses((status = 200, description = "A page.", body = Listed), ReadsParameters, AsksDatabase),
)]
pub async fn list(State(app): State<Arc<App>>, RawQuery(query): RawQuery) -> Response {
    let list = async {
        let query = Query::parse(query.as_deref());
        let page = Page::<i64>::read(&query, Some(DEFAULT_LIMIT), LARGEST_LIMIT)?;
        let filter = filter(&query)?;
        let asked = page.clone();
        let (mut rows, total) = app.database.run(|pool| read(pool, filter, asked)).await?;
        let next_cursor = page.cut(&mut rows, |letter| letter.id);
        ok(&Listed { dead_letters: rows, total, next_cursor })
    };
    answered(list.await)
}

/// One of them, with its payload.
#[utoipa::path(
    get, path = "/v1/admin/dead-letters/{id}", operation_id = "showDeadLetter", tag = "Dead letters",
    params(("id" = String, Path, description = "Of the dead letter: a number.", example = "12")),
    responses((status = 200, description = "The dead letter.", body = Opened), Missing, AsksDatabase),
)]
pub async fn show(State(app): State<Arc<App>>, Path(id): Path<String>) -> Response {
    let show = async {
        let not_found =
            || Problem::new(Kind::NotFound, "there is nothing with this id").with_error("Dead letter not found");
        let id: i64 = id.parse().map_err(|_| not_found())?;
        let read = |pool: PgPool| async move {
            let sql = format!("SELECT {COLUMNS} FROM dead_letters WHERE id = $1");
            let mut moment = moment(&pool).await?;
            let letter: Option<Letter> = sqlx::query_as(&sql).bind(id).fetch_optional(&mut *moment).await?;
            let payload = "SELECT payload FROM dead_letters WHERE id = $1";
            let payload: Option<Vec<u8>> = sqlx::query_scalar(payload).bind(id).fetch_optional(&mut *moment).await?;
            moment.commit().await?;
            Ok(letter.zip(payload))
        };
        let (letter, payload) = app.database.run(read).await?.ok_or_else(not_found)?;
        let (payload_encoding, payload) = readable(payload);
        ok(&Opened { letter, payload_encoding, payload })
    };
    answered(show.await)
}

fn filter(query: &Query<'_>) -> Result<Filter, Problem> {
    let event_id = query.text("event_id").map(str::parse).transpose();
    let event_id = event_id.map_err(|_| Problem::new(Kind::InvalidParameter, "event_id must be a UUID"))?;
    Ok(Filter {
        sqlstate: query.plain("sqlstate")?.map(str::to_owned),
        event_id,
        from: query.time("from")?,
        to: query.time("to")?,
    })
}

async fn read(pool: PgPool, filter: Filter, page: Page<i64>) -> Result<(Vec<Letter>, i64), sqlx::Error> {
    let mut moment = moment(&pool).await?;
    let mut query = QueryBuilder::new(format!("SELECT {COLUMNS} FROM dead_letters WHERE true"));
    narrow(&mut query, &filter);
    if let Some(id) = page.after {
        query.push(" AND id < ").push_bind(id);
    }
    query.push(" ORDER BY id DESC LIMIT ").push_bind(page.rows_to_read());
    query.push(" OFFSET ").push_bind(page.offset);
    let rows = query.build_query_as().fetch_all(&mut *moment).await?;

    let mut count = QueryBuilder::new("SELECT count(*) FROM (SELECT 1 FROM dead_letters WHERE true");
    narrow(&mut count, &filter);
    count.push(" LIMIT ").push_bind(COUNT_LIMIT).push(") AS counted");
    let total = count.build_query_scalar().fetch_one(&mut *moment).await?;
    moment.commit().await?;
    Ok((rows, total))
}

fn narrow(query: &mut QueryBuilder<'_, Postgres>, filter: &Filter) {
    if let Some(sqlstate) = &filter.sqlstate {
        query.push(" AND sqlstate = ").push_bind(sqlstate.clone());
    }
    if let Some(event_id) = filter.event_id {
        query.push(" AND event_id = ").push_bind(event_id);
    }
    if let Some(from) = filter.from {
        query.push(" AND created_at >= ").push_bind(from);
    }
    if let Some(to) = filter.to {
        query.push(" AND created_at < ").push_bind(to);
    }
}

fn readable(payload: Vec<u8>) -> (&'static str, String) {
    let is_json = serde_json::from_slice::<IgnoredAny>(&payload).is_ok();
    match String::from_utf8(payload) {
        Ok(text) if is_json => ("text", text),
        Ok(text) => ("base64", STANDARD.encode(text)),
        Err(error) => ("base64", STANDARD.encode(error.into_bytes())),
    }
}
