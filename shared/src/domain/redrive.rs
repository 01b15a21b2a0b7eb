//! What of a dead letter can go through the stream again: the lines it holds, byte for byte, each with its user's partition.
//!
//! A letter is one line (which has no line break), or a whole message that could not be read when it came (which has one). Both are
//! read anew, by the program that runs now: what was damaged for the one before may not be for this one. The partitions are those of
//! the layout now, whatever they were when the letter came.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::control::Control;
use super::event::{Event, EventType, Flags};
use super::layout::Layout;
use super::message::{self, PLAIN_VERSION, SPECIAL_VERSION};
use super::user_key::{KeyKind, Placeholders, partition_of_stranger};

/// A letter that can be driven again.
#[derive(Debug)]
pub struct Again {
    /// Of the event, if the letter is one.
    pub event_id: Option<Uuid>,
    /// The lowest version of a message that may carry them.
    pub version: u16,
    /// Its lines in order, each with its partition.
    pub lines: Vec<(u16, Bytes)>,
    /// Profiles that it would merge traits into.
    pub identifies: Vec<Identify>,
}

/// Traits that would be merged late.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identify {
    /// Of the event.
    pub event_id: Uuid,
    /// Whose.
    pub kind: KeyKind,
    /// Whose.
    pub id: String,
    /// When they were sent.
    pub received_at: DateTime<Utc>,
}

/// Reads a letter's payload anew; the error says why it cannot be driven again.
pub fn read(payload: &Bytes, layout: Layout, placeholders: &Placeholders) -> Result<Again, String> {
    let mut again =
        Again { event_id: None, version: PLAIN_VERSION, lines: Vec::with_capacity(1), identifies: Vec::new() };
    if !payload.contains(&b'\n') {
        let event: Event<'_> =
            serde_json::from_slice(payload).map_err(|error| format!("it still is no event: {error}"))?;
        let partition = partition(&event, layout, placeholders);
        again.event_id = Some(event.id);
        again.version = version(&event);
        again.identifies.extend(identify(&event, placeholders));
        again.lines.push((partition, payload.clone()));
        return Ok(again);
    }
    let message = message::decode(payload).map_err(|error| format!("it still cannot be read: {error}"))?;
    for segment in &message.segments {
        for line in segment.lines() {
            // A line that is no event becomes a letter of its own.
            let partition = match serde_json::from_slice(&line) {
                Ok(event) => {
                    again.version = again.version.max(version(&event));
                    again.identifies.extend(identify(&event, placeholders));
                    partition(&event, layout, placeholders)
                }
                Err(_) => match Control::parse(&line).ok().filter(|_| Control::is_one(&line)) {
                    Some(control) => {
                        again.version = PLAIN_VERSION.max(SPECIAL_VERSION);
                        control.request().key().partition(layout.partitions)
                    }
                    None => segment.partition % layout.partitions.max(1),
                },
            };
            again.lines.push((partition, line));
        }
    }
    if again.lines.is_empty() { Err("it holds no event".to_owned()) } else { Ok(again) }
}

fn partition(event: &Event<'_>, layout: Layout, placeholders: &Placeholders) -> u16 {
    let user = event.user_key(placeholders);
    user.map_or_else(|| partition_of_stranger(event.id, layout.partitions), |user| user.partition(layout.partitions))
}

fn version(event: &Event<'_>) -> u16 {
    if event.flags.contains(Flags::IMPORTED) { PLAIN_VERSION.max(SPECIAL_VERSION) } else { PLAIN_VERSION }
}

fn identify(event: &Event<'_>, placeholders: &Placeholders) -> Option<Identify> {
    // What is imported overwrites nothing.
    let overwrites = event.kind == EventType::Identify && !event.flags.contains(Flags::IMPORTED);
    let user = event.user_key(placeholders).filter(|_| overwrites)?;
    Some(Identify { event_id: event.id, kind: user.kind, id: user.id.to_owned(), received_at: event.received_at })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::user_key::UserKey;

    const IDENTIFY: &str = r#"{"id":"00000000-0000-8000-8000-000000000001","day":"2026-01-02","type":"identify","user_id":"ada",
        "timestamp":"2026-01-02T03:04:05Z","received_at":"2026-01-02T03:04:05Z","source":"s","traits":{"t":"\u0000"}}"#;

    fn identify_line() -> String {
        IDENTIFY.replace("\n        ", "")
    }

    fn again(payload: impl Into<Bytes>) -> Result<Again, String> {
        read(&payload.into(), Layout::first(16, 1), &Placeholders::default())
    }

    #[test]
    fn an_event_goes_again_byte_for_byte_to_its_users_partition() {
        let line = identify_line();
        let again = again(line.clone()).unwrap();
        assert_eq!(again.lines, [(UserKey::user("ada").partition(16), Bytes::from(line))]);
        assert_eq!(again.event_id.unwrap().as_u128() & 0xff, 1);
        assert_eq!((again.identifies.len(), again.identifies[0].id.as_str()), (1, "ada"));
    }

    #[test]
    fn imported_history_goes_in_a_message_that_says_so_and_overwrites_nothing() {
        let line = identify_line().replace(r#""source":"s""#, r#""source":"s","flags":32"#);
        let imported = again(line).unwrap();
        assert_eq!((imported.version, imported.identifies.len()), (PLAIN_VERSION.max(SPECIAL_VERSION), 0));
        assert_eq!(again(identify_line()).unwrap().version, PLAIN_VERSION);
    }

    #[test]
    fn a_message_that_can_be_read_by_now_goes_line_by_line_and_rubbish_is_named() {
        let line = identify_line();
        let lines = [(3, line.as_bytes()), (5, &b"no event"[..])];
        let again_of = |lines: &[(u16, &[u8])]| {
            again(message::encode(message::PLAIN_VERSION, DateTime::UNIX_EPOCH, lines.iter().copied()))
        };
        let whole = again_of(&lines).unwrap();
        let ada = UserKey::user("ada").partition(16);
        assert_eq!(whole.lines.iter().map(|(partition, _)| *partition).collect::<Vec<_>>(), [ada, 5]);
        assert_eq!((whole.event_id, whole.identifies.len()), (None, 1));
        assert_eq!(again_of(&[(21, b"x")]).unwrap().lines[0].0, 5, "of a layout with more partitions");
        assert!(again_of(&[]).unwrap_err().contains("no event"));
        for rubbish in ["", "\u{0}", "{}", "rubbish\n", "\n", "{\"v\":9}\n"] {
            assert!(again(rubbish).unwrap_err().starts_with("it still"), "{rubbish}");
        }
    }
}
