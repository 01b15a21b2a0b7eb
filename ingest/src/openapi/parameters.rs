//! Parameters that many operations take; only described here, read by [`crate::query`] and [`crate::admin::paging`].

use utoipa::IntoParams;

/// How lists are paged.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "a description")]
pub struct Paging {
    /// Rows of a page; 0 or no number means the list's default.
    #[param(minimum = 0)]
    limit: Option<i64>,
    /// Rows to leave out; shifts when rows are added meanwhile.
    #[param(minimum = 0)]
    offset: Option<i64>,
    /// `next_cursor` of the page before: goes on behind its last row, whatever was added since.
    cursor: Option<String>,
}

/// Whose answer it is.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "a description")]
pub struct OfUser {
    /// The user; also `userId`. Without one, or with a placeholder such as `anonymous`, the answer is that of a stranger.
    #[param(max_length = 255, example = "ada")]
    user_id: Option<String>,
}

/// Who says so; for keys with identity verification.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "a description")]
pub struct Verified {
    /// The hexadecimal HMAC-SHA256 of the user id under the key's identity secret; also as header `X-User-Hash`. Only for keys that
    /// have one.
    user_hash: Option<String>,
}

/// Users or visitors.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "a description")]
pub struct OfKind {
    /// `user` (the default), or `anonymous` for visitors that nobody logged in as.
    #[param(pattern = "^(user|anonymous)$")]
    kind: Option<String>,
}

/// Times between.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "a description")]
pub struct Between {
    /// Not before: ISO 8601 such as `2026-03-01T09:00:00Z` (UTC where it names no zone) or epoch milliseconds.
    from: Option<String>,
    /// Before.
    to: Option<String>,
}

/// A change made from a version.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "a description")]
pub struct FromVersion {
    /// The `ETag` of the version that the change was made from; when there is a newer one the answer is 412.
    #[param(rename = "If-Match")]
    if_match: Option<String>,
}

/// A name for events that have no id of their own.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "a description")]
pub struct Named {
    /// The same request sent again under the same key takes effect once, though its events have no `messageId`.
    #[param(rename = "Idempotency-Key", max_length = 255)]
    idempotency_key: Option<String>,
}

/// A list that the client has already.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "a description")]
pub struct IfNoneMatch {
    /// The `ETag` of the list that the client has.
    #[param(rename = "If-None-Match")]
    if_none_match: Option<String>,
}
