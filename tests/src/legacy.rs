//! The store of the old server, sent again as its SDK would have sent it.
//!
//! The Flutter SDK posts one JSON object per event. How an event of `fixtures/legacy-data.json` becomes such a body:
//!
//! | field of the body | from |
//! |---|---|
//! | `event_id` | `<user>_<event>_<epoch milliseconds of ts>`; absent when the event has no user text or no `ts`; an `event_id` of its own is kept |
//! | `timestamp` | its own `timestamp`, else `properties.timestamp` (the device's clock, without a zone), else `ts` exactly as stored (a number of milliseconds or seconds, or a text) |
//! | `user_id`, `event`, `properties` | verbatim; `properties` `{}` when absent, as the SDK defaults it |
//! | `sdk_version`, `page` | `in_app_ninja_flutter_1.0.0`, null; the event's own are kept |
//! | anything else | verbatim, except `id` and `ts`: the old server made those, no SDK ever sent them |
//!
//! A user becomes an identify `{user_id, traits, timestamp}` with the time of sending, which names no message: the SDK gives
//! identifies no id.

use std::fs;

use serde_json::{Map, Value, json};
use shared::domain::timestamp::{ClientTime, parse_number, parse_text};

use crate::services::root;

/// The fixture.
#[derive(Debug)]
pub struct Legacy {
    /// As stored.
    pub campaigns: Vec<Value>,
    /// Id and traits.
    pub users: Vec<(String, Value)>,
    /// As stored.
    pub events: Vec<Value>,
}

impl Legacy {
    /// Reads it.
    ///
    /// # Panics
    /// When the fixture is not there or has lost a part.
    #[must_use]
    pub fn read() -> Self {
        let text = fs::read_to_string(root().join("tests/fixtures/legacy-data.json")).expect("the fixture is there");
        let data: Value = serde_json::from_str(&text).expect("the fixture is JSON");
        let list = |name: &str| data[name].as_array().cloned().expect("the fixture has its lists");
        let users = data["users"].as_object().expect("the fixture has users");
        Self {
            campaigns: list("campaigns"),
            users: users.iter().map(|(id, traits)| (id.clone(), traits.clone())).collect(),
            events: list("events"),
        }
    }
}

/// The body of an identify.
#[must_use]
pub fn identify(id: &str, traits: &Value) -> Value {
    let now = chrono::Utc::now().naive_utc().format("%Y-%m-%dT%H:%M:%S%.6f").to_string();
    json!({"user_id": id, "traits": traits, "timestamp": now})
}

/// The body of a track.
#[must_use]
pub fn track(event: &Value) -> Value {
    let mut body = Map::new();
    if let Some(event_id) = event_id(event) {
        body.insert("event_id".to_owned(), json!(event_id));
    }
    let time =
        [&event["timestamp"], &event["properties"]["timestamp"], &event["ts"]].into_iter().find(|time| !time.is_null());
    if let Some(time) = time {
        body.insert("timestamp".to_owned(), time.clone());
    }
    for (name, default) in [
        ("user_id", Value::Null),
        ("event", Value::Null),
        ("properties", json!({})),
        ("sdk_version", json!("in_app_ninja_flutter_1.0.0")),
        ("page", Value::Null),
    ] {
        body.insert(name.to_owned(), event.get(name).cloned().unwrap_or(default));
    }
    for (name, value) in event.as_object().into_iter().flatten() {
        if name != "id" && name != "ts" && !body.contains_key(name) {
            body.insert(name.clone(), value.clone());
        }
    }
    Value::Object(body)
}

fn event_id(event: &Value) -> Option<String> {
    if let Some(own) = event["event_id"].as_str() {
        return Some(own.to_owned());
    }
    let time = match &event["ts"] {
        Value::Number(number) => parse_number(number.as_f64()?),
        Value::String(text) => parse_text(text),
        _ => return None,
    };
    let ClientTime::Instant(time) = time else { return None };
    let user = match &event["user_id"] {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    Some(format!("{user}_{}_{}", event["event"].as_str()?, time.timestamp_millis()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_looks_as_the_sdk_makes_it() {
        let body = track(
            &json!({"id": "x", "user_id": "u", "event": "e", "properties": {"a": 1}, "ts": 1_763_201_187_097_u64}),
        );
        let expected = json!({"event_id": "u_e_1763201187097", "timestamp": 1_763_201_187_097_u64, "user_id": "u", "event": "e",
            "properties": {"a": 1}, "sdk_version": "in_app_ninja_flutter_1.0.0", "page": null});
        assert_eq!(body, expected);
    }

    #[test]
    fn the_device_clock_wins_and_extra_fields_stay() {
        let body = track(
            &json!({"user_id": "u", "event": "e", "properties": {"timestamp": "2025-11-15T15:36:21"}, "ts": "2025-11-15T10:00:00Z", "external_id": "x"}),
        );
        assert_eq!((&body["timestamp"], &body["external_id"]), (&json!("2025-11-15T15:36:21"), &json!("x")));
        assert_eq!(body["event_id"], "u_e_1763200800000");
    }
}
