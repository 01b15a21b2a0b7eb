//! What Segment's browser SDK asks besides sending events: its settings, and a place for its own metrics.
//!
//! `GET /v1/projects/{key}/settings` is what Segment's CDN serves; the SDK asks it first (its option `cdnURL`), and sends nothing
//! when it fails. The key is in the path because it is public: it stands in the page. So nothing is answered but what the asker
//! already holds, and an unknown key gets 404 as on the CDN, which tells no more than the 401 of every other route. Admin keys
//! are not known here: they have no place in a page.
//!
//! `POST /v1/m` takes the SDK's counts of its own calls. They are nobody's events: read, dropped, answered 200 (an error would be
//! written to the page's console). The settings ask the SDK not to send them.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, HeaderValue};
use serde::Serialize;
use utoipa::ToSchema;

use crate::admin::keys::Done;
use crate::app::App;
use crate::body;
use crate::intake::ok;
use crate::keys::{Lookup, Role};
use crate::openapi::refusals::{ChecksKey, Missing};
use crate::problem::{Kind, Problem};

/// Five minutes: a page does not ask at every view, and a revoked key's page soon learns of it.
const SETTINGS_CACHE: HeaderValue = HeaderValue::from_static("public, max-age=300");
/// A refusal may be over in a moment: the key was only just made, or the database is coming back.
const NO_CACHE: HeaderValue = HeaderValue::from_static("no-store");

/// The settings of Segment's browser SDK.
///
/// What it asks its CDN first (its option `cdnURL`): one integration, ourselves, and no metrics.
#[utoipa::path(
    get, path = "/v1/projects/{key}/settings", operation_id = "browserSettings", tag = "For apps", security(()),
    params(("key" = String, Path, description = "A write key.", example = "dev-write-key")),
    responses((status = 200, description = "The settings.", body = BrowserSettings), Missing, ChecksKey),
)]
pub async fn settings(State(app): State<Arc<App>>, Path(key): Path<String>) -> Response {
    let (mut response, cache) = match settings_of(&app, &key) {
        Ok(response) => (response, SETTINGS_CACHE),
        Err(problem) => (problem.into_response(), NO_CACHE),
    };
    response.headers_mut().insert(CACHE_CONTROL, cache);
    response
}

/// As the SDK reads them.
#[derive(Serialize, ToSchema)]
struct BrowserSettings<'a> {
    integrations: Integrations<'a>,
    metrics: MetricsSettings,
}

#[derive(Serialize, ToSchema)]
struct Integrations<'a> {
    #[serde(rename = "Segment.io")]
    segment_io: SegmentIo<'a>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct SegmentIo<'a> {
    api_key: &'a str,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct MetricsSettings {
    /// None.
    sample_rate: u8,
}

fn settings_of(app: &App, key: &str) -> Result<Response, Problem> {
    match app.door.keys.look_up(key) {
        Lookup::Known(caller) if caller.role == Role::Client => {}
        Lookup::Known(_) | Lookup::Unknown => {
            return Err(Problem::new(Kind::NotFound, "there is no project with this write key"));
        }
        Lookup::CannotTell => {
            let message = "keys cannot be checked just now; ask again after Retry-After";
            return Err(Problem::new(Kind::KeysUnavailable, message));
        }
    }
    let integrations = Integrations { segment_io: SegmentIo { api_key: key } };
    ok(&BrowserSettings { integrations, metrics: MetricsSettings { sample_rate: 0 } })
}

/// The browser SDK's counts of its own calls.
///
/// Read and dropped; the settings ask the SDK not to send any.
#[utoipa::path(
    post, path = "/v1/m", operation_id = "browserMetrics", tag = "For apps", security(()),
    request_body(content = Object, content_type = "application/json"),
    responses((status = 200, description = "Dropped.", body = Done)),
)]
pub async fn metrics(request: Request) -> Response {
    let (parts, body) = request.into_parts();
    body::discard(&parts.headers, body).await;
    ok(&Done { ok: true }).unwrap_or_else(IntoResponse::into_response)
}
