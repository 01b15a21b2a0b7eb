//! The way into the stream: [`lines`] are what requests hand over, [`lane`] commits them in groups, one task per lane.
//!
//! A request is answered only after the acknowledgement of the message that carries its events. The queue needs no limit of its
//! own: every submission holds its share of the [budget](crate::budget) until it is answered.
//!
//! A [`Way`] belongs to one layout. After a repartition there is another one, and what still waits on the old one is refused: it is
//! cut by the old layout, and nothing takes its subjects any more.

pub mod lane;
pub mod lines;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use shared::domain::layout::Layout;
use shared::runtime::settings::pipeline::Pipeline;
use shared::stream::lanes::Lane;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use self::lines::Lines;
use crate::budget::Share;
use crate::metrics::Metrics;
use crate::problem::{Kind, Problem};
use crate::readiness::Readiness;

/// Where events ended up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// Sequence of the stream message.
    pub sequence: u64,
    /// Position of the submission's first event in it, by arrival.
    pub position: usize,
}

/// Why events are not in the stream, as far as anyone knows: they may still turn up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// No acknowledgement within the deadline.
    Unavailable,
    /// The stream holds all it may.
    Full,
    /// The stream is not the one we know.
    Replaced(String),
    /// The pipeline was repartitioned since the events were cut.
    Repartitioned,
}

impl Refusal {
    /// The answer to the client.
    #[must_use]
    pub fn problem(&self) -> Problem {
        match self {
            Self::Unavailable => Problem::new(
                Kind::StreamUnavailable,
                "the stream did not acknowledge in time; send this again after Retry-After",
            ),
            Self::Full => Problem::new(Kind::StreamFull, "the stream is full; send this again after Retry-After"),
            Self::Replaced(why) => Problem::new(Kind::NotReady, why.clone()),
            Self::Repartitioned => Problem::new(
                Kind::StreamUnavailable,
                "the pipeline was repartitioned just now; send this again after Retry-After",
            ),
        }
    }
}

/// Events of one request that wait to be committed.
#[derive(Debug)]
struct Submission {
    lines: Lines,
    deadline: Instant,
    answer: oneshot::Sender<Result<Committed, Refusal>>,
    /// Held until the bytes are gone, whatever becomes of the request.
    share: Share,
}

/// The answer to come.
pub type Pending = oneshot::Receiver<Result<Committed, Refusal>>;

/// The lanes of one layout.
#[derive(Debug)]
pub struct Way {
    /// The layout that events must be cut by.
    pub layout: Layout,
    lanes: Vec<mpsc::UnboundedSender<Submission>>,
    deadline: Duration,
    retired: Arc<AtomicBool>,
}

impl Way {
    /// One that leads nowhere.
    fn nowhere_of(layout: Layout, deadline: Duration) -> Self {
        Self { layout, lanes: Vec::new(), deadline, retired: Arc::default() }
    }

    /// One that leads nowhere, for tests of what goes before.
    #[cfg(test)]
    pub fn nowhere(layout: Layout) -> Self {
        Self::nowhere_of(layout, Duration::ZERO)
    }

    /// Queues lines of one lane, at most [`lane::MESSAGE_BYTES`] unless it is a single event.
    #[must_use]
    pub fn submit(&self, lane: u16, lines: Lines, share: Share) -> Pending {
        let (answer, pending) = oneshot::channel();
        let submission = Submission { lines, deadline: Instant::now() + self.deadline, answer, share };
        // A lane that is gone drops the submission and thereby the answer: [`outcome`] makes a refusal of it.
        if let Some(queue) = self.lanes.get(usize::from(lane)) {
            let _ = queue.send(submission);
        }
        pending
    }

    /// Is another layout in force by now?
    #[must_use]
    pub fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Relaxed)
    }
}

/// Hands events to the lanes of the layout in force.
#[derive(Debug)]
pub struct Publisher {
    way: RwLock<Arc<Way>>,
    stream_prefix: String,
    client: async_nats::Client,
    readiness: Arc<Readiness>,
    metrics: Arc<Metrics>,
    deadline: Duration,
}

impl Publisher {
    /// Starts one task per lane. The layout is a guess until the streams have been asked; nothing is published before.
    #[must_use]
    pub fn start(
        settings: &Pipeline,
        client: &async_nats::Client,
        readiness: &Arc<Readiness>,
        metrics: &Arc<Metrics>,
        deadline: Duration,
    ) -> Self {
        let guess = settings.first_layout;
        let publisher = Self {
            way: RwLock::new(Arc::new(Way::nowhere_of(guess, deadline))),
            stream_prefix: settings.stream_prefix.clone(),
            client: client.clone(),
            readiness: Arc::clone(readiness),
            metrics: Arc::clone(metrics),
            deadline,
        };
        publisher.take(guess);
        publisher
    }

    /// The way of the layout in force.
    #[must_use]
    pub fn way(&self) -> Arc<Way> {
        Arc::clone(&self.way.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The layout in force.
    #[must_use]
    pub fn layout(&self) -> Layout {
        self.way().layout
    }

    /// From now on this layout is in force.
    pub fn take(&self, layout: Layout) {
        let retired = Arc::<AtomicBool>::default();
        let start = |lane: Lane| {
            let (sender, queue) = mpsc::unbounded_channel();
            let task = lane::LaneTask {
                lane,
                client: self.client.clone(),
                readiness: Arc::clone(&self.readiness),
                metrics: Arc::clone(&self.metrics),
                queue,
                waiting: std::collections::VecDeque::new(),
                retired: Arc::clone(&retired),
            };
            tokio::spawn(task.run());
            sender
        };
        let lanes = Lane::all(&self.stream_prefix, layout).into_iter().map(start).collect();
        let next = Way { layout, lanes, deadline: self.deadline, retired };
        let before = std::mem::replace(&mut *self.way.write().unwrap_or_else(PoisonError::into_inner), Arc::new(next));
        // Its tasks end when the last request lets go of it.
        before.retired.store(true, Ordering::Relaxed);
    }
}

/// Waits for the answer.
pub async fn outcome(pending: Pending) -> Result<Committed, Refusal> {
    pending.await.unwrap_or(Err(Refusal::Unavailable))
}
