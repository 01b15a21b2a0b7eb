//! What the operators mean: the typed comparison whose decisions the table in [`super`] lists.

use std::borrow::Cow;
use std::cmp::Ordering;

use serde_json::value::RawValue;

use super::number::Number;

/// The comparisons a rule can make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `contains`
    Contains,
}

impl Operator {
    /// Every operator, in the order they are offered.
    pub const ALL: [Self; 7] = [
        Self::Equal,
        Self::NotEqual,
        Self::Greater,
        Self::GreaterOrEqual,
        Self::Less,
        Self::LessOrEqual,
        Self::Contains,
    ];

    /// The spelling in a document.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Contains => "contains",
        }
    }

    /// Reads the spelling in a document.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|operator| operator.as_str() == text)
    }

    /// Does `field <operator> wanted` hold? A field whose text cannot be decoded is as good as missing.
    #[must_use]
    pub fn holds(self, field: &RawValue, wanted: &Scalar<'_>) -> bool {
        let Some(field) = Value::decode(field) else {
            return false;
        };
        match self {
            Self::Equal => field.equals(wanted),
            Self::NotEqual => !field.equals(wanted),
            Self::Greater => field.order(wanted) == Some(Ordering::Greater),
            Self::GreaterOrEqual => matches!(field.order(wanted), Some(Ordering::Greater | Ordering::Equal)),
            Self::Less => field.order(wanted) == Some(Ordering::Less),
            Self::LessOrEqual => {
                matches!(field.order(wanted), Some(Ordering::Less | Ordering::Equal))
            }
            Self::Contains => field.contains(wanted),
        }
    }
}

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

    fn equals(&self, other: &Scalar<'_>) -> bool {
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

    fn order(&self, other: &Scalar<'_>) -> Option<Ordering> {
        if let (Some(a), Some(b)) = (self.number(), other.number()) {
            return Some(a.compare(b));
        }
        Some(self.text()?.cmp(&other.text()?))
    }

    fn contains(&self, part: &Scalar<'_>) -> bool {
        match (self.text(), part.text()) {
            (Some(text), Some(part)) => text.contains(part.as_ref()),
            _ => false,
        }
    }

    fn number(&self) -> Option<Number> {
        match self {
            Self::Null => None,
            Self::Bool(flag) => Some(Number::Whole(i128::from(*flag))),
            Self::Number(number) => Some(*number),
            Self::Text(text) => Number::parse(text),
        }
    }

    fn text(&self) -> Option<Cow<'_, str>> {
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
enum Value<'a> {
    Scalar(Scalar<'a>),
    Array(&'a RawValue),
    Object,
}

impl<'a> Value<'a> {
    fn decode(raw: &'a RawValue) -> Option<Self> {
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

    fn equals(&self, wanted: &Scalar<'_>) -> bool {
        match self {
            Self::Scalar(scalar) => scalar.equals(wanted),
            Self::Array(raw) => match elements(raw).as_slice() {
                [only] => element_equals(only, wanted),
                _ => false,
            },
            Self::Object => false,
        }
    }

    fn order(&self, wanted: &Scalar<'_>) -> Option<Ordering> {
        match self {
            Self::Scalar(scalar) => scalar.order(wanted),
            Self::Array(_) | Self::Object => None,
        }
    }

    fn contains(&self, wanted: &Scalar<'_>) -> bool {
        match self {
            Self::Scalar(scalar) => scalar.contains(wanted),
            Self::Array(raw) => elements(raw).into_iter().any(|element| element_equals(element, wanted)),
            Self::Object => false,
        }
    }
}

fn decode_text(quoted: &str) -> Option<Cow<'_, str>> {
    if quoted.contains('\\') {
        return serde_json::from_str(quoted).ok().map(Cow::Owned);
    }
    quoted.strip_prefix('"')?.strip_suffix('"').map(Cow::Borrowed)
}

fn elements(array: &RawValue) -> Vec<&RawValue> {
    serde_json::from_str(array.get()).unwrap_or_default()
}

/// One level only, so that deep nesting costs nothing.
fn element_equals(element: &RawValue, wanted: &Scalar<'_>) -> bool {
    Scalar::decode(element).is_some_and(|scalar| scalar.equals(wanted))
}
