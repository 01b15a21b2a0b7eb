//! Reads a `data.json` element by element, on a thread of its own, in pieces of bounded size.
//!
//! `{campaigns: […], users: {id: traits}, events: […], featureFlags: {key: flag}, segments: […]}`, the keys in any order, any of them
//! absent or null. Elements are kept as text and not looked into.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::Problem;

/// Text of one piece, unless one element alone is longer.
const PIECE_BYTES: usize = 128 << 10;
/// Elements of one piece, at most.
const PIECE_ELEMENTS: usize = 1_000;
/// Pieces that wait to be taken.
const PIECES: usize = 2;
/// Of the file, read ahead.
const READ_BYTES: usize = 256 << 10;

/// What an element is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A campaign.
    Campaign,
    /// A segment.
    Segment,
    /// A feature flag, under its key.
    Flag,
    /// A user, under the id.
    User,
    /// An event.
    Event,
    /// Something under a key that nobody knows; its text is left out.
    Other,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 6] = [Self::Campaign, Self::Segment, Self::Flag, Self::User, Self::Event, Self::Other];

    /// As the report names one.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Campaign => "campaign",
            Self::Segment => "segment",
            Self::Flag => "flag",
            Self::User => "user",
            Self::Event => "event",
            Self::Other => "unknown key",
        }
    }

    fn of_key(key: &str) -> Self {
        match key {
            "campaigns" => Self::Campaign,
            "segments" => Self::Segment,
            "featureFlags" => Self::Flag,
            "users" => Self::User,
            "events" => Self::Event,
            _ => Self::Other,
        }
    }
}

/// One element.
#[derive(Debug)]
pub struct Element {
    /// What it is.
    pub kind: Kind,
    /// Its place among those of its kind, from 0.
    pub index: u64,
    /// What it stands under, if it stands in an object.
    pub key: Option<String>,
    /// Its text.
    pub raw: Box<RawValue>,
}

/// A file that is being read.
#[derive(Debug)]
pub struct Source {
    pieces: mpsc::Receiver<Vec<Element>>,
    reader: Option<JoinHandle<Result<(), serde_json::Error>>>,
    read: Arc<AtomicU64>,
    name: String,
}

impl Source {
    /// Begins to read.
    pub fn open(path: &Path) -> Result<Self, Problem> {
        let name = path.display().to_string();
        let file = File::open(path).map_err(|error| format!("{name} cannot be read: {error}"))?;
        let read = Arc::new(AtomicU64::new(0));
        let (sender, pieces) = mpsc::channel(PIECES);
        let counted = BufReader::with_capacity(READ_BYTES, Counted { file, read: Arc::clone(&read) });
        let reader = tokio::task::spawn_blocking(move || {
            let mut out = Out { sender, piece: Vec::new(), bytes: 0 };
            let mut deserializer = serde_json::Deserializer::from_reader(counted);
            Store(&mut out).deserialize(&mut deserializer)?;
            deserializer.end()?;
            out.send()
        });
        Ok(Self { pieces, reader: Some(reader), read, name })
    }

    /// The next elements, in the order of the file; `None` at its end.
    pub async fn next(&mut self) -> Result<Option<Vec<Element>>, Problem> {
        if let Some(piece) = self.pieces.recv().await {
            return Ok(Some(piece));
        }
        match self.reader.take() {
            None => Ok(None),
            Some(reader) => match reader.await? {
                Ok(()) => Ok(None),
                Err(error) => Err(format!(
                    "{} is no store of the old server: {error}. If the server is running, it may have been writing: stop it first",
                    self.name
                )
                .into()),
            },
        }
    }

    /// Bytes read so far.
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }
}

struct Counted {
    file: File,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let bytes = self.file.read(buffer)?;
        self.read.fetch_add(bytes as u64, Ordering::Relaxed);
        Ok(bytes)
    }
}

/// Where elements go.
struct Out {
    sender: mpsc::Sender<Vec<Element>>,
    piece: Vec<Element>,
    bytes: usize,
}

impl Out {
    fn put<E: Error>(&mut self, element: Element) -> Result<(), E> {
        self.bytes += element.raw.get().len();
        self.piece.push(element);
        if self.bytes >= PIECE_BYTES || self.piece.len() >= PIECE_ELEMENTS {
            return self.send();
        }
        Ok(())
    }

    fn send<E: Error>(&mut self) -> Result<(), E> {
        self.bytes = 0;
        let piece = std::mem::take(&mut self.piece);
        self.sender.blocking_send(piece).map_err(|_| E::custom("nobody reads on"))
    }
}

/// The whole.
struct Store<'o>(&'o mut Out);

impl<'de> DeserializeSeed<'de> for Store<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Store<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object with campaigns, users, events, featureFlags and segments")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = Vec::new();
        let mut unknown = 0;
        while let Some(key) = map.next_key::<String>()? {
            let kind = Kind::of_key(&key);
            if kind == Kind::Other {
                // As long as it may be: only its name is kept.
                let _: IgnoredAny = map.next_value()?;
                let element = Element { kind, index: unknown, key: Some(key), raw: RawValue::NULL.to_owned() };
                unknown += 1;
                self.0.put(element)?;
                continue;
            }
            if seen.contains(&kind) {
                return Err(A::Error::custom(format!("{key} stands twice")));
            }
            seen.push(kind);
            map.next_value_seed(Section { kind, out: self.0 })?;
        }
        Ok(())
    }
}

/// What stands under one key: a list, or an object for users and flags.
struct Section<'o> {
    kind: Kind,
    out: &'o mut Out,
}

impl<'de> DeserializeSeed<'de> for Section<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Section<'_> {
    fn is_object(&self) -> bool {
        matches!(self.kind, Kind::User | Kind::Flag)
    }
}

impl<'de> Visitor<'de> for Section<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shape = if self.is_object() { "an object" } else { "a list" };
        write!(f, "{shape} of {}s", self.kind.name())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        if self.is_object() {
            return Err(A::Error::invalid_type(serde::de::Unexpected::Seq, &self));
        }
        let mut index = 0;
        while let Some(raw) = list.next_element()? {
            self.out.put(Element { kind: self.kind, index, key: None, raw })?;
            index += 1;
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        if !self.is_object() {
            return Err(A::Error::invalid_type(serde::de::Unexpected::Map, &self));
        }
        let mut index = 0;
        while let Some(key) = entries.next_key()? {
            self.out.put(Element { kind: self.kind, index, key: Some(key), raw: entries.next_value()? })?;
            index += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(text: &str) -> Result<Vec<(Kind, u64, Option<String>, String)>, String> {
        let path = std::env::temp_dir().join(format!("ec-source-{}", uuid::Uuid::new_v4()));
        std::fs::write(&path, text).unwrap();
        let mut source = Source::open(&path).unwrap();
        let mut all = Vec::new();
        let done = loop {
            match source.next().await {
                Ok(Some(piece)) => all.extend(piece),
                Ok(None) => break Ok(()),
                Err(error) => break Err(error.to_string()),
            }
        };
        std::fs::remove_file(path).unwrap();
        done.map(|()| all.into_iter().map(|e| (e.kind, e.index, e.key, e.raw.get().to_owned())).collect())
    }

    #[tokio::test]
    async fn elements_come_in_the_order_of_the_file_whatever_the_order_of_the_keys() {
        let text =
            r#"{"events":[{"id":1}, 7],"users":{"u":{"a":1}},"segments":null,"more":[1, 2],"featureFlags":{"f":true}}"#;
        let read = read(text).await.unwrap();
        let expected = [
            (Kind::Event, 0, None, r#"{"id":1}"#),
            (Kind::Event, 1, None, "7"),
            (Kind::User, 0, Some("u"), r#"{"a":1}"#),
            (Kind::Other, 0, Some("more"), "null"),
            (Kind::Flag, 0, Some("f"), "true"),
        ];
        let expected = expected.map(|(kind, index, key, raw)| (kind, index, key.map(str::to_owned), raw.to_owned()));
        assert_eq!(read, expected);
    }

    #[tokio::test]
    async fn a_file_that_is_no_store_is_named_with_the_place() {
        for (text, says) in [
            ("[]", "an object with campaigns"),
            (r#"{"events":{}}"#, "a list of events"),
            (r#"{"users":[]}"#, "an object of users"),
            (r#"{"events":[],"events":[]}"#, "events stands twice"),
            ("{\"events\":[\n{\"a\":1},{\"b\"", "line 2"),
            (r#"{"events":[]} more"#, "trailing"),
            ("", "EOF"),
        ] {
            let said = read(text).await.unwrap_err();
            assert!(said.contains(says), "{text}: {said}");
        }
    }
}
