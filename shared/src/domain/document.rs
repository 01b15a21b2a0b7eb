//! Reading the fields of a document that an editor owns: each function names its fault and goes on, so that all are told at once.
//!
//! Campaigns, segments and features are such documents. Missing and null mean the same everywhere: the editor said nothing.

use serde::Deserialize;

use super::raw_object::RawObject;
use super::rules::Fault;

/// What the server says about a document; one that carries these fields gets them taken out.
pub const RESERVED: [&str; 7] = ["id", "createdAt", "updatedAt", "created_at", "_version", "_notes", "_faults"];

/// Longest name, in characters (the old server's limit).
pub const MAX_NAME_CHARS: usize = 255;

/// The string at `key`; missing and null are both `None`.
pub fn optional_text(document: &RawObject, key: &str, faults: &mut Vec<Fault>) -> Option<String> {
    let text = Option::<String>::deserialize(document.get(key)?);
    text.unwrap_or_else(|_| {
        faults.push(Fault::new(key, "wrong_type", "must be a string"));
        None
    })
}

/// The boolean at `key`; missing and null are both `None`.
pub fn optional_bool(document: &RawObject, key: &str, path: &str, faults: &mut Vec<Fault>) -> Option<bool> {
    let flag = Option::<bool>::deserialize(document.get(key)?);
    flag.unwrap_or_else(|_| {
        faults.push(Fault::new(path, "wrong_type", "must be true or false"));
        None
    })
}

/// The `name`, trimmed; missing and blank ones are a fault, and come out empty.
pub fn name(document: &RawObject, faults: &mut Vec<Fault>) -> String {
    let before = faults.len();
    let name = optional_text(document, "name", faults).unwrap_or_default().trim().to_owned();
    if name.is_empty() && faults.len() == before {
        faults.push(Fault::new("name", "required", "must not be missing or blank"));
    }
    check_chars("name", &name, MAX_NAME_CHARS, faults);
    name
}

/// Is the text at most `limit` characters long?
pub fn check_chars(field: &str, text: &str, limit: usize, faults: &mut Vec<Fault>) {
    let length = text.chars().count();
    if length > limit {
        faults.push(Fault::new(field, "too_long", format!("is {length} characters long; at most {limit} are allowed")));
    }
}
