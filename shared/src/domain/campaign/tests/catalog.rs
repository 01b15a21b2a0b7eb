//! Selection: triggers, order, traits wanted, inert neighbours.

use super::{catalog, document, facts, for_user, matched};
use crate::domain::campaign::{Catalog, compile};
use crate::domain::rules::{CountWindow, JsonFields, Segments};
use crate::domain::segment;

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
fn traits_are_wanted_only_where_an_active_campaign_looks_at_them() {
    let rule =
        |kind| format!(r#","trigger":"{kind}","rules":[{{"type":"{kind}","field":"f","operator":"==","value":1}}]"#);
    let draft =
        r#"{"status":"draft","trigger":"event","rules":[{"type":"attribute","field":"f","operator":"==","value":1}]}"#;
    let campaigns = catalog(&[active(&rule("attribute")), active(&rule("event")), draft.to_owned()]);
    assert!(campaigns.needs_traits("attribute"));
    assert!(!campaigns.needs_traits("event"));
    assert!(!campaigns.needs_traits("other"));
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
fn what_a_trigger_needs_is_gathered_from_its_campaigns_and_their_segments() {
    let member = r#"{"type":"segment","segment":"s"}"#;
    let counted = r#"{"type":"event_count","event":"opened","value":3,"within":"7d"}"#;
    let segment = format!(r#"{{"name":"s","rules":[{{"type":"trait","field":"f","operator":"exists"}},{counted}]}}"#);
    let segments: Segments = [("s".to_owned(), segment::compile(&document(&segment)).unwrap())].into_iter().collect();
    let campaigns = [
        active(&format!(r#","trigger":"segment","rules":[{{"not":{member}}}]"#)),
        active(r#","trigger":"event","rules":[{"any":[{"type":"context","field":"os.name","operator":"exists"}]}]"#),
        active(r#","trigger":"plain""#),
    ];
    let compiled = campaigns.iter().map(|text| compile("c", 1, &document(text)));
    let catalog = Catalog::with_segments(compiled.collect::<Vec<_>>(), segments);

    let needs = catalog.needs("segment");
    let window = CountWindow { event: "opened".into(), within_seconds: Some(604_800), most: 4 };
    assert!(needs.traits && !needs.event);
    assert_eq!(needs.counts.iter().collect::<Vec<_>>(), [&window]);
    assert_eq!(needs.segments.iter().collect::<Vec<_>>(), ["s"]);
    assert!(catalog.needs("event").event && !catalog.needs_traits("event"));
    assert_eq!(catalog.needs("plain"), catalog.needs("no such event"));
    let all = catalog.needs_for_user();
    assert!(all.traits && all.event && all.counts.contains(&window));
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
    let (traits, event) = (JsonFields::new(r#"{"vip":true}"#), JsonFields::new(r#"{"f":1}"#));
    assert_eq!(campaigns.for_user(facts(&campaigns, &traits, &event)).count(), 2, "an event at hand changes nothing");
}
