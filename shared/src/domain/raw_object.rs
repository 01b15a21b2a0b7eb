//! A JSON object whose values stay the text they came as.
//!
//! Traits of a user and campaign documents are such objects: they are merged by top-level key and handed on, so decoding the
//! values would cost time and could round numbers. Keys are decoded and sorted; a key given twice has its last value, as in
//! `jsonb`. The text itself (depth, numbers, escapes) has been checked at the door.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// A JSON object, key to raw value.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RawObject(BTreeMap<String, Box<RawValue>>);

impl RawObject {
    /// Reads the text of a JSON object; anything else is an error.
    pub fn parse(text: &str) -> serde_json::Result<Self> {
        serde_json::from_str(text)
    }

    /// The value at a top-level key, if there is one. `null` is a value.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&RawValue> {
        self.0.get(key).map(Box::as_ref)
    }

    /// Sets one key to the JSON form of `value`.
    pub fn set<T: Serialize + ?Sized>(&mut self, key: &str, value: &T) -> serde_json::Result<()> {
        self.0.insert(key.to_owned(), serde_json::value::to_raw_value(value)?);
        Ok(())
    }

    /// Takes one key away.
    pub fn remove(&mut self, key: &str) {
        self.0.remove(key);
    }

    /// Shallow merge: each key of `patch` replaces the one here, whole. `null` is stored, never a deletion.
    pub fn merge(&mut self, patch: Self) {
        self.0.extend(patch.0);
    }

    /// The reverse of [`Self::merge`]: only keys of `patch` that are not here are taken.
    pub fn fill(&mut self, patch: Self) {
        for (key, value) in patch.0 {
            self.0.entry(key).or_insert(value);
        }
    }

    /// Every key with its value, sorted by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &RawValue)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_ref()))
    }

    /// No key at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The object as JSON text; each value exactly as it came.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut text = String::from("{");
        for (key, value) in self.iter() {
            if text.len() > 1 {
                text.push(',');
            }
            text.push_str(&serde_json::Value::from(key).to_string());
            text.push(':');
            text.push_str(value.get());
        }
        text.push('}');
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_their_text() {
        let text = r#"{"a":1.50,"big":123456789012345678901234567890,"k\"":"\u00e9","n":null,"o":{"x": [1, 2]}}"#;
        assert_eq!(RawObject::parse(text).unwrap().to_json(), text);
        assert_eq!(serde_json::to_string(&RawObject::parse(text).unwrap()).unwrap(), text);
    }

    #[test]
    fn a_key_given_twice_has_its_last_value() {
        assert_eq!(RawObject::parse(r#"{"a":1,"b":2,"\u0061":3}"#).unwrap().to_json(), r#"{"a":3,"b":2}"#);
    }

    #[test]
    fn filling_takes_only_what_is_missing() {
        let mut object = RawObject::parse(r#"{"a":1,"n":null}"#).unwrap();
        object.fill(RawObject::parse(r#"{"a":2,"b":3,"n":4}"#).unwrap());
        assert_eq!(object.to_json(), r#"{"a":1,"b":3,"n":null}"#);
    }

    #[test]
    fn only_an_object_is_one() {
        for text in ["", "null", "[]", r#""{}""#, "{", "{} {}", "{\"a\":}"] {
            assert!(RawObject::parse(text).is_err(), "{text}");
        }
    }
}
