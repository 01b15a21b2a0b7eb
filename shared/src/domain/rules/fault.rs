//! What is wrong with a document that an editor owns (a campaign, a segment, a feature): one value per mistake, so that the
//! editor is told everything at once.

use std::fmt;

use serde::Serialize;

/// One mistake in a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Path of the field, such as `rules[3].operator`.
    pub field: String,
    /// `required`, `wrong_type`, `too_long`, `too_many`, `too_deep`, `out_of_range`, `unknown_value`, `unreadable`,
    /// `not_allowed`, `ambiguous`, `never` (it could not come about) or `unwritable`.
    pub code: &'static str,
    /// What is wrong and what to do, for a person.
    pub message: String,
}

impl Fault {
    /// A fault at `field`.
    pub fn new(field: impl Into<String>, code: &'static str, message: impl Into<String>) -> Self {
        Self { field: field.into(), code, message: message.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.field, self.message)
    }
}
