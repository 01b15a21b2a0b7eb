//! `GET /v1/matches?user_id=&after=&limit=&device_id=`: what waits for a user, oldest first.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::asker::{self, Receiver};
use super::cursor;
use super::item::Shown;
use super::read::{self, Ask};
use crate::app::App;
use crate::intake::ok;
use crate::openapi::parameters::Verified;
use crate::openapi::refusals::{AboutUser, AsksDatabase, ReadsParameters};
use crate::problem::Problem;
use crate::query::Query;

/// Matches of an answer, if not asked otherwise.
const DEFAULT_LIMIT: i64 = 20;
/// The most.
const LARGEST_LIMIT: i64 = 100;

/// Whose matches, and which device asks.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "a description")]
pub struct OfDevice {
    /// The user; also `userId`.
    #[param(max_length = 255, example = "ada")]
    user_id: Option<String>,
    /// A visitor that nobody logged in as; only without a user.
    #[param(max_length = 255)]
    anonymous_id: Option<String>,
    /// A name that the device keeps. What it fetches is kept from other devices for a minute. Without one each request counts as
    /// another device.
    #[param(max_length = 255)]
    device_id: Option<String>,
    /// `cursor` of the answer before, or the id of the last event of a stream: only what comes behind it. Without it everything that
    /// waits is given.
    after: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Matches)]
struct Listed<'a> {
    #[schema(value_type = Vec<Shown>)]
    matches: Vec<Shown<'a>>,
    /// For `after` of the next request. It stays before what another device holds.
    #[schema(required)]
    cursor: Option<String>,
    /// There may be more right now.
    more: bool,
    /// Something waits, because another device holds it: ask again after so long.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_seconds: Option<u64>,
    /// Why there is never anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

/// Matches that wait for a user.
///
/// What the worker decided to show this user and nobody has shown yet, oldest first. Each is given until it is acknowledged or has
/// expired; what one device has fetched is kept from the others for a minute. Of a stranger nothing ever waits.
#[utoipa::path(
    get, path = "/v1/matches", operation_id = "matches", tag = "For apps",
    params(
        OfDevice, Verified,
        ("limit" = Option<i64>, Query, description = "Matches of the answer, at most 100; those of one event are never torn apart.", minimum = 0),
    ),
    responses((status = 200, description = "The matches.", body = Listed), ReadsParameters, AboutUser, AsksDatabase),
)]
pub async fn list(State(app): State<Arc<App>>, headers: HeaderMap, RawQuery(query): RawQuery) -> Response {
    answer(&app, &headers, &Query::parse(query.as_deref())).await.unwrap_or_else(IntoResponse::into_response)
}

async fn answer(app: &App, headers: &HeaderMap, query: &Query<'_>) -> Result<Response, Problem> {
    let user = asker::in_query(query, &app.settings.pipeline.placeholders);
    asker::with_key(app, headers, query, user.as_ref().ok().copied().flatten())?;
    let after = query.text("after").map(|text| cursor::read(text, "after")).transpose()?;
    let limit = query.number("limit").filter(|limit| *limit > 0).unwrap_or(DEFAULT_LIMIT).min(LARGEST_LIMIT);
    let device = asker::device(query)?;
    let Some(user) = user? else {
        let reason = Some("nothing waits for strangers: user_id must name a user, or anonymous_id a visitor");
        return ok(&Listed { matches: Vec::new(), cursor: None, more: false, retry_after_seconds: None, reason });
    };
    let receiver = Receiver::of(user);
    let ask = Ask { receiver: &receiver, device: &device, after, most: limit, sent: &HashMap::new() };
    let page = read::page(app, &ask).await?;
    app.metrics.matches_delivered(page.given.len());
    ok(&Listed {
        matches: page.given.iter().map(|given| given.item.shown()).collect(),
        cursor: page.cursor.map(cursor::write),
        more: page.more,
        retry_after_seconds: page.look_again.map(|wait| wait.as_secs() + 1),
        reason: None,
    })
}
