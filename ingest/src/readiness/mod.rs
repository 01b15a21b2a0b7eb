//! May this process accept events? The proof, kept up to date, and the reason when it may not.
//!
//! - Unproven, until the durability checks of [`shared::stream::durability`] hold: every event is refused.
//! - Proven: events are accepted. A lost connection does not end that by itself (requests are held for their deadline), but
//!   nothing is *published* on a new connection before the checks hold there too: another server may answer now. A check that
//!   cannot be made (a stream of a cluster is without a leader for a moment) is no reason to refuse either, nor to stop publishing:
//!   what is wrong ends a proof, silence does not.
//! - Replaced: a stream is not the one we know. Its sequences went backwards or its generation changed: it was recreated, or an
//!   older copy was put back. Every event is refused until an operator adopts it, because events acknowledged before may be gone.
//!
//! [`check`] asks, [`Readiness`] remembers; the publisher reports what it sees in acknowledgements.

pub mod check;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

use shared::stream::connection::Connection;
use tokio::sync::Notify;

use crate::problem::{Kind, Problem};

/// Most lanes that a layout may have.
const MOST_LANES: u16 = 64;

/// What the checks said last.
#[derive(Debug, Clone, Default)]
struct Standing {
    /// The connection's epoch for which the checks held.
    proven_epoch: Option<u64>,
    /// They held at least once, on any connection.
    ever_proven: bool,
    /// What is wrong now.
    problems: Vec<String>,
    /// What could not be asked, again and again.
    unanswered: Vec<String>,
    /// A stream is not the one we know.
    replaced: Option<String>,
}

/// Readiness of the process.
#[derive(Debug)]
pub struct Readiness {
    standing: RwLock<Standing>,
    draining: AtomicBool,
    connection: Connection,
    /// Highest sequence acknowledged, per lane.
    highest: Vec<AtomicU64>,
    look_again: Notify,
    adoptions: AtomicU64,
}

impl Readiness {
    /// Nothing is proven yet.
    #[must_use]
    pub fn new(connection: Connection) -> Self {
        Self {
            standing: RwLock::new(Standing {
                problems: vec!["durability is being checked".to_owned()],
                ..Standing::default()
            }),
            draining: AtomicBool::new(false),
            connection,
            highest: (0..MOST_LANES).map(|_| AtomicU64::new(0)).collect(),
            look_again: Notify::new(),
            adoptions: AtomicU64::new(0),
        }
    }

    /// The connection it is about.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// May an event be taken in? A draining process still serves what comes until it stops accepting.
    pub fn admit(&self) -> Result<(), Problem> {
        let standing = self.read();
        if let Some(why) = &standing.replaced {
            return Err(Problem::new(Kind::NotReady, why.clone()));
        }
        if standing.ever_proven && (standing.problems.is_empty() || !self.connection.is_up()) {
            return Ok(());
        }
        let why: Vec<&str> = standing.problems.iter().chain(&standing.unanswered).map(String::as_str).collect();
        Err(Problem::new(Kind::NotReady, format!("events are not accepted: {}", why.join("; "))))
    }

    /// May a message be published now, on the present connection?
    #[must_use]
    pub fn may_publish(&self) -> bool {
        let standing = self.read();
        standing.replaced.is_none()
            && standing.problems.is_empty()
            && standing.proven_epoch == Some(*self.connection.epochs.borrow())
            && self.connection.is_up()
    }

    /// Waits until the connection is a new one: what was asked on the old one is not answered any more.
    pub async fn reconnected(&self) {
        let mut epochs = self.connection.epochs.clone();
        epochs.mark_unchanged();
        if epochs.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Why no message may ever be published again without help, if that is so.
    #[must_use]
    pub fn replaced(&self) -> Option<String> {
        self.read().replaced.clone()
    }

    /// Everything that keeps the process from being ready; empty when it is.
    #[must_use]
    pub fn reasons(&self) -> Vec<String> {
        let standing = self.read();
        let mut reasons: Vec<String> =
            standing.replaced.iter().chain(&standing.problems).chain(&standing.unanswered).cloned().collect();
        if reasons.is_empty() && !self.connection.is_up() {
            reasons.push("NATS is not connected".to_owned());
        }
        if self.draining.load(Ordering::Relaxed) {
            reasons.push("stopping".to_owned());
        }
        reasons
    }

    /// From now on say unready.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Is the process stopping?
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Reports an acknowledgement's sequence. `false`: it cannot come from the stream we know, and is not to be trusted.
    #[must_use]
    pub fn acknowledged(&self, lane: u16, sequence: u64, duplicate: bool) -> bool {
        let Some(highest) = self.highest.get(usize::from(lane)) else { return false };
        if duplicate {
            return true;
        }
        let before = highest.fetch_max(sequence, Ordering::Relaxed);
        if sequence > before {
            return true;
        }
        self.set_replaced(format!(
            "the stream of lane {lane} was replaced: it acknowledged message {sequence} after {before}; see `worker adopt-stream`"
        ));
        false
    }

    /// How often another stream took the place of the one we knew, or another layout: sequences from before mean nothing any more.
    #[must_use]
    pub fn adoptions(&self) -> u64 {
        self.adoptions.load(Ordering::Relaxed)
    }

    /// Asks for a check before the next one is due.
    pub fn look_again(&self) {
        self.look_again.notify_one();
    }

    fn set_replaced(&self, why: String) {
        let mut standing = self.standing.write().unwrap_or_else(PoisonError::into_inner);
        if standing.replaced.is_none() {
            tracing::error!(reason = why, "events are refused");
            standing.replaced = Some(why);
        }
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Standing> {
        self.standing.read().unwrap_or_else(PoisonError::into_inner)
    }
}
