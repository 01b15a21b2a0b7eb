//! Matches for apps: what the worker decided, given to the user's devices until one of them has shown it.
//!
//! | route | |
//! |---|---|
//! | `GET /v1/matches` ([`list`]) | what waits for a user, oldest first |
//! | `GET /v1/matches/stream` ([`stream`]) | the same as server-sent events, and what comes while it is open |
//! | `POST /v1/matches/ack` ([`ack`]) | these were shown: no device gets them any more |
//! | `POST /v1/matches/token` ([`token`]) | lets a browser, which sends no headers there, open the stream |
//!
//! A match waits until it is acknowledged, or expired (`match_ttl_seconds`, the campaign's end). [`read`] finds what waits for a user behind
//! a [`cursor`] and claims it for the device that asks; what another device holds, or is not known well enough just now, is left for
//! later, and [`page`] keeps the cursor before it. So a cursor never passes what its device may still be owed. What cannot be shown at
//! the moment (a paused campaign, outside of its hours) is passed over; reading without a cursor brings it again.
//!
//! A stream sleeps until the worker's notice ([`wake`]), a claim that ends, or half a minute: notices may be lost, the database is asked
//! all the same. The database itself is read, never a standby: what was just committed must be there.
//!
//! For who writes an SDK: `ingest/MATCHES.md`.

pub mod ack;
pub mod asker;
pub mod cursor;
pub mod item;
pub mod list;
pub mod page;
pub mod read;
pub mod seat;
pub mod stream;
pub mod token;
pub mod wake;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use shared::domain::tombstone::Salt;
use shared::runtime::shutdown::Shutdown;
use tokio::sync::{Notify, Semaphore};

use crate::problem::{Kind, Problem};

/// Who waits for matches, and what is needed to tell who may.
#[derive(Debug)]
pub struct Feed {
    /// By a hash of the user; streams of two users that share one are woken together.
    waiting: Mutex<HashMap<u64, Vec<Arc<Notify>>>>,
    places: Arc<Semaphore>,
    is_closed: AtomicBool,
    /// Of this deployment, as long as it could be read.
    salt: RwLock<Option<Salt>>,
}

impl Feed {
    /// With room for so many streams.
    #[must_use]
    pub fn new(most_streams: usize) -> Self {
        Self {
            waiting: Mutex::default(),
            places: Arc::new(Semaphore::new(most_streams.min(Semaphore::MAX_PERMITS))),
            is_closed: AtomicBool::new(false),
            salt: RwLock::default(),
        }
    }

    /// Wakes the streams of users with these hashes.
    pub fn wake(&self, users: impl Iterator<Item = u64>) {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        users.filter_map(|user| waiting.get(&user)).flatten().for_each(|stream| stream.notify_one());
    }

    /// Wakes all.
    pub fn wake_all(&self) {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.values().flatten().for_each(|stream| stream.notify_one());
    }

    /// Ends all streams; their clients connect again, elsewhere.
    pub fn close(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
        self.wake_all();
    }

    /// Is it the end?
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Relaxed)
    }

    /// What ids of erased people are hashed with, and tokens are made from.
    pub fn salt(&self) -> Result<Salt, Problem> {
        let salt = self.salt.read().unwrap_or_else(PoisonError::into_inner).clone();
        let message = "matches cannot be read just now; try again after Retry-After";
        salt.ok_or_else(|| Problem::new(Kind::DatabaseUnavailable, message))
    }

    fn set_salt(&self, salt: Salt) {
        *self.salt.write().unwrap_or_else(PoisonError::into_inner) = Some(salt);
    }
}

/// Ends all streams when the process accepts no connections any more: whoever connects again at once must not find it.
pub async fn close_in_time(feed: Arc<Feed>, stop: Shutdown, drain: Duration) {
    stop.stopping().await;
    tokio::time::sleep(drain).await;
    feed.close();
}
