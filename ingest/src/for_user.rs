//! Campaigns for a user apart from any event, by priority, then newest created first: `GET /v1/campaigns?user_id=`, and the second
//! generation's `GET /api/v1/nudge/fetch?userId=`.
//!
//! Triggers do not count here; schedule, segments, caps, roll-out, hold-out and opt-out do. Fetching is no match: it counts
//! towards no cap. Clients of the first generation show what they get, so they are given only campaigns that match whatever the
//! event may be. Those of the second match events themselves, so they are given all that some event could match, `targeting` as
//! the array that they read, and a preview as active, or they would not show it.
//!
//! The answer comes from compiled memory and one read of the user by primary key (history and counts only where a campaign asks).
//! It carries an `ETag`; the same list again is 304. When the database is away the answer is 503: SDKs then go on with their own
//! last list, which is better than a wrong one.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use http::header::{CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use shared::domain::campaign::assignment::Who;
use shared::domain::campaign::caps::History;
use shared::domain::campaign::delivery::{Decision, Situation, opted_out};
use shared::domain::campaign::{Compiled, Status};
use shared::domain::raw_object::RawObject;
use shared::domain::rules::{Facts, Truth};
use shared::domain::user_key::UserKey;
use shared::store::catalog::Snapshot;
use utoipa::ToSchema;

use crate::app::App;
use crate::identity;
use crate::openapi::parameters::{IfNoneMatch, OfUser, Verified};
use crate::openapi::refusals::{AboutUser, AsksDatabase, ReadsParameters};
use crate::problem::{Kind, Problem};
use crate::profile::{self, Profile, ProfileCounts};
use crate::query::Query;

/// Whose list it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Generation {
    /// Shows what it gets.
    First,
    /// Matches events itself.
    Second,
}

/// Campaigns for a user apart from any event.
///
/// By priority, then newest created first. Triggers do not count here; schedule, segments, caps, roll-out, hold-out and opt-out do.
/// Asking is no match: it counts towards no cap. Only campaigns that match whatever the event may be are given.
#[utoipa::path(
    get, path = "/v1/campaigns", operation_id = "campaignsForUser", tag = "For apps", params(OfUser, Verified, IfNoneMatch),
    responses(
        (status = 200, description = "The campaigns.", body = Listed, headers(("ETag" = String))),
        (status = 304, description = "Just what `If-None-Match` names.", headers(("ETag" = String))),
        ReadsParameters, AboutUser, AsksDatabase,
    ),
)]
pub async fn list(State(app): State<Arc<App>>, headers: HeaderMap, RawQuery(query): RawQuery) -> Response {
    answer(&app, &headers, query.as_deref(), Generation::First).await.unwrap_or_else(IntoResponse::into_response)
}

/// Campaigns for a user, for apps of the second generation.
///
/// These match events themselves, so they are given all that some event could match, with `targeting` as the array that they read.
#[utoipa::path(
    get, path = "/api/v1/nudge/fetch", operation_id = "fetchCampaigns", tag = "For apps", params(OfUser, Verified, IfNoneMatch),
    responses(
        (status = 200, description = "The campaigns.", body = Fetched, headers(("ETag" = String))),
        (status = 304, description = "Just what `If-None-Match` names.", headers(("ETag" = String))),
        ReadsParameters, AboutUser, AsksDatabase,
    ),
)]
pub async fn fetch(State(app): State<Arc<App>>, headers: HeaderMap, RawQuery(query): RawQuery) -> Response {
    answer(&app, &headers, query.as_deref(), Generation::Second).await.unwrap_or_else(IntoResponse::into_response)
}

async fn answer(
    app: &App,
    headers: &HeaderMap,
    query: Option<&str>,
    generation: Generation,
) -> Result<Response, Problem> {
    let query = Query::parse(query);
    let key = identity::asked_about(app, headers, &query)?;
    let snapshot = Arc::clone(&app.campaigns.borrow());
    if snapshot.version < 0 {
        return Err(unavailable("campaigns are not loaded yet; try again after Retry-After"));
    }
    let now = Utc::now();
    let profile = profile::current(app, key, &snapshot.catalog.for_users().wants, now)
        .await
        .ok_or_else(|| unavailable("what is known of the user cannot be read just now; try again after Retry-After"))?;
    let shown = shown(&snapshot, &profile, key, now, generation);
    unless_known(headers, body(&shown, generation).map_err(|e| internal(&e))?)
}

/// Campaigns for this user, each with the index of the variant.
pub fn shown<'a>(
    snapshot: &'a Snapshot,
    profile: &Profile,
    key: Option<UserKey<'_>>,
    now: DateTime<Utc>,
    generation: Generation,
) -> Vec<(&'a Compiled, Option<usize>)> {
    let facts = Facts {
        traits: &profile.traits,
        properties: None,
        context: None,
        counts: &ProfileCounts { profile: key.map(|_| profile), event: None, now },
        segments: snapshot.catalog.segments(),
        now,
    };
    let never = History::default();
    let opted_out = opted_out(&profile.traits);
    let mut shown = Vec::new();
    for campaign in snapshot.catalog.for_users().campaigns() {
        let situation = Situation {
            who: key.map_or(Who::Nobody, Who::User),
            now,
            opted_out,
            history: profile.history(&campaign.id).unwrap_or(&never),
            shown_to_all: profile.shown_to_all(&campaign.id),
        };
        let rules_hold = || match generation {
            Generation::First => campaign.condition.holds(&facts).is_true(),
            Generation::Second => campaign.condition.holds(&facts) != Truth::False,
        };
        if let Decision::Show(variant) | Decision::Preview(variant) = campaign.decide_if(rules_hold, &situation) {
            shown.push((campaign.as_ref(), variant));
        }
    }
    shown
}

#[derive(Serialize, ToSchema)]
#[schema(as = CampaignsForUser)]
struct Listed<'a> {
    #[schema(value_type = Vec<Object>)]
    campaigns: Vec<&'a RawValue>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = FetchedCampaigns)]
struct Fetched {
    success: bool,
    #[schema(value_type = Vec<Object>)]
    campaigns: Vec<RawObject>,
}

fn body(shown: &[(&Compiled, Option<usize>)], generation: Generation) -> serde_json::Result<Vec<u8>> {
    let objects = shown.iter().filter_map(|(campaign, variant)| Some((campaign, campaign.object(*variant)?)));
    if generation == Generation::First {
        return serde_json::to_vec(&Listed { campaigns: objects.map(|(_, object)| object).collect() });
    }
    let mut campaigns = Vec::with_capacity(shown.len());
    for (campaign, object) in objects {
        let mut object = RawObject::parse(object.get())?;
        match &campaign.targeting_list {
            Some(list) => object.set("targeting", list)?,
            None => object.set("targeting", &[(); 0])?,
        }
        object.set("status", Status::Active.as_str())?;
        campaigns.push(object);
    }
    serde_json::to_vec(&Fetched { success: true, campaigns })
}

/// 200 with the body, or 304 when the client has just this already.
fn unless_known(headers: &HeaderMap, body: Vec<u8>) -> Result<Response, Problem> {
    let digest: String = Sha256::digest(&body).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let tag = format!("\"{digest}\"");
    let known = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let known = known.flat_map(|value| value.split(',')).any(|sent| {
        let sent = sent.trim();
        sent == "*" || sent.strip_prefix("W/").unwrap_or(sent) == tag
    });
    let mut response = Response::new(if known { Body::empty() } else { Body::from(body) });
    if known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    response.headers_mut().insert(ETAG, HeaderValue::from_str(&tag).map_err(|e| internal(&e))?);
    Ok(response)
}

fn unavailable(message: &'static str) -> Problem {
    Problem::new(Kind::DatabaseUnavailable, message)
}

fn internal(error: &dyn std::fmt::Display) -> Problem {
    Problem::new(Kind::Internal, "this failed on our side").caused_by(error)
}
