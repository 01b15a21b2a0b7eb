//! What an admin may ask of a key, read from the body; everything wrong is named at once. The shapes are in [`super::keys`].

use serde::Deserialize;
use serde_json::json;
use shared::domain::document::{optional_bool, optional_text};
use shared::domain::raw_object::RawObject;
use shared::domain::rules::Fault;

use crate::fair_use::meter::MOST_PER_SECOND;
use crate::keys::table::Limits;
use crate::keys::{Role, configured};
use crate::problem::{Kind, Problem};

/// An hour: longer bursts are no limit.
const MOST_BURST_SECONDS: i64 = 3_600;

/// A key to be.
#[derive(Debug)]
pub struct NewKey {
    /// Becomes the source of its events.
    pub name: String,
    /// What it opens.
    pub role: Role,
    /// Its own.
    pub limits: Limits,
    /// Give it a secret?
    pub identity_verification: Option<bool>,
}

/// What shall become of a key; what is absent stays.
#[derive(Debug)]
pub struct Change {
    /// All three of them.
    pub limits: Option<Limits>,
    /// Give it a secret, or take it away?
    pub identity_verification: Option<bool>,
}

/// Reads the request for a new key.
pub fn new_key(sent: &RawObject) -> Result<NewKey, Problem> {
    let mut faults = Vec::new();
    let name = optional_text(sent, "name", &mut faults).filter(|name| configured::is_name(name));
    if name.is_none() {
        faults.push(Fault::new("name", "out_of_range", "must be 1 to 64 letters, digits, `_`, `-` or `.`"));
    }
    let role = optional_text(sent, "role", &mut faults).and_then(|role| Role::parse(&role));
    if role.is_none() {
        faults.push(Fault::new("role", "unknown_value", "must be client or admin"));
    }
    let Change { limits, identity_verification } = read(sent, &mut faults);
    if role == Some(Role::Admin) && identity_verification == Some(true) {
        faults.push(Fault::new(
            "identity_verification",
            "not_allowed",
            "is for write keys: admin keys read everything",
        ));
    }
    match name.zip(role).filter(|_| faults.is_empty()) {
        Some((name, role)) => Ok(NewKey { name, role, limits: limits.unwrap_or_default(), identity_verification }),
        None => Err(refusal(r#"a key needs {"name", "role"}: see details"#, &faults)),
    }
}

/// Reads the request for a change.
pub fn change(sent: &RawObject) -> Result<Change, Problem> {
    let mut faults = Vec::new();
    let change = read(sent, &mut faults);
    if faults.is_empty() { Ok(change) } else { Err(refusal("the key cannot be changed so: see details", &faults)) }
}

fn read(sent: &RawObject, faults: &mut Vec<Fault>) -> Change {
    let identity_verification = optional_bool(sent, "identity_verification", "identity_verification", faults);
    let limits = sent.get("limits").and_then(|raw| {
        Option::<RawObject>::deserialize(raw).unwrap_or_else(|_| {
            faults.push(Fault::new("limits", "wrong_type", "must be an object"));
            None
        })
    });
    let most = i64::try_from(MOST_PER_SECOND).unwrap_or(i64::MAX);
    let limits = limits.map(|limits| Limits {
        events_per_second: number(&limits, "events_per_second", 0..=most, faults),
        bytes_per_second: number(&limits, "bytes_per_second", 0..=most, faults),
        burst_seconds: number(&limits, "burst_seconds", 1..=MOST_BURST_SECONDS, faults)
            .and_then(|seconds| i32::try_from(seconds).ok()),
    });
    Change { limits, identity_verification }
}

fn number(
    limits: &RawObject,
    name: &str,
    range: std::ops::RangeInclusive<i64>,
    faults: &mut Vec<Fault>,
) -> Option<i64> {
    let read = Option::<i64>::deserialize(limits.get(name)?);
    match read {
        Ok(None) => None,
        Ok(Some(number)) if range.contains(&number) => Some(number),
        _ => {
            let message = format!("must be a whole number from {} to {}", range.start(), range.end());
            faults.push(Fault::new(format!("limits.{name}"), "out_of_range", message));
            None
        }
    }
}

fn refusal(message: &'static str, faults: &[Fault]) -> Problem {
    let details = faults
        .iter()
        .map(|fault| json!({"type": "field", "path": fault.field, "msg": fault.message, "location": "body"}))
        .collect();
    Problem::new(Kind::InvalidKey, message).with("details", details)
}
