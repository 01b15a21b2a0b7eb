//! One owner: what it is made of, and the loop around its sessions.
//!
//! A [`Session`] ends at the first failure, and the next one starts from what the database says: nothing is carried over, so there is
//! one way to start, to take over and to recover. Here it is decided what an end means: start again soon, halt and look again, or
//! wait for another program.

use std::sync::Arc;
use std::time::Duration;

use shared::domain::layout::Layout;
use shared::runtime::shutdown::Shutdown;
use shared::store::catalog::Snapshot;
use shared::store::failure;
use shared::stream::connection::Connection;
use shared::stream::lanes::Lane;
use sqlx::PgPool;
use tokio::sync::watch;
use tokio::time::Instant;
use uuid::Uuid;

use super::doubt::Doubt;
use super::session::Session;
use crate::attach::AttachError;
use crate::metrics;
use crate::settings::Settings;
use crate::status::{Board, State};

/// How long an owner that was halted waits before it looks again.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
const SHORTEST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// What all owners of a process have in common; cheap to clone.
#[derive(Clone)]
pub struct Assignment {
    /// Of the process.
    pub settings: Arc<Settings>,
    /// The layout in force, as the last session found it.
    pub layouts: watch::Sender<Layout>,
    /// To NATS.
    pub stream: Connection,
    /// Campaigns in force.
    pub campaigns: watch::Receiver<Arc<Snapshot>>,
    /// For checks and for making partitions; flushes use a connection of their own.
    pub pool: PgPool,
    /// Where it says what it is doing.
    pub board: Board,
    /// When to stop.
    pub stop: Shutdown,
}

/// One owner.
pub struct Owner {
    /// The layout that it works for; under another one it has nothing to do.
    pub layout: Layout,
    /// The lane it works on.
    pub lane: Lane,
    /// For logs, metrics and tables.
    pub name: String,
    /// The rest.
    pub common: Assignment,
}

impl std::ops::Deref for Owner {
    type Target = Assignment;

    fn deref(&self) -> &Assignment {
        &self.common
    }
}

/// Why a session ended.
pub(super) enum End {
    /// On request or because the layout changed; everything flushed and handed over.
    Stopped,
    /// Something is away or changed hands: start again soon.
    Again(&'static str, String),
    /// A person must act; look again after a while.
    Halted(String),
    /// Only another program can go on.
    Outdated(String),
}

impl From<sqlx::Error> for End {
    fn from(error: sqlx::Error) -> Self {
        failure::count(&error);
        Self::Again("database", format!("the database: {error}"))
    }
}

impl From<AttachError> for End {
    fn from(error: AttachError) -> Self {
        match error {
            AttachError::Stream(error) => Self::Again("stream", error.to_string()),
            AttachError::Doubtful(_) => Self::Again("stream", error.to_string()),
            AttachError::Database(error) => error.into(),
            AttachError::Gap(_) | AttachError::Mismatch(_) => Self::Halted(error.to_string()),
        }
    }
}

impl Owner {
    /// Is there nothing more to do: because of the stop, or because another layout is in force?
    pub(super) fn is_done(&self) -> bool {
        self.stop.is_stopping() || *self.layouts.borrow() != self.layout
    }

    /// Waits until [`Self::is_done`].
    pub(super) async fn done(&self) {
        let mut layouts = self.layouts.subscribe();
        let another = layouts.wait_for(|layout| *layout != self.layout);
        // The sender is ours.
        tokio::select! { () = self.stop.stopping() => {} _ = another => {} }
    }

    /// Works until the stop, or until the layout changes.
    pub async fn run(self) {
        let id = Uuid::new_v4();
        let (mut wait, mut doubt) = (SHORTEST_WAIT, Doubt::default());
        while !self.is_done() {
            let started = Instant::now();
            let pause = match self.session(id, &mut doubt).await {
                End::Stopped => break,
                End::Again(cause, why) => {
                    metrics::retry(cause);
                    tracing::warn!(owner = self.name, cause, "starting again: {why}");
                    self.board.set(&self.name, State::Waiting(why));
                    wait = if started.elapsed() > LONGEST_WAIT { SHORTEST_WAIT } else { (wait * 2).min(LONGEST_WAIT) };
                    if cause == "fence" { Duration::ZERO } else { wait }
                }
                End::Halted(why) => self.halt(&why, LOOK_AGAIN),
                End::Outdated(why) => self.halt(&why, Duration::MAX),
            };
            tokio::select! {
                () = self.done() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
        metrics::owned(&self.name, 0);
        if self.stop.is_stopping() {
            self.board.set(&self.name, State::Stopped);
        } else {
            self.board.remove(&self.name);
        }
    }

    fn halt(&self, why: &str, look_again: Duration) -> Duration {
        metrics::halted(true);
        metrics::owned(&self.name, 0);
        if self.board.set(&self.name, State::Halted(why.to_owned())) {
            tracing::error!(owner = self.name, "halted: {why}");
        }
        look_again
    }

    async fn session(&self, id: Uuid, doubt: &mut Doubt) -> End {
        let mut session = match Session::open(self, id, doubt).await {
            Ok(session) => session,
            Err(end) => return end,
        };
        let end = match session.work().await {
            Ok(stopped) => stopped,
            Err(end) => end,
        };
        // A session that ended on a failure leaves its partitions to its successor; the others hand them over.
        if !matches!(end, End::Again(..)) {
            session.hand_over().await;
        }
        end
    }
}
