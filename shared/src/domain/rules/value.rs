//! JSON values as rules see them: decoded one level deep, and only when a rule asks.

use std::borrow::Cow;
use std::cmp::Ordering;

use serde_json::value::RawValue;

use super::number::Number;

/// A JSON value that is not made of others.
#[derive(Debug, Clone)]
pub enum Scalar<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A finite number.
    Number(Number),
    /// A string, decoded.
    Text(Cow<'a, str>),
}

impl<'a> Scalar<'a> {
    /// `None` for an array, an object, half a surrogate pair and a number beyond a double.
    #[must_use]
    pub fn decode(raw: &'a RawValue) -> Option<Self> {
        match Value::decode(raw)? {
            Value::Scalar(scalar) => Some(scalar),
            Value::Array(_) | Value::Object => None,
        }
    }

    /// The same, without a borrow.
    #[must_use]
    pub fn into_owned(self) -> Scalar<'static> {
        match self {
            Self::Null => Scalar::Null,
            Self::Bool(value) => Scalar::Bool(value),
            Self::Number(number) => Scalar::Number(number),
            Self::Text(text) => Scalar::Text(Cow::Owned(text.into_owned())),
        }
    }

    /// The same with each letter in lower case.
    #[must_use]
    pub fn folded(&self) -> Scalar<'_> {
        match self {
            Self::Null => Scalar::Null,
            Self::Bool(value) => Scalar::Bool(*value),
            Self::Number(number) => Scalar::Number(*number),
            Self::Text(text) => Scalar::Text(Cow::Owned(text.chars().flat_map(char::to_lowercase).collect())),
        }
    }

    /// Equal as the table in [`super`] says of two scalars.
    #[must_use]
    pub fn equals(&self, other: &Scalar<'_>) -> bool {
        match (self, other) {
            (Self::Null, Scalar::Null) => true,
            (Self::Null, _) | (_, Scalar::Null) => false,
            (Self::Text(a), Scalar::Text(b)) => a == b,
            (Self::Bool(flag), Scalar::Text(text)) | (Self::Text(text), Scalar::Bool(flag))
                if text == bool_text(*flag) =>
            {
                true
            }
            _ => match (self.number(), other.number()) {
                (Some(a), Some(b)) => a.compare(b) == Ordering::Equal,
                _ => false,
            },
        }
    }

    /// As numbers if both are, else as text; null has no order.
    #[must_use]
    pub fn order(&self, other: &Scalar<'_>) -> Option<Ordering> {
        if let (Some(a), Some(b)) = (self.number(), other.number()) {
            return Some(a.compare(b));
        }
        Some(self.text()?.cmp(&other.text()?))
    }

    /// The number it is, spells or (a boolean) stands for.
    #[must_use]
    pub fn number(&self) -> Option<Number> {
        match self {
            Self::Null => None,
            Self::Bool(flag) => Some(Number::Whole(i128::from(*flag))),
            Self::Number(number) => Some(*number),
            Self::Text(text) => Number::parse(text),
        }
    }

    /// The text it is or (a number, in plain digits, or a boolean) is written as.
    #[must_use]
    pub fn text(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Null => None,
            Self::Bool(flag) => Some(Cow::Borrowed(bool_text(*flag))),
            Self::Number(number) => Some(Cow::Owned(number.to_string())),
            Self::Text(text) => Some(Cow::Borrowed(text)),
        }
    }
}

fn bool_text(flag: bool) -> &'static str {
    if flag { "true" } else { "false" }
}

/// Any JSON value, decoded one level deep: elements are looked at only where an operator needs them.
#[derive(Debug)]
pub enum Value<'a> {
    /// Not made of others.
    Scalar(Scalar<'a>),
    /// For [`elements`].
    Array(&'a RawValue),
    /// Never looked into.
    Object,
}

impl<'a> Value<'a> {
    /// `None` for half a surrogate pair and a number beyond a double.
    #[must_use]
    pub fn decode(raw: &'a RawValue) -> Option<Self> {
        let text = raw.get();
        let scalar = match text.as_bytes().first()? {
            b'[' => return Some(Self::Array(raw)),
            b'{' => return Some(Self::Object),
            b'"' => Scalar::Text(decode_text(text)?),
            b'n' => Scalar::Null,
            b't' => Scalar::Bool(true),
            b'f' => Scalar::Bool(false),
            _ => Scalar::Number(Number::parse(text)?),
        };
        Some(Self::Scalar(scalar))
    }
}

/// The elements of an array's text.
#[must_use]
pub fn elements(array: &RawValue) -> Vec<&RawValue> {
    serde_json::from_str(array.get()).unwrap_or_default()
}

fn decode_text(quoted: &str) -> Option<Cow<'_, str>> {
    if quoted.contains('\\') {
        return serde_json::from_str(quoted).ok().map(Cow::Owned);
    }
    quoted.strip_prefix('"')?.strip_suffix('"').map(Cow::Borrowed)
}
