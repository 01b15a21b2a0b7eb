//! `/v1/admin/metadata`: names that were seen, for whoever writes a rule.
//!
//! | route | answer |
//! |---|---|
//! | `GET …/events` | `{from, events: [{name, count}]}`: names of tracks, pages and screens of the last [`DAYS`] days, most frequent first |
//! | `GET …/traits` | `{sampled, traits: [{name, users, types}]}`: keys of the traits of a sample of some [`SAMPLE`] users, most frequent first |
//!
//! At most [`MOST`] names; an answer is given again for [`LASTS`]. Values are never shown.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use chrono::{Days, NaiveDate, Utc};
use serde::Serialize;
use shared::domain::rollup::{OTHER, What};
use sqlx::FromRow;
use sqlx::postgres::PgPool;
use utoipa::ToSchema;

use super::recent::Recent;
use crate::app::App;
use crate::intake::ok;
use crate::openapi::refusals::AsksDatabase;

/// How far back names of events are looked for.
const DAYS: u64 = 14;
/// Most names of an answer.
const MOST: i64 = 500;
/// Users whose traits are looked at, about.
const SAMPLE: i64 = 2_000;
/// How long an answer is given again.
pub const LASTS: Duration = Duration::from_secs(10);

/// What is kept between two questions.
#[derive(Debug)]
pub struct Kept {
    events: Recent<EventNames>,
    traits: Recent<TraitNames>,
}

impl Default for Kept {
    fn default() -> Self {
        Self { events: Recent::new(LASTS), traits: Recent::new(LASTS) }
    }
}

/// Names of events.
#[derive(Debug, Serialize, ToSchema)]
struct EventNames {
    /// The first day that was looked at.
    from: NaiveDate,
    events: Vec<EventName>,
}

#[derive(Debug, Serialize, FromRow, ToSchema)]
struct EventName {
    name: String,
    count: i64,
}

/// Names of traits.
#[derive(Debug, Serialize, ToSchema)]
struct TraitNames {
    /// So many users were looked at.
    sampled: i64,
    traits: Vec<TraitName>,
}

#[derive(Debug, Serialize, FromRow, ToSchema)]
struct TraitName {
    name: String,
    /// Of these, so many have it.
    users: i64,
    /// `string`, `number`, `boolean`, `array`, `object`, `null`.
    types: Vec<String>,
}

/// Names of the events of the last 14 days, most frequent first.
///
/// At most 500 names.
#[utoipa::path(
    get, path = "/v1/admin/metadata/events", operation_id = "eventNames", tag = "Events and users",
    responses((status = 200, description = "The names.", body = EventNames), AsksDatabase),
)]
pub async fn events(State(app): State<Arc<App>>) -> Response {
    let names = app.metadata.events.get(async || app.database.read(event_names).await).await;
    names.and_then(|names| ok(&*names)).unwrap_or_else(IntoResponse::into_response)
}

/// Names of the traits that users have, most frequent first.
///
/// Of a sample of some 2,000 users; at most 500 names.
#[utoipa::path(
    get, path = "/v1/admin/metadata/traits", operation_id = "traitNames", tag = "Events and users",
    responses((status = 200, description = "The names, with the types of their values.", body = TraitNames), AsksDatabase),
)]
pub async fn traits(State(app): State<Arc<App>>) -> Response {
    let names = app.metadata.traits.get(async || app.database.read(trait_names).await).await;
    names.and_then(|names| ok(&*names)).unwrap_or_else(IntoResponse::into_response)
}

async fn event_names(pool: PgPool) -> Result<EventNames, sqlx::Error> {
    let today = Utc::now().date_naive();
    let from = today.checked_sub_days(Days::new(DAYS)).unwrap_or(today);
    let events = sqlx::query_as(
        "/* metadata.event_names */ SELECT metric AS name, sum(count)::bigint AS count FROM rollups
          WHERE day >= $1 AND what = $2 AND metric <> $3 GROUP BY metric ORDER BY 2 DESC, 1 LIMIT $4",
    )
    .bind(from)
    .bind(What::Names.as_str())
    .bind(OTHER)
    .bind(MOST)
    .fetch_all(&pool)
    .await?;
    Ok(EventNames { from, events })
}

/// A part of the table's pages, so that it costs the same of ten users and of ten million. (A table that was never counted has -1 rows
/// for the planner: then all pages, which are few.)
async fn trait_names(pool: PgPool) -> Result<TraitNames, sqlx::Error> {
    let rows: i64 = sqlx::query_scalar(
        "/* metadata.trait_names.users */ SELECT reltuples::bigint FROM pg_class WHERE oid = 'users'::regclass",
    )
    .fetch_one(&pool)
    .await?;
    #[expect(clippy::cast_precision_loss, reason = "a share")]
    let per_cent = (SAMPLE as f64 * 100.0 / rows.max(1) as f64).min(100.0);
    let rows: Vec<(i64, Option<String>, i64, Vec<String>)> = sqlx::query_as(
        "/* metadata.trait_names.users.2 */ WITH sample AS MATERIALIZED (SELECT traits FROM users TABLESAMPLE SYSTEM ($1) LIMIT $2)
         SELECT s.sampled, t.name, t.users, t.types
           FROM (SELECT count(*) AS sampled FROM sample) s
           LEFT JOIN LATERAL (SELECT key AS name, count(*) AS users, array_agg(DISTINCT jsonb_typeof(value)) AS types
                                FROM sample, jsonb_each(CASE jsonb_typeof(traits) WHEN 'object' THEN traits ELSE '{}' END)
                               GROUP BY key ORDER BY 2 DESC, 1 LIMIT $3) t ON true
          WHERE t.name IS NOT NULL",
    )
    .bind(per_cent)
    .bind(SAMPLE * 2)
    .bind(MOST)
    .fetch_all(&pool)
    .await?;
    let sampled = rows.first().map_or(0, |(sampled, ..)| *sampled);
    let traits =
        rows.into_iter().filter_map(|(_, name, users, types)| Some(TraitName { name: name?, users, types })).collect();
    Ok(TraitNames { sampled, traits })
}
