//! Selection against a slow, obvious one: which campaigns an event or a user meets. What rules mean is tested with the rules.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{catalog, for_user, matched};

/// Field to value.
type Named = BTreeMap<String, u8>;

/// `field == value`.
#[derive(Debug, Clone)]
struct Rule {
    kind: Option<&'static str>,
    field: String,
    value: u8,
}

#[derive(Debug, Clone)]
struct Campaign {
    status: Option<&'static str>,
    trigger: Option<&'static str>,
    triggers: Vec<&'static str>,
    rules: Vec<Rule>,
}

impl Rule {
    fn json(&self) -> String {
        let kind = self.kind.map_or(String::new(), |kind| format!(r#""type":"{kind}","#));
        format!(r#"{{{kind}"field":"{}","operator":"==","value":{}}}"#, self.field, self.value)
    }

    fn is_on_traits(&self) -> bool {
        self.kind == Some("attribute")
    }

    fn holds(&self, traits: &Named, properties: &Named) -> bool {
        let fields = if self.is_on_traits() { traits } else { properties };
        fields.get(&self.field) == Some(&self.value)
    }
}

impl Campaign {
    fn json(&self) -> String {
        let mut members = vec![format!(r#""triggers":{:?}"#, self.triggers)];
        members.extend(self.status.map(|status| format!(r#""status":"{status}""#)));
        members.extend(self.trigger.map(|trigger| format!(r#""trigger":"{trigger}""#)));
        members.push(format!(r#""rules":[{}]"#, self.rules.iter().map(Rule::json).collect::<Vec<_>>().join(",")));
        format!("{{{}}}", members.join(","))
    }

    fn matches(&self, event: &'static str, traits: &Named, properties: &Named) -> bool {
        self.status == Some("active")
            && (self.trigger == Some(event) || self.triggers.contains(&event))
            && self.rules.iter().all(|rule| rule.holds(traits, properties))
    }

    fn is_for_user(&self, traits: &Named) -> bool {
        self.status == Some("active")
            && self.rules.iter().all(|rule| rule.is_on_traits() && rule.holds(traits, &Named::new()))
    }
}

fn object(fields: &Named) -> String {
    serde_json::to_string(fields).unwrap()
}

fn any_fields() -> impl Strategy<Value = Named> {
    proptest::collection::btree_map("[xyz]", 0_u8..2, 0..4)
}

fn any_rule() -> impl Strategy<Value = Rule> {
    let kinds = vec![Some("attribute"), Some("event"), Some("Attribute"), None];
    (proptest::sample::select(kinds), "[xyz]", 0_u8..2).prop_map(|(kind, field, value)| Rule { kind, field, value })
}

fn any_campaign() -> impl Strategy<Value = Campaign> {
    let statuses = vec![Some("active"), Some("active"), Some("active"), Some("draft"), Some("ACTIVE"), None];
    let triggers = vec![None, Some("e"), Some("e"), Some("E"), Some("f")];
    (
        proptest::sample::select(statuses),
        proptest::sample::select(triggers),
        proptest::collection::vec(proptest::sample::select(vec!["e", "f", ""]), 0..3),
        proptest::collection::vec(any_rule(), 0..3),
    )
        .prop_map(|(status, trigger, triggers, rules)| Campaign { status, trigger, triggers, rules })
}

fn ids(campaigns: &[Campaign], wanted: impl Fn(&Campaign) -> bool) -> Vec<String> {
    let found = campaigns.iter().enumerate().filter(|(_, campaign)| wanted(campaign));
    found.map(|(index, _)| format!("c{index}")).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn every_selection_agrees(campaigns in proptest::collection::vec(any_campaign(), 0..8), traits in any_fields(), properties in any_fields()) {
        let documents: Vec<String> = campaigns.iter().map(Campaign::json).collect();
        let index = catalog(&documents);
        prop_assert_eq!(index.inert(), &[]);
        for event in ["e", "f", "E"] {
            let found = matched(&index, event, &object(&traits), &object(&properties));
            prop_assert_eq!(&found, &ids(&campaigns, |campaign| campaign.matches(event, &traits, &properties)));
            if !index.needs_traits(event) {
                prop_assert_eq!(found, matched(&index, event, "{}", &object(&properties)));
            }
        }
        prop_assert_eq!(for_user(&index, &object(&traits)), ids(&campaigns, |campaign| campaign.is_for_user(&traits)));
    }
}
