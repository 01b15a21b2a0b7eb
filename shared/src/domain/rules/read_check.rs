//! How the value of a rule on a field is read, which depends on its operator.

use super::check::Check;
use super::duration;
use super::entry::Entry;
use super::moment;
use super::operand::{Comparison, Operand};
use super::operator::{Operator, Relation};
use super::pattern;
use super::value::{Scalar, elements};

/// Most values of an `in` or `not_in`.
pub const MAX_LISTED: usize = 1_000;

/// The options of a rule on a field.
#[derive(Debug, Clone, Copy)]
pub(super) struct Options {
    pub comparison: Comparison,
    pub ignore_case: bool,
}

impl Options {
    /// Is text to be compared in lower case? Times have no case, and a pattern has its own.
    pub fn folds(self, operator: Operator) -> bool {
        match operator {
            Operator::Before | Operator::After | Operator::WithinLast | Operator::Matches => false,
            Operator::Compare(_) | Operator::In | Operator::NotIn => {
                self.ignore_case && self.comparison != Comparison::Time
            }
            Operator::Contains
            | Operator::NotContains
            | Operator::StartsWith
            | Operator::EndsWith
            | Operator::Exists
            | Operator::NotExists
            | Operator::IsTrue
            | Operator::IsFalse => self.ignore_case,
        }
    }
}

/// Reads the value that the operator needs; `None` after a fault.
pub(super) fn read(entry: &mut Entry<'_>, operator: Operator, options: Options) -> Option<Check> {
    let folds = options.folds(operator);
    Some(match operator {
        Operator::Exists => Check::Exists,
        Operator::NotExists => Check::NotExists,
        Operator::IsTrue => Check::Compare(Relation::Equal, Operand::Any(Scalar::Bool(true))),
        Operator::IsFalse => Check::Compare(Relation::Equal, Operand::Any(Scalar::Bool(false))),
        Operator::Compare(relation) => {
            let value = entry.value()?;
            Check::Compare(relation, operand(entry, "value", value, options.comparison, folds)?)
        }
        Operator::In => Check::In(list(entry, options.comparison, folds)?),
        Operator::NotIn => Check::NotIn(list(entry, options.comparison, folds)?),
        Operator::Contains => Check::Contains(folded(entry.value()?, folds).into_owned()),
        Operator::NotContains => Check::NotContains(folded(entry.value()?, folds).into_owned()),
        Operator::StartsWith => Check::StartsWith(text(entry, folds)?),
        Operator::EndsWith => Check::EndsWith(text(entry, folds)?),
        Operator::Matches => Check::Matches(pattern(entry, options.ignore_case)?),
        Operator::Before => Check::Before(converted(entry, moment::EXPECTED, moment::read)?),
        Operator::After => Check::After(converted(entry, moment::EXPECTED, moment::read)?),
        Operator::WithinLast => Check::WithinLastSeconds(converted(entry, duration::EXPECTED, duration::read_seconds)?),
    })
}

fn folded(value: Scalar<'_>, folds: bool) -> Scalar<'_> {
    if folds { value.folded().into_owned() } else { value }
}

fn converted<T>(entry: &mut Entry<'_>, expected: &'static str, read: impl Fn(&Scalar<'_>) -> Option<T>) -> Option<T> {
    match read(&entry.value()?) {
        Some(read) => Some(read),
        None => entry.fault("value", "unreadable", expected),
    }
}

fn text(entry: &mut Entry<'_>, folds: bool) -> Option<String> {
    match folded(entry.value()?, folds).text() {
        Some(text) => Some(text.into_owned()),
        None => entry.fault("value", "wrong_type", "must be a string"),
    }
}

fn operand(
    entry: &mut Entry<'_>,
    key: &str,
    value: Scalar<'_>,
    comparison: Comparison,
    folds: bool,
) -> Option<Operand> {
    match Operand::read(&folded(value, folds), comparison) {
        Ok(operand) => Some(operand),
        Err(expected) => entry.fault(key, "unreadable", expected),
    }
}

fn list(entry: &mut Entry<'_>, comparison: Comparison, folds: bool) -> Option<Vec<Operand>> {
    let Some(raw) = entry.raw_value()?.filter(|raw| raw.get().starts_with('[')) else {
        return entry.fault("value", "wrong_type", "must be an array of strings, numbers, true, false or null");
    };
    let elements = elements(raw);
    if elements.len() > MAX_LISTED {
        let message = format!("has {} values; at most {MAX_LISTED} are allowed", elements.len());
        return entry.fault("value", "too_many", message);
    }
    let mut operands = Vec::with_capacity(elements.len());
    for (index, element) in elements.into_iter().enumerate() {
        let key = format!("value[{index}]");
        let Some(value) = Scalar::decode(element) else {
            return entry.fault(&key, "wrong_type", "must be a string, a number, true, false or null");
        };
        operands.push(operand(entry, &key, value, comparison, folds)?);
    }
    Some(operands)
}

fn pattern(entry: &mut Entry<'_>, ignore_case: bool) -> Option<regex::Regex> {
    let Scalar::Text(pattern) = entry.value()? else {
        return entry.fault("value", "wrong_type", "must be a regular expression (a string)");
    };
    match pattern::compile(&pattern, ignore_case) {
        Ok(pattern) => Some(pattern),
        Err(why) => entry.fault("value", "unreadable", why),
    }
}
