//! Every way in which a request can fail, and how it is answered.
//!
//! The body is always a JSON object with string `code`, `message`, `error` and `request_id`: SDKs and the old dashboard read one
//! or the other, and one SDK resends for ever when `code` is missing. A server fault never tells its cause to the client; the
//! log has it, under the same request id.

use std::borrow::Cow;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use http::{Method, StatusCode};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::fair_use::quota::Quota;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What went wrong. [`Kind::code`] is the machine-readable name, also as a metric label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the table in `Kind::facts` says what each is")]
pub enum Kind {
    MalformedRequest,
    InvalidJson,
    UndecodableBody,
    EmptyBatch,
    NoValidEvent,
    InvalidEvent,
    InvalidCampaign,
    InvalidSegment,
    InvalidFeature,
    InvalidKey,
    InvalidParameter,
    Unauthorized,
    Forbidden,
    UserNotVerified,
    NotFound,
    MethodNotAllowed,
    Conflict,
    VersionConflict,
    RateLimited,
    BodyTimeout,
    BodyTooLarge,
    BatchTooLarge,
    UriTooLong,
    HeadersTooLarge,
    UnsupportedEncoding,
    Overloaded,
    NotReady,
    StreamUnavailable,
    StreamFull,
    KeysUnavailable,
    DatabaseUnavailable,
    Internal,
}

struct Facts {
    status: StatusCode,
    code: &'static str,
    /// The old server's `error` text for this status.
    error: &'static str,
    retry_after_seconds: Option<u16>,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 32] = [
        Self::MalformedRequest,
        Self::InvalidJson,
        Self::UndecodableBody,
        Self::EmptyBatch,
        Self::NoValidEvent,
        Self::InvalidEvent,
        Self::InvalidCampaign,
        Self::InvalidSegment,
        Self::InvalidFeature,
        Self::InvalidKey,
        Self::InvalidParameter,
        Self::Unauthorized,
        Self::Forbidden,
        Self::UserNotVerified,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::Conflict,
        Self::VersionConflict,
        Self::RateLimited,
        Self::BodyTimeout,
        Self::BodyTooLarge,
        Self::BatchTooLarge,
        Self::UriTooLong,
        Self::HeadersTooLarge,
        Self::UnsupportedEncoding,
        Self::Overloaded,
        Self::NotReady,
        Self::StreamUnavailable,
        Self::StreamFull,
        Self::KeysUnavailable,
        Self::DatabaseUnavailable,
        Self::Internal,
    ];

    fn facts(self) -> Facts {
        let fact = |status, code, error, retry_after_seconds| Facts { status, code, error, retry_after_seconds };
        let bad = |code| fact(StatusCode::BAD_REQUEST, code, "Bad Request", None);
        let invalid = |code| fact(StatusCode::BAD_REQUEST, code, "Validation failed", None);
        let large = |code| fact(StatusCode::PAYLOAD_TOO_LARGE, code, "Payload Too Large", None);
        let later = |code, seconds| fact(StatusCode::SERVICE_UNAVAILABLE, code, "Service Unavailable", Some(seconds));
        match self {
            Self::MalformedRequest => bad("malformed_request"),
            Self::InvalidJson => bad("invalid_json"),
            Self::UndecodableBody => bad("undecodable_body"),
            Self::EmptyBatch => bad("empty_batch"),
            Self::NoValidEvent => invalid("no_valid_event"),
            Self::InvalidEvent => invalid("invalid_event"),
            Self::InvalidCampaign => invalid("invalid_campaign"),
            Self::InvalidSegment => invalid("invalid_segment"),
            Self::InvalidFeature => invalid("invalid_feature"),
            Self::InvalidKey => invalid("invalid_key"),
            Self::InvalidParameter => bad("invalid_parameter"),
            Self::Unauthorized => fact(StatusCode::UNAUTHORIZED, "unauthorized", "Unauthorized", None),
            Self::Forbidden => fact(StatusCode::FORBIDDEN, "forbidden", "Forbidden", None),
            Self::UserNotVerified => fact(StatusCode::FORBIDDEN, "user_not_verified", "Forbidden", None),
            Self::NotFound => fact(StatusCode::NOT_FOUND, "not_found", "Not Found", None),
            Self::MethodNotAllowed => {
                fact(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "Method Not Allowed", None)
            }
            Self::Conflict => fact(StatusCode::CONFLICT, "conflict", "Conflict", None),
            Self::VersionConflict => {
                fact(StatusCode::PRECONDITION_FAILED, "version_conflict", "Precondition Failed", None)
            }
            // The old server's text; how long to wait comes with the quota.
            Self::RateLimited => {
                let error = "Too many requests, please try again later.";
                fact(StatusCode::TOO_MANY_REQUESTS, "rate_limited", error, None)
            }
            Self::BodyTimeout => fact(StatusCode::REQUEST_TIMEOUT, "body_timeout", "Request Timeout", None),
            Self::BodyTooLarge => large("body_too_large"),
            Self::BatchTooLarge => large("batch_too_large"),
            Self::UriTooLong => fact(StatusCode::URI_TOO_LONG, "uri_too_long", "URI Too Long", None),
            Self::HeadersTooLarge => {
                let error = "Request Header Fields Too Large";
                fact(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "headers_too_large", error, None)
            }
            Self::UnsupportedEncoding => {
                fact(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_encoding", "Unsupported Media Type", None)
            }
            Self::Overloaded => later("overloaded", 2),
            Self::NotReady => later("not_ready", 5),
            Self::StreamUnavailable => later("stream_unavailable", 3),
            Self::StreamFull => later("stream_full", 30),
            Self::KeysUnavailable => later("keys_unavailable", 5),
            Self::DatabaseUnavailable => later("database_unavailable", 5),
            Self::Internal => fact(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Internal Server Error", None),
        }
    }

    /// Machine-readable name.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.facts().code
    }

    /// Status of the answer.
    #[must_use]
    pub fn status(self) -> StatusCode {
        self.facts().status
    }

    /// `error` of the answer, unless a problem has its own.
    #[must_use]
    pub fn error_text(self) -> &'static str {
        self.facts().error
    }

    /// `Retry-After` of the answer.
    #[must_use]
    pub fn retry_after_seconds(self) -> Option<u16> {
        self.facts().retry_after_seconds
    }
}

/// A failed request.
#[derive(Debug)]
pub struct Problem(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: Kind,
    message: Cow<'static, str>,
    /// Further fields of the body.
    more: Map<String, Value>,
    /// Replaces the kind's `error` text.
    error: Option<&'static str>,
    /// For the log only.
    cause: Option<String>,
    /// The limit that was reached.
    quota: Option<Quota>,
}

impl Problem {
    /// A problem with what the client should know: what was wrong and what to do.
    pub fn new(kind: Kind, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner { kind, message: message.into(), more: Map::new(), error: None, cause: None, quota: None }))
    }

    /// The one answer to every missing, unknown, revoked or malformed key.
    #[must_use]
    pub fn unauthorized() -> Self {
        let message = "a valid key is needed: x-api-key, Authorization (Bearer, or Basic with the key as user name), or writeKey in the body";
        Self::new(Kind::Unauthorized, message)
    }

    /// Adds what only the log may know.
    #[must_use]
    pub fn caused_by(mut self, cause: impl std::fmt::Display) -> Self {
        self.0.cause = Some(cause.to_string());
        self
    }

    /// Adds a field to the body.
    #[must_use]
    pub fn with(mut self, field: &str, value: Value) -> Self {
        self.0.more.insert(field.to_owned(), value);
        self
    }

    /// Adds the headers that say when to come back.
    #[must_use]
    pub fn with_quota(mut self, quota: Quota) -> Self {
        self.0.quota = Some(quota);
        self
    }

    /// Gives `error` another text, for clients that show it.
    #[must_use]
    pub fn with_error(mut self, error: &'static str) -> Self {
        self.0.error = Some(error);
        self
    }

    /// What the client is told.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// Logs it, and gives its status, the request's id and the body.
    pub fn into_json(self) -> (StatusCode, Uuid, String) {
        let facts = self.0.kind.facts();
        let request_id = Uuid::new_v4();
        self.log(facts.status, request_id);
        let mut body = json!({
            "code": facts.code,
            "message": self.0.message,
            "error": self.0.error.unwrap_or(facts.error),
            "request_id": request_id.to_string(),
        });
        if let Value::Object(fields) = &mut body {
            fields.extend(self.0.more);
        }
        (facts.status, request_id, body.to_string())
    }

    fn log(&self, status: StatusCode, request_id: Uuid) {
        let (code, message) = (self.0.kind.code(), &*self.0.message);
        let cause = self.0.cause.as_deref().unwrap_or("");
        if self.0.kind == Kind::Internal {
            tracing::error!(%request_id, code, message, cause, "request failed");
        } else if status.is_server_error() {
            // A whole outage is logged once where it is noticed, not once per request.
            tracing::debug!(%request_id, code, message, cause, "request refused for now");
        } else {
            tracing::debug!(%request_id, code, message, "request refused");
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(mut self) -> Response {
        let (retry_after_seconds, quota) = (self.0.kind.facts().retry_after_seconds, self.0.quota.take());
        let (status, request_id, body) = self.into_json();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Ok(value) = HeaderValue::from_str(&request_id.to_string()) {
            headers.insert(REQUEST_ID, value);
        }
        if let Some(seconds) = retry_after_seconds {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(quota) = quota {
            quota.mark(headers);
        }
        response
    }
}

/// Nothing is served at this path.
pub async fn no_such_route() -> Problem {
    Problem::new(Kind::NotFound, "there is nothing at this path; see availableRoutes, and /docs")
        .with("availableRoutes", json!(crate::openapi::routes()))
}

/// The path is served, but not for this method; the router adds `Allow`.
pub async fn wrong_method(method: Method) -> Problem {
    Problem::new(Kind::MethodNotAllowed, format!("{method} is not served at this path; see the Allow header"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    #[tokio::test]
    async fn every_answer_is_an_object_that_all_sdks_can_read() {
        for kind in Kind::ALL {
            let response = Problem::new(kind, "why").caused_by("secret inner cause").into_response();
            let status = response.status();
            let retry_after = response.headers().get(RETRY_AFTER).map(|v| v.to_str().unwrap().parse::<u64>().unwrap());
            assert_eq!(retry_after.is_some_and(|s| s >= 2), status == StatusCode::SERVICE_UNAVAILABLE, "{kind:?}");
            let bytes = response.into_body().collect().await.unwrap().to_bytes();
            assert!(!String::from_utf8_lossy(&bytes).contains("secret inner cause"));
            let body: Value = serde_json::from_slice(&bytes).unwrap();
            for field in ["code", "message", "error", "request_id"] {
                assert!(body[field].as_str().is_some_and(|text| !text.is_empty()), "{kind:?} {field}");
            }
        }
    }

    #[test]
    fn codes_are_distinct() {
        let codes: std::collections::BTreeSet<_> = Kind::ALL.iter().map(|k| k.code()).collect();
        assert_eq!(codes.len(), Kind::ALL.len());
    }
}
