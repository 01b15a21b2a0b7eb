//! What was read and not yet flushed: the events of owned partitions, in order, and how far the lane was read.
//!
//! Pure. A segment that its partition has already seen is skipped, so the reader may start as low as any partition needs.

use std::collections::BTreeMap;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use shared::domain::control::Control;
use shared::domain::message::DecodeError;

use crate::reader::Fetched;

/// One event as it lies in the stream.
#[derive(Debug, Clone)]
pub struct Line {
    /// Its partition.
    pub partition: i32,
    /// The message it came in.
    pub seq: i64,
    /// Its line within the partition's segment of that message.
    pub position: i32,
    /// When that message was sealed; its hour is the hour of the books.
    pub sealed_at: DateTime<Utc>,
    /// JSON.
    pub bytes: Bytes,
}

/// A message that is not ours at all.
#[derive(Debug, Clone)]
pub struct Damaged {
    /// Its sequence.
    pub seq: i64,
    /// Events it claims to hold.
    pub events: u64,
    /// When the stream took it.
    pub published: DateTime<Utc>,
    /// What is wrong.
    pub reason: String,
    /// All of it.
    pub payload: Bytes,
}

/// Everything read since the last flush.
#[derive(Debug, Default)]
pub struct Buffer {
    /// Events of owned partitions, in order of the stream.
    pub lines: Vec<Line>,
    /// Messages that could not be read, if this owner answers for them.
    pub damaged: Vec<Damaged>,
    /// The last message taken in, with its batch id.
    pub read_to: Option<(i64, String)>,
    bytes: usize,
    controls: usize,
}

/// Control lines of one flush: each takes a few statements, and all partitions wait for them.
const MOST_CONTROLS: usize = 200;

impl Buffer {
    /// Takes a message in. `positions` are the owned partitions with the last sequence each has seen; `warden` is the partition whose
    /// owner answers for messages that cannot be read.
    pub fn take(&mut self, fetched: Fetched, positions: &BTreeMap<i32, i64>, warden: i32) -> Result<(), DecodeError> {
        match fetched.open() {
            Err(newer @ DecodeError::Newer(_)) => return Err(newer),
            Err(DecodeError::Damaged(reason)) => {
                if positions.get(&warden).is_some_and(|&seen| fetched.seq > seen) {
                    self.bytes += fetched.payload.len();
                    let (seq, events, published) = (fetched.seq, fetched.events, fetched.published);
                    self.damaged.push(Damaged { seq, events, published, reason, payload: fetched.payload });
                }
            }
            Ok(message) => {
                for segment in &message.segments {
                    let partition = i32::from(segment.partition);
                    if positions.get(&partition).is_none_or(|&seen| fetched.seq <= seen) {
                        continue;
                    }
                    self.bytes += segment.lines.len();
                    let (seq, sealed_at) = (fetched.seq, message.received_at);
                    let before = self.lines.len();
                    let lines = segment.lines().zip(0..);
                    self.lines.extend(lines.map(|(bytes, position)| Line {
                        partition,
                        seq,
                        position,
                        sealed_at,
                        bytes,
                    }));
                    self.controls += self.lines[before..].iter().filter(|line| Control::is_one(&line.bytes)).count();
                }
            }
        }
        self.read_to = Some((fetched.seq, fetched.batch_id));
        Ok(())
    }

    /// Is there anything whose effects are owed?
    #[must_use]
    pub fn has_events(&self) -> bool {
        !self.lines.is_empty() || !self.damaged.is_empty()
    }

    /// Bytes of events held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Is it time, by size?
    #[must_use]
    pub fn is_full(&self, events: usize, bytes: usize) -> bool {
        self.lines.len() >= events || self.bytes >= bytes || self.controls >= MOST_CONTROLS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::domain::message;

    fn fetched(seq: i64, lines: &[(u16, &str)]) -> Fetched {
        let payload = message::encode(
            message::PLAIN_VERSION,
            DateTime::UNIX_EPOCH,
            lines.iter().map(|(p, l)| (*p, l.as_bytes())),
        );
        Fetched {
            seq,
            batch_id: format!("b{seq}"),
            events: lines.len() as u64,
            pending: 0,
            published: DateTime::UNIX_EPOCH,
            foreign: None,
            payload: payload.into(),
        }
    }

    #[test]
    fn only_owned_and_unseen_segments_are_taken() {
        let mut buffer = Buffer::default();
        let positions = BTreeMap::from([(1, 4), (2, 6)]);
        for seq in 5..=7 {
            buffer.take(fetched(seq, &[(1, "a"), (2, "b"), (3, "c"), (1, "d")]), &positions, 0).unwrap();
        }
        let taken: Vec<_> = buffer.lines.iter().map(|l| (l.seq, l.partition, l.position)).collect();
        assert_eq!(taken, [(5, 1, 0), (5, 1, 1), (6, 1, 0), (6, 1, 1), (7, 1, 0), (7, 1, 1), (7, 2, 0)]);
        assert_eq!(buffer.read_to, Some((7, "b7".into())));
    }

    #[test]
    fn damage_is_answered_for_by_one_owner_and_a_newer_format_by_none() {
        let damaged = |seq| Fetched { payload: Bytes::from_static(b"rubbish"), ..fetched(seq, &[]) };
        let mut warden = Buffer::default();
        warden.take(damaged(3), &BTreeMap::from([(0, 2)]), 0).unwrap();
        let mut other = Buffer::default();
        other.take(damaged(3), &BTreeMap::from([(1, 2)]), 0).unwrap();
        assert_eq!((warden.damaged.len(), other.damaged.len()), (1, 0));
        let foreign = Fetched { foreign: Some("EVENTS.0".to_owned()), ..fetched(3, &[(0, "a")]) };
        let mut warden = Buffer::default();
        warden.take(foreign, &BTreeMap::from([(0, 2)]), 0).unwrap();
        assert_eq!((warden.damaged.len(), warden.lines.len()), (1, 0), "cut by another layout");
        let newer = Fetched { payload: Bytes::from_static(b"{\"v\":9}\n"), ..fetched(4, &[]) };
        assert_eq!(other.take(newer, &BTreeMap::new(), 0), Err(DecodeError::Newer(9)));
        assert_eq!(other.read_to, Some((3, "b3".into())));
    }
}
