//! The engine against a slow, obvious evaluator that never sees JSON: it works on the generated values themselves, with all
//! numbers as whole thousandths.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{catalog, for_user, matched};

#[derive(Debug, Clone)]
enum Plain {
    Null,
    Bool(bool),
    /// Value in thousandths, and how it is spelt.
    Number(i128, String),
    Text(String),
    List(Vec<Plain>),
    Object,
}

impl Plain {
    fn json(&self) -> String {
        match self {
            Self::Null => "null".into(),
            Self::Bool(flag) => flag.to_string(),
            Self::Number(_, spelling) => spelling.clone(),
            Self::Text(text) => serde_json::to_string(text).unwrap(),
            Self::List(items) => format!("[{}]", items.iter().map(Self::json).collect::<Vec<_>>().join(" , ")),
            Self::Object => r#"{"x":"vip"}"#.into(),
        }
    }

    fn is_scalar(&self) -> bool {
        !matches!(self, Self::List(_) | Self::Object)
    }

    fn thousandths(&self) -> Option<i128> {
        match self {
            Self::Bool(flag) => Some(if *flag { 1000 } else { 0 }),
            Self::Number(thousandths, _) => Some(*thousandths),
            Self::Text(text) => text_thousandths(text.trim()),
            Self::Null | Self::List(_) | Self::Object => None,
        }
    }

    fn text(&self) -> Option<String> {
        match self {
            Self::Bool(flag) => Some(flag.to_string()),
            Self::Number(thousandths, _) => Some(spell(*thousandths)),
            Self::Text(text) => Some(text.clone()),
            Self::Null | Self::List(_) | Self::Object => None,
        }
    }
}

/// Shortest decimal form.
fn spell(thousandths: i128) -> String {
    let sign = if thousandths < 0 { "-" } else { "" };
    let (whole, rest) = (thousandths.abs() / 1000, thousandths.abs() % 1000);
    if rest == 0 {
        return format!("{sign}{whole}");
    }
    format!("{sign}{whole}.{}", format!("{rest:03}").trim_end_matches('0'))
}

/// Digits with at most one sign in front and at most three after a point.
fn text_thousandths(text: &str) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (whole, rest) = digits.split_once('.').unwrap_or((digits, "000"));
    if whole.is_empty()
        || !whole.chars().chain(rest.chars()).all(|c| c.is_ascii_digit())
        || !(1..=3).contains(&rest.len())
    {
        return None;
    }
    let value = whole.parse::<i128>().ok()? * 1000 + format!("{rest:0<3}").parse::<i128>().ok()?;
    Some(if negative { -value } else { value })
}

fn scalars_equal(a: &Plain, b: &Plain) -> bool {
    match (a, b) {
        (Plain::Null, Plain::Null) => true,
        (Plain::Text(a), Plain::Text(b)) => a == b,
        (Plain::Bool(flag), Plain::Text(text)) | (Plain::Text(text), Plain::Bool(flag))
            if *text == flag.to_string() =>
        {
            true
        }
        _ => a.is_scalar() && b.is_scalar() && a.thousandths().is_some() && a.thousandths() == b.thousandths(),
    }
}

fn equal(field: &Plain, value: &Plain) -> bool {
    match field {
        Plain::List(items) => items.len() == 1 && scalars_equal(&items[0], value),
        _ => scalars_equal(field, value),
    }
}

fn order(field: &Plain, value: &Plain) -> Option<Ordering> {
    if let (Some(a), Some(b)) = (field.thousandths(), value.thousandths()) {
        return Some(a.cmp(&b));
    }
    let (a, b) = (field.text()?, value.text()?);
    Some(a.chars().collect::<Vec<_>>().cmp(&b.chars().collect::<Vec<_>>()))
}

fn contains(field: &Plain, value: &Plain) -> bool {
    if let Plain::List(items) = field {
        return items.iter().any(|item| scalars_equal(item, value));
    }
    match (field.text(), value.text()) {
        (Some(text), Some(part)) => text.contains(&part),
        _ => false,
    }
}

fn holds(field: Option<&Plain>, operator: &str, value: &Plain) -> bool {
    let Some(field) = field else { return false };
    let order = order(field, value);
    match operator {
        "==" => equal(field, value),
        "!=" => !equal(field, value),
        ">" => order == Some(Ordering::Greater),
        ">=" => order == Some(Ordering::Greater) || order == Some(Ordering::Equal),
        "<" => order == Some(Ordering::Less),
        "<=" => order == Some(Ordering::Less) || order == Some(Ordering::Equal),
        "contains" => contains(field, value),
        other => panic!("no such operator: {other}"),
    }
}

type Named = BTreeMap<String, Plain>;

#[derive(Debug, Clone)]
struct Rule {
    kind: Option<&'static str>,
    field: String,
    operator: &'static str,
    value: Plain,
}

#[derive(Debug, Clone)]
struct Campaign {
    status: Option<&'static str>,
    trigger: Option<&'static str>,
    triggers: Vec<&'static str>,
    rules: Vec<Rule>,
}

impl Campaign {
    fn json(&self) -> String {
        let mut fields = vec![r#""name":"n""#.to_owned()];
        fields.extend(self.status.map(|status| format!(r#""status":"{status}""#)));
        fields.extend(self.trigger.map(|trigger| format!(r#""trigger":"{trigger}""#)));
        fields.push(format!(r#""triggers":{:?}"#, self.triggers));
        let rules: Vec<String> = self.rules.iter().map(Rule::json).collect();
        fields.push(format!(r#""rules":[{}]"#, rules.join(",")));
        format!("{{{}}}", fields.join(","))
    }

    fn matches(&self, event: &str, traits: &Named, properties: &Named) -> bool {
        self.status == Some("active")
            && (self.trigger == Some(event) || self.triggers.contains(&event))
            && self.rules.iter().all(|rule| rule.holds(traits, properties))
    }

    fn is_for_user(&self, traits: &Named) -> bool {
        self.status == Some("active")
            && self.rules.iter().all(|rule| rule.kind == Some("attribute") && rule.holds(traits, &Named::new()))
    }
}

impl Rule {
    fn json(&self) -> String {
        let kind = self.kind.map_or(String::new(), |kind| format!(r#""type":"{kind}","#));
        format!(r#"{{{kind}"field":"{}","operator":"{}","value":{}}}"#, self.field, self.operator, self.value.json())
    }

    fn holds(&self, traits: &Named, properties: &Named) -> bool {
        let fields = if self.kind == Some("attribute") { traits } else { properties };
        holds(fields.get(&self.field), self.operator, &self.value)
    }
}

fn object(fields: &Named) -> String {
    let members: Vec<String> = fields.iter().map(|(name, value)| format!(r#""{name}": {}"#, value.json())).collect();
    format!("{{{}}}", members.join(", "))
}

/// Small ones often, so that different spellings meet; large ones around where doubles begin to round.
fn any_thousandths() -> impl Strategy<Value = i128> {
    prop_oneof![
        (-3_i128..12).prop_map(|whole| whole * 1000),
        -2500_i128..2500,
        (-2_i128..3).prop_map(|near| ((1 << 53) + near) * 1000),
        any::<i64>().prop_map(|whole| i128::from(whole) * 1000),
        any::<u64>().prop_map(|whole| i128::from(whole) * 1000),
    ]
}

fn any_number() -> impl Strategy<Value = Plain> {
    (any_thousandths(), any::<bool>()).prop_map(|(thousandths, pointed)| {
        let small_whole = thousandths % 1000 == 0 && thousandths.abs() < 1 << 50;
        let point = if pointed && small_whole { ".0" } else { "" };
        Plain::Number(thousandths, spell(thousandths) + point)
    })
}

fn any_scalar() -> impl Strategy<Value = Plain> {
    let words = ["", " ", "vip", "nonvip", "true", "false", "True", "null", "0x10", "a,b", "é\"\\", "1.4.2", "-"];
    prop_oneof![
        Just(Plain::Null),
        any::<bool>().prop_map(Plain::Bool),
        any_number(),
        any_number().prop_map(|number| Plain::Text(number.json())),
        any_number().prop_map(|number| Plain::Text(format!(" {}\t", number.json()))),
        proptest::sample::select(words.to_vec()).prop_map(|word| Plain::Text(word.to_owned())),
        "[a-c0-2.]{0,3}"
            .prop_filter("1. and .1 are for the table", |text| !text.starts_with('.') && !text.ends_with('.'))
            .prop_map(Plain::Text),
    ]
}

fn any_field() -> impl Strategy<Value = Plain> {
    prop_oneof![
        6 => any_scalar(),
        2 => proptest::collection::vec(prop_oneof![8 => any_scalar(), 1 => Just(Plain::Object), 1 => Just(Plain::List(vec![]))], 0..4).prop_map(Plain::List),
        1 => Just(Plain::Object),
    ]
}

fn any_operator() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(vec!["==", "!=", ">", ">=", "<", "<=", "contains"])
}

fn any_fields() -> impl Strategy<Value = Named> {
    proptest::collection::btree_map("[xyz]", any_field(), 0..4)
}

fn any_rule() -> impl Strategy<Value = Rule> {
    let kinds = vec![Some("attribute"), Some("event"), Some("Attribute"), None];
    (proptest::sample::select(kinds), "[xyz]", any_operator(), any_scalar())
        .prop_map(|(kind, field, operator, value)| Rule { kind, field, operator, value })
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
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn every_comparison_agrees(field in any_field(), operator in any_operator(), value in any_scalar()) {
        let rule = Rule { kind: None, field: "x".into(), operator, value };
        let campaign = Campaign { status: Some("active"), trigger: Some("e"), triggers: vec![], rules: vec![rule.clone()] };
        let properties = Named::from([("x".to_owned(), field.clone())]);
        let found = matched(&catalog(&[campaign.json()]), "e", "{}", &object(&properties));
        prop_assert_eq!(!found.is_empty(), holds(Some(&field), operator, &rule.value), "{} {} {}", field.json(), operator, rule.value.json());
    }
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
