//! Reading a message of the stream, and the lines in it, as a worker does.

use bytes::Bytes;
use chrono::DateTime;
use shared::domain::event::Event;
use shared::domain::message::{Message, PLAIN_VERSION, decode, encode};

/// Takes the bytes for a message, and then for lines to pack.
pub fn check(data: &[u8]) {
    if let Ok(message) = decode(&Bytes::copy_from_slice(data)) {
        let lines = lines_of(&message);
        lines.iter().for_each(|(_, line)| event(line));
        assert_eq!(packed_and_read(&lines), sorted(&lines));
    }
    let lines = cut(data);
    assert_eq!(packed_and_read(&lines), sorted(&lines));
}

/// A line that is an event can be written and read again.
fn event(line: &[u8]) {
    let Ok(event) = serde_json::from_slice::<Event<'_>>(line) else { return };
    let written = serde_json::to_string(&event).expect("an event can be written");
    let back: Event<'_> = serde_json::from_str(&written).unwrap_or_else(|e| panic!("{e}: {written}"));
    assert_eq!(serde_json::to_string(&back).expect("an event can be written"), written);
}

fn lines_of(message: &Message) -> Vec<(u16, Vec<u8>)> {
    let mut all = Vec::new();
    for segment in &message.segments {
        let lines: Vec<_> = segment.lines().map(|line| (segment.partition, line.to_vec())).collect();
        assert_eq!(lines.len(), segment.count, "as many lines as the index says");
        all.extend(lines);
    }
    all
}

fn packed_and_read(lines: &[(u16, Vec<u8>)]) -> Vec<(u16, Vec<u8>)> {
    let packed = encode(
        PLAIN_VERSION,
        DateTime::UNIX_EPOCH,
        lines.iter().map(|(partition, line)| (*partition, line.as_slice())),
    );
    lines_of(&decode(&packed.into()).expect("what is packed can be read"))
}

/// By partition; within one, in order.
fn sorted(lines: &[(u16, Vec<u8>)]) -> Vec<(u16, Vec<u8>)> {
    let mut lines = lines.to_vec();
    lines.sort_by_key(|(partition, _)| *partition);
    lines
}

/// Cuts any bytes into lines, each with the partition that its first byte names.
fn cut(data: &[u8]) -> Vec<(u16, Vec<u8>)> {
    let lines = data.split(|&byte| byte == b'\n').filter_map(|line| line.split_first());
    lines.map(|(&partition, line)| (u16::from(partition), line.to_vec())).collect()
}
