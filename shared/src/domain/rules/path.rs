//! Dotted paths: `address.city` finds the key of that very name, or else the `city` inside the object `address`.
//!
//! At each level the whole remaining path is tried as one key first; only if there is none, the part before the first dot is
//! descended into. Arrays are never descended into.

use serde_json::value::RawValue;

use super::fields::{Fields, JsonFields};

/// The value at `path`; `None` when there is none.
pub fn find<'f>(fields: &'f dyn Fields, path: &str) -> Option<&'f RawValue> {
    if let Some(found) = fields.field(path) {
        return Some(found);
    }
    let (head, rest) = path.split_once('.')?;
    find_inside(fields.field(head)?, rest)
}

fn find_inside<'f>(value: &'f RawValue, path: &str) -> Option<&'f RawValue> {
    // Of a value that is no object there are none.
    let members = JsonFields::new(value.get());
    if let Some(found) = members.get(path) {
        return Some(found);
    }
    let (head, rest) = path.split_once('.')?;
    find_inside(members.get(head)?, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str, path: &str) -> Option<String> {
        find(&JsonFields::new(text), path).map(|value| value.get().to_owned())
    }

    #[test]
    fn at_each_level_the_literal_key_comes_first() {
        let text = r#"{"a":{"b":{"c":1},"b.c":2},"a.b":{"c":3}}"#;
        assert_eq!(found(text, "a.b.c").as_deref(), Some("2"));
        assert_eq!(found(text, "a.b").as_deref(), Some(r#"{"c":3}"#));
        assert_eq!(found(r#"{"a.b.c":4,"a":{"b.c":2}}"#, "a.b.c").as_deref(), Some("4"));
        assert_eq!(found(r#"{"a":{"b":{"c":1}}}"#, "a.b.c").as_deref(), Some("1"));
    }

    #[test]
    fn only_objects_are_descended_into() {
        for text in [r#"{"a":[{"b":1}]}"#, r#"{"a":"{\"b\":1}"}"#, r#"{"a":null}"#, r#"{"b":1}"#, r#"{"A":{"b":1}}"#] {
            assert_eq!(found(text, "a.b"), None, "{text}");
            assert_eq!(found(text, "a.0.b"), None, "{text}");
        }
    }

    #[test]
    fn empty_parts_are_names_like_any_other() {
        assert_eq!(found(r#"{"":{"":1}}"#, ".").as_deref(), Some("1"));
        assert_eq!(found(r#"{"a":{"":1}}"#, "a.").as_deref(), Some("1"));
        assert_eq!(found(r#"{"a":1}"#, "a."), None);
    }
}
