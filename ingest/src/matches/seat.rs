//! An open stream's place among all: counted, limited, and woken.

use std::sync::{Arc, PoisonError};

use shared::domain::user_key::UserKey;
use tokio::sync::{Notify, OwnedSemaphorePermit};

use super::Feed;
use crate::metrics::Metrics;
use crate::problem::{Kind, Problem};

/// A place, until it is dropped.
#[derive(Debug)]
pub struct Seat {
    feed: Arc<Feed>,
    metrics: Arc<Metrics>,
    user: u64,
    waker: Arc<Notify>,
    _permit: OwnedSemaphorePermit,
}

impl Seat {
    /// Takes one. From now on notices for the user wake it.
    pub fn take(feed: &Arc<Feed>, metrics: &Arc<Metrics>, user: UserKey<'_>) -> Result<Self, Problem> {
        let permit = Arc::clone(&feed.places).try_acquire_owned().map_err(|_| {
            let message =
                "as many streams of matches are open here as may be; try again, or read GET /v1/matches now and then";
            Problem::new(Kind::Overloaded, message)
        })?;
        let (user, waker) = (user.word(), Arc::new(Notify::new()));
        let mut waiting = feed.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.entry(user).or_default().push(Arc::clone(&waker));
        drop(waiting);
        metrics.match_stream_opened();
        Ok(Self { feed: Arc::clone(feed), metrics: Arc::clone(metrics), user, waker, _permit: permit })
    }

    /// Waits to be woken; at once if that has happened since the last time.
    pub async fn woken(&self) {
        self.waker.notified().await;
    }

    /// A number from 0 to 1 that spreads what many streams do at intervals.
    #[must_use]
    pub fn spread(&self) -> f64 {
        f64::from(u16::try_from(self.user >> 48).unwrap_or(0)) / f64::from(u16::MAX)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut waiting = self.feed.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(wakers) = waiting.get_mut(&self.user) {
            wakers.retain(|waker| !Arc::ptr_eq(waker, &self.waker));
            if wakers.is_empty() {
                waiting.remove(&self.user);
            }
        }
        self.metrics.match_stream_closed();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test]
    async fn a_seat_is_woken_for_its_user_and_leaves_nothing_behind() {
        let (feed, metrics) = (Arc::new(Feed::new(2)), Arc::new(Metrics::register(1, std::iter::empty())));
        let (ada, bob) = (UserKey::user("ada"), UserKey::user("bob"));
        let first = Seat::take(&feed, &metrics, ada).unwrap();
        let second = Seat::take(&feed, &metrics, ada).unwrap();
        assert_eq!(Seat::take(&feed, &metrics, bob).unwrap_err().kind(), Kind::Overloaded);
        feed.wake([bob.word()].into_iter());
        assert!(first.woken().now_or_never().is_none());
        feed.wake([ada.word(), ada.word()].into_iter());
        assert!(first.woken().now_or_never().is_some() && second.woken().now_or_never().is_some());
        assert!(first.woken().now_or_never().is_none(), "two notices at once are one");
        drop(first);
        feed.close();
        assert!(second.woken().now_or_never().is_some() && feed.is_closed());
        drop(second);
        assert!(feed.waiting.lock().unwrap().is_empty());
        assert!(Seat::take(&feed, &metrics, bob).is_ok());
    }
}
