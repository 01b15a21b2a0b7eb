//! `GET /v1/analytics/daily`: everything, day by day. Days without anything are there, with zeros.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::Response;
use chrono::{NaiveDate, Utc};
use serde::Serialize;
use sqlx::postgres::PgPool;
use utoipa::ToSchema;

use super::overview::with_goal;
use super::period::{FromTo, Period};
use super::sums::{self, Daily};
use super::tally::Tally;
use crate::admin::documents::answered;
use crate::app::App;
use crate::intake::ok;
use crate::openapi::refusals::{AsksDatabase, ReadsParameters};
use crate::problem::Problem;
use crate::query::Query;

#[derive(Serialize, ToSchema)]
#[schema(as = DailyAnalytics)]
struct Listed {
    from: NaiveDate,
    to: NaiveDate,
    daily: Vec<Day>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = AnalyticsDay)]
struct Day {
    date: NaiveDate,
    /// New events of every type.
    events: i64,
    /// User keys that sent anything; strangers without an id do not count.
    active_users: i64,
    #[serde(flatten)]
    counts: Tally,
}

/// Events, active users and what became of campaigns, day by day.
///
/// Days of which the events are gone are there, too, and days without anything, with zeros.
#[utoipa::path(
    get, path = "/v1/analytics/daily", operation_id = "dailyAnalytics", tag = "Analytics", params(FromTo),
    responses((status = 200, description = "Each day once, the earliest first.", body = Listed), ReadsParameters, AsksDatabase),
)]
pub async fn list(State(app): State<Arc<App>>, RawQuery(query): RawQuery) -> Response {
    answered(answer(&app, &Query::parse(query.as_deref())).await)
}

async fn answer(app: &App, query: &Query<'_>) -> Result<Response, Problem> {
    let (period, _) = Period::read(query, Utc::now().date_naive())?;
    let daily = read(app, period).await?;
    let day = |(date, counts): (NaiveDate, Tally)| Day {
        date,
        events: counts.events,
        active_users: counts.active_users,
        counts,
    };
    ok(&Listed { from: period.from, to: period.to, daily: filled(&daily, period).map(day).collect() })
}

/// The sums of everything in a period.
pub async fn read(app: &App, period: Period) -> Result<Daily, Problem> {
    let with_goal = with_goal(app).await?;
    let read = |pool: PgPool| async move { sums::daily(&mut *pool.acquire().await?, period, &with_goal).await };
    app.database.read(read).await
}

/// Each day of a period.
pub fn filled(daily: &Daily, period: Period) -> impl Iterator<Item = (NaiveDate, Tally)> {
    period.days().map(|day| (day, daily.get(&day).copied().unwrap_or_default()))
}
