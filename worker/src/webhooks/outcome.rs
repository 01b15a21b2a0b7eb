//! What an answer, or none, means for a message and its endpoint, and when the next attempt is due. Pure.
//!
//! | what came | what it means |
//! |---|---|
//! | 2xx | delivered |
//! | 410 | the receiver is gone: the endpoint is paused at once, the message waits |
//! | anything else, redirects too, or nothing in time | a failure: tried again |
//!
//! Waits grow by [`GROWTH`] from the first (5 s unless set otherwise), at most a day, each a random quarter longer so that receivers that
//! come back are not met by everything at once: 5 s, 20 s, 80 s, 5 min, 21 min, 85 min, 6 h, 23 h, 24 h, 24 h. After [`MOST_ATTEMPTS`] attempts, over more
//! than three days, a message is given up. A `Retry-After` longer than that is kept, for the message and for all others of the endpoint.

use std::time::Duration;

use chrono::{DateTime, Utc};

/// Attempts of one message.
pub const MOST_ATTEMPTS: i32 = 11;
const GROWTH: f64 = 4.0;
const LONGEST_WAIT: Duration = Duration::from_secs(86_400);

/// What came of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver took it.
    Delivered(u16),
    /// It was not taken.
    Failed(Failure),
    /// We stopped before an answer.
    Interrupted,
}

/// Why a message was not taken.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Failure {
    /// Of the answer, if there was one.
    pub status: Option<u16>,
    /// In our words.
    pub error: String,
    /// The receiver asked to wait so long.
    pub retry_after: Option<Duration>,
}

impl Failure {
    /// The receiver wants nothing any more.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.status == Some(410)
    }

    /// Until the next attempt, after `attempts` of them; `None`: it is given up. `spread`, 0 to 1, is random.
    #[must_use]
    pub fn wait(&self, attempts: i32, first: Duration, spread: f64) -> Option<Duration> {
        if attempts >= MOST_ATTEMPTS && !self.is_gone() {
            return None;
        }
        let seconds = first.as_secs_f64() * GROWTH.powi(attempts.max(1) - 1);
        let wait = Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST_WAIT).min(LONGEST_WAIT);
        let wait = wait.max(self.retry_after.unwrap_or_default());
        Some(wait.mul_f64(1.0 + spread.clamp(0.0, 1.0) / 4.0))
    }
}

/// What an answer means.
#[must_use]
pub fn judge(status: u16, retry_after: Option<&str>, now: DateTime<Utc>) -> Outcome {
    let error = match status {
        200..=299 => return Outcome::Delivered(status),
        300..=399 => {
            format!("answered {status}: redirects are not followed, so the campaign must hold the new address")
        }
        410 => "answered 410: it wants no more messages".to_owned(),
        _ => format!("answered {status}"),
    };
    let retry_after = retry_after.and_then(|text| seconds(text, now)).map(|wait| wait.min(LONGEST_WAIT));
    Outcome::Failed(Failure { status: Some(status), error, retry_after })
}

/// A `Retry-After`: seconds, or a date.
fn seconds(text: &str, now: DateTime<Utc>) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    (DateTime::parse_from_rfc2822(text).ok()?.with_timezone(&Utc) - now).to_std().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text).unwrap().with_timezone(&Utc)
    }

    fn failure(status: u16, retry_after: Option<&str>) -> Failure {
        match judge(status, retry_after, at("2026-03-01T12:00:00Z")) {
            Outcome::Failed(failure) => failure,
            other => panic!("{status}: {other:?}"),
        }
    }

    #[test]
    fn only_a_success_is_one() {
        for status in [200, 201, 202, 204, 299] {
            assert_eq!(judge(status, None, at("2026-03-01T12:00:00Z")), Outcome::Delivered(status));
        }
        for status in [301, 302, 307, 400, 404, 429, 500, 503] {
            assert!(!failure(status, None).is_gone(), "{status}");
        }
        assert!(failure(410, None).is_gone());
        assert!(failure(302, None).error.contains("redirects are not followed"));
    }

    #[test]
    fn waits_grow_up_to_a_day_and_come_to_an_end_after_more_than_three() {
        let first = Duration::from_secs(5);
        let waits: Vec<u64> =
            (1..).map_while(|n| failure(500, None).wait(n, first, 0.0)).map(|wait| wait.as_secs()).collect();
        assert_eq!(waits, [5, 20, 80, 320, 1_280, 5_120, 20_480, 81_920, 86_400, 86_400]);
        assert!(waits.iter().sum::<u64>() > 3 * 86_400);
        assert_eq!(failure(500, None).wait(1, first, 1.0), Some(Duration::from_millis(6_250)));
        assert!(failure(410, None).wait(MOST_ATTEMPTS, first, 0.0).is_some(), "it waits until somebody resumes");
    }

    #[test]
    fn a_receiver_may_ask_for_a_longer_wait_but_not_for_a_shorter_or_endless_one() {
        let wait = |text| failure(503, Some(text)).wait(1, Duration::from_secs(5), 0.0).map(|wait| wait.as_secs());
        assert_eq!(wait("120"), Some(120));
        assert_eq!(wait("Sun, 01 Mar 2026 12:02:00 GMT"), Some(120));
        for (text, seconds) in
            [("1", 5), ("soon", 5), ("-3", 5), ("Sun, 01 Mar 2026 11:00:00 GMT", 5), ("999999999", 86_400)]
        {
            assert_eq!(wait(text), Some(seconds), "{text}");
        }
    }
}
