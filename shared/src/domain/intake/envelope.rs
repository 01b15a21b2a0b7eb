//! Splits a request body into raw events.
//!
//! Only the outermost object is decoded; each event stays the client's text.

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
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

/// Reads a body that is a batch.
pub fn batch(text: &str) -> Result<Batch<'_>, Unreadable> {
    single(text)?;
    let mut batch = None;
    let mut read = Batch::default();
    for (key, raw) in entries(text).map_err(|e| syntax(&e))? {
        match key.as_ref() {
            "batch" => batch = Some(raw),
            "sentAt" | "sent_at" => read.sent_at = Some(raw),
            "context" => read.context = Some(raw),
            "writeKey" | "write_key" => read.write_key = serde_json::from_str(raw.get()).ok(),
            _ => {}
        }
    }
    let Some(batch) = batch else {
        return Err(Unreadable("the body has no \"batch\"; send {\"batch\":[…]}".to_owned()));
    };
    if !batch.get().starts_with('[') {
        return Err(Unreadable(format!("\"batch\" is {}; send an array of events", kind_of(batch))));
    }
    read.events = serde_json::from_str(batch.get()).map_err(|e| syntax(&e))?;
    Ok(read)
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
            ("{\"batch\":7}", "a number"),
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
