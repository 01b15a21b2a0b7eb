//! Elements of an old store, mapped.

use chrono::DateTime;
use proptest::prelude::*;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::event::Occurrence;
use super::oddity::Oddity;
use super::{Terms, back, document, event, user};
use crate::domain::event::{Event, Flags};
use crate::domain::raw_object::RawObject;
use crate::domain::user_key::Placeholders;

fn raw(value: &Value) -> Box<RawValue> {
    RawValue::from_string(value.to_string()).unwrap()
}

fn with_terms<T>(map: impl FnOnce(&Terms<'_>) -> T) -> T {
    let placeholders = Placeholders::default();
    let now = DateTime::from_timestamp(1_763_300_000, 0).unwrap();
    map(&Terms { now, placeholders: &placeholders, partitions: 16 })
}

fn mapped(value: &Value, occurrence: u32) -> Result<event::Imported, String> {
    with_terms(|terms| event::map(&raw(value), Occurrence(occurrence), terms)).map_err(|refused| refused.reason)
}

fn plain() -> Value {
    json!({"id": "461b6ad4-0fad-4b3f-8426-022485918e85", "user_id": "u", "event": "e", "properties": {"a": 1}, "ts": 1_763_200_829_987_u64})
}

fn with(key: &str, value: Value) -> Value {
    let mut event = plain();
    event[key] = value;
    event
}

fn line(imported: &event::Imported) -> Event<'_> {
    serde_json::from_slice(&imported.line).unwrap()
}

#[test]
fn a_plain_event_keeps_its_id_and_time_and_is_history() {
    let imported = mapped(&plain(), 0).unwrap();
    assert_eq!(imported.noticed, []);
    let event = line(&imported);
    assert_eq!(event.id.to_string(), "461b6ad4-0fad-4b3f-8426-022485918e85");
    assert_eq!((event.timestamp.timestamp_millis(), event.received_at), (1_763_200_829_987, event.timestamp));
    assert_eq!((event.day.to_string(), event.late), ("2025-11-15".to_owned(), false));
    assert_eq!((event.flags, event.source.as_ref()), (Flags::IMPORTED, "import"));
    assert!(event.extra.is_none() && event.message_id.is_none() && event.original_timestamp.is_none());
}

#[test]
fn ids_that_are_none_or_taken_are_replaced_by_one_that_stays_the_same() {
    let id = |value: &Value, occurrence| mapped(value, occurrence).unwrap().id;
    let (without, other) = (with("id", Value::Null), with("properties", json!({"a": 2})));
    assert_eq!(id(&without, 0), id(&without, 0));
    assert_ne!(id(&without, 0), id(&without, 1));
    assert_ne!(id(&plain(), 1), id(&plain(), 0));
    assert_ne!(id(&plain(), 1), id(&other, 1));
    assert_eq!(id(&other, 1), id(&other, 2), "who has an id is told apart by content alone");
    let odd = mapped(&with("id", json!("old-7")), 0).unwrap();
    assert_eq!(line(&odd).message_id.as_deref(), Some("old-7"));
    assert_eq!(id(&with("id", json!("461B6AD4-0FAD-4B3F-8426-022485918E85")), 0).get_version_num(), 8);
}

#[test]
fn times_are_read_in_each_form_and_impossible_ones_refused() {
    for (ts, milliseconds) in [
        (json!(1_763_201_218), 1_763_201_218_000_i64),
        (json!(1_763_201_218_000.5), 1_763_201_218_000),
        (json!("2025-11-15T11:02:03.004Z"), 1_763_204_523_004),
    ] {
        let imported = mapped(&with("ts", ts.clone()), 0).unwrap();
        assert_eq!(line(&imported).timestamp.timestamp_millis(), milliseconds, "{ts}");
        let extra: Value = serde_json::from_str(line(&imported).extra.unwrap().get()).unwrap();
        assert_eq!(extra, json!({"ts": ts}));
    }
    for (ts, says) in [
        (json!(null), "is no time"),
        (json!("yesterday"), "is no time"),
        (json!("2025-11-15T11:02:03"), "has no time zone"),
        (json!(1), "before 2000"),
        (json!(1_863_201_218_000_u64), "in the future"),
    ] {
        let reason = mapped(&with("ts", ts), 0).unwrap_err();
        assert!(reason.contains(says), "{reason}");
    }
}

#[test]
fn what_the_door_would_refuse_is_refused_with_its_reason() {
    for (key, value, says) in [
        ("user_id", json!(["a"]), "user_id is an array"),
        ("event", json!(7), "event is a number"),
        ("properties", json!([]), "properties is an array"),
        ("user_id", json!("x".repeat(256)), "user_id has 256 bytes"),
    ] {
        let reason = mapped(&with(key, value), 0).unwrap_err();
        assert!(reason.contains(says), "{reason}");
    }
    assert_eq!(mapped(&json!("text"), 0).unwrap_err(), "is no JSON object");
}

#[test]
fn a_field_that_means_something_elsewhere_is_kept_as_what_it_was() {
    let event = mapped(&with("type", json!("page")), 0).unwrap();
    assert_eq!(line(&event).extra.unwrap().get(), r#"{"type":"page"}"#);
    assert_eq!(event.noticed, [(Oddity::EventExtraFields, 1)]);
}

#[test]
fn a_user_fills_a_profile_and_a_stranger_has_none() {
    let map = |id: &str, traits: Value| with_terms(|terms| user::map(id, &raw(&traits), terms));
    let user::Mapped::Profile(profile) = map("42", json!({"id": "x", "last_seen": 1_763_114_400_000_u64})).unwrap()
    else {
        panic!("a profile is owed")
    };
    let event: Event<'_> = serde_json::from_slice(&profile.line).unwrap();
    assert_eq!((event.user_id.as_deref(), event.late, event.flags), (Some("42"), true, Flags::IMPORTED));
    assert_eq!(event.timestamp.timestamp_millis(), 1_763_114_400_000);
    assert_eq!(profile.traits, r#"{"id":"x","last_seen":1763114400000}"#);
    assert!(matches!(map("anonymous", json!({})), Ok(user::Mapped::Nobody)));
    assert!(map("anonymous", json!({"a": 1})).unwrap_err().reason.contains("stands for strangers"));
    assert!(map("u", json!([])).unwrap_err().reason.contains("no JSON object"));
}

#[test]
fn documents_lose_what_the_editor_left_and_nothing_else() {
    let unknown = json!({"id": 1, "type": "event", "field": "unknown", "operator": "==", "value": ""});
    let rule = json!({"type": "attribute", "field": "tier", "operator": "==", "value": "silver"});
    let campaign = json!({"id": "c", "name": "n", "type": "modal", "status": "active", "trigger": "t", "rules": [unknown, rule],
        "config": {}, "impressions": 0, "segment": "Everyone", "createdAt": "2025-11-13T06:00:00.000Z", "_version": 7});
    let imported = document::campaign(&raw(&campaign)).unwrap();
    let document: Value = serde_json::from_str(&imported.document.to_json()).unwrap();
    let kept = json!({"name": "n", "type": "modal", "status": "active", "trigger": "t", "rules": [rule], "config": {}, "impressions": 0, "segment": "Everyone"});
    assert_eq!((imported.id.as_str(), document), ("c", kept));
    let expected = [(Oddity::ReservedField, 1), (Oddity::UnknownRule, 1), (Oddity::CampaignExtraFields, 1)];
    assert_eq!(imported.noticed, expected);
    let obeys = document::campaign(&raw(&json!({"id": "c", "priority": 3}))).unwrap();
    assert!(obeys.noticed.contains(&(Oddity::CampaignObeysMore, 1)));
    let without = |layout: &str| document::campaign(&RawValue::from_string(layout.to_owned()).unwrap()).unwrap().id;
    assert_eq!(without(r#"{"name":"n","type":"t"}"#), without("{\"type\" : \"t\",\n\"name\":\"n\"}"));
    let flag = document::flag("f", &raw(&json!({"value": 1}))).unwrap();
    assert_eq!(flag.document.to_json(), r#"{"enabled":false,"key":"f","value":1}"#);
    assert!(document::flag("f", &raw(&json!(true))).is_err());
}

#[test]
fn rules_that_the_old_server_would_fail_over_never_hold_there() {
    let back = |rules: &str| {
        let document = RawObject::parse(&format!(r#"{{"rules":{rules}}}"#)).unwrap();
        let campaign = back::campaign(&document, "c", DateTime::UNIX_EPOCH, None).unwrap();
        campaign.get("rules").unwrap().get().to_owned()
    };
    assert_eq!(back(r#"[null,{"a":1}]"#), r#"[{},{"a":1}]"#);
    assert_eq!(back(r#"{"any":[]}"#), r#"[{"any":[]}]"#);
    assert_eq!(back("null"), "null");
}

proptest! {
    #[test]
    fn whatever_an_element_holds_it_is_mapped_alike_each_time_or_refused(
        id in prop_oneof![Just(Value::Null), any::<i64>().prop_map(Value::from), ".{0,12}".prop_map(Value::from)],
        user in prop_oneof![Just(json!("anonymous")), any::<f64>().prop_map(Value::from), ".{0,12}".prop_map(Value::from), Just(json!([1]))],
        name in ".{0,20}",
        text in any::<String>(),
        ts in 946_684_800_000_i64..1_763_300_000_000,
        occurrence in 0u32..3,
    ) {
        let value = json!({"id": id, "user_id": user, "event": name, "properties": {"t": text, "campaign": text}, "ts": ts, (text): 1});
        match (mapped(&value, occurrence), mapped(&value, occurrence)) {
            (Ok(one), Ok(two)) => {
                prop_assert_eq!(&one.line, &two.line);
                prop_assert!(!one.line.contains(&b'\n') && one.partition < 16);
                let event = line(&one);
                prop_assert_eq!(event.timestamp.timestamp_millis(), ts);
                prop_assert!(event.flags.contains(Flags::IMPORTED));
                // And back again.
                let back = back::event(&back::Event {
                    id: &event.id.to_string(), user: event.user_id.as_deref().unwrap_or_default(), name: event.event.as_deref().unwrap_or_default(),
                    properties: event.properties.as_deref().map(RawValue::get), ts,
                    others: Some(back::Others { event_id: event.event_id.as_deref(), timestamp: event.original_timestamp.as_deref(),
                                                extra: event.extra.as_deref().map(RawValue::get) }),
                }).unwrap();
                let back: Value = serde_json::from_str(&back).unwrap();
                let again = mapped(&back, 0).unwrap();
                prop_assert_eq!(again.id, one.id);
            }
            (Err(one), Err(two)) => prop_assert_eq!(one, two),
            _ => prop_assert!(false, "mapped in two ways"),
        }
    }
}
