//! Lines of a stream message that are no events: what is asked for about a person as a whole, in order with that person's events.
//!
//! A control line lies in the partition of its key, counts as one event in the books, and travels in a message of
//! [`super::message::SPECIAL_VERSION`], so that a program that does not know it waits for its upgrade. The worker that owns the
//! partition carries it out. `control` is the first field of the line, which tells it from an event without reading it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::user_key::{KeyKind, UserKey};

/// How every control line begins, and no event does.
const PREFIX: &[u8] = br#"{"control":"#;

/// A control line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "control", rename_all = "snake_case")]
pub enum Control {
    /// Everything about a person goes, and nothing is stored any more.
    Erase(Erase),
    /// The person has agreed anew: what happens from now on is stored again.
    RenewConsent(Request),
}

/// Who is meant, and who asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Random: a replay of the line does nothing.
    pub id: Uuid,
    /// Which id space.
    pub kind: KeyKind,
    /// The user or anonymous id.
    pub key: String,
    /// When it was asked for.
    pub requested_at: DateTime<Utc>,
    /// Name of the admin key, or who ran the command.
    pub by: String,
    /// A ticket number, for example. Kept in the receipt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// An erasure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erase {
    /// Who is meant, and who asked.
    #[serde(flatten)]
    pub request: Request,
    /// What becomes of the events.
    #[serde(default)]
    pub mode: Mode,
    /// Properties that an anonymised event keeps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keep_properties: Vec<String>,
}

/// What becomes of the events of an erased person.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// They go.
    #[default]
    Delete,
    /// They stay under a random id: type, name, times and source, and the properties that are named.
    Anonymise,
}

impl Mode {
    /// The stored form.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delete => "delete",
            Self::Anonymise => "anonymise",
        }
    }

    /// Reads the stored form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Delete, Self::Anonymise].into_iter().find(|mode| mode.as_str() == text)
    }
}

impl Request {
    /// The key that is meant.
    #[must_use]
    pub fn key(&self) -> UserKey<'_> {
        UserKey { kind: self.kind, id: &self.key }
    }
}

impl Control {
    /// Who is meant, and who asked.
    #[must_use]
    pub fn request(&self) -> &Request {
        match self {
            Self::Erase(erase) => &erase.request,
            Self::RenewConsent(request) => request,
        }
    }

    /// Is this line a control line, whether it can be read or not?
    #[must_use]
    pub fn is_one(line: &[u8]) -> bool {
        line.starts_with(PREFIX)
    }

    /// Reads a control line.
    pub fn parse(line: &[u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(line)
    }

    /// As it lies in the stream.
    pub fn to_line(&self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::Event;

    #[test]
    fn a_control_line_is_read_back_and_is_never_taken_for_an_event() {
        let request = Request {
            id: Uuid::from_u128(7),
            kind: KeyKind::Anonymous,
            key: "a\"1\n".to_owned(),
            requested_at: DateTime::UNIX_EPOCH,
            by: "ops".to_owned(),
            reason: None,
        };
        let erase =
            Erase { request: request.clone(), mode: Mode::Anonymise, keep_properties: vec!["price".to_owned()] };
        for control in [Control::Erase(erase), Control::RenewConsent(request)] {
            let line = control.to_line().unwrap();
            assert!(Control::is_one(&line) && !line.contains(&b'\n'));
            assert_eq!(Control::parse(&line).unwrap(), control);
            assert!(serde_json::from_slice::<Event<'_>>(&line).is_err());
        }
        assert!(!Control::is_one(br#"{"id":"x","control":1}"#));
    }
}
