//! What the second generation's dashboard asks for: `GET /v1/admin/analytics/dashboard` and `…/campaign/{id}`. The same figures as in
//! [`super::overview`] and [`super::campaign`], in its shapes.

use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use chrono::{NaiveDate, Utc};
use serde::Serialize;
use sqlx::postgres::PgPool;
use utoipa::ToSchema;

use super::campaign;
use super::daily::{self, filled};
use super::overview::{campaigns, with_goal};
use super::period::{FromTo, Period};
use super::sums;
use super::tally::Tally;
use crate::admin::documents::answered;
use crate::app::App;
use crate::database::moment;
use crate::intake::ok;
use crate::openapi::refusals::{AsksDatabase, Missing, ReadsParameters};
use crate::query::Query;

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Dashboard)]
struct Dashboard {
    active_campaigns: i64,
    /// Over all time.
    totals: Totals,
    daily: Vec<Day>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = DashboardTotals)]
struct Totals {
    impressions: i64,
    clicks: i64,
    conversions: i64,
}

#[derive(Serialize, ToSchema)]
#[schema(as = DashboardDay)]
struct Day {
    date: NaiveDate,
    #[serde(flatten)]
    totals: Totals,
}

#[derive(Serialize, ToSchema)]
#[schema(as = DashboardCampaign)]
struct Reported {
    stats: Stats,
}

#[derive(Serialize, ToSchema)]
#[schema(as = DashboardStats)]
struct Stats {
    #[serde(flatten)]
    totals: Totals,
    /// Clicks in per cent of impressions, with at most two decimals.
    ctr: f64,
}

impl From<Tally> for Totals {
    fn from(tally: Tally) -> Self {
        Self { impressions: tally.impressions, clicks: tally.clicks, conversions: tally.conversions }
    }
}

/// The figures of the second generation's dashboard: active campaigns, totals over all time, and days.
#[utoipa::path(
    get, path = "/v1/admin/analytics/dashboard", operation_id = "dashboard", tag = "Analytics", params(FromTo),
    responses((status = 200, description = "The figures.", body = Dashboard), ReadsParameters, AsksDatabase),
)]
pub async fn show(State(app): State<Arc<App>>, RawQuery(query): RawQuery) -> Response {
    let show = async {
        let (period, _) = Period::read(&Query::parse(query.as_deref()), Utc::now().date_naive())?;
        let with_goal = with_goal(&app).await?;
        let read = |pool: PgPool| async move {
            let mut moment = moment(&pool).await?;
            let found = (campaigns(&mut moment).await?, sums::all(&mut moment, &with_goal).await?);
            moment.commit().await?;
            Ok(found)
        };
        let ((_, active_campaigns), all) = app.database.read(read).await?;
        let daily = daily::read(&app, period).await?;
        let day = |(date, tally): (NaiveDate, Tally)| Day { date, totals: tally.into() };
        ok(&Dashboard { active_campaigns, totals: all.into(), daily: filled(&daily, period).map(day).collect() })
    };
    answered(show.await)
}

/// The figures of one campaign for the same dashboard, over all time.
#[utoipa::path(
    get, path = "/v1/admin/analytics/campaign/{id}", operation_id = "dashboardCampaign", tag = "Analytics",
    params(("id" = String, Path, description = "Of the campaign.", example = "5259000f-b320-46e5-8b51-f33a89cab7f4")),
    responses((status = 200, description = "The figures.", body = Reported), Missing, AsksDatabase),
)]
pub async fn of_campaign(State(app): State<Arc<App>>, Path(id): Path<String>) -> Response {
    let show = async {
        let today = Utc::now().date_naive();
        let found = campaign::read(&app, &id, Period { from: today, to: today }, true).await?;
        ok(&Reported { stats: Stats { ctr: ctr(&found.counts), totals: found.counts.into() } })
    };
    answered(show.await)
}

#[expect(clippy::cast_precision_loss, reason = "a percentage for people")]
fn ctr(tally: &Tally) -> f64 {
    if tally.impressions == 0 {
        return 0.0;
    }
    (tally.clicks as f64 / tally.impressions as f64 * 10_000.0).round() / 100.0
}
