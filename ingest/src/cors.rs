//! Which web pages may call the API.
//!
//! Preflights are answered before routing and without a key (a browser cannot send one), and the headers stand on every answer,
//! errors too: a page cannot see an error, nor its `Retry-After`, without them. No credentials: keys travel in headers.

use axum::body::Body;
use axum::response::Response;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};

const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, DELETE");
const REQUEST_HEADERS: HeaderValue = HeaderValue::from_static(
    "authorization, content-type, content-encoding, x-api-key, idempotency-key, x-retry-count, if-match, if-none-match, x-user-hash, last-event-id",
);
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "retry-after, x-request-id, etag, ratelimit-policy, ratelimit-limit, ratelimit-remaining, ratelimit-reset",
);
/// A day; browsers cut it to what they allow.
const MAX_AGE_SECONDS: HeaderValue = HeaderValue::from_static("86400");
const ANY: HeaderValue = HeaderValue::from_static("*");

/// The setting `ALLOWED_ORIGINS`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origins {
    /// Pages of every origin.
    Any,
    /// Pages of these, compared byte by byte.
    Listed(Vec<HeaderValue>),
}

impl Origins {
    /// Reads the list; the error is the entry that is no origin.
    pub fn parse(entries: &[String]) -> Result<Self, String> {
        if entries.iter().any(|entry| entry == "*") || entries.is_empty() {
            return Ok(Self::Any);
        }
        let mut listed = Vec::with_capacity(entries.len());
        for entry in entries {
            let origin = entry.trim_end_matches('/');
            let host = origin.split_once("://").map_or("", |(_, host)| host);
            match HeaderValue::from_str(origin) {
                Ok(value) if !host.is_empty() && !host.contains('/') => listed.push(value),
                _ => return Err(entry.clone()),
            }
        }
        Ok(Self::Listed(listed))
    }

    fn allowed(&self, origin: Option<&HeaderValue>) -> Option<HeaderValue> {
        match self {
            Self::Any => Some(ANY),
            Self::Listed(listed) => origin.filter(|origin| listed.contains(origin)).cloned(),
        }
    }

    /// Adds the headers that every answer carries. `origin` is that of the request.
    pub fn mark(&self, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
        if matches!(self, Self::Listed(_)) {
            headers.append(header::VARY, HeaderValue::from_static("origin"));
        }
        if let Some(allowed) = self.allowed(origin) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        }
    }

    /// The answer to a preflight, or to any other OPTIONS: 204, also for an unknown origin, whose browser then stops by itself.
    #[must_use]
    pub fn preflight(&self, origin: Option<&HeaderValue>) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        self.mark(origin, headers);
        let fixed: [(HeaderName, HeaderValue); 3] = [
            (header::ACCESS_CONTROL_ALLOW_METHODS, METHODS),
            (header::ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS),
            (header::ACCESS_CONTROL_MAX_AGE, MAX_AGE_SECONDS),
        ];
        headers.extend(fixed);
        response
    }
}

/// Is it a preflight, or any other question about what is allowed?
#[must_use]
pub fn is_preflight(method: &Method) -> bool {
    method == Method::OPTIONS
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: HeaderValue = HeaderValue::from_static("https://app.example.com");
    const OTHER: HeaderValue = HeaderValue::from_static("https://evil.example.com");

    fn origin_in(headers: &HeaderMap) -> Option<&str> {
        headers.get(header::ACCESS_CONTROL_ALLOW_ORIGIN).and_then(|v| v.to_str().ok())
    }

    #[test]
    fn any_origin_is_a_star() {
        let response = Origins::Any.preflight(Some(&PAGE));
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
        assert_eq!(origin_in(response.headers()), Some("*"));
        assert!(response.headers()[header::ACCESS_CONTROL_ALLOW_HEADERS].to_str().unwrap().contains("x-api-key"));
    }

    #[test]
    fn a_listed_origin_is_echoed_and_another_gets_no_permission() {
        let origins = Origins::parse(&["https://app.example.com/".to_owned()]).unwrap();
        assert_eq!(origin_in(origins.preflight(Some(&PAGE)).headers()), Some("https://app.example.com"));
        let refused = origins.preflight(Some(&OTHER));
        assert_eq!((refused.status(), origin_in(refused.headers())), (StatusCode::NO_CONTENT, None));
        assert_eq!(refused.headers()[header::VARY], "origin");
    }

    #[test]
    fn an_entry_that_is_no_origin_is_named() {
        assert_eq!(Origins::parse(&["app.example.com".to_owned()]), Err("app.example.com".to_owned()));
        assert_eq!(Origins::parse(&["https://a/b".to_owned()]), Err("https://a/b".to_owned()));
        assert_eq!(Origins::parse(&[]), Ok(Origins::Any));
    }
}
