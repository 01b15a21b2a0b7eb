//! One rule of a document while it is read: its fields, and where its faults go.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::fault::Fault;
use super::operator::Operator;
use super::value::Scalar;
use crate::domain::raw_object::RawObject;

/// Longest value of a rule, as JSON text.
pub const MAX_VALUE_BYTES: usize = 8 * 1024;

/// A rule as written.
pub(super) struct Entry<'a> {
    pub source: &'a RawObject,
    /// Of the rule, such as `rules[2].any[0]`.
    pub path: &'a str,
    pub faults: &'a mut Vec<Fault>,
}

impl<'a> Entry<'a> {
    /// The value at `key`, unless it is missing or null.
    pub fn given(&self, key: &str) -> Option<&'a RawValue> {
        self.source.get(key).filter(|raw| raw.get() != "null")
    }

    /// The text that names something.
    pub fn name(&mut self, key: &str, what: &str, limit: usize) -> Option<String> {
        let Some(name) = text(self.source, key).filter(|name| !name.is_empty()) else {
            return self.fault(key, "required", format!("must name {what} (a string, not empty)"));
        };
        if name.len() > limit {
            let message = format!("is {} bytes long; at most {limit} are allowed", name.len());
            return self.fault(key, "too_long", message);
        }
        Some(name)
    }

    /// The operator, which must be there.
    pub fn operator(&mut self) -> Option<Operator> {
        let offered = || Operator::offered().collect::<Vec<_>>().join(" ");
        let Some(text) = text(self.source, "operator") else {
            return self.fault("operator", "required", format!("must be one of {}", offered()));
        };
        let operator = Operator::parse(&text);
        if operator.is_none() {
            let shown: String = text.chars().take(40).collect();
            return self.fault("operator", "unknown_value", format!("is {shown:?}; it must be one of {}", offered()));
        }
        operator
    }

    /// The text of `value`, if it is not too long; a missing one is null.
    pub fn raw_value(&mut self) -> Option<Option<&'a RawValue>> {
        let raw = self.source.get("value");
        let length = raw.map_or(0, |raw| raw.get().len());
        if length > MAX_VALUE_BYTES {
            let message = format!("is {length} bytes long; at most {MAX_VALUE_BYTES} are allowed");
            return self.fault("value", "too_long", message);
        }
        Some(raw)
    }

    /// The `value`; a missing one is null.
    pub fn value(&mut self) -> Option<Scalar<'a>> {
        let Some(raw) = self.raw_value()? else {
            return Some(Scalar::Null);
        };
        let value = Scalar::decode(raw);
        if value.is_none() {
            return self.fault("value", "wrong_type", "must be a string, a number, true, false or null");
        }
        value
    }

    /// Notes a fault; always `None`.
    pub fn fault<T>(&mut self, key: &str, code: &'static str, message: impl Into<String>) -> Option<T> {
        self.faults.push(Fault::new(format!("{}.{key}", self.path), code, message));
        None
    }
}

/// The string at `key`; `None` when it is missing or something else.
pub(super) fn text(source: &RawObject, key: &str) -> Option<String> {
    String::deserialize(source.get(key)?).ok()
}
