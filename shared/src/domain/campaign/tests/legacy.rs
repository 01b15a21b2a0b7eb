//! Campaigns as a legacy store holds them (invented, with the oddities of real ones), and what they do here.

use serde::Deserialize;

use super::{catalog, for_user, matched};
use crate::domain::campaign::{Catalog, client_object, validate};
use crate::domain::raw_object::RawObject;

const MONSOON: &str = "c0";
const BASKET: &str = "c1";
const VERIFY: &str = "c2";
const BY_HAND: &str = "c5";

const SILVER_USER: &str = r#"{"last_seen":1763200800000,"tier":"silver","cart_total":"55","verified":false}"#;
const OTHER_USER: &str =
    r#"{"tier":"Silver","verified":"false","age":31,"tags":["vip","beta"],"address":{"city":"Pune","zip":null}}"#;

#[derive(Deserialize)]
#[serde(transparent)]
struct Store(Vec<RawObject>);

fn store() -> Vec<RawObject> {
    let store: Store = serde_json::from_str(include_str!("legacy_campaigns.json")).unwrap();
    store.0
}

fn legacy() -> Catalog {
    let documents: Vec<String> = store().iter().map(RawObject::to_json).collect();
    let catalog = catalog(&documents);
    assert_eq!(catalog.inert(), []);
    catalog
}

#[test]
fn all_of_them_may_be_saved_and_shown() {
    let dropped: Vec<usize> =
        store().iter().map(|campaign| validate(campaign).unwrap().dropped_artefact_rules).collect();
    assert_eq!(dropped, [3, 0, 0, 0, 0, 0]);
    for campaign in store() {
        let shown = client_object(&campaign, "id", "2025-11-13T06:00:00.000Z", "2025-11-13T06:00:00.000Z").unwrap();
        let shown: serde_json::Value = serde_json::from_str(shown.get()).unwrap();
        assert!(shown["rules"].is_array() && shown["config"].is_object() && shown["name"].is_string(), "{shown}");
    }
}

#[test]
fn a_campaign_silenced_by_artefact_rules_fires_again() {
    assert_eq!(matched(&legacy(), "screen_viewed", "{}", r#"{"screen_name":"home"}"#), [MONSOON]);
}

#[test]
fn verified_false_as_text_matches_the_boolean_and_the_text() {
    for (traits, expected) in [
        (r#"{"verified":false}"#, true),
        (r#"{"verified":"false"}"#, true),
        (r#"{"verified":true}"#, false),
        (r#"{"verified":null}"#, false),
        ("{}", false),
    ] {
        assert_eq!(!matched(&legacy(), "app_opened", traits, "{}").is_empty(), expected, "{traits}");
    }
}

#[test]
fn a_numeric_threshold_written_as_text_takes_numbers_and_text() {
    let cart = |traits, total| matched(&legacy(), "cart_viewed", traits, &format!(r#"{{"cart_total":{total}}}"#));
    assert_eq!(cart(SILVER_USER, "55"), [BASKET]);
    assert_eq!(cart(SILVER_USER, "\"55\""), [BASKET]);
    assert_eq!(cart(SILVER_USER, "40.0"), [BASKET]);
    assert!(cart(SILVER_USER, "\"39.99\"").is_empty());
    assert!(cart(SILVER_USER, "9").is_empty());
    assert!(cart(OTHER_USER, "55").is_empty(), "tiers are case-sensitive");
}

#[test]
fn paused_and_draft_campaigns_stay_silent() {
    assert!(matched(&legacy(), "search_performed", "{}", r#"{"query":"shoe rack","results_count":0}"#).is_empty());
    assert!(matched(&legacy(), "Checkout_Started", "{}", r#"{"cart_total":150}"#).is_empty());
}

#[test]
fn once_active_the_search_helper_compares_zero_and_part_of_the_query() {
    let mut helper = store().swap_remove(4);
    helper.set("status", "active").unwrap();
    let search = |properties| !matched(&catalog(&[helper.to_json()]), "search_performed", "{}", properties).is_empty();
    assert!(search(r#"{"query":"red shoe rack","results_count":0}"#));
    assert!(search(r#"{"query":"red shoe rack","results_count":"0"}"#));
    assert!(!search(r#"{"query":"Shoe rack","results_count":0}"#), "case-sensitive");
    assert!(!search(r#"{"query":"shoe","results_count":""}"#));
}

#[test]
fn for_a_user_the_trigger_is_ignored_and_event_rules_exclude() {
    assert_eq!(for_user(&legacy(), SILVER_USER), [MONSOON, VERIFY, BY_HAND]);
    assert_eq!(for_user(&legacy(), OTHER_USER), [MONSOON, VERIFY, BY_HAND]);
    assert_eq!(for_user(&legacy(), "{}"), [MONSOON, BY_HAND]);
}
