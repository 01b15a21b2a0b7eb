//! How rules are told to people.

use serde_json::{Value, json};

use super::{World, condition, scoped};
use crate::domain::rules::{Scope, Segments};

/// The trace of these rules as JSON, in a world that knows something of everything.
fn traced(rules: &str) -> Value {
    let segment = r#"{"type":"attribute","field":"tier","operator":"==","value":"gold"}"#;
    let world = World {
        traits: Some(r#"{"tier":"silver","n":1.50,"address":{"city":"Pune"}}"#.to_owned()),
        properties: Some(format!(r#"{{"total":40,"long":"{}"}}"#, "é".repeat(2_000))),
        context: None,
        counts: [(("bought".to_owned(), Some(604_800)), 2)].into(),
        segments: Segments::from_iter([("vip".to_owned(), scoped(segment, Scope::Segment))]),
    };
    serde_json::to_value(world.trace(&condition(rules))).unwrap()
}

#[test]
fn each_rule_says_what_was_asked_and_what_was_seen() {
    let cases = [
        (
            r#"{"type":"attribute","field":"tier","operator":"equals","value":"Gold","ignore_case":true}"#,
            json!({"text": "trait tier == \"gold\", in any case: it is \"silver\"", "source": "attribute", "field": "tier",
                   "operator": "==", "expected": "gold", "seen": "silver", "pass": false}),
        ),
        (
            r#"{"type":"trait","field":"address.city","operator":"in","value":["Pune",5,null]}"#,
            json!({"text": "trait address.city in [\"Pune\",5,null]: it is \"Pune\"", "source": "attribute",
                   "field": "address.city", "operator": "in", "expected": ["Pune", 5, null], "seen": "Pune", "pass": true}),
        ),
        (
            r#"{"field":"coupon","operator":"set"}"#,
            json!({"text": "property coupon exists: it is missing", "source": "event", "field": "coupon",
                   "operator": "exists", "pass": false}),
        ),
        (
            r#"{"type":"context","field":"os","operator":"!=","value":"iOS"}"#,
            json!({"text": "context os != \"iOS\": that is not known", "source": "context", "field": "os",
                   "operator": "!=", "expected": "iOS", "pass": null}),
        ),
        (
            r#"{"type":"event_count","event":"bought","value":3,"within":"7d"}"#,
            json!({"text": "did bought at least 3 times, within 1w: 2 times", "source": "event_count", "field": "bought",
                   "operator": ">=", "expected": 3, "seen": 2, "within_seconds": 604800, "pass": false}),
        ),
        (
            r#"{"type":"segment","segment":"gone","operator":"not_in"}"#,
            json!({"text": "not in segment gone: there is no such segment, or it is malformed", "source": "segment",
                   "field": "gone", "operator": "not_in", "pass": false}),
        ),
        (
            r#"{"type":"attribute","field":"seen","operator":"within_last","value":"90m"}"#,
            json!({"text": "trait seen within_last \"90m\": it is missing", "source": "attribute", "field": "seen",
                   "operator": "within_last", "expected": "90m", "pass": false}),
        ),
    ];
    for (rule, expected) in cases {
        assert_eq!(traced(rule)["all"][0], expected, "{rule}");
    }
}

#[test]
fn groups_keep_their_shape_and_a_segment_shows_its_own_rules() {
    let found = traced(
        r#"{"any":[{"field":"total","operator":">","value":50},{"not":{"type":"segment","segment":"vip"}}]},
           {"type":"attribute","field":"n","operator":"==","value":1.5}"#,
    );
    assert_eq!(found["pass"], json!(true));
    assert_eq!(found["all"][0]["any"][0]["pass"], json!(false), "looked at although the other one decides");
    let segment = &found["all"][0]["any"][1]["not"][0];
    assert_eq!((&segment["seen"], &segment["pass"]), (&json!(false), &json!(false)));
    assert_eq!(segment["rules"]["all"][0]["text"], json!("trait tier == \"gold\": it is \"silver\""));
    assert_eq!(found["all"][1]["seen"].to_string(), "1.5");
}

#[test]
fn of_a_long_value_the_beginning_is_shown() {
    let found = traced(r#"{"field":"long","operator":"contains","value":"e"}"#);
    let seen = found["all"][0]["seen"].as_str().unwrap();
    assert!(seen.ends_with("… (4002 bytes)") && seen.chars().count() < 230, "{seen}");
}

#[test]
fn why_not_names_what_decided() {
    let gold = r#"{"type":"attribute","field":"tier","operator":"==","value":"gold"}"#;
    let silver = r#"{"type":"attribute","field":"tier","operator":"==","value":"silver"}"#;
    let why_not = |rules: &str| {
        let world = World { traits: Some(r#"{"tier":"silver"}"#.to_owned()), ..World::default() };
        world.trace(&condition(rules)).why_not()
    };
    assert_eq!(why_not(silver), None);
    assert_eq!(why_not(&format!("{silver},{gold}")).as_deref(), Some("trait tier == \"gold\": it is \"silver\""));
    let any = why_not(&format!(r#"{{"any":[{gold},{{"all":[{silver},{gold}]}}]}}"#)).unwrap();
    assert!(any.starts_with("none of these holds: trait tier == \"gold\""), "{any}");
    let not = why_not(&format!(r#"{{"not":{silver}}}"#)).unwrap();
    assert_eq!(not, "not (trait tier == \"silver\": it is \"silver\") does not hold");
}
