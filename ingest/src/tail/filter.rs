//! What a listener wants to see, and what there is to be seen. Pure.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use shared::domain::event::Event;
use shared::domain::intake::envelope;
use uuid::Uuid;

/// An entry with more text than this is sent without the client's JSON.
const MOST_BYTES: usize = 32 << 10;
/// Of a rejected event so much of the text is shown.
const RAW_BYTES: usize = 4 << 10;

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// In the stream.
    Accepted,
    /// Answered with an error.
    Rejected,
}

impl Outcome {
    /// The wire form.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
        }
    }

    /// Reads it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Accepted, Self::Rejected].into_iter().find(|outcome| outcome.as_str() == text)
    }
}

/// What to show; absent parts narrow nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "named like what they compare with")]
pub struct Filter {
    /// A user or anonymous id.
    pub user: Option<String>,
    pub event: Option<String>,
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub source: Option<String>,
    pub outcome: Option<Outcome>,
}

impl Filter {
    /// Is it wanted?
    #[must_use]
    pub fn passes(&self, entry: &Entry<'_>) -> bool {
        let is = |wanted: &Option<String>, found: &[Option<&str>]| {
            wanted.as_deref().is_none_or(|wanted| found.contains(&Some(wanted)))
        };
        is(&self.user, &[entry.user_id, entry.anonymous_id])
            && is(&self.event, &[entry.event])
            && is(&self.kind, &[entry.kind])
            && is(&self.source, &[entry.source])
            && self.outcome.is_none_or(|outcome| outcome == entry.outcome)
    }
}

/// One line of the tail.
#[derive(Debug, Clone, Serialize)]
#[expect(missing_docs, reason = "as in `shared::domain::event::Event`")]
pub struct Entry<'a> {
    pub outcome: Outcome,
    pub at: DateTime<Utc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<Uuid>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anonymous_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub properties: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traits: Option<&'a RawValue>,
    /// Why it was rejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'a str>,
    /// The same for a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<Cow<'a, str>>,
    /// The beginning of a rejected event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw: Option<&'a str>,
}

impl<'a> Entry<'a> {
    /// An empty one.
    #[must_use]
    pub fn of(outcome: Outcome) -> Self {
        Self {
            outcome,
            at: Utc::now(),
            source: None,
            id: None,
            kind: None,
            event: None,
            user_id: None,
            anonymous_id: None,
            message_id: None,
            timestamp: None,
            properties: None,
            traits: None,
            code: None,
            message: None,
            raw: None,
        }
    }

    /// An event that is on its way.
    #[must_use]
    pub fn accepted(event: &'a Event<'_>) -> Self {
        Self {
            at: event.received_at,
            source: Some(&event.source),
            id: Some(event.id),
            kind: Some(event.kind.as_str()),
            event: event.event.as_deref(),
            user_id: event.user_id.as_deref(),
            anonymous_id: event.anonymous_id.as_deref(),
            message_id: event.message_id.as_deref(),
            timestamp: Some(event.timestamp),
            properties: event.properties.as_deref(),
            traits: event.traits.as_deref(),
            ..Self::of(Outcome::Accepted)
        }
    }

    /// Its text; `skipped` entries were left out before it.
    #[must_use]
    pub fn text(&self, skipped: u64) -> Option<Vec<u8>> {
        #[derive(Serialize)]
        struct Line<'a> {
            #[serde(flatten)]
            entry: &'a Entry<'a>,
            #[serde(skip_serializing_if = "is_zero")]
            skipped: u64,
            #[serde(skip_serializing_if = "std::ops::Not::not")]
            shortened: bool,
        }
        let text = serde_json::to_vec(&Line { entry: self, skipped, shortened: false }).ok()?;
        if text.len() <= MOST_BYTES {
            return Some(text);
        }
        let short = Entry { properties: None, traits: None, ..self.clone() };
        serde_json::to_vec(&Line { entry: &short, skipped, shortened: true }).ok()
    }
}

/// What can be read of an event that was rejected.
#[derive(Debug, Default)]
pub struct Glimpse {
    user_id: Option<String>,
    anonymous_id: Option<String>,
    event: Option<String>,
    kind: Option<String>,
    message_id: Option<String>,
}

impl Glimpse {
    /// Reads the fields that a filter may ask for, in any spelling.
    #[must_use]
    pub fn of(raw: &RawValue) -> Self {
        let fields = envelope::entries(raw.get()).unwrap_or_default();
        let text = |names: &[&str]| {
            let (_, value) = fields.iter().find(|(name, _)| names.contains(&name.as_ref()))?;
            serde_json::from_str::<String>(value.get()).ok()
        };
        Self {
            user_id: text(&["userId", "user_id"]),
            anonymous_id: text(&["anonymousId", "anonymous_id"]),
            event: text(&["event", "action", "name"]),
            kind: text(&["type"]),
            message_id: text(&["messageId", "message_id"]),
        }
    }

    /// The entry of a rejected event.
    #[must_use]
    pub fn entry<'a>(&'a self, raw: &'a RawValue) -> Entry<'a> {
        let end = raw.get().floor_char_boundary(RAW_BYTES);
        Entry {
            user_id: self.user_id.as_deref(),
            anonymous_id: self.anonymous_id.as_deref(),
            event: self.event.as_deref(),
            kind: self.kind.as_deref(),
            message_id: self.message_id.as_deref(),
            raw: raw.get().get(..end),
            ..Entry::of(Outcome::Rejected)
        }
    }
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_narrows_by_each_of_its_parts() {
        let some = |text: &str| Some(text.to_owned());
        let entry = Entry {
            anonymous_id: Some("a1"),
            event: Some("opened"),
            source: Some("web"),
            ..Entry::of(Outcome::Rejected)
        };
        assert!(Filter::default().passes(&entry));
        assert!(
            Filter { user: some("a1"), event: some("opened"), outcome: Some(Outcome::Rejected), ..Filter::default() }
                .passes(&entry)
        );
        for filter in [
            Filter { user: some("ada"), ..Filter::default() },
            Filter { event: some("closed"), ..Filter::default() },
            Filter { kind: some("track"), ..Filter::default() },
            Filter { source: some("app"), ..Filter::default() },
            Filter { outcome: Some(Outcome::Accepted), ..Filter::default() },
        ] {
            assert!(!filter.passes(&entry), "{filter:?}");
        }
    }

    #[test]
    fn an_entry_is_never_larger_than_a_message_may_be() {
        let raw: Box<RawValue> =
            serde_json::from_str(&format!(r#"{{"user_id":"u","x":"{}"}}"#, "é".repeat(40_000))).unwrap();
        let entry = Entry { properties: Some(&raw), ..Entry::of(Outcome::Accepted) };
        let text = String::from_utf8(entry.text(0).unwrap()).unwrap();
        assert!(text.len() < 1_000 && text.contains(r#""shortened":true"#));
        let glimpse = Glimpse::of(&raw);
        let entry = glimpse.entry(&raw);
        assert_eq!((entry.user_id, entry.raw.unwrap().len()), (Some("u"), RAW_BYTES));
    }
}
