//! Judges the fields of one event: a normalised [`Event`], or everything that is wrong with it.
//!
//! Lenient where a resend would otherwise never end (odd names, broken clocks, halved emoji), strict where a row would lie
//! (rounded numbers, wrong types). A user id sent as a number is its text, as on the old server.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;

use super::envelope::{self, kind_of};
use super::fields::{self, Field, Fields};
use super::values::{number_as_text, read_time};
use crate::domain::event::{Event, EventType, Flags};
use crate::domain::event_id::{self, Name};
use crate::domain::timestamp::ClientTime;
use crate::domain::user_key::{Placeholders, UserKey};
use crate::domain::violation::{Code, Violation};
use crate::domain::{day, json_text, limits};

/// What all events of a request share.
#[derive(Debug)]
pub struct Request<'a> {
    /// Name of the write key.
    pub source: &'a str,
    /// Our clock when the request arrived.
    pub received_at: DateTime<Utc>,
    /// Days that are kept; see [`day::file`].
    pub retention_days: u16,
    /// User ids that stand for strangers.
    pub placeholders: &'a Placeholders,
    /// `sentAt` of the envelope.
    pub sent_at: Option<&'a RawValue>,
    /// `context` of the envelope, for events without their own.
    pub context: Option<&'a RawValue>,
    /// The `Idempotency-Key` header.
    pub idempotency_key: Option<&'a str>,
}

/// An event that was refused.
#[derive(Debug)]
pub struct Rejection {
    /// Its message id, if one could be read.
    pub message_id: Option<String>,
    /// All that is wrong, at least one entry.
    pub violations: Vec<Violation>,
}

/// Normalises the event at `index` of its request. `route` is the type that the path names; in a batch the event says itself,
/// and one that does not (a replayed EmbeddedCraft body) is a track if it has an event name, an identify if it has traits.
/// `random` gives fresh bits for an event that nobody named.
pub fn normalise<'a>(
    raw: &'a RawValue,
    route: Option<EventType>,
    index: usize,
    request: &Request<'a>,
    random: impl FnOnce() -> u128,
) -> Result<Event<'a>, Rejection> {
    let whole = |code, message: String| Rejection {
        message_id: None,
        violations: vec![Violation::new("event", code, message)],
    };
    if !raw.get().starts_with('{') {
        return Err(whole(Code::InvalidJson, format!("is {}; an event is a JSON object", kind_of(raw))));
    }
    if raw.get().len() > limits::EVENT_BYTES {
        return Err(whole(
            Code::TooLong,
            format!("has {} bytes; at most {} are allowed", raw.get().len(), limits::EVENT_BYTES),
        ));
    }
    let fields = fields::split(raw.get()).map_err(|e| whole(Code::InvalidJson, format!("cannot be read: {e}")))?;
    let mut judge = Judge::default();
    let event = judge.event(raw.get(), &fields, route, index, request, random);
    match event {
        Some(event) if judge.violations.is_empty() => Ok(event),
        _ => Err(Rejection { message_id: judge.message_id, violations: judge.violations }),
    }
}

/// Collects what is wrong and what was noticed while the fields are read.
#[derive(Default)]
struct Judge {
    violations: Vec<Violation>,
    flags: Flags,
    message_id: Option<String>,
}

impl Judge {
    fn event<'a>(
        &mut self,
        raw: &'a str,
        fields: &Fields<'a>,
        route: Option<EventType>,
        index: usize,
        request: &Request<'a>,
        random: impl FnOnce() -> u128,
    ) -> Option<Event<'a>> {
        let message_id = self.id(fields.message_id.as_ref(), limits::MESSAGE_ID_BYTES).filter(|id| !id.is_empty());
        self.message_id = message_id.as_deref().map(str::to_owned);
        let kind = self.kind(fields, route);
        let user_id = self.id(fields.user_id.as_ref(), limits::ID_BYTES);
        let anonymous_id = self.id(fields.anonymous_id.as_ref(), limits::ID_BYTES);
        if fields.user_id.is_none() && fields.anonymous_id.is_none() {
            self.say("user_id", Code::MissingField, "send user_id or anonymous_id");
        }
        let event_id = self.id(fields.event_id.as_ref(), limits::MESSAGE_ID_BYTES).filter(|id| !id.is_empty());
        let group_id = self.id(fields.group_id.as_ref(), limits::ID_BYTES);
        let previous_id = self.id(fields.previous_id.as_ref(), limits::ID_BYTES);
        let name = match kind {
            Some(EventType::Track) => self.name(fields.event.as_ref(), true),
            Some(EventType::Page | EventType::Screen) => {
                self.name(fields.name.as_ref().or(fields.event.as_ref()), false)
            }
            _ => None,
        };
        if kind == Some(EventType::Group) && group_id.as_deref().is_none_or(str::is_empty) {
            self.say("group_id", Code::MissingField, "a group call names its group");
        }
        if kind == Some(EventType::Alias)
            && (previous_id.as_deref().is_none_or(str::is_empty) || fields.user_id.is_none())
        {
            self.say("previous_id", Code::MissingField, "an alias call names previous_id and user_id");
        }

        let properties = self.object(fields.properties.as_ref());
        let context = self.object(fields.context.as_ref()).or_else(|| {
            let shared = request.context.filter(|c| c.get() != "null")?;
            self.object(Some(&Field { name: "context".into(), raw: shared }))
        });
        let mut traits = self.object(fields.traits.as_ref());
        if kind == Some(EventType::Identify) && traits.is_none() {
            traits = self.traits_in(context.as_ref());
        }

        let time = fields.timestamp.as_ref().map(read_time);
        let original = fields.original_timestamp.as_ref().map(read_time);
        let both = fields.timestamp.as_ref().filter(|_| original.is_some());
        let extra = self.extra(kind, fields, both);
        let client_time = original.as_ref().or(time.as_ref());
        let sent_at = fields
            .sent_at
            .as_ref()
            .map(|f| f.raw)
            .or(request.sent_at)
            .map(|raw| read_time(&Field { name: "sentAt".into(), raw }).1);

        let kind = kind?;
        let filing = day::file(client_time.map(|t| t.1), request.received_at, request.retention_days);
        let skew = day::skew(sent_at, request.received_at);
        let (timestamp, time_flags) =
            day::shown_time(time.as_ref().or(original.as_ref()).map(|t| t.1), request.received_at, skew);

        let key = UserKey::of(user_id.as_deref(), anonymous_id.as_deref(), request.placeholders);
        let named = match (&message_id, &event_id, client_time, request.idempotency_key) {
            (Some(id), ..) => Some(Name::MessageId(id)),
            (None, Some(event_id), Some((time, _)), _) => Some(Name::EventId { event_id, time, raw }),
            (None, _, _, Some(key)) => Some(Name::Idempotency { key, index, source: request.source }),
            _ => None,
        };
        let late = filing.late && named.is_some();
        let name_of = named.unwrap_or_else(|| Name::Unnamed { random: random(), received_at: request.received_at });
        let id = event_id::event_id(kind, key, name_of, client_time.and_then(|t| t.1.as_written()));

        Some(Event {
            id,
            day: filing.day,
            late,
            kind,
            event: name,
            timestamp,
            original_timestamp: client_time.map(|t| t.0.clone()),
            sent_at: match sent_at {
                Some(ClientTime::Instant(t)) => Some(t),
                _ => None,
            },
            received_at: request.received_at,
            source: Cow::Borrowed(request.source),
            flags: self.flags | filing.flags | time_flags,
            user_id,
            anonymous_id,
            message_id,
            event_id,
            group_id,
            previous_id,
            properties,
            traits,
            context,
            extra,
        })
    }

    fn say(&mut self, field: &str, code: Code, message: impl Into<String>) {
        self.violations.push(Violation::new(field, code, message));
    }

    fn kind(&mut self, fields: &Fields<'_>, route: Option<EventType>) -> Option<EventType> {
        if route.is_some() {
            return route;
        }
        let Some(field) = &fields.kind else {
            let guess = if fields.event.is_some() {
                Some(EventType::Track)
            } else {
                fields.traits.as_ref().map(|_| EventType::Identify)
            };
            if guess.is_none() {
                self.say("type", Code::MissingField, "send type: track, identify, page, screen, group or alias");
            }
            return guess;
        };
        let kind = self.text(field).and_then(|text| EventType::parse(&text));
        if kind.is_none() {
            let sent: String = field.raw.get().chars().take(40).collect();
            self.say(
                &field.name,
                Code::UnknownType,
                format!("is {sent}; it is one of track, identify, page, screen, group, alias"),
            );
        }
        kind
    }

    /// The text of a JSON string, repaired if need be; `None` (silently) if it is not a string.
    fn text<'a>(&mut self, field: &Field<'a>) -> Option<Cow<'a, str>> {
        let raw = field.raw.get();
        if !raw.starts_with('"') {
            return None;
        }
        let plain = &raw[1..raw.len() - 1];
        if !plain.contains('\\') {
            return Some(Cow::Borrowed(plain));
        }
        let checked = json_text::check(raw).ok()?;
        if checked.repaired {
            self.flags |= Flags::TEXT_REPAIRED;
        }
        serde_json::from_str::<String>(&checked.text).ok().map(Cow::Owned)
    }

    /// An id: a string, or a number taken as its text.
    fn id<'a>(&mut self, field: Option<&Field<'a>>, limit_bytes: usize) -> Option<Cow<'a, str>> {
        let field = field?;
        let text = match field.raw.get().as_bytes().first() {
            Some(b'"') => self.text(field),
            Some(b'-' | b'0'..=b'9') => Some(number_as_text(field.raw.get())),
            _ => None,
        };
        let Some(text) = text else {
            self.say(&field.name, Code::WrongType, format!("is {}; send a string", kind_of(field.raw)));
            return None;
        };
        if text.len() > limit_bytes {
            self.say(
                &field.name,
                Code::TooLong,
                format!("has {} bytes; at most {limit_bytes} are allowed", text.len()),
            );
            return None;
        }
        Some(text)
    }

    fn name<'a>(&mut self, field: Option<&Field<'a>>, required: bool) -> Option<Cow<'a, str>> {
        let Some(field) = field else {
            if required {
                self.say("event", Code::MissingField, "a track call names its event");
            }
            return None;
        };
        let Some(text) = self.text(field) else {
            self.say(&field.name, Code::WrongType, format!("is {}; send a string", kind_of(field.raw)));
            return None;
        };
        if required && text.trim().is_empty() {
            self.say(&field.name, Code::MissingField, "is blank; a track call names its event");
        }
        let characters = text.chars().count();
        if characters > limits::EVENT_NAME_CHARS {
            self.say(
                &field.name,
                Code::TooLong,
                format!("has {characters} characters; at most {} are allowed", limits::EVENT_NAME_CHARS),
            );
        }
        Some(text)
    }

    fn object<'a>(&mut self, field: Option<&Field<'a>>) -> Option<Cow<'a, RawValue>> {
        let field = field?;
        if !field.raw.get().starts_with('{') {
            self.say(&field.name, Code::WrongType, format!("is {}; send an object", kind_of(field.raw)));
            return None;
        }
        self.value(field)
    }

    /// A value that may be stored, on one line.
    fn value<'a>(&mut self, field: &Field<'a>) -> Option<Cow<'a, RawValue>> {
        match json_text::check(field.raw.get()) {
            Err((code, message)) => {
                self.say(&field.name, code, message);
                None
            }
            Ok(json_text::Checked { text: Cow::Borrowed(_), .. }) => Some(Cow::Borrowed(field.raw)),
            Ok(json_text::Checked { text: Cow::Owned(text), repaired }) => {
                if repaired {
                    self.flags |= Flags::TEXT_REPAIRED;
                }
                RawValue::from_string(text).ok().map(Cow::Owned)
            }
        }
    }

    /// rudder-sdk-python sends traits only as `context.traits`.
    fn traits_in<'a>(&mut self, context: Option<&Cow<'a, RawValue>>) -> Option<Cow<'a, RawValue>> {
        let context = context?;
        let entries = envelope::entries(context.get()).ok()?;
        let (_, traits) = entries.into_iter().rfind(|(name, raw)| name == "traits" && raw.get().starts_with('{'))?;
        Some(Cow::Owned(traits.to_owned()))
    }

    /// Every field that has no column, as one object. `timestamp` is among them when `originalTimestamp` is the raw time.
    fn extra<'a>(
        &mut self,
        kind: Option<EventType>,
        fields: &Fields<'a>,
        timestamp: Option<&Field<'a>>,
    ) -> Option<Cow<'a, RawValue>> {
        let has_name = matches!(kind, Some(EventType::Page | EventType::Screen));
        let name = fields.name.as_ref().filter(|_| !has_name);
        let event = fields.event.as_ref().filter(|_| match kind {
            Some(EventType::Track) | None => false,
            Some(EventType::Page | EventType::Screen) => fields.name.is_some(),
            Some(_) => true,
        });
        let mut text = String::new();
        for field in name.into_iter().chain(event).chain(timestamp).chain(&fields.extra) {
            if field.name.len() > limits::KEY_BYTES {
                self.say(
                    "event",
                    Code::TooLong,
                    format!(
                        "has a field name of {} bytes; at most {} are allowed",
                        field.name.len(),
                        limits::KEY_BYTES
                    ),
                );
                continue;
            }
            let Some(value) = self.value(field) else { continue };
            text.push(if text.is_empty() { '{' } else { ',' });
            let name = if field.name.contains('\0') {
                self.flags |= Flags::TEXT_REPAIRED;
                Cow::Owned(field.name.replace('\0', "\u{fffd}"))
            } else {
                Cow::Borrowed(field.name.as_ref())
            };
            text.push_str(&serde_json::to_string(&name).unwrap_or_default());
            text.push(':');
            text.push_str(value.get());
        }
        if fields.extra.len() > limits::TOP_LEVEL_KEYS {
            self.say("event", Code::TooManyKeys, format!("has more than {} fields", limits::TOP_LEVEL_KEYS));
        }
        if text.is_empty() {
            return None;
        }
        text.push('}');
        RawValue::from_string(text).ok().map(Cow::Owned)
    }
}

#[cfg(test)]
#[path = "normalise_tests.rs"]
mod tests;
