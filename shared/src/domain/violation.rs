//! What is wrong with an event: one value per broken rule, so that a client is told everything at once.

use serde::Serialize;

/// One broken rule of one event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// The field as the client spelt it, or its canonical name when it is missing.
    pub field: String,
    /// Stable, machine-readable reason; also the only thing that reaches a metric label.
    pub code: Code,
    /// What is wrong and what to do, for a person.
    pub message: String,
}

impl Violation {
    /// A violation of `code` at `field`.
    pub fn new(field: impl Into<String>, code: Code, message: impl Into<String>) -> Self {
        Self { field: field.into(), code, message: message.into() }
    }
}

/// The reasons for which an event is refused. A fixed set: metric labels are made of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The event is not a JSON object, or not JSON.
    InvalidJson,
    /// A field that this type of event needs is absent, null or blank.
    MissingField,
    /// A field has a JSON type that it cannot have.
    WrongType,
    /// A text, key or number is longer than its limit.
    TooLong,
    /// More keys at the top of an object than allowed.
    TooManyKeys,
    /// Nested deeper than allowed.
    TooDeep,
    /// A number that would be rounded or overflow on its way through.
    NumberOutOfRange,
    /// `type` is not one of the six.
    UnknownType,
}

impl Code {
    /// Every code, for metrics that start at zero.
    pub const ALL: [Self; 8] = [
        Self::InvalidJson,
        Self::MissingField,
        Self::WrongType,
        Self::TooLong,
        Self::TooManyKeys,
        Self::TooDeep,
        Self::NumberOutOfRange,
        Self::UnknownType,
    ];

    /// The wire form, the same as in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidJson => "invalid_json",
            Self::MissingField => "missing_field",
            Self::WrongType => "wrong_type",
            Self::TooLong => "too_long",
            Self::TooManyKeys => "too_many_keys",
            Self::TooDeep => "too_deep",
            Self::NumberOutOfRange => "number_out_of_range",
            Self::UnknownType => "unknown_type",
        }
    }
}
