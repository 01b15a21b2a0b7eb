//! The live tail: what is accepted and rejected right now, in any ingest process, for a developer who looks.
//!
//! A listener ([`listen`], `GET /v1/admin/events/stream`) announces itself with its [`filter`] on a plain NATS subject, again and
//! again; every process hears that ([`hear`]), and publishes what passes the filter on the listener's own subject, after the
//! event's acknowledgement ([`request`]). Nothing is stored, and when nobody listens it costs a look at one flag per request.
//!
//! It is a sample: each process sends a listener at most [`PER_SECOND`] entries a second and says how many it skipped. It never
//! holds up an event: what does not fit into a queue is skipped.

pub mod filter;
pub mod hear;
pub mod listen;
pub mod request;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc};

use self::filter::{Entry, Filter};
use crate::fair_use::bucket::{Bucket, Rate};

/// Entries that one process sends to one listener.
pub const PER_SECOND: u64 = 100;
/// Listeners that one process serves, and that it publishes for.
pub const MOST_LISTENERS: usize = 32;
/// Entries that wait to be published.
const QUEUE: usize = 1_024;
/// A listener announces itself this often.
const ANNOUNCE: Duration = Duration::from_secs(2);
/// One that was not heard of for so long is gone.
const FORGET: Duration = Duration::from_secs(10);

/// Who listens, and the way to them.
#[derive(Debug)]
pub struct Tail {
    subjects: Subjects,
    watched: AtomicBool,
    listeners: Mutex<Vec<Listener>>,
    out: mpsc::Sender<(String, Bytes)>,
    /// Listeners of this process.
    places: Arc<Semaphore>,
}

/// Plain subjects; no stream takes them.
#[derive(Debug, Clone)]
struct Subjects {
    prefix: String,
}

impl Subjects {
    fn announcements(&self) -> String {
        format!("{}_TAIL.announce", self.prefix)
    }

    fn of(&self, listener: &str) -> String {
        format!("{}_TAIL.to.{listener}", self.prefix)
    }
}

/// Somebody who listens, in this process or another.
#[derive(Debug)]
struct Listener {
    id: String,
    filter: Filter,
    heard_at: Instant,
    left: Option<Bucket>,
    skipped: u64,
}

impl Tail {
    /// A tail that nobody watches yet, and what it wants published.
    #[must_use]
    pub fn new(stream_prefix: &str) -> (Self, mpsc::Receiver<(String, Bytes)>) {
        let (out, queue) = mpsc::channel(QUEUE);
        let tail = Self {
            subjects: Subjects { prefix: stream_prefix.to_owned() },
            watched: AtomicBool::new(false),
            listeners: Mutex::default(),
            out,
            places: Arc::new(Semaphore::new(MOST_LISTENERS)),
        };
        (tail, queue)
    }

    /// Does anybody listen?
    #[must_use]
    pub fn is_watched(&self) -> bool {
        self.watched.load(Ordering::Relaxed)
    }

    /// Sends an entry to everybody whose filter it passes.
    fn send(&self, entry: &Entry<'_>, now: Instant) {
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        for listener in listeners.iter_mut().filter(|listener| listener.filter.passes(entry)) {
            let may = listener.left.as_mut().is_none_or(|left| left.level(now) > 0.0);
            let text = if may { entry.text(listener.skipped) } else { None };
            let sent =
                text.is_some_and(|text| self.out.try_send((self.subjects.of(&listener.id), text.into())).is_ok());
            if sent {
                listener.skipped = 0;
                listener.left.iter_mut().for_each(|left| left.take(1.0));
            } else {
                listener.skipped += 1;
            }
        }
    }

    /// A listener said that it is there.
    fn heard(&self, id: String, filter: Filter, now: Instant) {
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = listeners.iter_mut().find(|listener| listener.id == id) {
            known.heard_at = now;
        } else if listeners.len() < MOST_LISTENERS {
            let left = Rate::new(PER_SECOND, 1).map(|rate| Bucket::full(rate, now));
            listeners.push(Listener { id, filter, heard_at: now, left, skipped: 0 });
        }
        self.watched.store(!listeners.is_empty(), Ordering::Relaxed);
    }

    /// Forgets listeners that went away.
    fn forget(&self, now: Instant) {
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.retain(|listener| now.duration_since(listener.heard_at) < FORGET);
        self.watched.store(!listeners.is_empty(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tail::filter::Outcome;

    #[test]
    fn a_listener_gets_what_passes_its_filter_and_hears_what_was_skipped() {
        let (tail, mut queue) = Tail::new("EVENTS");
        let now = Instant::now();
        assert!(!tail.is_watched());
        tail.heard("a".to_owned(), Filter { user: Some("ada".to_owned()), ..Filter::default() }, now);
        assert!(tail.is_watched());
        let entry = |user| Entry { user_id: Some(user), ..Entry::of(Outcome::Accepted) };
        tail.send(&entry("bob"), now);
        assert!(queue.try_recv().is_err());
        for _ in 0..PER_SECOND + 7 {
            tail.send(&entry("ada"), now);
        }
        for _ in 0..PER_SECOND {
            assert_eq!(queue.try_recv().unwrap().0, "EVENTS_TAIL.to.a");
        }
        assert!(queue.try_recv().is_err());
        tail.send(&entry("ada"), now + Duration::from_secs(1));
        let (_, text) = queue.try_recv().unwrap();
        assert!(String::from_utf8_lossy(&text).contains(r#""skipped":7"#));
        tail.forget(now + FORGET);
        assert!(!tail.is_watched());
    }
}
