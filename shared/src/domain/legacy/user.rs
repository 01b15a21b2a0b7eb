//! A user of the old store, as an identify that goes through the stream: the owner of the user's partition writes the profile.
//!
//! Its id is made of the user and the traits, so a repetition is a duplicate; it is filed under the day of the import and looked up
//! in `late_ids`, whatever day that was. Its traits only fill what is not known.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::identity::{digest, hex};
use super::oddity::Oddity;
use super::{Noticed, Refused, SOURCE, Terms, mojibake};
use crate::domain::event::{EventType, Flags};
use crate::domain::event_id::{Name, event_id};
use crate::domain::intake::{Request, normalise};
use crate::domain::raw_object::RawObject;
use crate::domain::timestamp::{ClientTime, parse_number, parse_text};
use crate::domain::user_key::UserKey;

/// A user to be imported.
#[derive(Debug)]
pub struct Imported {
    /// Of the identify.
    pub id: Uuid,
    /// Of the user.
    pub partition: u16,
    /// As it lies in the stream.
    pub line: Vec<u8>,
    /// The traits, as they are stored.
    pub traits: String,
    /// What is odd about it.
    pub noticed: Noticed,
}

/// What becomes of one.
#[derive(Debug)]
pub enum Mapped {
    /// A profile.
    Profile(Imported),
    /// Nobody: a placeholder without traits.
    Nobody,
}

/// Maps the user `id` with these traits.
pub fn map(id: &str, raw: &RawValue, terms: &Terms<'_>) -> Result<Mapped, Refused> {
    let traits = RawObject::parse(raw.get()).map_err(|_| Refused::because("has traits that are no JSON object"))?;
    if terms.placeholders.contains(id) {
        return if traits.is_empty() {
            Ok(Mapped::Nobody)
        } else {
            Err(Refused::because(format!("{id:?} stands for strangers, and traits of strangers belong to nobody")))
        };
    }
    let body = format!(r#"{{"user_id":{},"traits":{}}}"#, serde_json::Value::from(id), raw.get());
    let body = RawValue::from_string(body).map_err(|error| Refused::because(format!("cannot be read: {error}")))?;
    let request = Request {
        source: SOURCE,
        received_at: terms.now,
        retention_days: u16::MAX,
        placeholders: terms.placeholders,
        sent_at: None,
        context: None,
        idempotency_key: None,
    };
    let mut event = normalise(&body, Some(EventType::Identify), 0, &request, || 0)
        .map_err(|rejection| Refused::violations(&rejection.violations))?;

    let mut noticed = Noticed::new();
    let mut notice = |oddity, holds: bool| noticed.extend(holds.then_some((oddity, 1)));
    notice(Oddity::TraitId, traits.get("id").is_some());
    notice(Oddity::LastSeenNumber, traits.get("last_seen").is_some_and(|raw| !raw.get().starts_with('"')));
    notice(Oddity::Mojibake, mojibake::is_in(id) || mojibake::is_in(raw.get()));
    let repaired = event.flags.contains(Flags::TEXT_REPAIRED);
    notice(Oddity::TextRepaired, repaired);

    let key = UserKey::user(event.user_id.as_deref().unwrap_or(id));
    let partition = key.partition(terms.partitions);
    let name = format!("legacy-user:{}", hex(&digest(raw)));
    let id = event_id(EventType::Identify, Some(key), Name::MessageId(&name), None);
    let stored = event.traits.as_deref().map_or("{}", RawValue::get).to_owned();
    event.id = id;
    event.day = terms.now.date_naive();
    event.late = true;
    event.timestamp = last_seen(&traits).filter(|seen| *seen < terms.now).unwrap_or(terms.now);
    event.original_timestamp = None;
    event.source = Cow::Borrowed(SOURCE);
    event.flags = Flags::IMPORTED | if repaired { Flags::TEXT_REPAIRED } else { Flags::default() };
    let line = serde_json::to_vec(&event).map_err(|error| Refused::because(format!("cannot be written: {error}")))?;
    Ok(Mapped::Profile(Imported { id, partition, line, traits: stored, noticed }))
}

/// When the user was last seen, as far as that can be read: the time that the identify is shown with.
fn last_seen(traits: &RawObject) -> Option<DateTime<Utc>> {
    let raw = traits.get("last_seen")?.get();
    let text = raw.trim_matches('"');
    let time = text.parse().map_or_else(|_| parse_text(text), parse_number);
    if let ClientTime::Instant(time) = time { Some(time) } else { None }
}
