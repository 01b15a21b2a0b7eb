//! What [`crate::domain::campaign::validate`] lets in, cleans and refuses, and what a stored document may still be.

use super::document;
use crate::domain::campaign::{Fault, Status, compile, validate};

fn faults(text: &str) -> Vec<(String, &'static str)> {
    let faults = validate(&document(text)).err().unwrap_or_default();
    faults.into_iter().map(|fault: Fault| (fault.field, fault.code)).collect()
}

fn fault(field: &str, code: &'static str) -> (String, &'static str) {
    (field.to_owned(), code)
}

#[test]
fn a_name_is_enough_and_gets_a_type() {
    let valid = validate(&document(r#"{"name":"  Hello "}"#)).unwrap();
    assert_eq!(valid.document.to_json(), r#"{"name":"Hello","type":"modal"}"#);
    assert_eq!((valid.name.as_str(), valid.status, valid.triggers.len()), ("Hello", None, 0));
}

#[test]
fn the_type_comes_from_the_body_then_from_the_config() {
    for (text, kind) in [
        (r#"{"name":"n","type":"carousel","config":{"type":"pip"}}"#, "carousel"),
        (r#"{"name":"n","config":{"type":"pip"}}"#, "pip"),
        (r#"{"name":"n","type":"","config":{"type":"pip"}}"#, "pip"),
        (r#"{"name":"n","type":null,"config":{"type":7}}"#, "modal"),
        (r#"{"name":"n","config":null}"#, "modal"),
    ] {
        assert_eq!(validate(&document(text)).unwrap().kind, kind, "{text}");
    }
}

#[test]
fn unknown_fields_stay_as_written_and_the_servers_own_are_taken_out() {
    let text = r#"{"id":"mine","createdAt":"x","updatedAt":"x","created_at":"x","name":"n","type":"t","priority":1.50,"_id":"64","goal":{"a": [1 ,2]}}"#;
    let valid = validate(&document(text)).unwrap();
    assert_eq!(valid.document.to_json(), r#"{"_id":"64","goal":{"a": [1 ,2]},"name":"n","priority":1.50,"type":"t"}"#);
}

#[test]
fn artefact_rules_are_dropped_and_counted() {
    let artefact = r#"{"id":1,"type":"event","field":"unknown","operator":"==","value":""}"#;
    let real = r#"{"id":2,"type":"event","field":"unknown","operator":"==","value":"x"}"#;
    let valid = validate(&document(&format!(r#"{{"name":"n","rules":[{artefact},{real},{artefact}]}}"#))).unwrap();
    assert_eq!(valid.dropped_artefact_rules, 2);
    assert_eq!(valid.document.get("rules").unwrap().get(), format!("[{real}]"));

    let many = vec![artefact; 500].join(",");
    let valid = validate(&document(&format!(r#"{{"name":"n","rules":[{many}]}}"#))).unwrap();
    assert_eq!(valid.document.get("rules").unwrap().get(), "[]");
}

#[test]
fn triggers_are_gathered_without_duplicates() {
    let valid =
        validate(&document(r#"{"name":"n","trigger":"a","triggers":["b","a","B"],"status":"paused"}"#)).unwrap();
    assert_eq!(valid.triggers, ["a", "b", "B"]);
    assert_eq!(valid.status, Some(Status::Paused));
}

#[test]
fn every_fault_is_named_at_once() {
    let text = r#"{"type":5,"status":"live","trigger":[],"triggers":["a",{},{"event":5}],"config":"{}","targeting":"[]",
        "rules":[null,{"field":"","operator":"=~","value":{}},{"type":"event","field":"unknown","operator":"==","value":""},
                 {"operator":5,"value":[1]},{"field":"f","operator":"==","value":1e999},{"any":[{"all":[{"field":"f"}]},[]]}]}"#;
    assert_eq!(
        faults(text),
        [
            fault("name", "required"),
            fault("type", "wrong_type"),
            fault("status", "unknown_value"),
            fault("trigger", "wrong_type"),
            fault("triggers[1]", "wrong_type"),
            fault("triggers[2]", "wrong_type"),
            fault("rules[0]", "wrong_type"),
            fault("rules[1].field", "required"),
            fault("rules[1].operator", "unknown_value"),
            fault("rules[3].field", "required"),
            fault("rules[3].operator", "required"),
            fault("rules[4].value", "wrong_type"),
            fault("rules[5].any[0].all[0].operator", "required"),
            fault("rules[5].any[1]", "wrong_type"),
            fault("config", "wrong_type"),
            fault("targeting", "wrong_type"),
        ]
    );
    assert_eq!(faults(r#"{"name":5}"#), [fault("name", "wrong_type")]);
    assert_eq!(faults(r#"{"name":" ","rules":{}}"#), [fault("name", "required"), fault("rules", "wrong_type")]);
    assert_eq!(faults(r#"{"name":"n","triggers":{}}"#), [fault("triggers", "wrong_type")]);
}

#[test]
fn limits_are_inclusive() {
    let rules = |count| vec![r#"{"field":"f","operator":"==","value":1}"#; count].join(",");
    let of = |name: usize, field: usize, value: usize, count: usize, trigger: usize| {
        faults(&format!(
            r#"{{"name":"{}","trigger":"{}","rules":[{{"field":"{}","operator":"==","value":"{}"}},{}]}}"#,
            "é".repeat(name),
            "é".repeat(trigger),
            "f".repeat(field),
            "v".repeat(value),
            rules(count - 1)
        ))
    };
    let in_quotes = 8 * 1024 - 2;
    assert_eq!(of(255, 255, in_quotes, 200, 200), []);
    assert_eq!(of(256, 1, 1, 2, 1), [fault("name", "too_long")]);
    assert_eq!(of(1, 256, 1, 2, 1), [fault("rules[0].field", "too_long")]);
    assert_eq!(of(1, 1, in_quotes + 1, 2, 1), [fault("rules[0].value", "too_long")]);
    assert_eq!(of(1, 1, 1, 201, 1), [fault("rules", "too_many")]);
    assert_eq!(of(1, 1, 1, 2, 201), [fault("trigger", "too_long")]);
}

#[test]
fn a_fault_tells_a_person_where_and_what() {
    let faults = validate(&document(r#"{"name":"n","rules":[{"field":"f","operator":"==","value":{}}]}"#)).unwrap_err();
    assert_eq!(faults[0].to_string(), "rules[0].value must be a string, a number, true, false or null");
    assert_eq!(
        serde_json::to_string(&faults[0]).unwrap(),
        r#"{"field":"rules[0].value","code":"wrong_type","message":"must be a string, a number, true, false or null"}"#
    );
}

#[test]
fn what_the_second_dashboard_writes_may_be_saved() {
    let text = r#"{"name":"n","status":"active","triggers":[{"event":"a","id":1},"b",{"event":"a"}],"targeting":[{"page":"home"}],
        "rules":[{"type":"attribute","field":"tier","operator":"equals","value":"gold"}]}"#;
    let valid = validate(&document(text)).unwrap();
    assert_eq!(valid.triggers, ["a", "b"]);
    assert!(valid.document.to_json().contains(r#""operator":"equals""#), "the document keeps its spelling");
    assert!(compile("c", 1, &document(text)).is_ok());
    for targeting in ["{}", "[]", "null"] {
        let text = format!(r#"{{"name":"n","targeting":{targeting}}}"#);
        assert_eq!(validate(&document(&text)).unwrap().document.get("targeting").unwrap().get(), targeting);
    }
}

#[test]
fn one_group_in_place_of_the_rules_is_kept_as_an_array() {
    let group = r#"{"any":[{"field":"f","operator":"exists"}]}"#;
    let valid = validate(&document(&format!(r#"{{"name":"n","rules":{group}}}"#))).unwrap();
    assert_eq!(valid.document.get("rules").unwrap().get(), format!("[{group}]"));
    assert_eq!(faults(r#"{"name":"n","rules":{"any":[{}]}}"#)[0], fault("rules.any[0].field", "required"));
}

#[test]
fn a_stored_campaign_is_inert_only_for_what_matching_needs() {
    let inert = compile("c", 7, &document(r#"{"status":"active","rules":[null,1,[],{}],"config":"{}"}"#)).unwrap_err();
    assert_eq!((inert.id.as_str(), inert.version, inert.faults.len()), ("c", 7, 6));
    assert!(
        inert.to_string().starts_with("campaign c matches nothing until it is mended: rules[0] must be an object"),
        "{inert}"
    );
    assert!(inert.to_string().ends_with("(and 3 more)"), "{inert}");

    for text in ["{}", r#"{"name":5,"status":"live","type":[]}"#, r#"{"status":7,"rules":null,"targeting":null}"#] {
        assert!(compile("c", 1, &document(text)).is_ok(), "{text}");
    }
}
