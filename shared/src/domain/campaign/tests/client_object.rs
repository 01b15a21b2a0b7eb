//! The shape that SDK parsers stand on.

use serde_json::{Value, json};

use super::document;
use crate::domain::campaign::client_object;

fn object(text: &str) -> String {
    let raw = client_object(&document(text), "id-1", "2025-11-13T06:00:00.000Z", "2025-11-14T06:00:00.000Z").unwrap();
    raw.get().to_owned()
}

#[test]
fn a_bare_document_gets_every_field_a_parser_needs() {
    let value: Value = serde_json::from_str(&object("{}")).unwrap();
    assert_eq!(
        value,
        json!({"id": "id-1", "name": "", "type": "modal", "status": "draft", "trigger": null, "rules": [], "config": {}, "targeting": null,
            "createdAt": "2025-11-13T06:00:00.000Z", "updatedAt": "2025-11-14T06:00:00.000Z", "created_at": "2025-11-13T06:00:00.000Z"})
    );
}

#[test]
fn the_document_is_passed_on_as_text_and_each_key_comes_once() {
    let text = r#"{"id":"other","createdAt":5,"name":"n","type":"pip","status":"paused","trigger":"e","rules":[ {"id":1} ],
        "config":{"h":1.50},"targeting":{"a": 1},"variant":"B","big":123456789012345678901234567890}"#;
    assert_eq!(
        object(text),
        concat!(
            r#"{"id":"id-1","name":"n","type":"pip","status":"paused","trigger":"e","rules":[ {"id":1} ],"config":{"h":1.50},"#,
            r#""targeting":{"a": 1},"createdAt":"2025-11-13T06:00:00.000Z","updatedAt":"2025-11-14T06:00:00.000Z","#,
            r#""created_at":"2025-11-13T06:00:00.000Z","big":123456789012345678901234567890,"variant":"B"}"#
        )
    );
}

#[test]
fn wrong_types_never_reach_a_parser() {
    let text = r#"{"name":7,"type":[],"status":{},"trigger":null,"triggers":["first","second"],"rules":null,"config":"{}","targeting":[]}"#;
    let value: Value = serde_json::from_str(&object(text)).unwrap();
    assert_eq!(value["name"], "");
    assert_eq!(value["type"], "modal");
    assert_eq!(value["status"], "draft");
    assert_eq!(value["trigger"], "first");
    assert_eq!(value["rules"], json!([]));
    assert_eq!(value["config"], json!({}));
    assert_eq!(value["targeting"], Value::Null);
}

#[test]
fn one_stored_group_is_shown_as_an_array() {
    let value: Value = serde_json::from_str(&object(r#"{"rules":{"all":[]}}"#)).unwrap();
    assert_eq!(value["rules"], json!([{"all": []}]));
}
