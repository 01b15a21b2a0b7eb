//! Feature flags for apps: `GET /v1/features/{key}`, and its `/value` and `/payload`; `user_id` (or `userId`) names the user.
//!
//! `{key, enabled[, value]}`, `{key, enabled, value}`, and the payload itself. An unknown flag, one that is malformed, and one that
//! is off are all `enabled: false` (never 404: an app must go on), with neither value nor payload. Without a user a flag is on only
//! when it is on for everybody.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse, Response};
use chrono::Utc;
use http::HeaderMap;
use http::header::{CONTENT_TYPE, HeaderValue};
use serde::Serialize;
use serde_json::value::RawValue;
use shared::domain::campaign::assignment::{Who, place};
use shared::domain::feature::Flag;
use shared::domain::rules::Facts;
use utoipa::ToSchema;

use crate::app::App;
use crate::identity;
use crate::intake::ok;
use crate::openapi::parameters::{OfUser, Verified};
use crate::openapi::refusals::{AboutUser, AsksDatabase, ReadsParameters};
use crate::problem::{Kind, Problem};
use crate::profile::{self, ProfileCounts};
use crate::query::Query;

#[derive(Serialize, ToSchema)]
#[schema(as = FlagForUser)]
struct Shown<'a> {
    key: &'a str,
    enabled: bool,
    /// Any JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    value: Option<&'a RawValue>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = FlagValue)]
struct Value<'a> {
    key: &'a str,
    enabled: bool,
    /// Any JSON.
    #[schema(value_type = Option<serde_json::Value>, required)]
    value: Option<&'a RawValue>,
}

/// Is a flag on for a user, and its value.
///
/// An unknown flag, one that is malformed and one that is off are all `enabled: false`, never 404.
#[utoipa::path(
    get, path = "/v1/features/{key}", operation_id = "flagForUser", tag = "For apps",
    params(OfUser, Verified, ("key" = String, Path, description = "Of the flag.", example = "new_checkout")),
    responses((status = 200, description = "The flag.", body = Shown), ReadsParameters, AboutUser, AsksDatabase),
)]
pub async fn show(state: State<Arc<App>>, Path(key): Path<String>, headers: HeaderMap, query: RawQuery) -> Response {
    let answer = |flag: Option<&Flag>| {
        ok(&Shown { key: &key, enabled: flag.is_some(), value: flag.and_then(|flag| flag.value.as_deref()) })
    };
    if_on(state, &key, &headers, query, answer).await
}

/// The value of a flag for a user; null unless it is on.
#[utoipa::path(
    get, path = "/v1/features/{key}/value", operation_id = "flagValueForUser", tag = "For apps",
    params(OfUser, Verified, ("key" = String, Path, description = "Of the flag.", example = "new_checkout")),
    responses((status = 200, description = "The value.", body = Value), ReadsParameters, AboutUser, AsksDatabase),
)]
pub async fn value(state: State<Arc<App>>, Path(key): Path<String>, headers: HeaderMap, query: RawQuery) -> Response {
    let answer = |flag: Option<&Flag>| {
        ok(&Value { key: &key, enabled: flag.is_some(), value: flag.and_then(|flag| flag.value.as_deref()) })
    };
    if_on(state, &key, &headers, query, answer).await
}

/// The payload of a flag for a user: the bare JSON, null when there is none.
#[utoipa::path(
    get, path = "/v1/features/{key}/payload", operation_id = "flagPayloadForUser", tag = "For apps",
    params(OfUser, Verified, ("key" = String, Path, description = "Of the flag.", example = "new_checkout")),
    responses((status = 200, description = "The payload.", body = serde_json::Value), ReadsParameters, AboutUser, AsksDatabase),
)]
pub async fn payload(state: State<Arc<App>>, Path(key): Path<String>, headers: HeaderMap, query: RawQuery) -> Response {
    let answer = |flag: Option<&Flag>| {
        let payload = flag.and_then(|flag| flag.payload.as_deref()).map_or("null", RawValue::get);
        let mut response = Response::new(Body::from(payload.to_owned()));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(response)
    };
    if_on(state, &key, &headers, query, answer).await
}

/// Answers with the flag if it is on for the user who asks.
async fn if_on(
    State(app): State<Arc<App>>,
    key: &str,
    headers: &HeaderMap,
    RawQuery(query): RawQuery,
    answer: impl FnOnce(Option<&Flag>) -> Result<Response, Problem>,
) -> Response {
    let decided = async {
        let query = Query::parse(query.as_deref());
        let user = identity::asked_about(&app, headers, &query)?;
        let snapshot = Arc::clone(&app.campaigns.borrow());
        if snapshot.version < 0 {
            let message = "flags are not loaded yet; try again after Retry-After";
            return Err(Problem::new(Kind::DatabaseUnavailable, message));
        }
        let Some(flag) = snapshot.catalog.feature(key) else { return answer(None) };
        let now = Utc::now();
        let wants = snapshot.catalog.wants(flag.condition().needs());
        let profile = profile::current(&app, user, &wants, now).await.ok_or_else(|| {
            let message = "what is known of the user cannot be read just now; try again after Retry-After";
            Problem::new(Kind::DatabaseUnavailable, message)
        })?;
        let facts = Facts {
            traits: &profile.traits,
            properties: None,
            context: None,
            counts: &ProfileCounts { profile: user.map(|_| &profile), event: None, now },
            segments: snapshot.catalog.segments(),
            now,
        };
        let bucket = place("feature", key, user.map_or(Who::Nobody, Who::User));
        answer(Some(flag).filter(|flag| flag.is_on(&facts, bucket)))
    };
    decided.await.unwrap_or_else(IntoResponse::into_response)
}
