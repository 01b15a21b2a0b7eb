//! Which elements are the same, and fixed ids for those that have none of their own.

use serde_json::Value;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::domain::raw_object::RawObject;

/// SHA-256 of a value's content: layout and the order of keys do not count.
#[must_use]
pub fn digest(raw: &RawValue) -> [u8; 32] {
    let sorted = serde_json::from_str::<Value>(raw.get()).map(sorted);
    let text = sorted.map_or_else(|_| raw.get().to_owned(), |value| value.to_string());
    Sha256::digest(text.as_bytes()).into()
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Object(entries) => {
            let mut entries: Vec<_> = entries.into_iter().collect();
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(entries.into_iter().map(|(key, value)| (key, sorted(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        other => other,
    }
}

/// The `id` of an element: a text, or a number as its text. Empty is none.
#[must_use]
pub fn own_id(object: &RawObject) -> Option<String> {
    let raw = object.get("id")?.get();
    match raw.as_bytes().first() {
        Some(b'"') => serde_json::from_str::<String>(raw).ok().filter(|id| !id.is_empty() && !id.contains('\0')),
        Some(b'-' | b'0'..=b'9') => Some(raw.to_owned()),
        _ => None,
    }
}

/// A UUID made of a digest: the id of a document without one.
#[must_use]
pub fn derived(digest: [u8; 32]) -> Uuid {
    uuid::Builder::from_custom_bytes(std::array::from_fn(|i| digest[i])).into_uuid()
}

/// Digits of a digest, for a message id.
#[must_use]
pub fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
