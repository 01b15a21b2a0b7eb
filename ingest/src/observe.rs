//! What happens around every request: preflights, CORS headers, the limit per address (probes are free), the request counter, the
//! access log (debug only, no bodies, no keys: the path's template, the status and the time).

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::ORIGIN;

use crate::app::App;
use crate::cors::is_preflight;
use crate::fair_use::client_address::Peer;
use crate::problem::{Kind, Problem};

/// Longest path with query. hyper itself gives up at 64 KiB.
const URI_BYTES: usize = 8 << 10;

/// Wraps every route.
pub async fn observe(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let origin = request.headers().get(ORIGIN).cloned();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let length = request.uri().path_and_query().map_or(0, |uri| uri.as_str().len());
    let mut response = if is_preflight(request.method()) {
        app.settings.origins.preflight(origin.as_ref())
    } else {
        let mut response = match admit(&app, &mut request, length, started) {
            Ok(()) => next.run(request).await,
            Err(problem) => problem.into_response(),
        };
        app.settings.origins.mark(origin.as_ref(), response.headers_mut());
        response
    };
    let route = route.as_ref().map(MatchedPath::as_str);
    app.metrics.answered(route, response.status());
    tracing::debug!(
        route,
        status = response.status().as_u16(),
        microseconds = started.elapsed().as_micros(),
        "answered"
    );
    if app.readiness.is_draining() {
        response.headers_mut().insert(http::header::CONNECTION, http::HeaderValue::from_static("close"));
    }
    response
}

/// What is asked of every request.
fn admit(app: &App, request: &mut Request, uri_bytes: usize, now: Instant) -> Result<(), Problem> {
    if uri_bytes > URI_BYTES {
        let message = format!("the address has {uri_bytes} bytes; at most {URI_BYTES} are allowed");
        return Err(Problem::new(Kind::UriTooLong, message));
    }
    let Some(Peer(peer)) = request.extensions().get().copied() else { return Ok(()) };
    let client = app.settings.trusted_proxies.client(peer.ip(), request.headers());
    request.extensions_mut().insert(client);
    if request.uri().path().starts_with("/v1/") || request.uri().path().starts_with("/api/") {
        app.addresses.admit(client, now)?;
    }
    Ok(())
}
