//! What a request can be refused with, as the document shows it.
//!
//! A handler's attribute names sets of [`Kind`]s ([`ReadsBody`], [`Publishes`], …); [`super::around`] adds those of the layers
//! around all handlers and turns the kinds of each status into one response. Status, headers and texts come from [`Kind`], so
//! they cannot differ from what is answered.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use utoipa::IntoResponses;
use utoipa::openapi::{RefOr, Response};

use crate::problem::Kind;

macro_rules! sets {
    ($($(#[$doc:meta])* $set:ident: $($kind:ident),+;)+) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $set;

        impl IntoResponses for $set {
            /// Keyed by code instead of by status, so that sets of one operation do not hide each other.
            fn responses() -> BTreeMap<String, RefOr<Response>> {
                [$(Kind::$kind),+].map(|kind| (kind.code().to_owned(), Response::default().into())).into()
            }
        }
    )+};
}

sets! {
    /// A body that is read within its limits.
    ReadsBody: InvalidJson, UndecodableBody, BodyTimeout, BodyTooLarge, UnsupportedEncoding, Overloaded;
    /// Events that are put into the stream, perhaps named by an `Idempotency-Key`.
    Publishes: InvalidParameter, NotReady, StreamUnavailable, StreamFull;
    /// One event.
    OneEvent: InvalidEvent;
    /// Many events.
    ManyEvents: EmptyBatch, NoValidEvent, BatchTooLarge;
    /// Parameters that can be wrong.
    ReadsParameters: InvalidParameter;
    /// An answer that the database, or what was read from it, is needed for.
    AsksDatabase: DatabaseUnavailable;
    /// There may be nothing with this id.
    Missing: NotFound;
    /// `If-Match` may name an old version.
    Versioned: VersionConflict;
    /// A campaign with faults.
    FaultyCampaign: InvalidCampaign;
    /// A segment with faults.
    FaultySegment: InvalidSegment;
    /// A flag with faults.
    FaultyFeature: InvalidFeature;
    /// A key that is asked for wrongly, or is one too many.
    FaultyKey: InvalidKey, Conflict;
    /// A change of a key that cannot be.
    FaultyLimits: InvalidKey;
    /// A key that is no header.
    ChecksKey: KeysUnavailable;
    /// The live tail.
    Listens: Overloaded, StreamUnavailable;
    /// One of a few places.
    OneAtATime: Overloaded;
    /// Something about a user, whom a key with identity verification must prove.
    AboutUser: UserNotVerified;
}

/// The kind with this code.
pub fn kind(code: &str) -> Option<Kind> {
    Kind::ALL.into_iter().find(|kind| kind.code() == code)
}

/// The responses for these kinds, by status.
pub fn responses(kinds: &[Kind]) -> Map<String, Value> {
    let mut by_status: BTreeMap<u16, Vec<Kind>> = BTreeMap::new();
    for kind in kinds {
        by_status.entry(kind.status().as_u16()).or_default().push(*kind);
    }
    by_status.into_iter().map(|(status, kinds)| (status.to_string(), response(&kinds))).collect()
}

fn response(kinds: &[Kind]) -> Value {
    let list = kinds.iter().map(|kind| format!("`{}`: {}", kind.code(), meaning(*kind)));
    let mut headers = json!({"X-Request-Id": {"$ref": "#/components/headers/RequestId"}});
    if kinds.iter().any(|kind| kind.retry_after_seconds().is_some()) {
        headers["Retry-After"] = json!({"$ref": "#/components/headers/RetryAfter"});
    }
    if kinds.contains(&Kind::RateLimited) {
        headers["Retry-After"] = json!({"$ref": "#/components/headers/RetryAfter"});
        add_quota(&mut headers);
    }
    let examples: Map<String, Value> = kinds
        .iter()
        .map(|kind| (kind.code().to_owned(), json!({"$ref": format!("#/components/examples/{}", kind.code())})))
        .collect();
    json!({
        "description": list.collect::<Vec<_>>().join("\n\n"),
        "headers": headers,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": examples}},
    })
}

/// Adds the headers that tell how much of a limit is left.
pub fn add_quota(headers: &mut Value) {
    for part in ["Policy", "Limit", "Remaining", "Reset"] {
        headers[format!("RateLimit-{part}")] = json!({"$ref": format!("#/components/headers/RateLimit{part}")});
    }
}

/// An example of each kind's body, by code.
pub fn examples() -> Map<String, Value> {
    let example = |kind: Kind| {
        let mut body = json!({
            "code": kind.code(), "message": meaning(kind), "error": kind.error_text(),
            "request_id": "0b7e6a9e-2f0c-4d4e-9a51-6e1d4c8a7f10",
        });
        let detail = |path: &str, message: &str, code: &str| json!([{"type": "field", "path": path, "msg": message, "code": code, "location": "body"}]);
        match kind {
            Kind::InvalidEvent => body["details"] = detail("event", "a track call names its event", "missing_field"),
            Kind::InvalidCampaign => body["details"] = detail("rules[0].operator", "is not known", "unknown_value"),
            Kind::InvalidSegment | Kind::InvalidFeature => {
                body["details"] = detail("rules", "must be an array", "wrong_type");
            }
            Kind::VersionConflict => body["current_version"] = json!(7),
            _ => {}
        }
        (kind.code().to_owned(), json!({"value": body}))
    };
    Kind::ALL.into_iter().map(example).collect()
}

/// What it means, and what to do.
fn meaning(kind: Kind) -> &'static str {
    match kind {
        Kind::MalformedRequest => "this is not a well-formed HTTP/1.1 request",
        Kind::InvalidJson => "the body is empty, not UTF-8, or not the JSON that this call takes",
        Kind::UndecodableBody => "the body ended early, or is not what its Content-Encoding says",
        Kind::EmptyBatch => "the batch is empty; send at least one event",
        Kind::NoValidEvent => "none of the events can be accepted; `rejected` says why, event by event",
        Kind::InvalidEvent => "the event cannot be accepted; `details` names every field that is wrong",
        Kind::InvalidCampaign => "the campaign has faults; `details` names all of them",
        Kind::InvalidSegment => "the segment has faults; `details` names all of them",
        Kind::InvalidFeature => "the flag has faults; `details` names all of them",
        Kind::InvalidKey => "a key needs a name and a role; `details` says what is wrong",
        Kind::InvalidParameter => "a parameter, a header or the body cannot be what it is; the message names it",
        Kind::Unauthorized => "no key, or one that is unknown, revoked or malformed",
        Kind::Forbidden => "this needs an admin key; the one sent is a write key",
        Kind::UserNotVerified => "this key reads about a user only with the right `user_hash`",
        Kind::NotFound => "there is nothing with this id",
        Kind::MethodNotAllowed => "the method is not served at this path; see the Allow header",
        Kind::Conflict => "the name has two live keys already; revoke one of them first",
        Kind::VersionConflict => "it was changed meanwhile; read it and try again",
        Kind::RateLimited => "too many requests; try again after Retry-After",
        Kind::BodyTimeout => "the body did not arrive within 30 s",
        Kind::BodyTooLarge => "the body is larger than is allowed, as sent or after decompression",
        Kind::BatchTooLarge => "the batch has too many events; send it in parts",
        Kind::UriTooLong => "the address has more than 8,192 bytes",
        Kind::HeadersTooLarge => "more than 100 headers, or more than 128 KiB of them",
        Kind::UnsupportedEncoding => "Content-Encoding is none of gzip, deflate and zstd",
        Kind::Overloaded => "too much is in flight; send this again after Retry-After",
        Kind::NotReady => "events cannot be accepted just now; send this again after Retry-After",
        Kind::StreamUnavailable => "the stream did not confirm the event in time; send this again after Retry-After",
        Kind::StreamFull => "the stream is full; send this again after Retry-After",
        Kind::KeysUnavailable => "keys cannot be checked just now; send this again after Retry-After",
        Kind::DatabaseUnavailable => "the database cannot be asked just now; try again after Retry-After",
        Kind::Internal => "this failed on our side; the log has the cause under the request id",
    }
}
