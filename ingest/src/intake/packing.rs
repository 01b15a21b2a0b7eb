//! Cuts the events of a request into submissions: per lane, none larger than a message, in order.

use std::sync::Arc;

use shared::domain::event::Event;
use shared::domain::user_key::{UserKey, partition_of_stranger};

use crate::budget::Share;
use crate::problem::{Kind, Problem};
use crate::publish::lane::MESSAGE_BYTES;
use crate::publish::lines::Lines;
use crate::publish::{Committed, Pending, Way, outcome};

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
    way: Arc<Way>,
    /// Every submission of the request, in the order in which they were opened.
    submissions: Vec<(u16, Lines)>,
    /// Per lane, the one that takes events now.
    open: Vec<Option<usize>>,
}

impl Packing {
    /// For the layout of a way, which they will go.
    #[must_use]
    pub fn new(way: Arc<Way>) -> Self {
        let open = vec![None; usize::from(way.layout.lanes)];
        Self { way, submissions: Vec::with_capacity(1), open }
    }

    /// Adds an event. `expected_bytes` is a guess at its line.
    pub fn push(
        &mut self,
        event: &Event<'_>,
        key: Option<UserKey<'_>>,
        expected_bytes: usize,
    ) -> Result<Slot, Problem> {
        let layout = self.way.layout;
        let partition = match key {
            Some(key) => key.partition(layout.partitions),
            None => partition_of_stranger(event.id, layout.partitions),
        };
        let lane = layout.lane_of(partition);
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
    pub fn submit(self, share: &mut Share) -> Result<Published, Problem> {
        let mut pending = Vec::with_capacity(self.submissions.len());
        let bytes = self.submissions.iter().map(|(_, lines)| lines.byte_len()).sum();
        share.grow(bytes)?;
        for (lane, lines) in self.submissions {
            let part = share.split(lines.byte_len());
            pending.push(self.way.submit(lane, lines, part));
        }
        Ok(Published { way: self.way, pending })
    }
}

/// Submissions on their way.
#[derive(Debug)]
#[must_use = "events are accepted only when this says so"]
pub struct Published {
    way: Arc<Way>,
    pending: Vec<Pending>,
}

impl Published {
    /// Waits for all of them. One that fails fails the request: its client sends everything again, which is harmless for every
    /// event that has a name.
    pub async fn outcome(self) -> Result<Places, Problem> {
        let mut places = Vec::with_capacity(self.pending.len());
        let mut refused = None;
        for pending in self.pending {
            match outcome(pending).await {
                Ok(committed) => places.push(committed),
                Err(refusal) => refused = Some(refusal),
            }
        }
        match refused {
            None => Ok(Places { way: self.way, places }),
            Some(refusal) => Err(refusal.problem()),
        }
    }
}

/// Where the submissions of a request stand in the stream.
#[derive(Debug)]
pub struct Places {
    way: Arc<Way>,
    places: Vec<Committed>,
}

impl Places {
    /// Sequence and position of one event. `None`: the pipeline was repartitioned since; all from before is committed.
    #[must_use]
    pub fn of(&self, slot: Slot) -> Option<crate::overlay::Place> {
        let committed = self.places.get(slot.submission);
        (!self.way.is_retired()).then(|| crate::overlay::Place {
            sequence: committed.map_or(0, |c| c.sequence),
            position: committed.map_or(0, |c| c.position) + slot.position,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;
    use serde_json::value::RawValue;
    use shared::domain::intake::{Request, normalise};
    use shared::domain::layout::Layout;
    use shared::domain::user_key::Placeholders;

    fn packed(lanes: u16, events: usize, padding: usize) -> Packing {
        let placeholders = Placeholders::default();
        let request = Request {
            source: "test",
            received_at: DateTime::UNIX_EPOCH,
            retention_days: 90,
            placeholders: &placeholders,
            sent_at: None,
            context: None,
            idempotency_key: None,
        };
        let mut packing = Packing::new(Arc::new(Way::nowhere(Layout::first(16, lanes))));
        for number in 0..events {
            let text = format!(
                r#"{{"type":"track","event":"e{number}","userId":"u{number}","properties":{{"p":"{}"}}}}"#,
                "x".repeat(padding)
            );
            let raw = RawValue::from_string(text).unwrap();
            let event = normalise(&raw, None, number, &request, || number as u128).unwrap();
            let slot = packing.push(&event, event.user_key(&placeholders), raw.get().len() + 320).unwrap();
            assert_eq!(packing.way.layout.lane_of(slot.partition), packing.submissions[slot.submission].0);
        }
        packing
    }

    fn names(packing: &Packing) -> Vec<usize> {
        let lines = packing.submissions.iter().flat_map(|(_, lines)| lines.iter());
        let name = |line: &[u8]| {
            serde_json::from_slice::<serde_json::Value>(line).unwrap()["event"].as_str().unwrap()[1..].parse()
        };
        lines.map(|(_, line)| name(line).unwrap()).collect()
    }

    #[test]
    fn a_large_request_is_cut_in_order_and_no_piece_is_larger_than_a_message() {
        let packing = packed(1, 200, 10_000);
        assert!(packing.submissions.len() >= 4);
        assert!(packing.submissions.iter().all(|(_, lines)| lines.byte_len() <= MESSAGE_BYTES));
        assert_eq!(names(&packing), (0..200).collect::<Vec<_>>());
    }

    #[test]
    fn an_event_larger_than_a_message_goes_alone() {
        let packing = packed(1, 3, MESSAGE_BYTES);
        assert_eq!(packing.submissions.iter().map(|(_, lines)| lines.len()).collect::<Vec<_>>(), [1, 1, 1]);
    }

    #[test]
    fn each_lane_has_its_own_submission() {
        let packing = packed(3, 60, 1);
        assert_eq!(packing.submissions.len(), 3);
        let mut all = names(&packing);
        all.sort_unstable();
        assert_eq!(all, (0..60).collect::<Vec<_>>());
    }
}
