//! An event of the old store, as the line that goes through the stream.
//!
//! What the door of ingest would refuse is refused here, by the same rules, except that times may be old. The event keeps its id when
//! that is a UUID and nobody had it before; it is filed under its own day and was received when it happened.

use std::borrow::Cow;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::identity::{digest, hex, own_id};
use super::oddity::Oddity;
use super::{Noticed, Refused, SOURCE, Terms, mojibake};
use crate::domain::event::{EventType, Flags};
use crate::domain::event_id::{Name, event_id};
use crate::domain::intake::{Request, normalise};
use crate::domain::limits;
use crate::domain::raw_object::RawObject;
use crate::domain::timestamp::{ClientTime, parse_number, parse_text};
use crate::domain::user_key::{UserKey, partition_of_stranger};

/// 2000-01-01: an earlier time is a broken clock, not an event.
const EARLIEST_UNIX_SECONDS: i64 = 946_684_800;
/// A later time than this much from now is one, too.
const FUTURE: TimeDelta = TimeDelta::days(1);
/// Fields that every event of the old server had.
const EVENT_FIELDS: [&str; 5] = ["id", "user_id", "event", "properties", "ts"];
/// Where clients put the id of a campaign.
const CAMPAIGN_KEYS: [&str; 5] = ["campaign_id", "campaignId", "nudgeId", "campaign", "CAMPAIGN_ID"];

/// Which of several events with the same id (or, without one, the same content) it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Occurrence(pub u32);

/// An event to be imported.
#[derive(Debug)]
pub struct Imported {
    /// Its id from now on.
    pub id: Uuid,
    /// The day it is filed under: its own.
    pub day: NaiveDate,
    /// Whose.
    pub partition: u16,
    /// As it lies in the stream.
    pub line: Vec<u8>,
    /// The user, as sent; `None` for a stranger.
    pub user: Option<String>,
    /// Campaigns that it names.
    pub campaigns: Vec<String>,
    /// What is odd about it.
    pub noticed: Noticed,
}

/// Maps one event.
pub fn map(raw: &RawValue, occurrence: Occurrence, terms: &Terms<'_>) -> Result<Imported, Refused> {
    let object = RawObject::parse(raw.get()).map_err(|_| Refused::because("is no JSON object"))?;
    let mut noticed = Noticed::new();
    let mut notice = |oddity, holds: bool| noticed.extend(holds.then_some((oddity, 1)));
    let (ts, time) = time(&object)?;
    if time.timestamp() < EARLIEST_UNIX_SECONDS || time > terms.now + FUTURE {
        return Err(Refused::because(format!("ts {ts} is {time}, before 2000 or in the future")));
    }
    let milliseconds = ts.parse::<i64>() == Ok(time.timestamp_millis());
    notice(Oddity::EventTimeText, ts.starts_with('"'));
    notice(Oddity::EventTimeSeconds, !milliseconds && !ts.starts_with('"'));

    let request = Request {
        source: SOURCE,
        received_at: time,
        retention_days: u16::MAX,
        placeholders: terms.placeholders,
        sent_at: None,
        context: None,
        idempotency_key: None,
    };
    let mut event = normalise(raw, Some(EventType::Track), 0, &request, || 0)
        .map_err(|rejection| Refused::violations(&rejection.violations))?;
    let own_id = own_id(&object);
    let user_key = UserKey::of(event.user_id.as_deref(), event.anonymous_id.as_deref(), terms.placeholders);

    let kept = own_id.as_deref().and_then(uuid_as_written).filter(|_| occurrence == Occurrence::default());
    notice(Oddity::EventWithoutId, own_id.is_none());
    notice(Oddity::EventIdTwice, own_id.is_some() && occurrence != Occurrence::default());
    notice(Oddity::EventIdNoUuid, own_id.as_deref().is_some_and(|id| uuid_as_written(id).is_none()));
    let id = kept.unwrap_or_else(|| {
        let name = name(own_id.as_deref(), raw, occurrence);
        event_id(EventType::Track, user_key, Name::MessageId(&name), Some(time.naive_utc()))
    });

    let extra = extra(&object, event.extra.as_deref(), (!milliseconds).then_some(ts))?;
    notice(Oddity::EventExtraFields, object.iter().any(|(key, _)| !EVENT_FIELDS.contains(&key)));
    notice(Oddity::EventWithoutProperties, event.properties.is_none());
    notice(Oddity::EventUserNumber, object.get("user_id").is_some_and(|raw| is_number(raw.get())));
    notice(Oddity::EventOfPlaceholder, user_key.is_none());
    notice(Oddity::EventNameRefused, event.event.as_deref().is_some_and(refused_name));
    notice(Oddity::Mojibake, mojibake::is_in(raw.get()));
    notice(Oddity::TextRepaired, event.flags.contains(Flags::TEXT_REPAIRED));
    let named = event.properties.as_deref().map(Named::read).unwrap_or_default();
    notice(Oddity::TimeWithoutZone, named.zoneless);

    let partition =
        user_key.map_or_else(|| partition_of_stranger(id, terms.partitions), |user| user.partition(terms.partitions));
    let user = user_key.map(|key| key.id.to_owned());
    let repaired = if event.flags.contains(Flags::TEXT_REPAIRED) { Flags::TEXT_REPAIRED } else { Flags::default() };
    event.id = id;
    event.day = time.date_naive();
    event.late = false;
    event.timestamp = time;
    event.received_at = time;
    event.flags = Flags::IMPORTED | repaired;
    event.extra = extra.map(Cow::Owned);
    if kept.is_none() && event.message_id.is_none() {
        event.message_id = own_id.filter(|id| id.len() <= limits::MESSAGE_ID_BYTES).map(Cow::Owned);
    }
    let line = serde_json::to_vec(&event).map_err(|error| Refused::because(format!("cannot be written: {error}")))?;
    let day = event.day;
    Ok(Imported { id, day, partition, line, user, campaigns: named.campaigns, noticed })
}

/// `ts`, and the instant it means.
fn time(object: &RawObject) -> Result<(&str, DateTime<Utc>), Refused> {
    let Some(raw) = object.get("ts").map(RawValue::get) else { return Err(Refused::because("has no ts")) };
    let time = if raw.starts_with('"') {
        serde_json::from_str::<String>(raw).map_or(ClientTime::Unreadable, |text| parse_text(&text))
    } else {
        raw.parse().map_or(ClientTime::Unreadable, parse_number)
    };
    let shown: String = raw.chars().take(limits::TIME_BYTES).collect();
    match time {
        ClientTime::Instant(time) => Ok((raw, time)),
        ClientTime::Zoneless(_) => {
            Err(Refused::because(format!("ts {shown} has no time zone: nobody knows when it was")))
        }
        ClientTime::Unreadable => Err(Refused::because(format!("ts {shown} is no time"))),
    }
}

/// An id that is a UUID, spelt as it is shown.
fn uuid_as_written(id: &str) -> Option<Uuid> {
    Uuid::parse_str(id).ok().filter(|uuid| uuid.hyphenated().to_string() == id)
}

/// What an event without a usable id is named by, the same in every import.
fn name(own_id: Option<&str>, raw: &RawValue, occurrence: Occurrence) -> String {
    match (own_id, occurrence.0) {
        (Some(id), 0) => format!("legacy-id:{id}"),
        (Some(id), _) => format!("legacy-id:{id}:{}", hex(&digest(raw))),
        (None, n) => format!("legacy-content:{}:{n}", hex(&digest(raw))),
    }
}

/// Fields that have no column, without those that the old server made; with its `ts` where that was not what is stored.
fn extra(
    object: &RawObject,
    unknown: Option<&RawValue>,
    odd_ts: Option<&str>,
) -> Result<Option<Box<RawValue>>, Refused> {
    let mut extra = unknown.and_then(|raw| RawObject::parse(raw.get()).ok()).unwrap_or_default();
    for made in ["id", "ts"] {
        extra.remove(made);
    }
    let cannot = |error: serde_json::Error| Refused::because(format!("cannot be written: {error}"));
    // The parser takes it for what an SDK says about a call.
    if let Some(kind) = object.get("type") {
        extra.set("type", kind).map_err(cannot)?;
    }
    if let Some(ts) = odd_ts {
        extra.set("ts", &RawValue::from_string(ts.to_owned()).map_err(cannot)?).map_err(cannot)?;
    }
    if extra.is_empty() { Ok(None) } else { RawValue::from_string(extra.to_json()).map(Some).map_err(cannot) }
}

fn is_number(raw: &str) -> bool {
    matches!(raw.as_bytes().first(), Some(b'-' | b'0'..=b'9'))
}

/// The old server's last rule for names: `[A-Za-z0-9_]`, at most 100 characters.
fn refused_name(name: &str) -> bool {
    name.len() > 100 || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// What properties say that can be looked into.
#[derive(Debug, Default)]
struct Named {
    campaigns: Vec<String>,
    zoneless: bool,
}

impl Named {
    fn read(properties: &RawValue) -> Self {
        let Ok(properties) = RawObject::parse(properties.get()) else { return Self::default() };
        let text = |raw: &RawValue| match raw.get().starts_with('"') {
            true => String::deserialize(raw).ok(),
            false => is_number(raw.get()).then(|| raw.get().to_owned()),
        };
        let campaigns = CAMPAIGN_KEYS.iter().filter_map(|key| properties.get(key).and_then(text)).collect();
        let zoneless = properties
            .get("timestamp")
            .filter(|raw| raw.get().starts_with('"'))
            .and_then(text)
            .is_some_and(|text| matches!(parse_text(&text), ClientTime::Zoneless(_)));
        Self { campaigns, zoneless }
    }
}
