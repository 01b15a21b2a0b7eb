//! `GET /v1/admin/events`: stored events, newest first: `{events, total, next_cursor}`.
//!
//! | parameter | only events |
//! |---|---|
//! | `user_id` | of this user or anonymous id |
//! | `linked=true` | … and of the ids that are the same person |
//! | `event` | of this name |
//! | `type` | of this type: `track`, `identify`, `page`, `screen`, `group`, `alias` |
//! | `source` | that came with the key of this name |
//! | `from`, `to` | whose `timestamp` is not before `from`, and before `to`: ISO 8601 (UTC where it names no zone) or epoch milliseconds |
//!
//! `limit` 100, at most 1,000; `offset` and `cursor` page. `total` is exact up to [`stored_events::COUNT_LIMIT`] and stays there
//! beyond; it is null when counting would take long. No index leads by name, type or source: a search for something rare walks
//! through time, and is best narrowed by `from`, `to` or `user_id`.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::Response;
use serde::Serialize;
use shared::domain::event::EventType;
use utoipa::ToSchema;

use super::days::Days;
use super::documents::answered;
use super::paging::Page;
use super::stored_events::{self, Filter, Key, Shown, oldest_day};
use crate::app::App;
use crate::database::moment;
use crate::intake::ok;
use crate::openapi::parameters::{Between, Paging};
use crate::openapi::refusals::{AsksDatabase, ReadsParameters};
use crate::problem::{Kind, Problem};
use crate::query::Query;

const DEFAULT_LIMIT: i64 = 100;
const LARGEST_LIMIT: i64 = 1_000;

#[derive(Serialize, ToSchema)]
#[schema(as = EventList)]
struct Listed {
    events: Vec<Shown>,
    /// Exact up to 10,000, and stays there beyond; null when counting would take long.
    #[schema(required)]
    total: Option<i64>,
    #[schema(required)]
    next_cursor: Option<String>,
}

/// Stored events, newest first.
///
/// `limit` is 100, at most 1,000. A search for something rare is best narrowed by `from`, `to` or `user_id`.
#[utoipa::path(
    get, path = "/v1/admin/events", operation_id = "listEvents", tag = "Events and users",
    params(
        Paging, Between,
        ("user_id" = Option<String>, Query, description = "Only of this user or anonymous id."),
        ("linked" = Option<String>, Query, description = "`true`: also of the ids that are the same person."),
        ("event" = Option<String>, Query, description = "Only of this name, such as `cart_viewed`."),
        ("type" = Option<String>, Query, description = "Only of this type: track, identify, page, screen, group or alias."),
        ("source" = Option<String>, Query, description = "Only those that came with the key of this name."),
    ),
    responses((status = 200, description = "A page.", body = Listed), ReadsParameters, AsksDatabase),
)]
pub async fn list(State(app): State<Arc<App>>, RawQuery(query): RawQuery) -> Response {
    answered(answer(&app, &Query::parse(query.as_deref())).await)
}

async fn answer(app: &App, query: &Query<'_>) -> Result<Response, Problem> {
    let page = Page::<Key>::read(query, Some(DEFAULT_LIMIT), LARGEST_LIMIT)?;
    let mut filter = Filter {
        event: query.plain("event")?.map(str::to_owned),
        kind: kind(query)?,
        source: query.plain("source")?.map(str::to_owned),
        from: query.time("from")?,
        to: query.time("to")?,
        ids: None,
    };
    let user_id = query.id("user_id")?.map(str::to_owned);
    let linked = query.text("linked") == Some("true");
    let oldest_day = oldest_day(app);
    let (after, limit, offset) = (page.after, page.rows_to_read(), page.offset);
    let read = |pool| async move {
        let mut moment = moment(&pool).await?;
        filter.ids = match user_id {
            Some(id) if linked => Some(stored_events::linked_ids(&mut moment, &id).await?),
            one => one.map(|id| vec![id]),
        };
        let days = Days::read(&mut moment, oldest_day).await?;
        let rows = stored_events::page(&mut moment, (&filter, &days), after, limit, offset).await?;
        let total = stored_events::count(&mut moment, (&filter, &days)).await?;
        moment.commit().await?;
        Ok((rows, total))
    };
    let (mut rows, total) = app.database.read(read).await?;
    let next_cursor = page.cut(&mut rows, stored_events::Row::key);
    ok(&Listed { events: rows.into_iter().map(Shown::from).collect(), total, next_cursor })
}

fn kind(query: &Query<'_>) -> Result<Option<&'static str>, Problem> {
    let Some(text) = query.text("type") else { return Ok(None) };
    let known = || {
        let message = format!("type must be one of {}", EventType::ALL.map(EventType::as_str).join(", "));
        Problem::new(Kind::InvalidParameter, message)
    };
    EventType::parse(text).map(|kind| Some(kind.as_str())).ok_or_else(known)
}
