//! Selection: triggers, order, traits wanted, inert neighbours.

use super::{catalog, document, for_user, matched, with_segments};
use crate::domain::campaign::{Catalog, Wants};
use crate::domain::rules::{CountWindow, Segments};
use crate::domain::segment;

fn wants(catalog: &Catalog, event: &str) -> Wants {
    let mut wants = Wants::default();
    catalog.triggered_by(event).listeners().for_each(|listeners| wants.merge(&listeners.wants));
    wants
}

fn active(rest: &str) -> String {
    format!(r#"{{"name":"n","status":"active"{rest}}}"#)
}

#[test]
fn triggers_are_exact_and_the_order_given_is_kept() {
    let campaigns = catalog(&[
        active(r#","trigger":"screen_viewed""#),
        active(r#","trigger":"Screen_Viewed""#),
        active(r#","triggers":["x","screen_viewed"]"#),
        active(""),
        active(r#","trigger":"screen_viewed""#),
    ]);
    assert_eq!(matched(&campaigns, "screen_viewed", "{}", "{}"), ["c0", "c2", "c4"]);
    assert_eq!(matched(&campaigns, "Screen_Viewed", "{}", "{}"), ["c1"]);
    assert_eq!(matched(&campaigns, "", "{}", "{}"), Vec::<String>::new());
    assert_eq!(for_user(&campaigns, "{}"), ["c0", "c1", "c2", "c3", "c4"]);
}

#[test]
fn a_loose_campaign_does_not_mind_case_and_underscores() {
    let campaigns = catalog(&[
        active(r#","trigger":"Screen_Viewed","priority":1"#),
        active(r#","trigger":"screen viewed","trigger_match":"loose","priority":2"#),
        active(r#","trigger":"SCREEN_viewed","trigger_match":"loose""#),
        active(r#","trigger":"Screen_Viewed""#),
    ]);
    let twice = active(r#","trigger":"A_b","triggers":["a b","a_B"],"trigger_match":"loose""#);
    assert_eq!(matched(&catalog(&[twice]), "a_b", "{}", "{}"), ["c0"], "once for one event");
    assert_eq!(
        matched(&campaigns, "Screen_Viewed", "{}", "{}"),
        ["c1", "c0", "c2", "c3"],
        "by priority, then as given"
    );
    assert_eq!(matched(&campaigns, "screen_viewed", "{}", "{}"), ["c1", "c2"]);
    assert!(campaigns.triggered_by("screenviewed").is_empty());
}

#[test]
fn a_profile_is_wanted_only_where_a_campaign_looks_at_it() {
    let asks = r#","rules":[{"type":"attribute","field":"f","operator":"==","value":1}]"#;
    let campaigns = catalog(&[
        active(r#","trigger":"anything""#),
        active(r#","trigger":"receipt","ignore_opt_out":true"#),
        active(&format!(r#","trigger":"ruled","ignore_opt_out":true{asks}"#)),
        active(r#","trigger":"capped","ignore_opt_out":true,"frequency_cap":{"per_user":1,"total":9}"#),
        format!(r#"{{"status":"draft","trigger":"draft"{asks}}}"#),
    ]);
    assert!(wants(&campaigns, "anything").traits, "for the opt-out");
    assert!(wants(&campaigns, "ruled").traits);
    for event in ["receipt", "draft", "other"] {
        assert_eq!(wants(&campaigns, event), Wants::default(), "{event}");
    }
    let capped = wants(&campaigns, "capped");
    assert!(!capped.traits && capped.history.contains("c3") && capped.totals.contains("c3"));
}

#[test]
fn goals_outlive_their_campaign_and_counted_events_are_known() {
    let counted = r#"{"type":"event_count","event":"opened","value":3}"#;
    let campaigns = catalog(&[
        r#"{"status":"archived","goal":{"event":"bought"}}"#.to_owned(),
        active(&format!(r#","trigger":"x","rules":[{counted}]"#)),
    ]);
    assert_eq!(campaigns.goals("bought").iter().map(|c| c.id.as_str()).collect::<Vec<_>>(), ["c0"]);
    assert!(campaigns.goals("sold").is_empty());
    assert!(campaigns.is_counted("opened") && !campaigns.is_counted("x"));
}

#[test]
fn a_malformed_campaign_harms_no_other() {
    let campaigns = catalog(&[
        active(r#","trigger":"e""#),
        active(r#","trigger":"e","rules":[null]"#),
        active(r#","trigger":"e""#),
    ]);
    assert_eq!(matched(&campaigns, "e", "{}", "{}"), ["c0", "c2"]);
    assert_eq!(for_user(&campaigns, "{}"), ["c0", "c2"]);
    assert_eq!(campaigns.inert().len(), 1);
    assert_eq!(campaigns.inert()[0].id, "c1");
}

#[test]
fn properties_that_are_no_object_meet_only_campaigns_without_event_rules() {
    let ruled = r#","trigger":"e","rules":[{"field":"f","operator":"!=","value":1}]"#;
    let campaigns = catalog(&[active(ruled), active(r#","trigger":"e""#)]);
    for properties in ["", "null", "[]"] {
        assert_eq!(matched(&campaigns, "e", "{}", properties), ["c1"]);
    }
}

#[test]
fn what_a_segment_counts_is_wanted_by_the_campaigns_that_name_it() {
    let member = r#"{"type":"segment","segment":"s"}"#;
    let counted = r#"{"type":"event_count","event":"opened","value":3,"within":"7d"}"#;
    let segment = format!(r#"{{"name":"s","rules":[{{"type":"trait","field":"f","operator":"exists"}},{counted}]}}"#);
    let segments: Segments = [("s".to_owned(), segment::compile(&document(&segment)).unwrap())].into_iter().collect();
    let campaigns = [
        active(&format!(r#","trigger":"segment","rules":[{{"not":{member}}}]"#)),
        active(r#","trigger":"event","rules":[{"any":[{"type":"context","field":"os.name","operator":"exists"}]}]"#),
        active(r#","trigger":"plain""#),
    ];
    let catalog = with_segments(&campaigns, segments);
    let window = CountWindow { event: "opened".into(), within_seconds: Some(604_800), most: 4 };
    assert_eq!(wants(&catalog, "segment").counts.into_iter().collect::<Vec<_>>(), std::slice::from_ref(&window));
    assert!(wants(&catalog, "event").counts.is_empty() && wants(&catalog, "plain").counts.is_empty());
    assert!(catalog.for_users().wants.counts.contains(&window));
    assert!(catalog.is_counted("opened"));
}

#[test]
fn for_a_user_only_what_holds_whatever_the_event_is_shown() {
    let event = r#"{"field":"f","operator":"exists"}"#;
    let vip = r#"{"type":"attribute","field":"vip","operator":"is_true"}"#;
    let campaigns = catalog(&[
        active(&format!(r#","rules":[{event}]"#)),
        active(&format!(r#","rules":[{{"not":{event}}}]"#)),
        active(&format!(r#","rules":[{{"any":[{event},{vip}]}}]"#)),
        active(&format!(r#","rules":[{{"not":{{"all":[{event},{{"not":{vip}}}]}}}}]"#)),
    ]);
    assert_eq!(for_user(&campaigns, r#"{"vip":true,"f":1}"#), ["c2", "c3"]);
    assert_eq!(for_user(&campaigns, r#"{"vip":false}"#), Vec::<String>::new());
}
