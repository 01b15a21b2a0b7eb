//! `GET /v1/analytics/campaigns/{id}`: one campaign in the old server's fields, its funnel, and its days.

use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use chrono::{NaiveDate, Utc};
use serde::Serialize;
use sqlx::postgres::PgPool;
use utoipa::ToSchema;

use super::daily::filled;
use super::overview::with_goal;
use super::period::{FromTo, Period};
use super::rates::{Percent, Step, funnel};
use super::sums::{self, Daily};
use super::tally::Tally;
use crate::admin::campaigns::RESOURCE;
use crate::admin::documents::answered;
use crate::app::App;
use crate::database::moment;
use crate::intake::ok;
use crate::openapi::refusals::{AsksDatabase, Missing, ReadsParameters};
use crate::problem::Problem;
use crate::query::Query;

#[derive(Serialize, ToSchema)]
#[schema(as = CampaignAnalytics)]
struct Shown {
    campaign_id: String,
    #[schema(required)]
    campaign_name: Option<String>,
    #[serde(flatten)]
    counts: Tally,
    /// Matches that were held out.
    held_out: i64,
    /// `goal`: conversions are matches that the campaign's goal followed; `reported`: it has no goal, and they are what apps reported.
    conversions_are: &'static str,
    /// Clicks in per cent of impressions.
    ctr: Percent,
    /// Conversions in per cent of clicks.
    #[serde(rename = "conversionRate")]
    conversion_rate: Percent,
    /// From match to conversion.
    funnel: Vec<Step>,
    /// The first day of `daily`.
    from: NaiveDate,
    /// The last.
    to: NaiveDate,
    daily: Vec<Day>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = CampaignDay)]
struct Day {
    date: NaiveDate,
    #[serde(flatten)]
    counts: Tally,
}

/// What became of a campaign: counts, funnel and days.
///
/// With `from` or `to` all of it is about these days. Without them counts and funnel are over all time, as on the old server, and the days
/// are the last thirty.
#[utoipa::path(
    get, path = "/v1/analytics/campaigns/{id}", operation_id = "campaignAnalytics", tag = "Analytics",
    params(FromTo, ("id" = String, Path, description = "Of the campaign.", example = "5259000f-b320-46e5-8b51-f33a89cab7f4")),
    responses((status = 200, description = "The figures.", body = Shown), ReadsParameters, Missing, AsksDatabase),
)]
pub async fn show(State(app): State<Arc<App>>, Path(id): Path<String>, RawQuery(query): RawQuery) -> Response {
    answered(answer(&app, id, &Query::parse(query.as_deref())).await)
}

async fn answer(app: &App, id: String, query: &Query<'_>) -> Result<Response, Problem> {
    let (period, is_given) = Period::read(query, Utc::now().date_naive())?;
    let found = read(app, &id, period, !is_given).await?;
    let counts = found.counts;
    let day = |(date, counts)| Day { date, counts };
    ok(&Shown {
        campaign_id: id,
        campaign_name: found.name,
        held_out: counts.held_out,
        conversions_are: if found.has_goal { "goal" } else { "reported" },
        ctr: Percent::of(counts.clicks, counts.impressions),
        conversion_rate: Percent::of(counts.conversions, counts.clicks),
        funnel: funnel(&counts),
        from: period.from,
        to: period.to,
        daily: filled(&found.daily, period).map(day).collect(),
        counts,
    })
}

/// What is known of a campaign.
#[derive(Debug)]
pub struct Found {
    /// Its name.
    pub name: Option<String>,
    /// Whether conversions are those of a goal.
    pub has_goal: bool,
    /// Of all time, or of the days.
    pub counts: Tally,
    /// Day by day.
    pub daily: Daily,
}

/// Reads a campaign's sums: the days of a period, and with them the counts of those days, or of `all_time`.
pub async fn read(app: &App, id: &str, period: Period, all_time: bool) -> Result<Found, Problem> {
    let has_goal = with_goal(app).await?.iter().any(|with| with == id);
    let id = RESOURCE.storable(id.to_owned())?;
    let read = |pool: PgPool| async move {
        let mut moment = moment(&pool).await?;
        let name: Option<(Option<String>,)> =
            sqlx::query_as("/* campaign.read */ SELECT document->>'name' FROM campaigns WHERE id = $1")
                .bind(&id)
                .fetch_optional(&mut *moment)
                .await?;
        let Some((name,)) = name else { return Ok(None) };
        let daily = sums::daily_of_campaign(&mut moment, &id, has_goal, period).await?;
        let counts = match all_time {
            true => sums::of_campaign(&mut moment, &id, has_goal).await?,
            false => daily.values().fold(Tally::default(), Tally::and),
        };
        moment.commit().await?;
        Ok(Some(Found { name, has_goal, counts, daily }))
    };
    app.database.read(read).await?.ok_or_else(|| RESOURCE.not_found())
}
