//! Feature flags as apps ask for them.

use serde_json::{Value, json};
use tests::client::{Client, WRITE_KEY};
use tests::pipeline::{Pipeline, Setup};

const FLAGS: &str = "/v1/admin/features";

/// A pipeline that knows these flags.
async fn with_flags(flags: impl IntoIterator<Item = Value>) -> Pipeline {
    let pipeline = Setup::default().start().await;
    for flag in flags {
        pipeline.admin().accepted(FLAGS, &flag).await;
    }
    pipeline.catalog_known().await;
    pipeline
}

async fn get(client: &Client, path: &str) -> Value {
    let answer = client.get(&format!("/v1/features/{path}")).await.unwrap();
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/json"));
    answer.json()
}

async fn is_on(client: &Client, path: &str) -> bool {
    get(client, path).await["enabled"].as_bool().unwrap()
}

#[tokio::test]
async fn a_flag_is_told_with_its_value_and_its_payload() {
    let payload = json!({"colours": ["red", 7], "deep": {"a": null}});
    let pipeline = with_flags([
        json!({"key": "plain"}),
        json!({"key": "number", "value": 0}),
        json!({"key": "both", "value": "dark", "payload": payload}),
        json!({"key": "nothing", "value": null}),
    ])
    .await;
    let client = pipeline.client();
    assert_eq!(get(&client, "plain").await, json!({"key": "plain", "enabled": true}));
    assert_eq!(get(&client, "plain/value").await, json!({"key": "plain", "enabled": true, "value": null}));
    assert_eq!(get(&client, "plain/payload").await, Value::Null);
    assert_eq!(get(&client, "number").await, json!({"key": "number", "enabled": true, "value": 0}));
    assert_eq!(get(&client, "number/payload").await, json!(0), "the value, where there is no payload");
    assert_eq!(get(&client, "both/value").await, json!({"key": "both", "enabled": true, "value": "dark"}));
    assert_eq!(get(&client, "both/payload").await, payload);
    assert_eq!(get(&client, "nothing").await, json!({"key": "nothing", "enabled": true}));
}

#[tokio::test]
async fn a_flag_that_is_unknown_off_or_malformed_is_off_and_an_app_goes_on() {
    let pipeline = with_flags([json!({"key": "off", "enabled": false, "value": "v", "payload": {"a": 1}})]).await;
    let malformed = r#"INSERT INTO features (id, document) VALUES ('bad', '{"value": 1, "rules": [{"type": "attribute", "field": "a"}]}')"#;
    sqlx::query(malformed).execute(&pipeline.database.pool).await.unwrap();
    pipeline.catalog_known().await;
    let client = pipeline.client();
    for key in ["never-made", "off", "bad", "%F0%9F%9A%A9", "a%20b"] {
        let shown = get(&client, key).await;
        assert_eq!((&shown["enabled"], shown.get("value")), (&json!(false), None), "{shown}");
        let value = get(&client, &format!("{key}/value")).await;
        assert_eq!((&value["enabled"], &value["value"]), (&json!(false), &Value::Null), "{value}");
        assert_eq!(get(&client, &format!("{key}/payload")).await, Value::Null, "{key}");
    }
    let nobody = pipeline.ingests[0].client().get("/v1/features/off").await.unwrap();
    assert_eq!(nobody.status, 401, "without a key nothing is told");
    let shown = pipeline.admin().get(&format!("{FLAGS}/bad")).await.unwrap().json();
    assert_eq!(shown["_faults"][0]["field"], "rules[0].operator", "{shown}");
}

#[tokio::test]
async fn rules_decide_who_has_a_flag() {
    let silver = json!([{"type": "attribute", "field": "tier", "operator": "==", "value": "silver"}]);
    let bought = json!([{"type": "event_count", "event": "bought", "value": 2, "within": "30d"}]);
    let pipeline = with_flags([
        json!({"key": "for-silver", "rules": silver, "value": "s"}),
        json!({"key": "for-buyers", "rules": bought}),
    ])
    .await;
    let client = pipeline.client();
    assert!(!is_on(&client, "for-silver?user_id=u").await);
    client.accepted("/v1/identify", &json!({"user_id": "u", "traits": {"tier": "silver"}})).await;
    assert!(is_on(&client, "for-silver?user_id=u").await, "at once, whatever the worker has done");
    assert!(is_on(&client, "for-silver?userId=u").await, "in both spellings");
    assert_eq!(get(&client, "for-silver/payload?user_id=u").await, json!("s"));
    for other in ["for-silver", "for-silver?user_id=v", "for-silver?user_id=anonymous", "for-silver?user_id="] {
        assert!(!is_on(&client, other).await, "{other}");
    }
    for (number, on) in [(1, false), (2, true)] {
        let body = json!({"user_id": "u", "event": "bought", "messageId": format!("m{number}")});
        client.accepted("/v1/track", &body).await;
        assert_eq!(is_on(&client, "for-buyers?user_id=u").await, on, "{number}");
        pipeline.drained().await;
        assert_eq!(is_on(&client, "for-buyers?user_id=u").await, on, "{number}, stored");
    }
    let event = json!([{"type": "event", "field": "a", "operator": "exists"}]);
    let refused = pipeline.admin().post(FLAGS, &json!({"key": "k", "rules": event})).await.unwrap();
    assert_eq!((refused.status, &refused.json()["code"]), (400, &json!("invalid_feature")));
    assert!(refused.text().contains("without an event"), "{}", refused.text());
}

#[tokio::test]
async fn a_roll_out_is_the_same_for_a_user_everywhere_and_only_grows() {
    let pipeline = Setup::default().ingests(2).start().await;
    let clients: Vec<_> = pipeline.ingests.iter().map(|ingest| ingest.client().with_key(WRITE_KEY)).collect();
    let mut before: Vec<bool> = vec![false; 60];
    for (percentage, reached) in [(json!(0), 0..=0), (json!(30), 8..=30), (json!(60.5), 25..=48), (json!(100), 60..=60)]
    {
        pipeline.admin().accepted(FLAGS, &json!({"key": "new", "rollout_percentage": percentage})).await;
        pipeline.catalog_known().await;
        let mut now = Vec::new();
        for user in 0..before.len() {
            let path = format!("new?user_id=u{user}");
            let on = is_on(&clients[0], &path).await;
            assert_eq!(is_on(&clients[1], &path).await, on, "{path}");
            now.push(on);
        }
        // Fixed by the hash.
        let count = now.iter().filter(|on| **on).count();
        assert!(reached.contains(&count), "{percentage} % reached {count} of {}", now.len());
        assert!(before.iter().zip(&now).all(|(before, now)| *now || !before), "somebody lost it at {percentage} %");
        before = now;
        assert_eq!(is_on(&clients[0], "new").await, percentage == 100, "whom nobody knows has what everybody has");
    }
    let refused = pipeline.admin().post(FLAGS, &json!({"key": "new", "rollout_percentage": 101})).await.unwrap();
    assert_eq!((refused.status, &refused.json()["details"][0]["path"]), (400, &json!("rollout_percentage")));
}

#[tokio::test]
async fn a_change_takes_effect_and_a_deletion_switches_off() {
    let pipeline = with_flags([json!({"key": "beta", "value": 1})]).await;
    let (admin, client) = (pipeline.admin(), pipeline.client());
    let path = format!("{FLAGS}/beta");
    let none = json!({"key": "beta", "enabled": false});
    for (change, expected) in [
        (json!({"value": 2}), json!({"key": "beta", "enabled": true, "value": 2})),
        (json!({"enabled": false}), none.clone()),
        (json!({"enabled": true}), json!({"key": "beta", "enabled": true, "value": 2})),
        (json!({"rollout_percentage": 0}), none.clone()),
        (
            json!({"rollout_percentage": null, "value": {"a": []}}),
            json!({"key": "beta", "enabled": true, "value": {"a": []}}),
        ),
    ] {
        let answer = admin.put(&path, &change).await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
        pipeline.catalog_known().await;
        assert_eq!(get(&client, "beta").await, expected, "after {change}");
    }
    assert_eq!(admin.delete(&path).await.unwrap().json(), json!({"ok": true}));
    pipeline.catalog_known().await;
    assert_eq!(get(&client, "beta").await, none);
}
