//! Waiting for a condition instead of sleeping and hoping.

use std::time::{Duration, Instant};

/// How long a test waits for what should take milliseconds. Generous, because machines that run tests are busy; a test that
/// cares how long something takes measures it.
pub const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(20);

/// Asks `condition` until it answers `Ok`, for [`PATIENCE`]. An `Err` says how things stand, for the message of the failure.
///
/// # Panics
/// When the condition does not come true in time.
pub async fn eventually<T>(what: &str, condition: impl AsyncFnMut() -> Result<T, String>) -> T {
    within(PATIENCE, what, condition).await
}

/// [`eventually`] with a patience of its own.
///
/// # Panics
/// When the condition does not come true in time.
pub async fn within<T>(patience: Duration, what: &str, mut condition: impl AsyncFnMut() -> Result<T, String>) -> T {
    let started = Instant::now();
    loop {
        match condition().await {
            Ok(value) => return value,
            Err(state) if started.elapsed() > patience => {
                panic!("not within {} s: {what}; at last: {state}", patience.as_secs_f64());
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// `Ok` when both are equal, else what was found: the most common condition.
#[expect(clippy::needless_pass_by_value, reason = "called with values that were made for the question")]
pub fn equal<T: PartialEq + std::fmt::Debug>(found: T, wanted: T) -> Result<(), String> {
    if found == wanted { Ok(()) } else { Err(format!("{found:?}, wanted {wanted:?}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_returns_as_soon_as_the_condition_holds() {
        let mut asked = 0;
        let answer = eventually("three questions", async || {
            asked += 1;
            if asked == 3 { Ok("yes") } else { Err(format!("{asked} asked")) }
        })
        .await;
        assert_eq!(answer, "yes");
    }

    #[tokio::test]
    #[should_panic(expected = "not within 0.05 s: the impossible; at last: 1, wanted 2")]
    async fn it_gives_up_with_what_it_saw() {
        within(Duration::from_millis(50), "the impossible", async || equal(1, 2)).await;
    }
}
