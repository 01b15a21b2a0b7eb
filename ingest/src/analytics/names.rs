//! `GET /v1/analytics/events`: the names of tracks, pages and screens that were sent most.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::Response;
use chrono::{NaiveDate, Utc};
use serde::Serialize;
use sqlx::postgres::PgPool;
use utoipa::ToSchema;

use super::period::{FromTo, Period};
use super::sums;
use crate::admin::documents::answered;
use crate::app::App;
use crate::intake::ok;
use crate::openapi::refusals::{AsksDatabase, ReadsParameters};
use crate::problem::Problem;
use crate::query::Query;

const DEFAULT_LIMIT: i64 = 50;
const LARGEST_LIMIT: i64 = 1_000;

#[derive(Serialize, ToSchema)]
#[schema(as = TopEvents)]
struct Listed {
    from: NaiveDate,
    to: NaiveDate,
    events: Vec<Named>,
    /// Events with other names, and pages and screens without one.
    other: i64,
    /// All tracks, pages and screens.
    total: i64,
}

#[derive(Serialize, ToSchema)]
#[schema(as = TopEvent)]
struct Named {
    name: String,
    count: i64,
}

/// The event names that were sent most.
///
/// `limit` is 50, at most 1,000. Of a flood of names each worker tells a thousand a day apart; the rest is among `other`.
#[utoipa::path(
    get, path = "/v1/analytics/events", operation_id = "topEvents", tag = "Analytics",
    params(FromTo, ("limit" = Option<i64>, Query, minimum = 0, description = "Names; 0 or no number means 50.")),
    responses((status = 200, description = "The most frequent first.", body = Listed), ReadsParameters, AsksDatabase),
)]
pub async fn list(State(app): State<Arc<App>>, RawQuery(query): RawQuery) -> Response {
    answered(answer(&app, &Query::parse(query.as_deref())).await)
}

async fn answer(app: &App, query: &Query<'_>) -> Result<Response, Problem> {
    let (period, _) = Period::read(query, Utc::now().date_naive())?;
    let limit = query.number("limit").filter(|limit| *limit > 0).unwrap_or(DEFAULT_LIMIT).min(LARGEST_LIMIT);
    let read = |pool: PgPool| async move { sums::names(&mut *pool.acquire().await?, period, limit).await };
    let (names, total) = app.database.read(read).await?;
    let events: Vec<Named> = names.into_iter().map(|(name, count)| Named { name, count }).collect();
    let other = total - events.iter().map(|named| named.count).sum::<i64>();
    ok(&Listed { from: period.from, to: period.to, events, other, total })
}
