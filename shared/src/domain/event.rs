//! One event, normalised: exactly what a line of a stream message holds and what a row of `events` is made of.
//!
//! Nested JSON (`properties`, `traits`, `context`, `extra`) is the client's own text, carried through and never re-serialised.
//! [`crate::domain::intake`] makes these, [`crate::domain::message`] packs them, the worker stores them.

use std::borrow::Cow;
use std::ops::{BitOr, BitOrAssign};

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::user_key::{Placeholders, UserKey};

/// The six calls of the Segment family; EmbeddedCraft uses the first two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventType {
    /// Something a user did.
    Track,
    /// Who a user is: traits to merge.
    Identify,
    /// A web page seen.
    Page,
    /// A screen of an app seen.
    Screen,
    /// A user belongs to a group.
    Group,
    /// Two ids are one person.
    Alias,
}

impl EventType {
    /// Every type.
    pub const ALL: [Self; 6] = [Self::Track, Self::Identify, Self::Page, Self::Screen, Self::Group, Self::Alias];

    /// The wire form.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Track => "track",
            Self::Identify => "identify",
            Self::Page => "page",
            Self::Screen => "screen",
            Self::Group => "group",
            Self::Alias => "alias",
        }
    }

    /// Reads the wire form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|t| t.as_str() == text)
    }
}

/// What was noticed about an event on its way in. Bits, stored as a `smallint`; 0 for nearly every event.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Flags(i16);

impl Flags {
    /// Its own time lies outside what is kept (or ahead of our clock): filed or shown by the time of receipt.
    pub const CLOCK_CLAMPED: Self = Self(1);
    /// The time could not be read.
    pub const TIME_UNREADABLE: Self = Self(2);
    /// The time had no zone: shown by the time of receipt.
    pub const TIME_ZONELESS: Self = Self(4);
    /// `timestamp` was moved by the batch's clock offset.
    pub const SKEW_CORRECTED: Self = Self(8);
    /// `\u0000` or half a surrogate pair was replaced with U+FFFD, because no database can hold it.
    pub const TEXT_REPAIRED: Self = Self(16);
    /// History from elsewhere: it moves no campaign, and its traits only fill what is not known. Such a line travels in a message of
    /// [`super::message::SPECIAL_VERSION`].
    pub const IMPORTED: Self = Self(32);

    /// Are all bits of `other` set?
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Nothing was noticed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0 == 0
    }

    /// The stored form.
    #[must_use]
    pub fn bits(self) -> i16 {
        self.0
    }
}

impl BitOr for Flags {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Flags {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// A normalised event. Field names are those of the line; absent values are left out of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Event<'a> {
    /// Identity: equal for every resend ([`super::event_id`]).
    pub id: Uuid,
    /// The partition of `events` it is filed under ([`super::day`]).
    pub day: NaiveDate,
    /// A resend must be looked up in `late_ids` ([`super::day::Filing::late`]).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub late: bool,
    /// Which call it was.
    #[serde(rename = "type")]
    pub kind: EventType,
    /// As sent (a number as its text).
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<Cow<'a, str>>,
    /// As sent.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub anonymous_id: Option<Cow<'a, str>>,
    /// Event name of a track, name of a page or screen.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub event: Option<Cow<'a, str>>,
    /// As sent.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<Cow<'a, str>>,
    /// EmbeddedCraft's own, not unique.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub event_id: Option<Cow<'a, str>>,
    /// Of a group call.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub group_id: Option<Cow<'a, str>>,
    /// Of an alias call.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub previous_id: Option<Cow<'a, str>>,
    /// The time it is shown and ordered by.
    pub timestamp: DateTime<Utc>,
    /// The client's time exactly as sent.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub original_timestamp: Option<Cow<'a, str>>,
    /// The client's clock when it sent the request, if it said so and it could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_at: Option<DateTime<Utc>>,
    /// Our clock when the request arrived.
    pub received_at: DateTime<Utc>,
    /// Name of the key it came with.
    #[serde(borrow)]
    pub source: Cow<'a, str>,
    /// What was noticed.
    #[serde(default, skip_serializing_if = "Flags::is_empty")]
    pub flags: Flags,
    /// A JSON object, the client's text.
    #[serde(borrow, default, deserialize_with = "borrowed_raw", skip_serializing_if = "Option::is_none")]
    pub properties: Option<Cow<'a, RawValue>>,
    /// A JSON object, the client's text.
    #[serde(borrow, default, deserialize_with = "borrowed_raw", skip_serializing_if = "Option::is_none")]
    pub traits: Option<Cow<'a, RawValue>>,
    /// A JSON object, the client's text.
    #[serde(borrow, default, deserialize_with = "borrowed_raw", skip_serializing_if = "Option::is_none")]
    pub context: Option<Cow<'a, RawValue>>,
    /// Every other field the client sent, as one JSON object.
    #[serde(borrow, default, deserialize_with = "borrowed_raw", skip_serializing_if = "Option::is_none")]
    pub extra: Option<Cow<'a, RawValue>>,
}

/// serde would copy the text of a `Cow<RawValue>`; a line is read in place.
fn borrowed_raw<'de: 'a, 'a, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Cow<'a, RawValue>>, D::Error> {
    Option::<&'de RawValue>::deserialize(deserializer).map(|raw| raw.map(Cow::Borrowed))
}

impl Event<'_> {
    /// Whose event it is; `None` for a stranger.
    #[must_use]
    pub fn user_key(&self, placeholders: &Placeholders) -> Option<UserKey<'_>> {
        UserKey::of(self.user_id.as_deref(), self.anonymous_id.as_deref(), placeholders)
    }

    /// When it happened, for rules that count: its own time, or its receipt where the device's clock is ahead.
    #[must_use]
    pub fn happened_at(&self) -> DateTime<Utc> {
        self.timestamp.min(self.received_at)
    }

    /// The name that campaign triggers listen to: of a track its event, of a page or screen its name.
    #[must_use]
    pub fn trigger(&self) -> Option<&str> {
        match self.kind {
            EventType::Track | EventType::Page | EventType::Screen => self.event.as_deref(),
            EventType::Identify | EventType::Group | EventType::Alias => None,
        }
    }
}
