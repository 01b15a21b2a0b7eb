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
use serde_json::json;

use crate::app::App;
use crate::body;
use crate::intake::ok;
use crate::keys::{Lookup, Role};
use crate::problem::{Kind, Problem};

/// Five minutes: a page does not ask at every view, and a revoked key's page soon learns of it.
const SETTINGS_CACHE: HeaderValue = HeaderValue::from_static("public, max-age=300");
/// A refusal may be over in a moment: the key was only just made, or the database is coming back.
const NO_CACHE: HeaderValue = HeaderValue::from_static("no-store");

/// `GET /v1/projects/{key}/settings`: one integration, ourselves, and no metrics.
pub async fn settings(State(app): State<Arc<App>>, Path(key): Path<String>) -> Response {
    let (mut response, cache) = match settings_of(&app, &key) {
        Ok(response) => (response, SETTINGS_CACHE),
        Err(problem) => (problem.into_response(), NO_CACHE),
    };
    response.headers_mut().insert(CACHE_CONTROL, cache);
    response
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
    ok(&json!({
        "integrations": {"Segment.io": {"apiKey": key}},
        "metrics": {"sampleRate": 0},
    }))
}

/// `POST /v1/m`.
pub async fn metrics(request: Request) -> Response {
    let (parts, body) = request.into_parts();
    body::discard(&parts.headers, body).await;
    ok(&json!({"ok": true})).unwrap_or_else(IntoResponse::into_response)
}
