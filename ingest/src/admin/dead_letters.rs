//! `/v1/admin/dead-letters`: events that could not be stored, latest first, and one of them with its payload.
//!
//! The list is `{dead_letters, total, next_cursor}`; `limit` 50, at most 500. It takes `state`, `sqlstate`, `reason` (a part of it),
//! `event_id`, `user_id`, and `from`/`to` on the time it was put aside (as in [`super::events`]). One letter also has `payload`: a text with `payload_encoding: "text"` when
//! it is JSON, else base64 with `"base64"`. `total` is exact up to [`COUNT_LIMIT`] and stays there beyond.

use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde::de::IgnoredAny;
use shared::store::dead_letters::{self, Filter, State as LetterState};
use sqlx::FromRow;
use sqlx::postgres::PgPool;
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
    /// Of the event, else its anonymous id; null where it could not be read.
    #[schema(required)]
    user_id: Option<String>,
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
    /// The letter before it of the same event, which was driven again or resent and failed again.
    #[schema(required)]
    previous_id: Option<i64>,
    /// `open`, `redriven` or `discarded`.
    state: String,
    #[schema(required)]
    redriven_at: Option<DateTime<Utc>>,
    #[schema(required)]
    redriven_by: Option<String>,
    /// The message of its lane that carries the event again.
    #[schema(required)]
    redriven_seq: Option<i64>,
    #[schema(required)]
    discarded_at: Option<DateTime<Utc>>,
    #[schema(required)]
    discarded_by: Option<String>,
    #[schema(required)]
    discard_reason: Option<String>,
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

/// Events that could not be stored, latest first.
///
/// `limit` is 50, at most 500.
#[utoipa::path(
    get, path = "/v1/admin/dead-letters", operation_id = "listDeadLetters", tag = "Dead letters",
    params(
        Paging, Between,
        ("state" = Option<String>, Query, pattern = "^(open|redriven|discarded)$", description = "Only those; without it all."),
        ("sqlstate" = Option<String>, Query, description = "Only those that the database refused with this code."),
        ("reason" = Option<String>, Query, description = "Only those with this text in the reason, in capitals or not."),
        ("event_id" = Option<String>, Query, format = Uuid, description = "Only of this event."),
        ("user_id" = Option<String>, Query, description = "Only of this user id, or of this anonymous id where the event has no user id."),
    ),
    responses((status = 200, description = "A page.", body = Listed), ReadsParameters, AsksDatabase),
)]
pub async fn list(State(app): State<Arc<App>>, RawQuery(query): RawQuery) -> Response {
    let list = async {
        let query = Query::parse(query.as_deref());
        let page = Page::<i64>::read(&query, Some(DEFAULT_LIMIT), LARGEST_LIMIT)?;
        let meant = (filter(&query)?, state(&query)?);
        let asked = page.clone();
        let (mut rows, total) = app.database.read(|pool| read(pool, meant, asked)).await?;
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
            let mut moment = moment(&pool).await?;
            let found: Option<(Letter, Vec<u8>)> = dead_letters::one(&mut moment, id).await?;
            moment.commit().await?;
            Ok(found)
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
        ids: None,
        event_id,
        sqlstate: query.plain("sqlstate")?.map(str::to_owned),
        reason: query.plain("reason")?.map(str::to_owned),
        user_id: query.plain("user_id")?.map(str::to_owned),
        from: query.time("from")?,
        to: query.time("to")?,
    })
}

fn state(query: &Query<'_>) -> Result<Option<LetterState>, Problem> {
    let Some(asked) = query.text("state") else { return Ok(None) };
    let state = LetterState::ALL.into_iter().find(|state| state.as_str() == asked);
    let wrong = || Problem::new(Kind::InvalidParameter, "state must be open, redriven or discarded");
    state.ok_or_else(wrong).map(Some)
}

async fn read(
    pool: PgPool,
    (filter, state): (Filter, Option<LetterState>),
    page: Page<i64>,
) -> Result<(Vec<Letter>, i64), sqlx::Error> {
    let mut moment = moment(&pool).await?;
    let cut = (page.after, page.offset, page.rows_to_read());
    let rows = dead_letters::page(&mut moment, (&filter, state), cut).await?;
    let total = dead_letters::count(&mut moment, (&filter, state), COUNT_LIMIT).await?;
    moment.commit().await?;
    Ok((rows, total))
}

fn readable(payload: Vec<u8>) -> (&'static str, String) {
    let is_json = serde_json::from_slice::<IgnoredAny>(&payload).is_ok();
    match String::from_utf8(payload) {
        Ok(text) if is_json => ("text", text),
        Ok(text) => ("base64", STANDARD.encode(text)),
        Err(error) => ("base64", STANDARD.encode(error.into_bytes())),
    }
}
