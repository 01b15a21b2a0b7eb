//! From the bytes of a body to lines of a stream message.
//!
//! The first byte says which route the body came to: `b` batch, `l` leads, else one event of the type with that first letter.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use serde_json::Value;
use serde_json::value::RawValue;
use shared::domain::event::{Event, EventType, Flags};
use shared::domain::intake::{Request, envelope, leads, normalise};
use shared::domain::user_key::Placeholders;
use shared::domain::{limits, message};

/// The year 2026; any moment would do.
const RECEIVED_AT: DateTime<Utc> = DateTime::from_timestamp_secs(1_795_000_000).expect("a moment");
const RETENTION_DAYS: u16 = 90;

/// Judges a body as ingest would, and then the judgement.
pub fn check(data: &[u8]) {
    let Some((&shape, body)) = data.split_first() else { return };
    let Ok(text) = envelope::text(body) else { return };
    if shape != b'b' && shape != b'l' {
        let Some(kind) = EventType::ALL.into_iter().find(|kind| kind.as_str().as_bytes()[0] == shape) else { return };
        if let Ok(raw) = envelope::single(text) {
            let _ = envelope::write_key(raw);
            event(raw, Some(kind), 0, None, None);
        }
        return;
    }
    let rewritten = match shape {
        b'l' => match leads::as_batch(text) {
            Ok(batch) => Cow::Owned(batch),
            Err(_) => return,
        },
        _ => Cow::Borrowed(text),
    };
    let batch = envelope::batch(&rewritten);
    assert!(shape == b'b' || batch.is_ok(), "leads were rewritten as something that is no batch: {rewritten}");
    let Ok(batch) = batch else { return };
    let lines: Vec<String> = batch
        .events
        .iter()
        .enumerate()
        .filter_map(|(index, raw)| event(raw, None, index, batch.sent_at, batch.context))
        .collect();
    assert_eq!(packed_and_read(&lines), lines);
}

/// The line of an event that is accepted.
fn event(
    raw: &RawValue,
    route: Option<EventType>,
    index: usize,
    sent_at: Option<&RawValue>,
    context: Option<&RawValue>,
) -> Option<String> {
    let placeholders = Placeholders::default();
    let request = Request {
        source: "fuzz",
        received_at: RECEIVED_AT,
        retention_days: RETENTION_DAYS,
        placeholders: &placeholders,
        sent_at,
        context,
        idempotency_key: None,
    };
    let judged = normalise(raw, route, index, &request, || 7);
    let event = match judged {
        Ok(event) => event,
        Err(rejection) => {
            assert!(!rejection.violations.is_empty(), "refused without a reason: {raw}");
            return None;
        }
    };
    let line = serde_json::to_string(&event).expect("an event can be written");
    assert!(!line.contains(['\n', '\r']), "more than one line: {line}");
    let back: Event<'_> = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"));
    assert_eq!(serde_json::to_string(&back).expect("an event can be written"), line);
    let again = normalise(raw, route, index, &request, || 7).expect("the second judgement is the first");
    assert_eq!(serde_json::to_string(&again).expect("an event can be written"), line);
    storable(&event);
    as_sent(&event, raw);
    Some(line)
}

/// Nothing that PostgreSQL refuses, no limit passed.
fn storable(event: &Event<'_>) {
    let ids = [&event.user_id, &event.anonymous_id, &event.group_id, &event.previous_id];
    let names = [&event.message_id, &event.event_id];
    for (texts, limit_bytes) in [(&ids[..], limits::ID_BYTES), (&names[..], limits::MESSAGE_ID_BYTES)] {
        for text in texts.iter().filter_map(|text| text.as_deref()) {
            assert!(text.len() <= limit_bytes && !text.contains('\0'), "{text:?}");
        }
    }
    for text in [&event.event, &event.original_timestamp].into_iter().filter_map(|text| text.as_deref()) {
        assert!(!text.contains('\0'), "{text:?}");
    }
    assert!(event.event.as_deref().is_none_or(|name| name.chars().count() <= limits::EVENT_NAME_CHARS));
    assert!(event.original_timestamp.as_deref().is_none_or(|time| time.len() <= limits::TIME_BYTES));
    let age = RECEIVED_AT.date_naive() - event.day;
    assert!((-2..=i64::from(RETENTION_DAYS)).contains(&age.num_days()), "filed under {}", event.day);
    for object in [&event.properties, &event.traits, &event.context, &event.extra].into_iter().flatten() {
        let value: Value = serde_json::from_str(object.get()).unwrap_or_else(|e| panic!("{e}: {object}"));
        assert!(value.is_object(), "{object}");
        plain(&value, limits::DEPTH + 1);
    }
}

fn plain(value: &Value, levels: usize) {
    assert!(levels > 0 || !(value.is_object() || value.is_array()), "nested too deep");
    match value {
        Value::String(text) => assert!(!text.contains('\0'), "{text:?}"),
        Value::Array(values) => values.iter().for_each(|value| plain(value, levels - 1)),
        Value::Object(entries) => {
            for (key, value) in entries {
                assert!(!key.contains('\0'), "{key:?}");
                plain(value, levels - 1);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Without a repair, `properties` are those that were sent: the last ones that are not null.
fn as_sent(event: &Event<'_>, raw: &RawValue) {
    if event.flags.contains(Flags::TEXT_REPAIRED) {
        return;
    }
    let Some(stored) = event.properties.as_deref() else { return };
    let entries = envelope::entries(raw.get()).expect("an accepted event is an object");
    let sent = entries
        .iter()
        .rfind(|(name, value)| matches!(name.as_ref(), "properties" | "metadata") && value.get() != "null");
    let read = |text: &str| serde_json::from_str::<Value>(text).ok();
    assert_eq!(read(stored.get()), sent.and_then(|(_, value)| read(value.get())), "{raw}");
}

/// What a worker finds of lines that ingest packs, all in one partition.
fn packed_and_read(lines: &[String]) -> Vec<String> {
    let packed = message::encode(message::PLAIN_VERSION, RECEIVED_AT, lines.iter().map(|line| (3, line.as_bytes())));
    let message = message::decode(&packed.into()).expect("what is packed can be read");
    let read = message.segments.iter().flat_map(|segment| segment.lines());
    read.map(|line| String::from_utf8(line.to_vec()).expect("lines are text")).collect()
}
