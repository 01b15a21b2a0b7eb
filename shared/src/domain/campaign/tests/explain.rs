//! Explanations against decisions: the checks, read one after the other, lead to what the engine decides.

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{catalog, document, facts};
use crate::domain::campaign::assignment::Who;
use crate::domain::campaign::caps::History;
use crate::domain::campaign::delivery::{Decision, Situation};
use crate::domain::campaign::explain::{Check, Explanation, explain};
use crate::domain::campaign::{Compiled, JsonFields, compile};
use crate::domain::user_key::UserKey;

/// A Thursday, in the middle of the night.
fn now() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_454)
}

#[derive(Debug, Clone)]
struct Known {
    event: &'static str,
    who: Who<'static>,
    opted_out: bool,
    /// Hours before now.
    shown: Vec<i64>,
    shown_to_all: u64,
    tier: u8,
}

fn explained(campaign: &Compiled, known: &Known) -> (Explanation, Decision) {
    let empty = catalog(&[]);
    let traits = format!(r#"{{"tier":{}}}"#, known.tier);
    let (traits, none) = (JsonFields::new(&traits), JsonFields::none());
    let mut history = History::default();
    known.shown.iter().for_each(|hours| history.record(now() - TimeDelta::hours(*hours)));
    let situation = Situation {
        who: known.who,
        now: now(),
        opted_out: known.opted_out,
        history: &history,
        shown_to_all: known.shown_to_all,
    };
    let facts = facts(&empty, &traits, Some(&none));
    (explain(campaign, Some(known.event), &facts, &situation), campaign.decide(&facts, &situation))
}

/// What the checks say, taken by themselves, in the order in which they stand.
fn read(checks: &[Check]) -> (&'static str, Option<&'static str>) {
    let failed = |name: &str| checks.iter().any(|check| check.check == name && !check.pass);
    let preview = checks.iter().any(|check| check.check == "status" && check.detail.contains("test user"));
    for (name, reason) in [("trigger", "trigger"), ("status", "not_active"), ("rules", "rules")] {
        if failed(name) {
            return ("suppressed", Some(reason));
        }
    }
    if preview {
        return ("preview", None);
    }
    let rest = [
        ("schedule", "schedule"),
        ("opt_out", "opted_out"),
        ("roll_out", "roll_out"),
        ("caps", "capped"),
        ("total_cap", "capped"),
    ];
    match rest.into_iter().find(|(name, _)| failed(name)) {
        Some((_, reason)) => ("suppressed", Some(reason)),
        None if failed("hold_out") => ("hold_out", None),
        None => ("show", None),
    }
}

fn any_document() -> impl Strategy<Value = Value> {
    let status = select(vec!["active", "active", "active", "draft", "paused", "odd"]);
    let times = select(vec![
        json!({}),
        json!({}),
        json!({"starts_at": "2026-01-02"}),
        json!({"ends_at": "2025-01-01"}),
        json!({"windows": [{"days": ["thu"], "from": "23:00", "to": "01:00"}]}),
        json!({"windows": [{"from": "09:00", "to": "17:00"}], "time_zone": "Asia/Kolkata"}),
    ]);
    let caps = select(vec![
        json!({}),
        json!({"per_user": 2}),
        json!({"per_user_per_day": 1}),
        json!({"min_gap_seconds": 7200}),
        json!({"total": 3}),
        json!({"per_user": 1, "total": 5}),
    ]);
    let share = || select(vec![0, 0, 50, 100]);
    (status, times, caps, (share(), share()), any::<(bool, bool, bool, bool)>()).prop_map(
        |(status, schedule, caps, (roll_out, hold_out), (tested, ignore, variants, loose))| {
            let variants = if variants { json!([{"name": "A"}, {"name": "B"}]) } else { json!([]) };
            json!({
                "status": status, "trigger": "Opened_It", "trigger_match": if loose { "loose" } else { "exact" },
                "schedule": schedule, "frequency_cap": caps, "variants": variants, "ignore_opt_out": ignore,
                "rollout_percentage": 100 - roll_out, "hold_out_percentage": hold_out,
                "test_users": if tested { json!(["u1"]) } else { json!([]) },
                "rules": [{"type": "attribute", "field": "tier", "operator": ">", "value": 0}],
            })
        },
    )
}

fn any_known() -> impl Strategy<Value = Known> {
    let users = ["u1", "u2", "u3", "u4"].map(|id| Who::User(UserKey::user(id)));
    let who = select([users.as_slice(), &[Who::Stranger(Uuid::nil()), Who::Nobody]].concat());
    let event = select(vec!["Opened_It", "Opened_It", "opened it", "closed"]);
    (event, who, any::<bool>(), proptest::collection::vec(0_i64..50, 0..3), 0_u64..6, 0_u8..4).prop_map(
        |(event, who, opted_out, shown, shown_to_all, tier)| Known { event, who, opted_out, shown, shown_to_all, tier },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn the_checks_lead_to_what_the_engine_decides(text in any_document(), known in any_known()) {
        let campaign = compile("c", 1, &document(&text.to_string())).unwrap();
        let (explanation, decision) = explained(&campaign, &known);
        let (decided, reason) = read(&explanation.checks);
        prop_assert_eq!((explanation.decision, explanation.reason), (decided, reason), "{:#?}", explanation);
        if campaign.is_triggered_by(known.event) {
            prop_assert_eq!(decided, decision.as_str());
            let suppressed = if let Decision::Suppressed(why) = decision { Some(why.as_str()) } else { None };
            prop_assert_eq!(reason, suppressed);
            prop_assert_eq!(explanation.variant.as_deref(), campaign.variant_name(decision.variant()));
        } else {
            prop_assert_eq!(reason, Some("trigger"));
        }
        let listens = catalog(&[text.to_string()]);
        let index_knows = !listens.triggered_by(known.event).is_empty();
        prop_assert_eq!(campaign.listens() && explanation.trigger.pass, index_knows);
        prop_assert!(explanation.summary.ends_with('.') && explanation.checks.len() == 10);
    }
}

fn detail(text: &Value, known: &Known, name: &str) -> String {
    let campaign = compile("c", 1, &document(&text.to_string())).unwrap();
    let (explanation, _) = explained(&campaign, known);
    explanation.checks.into_iter().find(|check| check.check == name).unwrap().detail
}

#[test]
fn details_tell_what_was_seen_and_when_it_changes() {
    let known = Known {
        event: "opened",
        who: Who::User(UserKey::user("u1")),
        opted_out: false,
        shown: vec![30, 1],
        shown_to_all: 7,
        tier: 1,
    };
    let with = |more: Value, name| {
        let mut text = json!({"status": "active", "trigger": "opened"});
        more.as_object().unwrap().iter().for_each(|(key, value)| text[key] = value.clone());
        detail(&text, &known, name)
    };
    let caps = json!({"frequency_cap": {"per_user": 2, "per_user_per_day": 3, "min_gap_seconds": 7200, "total": 7}});
    assert_eq!(
        with(caps.clone(), "caps"),
        "shown 2 of 2 times in all: never again; shown 0 of 3 times since 2026-01-01T00:00:00Z; \
         last shown at 2025-12-31T23:00:00Z: 7200 s must pass, next from 2026-01-01T01:00:00Z"
    );
    assert_eq!(with(caps, "total_cap"), "shown 7 of 7 times to anybody");
    let daily = json!({"schedule": {"time_zone": "Asia/Kolkata"}, "frequency_cap": {"per_user_per_day": 1}});
    assert_eq!(with(daily, "caps"), "shown 1 of 1 times since 2025-12-31T18:30:00Z: next from 2026-01-01T18:30:00Z");
    let office = json!({"schedule": {"windows": [{"days": ["mon", "tue"], "from": "09:00", "to": "17:00"}]}});
    assert_eq!(with(office, "schedule"), "it is Thu 00:00 in UTC, in none of its windows: mon tue 09:00–17:00");
    assert_eq!(with(json!({"starts_at": "2026-01-02"}), "schedule"), "it starts at 2026-01-02T00:00:00Z");
    let shares = json!({"rollout_percentage": 25.5, "hold_out_percentage": 10});
    assert!(with(shares.clone(), "roll_out").ends_with("of 10000; rolled out to 25.5 %, the places below 2550"));
    assert!(with(shares, "hold_out").starts_with("place "));
    let elsewhere = Known { event: "closed", ..known.clone() };
    let text = json!({"status": "active", "trigger": "opened"});
    assert_eq!(detail(&text, &elsewhere, "trigger"), "it listens to \"opened\", not to \"closed\"");
}
