//! Rules in words: what a rule asks, as JSON for programs and as text for people.

use std::fmt::Display;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::check::Check;
use super::operand::Operand;
use super::operator::Relation;
use super::rule::Source;
use super::value::Scalar;

/// Longest text of a value that is shown whole, in bytes.
pub const SHOWN_BYTES: usize = 1_024;
/// Of a longer one so much is shown, in characters.
const CUT_CHARS: usize = 200;

impl Source {
    /// The `type` of such a rule.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trait => "attribute",
            Self::Property => "event",
            Self::Context => "context",
        }
    }

    /// What people call it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Trait => "trait",
            Self::Property => "property",
            Self::Context => "context",
        }
    }
}

impl Check {
    /// Our spelling of the operator. `is_true` is `== true`.
    pub fn operator(&self) -> &'static str {
        match self {
            Self::Exists => "exists",
            Self::NotExists => "not_exists",
            Self::Compare(relation, _) => relation.as_str(),
            Self::In(_) => "in",
            Self::NotIn(_) => "not_in",
            Self::Contains(_) => "contains",
            Self::NotContains(_) => "not_contains",
            Self::StartsWith(_) => "starts_with",
            Self::EndsWith(_) => "ends_with",
            Self::Matches(_) => "matches",
            Self::Before(_) => "before",
            Self::After(_) => "after",
            Self::WithinLastSeconds(_) => "within_last",
        }
    }

    /// The value of the rule, as it is compared; none where none is looked at.
    pub fn expected(&self) -> Option<Box<RawValue>> {
        match self {
            Self::Exists | Self::NotExists => None,
            Self::Compare(_, operand) => operand.json(),
            Self::In(list) | Self::NotIn(list) => json(&list.iter().map(Operand::json).collect::<Vec<_>>()),
            Self::Contains(value) | Self::NotContains(value) => value.json(),
            Self::StartsWith(text) | Self::EndsWith(text) => json(text),
            Self::Matches(pattern) => json(pattern.as_str()),
            Self::Before(time) | Self::After(time) => json(&iso(*time)),
            Self::WithinLastSeconds(seconds) => json(&length(*seconds)),
        }
    }
}

impl Operand {
    fn json(&self) -> Option<Box<RawValue>> {
        match self {
            Self::Any(value) => value.json(),
            Self::Text(text) | Self::Version(text) => json(text),
            Self::Number(number) => RawValue::from_string(number.to_string()).ok(),
            Self::Time(time) => json(&iso(*time)),
        }
    }
}

impl Scalar<'_> {
    fn json(&self) -> Option<Box<RawValue>> {
        match self {
            Self::Null => json(&()),
            Self::Bool(flag) => json(flag),
            Self::Number(number) => RawValue::from_string(number.to_string()).ok(),
            Self::Text(text) => json(text),
        }
    }
}

/// How often something must have happened.
pub fn times(relation: Relation, threshold: u32) -> String {
    let word = match relation {
        Relation::Equal => "exactly",
        Relation::NotEqual => "not exactly",
        Relation::Greater => "more than",
        Relation::GreaterOrEqual => "at least",
        Relation::Less => "fewer than",
        Relation::LessOrEqual => "at most",
    };
    format!("{word} {}", counted(threshold))
}

/// So many times.
pub fn counted(times: u32) -> String {
    if times == 1 { "once".to_owned() } else { format!("{times} times") }
}

/// A length of time as rules spell it, in the largest unit that fits.
pub fn length(seconds: u32) -> String {
    let units = [(7 * 86_400, "w"), (86_400, "d"), (3_600, "h"), (60, "m")];
    let fits = units.into_iter().find(|(unit, _)| seconds >= *unit && seconds.is_multiple_of(*unit));
    fits.map_or_else(|| format!("{seconds}s"), |(unit, name)| format!("{}{name}", seconds / unit))
}

/// A value that was seen; of a long one its beginning, as text.
pub fn shown(value: &RawValue) -> Option<Box<RawValue>> {
    if value.get().len() <= SHOWN_BYTES {
        return Some(value.to_owned());
    }
    let begin: String = value.get().chars().take(CUT_CHARS).collect();
    json(&format!("{begin}… ({} bytes)", value.get().len()))
}

fn iso(time: DateTime<Utc>) -> impl Display + Serialize {
    time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

fn json<T: Serialize + ?Sized>(value: &T) -> Option<Box<RawValue>> {
    to_raw_value(value).ok()
}
