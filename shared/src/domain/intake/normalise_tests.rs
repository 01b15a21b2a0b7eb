//! What the judge of events accepts, repairs and refuses, on single events without a server.

use proptest::prelude::*;

use super::*;

const RECEIVED: &str = "2026-11-22T12:00:00Z";

fn judged<'a>(
    raw: &'a RawValue,
    route: Option<EventType>,
    placeholders: &'a Placeholders,
) -> Result<Event<'a>, Rejection> {
    let request = Request {
        source: "app",
        received_at: RECEIVED.parse().unwrap(),
        retention_days: 90,
        placeholders,
        sent_at: None,
        context: None,
        idempotency_key: None,
    };
    normalise(raw, route, 0, &request, || 7)
}

/// The line of an accepted event, or its violations as `field:code`.
fn outcome(text: &str, route: Option<EventType>) -> Result<serde_json::Value, Vec<String>> {
    let raw: Box<RawValue> = serde_json::from_str(text).unwrap();
    match judged(&raw, route, &Placeholders::default()) {
        Ok(event) => Ok(serde_json::to_value(&event).unwrap()),
        Err(rejection) => {
            Err(rejection.violations.iter().map(|v| format!("{}:{}", v.field, v.code.as_str())).collect())
        }
    }
}

fn line(text: &str) -> serde_json::Value {
    outcome(text, None).unwrap()
}

#[test]
fn every_violation_of_an_event_is_named_at_once() {
    let text = r#"{"type":"track","userId":["a"],"messageId":{},"properties":[1],"context":{"n":1e999}}"#;
    let found = outcome(text, None).unwrap_err();
    assert_eq!(
        found,
        [
            "messageId:wrong_type",
            "userId:wrong_type",
            "event:missing_field",
            "properties:wrong_type",
            "context:number_out_of_range"
        ]
    );
}

#[test]
fn each_type_has_what_it_needs() {
    for (text, violation) in [
        (r#"{"type":"track","user_id":"u"}"#, "event:missing_field"),
        (r#"{"type":"track","user_id":"u","event":"  "}"#, "event:missing_field"),
        (r#"{"type":"track","event":"e"}"#, "user_id:missing_field"),
        (r#"{"type":"group","user_id":"u"}"#, "group_id:missing_field"),
        (r#"{"type":"alias","user_id":"u"}"#, "previous_id:missing_field"),
        (r#"{"type":"teleport","user_id":"u"}"#, "type:unknown_type"),
        (r#"{"user_id":"u"}"#, "type:missing_field"),
    ] {
        assert_eq!(outcome(text, None).unwrap_err(), [violation], "{text}");
    }
    for text in [
        r#"{"type":"page","anonymousId":"a"}"#,
        r#"{"type":"screen","user_id":"u","name":"Home"}"#,
        r#"{"type":"group","userId":"u","groupId":"g"}"#,
        r#"{"type":"alias","userId":"u","previousId":"a"}"#,
        r#"{"user_id":"u","event":"/_Viewed"}"#,
        r#"{"user_id":"u","traits":{}}"#,
    ] {
        assert!(outcome(text, None).is_ok(), "{text}");
    }
}

#[test]
fn limits_are_met_exactly() {
    let track =
        |id: &str, event: &str| outcome(&format!(r#"{{"user_id":"{id}","event":"{event}"}}"#), Some(EventType::Track));
    assert!(track(&"u".repeat(255), &"é".repeat(200)).is_ok());
    assert_eq!(track(&"u".repeat(256), "e").unwrap_err(), ["user_id:too_long"]);
    assert_eq!(track("u", &"e".repeat(201)).unwrap_err(), ["event:too_long"]);
}

#[test]
fn a_number_as_a_user_id_is_its_text() {
    for (sent, stored) in [("42", "42"), ("42.0", "42"), ("-7", "-7"), ("1.5", "1.5")] {
        assert_eq!(line(&format!(r#"{{"user_id":{sent},"event":"e"}}"#))["user_id"], stored);
    }
}

#[test]
fn traits_may_stand_in_the_context_and_unknown_fields_are_kept() {
    let event =
        line(r#"{"type":"identify","userId":"u","context":{"traits":{"plan":"pro"}},"channel":"server","name":"x"}"#);
    assert_eq!(event["traits"], serde_json::json!({"plan": "pro"}));
    assert_eq!(event["extra"], serde_json::json!({"name": "x", "channel": "server"}));
}

#[test]
fn halves_of_emoji_and_nul_are_repaired_and_flagged() {
    let event = line(r#"{"user_id":"u\u0000","event":"cut \ud83d","properties":{"a":"\udc00"}}"#);
    assert_eq!((&event["user_id"], &event["event"]), (&"u\u{fffd}".into(), &"cut \u{fffd}".into()));
    assert_eq!(event["properties"]["a"], "\u{fffd}");
    assert_eq!(event["flags"], Flags::TEXT_REPAIRED.bits());
    let event = line(r#"{"user_id":"u","event":"e","x\u0000":1}"#);
    assert_eq!((&event["extra"], &event["flags"]), (&serde_json::json!({"x\u{fffd}": 1}), &16.into()));
}

#[test]
fn the_time_of_the_client_files_the_event_and_its_text_is_kept() {
    let event = line(
        r#"{"user_id":"u","event":"e","originalTimestamp":"2026-11-20T01:00:00Z","timestamp":"2026-11-01T00:00:00Z"}"#,
    );
    assert_eq!(event["day"], "2026-11-20");
    assert_eq!(event["timestamp"], "2026-11-01T00:00:00Z");
    assert_eq!(event["original_timestamp"], "2026-11-20T01:00:00Z");
    assert_eq!(event["extra"]["timestamp"], "2026-11-01T00:00:00Z");
    let clamped = line(r#"{"user_id":"u","event":"e","messageId":"m","timestamp":"2020-01-01T00:00:00Z"}"#);
    assert_eq!((&clamped["day"], &clamped["late"]), (&"2026-11-22".into(), &true.into()));
}

#[test]
fn an_event_that_nobody_named_has_no_resend_to_look_up() {
    assert_eq!(line(r#"{"user_id":"u","event":"e"}"#).get("late"), None);
}

proptest! {
    #[test]
    fn an_accepted_event_is_one_line_that_reads_back(
        user in ".{0,20}", event in ".{1,20}", key in ".{0,10}", text in any::<String>(), number in any::<i64>(), float in any::<f64>(),
    ) {
        let float = if float.is_finite() { float } else { 0.5 };
        let sent = serde_json::json!({"user_id": user, "event": event, "properties": {key: [text, number, float, null]}, "messageId": "m"});
        let pretty = serde_json::to_string_pretty(&sent).unwrap();
        let raw: Box<RawValue> = serde_json::from_str(&pretty).unwrap();
        let placeholders = Placeholders::default();
        if let Ok(event) = judged(&raw, Some(EventType::Track), &placeholders) {
            let line = serde_json::to_string(&event).unwrap();
            prop_assert!(!line.contains('\n'));
            let back: Event<'_> = serde_json::from_str(&line).unwrap();
            prop_assert_eq!(back.id, event.id);
            if !event.flags.contains(Flags::TEXT_REPAIRED) {
                let stored: serde_json::Value = serde_json::from_str(back.properties.unwrap().get()).unwrap();
                let sent_again: serde_json::Value = serde_json::from_str(&pretty).unwrap();
                prop_assert_eq!(&stored, &sent_again["properties"]);
            }
        }
    }
}
