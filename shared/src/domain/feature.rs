//! A feature flag: is something switched on for a user, and with which value?
//!
//! A flag is on when it is enabled, its rules hold (over traits, segments and event counts: no event is at hand) and the user is
//! within the roll-out.

use serde_json::value::RawValue;

use super::document::{RESERVED, optional_bool, optional_text};
use super::raw_object::RawObject;
use super::rules::{self, Condition, Facts, Fault, Number, Read, Scope};

/// Longest key, in bytes.
pub const MAX_KEY_BYTES: usize = 255;

/// A roll-out to everybody: buckets go from 0 to one less.
pub const ALL_BUCKETS: u16 = 10_000;

/// A document fit to be saved.
#[derive(Debug)]
pub struct Valid {
    /// The cleaned document: no artefact rules, `rules` an array, nothing reserved to the server.
    pub document: RawObject,
    /// What apps ask for it by.
    pub key: String,
    /// How many artefact rules were taken out; worth a note to the editor when not 0.
    pub dropped_artefact_rules: usize,
}

/// A stored flag ready to be asked.
#[derive(Debug)]
pub struct Flag {
    /// `value` as stored; `None` when it is missing or null.
    pub value: Option<Box<RawValue>>,
    /// `payload`, or else the value.
    pub payload: Option<Box<RawValue>>,
    enabled: bool,
    condition: Condition,
    /// Of [`ALL_BUCKETS`], those for which it is on.
    rollout: u16,
}

/// Checks and cleans a whole document. Its text has passed the checks for any stored JSON.
pub fn validate(document: &RawObject) -> Result<Valid, Vec<Fault>> {
    let mut faults = Vec::new();
    let key = key(document, &mut faults);
    let (_, rules) = read(document, &mut faults);
    if !faults.is_empty() {
        return Err(faults);
    }
    let cleaned = clean(document, &rules).map_err(|error| vec![Fault::new("", "unwritable", error.to_string())])?;
    Ok(Valid { document: cleaned, key, dropped_artefact_rules: rules.artefacts })
}

/// Compiles a stored document. The key is not looked at: flags are stored under it.
pub fn compile(document: &RawObject) -> Result<Flag, Vec<Fault>> {
    let mut faults = Vec::new();
    let (switch, rules) = read(document, &mut faults);
    if !faults.is_empty() {
        return Err(faults);
    }
    let own = |key| document.get(key).filter(|raw| raw.get() != "null").map(ToOwned::to_owned);
    Ok(Flag {
        value: own("value"),
        payload: own("payload").or_else(|| own("value")),
        enabled: switch.enabled,
        condition: rules.condition,
        rollout: switch.rollout,
    })
}

impl Flag {
    /// Is it on? `bucket` is the user's, from 0 to 9,999; `None` when nobody is known, for whom it is on only if it is on for
    /// everybody.
    #[must_use]
    pub fn is_on(&self, facts: &Facts<'_>, bucket: Option<u16>) -> bool {
        let within = self.rollout >= ALL_BUCKETS || bucket.is_some_and(|bucket| bucket < self.rollout);
        self.enabled && within && self.condition.holds(facts).is_true()
    }

    /// Its rules.
    #[must_use]
    pub fn condition(&self) -> &Condition {
        &self.condition
    }
}

struct Switch {
    enabled: bool,
    rollout: u16,
}

fn read<'a>(document: &'a RawObject, faults: &mut Vec<Fault>) -> (Switch, Read<'a>) {
    let enabled = optional_bool(document, "enabled", "enabled", faults).unwrap_or(true);
    let rollout = rollout(document, faults);
    (Switch { enabled, rollout }, rules::read(document, Scope::Feature, faults))
}

fn clean(document: &RawObject, rules: &Read<'_>) -> serde_json::Result<RawObject> {
    let mut cleaned = document.clone();
    for key in RESERVED {
        cleaned.remove(key);
    }
    rules.clean(&mut cleaned)?;
    Ok(cleaned)
}

/// A key stands in a path, so that only what needs no escape is allowed.
fn key(document: &RawObject, faults: &mut Vec<Fault>) -> String {
    let before = faults.len();
    let key = optional_text(document, "key", faults).unwrap_or_default();
    if faults.len() > before {
        return key;
    }
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte);
    if key.is_empty() {
        faults.push(Fault::new("key", "required", "must name the feature"));
    } else if key.len() > MAX_KEY_BYTES {
        let message = format!("is {} bytes long; at most {MAX_KEY_BYTES} are allowed", key.len());
        faults.push(Fault::new("key", "too_long", message));
    } else if !key.bytes().all(fits) {
        faults.push(Fault::new(
            "key",
            "unreadable",
            "must be made of the letters a to z and A to Z, digits and _ . : -",
        ));
    }
    key
}

/// `rollout_percentage` in hundredths of a percent.
fn rollout(document: &RawObject, faults: &mut Vec<Fault>) -> u16 {
    let Some(raw) = document.get("rollout_percentage").filter(|raw| raw.get() != "null") else {
        return ALL_BUCKETS;
    };
    let hundredths = Number::parse(raw.get()).and_then(hundredths);
    let Some(hundredths) = hundredths else {
        let message = "must be a number from 0 to 100 with at most two decimals";
        faults.push(Fault::new("rollout_percentage", "out_of_range", message));
        return 0;
    };
    hundredths
}

fn hundredths(percentage: Number) -> Option<u16> {
    let exact = percentage.as_f64() * 100.0;
    let rounded = exact.round();
    // 12.34 times 100 is not quite 1234.
    if (exact - rounded).abs() > 1e-9 || !(0.0..=f64::from(ALL_BUCKETS)).contains(&rounded) {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to lie within 0 and 10,000")]
    Some(rounded as u16)
}

#[cfg(test)]
#[path = "feature_tests.rs"]
mod tests;
