//! `GET /v1/analytics/overview`: the old server's headline figures, over all time, and what it did not count.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use sqlx::PgConnection;
use sqlx::postgres::PgPool;
use utoipa::ToSchema;

use super::rates::Percent;
use super::sums;
use super::tally::Tally;
use crate::admin::documents::answered;
use crate::app::App;
use crate::database::moment;
use crate::intake::ok;
use crate::openapi::refusals::AsksDatabase;
use crate::problem::{Kind, Problem};

/// Users are counted up to this many.
pub const MOST_USERS: i64 = 1_000_000;
/// How long a request waits for the first campaigns of a process.
const PATIENCE: Duration = Duration::from_secs(3);

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AnalyticsOverview)]
struct Overview {
    total_campaigns: i64,
    active_campaigns: i64,
    /// Of every type, also those that are not stored any more.
    total_events: i64,
    /// Known users with a profile. Exact up to 1,000,000, and stays there beyond.
    total_users: i64,
    #[serde(flatten)]
    counts: Tally,
    /// Clicks in per cent of impressions.
    ctr: Percent,
    /// Conversions in per cent of clicks.
    conversion_rate: Percent,
}

/// Everything there ever was, in figures.
///
/// Also what was reported of campaigns that do not exist any more, or of none.
#[utoipa::path(
    get, path = "/v1/analytics/overview", operation_id = "analyticsOverview", tag = "Analytics",
    responses((status = 200, description = "The figures.", body = Overview), AsksDatabase),
)]
pub async fn show(State(app): State<Arc<App>>) -> Response {
    let show = async {
        let with_goal = with_goal(&app).await?;
        let read = |pool: PgPool| async move {
            let mut moment = moment(&pool).await?;
            let campaigns = campaigns(&mut moment).await?;
            let found = (campaigns, users(&mut moment).await?, sums::all(&mut moment, &with_goal).await?);
            moment.commit().await?;
            Ok(found)
        };
        let ((total_campaigns, active_campaigns), total_users, counts) = app.database.read(read).await?;
        ok(&Overview {
            total_campaigns,
            active_campaigns,
            total_events: counts.events,
            total_users,
            ctr: Percent::of(counts.clicks, counts.impressions),
            conversion_rate: Percent::of(counts.conversions, counts.clicks),
            counts,
        })
    };
    answered(show.await)
}

/// The campaigns that have a goal, as this process knows them. One that has just started learns of them in a moment.
pub async fn with_goal(app: &App) -> Result<Vec<String>, Problem> {
    let mut campaigns = app.campaigns.clone();
    let known = tokio::time::timeout(PATIENCE, campaigns.wait_for(|snapshot| snapshot.version >= 0)).await;
    let Ok(Ok(snapshot)) = known else {
        let message = "the campaigns are not loaded yet; try again after Retry-After";
        return Err(Problem::new(Kind::DatabaseUnavailable, message));
    };
    Ok(snapshot.catalog.with_goal().map(str::to_owned).collect())
}

/// How many campaigns there are, and how many are active.
pub async fn campaigns(connection: &mut PgConnection) -> Result<(i64, i64), sqlx::Error> {
    sqlx::query_as("/* overview.campaigns */ SELECT count(*), count(*) FILTER (WHERE status = 'active') FROM campaigns")
        .fetch_one(connection)
        .await
}

async fn users(connection: &mut PgConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar(
        "/* overview.users */ SELECT count(*) FROM (SELECT FROM users WHERE kind = 'user' LIMIT $1) AS u",
    )
    .bind(MOST_USERS)
    .fetch_one(connection)
    .await
}
