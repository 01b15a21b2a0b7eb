//! A campaign that a command is about: a file with its document, or the id of a stored one.

use std::path::Path;

use serde::Deserialize;
use shared::domain::campaign::validate;
use shared::domain::json_text;
use shared::domain::raw_object::RawObject;
use shared::store::explain::{Refused, Subject};

use super::explain::refusal;
use crate::Problem;

/// Reads the file, or takes the name for an id where there is none. A document passes the door; its `id` is the one it stands for.
pub fn campaign(name: &str) -> Result<Subject, Problem> {
    let path = Path::new(name);
    if !path.is_file() {
        return Ok(Subject::Stored(name.to_owned()));
    }
    let text = std::fs::read_to_string(path).map_err(|error| format!("{name} cannot be read: {error}"))?;
    let checked = json_text::check(text.trim()).map_err(|(_, why)| format!("{name}: the document {why}"))?;
    let document = RawObject::parse(&checked.text).map_err(|error| format!("{name} is no JSON object: {error}"))?;
    let id = document.get("id").and_then(|raw| String::deserialize(raw).ok());
    let valid = validate(&document).map_err(|faults| format!("{name}: {}", refusal(&Refused::Malformed(faults))))?;
    Ok(Subject::Draft(valid.document, id))
}
