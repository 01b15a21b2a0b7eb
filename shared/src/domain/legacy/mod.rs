//! The store of the old EmbeddedCraft server (`data.json`), element by element: what each becomes here, and what is odd about it.
//!
//! Pure: [`event`], [`user`] and [`document`] map one element; [`oddity`] names what is noticed and says what is done about it;
//! [`identity`] gives elements that have no usable id one that is the same in every import; [`places`] keeps the order of lists;
//! [`back`] is the way back. Reading the file, the stream and the database are the importer's.
//!
//! Invariant: mapping the same element again gives the same ids, so an import that is repeated adds nothing.

pub mod back;
pub mod document;
pub mod event;
pub mod identity;
pub mod mojibake;
pub mod oddity;
pub mod places;
#[cfg(test)]
mod tests;
pub mod user;

use chrono::{DateTime, Utc};

use self::oddity::Oddity;
use super::user_key::Placeholders;
use super::violation::Violation;

/// What an imported event names as its source.
pub const SOURCE: &str = "import";

/// What elements are mapped under.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    /// The time of the import.
    pub now: DateTime<Utc>,
    /// User ids of strangers.
    pub placeholders: &'a Placeholders,
    /// Units of ownership.
    pub partitions: u16,
}

/// Oddities of one element, each with how often.
pub type Noticed = Vec<(Oddity, u64)>;

/// An element that cannot be imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Why, for a person.
    pub reason: String,
}

impl Refused {
    fn because(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }

    fn violations(violations: &[Violation]) -> Self {
        let say = |violation: &Violation| format!("{} {}", violation.field, violation.message);
        Self::because(violations.iter().map(say).collect::<Vec<_>>().join("; "))
    }
}
