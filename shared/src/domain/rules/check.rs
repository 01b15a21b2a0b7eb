//! What a rule asks of its field; the table in [`super`] lists the decisions.

use chrono::{DateTime, Utc};
use regex::Regex;
use serde_json::value::RawValue;

use super::moment;
use super::operand::Operand;
use super::operator::Relation;
use super::pattern;
use super::value::{Scalar, Value, elements};

/// An operator with its value.
#[derive(Debug, Clone)]
pub(super) enum Check {
    Exists,
    NotExists,
    Compare(Relation, Operand),
    In(Vec<Operand>),
    NotIn(Vec<Operand>),
    Contains(Scalar<'static>),
    NotContains(Scalar<'static>),
    StartsWith(String),
    EndsWith(String),
    Matches(Regex),
    Before(DateTime<Utc>),
    After(DateTime<Utc>),
    WithinLastSeconds(u32),
}

impl Check {
    /// Does it hold for the field? A field whose text cannot be decoded is as good as missing.
    pub fn holds(&self, field: Option<&RawValue>, ignore_case: bool, now: DateTime<Utc>) -> bool {
        let Some(value) = field.and_then(Value::decode) else {
            return matches!(self, Self::NotExists);
        };
        let field = Field { value, ignore_case };
        match self {
            Self::Exists => !field.is_null(),
            Self::NotExists => field.is_null(),
            Self::Compare(Relation::Equal, operand) => field.alone(|scalar| operand.equals(scalar)),
            Self::Compare(Relation::NotEqual, operand) => !field.alone(|scalar| operand.equals(scalar)),
            Self::Compare(relation, operand) => {
                field.itself(|scalar| operand.order(scalar).is_some_and(|order| relation.holds(order)))
            }
            Self::In(list) => field.some(|scalar| list.iter().any(|operand| operand.equals(scalar))),
            Self::NotIn(list) => !field.some(|scalar| list.iter().any(|operand| operand.equals(scalar))),
            Self::Contains(part) => field.contains(part),
            Self::NotContains(part) => !field.contains(part),
            Self::StartsWith(start) => field.some(|scalar| scalar.text().is_some_and(|text| text.starts_with(start))),
            Self::EndsWith(end) => field.some(|scalar| scalar.text().is_some_and(|text| text.ends_with(end))),
            Self::Matches(pattern) => {
                field.some(|scalar| scalar.text().is_some_and(|text| pattern::is_found(pattern, &text)))
            }
            Self::Before(time) => field.itself(|scalar| moment::read(scalar).is_some_and(|field| field < *time)),
            Self::After(time) => field.itself(|scalar| moment::read(scalar).is_some_and(|field| field > *time)),
            Self::WithinLastSeconds(seconds) => field.itself(|scalar| {
                moment::read(scalar).is_some_and(|field| moment::is_within_last(field, *seconds, now))
            }),
        }
    }
}

/// A field that is there.
struct Field<'a> {
    value: Value<'a>,
    ignore_case: bool,
}

impl Field<'_> {
    fn is_null(&self) -> bool {
        matches!(self.value, Value::Scalar(Scalar::Null))
    }

    /// The test of a scalar; an array or object fails it.
    fn itself(&self, test: impl Fn(&Scalar<'_>) -> bool) -> bool {
        match &self.value {
            Value::Scalar(scalar) => self.test(scalar, test),
            Value::Array(_) | Value::Object => false,
        }
    }

    /// The test of a scalar, or of the only element of an array.
    fn alone(&self, test: impl Fn(&Scalar<'_>) -> bool) -> bool {
        match &self.value {
            Value::Scalar(scalar) => self.test(scalar, test),
            Value::Array(raw) => match elements(raw).as_slice() {
                [only] => self.test_element(only, test),
                _ => false,
            },
            Value::Object => false,
        }
    }

    /// The test of a scalar, or of at least one element of an array.
    fn some(&self, test: impl Fn(&Scalar<'_>) -> bool) -> bool {
        match &self.value {
            Value::Scalar(scalar) => self.test(scalar, test),
            Value::Array(raw) => elements(raw).into_iter().any(|element| self.test_element(element, &test)),
            Value::Object => false,
        }
    }

    /// Text has parts, an array has elements.
    fn contains(&self, part: &Scalar<'_>) -> bool {
        match &self.value {
            Value::Scalar(scalar) => self.test(scalar, |scalar| match (scalar.text(), part.text()) {
                (Some(text), Some(part)) => text.contains(part.as_ref()),
                _ => false,
            }),
            Value::Array(_) => self.some(|element| element.equals(part)),
            Value::Object => false,
        }
    }

    fn test(&self, scalar: &Scalar<'_>, test: impl Fn(&Scalar<'_>) -> bool) -> bool {
        if self.ignore_case { test(&scalar.folded()) } else { test(scalar) }
    }

    /// One level only, so that deep nesting costs nothing.
    fn test_element(&self, element: &RawValue, test: impl Fn(&Scalar<'_>) -> bool) -> bool {
        Scalar::decode(element).is_some_and(|scalar| self.test(&scalar, test))
    }
}
