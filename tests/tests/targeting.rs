//! Rules decide who is shown a campaign, and decide alike in the reply and in the record.

use serde_json::{Value, json};
use tests::client::{ADMIN_KEY, WRITE_KEY};
use tests::eventually::{equal, eventually};
use tests::matching::{campaign, matched, recorded, replied};
use tests::metrics::Metrics;
use tests::pipeline::{Pipeline, Setup};

async fn start(campaigns: impl IntoIterator<Item = (&'static str, Value)>) -> Pipeline {
    let with = |setup: Setup, (id, rules)| setup.campaign(campaign(id, json!({"rules": rules})));
    campaigns.into_iter().fold(Setup::default(), with).start().await
}

fn at_least(count: u32, within: &str) -> Value {
    json!([{"type": "event_count", "event": "opened", "value": count, "within": within}])
}

fn opened(user: &str, message_id: &str) -> Value {
    json!({"user_id": user, "event": "opened", "messageId": message_id})
}

#[tokio::test]
async fn every_type_of_rule_and_every_kind_of_operator_tells_users_and_events_apart() {
    let rules = [
        ("trait", json!([{"type": "attribute", "field": "tier", "operator": "==", "value": "silver"}])),
        ("trait-is-false", json!([{"type": "attribute", "field": "kyc", "operator": "==", "value": "false"}])),
        ("trait-in-an-object", json!([{"type": "trait", "field": "address.city", "operator": "is", "value": "Pune"}])),
        ("trait-with-a-dot", json!([{"type": "trait", "field": "plan.name", "operator": "==", "value": "pro"}])),
        ("trait-missing", json!([{"type": "attribute", "field": "email", "operator": "not_exists"}])),
        ("array-contains", json!([{"type": "attribute", "field": "tags", "operator": "contains", "value": "vip"}])),
        ("array-without", json!([{"type": "attribute", "field": "tags", "operator": "not_in", "value": ["new"]}])),
        ("seen-lately", json!([{"type": "attribute", "field": "seen", "operator": "within_last", "value": "7d"}])),
        (
            "joined-before",
            json!([{"type": "attribute", "field": "joined", "operator": "before", "value": "2025-01-01"}]),
        ),
        ("property", json!([{"type": "event", "field": "total", "operator": ">=", "value": "40"}])),
        ("property-without-type", json!([{"field": "total", "operator": "greater_than", "value": 39.5}])),
        ("property-in-any-case", json!([{"field": "city", "operator": "==", "value": "PUNE", "ignore_case": true}])),
        ("property-pattern", json!([{"field": "sku", "operator": "matches", "value": "^AB-[0-9]+$"}])),
        ("property-start", json!([{"field": "sku", "operator": "starts_with", "value": "AB"}])),
        ("property-set", json!([{"field": "coupon", "operator": "set"}])),
        ("context", json!([{"type": "context", "field": "os.name", "operator": "in", "value": ["iOS", "iPadOS"]}])),
        (
            "context-version",
            json!([{"type": "context", "field": "app.version", "operator": ">=", "value": "2.9", "compare": "version"}]),
        ),
        (
            "all-of-two",
            json!([{"type": "attribute", "field": "tier", "operator": "!=", "value": "gold"},
                   {"type": "event", "field": "total", "operator": "<", "value": 100}]),
        ),
    ];
    let mut all: Vec<_> = rules.iter().map(|(id, _)| *id).collect();
    all.sort_unstable();
    let pipeline = start(rules).await;
    let now = chrono::Utc::now();
    let holds = json!({
        "tier": "silver", "kyc": false, "address": {"city": "Pune"}, "plan.name": "pro", "plan": {"name": "free"},
        "tags": ["a", "vip"], "seen": now.timestamp_millis(), "joined": "2024-12-31T23:59:59Z"
    });
    let fails = json!({
        "tier": "gold", "kyc": "no", "address.city": "Delhi", "address": {"city": "Pune"}, "plan": {"name": "free"},
        "email": "a@b.example", "tags": ["nonvip", "new"], "seen": (now - chrono::TimeDelta::days(8)).to_rfc3339(),
        "joined": "2025-01-01"
    });
    for (user, traits) in [("yes", holds), ("no", fails)] {
        pipeline.client().accepted("/v1/identify", &json!({"user_id": user, "traits": traits})).await;
    }
    let holds = json!({
        "user_id": "yes", "event": "opened",
        "properties": {"total": 40, "city": "pune", "sku": "AB-12", "coupon": ""},
        "context": {"os": {"name": "iOS"}, "app": {"version": "2.10.1"}}
    });
    assert_eq!(matched(&pipeline, holds).await, all);
    let fails = json!({
        "user_id": "no", "event": "opened",
        "properties": {"total": 39, "city": "poona", "sku": "XAB-12", "coupon": null},
        "context": {"os": {"name": "Android"}, "app": {"version": "2.8.9"}}
    });
    assert_eq!(matched(&pipeline, fails).await, Vec::<String>::new());
    let bare = matched(&pipeline, json!({"user_id": "nobody", "event": "opened"})).await;
    assert_eq!(bare, ["trait-missing"], "what is missing fails every rule but one");
}

#[tokio::test]
async fn groups_nest_and_mean_what_logic_means() {
    let is = |field: &str| json!({"type": "event", "field": field, "operator": "is_true"});
    let pipeline = start([
        ("a and b", json!([is("a"), is("b")])),
        ("a or b", json!([{"any": [is("a"), is("b")]}])),
        ("not a", json!([{"not": is("a")}])),
        ("one group", json!({"all": [{"any": [is("a"), {"not": is("b")}]}, is("c")]})),
        ("neither", json!([{"not": {"any": [is("a"), {"all": [is("b"), is("c")]}]}}])),
    ])
    .await;
    for (a, b, c, expected) in [
        (false, false, false, vec!["neither", "not a"]),
        (true, false, false, vec!["a or b"]),
        (false, true, true, vec!["a or b", "not a"]),
        (false, true, false, vec!["a or b", "neither", "not a"]),
        (false, false, true, vec!["neither", "not a", "one group"]),
        (true, true, true, vec!["a and b", "a or b", "one group"]),
    ] {
        let event = json!({"user_id": "u", "event": "opened", "properties": {"a": a, "b": b, "c": c}});
        assert_eq!(matched(&pipeline, event).await, expected, "{a} {b} {c}");
    }
}

#[tokio::test]
async fn the_third_event_is_the_first_that_was_done_three_times() {
    let pipeline = start([("thrice", at_least(3, "7d"))]).await;
    let third = |at: usize| if at == 2 { vec!["thrice"] } else { vec![] };

    // Each stored before the next is sent.
    for at in 0..3 {
        assert_eq!(matched(&pipeline, opened("stored", &format!("stored-{at}"))).await, third(at), "{at}");
    }
    // In one batch, so in one flush.
    let mut batch = Vec::new();
    for at in 0..3 {
        let mut event = opened("batch", &format!("batch-{at}"));
        event["type"] = json!("track");
        batch.push(event);
    }
    pipeline.client().accepted("/v1/batch", &json!({"batch": batch})).await;
    pipeline.drained().await;
    for at in 0..3 {
        assert_eq!(recorded(&pipeline, &format!("batch-{at}")).await, third(at), "{at}");
    }
    // One after the other while the worker stands still: only this process knows of them.
    pipeline.workers[0].pause();
    for at in 0..3 {
        assert_eq!(replied(&pipeline.client(), &opened("quick", &format!("quick-{at}"))).await, third(at), "{at}");
    }
    pipeline.workers[0].resume();
    pipeline.drained().await;
    for at in 0..3 {
        assert_eq!(recorded(&pipeline, &format!("quick-{at}")).await, third(at), "{at}");
    }
}

#[tokio::test]
async fn a_resend_is_not_counted_again() {
    let pipeline = start([("twice", at_least(2, "1d"))]).await;
    let client = pipeline.client();
    let none = Vec::<String>::new();

    // While the first is not stored yet, and after it is.
    pipeline.workers[0].pause();
    for _ in 0..3 {
        assert_eq!(replied(&client, &opened("u", "first")).await, none);
    }
    pipeline.workers[0].resume();
    pipeline.drained().await;
    assert_eq!(matched(&pipeline, opened("u", "first")).await, none);
    // Stored once and accepted once more: still one.
    pipeline.workers[0].pause();
    assert_eq!(replied(&client, &opened("u", "first")).await, none);
    assert_eq!(replied(&client, &opened("u", "second")).await, ["twice"]);
    pipeline.workers[0].resume();
    pipeline.drained().await;
    assert_eq!(recorded(&pipeline, "first").await, none);
    assert_eq!(recorded(&pipeline, "second").await, ["twice"]);
    // A reply that was lost is given again.
    assert_eq!(matched(&pipeline, opened("u", "second")).await, ["twice"]);
    assert_eq!(pipeline.rows().await, 2);
}

#[tokio::test]
async fn only_events_within_the_time_given_are_counted() {
    let pipeline = start([("week", at_least(2, "7d")), ("day", at_least(2, "1d"))]).await;
    let ago = |days: i64| (chrono::Utc::now() - chrono::TimeDelta::days(days)).to_rfc3339();
    let mut old = opened("u", "old");
    old["timestamp"] = json!(ago(8));
    assert_eq!(matched(&pipeline, old).await, Vec::<String>::new());
    assert_eq!(matched(&pipeline, opened("u", "new")).await, Vec::<String>::new());
    let mut lately = opened("u", "lately");
    lately["timestamp"] = json!(ago(6));
    assert_eq!(matched(&pipeline, lately).await, ["week"]);
}

#[tokio::test]
async fn a_visitor_is_counted_by_the_anonymous_id_and_a_stranger_only_this_once() {
    let pipeline = start([("once", at_least(1, "1d")), ("twice", at_least(2, "1d"))]).await;
    let by = |body: Value| {
        let mut event = json!({"event": "opened"});
        event.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
        event
    };
    let visitor = by(json!({"anonymousId": "visitor"}));
    assert_eq!(matched(&pipeline, visitor.clone()).await, ["once"]);
    // Another person whose id is spelt alike.
    assert_eq!(matched(&pipeline, by(json!({"user_id": "visitor"}))).await, ["once"]);
    assert_eq!(matched(&pipeline, visitor).await, ["once", "twice"]);
    for _ in 0..3 {
        assert_eq!(matched(&pipeline, by(json!({"user_id": "anonymous"}))).await, ["once"]);
    }
}

#[tokio::test]
async fn malformed_rules_are_refused_with_every_fault_named() {
    let pipeline = Setup::default().workers(0).start().await;
    let admin = pipeline.ingests[0].client().with_key(ADMIN_KEY);
    let rules = json!([
        null,
        {"type": "event", "field": "", "operator": "~", "value": 1},
        {"any": []},
        {"all": [{"field": "a", "operator": "matches", "value": "(["}, {"not": {"field": "a", "operator": "within_last", "value": "soon"}}]},
        {"type": "segment", "operator": "=="},
        {"type": "event_count", "event": "e", "value": -1, "within": "1 week"},
        {"field": "a", "operator": "==", "value": {"an": "object"}},
        {"field": "a", "operator": "<", "value": "abc", "compare": "version", "ignore_case": "no"}
    ]);
    let expected = [
        "rules[0]",
        "rules[1].field",
        "rules[1].operator",
        "rules[2].any",
        "rules[3].all[0].value",
        "rules[3].all[1].not.value",
        "rules[4].operator",
        "rules[4].segment",
        "rules[5].value",
        "rules[5].within",
        "rules[6].value",
        "rules[7].ignore_case",
        "rules[7].value",
    ];
    let refused = admin.post("/v1/admin/campaigns", &json!({"name": "n", "rules": rules})).await.unwrap();
    assert_eq!((refused.status, &refused.json()["code"]), (400, &json!("invalid_campaign")));
    let refused = refused.json();
    let details = refused["details"].as_array().unwrap();
    let mut named: Vec<_> = details.iter().map(|fault| fault["path"].as_str().unwrap()).collect();
    named.sort_unstable();
    assert_eq!(named, expected, "{refused}");
    assert!(details.iter().all(|fault| fault["msg"].as_str().is_some_and(|text| text.len() > 10)), "{refused}");
    let many: Vec<Value> = (0..10_000).map(|n| json!({"field": format!("f{n}"), "operator": "exists"})).collect();
    let refused = admin.post("/v1/admin/campaigns", &json!({"name": "n", "rules": many})).await.unwrap();
    assert_eq!(refused.status, 400);
    assert!(refused.text().contains("10000 rules"), "{}", refused.text());
    assert_eq!(pipeline.database.number("SELECT count(*) FROM campaigns").await, 0);
}

#[tokio::test]
async fn a_malformed_stored_campaign_does_nothing_visibly_while_the_others_match() {
    let rule = |operator: &str| json!([{"type": "event", "field": "n", "operator": operator, "value": 1}]);
    let pipeline = start([("good", rule("==")), ("bad", rule("~")), ("null", json!([null]))]).await;
    let event = || json!({"user_id": "u", "event": "opened", "properties": {"n": 1}});
    assert_eq!(matched(&pipeline, event()).await, ["good"]);
    let listed = pipeline.ingests[0].client().with_key(WRITE_KEY).get("/v1/campaigns?user_id=u").await.unwrap();
    assert_eq!((listed.status, &listed.json()["campaigns"]), (200, &json!([])), "{}", listed.text());

    let inert = async |count: f64| {
        for (program, metric) in
            [(&pipeline.ingests[0], "ingest_inert_documents"), (&pipeline.workers[0], "worker_inert_documents")]
        {
            eventually(metric, async || equal(Metrics::of(program).await.sum(metric, &[]), count)).await;
        }
    };
    inert(2.0).await;
    for program in [&pipeline.ingests[0], &pipeline.workers[0]] {
        let log = program.log();
        let line = log.lines().find(|line| line.contains("campaign bad does nothing until it is mended"));
        assert!(line.is_some_and(|line| line.contains("WARN") && line.contains("rules[0].operator")), "{log}");
    }
    let shown = pipeline.admin().get("/v1/admin/campaigns/bad").await.unwrap().json();
    assert_eq!(shown["_faults"][0]["field"], "rules[0].operator", "{shown}");

    let mended = pipeline.admin().put("/v1/admin/campaigns/bad", &json!({"rules": rule("==")})).await.unwrap();
    assert_eq!((mended.status, mended.json().get("_faults")), (200, None), "{}", mended.text());
    pipeline.catalog_known().await;
    assert_eq!(matched(&pipeline, event()).await, ["bad", "good"]);
    inert(1.0).await;
}
