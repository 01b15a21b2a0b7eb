//! What an answer says about a limit: `RateLimit-Policy`, `-Limit`, `-Remaining`, `-Reset`, and `Retry-After` where it is refused.
//!
//! Seconds are whole. The old server sent the same headers.

use std::time::Duration;

use http::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};

use super::bucket::Bucket;

/// SDKs that wait less than this would come back into the same limit.
const SHORTEST_RETRY_SECONDS: u64 = 2;

/// How a client stands after a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quota {
    /// The call is one too many.
    pub exceeded: bool,
    /// Calls, events or bytes in a window.
    pub limit: u64,
    /// That window.
    pub window_seconds: u64,
    /// Of the limit.
    pub remaining: u64,
    /// Until there is more, or everything again.
    pub reset_seconds: u64,
}

impl Quota {
    /// A bucket that is dry.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "made of whole numbers below 2^53")]
    pub fn dry(bucket: &Bucket) -> Self {
        let rate = bucket.rate();
        Self {
            exceeded: true,
            limit: rate.burst() as u64,
            window_seconds: whole_seconds(rate.window()),
            remaining: 0,
            reset_seconds: whole_seconds(bucket.dry_for()).max(SHORTEST_RETRY_SECONDS),
        }
    }

    /// Adds the headers.
    pub fn mark(&self, headers: &mut HeaderMap) {
        let policy = format!("{};w={}", self.limit, self.window_seconds);
        if let Ok(policy) = HeaderValue::from_str(&policy) {
            headers.insert(HeaderName::from_static("ratelimit-policy"), policy);
        }
        headers.insert(HeaderName::from_static("ratelimit-limit"), self.limit.into());
        headers.insert(HeaderName::from_static("ratelimit-remaining"), self.remaining.into());
        headers.insert(HeaderName::from_static("ratelimit-reset"), self.reset_seconds.into());
        if self.exceeded {
            headers.insert(RETRY_AFTER, self.reset_seconds.into());
        }
    }
}

/// Rounded up.
#[must_use]
pub fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}
