//! An answer that many may have at once and that may be a moment old: made once, and given to everybody who asks until it is too old.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

/// The latest answer. Who asks while it is being made waits for it.
#[derive(Debug)]
pub struct Recent<T> {
    latest: Mutex<Option<(Instant, Arc<T>)>>,
    lasts: Duration,
}

impl<T> Recent<T> {
    /// Answers that may be given for so long.
    #[must_use]
    pub fn new(lasts: Duration) -> Self {
        Self { latest: Mutex::new(None), lasts }
    }

    /// The latest answer, or a new one. A failure is not kept.
    pub async fn get<E>(&self, make: impl AsyncFnOnce() -> Result<T, E>) -> Result<Arc<T>, E> {
        let mut latest = self.latest.lock().await;
        if let Some((made, answer)) = latest.as_ref()
            && made.elapsed() < self.lasts
        {
            return Ok(Arc::clone(answer));
        }
        let answer = Arc::new(make().await?);
        *latest = Some((Instant::now(), Arc::clone(&answer)));
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_answer_is_made_once_until_it_is_too_old_and_a_failure_again() {
        let recent = Recent::new(Duration::from_secs(60));
        assert_eq!(recent.get(async || Err::<i32, _>("away")).await, Err("away"));
        assert_eq!(recent.get(async || Ok::<_, &str>(1)).await, Ok(Arc::new(1)));
        assert_eq!(recent.get(async || Ok::<_, &str>(2)).await, Ok(Arc::new(1)));
        let short = Recent::new(Duration::ZERO);
        assert_eq!(short.get(async || Ok::<_, &str>(1)).await, Ok(Arc::new(1)));
        assert_eq!(short.get(async || Ok::<_, &str>(2)).await, Ok(Arc::new(2)));
    }
}
