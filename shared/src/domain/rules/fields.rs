//! Where a rule finds a value: by name, at the top of an object, as text that is decoded only when a rule asks.

use std::borrow::{Borrow, Cow};
use std::cell::OnceCell;
use std::collections::HashMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::domain::raw_object::RawObject;

/// Named values. The lookup here is flat, `a.b` is one key; what descends into objects is `path`.
pub trait Fields {
    /// The value under `name`; `None` when there is no such key.
    fn field(&self, name: &str) -> Option<&RawValue>;

    /// Could the values be read at all? If not, every rule on them is unknown, not false.
    fn is_known(&self) -> bool {
        true
    }
}

/// Values that cannot be read just now.
#[derive(Debug, Clone, Copy)]
pub struct UnknownFields;

impl Fields for UnknownFields {
    fn field(&self, _name: &str) -> Option<&RawValue> {
        None
    }

    fn is_known(&self) -> bool {
        false
    }
}

impl Fields for RawObject {
    fn field(&self, name: &str) -> Option<&RawValue> {
        self.get(name)
    }
}

/// The text of a JSON object, indexed at the first lookup and not before. Text that is no object has no fields.
#[derive(Debug)]
pub struct JsonFields<'a> {
    text: &'a str,
    index: OnceCell<HashMap<Key<'a>, &'a RawValue>>,
}

impl<'a> JsonFields<'a> {
    /// Fields of `text`, which is not read yet.
    #[must_use]
    pub fn new(text: &'a str) -> Self {
        Self { text, index: OnceCell::new() }
    }

    /// Fields of an object that may be missing, which is like one without any.
    #[must_use]
    pub fn of(object: Option<&'a RawValue>) -> Self {
        Self::new(object.map_or("{}", RawValue::get))
    }

    /// No fields.
    #[must_use]
    pub fn none() -> Self {
        Self::new("{}")
    }

    /// The value under `name`, borrowed from the text.
    pub(super) fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.index.get_or_init(|| serde_json::from_str(self.text).unwrap_or_default()).get(name).copied()
    }
}

impl Fields for JsonFields<'_> {
    fn field(&self, name: &str) -> Option<&RawValue> {
        self.get(name)
    }
}

/// An object's key, borrowed from the text unless it has escapes.
#[derive(Debug, PartialEq, Eq, Hash, Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

impl Borrow<str> for Key<'_> {
    fn borrow(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field<'a>(fields: &'a JsonFields<'_>, name: &str) -> Option<&'a str> {
        fields.field(name).map(RawValue::get)
    }

    #[test]
    fn fields_are_found_by_their_decoded_name_and_the_last_of_two_counts() {
        let fields = JsonFields::new(r#" {"a.b": 1.0, "a": {"b": 2}, "\u00e9": null, "d": 1, "d": [ 2 ]} "#);
        assert_eq!(field(&fields, "a.b"), Some("1.0"));
        assert_eq!(field(&fields, "é"), Some("null"));
        assert_eq!(field(&fields, "d"), Some("[ 2 ]"));
        assert_eq!(field(&fields, "b"), None);
    }

    #[test]
    fn what_is_no_object_has_no_fields() {
        for text in ["", "null", "[1]", "{\"a\":1"] {
            assert_eq!(field(&JsonFields::new(text), "a"), None, "{text}");
        }
    }
}
