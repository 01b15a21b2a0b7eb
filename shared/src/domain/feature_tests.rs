//! What a feature flag lets in, refuses, and is on for.

use chrono::DateTime;

use super::*;
use crate::domain::rules::{JsonFields, NoCounts, Segments, UnknownFields};

fn document(text: &str) -> RawObject {
    RawObject::parse(text).unwrap()
}

fn faults(text: &str) -> Vec<(String, &'static str)> {
    validate(&document(text)).unwrap_err().into_iter().map(|fault| (fault.field, fault.code)).collect()
}

fn is_on(flag: &str, traits: &str, bucket: Option<u16>) -> bool {
    let (traits, segments) = (JsonFields::new(traits), Segments::new());
    compile(&document(flag)).unwrap().is_on(&facts(&traits, &segments), bucket)
}

fn facts<'a>(traits: &'a dyn rules::Fields, segments: &'a Segments) -> Facts<'a> {
    let now = DateTime::UNIX_EPOCH;
    Facts { traits, properties: None, context: None, counts: &NoCounts, segments, now }
}

const GOLD: &str = r#"[{"type":"attribute","field":"tier","operator":"==","value":"gold"}]"#;

#[test]
fn a_key_is_enough_and_is_on_for_everybody() {
    let text = r#"{"key":"new_home.v2:a-B","createdAt":"x","note":1.50}"#;
    let valid = validate(&document(text)).unwrap();
    assert_eq!((valid.key.as_str(), valid.dropped_artefact_rules), ("new_home.v2:a-B", 0));
    assert_eq!(valid.document.to_json(), r#"{"key":"new_home.v2:a-B","note":1.50}"#);
    assert!(is_on(text, "{}", None));
    assert!(is_on(text, "{}", Some(9_999)));
}

#[test]
fn it_is_on_only_if_enabled_matched_and_rolled_out() {
    let flag = |enabled, rollout| format!(r#"{{"enabled":{enabled},"rollout_percentage":{rollout},"rules":{GOLD}}}"#);
    let gold = r#"{"tier":"gold"}"#;
    assert!(is_on(&flag("true", "100"), gold, Some(0)));
    assert!(!is_on(&flag("false", "100"), gold, Some(0)));
    assert!(!is_on(&flag("true", "100"), r#"{"tier":"silver"}"#, Some(0)));
    assert!(is_on(&flag("null", "12.34"), gold, Some(1_233)));
    assert!(!is_on(&flag("null", "12.34"), gold, Some(1_234)));
    assert!(!is_on(&flag("true", "0"), gold, Some(0)));
}

#[test]
fn for_nobody_known_it_is_on_only_if_it_is_for_everybody() {
    assert!(is_on(r#"{"rollout_percentage":100}"#, "{}", None));
    assert!(!is_on(r#"{"rollout_percentage":99.99}"#, "{}", None));
    assert!(!is_on(&format!(r#"{{"rules":{GOLD}}}"#), "{}", None));
}

#[test]
fn what_is_not_known_does_not_switch_it_on() {
    let flag = r#"{"rules":[{"not":{"type":"attribute","field":"tier","operator":"exists"}}]}"#;
    assert!(is_on(flag, "{}", Some(0)));
    let segments = Segments::new();
    assert!(!compile(&document(flag)).unwrap().is_on(&facts(&UnknownFields, &segments), Some(0)));
}

#[test]
fn the_payload_is_the_value_unless_there_is_one() {
    let payload = |text: &str| compile(&document(text)).unwrap().payload.map(|raw| raw.get().to_owned());
    assert_eq!(payload(r#"{"value":{"columns": 2}}"#).as_deref(), Some(r#"{"columns": 2}"#));
    assert_eq!(payload(r#"{"value":1,"payload":[2.50]}"#).as_deref(), Some("[2.50]"));
    assert_eq!(payload(r#"{"value":1,"payload":null}"#).as_deref(), Some("1"));
    assert_eq!(payload("{}"), None);
}

#[test]
fn every_fault_is_named() {
    let text = r#"{"key":"a b","enabled":"yes","rollout_percentage":"50","rules":[{"field":"f","operator":"exists"}]}"#;
    let expected = [
        ("key", "unreadable"),
        ("enabled", "wrong_type"),
        ("rollout_percentage", "out_of_range"),
        ("rules[0].type", "not_allowed"),
    ];
    assert_eq!(faults(text), expected.map(|(field, code)| (field.to_owned(), code)));
    assert_eq!(faults("{}"), [("key".to_owned(), "required")]);
    assert_eq!(faults(r#"{"key":5}"#), [("key".to_owned(), "wrong_type")]);
    assert_eq!(faults(&format!(r#"{{"key":"{}"}}"#, "k".repeat(256))), [("key".to_owned(), "too_long")]);
    for rollout in ["-1", "100.01", "12.345", "1e9", "true", "{}", "-0.004"] {
        let text = format!(r#"{{"key":"k","rollout_percentage":{rollout}}}"#);
        assert_eq!(faults(&text), [("rollout_percentage".to_owned(), "out_of_range")], "{rollout}");
    }
}

#[test]
fn every_hundredth_of_a_percent_can_be_said() {
    for hundredths in 0..=ALL_BUCKETS {
        let text = format!(r#"{{"rollout_percentage":{}.{:02}}}"#, hundredths / 100, hundredths % 100);
        assert!(!is_on(&text, "{}", Some(hundredths)) || hundredths == ALL_BUCKETS, "{text}");
        assert!(hundredths == 0 || is_on(&text, "{}", Some(hundredths - 1)), "{text}");
    }
}
