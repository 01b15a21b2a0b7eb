//! What the parsers of existing clients need of a campaign. They give up on a whole list over one campaign that lacks it.

use serde_json::Value;

/// As the first Flutter SDK reads it: `config` an object, `targeting` an object or null (an array throws), `variant` a text or null.
///
/// # Panics
/// When that SDK would give up.
pub fn first_flutter_sdk(campaign: &Value) {
    texts(campaign, &["id", "name", "type"]);
    assert!(campaign["config"].is_object(), "config is no object: {campaign}");
    let (targeting, variant) = (&campaign["targeting"], &campaign["variant"]);
    assert!(targeting.is_object() || targeting.is_null(), "targeting is neither object nor null: {campaign}");
    assert!(variant.is_string() || variant.is_null(), "variant is neither text nor null: {campaign}");
    time(campaign, "created_at");
}

/// As the first dashboard reads it: it maps over `rules`, and its editor spreads `config`.
///
/// # Panics
/// When its page would fail.
pub fn first_dashboard(campaign: &Value) {
    texts(campaign, &["id", "name", "type", "status"]);
    let trigger = &campaign["trigger"];
    assert!(trigger.is_string() || trigger.is_null(), "trigger is neither text nor null: {campaign}");
    assert!(campaign["rules"].is_array(), "rules is no array: {campaign}");
    assert!(campaign["config"].is_object(), "config is no object: {campaign}");
    time(campaign, "createdAt");
    time(campaign, "updatedAt");
}

/// As the second Flutter SDK reads it: it matches events itself, by `status` and `trigger`; `targeting` is an array of page rules.
///
/// # Panics
/// When that SDK would give up or not show it.
pub fn second_flutter_sdk(campaign: &Value) {
    texts(campaign, &["id", "name", "type", "trigger"]);
    assert_eq!(campaign["status"], "active", "{campaign}");
    assert!(campaign["targeting"].is_array(), "targeting is no array: {campaign}");
    assert!(campaign["config"].is_object(), "config is no object: {campaign}");
}

fn texts(campaign: &Value, keys: &[&str]) {
    for key in keys {
        assert!(campaign[key].is_string(), "{key} is no text: {campaign}");
    }
}

fn time(campaign: &Value, key: &str) {
    let read = campaign[key].as_str().map(chrono::DateTime::parse_from_rfc3339);
    assert!(matches!(read, Some(Ok(_))), "{key} is no time: {campaign}");
}
