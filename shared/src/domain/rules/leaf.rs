//! How one rule is read from a document.

use serde::Deserialize;

use super::duration;
use super::entry::{Entry, text};
use super::facts::CountWindow;
use super::fault::Fault;
use super::operand::Comparison;
use super::operator::{Operator, Relation};
use super::read_check::{self, Options};
use super::rule::{Rule, Source};
use super::scope::{Kind, Scope};
use super::value::Scalar;
use crate::domain::document::optional_bool;
use crate::domain::limits;
use crate::domain::raw_object::RawObject;

/// Longest field of a rule, in bytes: no trait or property has a longer key.
pub const MAX_FIELD_BYTES: usize = 255;
/// Longest event name of a count, in bytes: no event has a longer one.
const MAX_EVENT_BYTES: usize = 4 * limits::EVENT_NAME_CHARS;
/// Highest threshold of an event count: so many times of each user in a flush may be held in memory.
pub const MAX_COUNT: u32 = 1_000;

/// Reads a rule, naming every fault under `path`; `None` after one.
pub(super) fn read(source: &RawObject, scope: Scope, path: &str, faults: &mut Vec<Fault>) -> Option<Rule> {
    let before = faults.len();
    let kind = Kind::parse(text(source, "type").as_deref());
    let mut entry = Entry { source, path, faults };
    if let Some(refusal) = scope.refusal(kind) {
        entry.fault::<()>("type", "not_allowed", refusal);
    }
    let rule = match kind {
        Kind::Trait => field(&mut entry, Source::Trait),
        Kind::Property => field(&mut entry, Source::Property),
        Kind::Context => field(&mut entry, Source::Context),
        Kind::Segment => segment(&mut entry),
        Kind::EventCount => count(&mut entry),
    };
    rule.filter(|_| faults.len() == before)
}

// In each kind all parts are read before any is given up, so that every fault is named.

fn field(entry: &mut Entry<'_>, source: Source) -> Option<Rule> {
    let field = entry.name("field", "a trait or property", MAX_FIELD_BYTES);
    let operator = entry.operator();
    let comparison = comparison(entry);
    let path = format!("{}.ignore_case", entry.path);
    let ignore_case = optional_bool(entry.source, "ignore_case", &path, entry.faults).unwrap_or(false);
    // How the value is to be read hangs on both.
    let (operator, comparison) = (operator?, comparison?);
    let options = Options { comparison, ignore_case };
    let check = read_check::read(entry, operator, options)?;
    Some(Rule::Field { source, path: field?.into_boxed_str(), check, ignore_case: options.folds(operator) })
}

fn comparison(entry: &mut Entry<'_>) -> Option<Comparison> {
    let Some(raw) = entry.given("compare") else {
        return Some(Comparison::Auto);
    };
    let comparison = String::deserialize(raw).ok().and_then(|text| Comparison::parse(&text));
    if comparison.is_none() {
        let offered = Comparison::ALL.map(|(_, spelling)| spelling).join(" ");
        return entry.fault("compare", "unknown_value", format!("must be one of {offered}, or absent"));
    }
    comparison
}

fn segment(entry: &mut Entry<'_>) -> Option<Rule> {
    let in_value = entry.source.get("segment").is_none() && entry.source.get("value").is_some();
    let key = if in_value { "value" } else { "segment" };
    let id = entry.name(key, "a segment by its id", limits::ID_BYTES);
    let inside = match operator_or(entry, Operator::In) {
        Some(Operator::In) => Some(true),
        Some(Operator::NotIn) => Some(false),
        Some(_) => entry.fault("operator", "unknown_value", "must be in or not_in, or absent for in"),
        None => None,
    };
    Some(Rule::Segment { id: id?, inside: inside? })
}

fn count(entry: &mut Entry<'_>) -> Option<Rule> {
    let event = entry.name("event", "an event", MAX_EVENT_BYTES);
    let relation = match operator_or(entry, Operator::Compare(Relation::GreaterOrEqual)) {
        Some(Operator::Compare(relation)) => Some(relation),
        Some(_) => entry.fault("operator", "unknown_value", "must be one of == != > >= < <=, or absent for >="),
        None => None,
    };
    let threshold = threshold(entry);
    let within_seconds = match entry.given("within") {
        None => Some(None),
        Some(raw) => match Scalar::decode(raw).and_then(|value| duration::read_seconds(&value)) {
            Some(seconds) => Some(Some(seconds)),
            None => entry.fault("within", "unreadable", duration::EXPECTED),
        },
    };
    let (threshold, within_seconds) = (threshold?, within_seconds?);
    let window = CountWindow { event: event?, within_seconds, most: threshold + 1 };
    Some(Rule::Count { window, relation: relation?, threshold })
}

fn operator_or(entry: &mut Entry<'_>, default: Operator) -> Option<Operator> {
    if entry.given("operator").is_some() { entry.operator() } else { Some(default) }
}

fn threshold(entry: &mut Entry<'_>) -> Option<u32> {
    let number = match entry.given("value").and_then(Scalar::decode) {
        Some(value @ (Scalar::Number(_) | Scalar::Text(_))) => value.number(),
        Some(Scalar::Null | Scalar::Bool(_)) | None => None,
    };
    let whole = number.and_then(|number| u32::try_from(number.whole()?).ok());
    match whole.filter(|count| *count <= MAX_COUNT) {
        Some(threshold) => Some(threshold),
        None => entry.fault("value", "out_of_range", format!("must be a whole number from 0 to {MAX_COUNT}")),
    }
}
