//! Splits a request body into raw events.
//!
//! Only the outermost object is decoded; each event stays the client's text.

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// Why a body as a whole cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(pub String);

/// A batch: `{batch: […], sentAt, writeKey, context, …}`.
#[derive(Debug, Default)]
pub struct Batch<'a> {
    /// The events, unread.
    pub events: Vec<&'a RawValue>,
    /// The client's clock when it sent the request.
    pub sent_at: Option<&'a RawValue>,
    /// Applies to events that have none of their own.
    pub context: Option<&'a RawValue>,
    /// The key, when it comes in the body.
    pub write_key: Option<String>,
}

/// Checks that a body is UTF-8 and not empty.
pub fn text(body: &[u8]) -> Result<&str, Unreadable> {
    let text = std::str::from_utf8(body)
        .map_err(|e| Unreadable(format!("the body is not UTF-8: a bad byte at position {}", e.valid_up_to())))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim_ascii().is_empty() {
        return Err(Unreadable("the body is empty; send a JSON object".to_owned()));
    }
    Ok(text)
}

/// Reads a body that is one event. The value is well-formed JSON, and an object.
pub fn single(text: &str) -> Result<&RawValue, Unreadable> {
    let raw: &RawValue = serde_json::from_str(text).map_err(|e| syntax(&e))?;
    if !raw.get().starts_with('{') {
        return Err(Unreadable(format!("the body is {}; send a JSON object", kind_of(raw))));
    }
    Ok(raw)
}

/// Reads a body that is a batch, in one pass.
pub fn batch(text: &str) -> Result<Batch<'_>, Unreadable> {
    if !text.trim_ascii_start().starts_with('{') {
        // Not an object: the error says what it is, or that it is not JSON at all.
        single(text)?;
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let batch = deserializer.deserialize_map(BatchVisitor).and_then(|batch| deserializer.end().map(|()| batch));
    let (batch, has_events) = batch.map_err(|e| syntax(&e))?;
    if !has_events {
        return Err(Unreadable("the body has no \"batch\"; send {\"batch\":[…]}".to_owned()));
    }
    Ok(batch)
}

/// Reads the outermost object; of a key given twice the last counts. Also says whether there was a `batch`.
struct BatchVisitor;

impl<'de> Visitor<'de> for BatchVisitor {
    type Value = (Batch<'de>, bool);

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut batch = Batch::default();
        let mut has_events = false;
        while let Some(Key(key)) = map.next_key()? {
            match key.as_ref() {
                "batch" => {
                    batch.events = map.next_value::<Events<'de>>()?.0;
                    has_events = true;
                }
                "sentAt" | "sent_at" => batch.sent_at = Some(map.next_value()?),
                "context" => batch.context = Some(map.next_value()?),
                "writeKey" | "write_key" => {
                    batch.write_key = serde_json::from_str(map.next_value::<&RawValue>()?.get()).ok();
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok((batch, has_events))
    }
}

/// The elements of `batch`, unread.
struct Events<'a>(Vec<&'a RawValue>);

impl<'de> Deserialize<'de> for Events<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(EventsVisitor)
    }
}

struct EventsVisitor;

impl<'de> Visitor<'de> for EventsVisitor {
    type Value = Events<'de>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("\"batch\" to be an array of events")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut events: A) -> Result<Self::Value, A::Error> {
        let mut all = Vec::new();
        while let Some(event) = events.next_element()? {
            all.push(event);
        }
        Ok(Events(all))
    }
}

/// The `writeKey` of a single event, if it has one.
#[must_use]
pub fn write_key(event: &RawValue) -> Option<String> {
    #[derive(Deserialize)]
    struct Keyed {
        #[serde(alias = "write_key", rename = "writeKey")]
        write_key: Option<String>,
    }
    serde_json::from_str::<Keyed>(event.get()).ok()?.write_key
}

/// The entries of a JSON object, in order, values unread.
pub fn entries(object: &str) -> serde_json::Result<Vec<(Cow<'_, str>, &RawValue)>> {
    let mut deserializer = serde_json::Deserializer::from_str(object);
    let entries = deserializer.deserialize_map(Entries)?;
    deserializer.end()?;
    Ok(entries)
}

struct Entries;

impl<'de> Visitor<'de> for Entries {
    type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::with_capacity(map.size_hint().unwrap_or(8));
        while let Some(Key(key)) = map.next_key()? {
            entries.push((key, map.next_value()?));
        }
        Ok(entries)
    }
}

#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

/// What a JSON value is, for a sentence.
#[must_use]
pub fn kind_of(raw: &RawValue) -> &'static str {
    match raw.get().as_bytes().first() {
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b'"') => "a string",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    }
}

fn syntax(error: &serde_json::Error) -> Unreadable {
    Unreadable(format!("the body is not valid JSON: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_split_without_reading_its_events() {
        let body = r#"{"writeKey":"k","sentAt":"now","batch":[{"a":"\ud83d"}, 7 ,[1]],"x":1}"#;
        let read = batch(body).unwrap();
        assert_eq!(read.events.iter().map(|r| r.get()).collect::<Vec<_>>(), [r#"{"a":"\ud83d"}"#, "7", "[1]"]);
        assert_eq!(read.write_key.as_deref(), Some("k"));
    }

    #[test]
    fn an_unreadable_body_says_what_and_where() {
        for (body, says) in [
            ("", "empty"),
            ("[1]", "an array"),
            ("\"text\"", "a string"),
            ("null", "null"),
            ("{\"batch\":7}", "expected \"batch\" to be an array"),
            ("{\"batch\":null}", "array of events"),
            ("{}", "no \"batch\""),
            ("{\"batch\":[NaN]}", "column 11"),
            ("{\"batch\":[]} trailing", "trailing"),
            ("{\"batch\":[{]}", "column"),
        ] {
            let problem = text(body.as_bytes()).and_then(|t| batch(t).map(|_| ())).unwrap_err();
            assert!(problem.0.contains(says), "{body}: {problem}");
        }
        assert!(text(b"{\"a\":\"\xff\"}").unwrap_err().0.contains("position 6"));
    }
}
