//! The part of the tail that goes with one request: what its events look like, until it is known what becomes of them.

use std::borrow::Cow;
use std::time::Instant;

use serde_json::value::RawValue;
use shared::domain::event::Event;

use super::Tail;
use super::filter::{Entry, Glimpse, Outcome};

/// Of one request so many accepted events can be shown.
const MOST_EVENTS: usize = 200;

/// What somebody may want to see of a request; made only when somebody listens.
#[derive(Debug)]
pub struct Watched<'a> {
    tail: &'a Tail,
    /// Events that are on their way, as lines of the stream.
    lines: Vec<String>,
    source: Option<Box<str>>,
}

impl<'a> Watched<'a> {
    /// Of a new request.
    #[must_use]
    pub fn begin(tail: &'a Tail) -> Option<Self> {
        tail.is_watched().then(|| Self { tail, lines: Vec::new(), source: None })
    }

    /// The key is known.
    pub fn source(&mut self, source: &str) {
        self.source = Some(source.into());
    }

    /// An event passed the door. What becomes of it is not known yet.
    pub fn saw(&mut self, event: &Event<'_>) {
        if self.lines.len() < MOST_EVENTS {
            self.lines.extend(serde_json::to_string(event));
        }
    }

    /// An event was rejected.
    pub fn rejected(&self, raw: &RawValue, code: &str, message: &str) {
        let glimpse = Glimpse::of(raw);
        self.send(Entry { code: Some(code), message: Some(Cow::Borrowed(message)), ..glimpse.entry(raw) });
    }

    /// All that were seen are in the stream.
    pub fn accepted(&mut self) {
        for line in std::mem::take(&mut self.lines) {
            if let Ok(event) = serde_json::from_str(&line) {
                self.send(Entry::accepted(&event));
            }
        }
    }

    /// The request as a whole was refused, with everything that was seen.
    pub fn refused(&mut self, code: &str, message: &str) {
        let lines = std::mem::take(&mut self.lines);
        let mut events = lines.iter().filter_map(|line| serde_json::from_str::<Event<'_>>(line).ok()).peekable();
        let why = Entry { code: Some(code), message: Some(message.into()), ..Entry::of(Outcome::Rejected) };
        if events.peek().is_none() {
            self.send(why.clone());
        }
        for event in events {
            let Entry { outcome, code, message, .. } = why.clone();
            self.send(Entry { outcome, code, message, ..Entry::accepted(&event) });
        }
    }

    fn send(&self, entry: Entry<'_>) {
        let source = entry.source.or(self.source.as_deref());
        self.tail.send(&Entry { source, ..entry }, Instant::now());
    }
}
