//! Cuts the events of a request into submissions: per lane, none larger than a message, in order.

use shared::domain::event::Event;
use shared::domain::user_key::{UserKey, partition_of_stranger};
use shared::stream::lanes::Lane;

use crate::app::App;
use crate::budget::Share;
use crate::problem::{Kind, Problem};
use crate::publish::lane::MESSAGE_BYTES;
use crate::publish::lines::Lines;
use crate::publish::{Committed, Pending, outcome};

/// Where one event of a request went.
#[derive(Debug, Clone, Copy)]
pub struct Slot {
    /// Partition that owns it.
    pub partition: u16,
    submission: usize,
    position: usize,
}

/// Events on their way into submissions.
#[derive(Debug)]
pub struct Packing {
    partitions: u16,
    lanes: u16,
    /// Every submission of the request, in the order in which they were opened.
    submissions: Vec<(u16, Lines)>,
    /// Per lane, the one that takes events now.
    open: Vec<Option<usize>>,
}

impl Packing {
    /// For a request whose events come to about so many bytes.
    #[must_use]
    pub fn new(app: &App) -> Self {
        let (partitions, lanes) = (app.settings.pipeline.partitions, app.settings.pipeline.lanes);
        Self { partitions, lanes, submissions: Vec::with_capacity(1), open: vec![None; usize::from(lanes)] }
    }

    /// Adds an event. `expected_bytes` is a guess at its line.
    pub fn push(
        &mut self,
        event: &Event<'_>,
        key: Option<UserKey<'_>>,
        expected_bytes: usize,
    ) -> Result<Slot, Problem> {
        let partition = match key {
            Some(key) => key.partition(self.partitions),
            None => partition_of_stranger(event.id, self.partitions),
        };
        let lane = Lane::of_partition(partition, self.lanes);
        let submission = self.submission(lane, expected_bytes);
        let lines = &mut self.submissions[submission].1;
        let position = lines.len();
        lines
            .push(partition, event)
            .map_err(|e| Problem::new(Kind::Internal, "an event could not be written").caused_by(e))?;
        Ok(Slot { partition, submission, position })
    }

    /// The submission that takes the next event of a lane.
    fn submission(&mut self, lane: u16, expected_bytes: usize) -> usize {
        let open = &mut self.open[usize::from(lane)];
        let fits = open.filter(|&at| {
            let held = self.submissions[at].1.byte_len();
            held == 0 || held + expected_bytes <= MESSAGE_BYTES
        });
        *open.insert(fits.unwrap_or_else(|| {
            self.submissions.push((lane, Lines::with_capacity(expected_bytes)));
            self.submissions.len() - 1
        }))
    }

    /// Queues everything, in order. The lines are charged to `share`.
    pub fn submit(self, app: &App, share: &mut Share) -> Result<Published, Problem> {
        let mut pending = Vec::with_capacity(self.submissions.len());
        let bytes = self.submissions.iter().map(|(_, lines)| lines.byte_len()).sum();
        share.grow(bytes)?;
        for (lane, lines) in self.submissions {
            let part = share.split(lines.byte_len());
            pending.push(app.publisher.submit(lane, lines, part));
        }
        Ok(Published(pending))
    }
}

/// Submissions on their way.
#[derive(Debug)]
#[must_use = "events are accepted only when this says so"]
pub struct Published(Vec<Pending>);

impl Published {
    /// Waits for all of them. One that fails fails the request: its client sends everything again, which is harmless for every
    /// event that has a name.
    pub async fn outcome(self) -> Result<Places, Problem> {
        let mut places = Vec::with_capacity(self.0.len());
        let mut refused = None;
        for pending in self.0 {
            match outcome(pending).await {
                Ok(committed) => places.push(committed),
                Err(refusal) => refused = Some(refusal),
            }
        }
        match refused {
            None => Ok(Places(places)),
            Some(refusal) => Err(refusal.problem()),
        }
    }
}

/// Where the submissions of a request stand in the stream.
#[derive(Debug)]
pub struct Places(Vec<Committed>);

impl Places {
    /// Sequence and position of one event.
    #[must_use]
    pub fn of(&self, slot: Slot) -> crate::overlay::Place {
        let committed = self.0.get(slot.submission);
        crate::overlay::Place {
            sequence: committed.map_or(0, |c| c.sequence),
            position: committed.map_or(0, |c| c.position) + slot.position,
        }
    }
}
