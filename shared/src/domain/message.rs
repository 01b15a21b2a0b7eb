//! The stream message: one group commit, cut into one segment per partition it touches.
//!
//! ```text
//! {"v":1,"received_at":"…","index":[[partition,offset,length,count],…]}\n     header: one line of JSON
//! {"id":…}\n{"id":…}\n …                                                       body: events as JSON lines, grouped by partition
//! ```
//!
//! Offsets count from the start of the body. A worker reads only the header and the segments it owns (0.5 to 0.7 µs for an event
//! of someone else's). Headers of the NATS message repeat what is needed without opening it: the batch id (`Nats-Msg-Id`, which
//! also lets the server drop a repeated publish), the number of events, the format version.
//!
//! Invariants: lines keep the order of arrival within a partition; each partition stands at most once in the index; segments lie
//! inside the body. A decoder that meets a newer version must wait, never guess.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// The newest version this build reads; every older one is read, too. A build with the feature `next_format` reads and writes one
/// version more without any other difference, so that tests can mix programs of two versions.
pub const FORMAT_VERSION: u16 = if cfg!(feature = "next_format") { 3 } else { SPECIAL_VERSION };
/// The version of a message of plain events: the lowest that will do, so that it stops no program of an earlier release.
pub const PLAIN_VERSION: u16 = if cfg!(feature = "next_format") { FORMAT_VERSION } else { 1 };
/// The version of a message with lines that programs before version 2 would take for plain events: imported history
/// ([`super::event::Flags::IMPORTED`]), and what concerns a person as a whole (erasure). Such a program waits for its upgrade instead.
pub const SPECIAL_VERSION: u16 = 2;
/// NATS header: unique id of the group commit.
pub const BATCH_ID_HEADER: &str = "Nats-Msg-Id";
/// NATS header: how many events the message holds.
pub const EVENTS_HEADER: &str = "Ec-Events";
/// NATS header: format version.
pub const FORMAT_HEADER: &str = "Ec-Format";

#[derive(Serialize, Deserialize)]
struct Header {
    v: u16,
    received_at: DateTime<Utc>,
    index: Vec<(u16, usize, usize, usize)>,
}

/// Reads only the version, so that a newer format is recognised whatever else changed.
#[derive(Deserialize)]
struct Version {
    v: u16,
}

/// Packs lines into one message of a format version. Lines come in order of arrival, each with its partition, and hold no line break.
#[must_use]
pub fn encode<'a>(version: u16, received_at: DateTime<Utc>, lines: impl Iterator<Item = (u16, &'a [u8])>) -> Vec<u8> {
    let mut segments = std::collections::BTreeMap::<u16, (Vec<&[u8]>, usize)>::new();
    for (partition, line) in lines {
        let (segment, length) = segments.entry(partition).or_default();
        segment.push(line);
        *length += line.len() + 1;
    }
    let mut offset = 0;
    let index = segments
        .iter()
        .map(|(&partition, (lines, length))| {
            let entry = (partition, offset, *length, lines.len());
            offset += length;
            entry
        })
        .collect();
    let header = Header { v: version, received_at, index };
    // A struct of numbers and one time cannot fail to serialise.
    let mut payload = serde_json::to_vec(&header).unwrap_or_default();
    payload.reserve(offset + 1);
    payload.push(b'\n');
    for line in segments.values().flat_map(|(lines, _)| lines) {
        payload.extend_from_slice(line);
        payload.push(b'\n');
    }
    payload
}

/// A decoded message: the index and the bytes it points into.
#[derive(Debug, Clone)]
pub struct Message {
    /// When the group commit was sealed; its hour is the hour of the books.
    pub received_at: DateTime<Utc>,
    /// One per partition.
    pub segments: Vec<Segment>,
}

/// The events of one partition, in order of arrival.
#[derive(Debug, Clone)]
pub struct Segment {
    /// Whose they are.
    pub partition: u16,
    /// How many lines.
    pub count: usize,
    /// The lines, each ended by a line break.
    pub lines: Bytes,
}

/// Why a message could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Written by a newer program: wait for an upgrade, do not guess.
    #[error("the message has format version {0}, and this program reads up to {FORMAT_VERSION}: upgrade it")]
    Newer(u16),
    /// Not a message of ours at all: a dead letter as a whole.
    #[error("the message is damaged: {0}")]
    Damaged(String),
}

/// Reads a message.
pub fn decode(payload: &Bytes) -> Result<Message, DecodeError> {
    let damaged = |what: &str| DecodeError::Damaged(what.to_owned());
    let end = payload.iter().position(|&b| b == b'\n').ok_or_else(|| damaged("it has no header line"))?;
    let head = &payload[..end];
    let version: Version =
        serde_json::from_slice(head).map_err(|e| DecodeError::Damaged(format!("its header is not ours ({e})")))?;
    if version.v > FORMAT_VERSION {
        return Err(DecodeError::Newer(version.v));
    }
    let header: Header =
        serde_json::from_slice(head).map_err(|e| DecodeError::Damaged(format!("its header is not ours ({e})")))?;
    let body = payload.slice(end + 1..);
    let mut segments: Vec<Segment> = Vec::with_capacity(header.index.len());
    for (partition, offset, length, count) in header.index {
        let last = offset.checked_add(length).filter(|&last| last <= body.len());
        let last = last.ok_or_else(|| damaged("its index points outside the body"))?;
        let lines = body.slice(offset..last);
        if lines.iter().filter(|&&b| b == b'\n').count() != count || !(lines.is_empty() || lines.ends_with(b"\n")) {
            return Err(damaged("a segment does not hold as many lines as its index says"));
        }
        if segments.iter().any(|s| s.partition == partition) {
            return Err(damaged("a partition stands twice in its index"));
        }
        segments.push(Segment { partition, count, lines });
    }
    Ok(Message { received_at: header.received_at, segments })
}

impl Segment {
    /// The lines, without their line breaks.
    pub fn lines(&self) -> impl Iterator<Item = Bytes> + '_ {
        let mut start = 0;
        std::iter::from_fn(move || {
            let rest = &self.lines[start..];
            let end = rest.iter().position(|&b| b == b'\n')?;
            let line = self.lines.slice(start..start + end);
            start += end + 1;
            Some(line)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pack(lines: &[(u16, &str)]) -> Bytes {
        encode(PLAIN_VERSION, DateTime::UNIX_EPOCH, lines.iter().map(|(p, l)| (*p, l.as_bytes()))).into()
    }

    #[test]
    fn a_newer_format_waits_and_rubbish_is_named() {
        assert!(matches!(
            decode(&Bytes::from_static(b"{\"v\":9,\"shape\":\"unknown\"}\n")),
            Err(DecodeError::Newer(9))
        ));
        for rubbish in [&b""[..], b"\n", b"{}", b"{\"v\":1}\n", b"\xff\n"] {
            assert!(matches!(decode(&Bytes::copy_from_slice(rubbish)), Err(DecodeError::Damaged(_))), "{rubbish:?}");
        }
    }

    #[test]
    fn an_index_that_lies_is_damage() {
        let header = |index: &str| {
            Bytes::from(format!("{{\"v\":1,\"received_at\":\"1970-01-01T00:00:00Z\",\"index\":{index}}}\n{{}}\n"))
        };
        assert!(decode(&header("[[3,0,3,1]]")).is_ok());
        for index in
            ["[[3,0,4,1]]", "[[3,0,3,2]]", "[[3,0,2,1]]", "[[3,0,3,1],[3,0,3,1]]", "[[3,18446744073709551615,3,1]]"]
        {
            assert!(matches!(decode(&header(index)), Err(DecodeError::Damaged(_))), "{index}");
        }
    }

    /// A message as the first release wrote it. The file never changes: streams hold such messages for as long as they like.
    #[test]
    fn a_message_of_version_1_is_read_for_ever() {
        use crate::domain::event::Event;
        let message = decode(&Bytes::from_static(include_bytes!("message_versions/1"))).unwrap();
        assert_eq!(message.received_at.to_rfc3339(), "2026-11-23T01:21:04.435261068+00:00");
        let lines: Vec<(u16, Bytes)> =
            message.segments.iter().flat_map(|s| s.lines().map(|line| (s.partition, line))).collect();
        let read = |(partition, line): &(u16, Bytes)| {
            let event: Event<'_> = serde_json::from_slice(line).unwrap();
            let user = event.user_key(&crate::domain::user_key::Placeholders::default()).unwrap();
            assert_eq!(user.partition(16), *partition, "users would move to other partitions");
            format!("{} {:?} {}", event.message_id.as_deref().unwrap_or_default(), event.kind, event.id)
        };
        let read: Vec<String> = lines.iter().map(read).collect();
        let expected = [
            "m-4 Screen 1a2df0b6-944e-8af4-8cca-74b027e73891",
            "m-5 Group 96d9183a-bc09-8fb7-9c9a-24b7c34fd414",
            "m-1 Identify 019b7ca5-cf80-8413-aeb2-d7ec3914c7df",
            "m-2 Track 019b7ca5-cf80-8c39-8fc2-6ec74ccc790e",
            "m-6 Alias dc12fec6-e428-83ab-aaeb-b700dea5d3e7",
            "m-3 Page bf17ccdb-f8f4-864b-9608-c13daf0492f7",
        ];
        assert_eq!(read, expected);
        let track: Event<'_> = serde_json::from_slice(&lines[3].1).unwrap();
        assert_eq!(track.properties.unwrap().get(), r#"{"total":12.3,"text":"line\nbreak 😀"}"#);
    }

    proptest! {
        #[test]
        fn what_is_packed_is_read_back_in_order(lines in proptest::collection::vec((0u16..8, "[a-z{}\":é]{0,12}"), 0..40)) {
            let borrowed: Vec<_> = lines.iter().map(|(p, l)| (*p, l.as_str())).collect();
            let message = decode(&pack(&borrowed)).unwrap();
            for segment in &message.segments {
                let expected: Vec<&str> = lines.iter().filter(|(p, _)| *p == segment.partition).map(|(_, l)| l.as_str()).collect();
                let read: Vec<Bytes> = segment.lines().collect();
                prop_assert_eq!(read.len(), segment.count);
                prop_assert_eq!(read, expected);
            }
            prop_assert_eq!(message.segments.iter().map(|s| s.count).sum::<usize>(), lines.len());
        }

        #[test]
        fn no_bytes_make_the_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&Bytes::from(bytes));
        }
    }
}
