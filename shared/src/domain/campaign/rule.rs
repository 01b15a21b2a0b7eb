//! One rule of a campaign, and how it is read from a document.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::comparison::{Operator, Scalar};
use super::fault::Fault;
use super::fields::Fields;
use crate::domain::raw_object::RawObject;

/// Most rules of one campaign, artefacts not counted. Editors make a handful; the limit bounds the cost of one event.
pub const MAX_RULES: usize = 200;
/// Longest field name of a rule: no trait or property has a longer key.
pub const MAX_FIELD_BYTES: usize = 255;
/// Longest value of a rule, as JSON text.
pub const MAX_VALUE_BYTES: usize = 8 * 1024;

/// Where a rule looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// `type` is exactly `attribute`: the traits of the user.
    Trait,
    /// Any other `type`, or none: the properties of the event.
    Property,
}

/// A compiled rule: `field <operator> value`.
#[derive(Debug)]
pub struct Rule {
    pub(super) source: Source,
    field: Box<str>,
    operator: Operator,
    value: Scalar<'static>,
}

impl Rule {
    /// Does the rule hold for these fields, which are those of its source? Never when the field is missing.
    pub(super) fn holds(&self, fields: &dyn Fields) -> bool {
        fields.field(&self.field).is_some_and(|field| self.operator.holds(field, &self.value))
    }
}

/// The `rules` of a document, read.
#[derive(Default)]
pub(super) struct Rules<'a> {
    /// Compiled, in order; only complete when no fault was found.
    pub compiled: Vec<Rule>,
    /// The text of each rule that is not an artefact.
    pub kept: Vec<&'a RawValue>,
    /// How many artefacts of an editor were left out.
    pub artefacts: usize,
}

impl<'a> Rules<'a> {
    /// Reads `rules` (missing or null: none), naming every fault.
    pub fn read(document: &'a RawObject, faults: &mut Vec<Fault>) -> Self {
        let mut rules = Self::default();
        let Some(raw) = document.get("rules") else {
            return rules;
        };
        let Ok(listed) = serde_json::from_str::<Option<Vec<&RawValue>>>(raw.get()) else {
            faults.push(Fault::new("rules", "wrong_type", "must be an array of rules, or absent"));
            return rules;
        };
        for (index, raw) in listed.unwrap_or_default().into_iter().enumerate() {
            let source = RawObject::parse(raw.get());
            if source.as_ref().is_ok_and(is_artefact) {
                rules.artefacts += 1;
                continue;
            }
            rules.kept.push(raw);
            if rules.kept.len() > MAX_RULES {
                continue;
            }
            let path = format!("rules[{index}]");
            match source {
                Ok(source) => rules.compiled.extend(read_rule(&source, &path, faults)),
                Err(_) => {
                    faults.push(Fault::new(path, "wrong_type", "must be an object {type, field, operator, value}"))
                }
            }
        }
        if rules.kept.len() > MAX_RULES {
            let message = format!("has {} rules; at most {MAX_RULES} are allowed", rules.kept.len());
            faults.push(Fault::new("rules", "too_many", message));
        }
        rules
    }
}

/// A dashboard adds this rule on every load and save. It could never hold, so it silenced the campaigns it got into.
fn is_artefact(rule: &RawObject) -> bool {
    let is = |key, text| read_text(rule, key).is_some_and(|found| found == text);
    is("field", "unknown") && is("operator", "==") && is("value", "")
}

fn read_rule(source: &RawObject, path: &str, faults: &mut Vec<Fault>) -> Option<Rule> {
    // All three are read before any is given up, so that every fault is named.
    let field = read_field(source, &format!("{path}.field"), faults);
    let operator = read_operator(source, &format!("{path}.operator"), faults);
    let value = read_value(source, &format!("{path}.value"), faults);
    let looks_at = match read_text(source, "type").as_deref() {
        Some("attribute") => Source::Trait,
        _ => Source::Property,
    };
    Some(Rule { source: looks_at, field: field?, operator: operator?, value: value? })
}

fn read_field(source: &RawObject, path: &str, faults: &mut Vec<Fault>) -> Option<Box<str>> {
    let field = read_text(source, "field").filter(|field| !field.is_empty());
    let Some(field) = field else {
        faults.push(Fault::new(path, "required", "must name a trait or property (a string, not empty)"));
        return None;
    };
    if field.len() > MAX_FIELD_BYTES {
        let message = format!("is {} bytes long; at most {MAX_FIELD_BYTES} are allowed", field.len());
        faults.push(Fault::new(path, "too_long", message));
        return None;
    }
    Some(field.into_boxed_str())
}

fn read_operator(source: &RawObject, path: &str, faults: &mut Vec<Fault>) -> Option<Operator> {
    let offered = Operator::ALL.map(Operator::as_str).join(" ");
    let Some(text) = read_text(source, "operator") else {
        faults.push(Fault::new(path, "required", format!("must be one of {offered}")));
        return None;
    };
    let operator = Operator::parse(&text);
    if operator.is_none() {
        let shown: String = text.chars().take(40).collect();
        faults.push(Fault::new(path, "unknown_value", format!("is {shown:?}; it must be one of {offered}")));
    }
    operator
}

/// A missing value is null, which only `!=` and a null field can meet.
fn read_value(source: &RawObject, path: &str, faults: &mut Vec<Fault>) -> Option<Scalar<'static>> {
    let Some(raw) = source.get("value") else {
        return Some(Scalar::Null);
    };
    if raw.get().len() > MAX_VALUE_BYTES {
        let message = format!("is {} bytes long; at most {MAX_VALUE_BYTES} are allowed", raw.get().len());
        faults.push(Fault::new(path, "too_long", message));
        return None;
    }
    let value = Scalar::decode(raw).map(Scalar::into_owned);
    if value.is_none() {
        faults.push(Fault::new(path, "wrong_type", "must be a string, a number, true, false or null"));
    }
    value
}

/// The string at `key`; `None` when it is missing or something else.
fn read_text(source: &RawObject, key: &str) -> Option<String> {
    String::deserialize(source.get(key)?).ok()
}
