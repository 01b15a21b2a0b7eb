//! A campaign document: what it must hold to be saved, and how its fields are read.
//!
//! A document is a JSON object that an editor owns; the fields named here have a meaning, all others are kept as they are.
//! [`validate`] is the door: strict, every fault named. [`super::compile`] reads what is stored more leniently, because an
//! import may have brought what the door would have refused.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::domain::document::{MAX_NAME_CHARS, RESERVED, check_chars, name, optional_text};
use crate::domain::raw_object::RawObject;
use crate::domain::rules::{self, Fault, Fields, JsonFields, Scope};

/// Longest trigger, in characters: no event has a longer name.
pub const MAX_TRIGGER_CHARS: usize = 200;
/// Most triggers of one campaign.
pub const MAX_TRIGGERS: usize = 200;

/// Where a campaign stands in its life. Without a status it never was active.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Being written.
    Draft,
    /// Matches events.
    Active,
    /// Stopped for a while.
    Paused,
    /// Put away.
    Archived,
}

impl Status {
    /// Every status.
    pub const ALL: [Self; 4] = [Self::Draft, Self::Active, Self::Paused, Self::Archived];

    /// The spelling in a document.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Archived => "archived",
        }
    }

    /// Reads the spelling in a document.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }
}

/// A document fit to be saved, and its fields that have a meaning of their own.
#[derive(Debug)]
pub struct Valid {
    /// The cleaned document: name trimmed, `type` filled in, no artefact rules, `rules` an array, nothing [`RESERVED`].
    pub document: RawObject,
    /// Not blank, trimmed.
    pub name: String,
    /// How it is rendered; any text.
    pub kind: String,
    /// `None`: never active.
    pub status: Option<Status>,
    /// Names of the events it listens to, without duplicates.
    pub triggers: Vec<String>,
    /// How many artefact rules were taken out; worth a note to the editor when not 0.
    pub dropped_artefact_rules: usize,
}

/// Checks and cleans a whole document (after a PUT: the merged one). Its text has passed the checks for any stored JSON.
pub fn validate(document: &RawObject) -> Result<Valid, Vec<Fault>> {
    let mut faults = Vec::new();
    let name = name(document, &mut faults);
    let kind = kind(document);
    if let Some(given) = optional_text(document, "type", &mut faults) {
        check_chars("type", &given, MAX_NAME_CHARS, &mut faults);
    }
    let status = status(document, &mut faults);
    let triggers = triggers(document, &mut faults);
    let rules = rules::read(document, Scope::Campaign, &mut faults);
    check_objects(document, &mut faults);
    if !faults.is_empty() {
        return Err(faults);
    }

    let cleaned =
        clean(document, &name, &kind, &rules).map_err(|error| vec![Fault::new("", "unwritable", error.to_string())])?;
    Ok(Valid { document: cleaned, name, kind, status, triggers, dropped_artefact_rules: rules.artefacts })
}

fn clean(document: &RawObject, name: &str, kind: &str, rules: &rules::Read<'_>) -> serde_json::Result<RawObject> {
    let mut cleaned = document.clone();
    for key in RESERVED {
        cleaned.remove(key);
    }
    cleaned.set("name", name)?;
    cleaned.set("type", kind)?;
    rules.clean(&mut cleaned)?;
    Ok(cleaned)
}

fn status(document: &RawObject, faults: &mut Vec<Fault>) -> Option<Status> {
    let text = optional_text(document, "status", faults)?;
    let status = Status::parse(&text);
    if status.is_none() {
        let allowed = Status::ALL.map(Status::as_str).join(", ");
        faults.push(Fault::new("status", "unknown_value", format!("must be one of {allowed}, or absent")));
    }
    status
}

/// `type`, else `config.type`, else `modal`.
pub(super) fn kind(document: &RawObject) -> String {
    let given = |fields: &dyn Fields| {
        let text = String::deserialize(fields.field("type")?).ok()?;
        (!text.is_empty()).then_some(text)
    };
    given(document)
        .or_else(|| given(&JsonFields::new(document.get("config")?.get())))
        .unwrap_or_else(|| String::from("modal"))
}

/// `trigger` and `triggers` together, without duplicates; an empty `trigger` is none.
pub(super) fn triggers(document: &RawObject, faults: &mut Vec<Fault>) -> Vec<String> {
    let mut triggers: Vec<String> = Vec::new();
    if let Some(trigger) = optional_text(document, "trigger", faults).filter(|trigger| !trigger.is_empty()) {
        check_chars("trigger", &trigger, MAX_TRIGGER_CHARS, faults);
        triggers.push(trigger);
    }
    let Some(raw) = document.get("triggers") else {
        return triggers;
    };
    let Ok(listed) = serde_json::from_str::<Option<Vec<&RawValue>>>(raw.get()) else {
        faults.push(Fault::new("triggers", "wrong_type", "must be an array of event names, or absent"));
        return triggers;
    };
    let listed = listed.unwrap_or_default();
    if listed.len() > MAX_TRIGGERS {
        let message = format!("has {} event names; at most {MAX_TRIGGERS} are allowed", listed.len());
        faults.push(Fault::new("triggers", "too_many", message));
        return triggers;
    }
    for (index, raw) in listed.into_iter().enumerate() {
        let path = format!("triggers[{index}]");
        let Some(trigger) = listed_trigger(raw) else {
            faults.push(Fault::new(path, "wrong_type", r#"must be an event name, or an object {"event": name}"#));
            continue;
        };
        check_chars(&path, &trigger, MAX_TRIGGER_CHARS, faults);
        if !trigger.is_empty() && !triggers.contains(&trigger) {
            triggers.push(trigger);
        }
    }
    triggers
}

/// A name, or the object that the second dashboard writes.
fn listed_trigger(raw: &RawValue) -> Option<String> {
    match RawObject::parse(raw.get()) {
        Ok(object) => String::deserialize(object.get("event")?).ok(),
        Err(_) => String::deserialize(raw).ok(),
    }
}

/// SDKs lose their whole list of campaigns over one `config` that is no object. An array of `targeting` is the second dashboard's;
/// clients are shown null in its place.
pub(super) fn check_objects(document: &RawObject, faults: &mut Vec<Fault>) {
    let starts = |key| document.get(key).filter(|value| value.get() != "null")?.get().chars().next();
    if starts("config").is_some_and(|first| first != '{') {
        faults.push(Fault::new("config", "wrong_type", "must be a JSON object (not its text), or absent"));
    }
    if starts("targeting").is_some_and(|first| !matches!(first, '{' | '[')) {
        faults.push(Fault::new("targeting", "wrong_type", "must be a JSON object or array (not its text), or absent"));
    }
}
