//! People see why a campaign was shown, or not: for stored events as of then, for described ones as of now.

use serde_json::{Value, json};
use tests::client::Client;
use tests::matching::campaign;
use tests::pipeline::{Pipeline, Setup};

fn path(id: &str) -> String {
    format!("/v1/admin/campaigns/{id}/explain")
}

async fn explained(admin: &Client, id: &str, question: Value) -> Value {
    admin.accepted(&path(id), &question).await
}

async fn stored(pipeline: &Pipeline, id: &str, user: &str, message: &str) -> Value {
    explained(&pipeline.admin(), id, json!({"user_id": user, "event_id": message})).await
}

fn check<'a>(answer: &'a Value, name: &str) -> &'a Value {
    let checks = answer["checks"].as_array().unwrap();
    checks.iter().find(|check| check["check"] == name).unwrap_or_else(|| panic!("{name} in {answer}"))
}

async fn opened(pipeline: &Pipeline, user: &str, message: &str, total: i64) {
    let event = json!({"user_id": user, "event": "opened", "messageId": message, "properties": {"total": total}});
    pipeline.client().accepted("/v1/track", &event).await;
    pipeline.drained().await;
}

async fn identify(pipeline: &Pipeline, user: &str, traits: Value) {
    pipeline.client().accepted("/v1/identify", &json!({"user_id": user, "traits": traits})).await;
    pipeline.drained().await;
}

fn rules() -> Value {
    json!([
        {"type": "attribute", "field": "tier", "operator": "==", "value": "silver"},
        {"any": [{"field": "total", "operator": ">=", "value": 40}, {"type": "segment", "segment": "vip"}]},
        {"type": "event_count", "event": "opened", "operator": "<=", "value": 3, "within": "7d"},
    ])
}

#[tokio::test]
async fn a_stored_event_is_explained_as_of_then_however_much_has_changed_since() {
    let pipeline = Setup::default().start().await;
    let admin = pipeline.admin();
    let segment = json!({"name": "vip", "rules": [{"type": "attribute", "field": "vip", "operator": "is_true"}]});
    let vip = admin.post("/v1/admin/segments", &segment).await.unwrap().json();
    let rules = rules().to_string().replace("\"vip\"", &vip["id"].to_string());
    let rules: Value = serde_json::from_str(&rules).unwrap();
    let document =
        campaign("c", json!({"rules": rules, "frequency_cap": {"per_user": 2}, "variants": [{"name": "A"}]}));
    let id = admin.post("/v1/admin/campaigns", &document).await.unwrap().json()["id"].as_str().unwrap().to_owned();
    pipeline.catalog_known().await;

    opened(&pipeline, "u", "m1", 50).await;
    identify(&pipeline, "u", json!({"tier": "silver", "vip": true})).await;
    for (message, total) in [("m2", 39), ("m3", 40), ("m4", 41)] {
        opened(&pipeline, "u", message, total).await;
    }
    // Everything changes.
    identify(&pipeline, "u", json!({"tier": "gold", "vip": false, "$campaigns_opt_out": true})).await;
    let changed = json!({"rules": [{"field": "other", "operator": "exists"}], "name": "renamed", "status": "paused"});
    assert_eq!(admin.put(&format!("/v1/admin/campaigns/{id}"), &changed).await.unwrap().status, 200);
    let other = json!({"rules": [{"type": "attribute", "field": "other", "operator": "exists"}]});
    let answer = admin.put(&format!("/v1/admin/segments/{}", vip["id"].as_str().unwrap()), &other).await.unwrap();
    assert_eq!(answer.status, 200);
    pipeline.catalog_known().await;
    opened(&pipeline, "u", "m5", 99).await;

    let first = stored(&pipeline, &id, "u", "m1").await;
    assert_eq!((&first["decision"], &first["reason"]), (&json!("suppressed"), &json!("rules")), "{first}");
    assert_eq!(first["rules"]["all"][0].get("seen"), None, "there were no traits yet: {first}");
    assert_eq!(first["rules"]["all"][2]["seen"], json!(1));
    assert_eq!((first.get("recorded"), first.get("notes")), (None, None), "{first}");
    assert_eq!(first["campaign"]["version"], json!(1));

    let second = stored(&pipeline, &id, "u", "m2").await;
    assert_eq!(second["decision"], "show", "{second}");
    let any = &second["rules"]["all"][1]["any"];
    assert_eq!((&any[0]["seen"], &any[0]["pass"], &any[1]["seen"]), (&json!(39), &json!(false), &json!(true)));
    assert_eq!(any[1]["rules"]["all"][0]["seen"], json!(true));
    assert_eq!((&second["recorded"]["agrees"], &second["recorded"]["version"]), (&json!(true), &json!(1)));
    assert_eq!((&second["variant"], &second["recorded"]["variant"]), (&json!("A"), &json!("A")));
    assert_eq!(check(&second, "caps")["detail"], "shown 0 of 2 times in all");
    assert_eq!(check(&second, "opt_out")["pass"], json!(true));
    assert_eq!(second["campaign"], json!({"id": id, "name": "c", "version": 1, "status": "active"}));

    let third = stored(&pipeline, &id, "u", "m3").await;
    assert_eq!((&third["decision"], &third["rules"]["all"][2]["seen"]), (&json!("show"), &json!(3)), "{third}");
    let fourth = stored(&pipeline, &id, "u", "m4").await;
    assert_eq!(
        (&fourth["decision"], &fourth["reason"]),
        (&json!("suppressed"), &json!("rules")),
        "four of three: {fourth}"
    );
    assert_eq!(check(&fourth, "caps")["pass"], json!(false), "named too, although the rules have decided: {fourth}");
    assert!(fourth["summary"].as_str().unwrap().contains("did opened at most 3 times, within 1w: 4 times"), "{fourth}");

    let fifth = stored(&pipeline, &id, "u", "m5").await;
    assert_eq!((&fifth["reason"], &fifth["campaign"]["name"]), (&json!("not_active"), &json!("renamed")), "{fifth}");
    assert_eq!((&fifth["campaign"]["version"], &check(&fifth, "opt_out")["pass"]), (&json!(2), &json!(false)));

    let by_id = stored(&pipeline, &id, "u", second["event"]["id"].as_str().unwrap()).await;
    assert_eq!(by_id["as_of"], second["as_of"]);
}

#[tokio::test]
async fn events_of_one_batch_are_told_apart_and_visitors_have_a_past_as_users_have() {
    let rules = json!([{"type": "attribute", "field": "n", "operator": "==", "value": 1}]);
    let pipeline = Setup::default()
        .campaign(campaign("c", json!({"rules": rules, "frequency_cap": {"per_user": 1}})))
        .campaign(campaign("counts", json!({"rules": [{"type": "event_count", "event": "opened", "value": 2}]})))
        .start()
        .await;
    for ids in [json!({"anonymousId": "a"}), json!({"userId": "anonymous", "anonymousId": "b"})] {
        let with = |mut event: Value| {
            ids.as_object().unwrap().iter().for_each(|(key, value)| event[key] = value.clone());
            event
        };
        let whose = ids["anonymousId"].as_str().unwrap();
        let track = |n: i32| with(json!({"type": "track", "event": "opened", "messageId": format!("{whose}{n}")}));
        let identify = |n: i32| with(json!({"type": "identify", "traits": {"n": n}}));
        let batch = json!([track(1), identify(1), track(2), track(3), identify(2), track(4)]);
        pipeline.client().accepted("/v1/batch", &json!({"batch": batch})).await;
        pipeline.drained().await;
        let expected = [("suppressed", "rules"), ("show", ""), ("suppressed", "capped"), ("suppressed", "rules")];
        for (n, (decision, reason)) in (1..).zip(expected) {
            let question = json!({"anonymous_id": whose, "event_id": format!("{whose}{n}")});
            let answer = explained(&pipeline.admin(), "c", question.clone()).await;
            assert_eq!(answer["decision"], decision, "{whose}{n}: {answer}");
            assert_eq!(answer["reason"].as_str().unwrap_or_default(), reason, "{whose}{n}: {answer}");
            assert_eq!(answer["recorded"]["agrees"].as_bool(), (decision == "show").then_some(true), "{answer}");
            if whose == "a" {
                let counted = explained(&pipeline.admin(), "counts", question).await;
                assert_eq!(counted["rules"]["all"][0]["seen"], json!(n), "{counted}");
                assert_eq!(counted.get("recorded").is_some(), n >= 2, "{counted}");
            }
        }
    }
}

#[tokio::test]
async fn a_described_event_is_explained_as_of_now_with_its_place_among_the_others() {
    let office = json!({"windows": [{"days": ["sat"], "from": "09:00", "to": "17:00"}]});
    let pipeline = Setup::default()
        .campaign(campaign("low", json!({})))
        .campaign(campaign("urgent", json!({"priority": 7})))
        .campaign(campaign("saturday", json!({"priority": 5, "schedule": office})))
        .campaign(campaign("nobody", json!({"rollout_percentage": 0, "hold_out_percentage": 100})))
        .campaign(campaign("once", json!({"priority": 9, "frequency_cap": {"per_user": 1, "total": 1}})))
        .campaign(campaign("draft", json!({"status": "draft", "test_users": ["tester"]})))
        .start()
        .await;
    let admin = pipeline.admin();
    opened(&pipeline, "u", "m", 1).await;
    let ask = async |id: &str, user: &str, event: Value| {
        explained(&admin, id, json!({"user_id": user, "event": event})).await
    };
    let at = |time: &str| json!({"event": "opened", "timestamp": time});

    let low = ask("low", "u", at("2030-01-05T12:00:00Z")).await;
    let before: Vec<_> = low["priority"]["before"].as_array().unwrap().iter().map(|b| b["id"].clone()).collect();
    assert_eq!(before, ["urgent", "saturday"], "{low}");
    assert_eq!((&low["priority"]["place"], &low["priority"]["of"]), (&json!(3), &json!(3)));
    let low = ask("low", "u", at("2030-01-06T12:00:00Z")).await;
    assert_eq!((&low["priority"]["place"], &low["priority"]["of"]), (&json!(2), &json!(2)), "on a Sunday: {low}");

    let saturday = ask("saturday", "u", at("2030-01-06T12:00:00Z")).await;
    assert_eq!((&saturday["reason"], &saturday["priority"]["place"]), (&json!("schedule"), &Value::Null));
    let detail = check(&saturday, "schedule")["detail"].as_str().unwrap();
    assert_eq!(detail, "it is Sun 12:00 in UTC, in none of its windows: sat 09:00–17:00");

    let nobody = ask("nobody", "u", json!({"event": "opened"})).await;
    assert_eq!(nobody["reason"], "roll_out");
    assert_eq!(check(&nobody, "hold_out")["pass"], json!(false), "{nobody}");
    let once = ask("once", "u", json!({"event": "opened"})).await;
    assert_eq!(once["reason"], "capped");
    assert_eq!(check(&once, "caps")["detail"], "shown 1 of 1 times in all: never again");
    assert_eq!(check(&once, "total_cap")["detail"], "shown 1 of 1 times to anybody");
    let draft = ask("draft", "tester", json!({"event": "opened"})).await;
    assert_eq!(draft["decision"], "preview", "{draft}");
    assert_eq!(ask("draft", "u", json!({"event": "opened"})).await["reason"], "not_active");
    assert_eq!(ask("low", "u", json!({"event": "closed"})).await["reason"], "trigger");
    let stranger = explained(&admin, "low", json!({"event": {"event": "opened"}})).await;
    assert_eq!(stranger["decision"], "show", "{stranger}");

    let rules = json!([{"type": "attribute", "field": "tier", "operator": "==", "value": "gold"},
                       {"type": "context", "field": "os.name", "operator": "==", "value": "iOS"}]);
    let campaign = json!({"name": "new", "status": "active", "trigger": "opened", "rules": rules, "priority": 6});
    let event = json!({"event": "opened", "traits": {"tier": "gold"}, "context": {"os": {"name": "iOS"}}});
    let question = json!({"campaign": campaign, "user_id": "u", "event": event});
    let draft = admin.accepted("/v1/admin/campaigns/explain", &question).await;
    assert_eq!((&draft["decision"], &draft["campaign"]["id"]), (&json!("show"), &Value::Null), "{draft}");
    assert_eq!(draft["priority"]["before"][0]["id"], "urgent");
}

#[tokio::test]
async fn what_cannot_be_explained_is_refused_with_the_reason() {
    // Questions are no changes: there may be more of them.
    let pipeline = Setup::default().campaign(campaign("c", json!({}))).set("ADMIN_WRITE_LIMIT", "2").start().await;
    let malformed = r#"INSERT INTO campaigns (id, status, document)
        VALUES ('bad', 'active', '{"name": "bad", "status": "active", "trigger": "opened", "rules": [{"field": "a"}]}')"#;
    sqlx::query(malformed).execute(&pipeline.database.pool).await.unwrap();
    opened(&pipeline, "u", "m", 1).await;
    let admin = pipeline.admin();
    let event = json!({"event": "opened"});
    let cases = [
        (path("c"), json!({"user_id": "u", "event_id": "nothing"}), 404, "not_found"),
        (path("c"), json!({"user_id": "v", "event_id": "m"}), 404, "not_found"),
        (path("c"), json!({"event_id": "m"}), 404, "not_found"),
        (path("none"), json!({"user_id": "u", "event": event}), 404, "not_found"),
        (path("none"), json!({"user_id": "u", "event_id": "m"}), 404, "not_found"),
        (path("bad"), json!({"user_id": "u", "event": event}), 400, "invalid_campaign"),
        (path("c"), json!({"user_id": "u"}), 400, "invalid_parameter"),
        (path("c"), json!({"user_id": "u", "anonymous_id": "a", "event": event}), 400, "invalid_parameter"),
        (path("c"), json!({"user_id": "u", "event": event, "event_id": "m"}), 400, "invalid_parameter"),
        (path("c"), json!({"user_id": "u", "event": {"event": ""}}), 400, "invalid_parameter"),
        (path("c"), json!({"user_id": "", "event": event}), 400, "invalid_parameter"),
        (path("c"), json!({"userId": "u", "event": event}), 400, "invalid_parameter"),
        (path("c"), json!({"user_id": "u", "event": event, "campaign": {}}), 400, "invalid_parameter"),
        ("/v1/admin/campaigns/explain".to_owned(), json!({"user_id": "u", "event": event}), 400, "invalid_parameter"),
        (
            "/v1/admin/campaigns/explain".to_owned(),
            json!({"campaign": {"name": "", "rules": [{"field": "a"}]}, "event": event}),
            400,
            "invalid_campaign",
        ),
    ];
    for (path, question, status, code) in cases {
        let answer = admin.post(&path, &question).await.unwrap();
        assert_eq!(
            (answer.status, &answer.json()["code"]),
            (status, &json!(code)),
            "{path} {question}: {}",
            answer.text()
        );
        if code == "invalid_campaign" {
            assert!(answer.json()["details"].to_string().contains("rules[0].operator"), "{}", answer.text());
        }
    }
    let unknown = explained(&admin, "c", json!({"user_id": "never seen", "event": event})).await;
    assert_eq!(unknown["decision"], "show", "nobody is unknown: {unknown}");
}

#[tokio::test]
async fn what_is_older_than_the_stored_events_is_said() {
    let rules = json!([{"type": "attribute", "field": "tier", "operator": "==", "value": "gold"}]);
    let pipeline = Setup::default().campaign(campaign("c", json!({"rules": rules}))).start().await;
    let profile = r#"INSERT INTO users (kind, id, traits) VALUES ('user', 'u', '{"tier": "gold", "plan": "pro"}')"#;
    sqlx::query(profile).execute(&pipeline.database.pool).await.unwrap();
    opened(&pipeline, "u", "m", 1).await;
    identify(&pipeline, "u", json!({"plan": "free"})).await;
    let answer = stored(&pipeline, "c", "u", "m").await;
    assert_eq!((&answer["decision"], &answer["recorded"]["agrees"]), (&json!("show"), &json!(true)), "{answer}");
    let notes = answer["notes"].to_string();
    assert!(notes.contains("taken as they are now: tier") && notes.contains("taken as missing: plan"), "{notes}");
}
