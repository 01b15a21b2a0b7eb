//! The value that a rule compares its field with, read once in the way that the rule's `compare` asks for.

use std::borrow::Cow;
use std::cmp::Ordering;

use chrono::{DateTime, Utc};

use super::moment;
use super::number::Number;
use super::value::Scalar;
use super::version::Version;

/// The option `compare` of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// By what the two values are.
    Auto,
    /// Both as text.
    Text,
    /// Both as numbers.
    Number,
    /// Both as versions.
    Version,
    /// Both as points in time.
    Time,
}

impl Comparison {
    /// Every one with its spelling.
    pub const ALL: [(Self, &'static str); 5] = [
        (Self::Auto, "auto"),
        (Self::Text, "text"),
        (Self::Number, "number"),
        (Self::Version, "version"),
        (Self::Time, "time"),
    ];

    /// Reads the spelling.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(_, spelling)| *spelling == text).map(|(comparison, _)| comparison)
    }
}

/// A rule's value. A field that is not of its kind equals it never and has no order beside it.
#[derive(Debug, Clone)]
pub enum Operand {
    /// For [`Comparison::Auto`].
    Any(Scalar<'static>),
    /// For [`Comparison::Text`].
    Text(String),
    /// For [`Comparison::Number`].
    Number(Number),
    /// For [`Comparison::Version`]: text that is a version.
    Version(String),
    /// For [`Comparison::Time`].
    Time(DateTime<Utc>),
}

impl Operand {
    /// Reads a rule's value; the error says what it must be.
    pub fn read(value: &Scalar<'_>, comparison: Comparison) -> Result<Self, &'static str> {
        match comparison {
            Comparison::Auto => Ok(Self::Any(value.clone().into_owned())),
            Comparison::Text => {
                value.text().map(|text| Self::Text(text.into_owned())).ok_or("must be a string to be compared as text")
            }
            Comparison::Number => {
                value.number().map(Self::Number).ok_or(r#"must be a number, such as 5 or "5", to be compared as one"#)
            }
            Comparison::Version => version_text(value)
                .filter(|text| Version::parse(text).is_some())
                .map(|text| Self::Version(text.into_owned()))
                .ok_or(r#"must be a version such as "2.10.1" to be compared as one"#),
            Comparison::Time => moment::read(value).map(Self::Time).ok_or(moment::EXPECTED),
        }
    }

    /// Are they equal?
    #[must_use]
    pub fn equals(&self, field: &Scalar<'_>) -> bool {
        match self {
            Self::Any(value) => field.equals(value),
            Self::Text(_) | Self::Number(_) | Self::Version(_) | Self::Time(_) => {
                self.order(field) == Some(Ordering::Equal)
            }
        }
    }

    /// The order of the field beside this value.
    #[must_use]
    pub fn order(&self, field: &Scalar<'_>) -> Option<Ordering> {
        match self {
            Self::Any(value) => field.order(value),
            Self::Text(text) => Some(field.text()?.as_ref().cmp(text)),
            Self::Number(number) => Some(field.number()?.compare(*number)),
            Self::Version(text) => {
                let field = version_text(field)?;
                Some(Version::parse(&field)?.compare(Version::parse(text)?))
            }
            Self::Time(time) => Some(moment::read(field)?.cmp(time)),
        }
    }
}

/// The text that may be a version: a string's, or the plain digits of a number.
fn version_text<'a>(value: &'a Scalar<'_>) -> Option<Cow<'a, str>> {
    match value {
        Scalar::Number(_) | Scalar::Text(_) => value.text(),
        Scalar::Null | Scalar::Bool(_) => None,
    }
}
