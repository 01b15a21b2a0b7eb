//! A campaign as SDKs and the dashboard read it.
//!
//! Their parsers give up on a whole list when one campaign lacks the shape they expect, so the fields they need are always
//! there and of the right type, whatever an import has stored; every other field of the document is passed on as it is.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::definition::{self, Status};
use crate::domain::document::RESERVED;
use crate::domain::raw_object::RawObject;

#[derive(Serialize)]
struct ClientObject<'a> {
    id: &'a str,
    name: String,
    #[serde(rename = "type")]
    kind: String,
    status: String,
    trigger: Option<String>,
    rules: Cow<'a, RawValue>,
    config: &'a RawValue,
    targeting: Option<&'a RawValue>,
    #[serde(rename = "createdAt")]
    created_at: &'a str,
    #[serde(rename = "updatedAt")]
    updated_at: &'a str,
    /// The Flutter SDK's spelling.
    #[serde(rename = "created_at")]
    created_at_snake: &'a str,
    #[serde(flatten)]
    others: BTreeMap<&'a str, &'a RawValue>,
}

/// Fields of [`ClientObject`] that come from the document; they must not come twice.
const SHAPED: [&str; 7] = ["name", "type", "status", "trigger", "rules", "config", "targeting"];

/// The object for clients. Times are ISO 8601 in UTC with milliseconds, such as `2025-11-13T06:00:00.000Z`.
///
/// `rules` is always an array, `config` an object, `targeting` an object or null. A campaign without a status is shown as
/// the draft it amounts to; one with only `triggers` shows the first as its `trigger`.
pub fn client_object(
    document: &RawObject,
    id: &str,
    created_at: &str,
    updated_at: &str,
) -> serde_json::Result<Box<RawValue>> {
    let object = ClientObject {
        id,
        name: text(document, "name").unwrap_or_default(),
        kind: definition::kind(document),
        status: text(document, "status").unwrap_or_else(|| Status::Draft.as_str().to_owned()),
        trigger: definition::triggers(document, &mut Vec::new()).into_iter().next(),
        rules: rules(document)?,
        config: starting_with(document, "config", '{').map_or_else(|| serde_json::from_str("{}"), Ok)?,
        targeting: starting_with(document, "targeting", '{'),
        created_at,
        updated_at,
        created_at_snake: created_at,
        others: document.iter().filter(|(key, _)| !SHAPED.contains(key) && !RESERVED.contains(key)).collect(),
    };
    serde_json::value::to_raw_value(&object)
}

/// Always an array; one group in its place is shown as an array of it.
fn rules(document: &RawObject) -> serde_json::Result<Cow<'_, RawValue>> {
    if let Some(array) = starting_with(document, "rules", '[') {
        return Ok(Cow::Borrowed(array));
    }
    let only: Vec<&RawValue> = starting_with(document, "rules", '{').into_iter().collect();
    serde_json::value::to_raw_value(&only).map(Cow::Owned)
}

fn text(document: &RawObject, key: &str) -> Option<String> {
    String::deserialize(document.get(key)?).ok()
}

fn starting_with<'a>(document: &'a RawObject, key: &str, first: char) -> Option<&'a RawValue> {
    document.get(key).filter(|value| value.get().starts_with(first))
}
