//! A stored campaign made ready to match, or the reason why it cannot be.

use std::fmt;

use serde_json::value::RawValue;

use super::definition::{self, Status};
use crate::domain::raw_object::RawObject;
use crate::domain::rules::{self, Condition, Facts, Fault, Needs, Scope};

/// A campaign ready to match.
#[derive(Debug)]
pub struct Compiled {
    /// The stored id.
    pub id: String,
    /// The stored version, recorded with each match.
    pub version: i64,
    /// The object for clients ([`super::client_object()`]), where the process answers clients.
    pub client_object: Option<Box<RawValue>>,
    pub(super) active: bool,
    pub(super) triggers: Vec<String>,
    /// What its rules ask.
    pub condition: Condition,
}

/// A stored campaign that never matches, because it is malformed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inert {
    /// The stored id.
    pub id: String,
    /// The stored version.
    pub version: i64,
    /// Every fault found; at least one.
    pub faults: Vec<Fault>,
}

impl fmt::Display for Inert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "campaign {} matches nothing until it is mended", self.id)?;
        for (index, fault) in self.faults.iter().take(3).enumerate() {
            write!(f, "{} {fault}", if index == 0 { ":" } else { ";" })?;
        }
        match self.faults.len().saturating_sub(3) {
            0 => Ok(()),
            more => write!(f, " (and {more} more)"),
        }
    }
}

/// Compiles a stored document. Only what matching and rendering stand on can make it inert: a name or status that the door
/// would refuse does not (an unknown status is simply not active).
pub fn compile(id: &str, version: i64, document: &RawObject) -> Result<Compiled, Inert> {
    let mut faults = Vec::new();
    let triggers = definition::triggers(document, &mut faults);
    let rules = rules::read(document, Scope::Campaign, &mut faults);
    definition::check_objects(document, &mut faults);
    if !faults.is_empty() {
        return Err(Inert { id: id.to_owned(), version, faults });
    }
    let active = document.get("status").and_then(|raw| serde_json::from_str::<String>(raw.get()).ok());
    Ok(Compiled {
        id: id.to_owned(),
        version,
        client_object: None,
        active: active.as_deref() == Some(Status::Active.as_str()),
        triggers,
        condition: rules.condition,
    })
}

impl Compiled {
    /// The same, with the object that clients are given.
    #[must_use]
    pub fn with_client_object(self, object: Box<RawValue>) -> Self {
        Self { client_object: Some(object), ..self }
    }

    /// Do all rules certainly hold? Status and trigger are not looked at.
    #[must_use]
    pub fn rules_hold(&self, facts: &Facts<'_>) -> bool {
        self.condition.holds(facts).is_true()
    }

    /// What the rules look at.
    #[must_use]
    pub fn needs(&self) -> &Needs {
        self.condition.needs()
    }
}
