//! Segments as rules use them: a user belongs or not, alike in the reply, in the record, in the list for a user and in flags.

use serde_json::{Value, json};
use tests::client::ADMIN_KEY;
use tests::matching::{campaign, listed, matched, recorded, replied};
use tests::pipeline::{Pipeline, Setup};

const SEGMENTS: &str = "/v1/admin/segments";

fn tier(tier: &str) -> Value {
    json!([{"type": "attribute", "field": "tier", "operator": "==", "value": tier}])
}

fn bought(times: u32) -> Value {
    json!({"type": "event_count", "event": "bought", "value": times, "within": "30d"})
}

/// Makes a segment; its id.
async fn segment(pipeline: &Pipeline, rules: Value) -> String {
    let made = pipeline.admin().post(SEGMENTS, &json!({"name": "s", "rules": rules})).await.unwrap();
    assert_eq!(made.status, 201, "{}", made.text());
    made.json()["id"].as_str().unwrap().to_owned()
}

/// Makes an active campaign on `opened` for those inside the segment, and one for those outside.
async fn campaigns_on(pipeline: &Pipeline, segment: &str) {
    for (name, operator) in [("in", "in"), ("out", "not_in")] {
        let rules = json!([{"type": "segment", "segment": segment, "operator": operator}]);
        let document = campaign(name, json!({"rules": rules}));
        let insert = "INSERT INTO campaigns (id, status, document) VALUES ($1, 'active', $2)";
        sqlx::query(insert).bind(name).bind(document).execute(&pipeline.database.pool).await.unwrap();
    }
    pipeline.catalog_known().await;
}

fn opened(user: &str) -> Value {
    json!({"user_id": user, "event": "opened"})
}

async fn track(pipeline: &Pipeline, user: &str, event: &str) {
    pipeline.client().accepted("/v1/track", &json!({"user_id": user, "event": event})).await;
}

/// Where a user stands, told alike by everything that asks.
async fn stands(pipeline: &Pipeline, user: &str) -> Vec<String> {
    let matched = matched(pipeline, opened(user)).await;
    assert_eq!(listed(&pipeline.client(), user).await, matched, "the list for {user}, and what {user}'s event matched");
    matched
}

#[tokio::test]
async fn a_segment_of_traits_divides_users() {
    let pipeline = Setup::default().start().await;
    let silver = segment(&pipeline, tier("silver")).await;
    campaigns_on(&pipeline, &silver).await;
    assert_eq!(stands(&pipeline, "u").await, ["out"]);
    pipeline.client().accepted("/v1/identify", &json!({"user_id": "u", "traits": {"tier": "silver"}})).await;
    assert_eq!(stands(&pipeline, "u").await, ["in"]);
    assert_eq!(stands(&pipeline, "v").await, ["out"]);
    assert_eq!(matched(&pipeline, json!({"user_id": "anonymous", "event": "opened"})).await, ["out"]);
}

#[tokio::test]
async fn a_segment_of_traits_and_counts_is_entered_by_the_event_that_completes_it() {
    let pipeline = Setup::default().start().await;
    let buyers = segment(&pipeline, json!([tier("gold")[0], {"any": [bought(2), {"not": bought(0)}]}])).await;
    campaigns_on(&pipeline, &buyers).await;
    let insert = "INSERT INTO campaigns (id, status, document) VALUES ('thanks', 'active', $1)";
    let rules = json!([{"type": "segment", "segment": buyers}]);
    let thanks = campaign("thanks", json!({"trigger": "bought", "rules": rules, "type": "banner"}));
    sqlx::query(insert).bind(thanks).execute(&pipeline.database.pool).await.unwrap();
    pipeline.catalog_known().await;

    let client = pipeline.client();
    client.accepted("/v1/identify", &json!({"user_id": "u", "traits": {"tier": "gold"}})).await;
    // The worker stands still: what decides are this process's own accepted events.
    pipeline.workers[0].pause();
    let buy = |message_id: &str| json!({"user_id": "u", "event": "bought", "messageId": message_id});
    assert_eq!(replied(&client, &buy("1")).await, Vec::<String>::new());
    assert_eq!(replied(&client, &buy("2")).await, ["thanks"]);
    pipeline.workers[0].resume();
    pipeline.drained().await;
    assert_eq!(recorded(&pipeline, "1").await, Vec::<String>::new());
    assert_eq!(recorded(&pipeline, "2").await, ["thanks"]);
    assert_eq!(matched(&pipeline, opened("u")).await, ["in"]);
    assert_eq!(
        listed(&client, "u").await,
        ["thanks", "out", "in"].into_iter().filter(|id| *id != "out").collect::<Vec<_>>()
    );
    // Bought as often, but of no tier.
    track(&pipeline, "v", "bought").await;
    track(&pipeline, "v", "bought").await;
    assert_eq!(stands(&pipeline, "v").await, ["out"]);
}

#[tokio::test]
async fn of_a_segment_that_is_not_there_nobody_is_inside_or_outside() {
    let pipeline = Setup::default().start().await;
    campaigns_on(&pipeline, "no-such-segment").await;
    assert_eq!(stands(&pipeline, "u").await, Vec::<String>::new());
    // One that an import has brought malformed is as good as none, and mending it helps at once.
    let import =
        "INSERT INTO segments (id, document) VALUES ('no-such-segment', '{\"name\": \"n\", \"rules\": \"text\"}')";
    sqlx::query(import).execute(&pipeline.database.pool).await.unwrap();
    pipeline.catalog_known().await;
    assert_eq!(stands(&pipeline, "u").await, Vec::<String>::new());
    let log = pipeline.workers[0].log();
    assert!(log.contains("segment no-such-segment does nothing until it is mended"), "{log}");
    let path = format!("{SEGMENTS}/no-such-segment");
    let mended = pipeline.admin().put(&path, &json!({"rules": tier("gold")})).await.unwrap();
    assert_eq!(mended.status, 200, "{}", mended.text());
    pipeline.catalog_known().await;
    assert_eq!(stands(&pipeline, "u").await, ["out"]);
}

#[tokio::test]
async fn a_changed_segment_takes_effect_wherever_it_is_used() {
    let pipeline = Setup::default().ingests(2).workers(2).start().await;
    let id = segment(&pipeline, tier("silver")).await;
    campaigns_on(&pipeline, &id).await;
    let flag = json!({"key": "flag", "rules": [{"type": "segment", "segment": id}]});
    pipeline.admin().accepted("/v1/admin/features", &flag).await;
    for (user, tier) in [("s", "silver"), ("g", "gold")] {
        pipeline.client().accepted("/v1/identify", &json!({"user_id": user, "traits": {"tier": tier}})).await;
    }
    pipeline.drained().await;
    let path = format!("{SEGMENTS}/{id}");
    let change = json!({"rules": tier("gold")});
    let restore = json!({"version": 1});
    for (method, path, body, inside) in [
        ("GET", path.clone(), None, Some("s")),
        ("PUT", path.clone(), Some(&change), Some("g")),
        ("DELETE", path.clone(), None, None),
        ("POST", format!("{path}/restore"), Some(&restore), Some("s")),
    ] {
        let body = body.map(ToString::to_string).unwrap_or_default();
        let admin = pipeline.ingests[1].client().with_key(ADMIN_KEY);
        let answer = admin.send(method, &path, &[], body.as_bytes()).await.unwrap();
        assert_eq!(answer.status, 200, "{method}: {}", answer.text());
        pipeline.catalog_known().await;
        for user in ["s", "g"] {
            let expected = match inside {
                None => vec![],
                Some(member) => vec![if member == user { "in" } else { "out" }],
            };
            assert_eq!(stands(&pipeline, user).await, expected, "{user} after {method}");
            for ingest in &pipeline.ingests {
                let client = ingest.client().with_key(tests::client::WRITE_KEY);
                let flag = client.get(&format!("/v1/features/flag?user_id={user}")).await.unwrap().json();
                assert_eq!(flag["enabled"], expected == ["in"], "{user} after {method}");
            }
        }
    }
}
