//! Selection: triggers, order, traits wanted, inert neighbours.

use super::{catalog, for_user, matched};

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
