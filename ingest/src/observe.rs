//! What happens around every request: preflights, CORS headers, addresses that cannot be read, the limit per address (probes are
//! free), the request counter, the access log (debug only, no bodies, no keys: the path's template, the status and the time).

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

/// Does a request to this path count for its address?
#[must_use]
pub fn is_limited(path: &str) -> bool {
    path.starts_with("/v1/") || path.starts_with("/api/")
}

/// What is asked of every request.
fn admit(app: &App, request: &mut Request, uri_bytes: usize, now: Instant) -> Result<(), Problem> {
    if uri_bytes > URI_BYTES {
        let message = format!("the address has {uri_bytes} bytes; at most {URI_BYTES} are allowed");
        return Err(Problem::new(Kind::UriTooLong, message));
    }
    if !is_text(request.uri().path()) {
        // The extractors of path parameters would answer with bare text.
        return Err(Problem::new(Kind::InvalidParameter, "the path is not UTF-8 once its %XX are decoded"));
    }
    let Some(Peer(peer)) = request.extensions().get().copied() else { return Ok(()) };
    let client = app.settings.trusted_proxies.client(peer.ip(), request.headers());
    request.extensions_mut().insert(client);
    if is_limited(request.uri().path()) {
        app.addresses.admit(client, now)?;
    }
    Ok(())
}

/// Is a path UTF-8 once its `%XX` are decoded?
fn is_text(path: &str) -> bool {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let [first, after @ ..] = rest {
        let escaped = after.get(..2).filter(|_| *first == b'%').and_then(|digits| std::str::from_utf8(digits).ok());
        match escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    std::str::from_utf8(&bytes).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_text_when_its_escapes_are() {
        for (path, text) in [
            ("/v1/t", true),
            ("/v1/features/%F0%9F%A7%B5", true),
            ("/100%", true),
            ("/%zz%2", true),
            ("/%ff", false),
            ("/%F0%9F%A7", false),
        ] {
            assert_eq!(is_text(path), text, "{path}");
        }
    }
}
