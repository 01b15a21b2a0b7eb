//! A small shop's last two weeks, for looking at: users with traits, what they did, campaigns with a history.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::pipeline::Pipeline;

/// The user with the most to show; also known as the visitor `browser-1`.
pub const USER: &str = "ada";
/// The campaign that users match.
pub const CAMPAIGN_NAME: &str = "Demo: a cart of 40 or more";
const DAYS: i64 = 14;
const USERS: i64 = 40;
const BATCH: usize = 500;

/// Sends all of it and waits until it is processed. Returns the campaign's id.
pub async fn store(pipeline: &Pipeline) -> String {
    let campaign = store_campaigns(pipeline).await;
    pipeline.catalog_known().await;
    let client = pipeline.client();
    let now = Utc::now();
    let mut events: Vec<Value> = (0..USERS).flat_map(|n| visit(n, now, &campaign)).collect();
    events.extend(in_the_past(now, &campaign));
    for batch in events.chunks(BATCH) {
        client.accepted("/v1/batch", &json!({"batch": batch})).await;
    }
    pipeline.drained().await;
    count_past_matches(pipeline, &campaign).await;
    campaign
}

async fn store_campaigns(pipeline: &Pipeline) -> String {
    let admin = pipeline.admin();
    let create = async |document: Value| {
        let answer = admin.post("/v1/admin/campaigns", &document).await.expect("an answer");
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.json()["id"].as_str().expect("an id").to_owned()
    };
    for (name, status, trigger) in [
        ("Welcome back", "active", "session_started"),
        ("Finish your order", "paused", "checkout_started"),
        ("Spring sale", "draft", "product_viewed"),
        ("Rate your delivery", "active", "order_delivered"),
    ] {
        create(json!({"name": name, "status": status, "type": "banner", "trigger": trigger, "config": {"text": name}}))
            .await;
    }
    let campaign = create(json!({
        "name": CAMPAIGN_NAME, "status": "active", "type": "modal", "trigger": "cart_viewed",
        "rules": [{"type": "event", "field": "cart_total", "operator": ">=", "value": 50}],
        "config": {"text": "Free delivery"},
    }))
    .await;
    let change = json!({
        "rules": [
            {"type": "event", "field": "cart_total", "operator": ">=", "value": 40},
            {"any": [
                {"type": "trait", "field": "plan", "operator": "in", "value": ["free", "pro"]},
                {"type": "event_count", "event": "order_placed", "operator": ">=", "value": 2, "within": "30d"},
            ]},
        ],
        "config": {"text": "Free delivery, just for you"},
        "goal": {"event": "order_placed", "within_seconds": 86400},
    });
    assert_eq!(admin.put(&format!("/v1/admin/campaigns/{campaign}"), &change).await.expect("an answer").status, 200);
    campaign
}

/// Matches of the days before, which only those days could have made: as many as were seen, and some.
async fn count_past_matches(pipeline: &Pipeline, campaign: &str) {
    let copy = "INSERT INTO rollups (day, what, metric, partition, count)
                SELECT day, 'shown', $1, -1, count(*) + count(*) / 4 FROM events
                 WHERE event = 'campaign_viewed' AND day < (now() AT TIME ZONE 'UTC')::date GROUP BY day";
    sqlx::query(copy).bind(campaign).execute(&pipeline.database.pool).await.expect("sums can be inserted");
}

/// What somebody did today: most of them fill a cart, fewer order.
fn visit(n: i64, now: DateTime<Utc>, campaign: &str) -> Vec<Value> {
    let id = if n == 0 { USER.to_owned() } else { format!("user-{n:02}") };
    let plan = ["free", "pro", "team"][usize::try_from(n % 3).unwrap_or(0)];
    let at = now - TimeDelta::minutes(n * 3 + 10);
    let mut events = vec![
        json!({"type": "identify", "userId": id, "anonymousId": format!("browser-{}", n + 1), "timestamp": at,
        "messageId": format!("i-{n}"), "traits": {"plan": plan, "orders": n % 7, "newsletter": n % 2 == 0, "city": "Pune"}}),
    ];
    let mut did = |minutes: i64, event: &str, properties: Value| {
        events.push(json!({"type": "track", "userId": id, "event": event, "properties": properties,
            "timestamp": at + TimeDelta::minutes(minutes), "messageId": format!("{event}-{n}")}));
    };
    did(1, "product_viewed", json!({"product": format!("tea-{}", n % 5), "price": 12 + n % 9}));
    did(2, "cart_viewed", json!({"cart_total": if n == 0 { 59 } else { 25 + n % 40 }, "items": 1 + n % 4}));
    if n % 3 != 2 {
        did(3, "campaign_viewed", json!({"campaign_id": campaign}));
    }
    if n % 5 == 0 {
        did(4, "campaign_clicked", json!({"campaign_id": campaign}));
        did(5, "order_placed", json!({"total": 40 + n}));
    } else if n % 7 == 0 {
        did(4, "campaign_dismissed", json!({"campaign_id": campaign}));
    }
    events
}

/// The days before, with more and fewer events by turns.
fn in_the_past(now: DateTime<Utc>, campaign: &str) -> impl Iterator<Item = Value> {
    (1..DAYS).flat_map(move |day| {
        let visitors = 18 + (day * 7) % 13 + if day % 7 < 2 { 12 } else { 0 };
        (0..visitors).flat_map(move |n| {
            let of = |event: &str, properties: Value| {
                json!({"type": "track", "userId": format!("user-{:02}", (n * day) % USERS), "event": event, "properties": properties,
                    "timestamp": now - TimeDelta::days(day) - TimeDelta::minutes(n), "messageId": format!("{event}-{day}-{n}")})
            };
            let seen = [("product_viewed", 1), ("campaign_viewed", 2), ("campaign_clicked", 5), ("campaign_dismissed", 9)];
            seen.into_iter().filter(move |(_, every)| n % every == 0).map(move |(event, _)| {
                of(event, if event.starts_with("campaign") { json!({"campaign_id": campaign}) } else { json!({"price": 10 + n}) })
            }).collect::<Vec<_>>()
        })
    })
}
