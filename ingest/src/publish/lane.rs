//! The group commit of one lane: everything that arrived while the last message was being acknowledged becomes the next one.
//!
//! With one fsync per message this is where throughput comes from (measured on two cores: 4k events/s with one event per message, 120k and more
//! with a hundred). Exactly one message is in flight, and nobody lingers: a lone event goes out at once, and under load the queue
//! fills by itself.
//!
//! Invariants: lines stay in order of submission; a message that was sent once is only ever sent again as it is, under its id;
//! a submission is answered exactly once, at the latest at its deadline (or its message's).

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::Utc;
use shared::domain::message::{PLAIN_VERSION, encode};
use shared::runtime::failpoint;
use shared::stream::lanes::Lane;
use shared::stream::sealed::{Answer, Sealed};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{Committed, Refusal, Submission};
use crate::metrics::Metrics;
use crate::readiness::Readiness;

/// A message takes submissions up to this size; a larger one is split by whoever makes it, unless it is a single event.
pub const MESSAGE_BYTES: usize = 512 << 10;
/// One attempt; a lost acknowledgement is asked for again after this time.
const ATTEMPT: Duration = Duration::from_secs(2);
/// Between looks at a connection that is gone, and after a first failed attempt.
const PAUSE: Duration = Duration::from_millis(20);
/// After many.
const LONGEST_PAUSE: Duration = Duration::from_millis(320);

/// The task of one lane.
#[derive(Debug)]
pub struct LaneTask {
    pub(super) lane: Lane,
    pub(super) client: async_nats::Client,
    pub(super) readiness: Arc<Readiness>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) queue: mpsc::UnboundedReceiver<Submission>,
    /// Taken from the queue, not yet sealed.
    pub(super) waiting: VecDeque<Submission>,
    /// Another layout is in force: nothing takes this lane's subject any more.
    pub(super) retired: Arc<AtomicBool>,
}

impl LaneTask {
    /// Commits until every sender is gone.
    pub(super) async fn run(mut self) {
        while let Some(group) = self.next_group().await {
            self.commit(group).await;
        }
    }

    /// Waits until there is something to publish and a way to do it, then takes as much as one message holds.
    async fn next_group(&mut self) -> Option<Vec<Submission>> {
        loop {
            if self.waiting.is_empty() {
                let first = self.queue.recv().await?;
                self.waiting.push_back(first);
            }
            if self.readiness.may_publish() && self.lost().is_none() {
                return Some(self.take_group());
            }
            self.refuse_expired();
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Why nothing can be published on this lane any more, if that is so.
    fn lost(&self) -> Option<Refusal> {
        if self.retired.load(Ordering::Relaxed) {
            return Some(Refusal::Repartitioned);
        }
        self.readiness.replaced().map(Refusal::Replaced)
    }

    fn take_group(&mut self) -> Vec<Submission> {
        let mut group = Vec::with_capacity(self.waiting.len() + self.queue.len());
        let mut bytes = 0;
        while let Some(next) = self.waiting.pop_front().or_else(|| self.queue.try_recv().ok()) {
            if !group.is_empty() && bytes + next.lines.byte_len() > MESSAGE_BYTES {
                self.waiting.push_front(next);
                break;
            }
            bytes += next.lines.byte_len();
            group.push(next);
        }
        group
    }

    /// While nothing can be published: answers those whose time is up, and lets go of those nobody waits for.
    fn refuse_expired(&mut self) {
        while let Ok(next) = self.queue.try_recv() {
            self.waiting.push_back(next);
        }
        let now = Instant::now();
        let lost = self.lost();
        let (expired, waiting) =
            self.waiting.drain(..).partition(|s| lost.is_some() || s.deadline <= now || s.answer.is_closed());
        self.waiting = waiting;
        let refusal = lost.unwrap_or(Refusal::Unavailable);
        answer_all(expired, &refusal);
    }

    async fn commit(&self, group: Vec<Submission>) {
        let Some(deadline) = group.iter().map(|s| s.deadline).min() else { return };
        let events = group.iter().map(|s| s.lines.len()).sum();
        let version = group.iter().map(|s| s.lines.version()).max().unwrap_or(PLAIN_VERSION);
        let payload = encode(version, Utc::now(), group.iter().flat_map(|s| s.lines.iter()));
        let message = Sealed::new(version, payload, events);
        let started = Instant::now();
        match self.publish(&message, deadline).await {
            Ok(sequence) => {
                failpoint::reach("ingest::acknowledged");
                self.metrics.published(started.elapsed(), message.byte_len(), events);
                let mut position = 0;
                for submission in group {
                    let length = submission.lines.len();
                    drop((submission.lines, submission.share));
                    // Its client may have gone away.
                    let _ = submission.answer.send(Ok(Committed { sequence, position }));
                    position += length;
                }
            }
            Err(refusal) => answer_all(group.into(), &refusal),
        }
    }

    /// Tries until there is an acknowledgement, no hope, or no time.
    async fn publish(&self, message: &Sealed, deadline: Instant) -> Result<u64, Refusal> {
        let mut pause = PAUSE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Refusal::Unavailable);
            }
            // While the connection is down attempts would only pile up in the client's buffer.
            if self.readiness.may_publish() {
                let answer = tokio::select! {
                    answer = message.send(&self.client, &self.lane.subject, left.min(ATTEMPT)) => answer,
                    () = self.readiness.reconnected() => Answer::Failed("the connection to NATS was lost".to_owned()),
                };
                match answer {
                    Answer::Acknowledged { sequence, duplicate } => {
                        if self.readiness.acknowledged(self.lane.number, sequence, duplicate) {
                            return Ok(sequence);
                        }
                    }
                    Answer::Full => {
                        self.metrics.publish_failed();
                        return Err(Refusal::Full);
                    }
                    Answer::Failed(why) => {
                        self.metrics.publish_failed();
                        if pause == PAUSE {
                            tracing::warn!(stream = self.lane.stream, reason = why, "a publish failed; trying again");
                        }
                        self.readiness.look_again();
                        pause = LONGEST_PAUSE.min(pause * 2);
                    }
                }
            }
            if let Some(refusal) = self.lost() {
                return Err(refusal);
            }
            tokio::time::sleep(pause.min(deadline.saturating_duration_since(Instant::now()))).await;
        }
    }
}

fn answer_all(group: VecDeque<Submission>, refusal: &Refusal) {
    for submission in group {
        drop((submission.lines, submission.share));
        let _ = submission.answer.send(Err(refusal.clone()));
    }
}
