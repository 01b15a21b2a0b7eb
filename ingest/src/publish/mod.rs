//! The way into the stream: [`lines`] are what requests hand over, [`lane`] commits them in groups, one task per lane.
//!
//! A request is answered only after the acknowledgement of the message that carries its events. The queue needs no limit of its
//! own: every submission holds its share of the [budget](crate::budget) until it is answered.

pub mod lane;
pub mod lines;

use std::sync::Arc;
use std::time::Duration;

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

/// Hands events to the lanes.
#[derive(Debug)]
pub struct Publisher {
    lanes: Vec<mpsc::UnboundedSender<Submission>>,
    deadline: Duration,
}

impl Publisher {
    /// Starts one task per lane.
    #[must_use]
    pub fn start(
        lanes: &[Lane],
        client: &async_nats::Client,
        readiness: &Arc<Readiness>,
        metrics: &Arc<Metrics>,
        deadline: Duration,
    ) -> Self {
        let start = |lane: &Lane| {
            let (sender, queue) = mpsc::unbounded_channel();
            let task = lane::LaneTask {
                lane: lane.clone(),
                client: client.clone(),
                readiness: Arc::clone(readiness),
                metrics: Arc::clone(metrics),
                queue,
                waiting: std::collections::VecDeque::new(),
            };
            tokio::spawn(task.run());
            sender
        };
        Self { lanes: lanes.iter().map(start).collect(), deadline }
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
}

/// Waits for the answer.
pub async fn outcome(pending: Pending) -> Result<Committed, Refusal> {
    pending.await.unwrap_or(Err(Refusal::Unavailable))
}
