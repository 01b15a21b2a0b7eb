//! Events as lines, packed while they are parsed: one buffer, and per line its partition and where it ends.

use serde::Serialize;
use shared::domain::event::Event;
use shared::domain::message::PLAIN_VERSION;

/// Lines in order of arrival, all of one lane.
#[derive(Debug)]
pub struct Lines {
    bytes: Vec<u8>,
    index: Vec<(u16, usize)>,
    version: u16,
}

impl Default for Lines {
    fn default() -> Self {
        Self { bytes: Vec::new(), index: Vec::new(), version: PLAIN_VERSION }
    }
}

impl Lines {
    /// Adds an event. An event that cannot be written leaves no trace.
    pub fn push(&mut self, partition: u16, event: &Event<'_>) -> serde_json::Result<()> {
        let start = self.bytes.len();
        let written = event.serialize(&mut serde_json::Serializer::new(&mut self.bytes));
        if written.is_err() {
            self.bytes.truncate(start);
        } else {
            self.index.push((partition, self.bytes.len()));
        }
        written
    }

    /// Adds a line that was written before; it has no line break.
    pub fn push_line(&mut self, partition: u16, line: &[u8]) {
        self.bytes.extend_from_slice(line);
        self.index.push((partition, self.bytes.len()));
    }

    /// Makes room for a line of about so many bytes.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), index: Vec::with_capacity(1), version: PLAIN_VERSION }
    }

    /// They may only travel in a message of this format version or a later one.
    pub fn need_version(&mut self, version: u16) {
        self.version = self.version.max(version);
    }

    /// The lowest format version of a message that may carry them.
    #[must_use]
    pub fn version(&self) -> u16 {
        self.version
    }

    /// Bytes held.
    #[must_use]
    pub fn byte_len(&self) -> usize {
        self.bytes.len()
    }

    /// Number of events.
    #[must_use]
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// No events?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Each line with its partition.
    pub fn iter(&self) -> impl Iterator<Item = (u16, &[u8])> {
        let mut start = 0;
        self.index.iter().map(move |&(partition, end)| {
            let line = &self.bytes[start..end];
            start = end;
            (partition, line)
        })
    }
}
