//! What happens to a campaign besides its rules, in the reply to a track and in the record of the worker alike.

use serde_json::{Value, json};
use tests::matching::campaign;
use tests::pipeline::{Pipeline, Setup};

async fn start(campaigns: impl IntoIterator<Item = Value>) -> Pipeline {
    campaigns.into_iter().fold(Setup::default(), Setup::campaign).start().await
}

/// Sends the event of a user; the matched campaigns of the reply. Also waits for the worker.
async fn opened(pipeline: &Pipeline, user: &str) -> Vec<Value> {
    track(pipeline, user, "opened").await
}

async fn track(pipeline: &Pipeline, user: &str, event: &str) -> Vec<Value> {
    let answer = pipeline.client().accepted("/v1/track", &json!({"user_id": user, "event": event})).await;
    assert_eq!(answer.get("matched_complete"), None, "{answer}");
    pipeline.drained().await;
    answer["matched"].as_array().unwrap().clone()
}

fn ids(matched: &[Value]) -> Vec<&str> {
    matched.iter().map(|campaign| campaign["id"].as_str().unwrap()).collect()
}

/// `campaign disposition variant` of each match of a user, in order.
async fn record(pipeline: &Pipeline, user: &str) -> Vec<String> {
    let query = "SELECT concat_ws(' ', campaign_id, disposition, variant) FROM matches WHERE user_id = $1
                  ORDER BY received_at, campaign_id";
    sqlx::query_scalar(query).bind(user).fetch_all(&pipeline.database.pool).await.unwrap()
}

#[tokio::test]
async fn only_active_campaigns_match_and_any_type_is_kept() {
    let of = |status: &str| campaign(status, json!({"status": status, "type": "hologram"}));
    let pipeline = start(["draft", "active", "paused", "archived"].map(of)).await;
    let matched = opened(&pipeline, "u").await;
    assert_eq!(ids(&matched), ["active"]);
    assert_eq!(matched[0]["type"], "hologram");
    assert_eq!(record(&pipeline, "u").await, ["active show"]);
}

#[tokio::test]
async fn a_campaign_listens_to_each_of_its_triggers_exactly_or_if_asked_loosely() {
    let pipeline = start([
        campaign("exact", json!({"trigger": "Checkout_Started"})),
        campaign("several", json!({"trigger": "a", "triggers": ["Checkout_Started", {"event": "b"}]})),
        campaign("loose", json!({"trigger": "checkout started", "trigger_match": "loose"})),
    ])
    .await;
    assert_eq!(ids(&track(&pipeline, "u1", "Checkout_Started").await), ["loose", "several", "exact"]);
    assert_eq!(ids(&track(&pipeline, "u2", "checkout_started").await), ["loose"]);
    assert_eq!(ids(&track(&pipeline, "u3", "b").await), ["several"]);
    assert_eq!(record(&pipeline, "u1").await, ["exact show", "loose show", "several show"]);
    assert_eq!(record(&pipeline, "u2").await, ["loose show"]);
}

#[tokio::test]
async fn a_higher_priority_comes_first_then_the_newest() {
    let of = |(id, priority): (&str, i64)| campaign(id, json!({"priority": priority}));
    let pipeline = start([("low", -1), ("old", 0), ("urgent", 10), ("new", 0)].map(of)).await;
    assert_eq!(ids(&opened(&pipeline, "u").await), ["urgent", "new", "old", "low"]);
    let listed = pipeline.client().get("/v1/campaigns?user_id=u").await.unwrap().json();
    assert_eq!(ids(listed["campaigns"].as_array().unwrap()), ["urgent", "new", "old", "low"]);
}

#[tokio::test]
async fn a_campaign_runs_only_within_its_schedule() {
    let now = chrono::Utc::now();
    let hour = |hours: i64| (now + chrono::TimeDelta::hours(hours)).to_rfc3339();
    let clock = |hours: i64| (now + chrono::TimeDelta::hours(hours)).format("%H:%M").to_string();
    let window = |from: i64, to: i64| json!({"schedule": {"windows": [{"from": clock(from), "to": clock(to)}]}});
    let pipeline = start([
        campaign("running", json!({"starts_at": hour(-1), "ends_at": hour(1)})),
        campaign("not-yet", json!({"starts_at": hour(1)})),
        campaign("over", json!({"schedule": {"end_date": hour(-1)}})),
        campaign("at-this-hour", window(-2, 2)),
        campaign("at-another-hour", window(3, 5)),
    ])
    .await;
    assert_eq!(ids(&opened(&pipeline, "u").await), ["at-this-hour", "running"]);
    assert_eq!(record(&pipeline, "u").await, ["at-this-hour show", "running show"]);
    let listed = pipeline.client().get("/v1/campaigns").await.unwrap().json();
    assert_eq!(ids(listed["campaigns"].as_array().unwrap()), ["at-this-hour", "running"]);
}

#[tokio::test]
async fn a_user_who_opted_out_is_shown_only_what_must_be_shown() {
    let pipeline = start([campaign("news", json!({})), campaign("receipt", json!({"ignore_opt_out": true}))]).await;
    let client = pipeline.client();
    let opt_out = |out: bool| json!({"user_id": "u", "traits": {"$campaigns_opt_out": out}});
    client.accepted("/v1/identify", &opt_out(true)).await;
    assert_eq!(ids(&opened(&pipeline, "u").await), ["receipt"]);
    assert_eq!(record(&pipeline, "u").await, ["receipt show"]);
    let listed = client.get("/v1/campaigns?user_id=u").await.unwrap().json();
    assert_eq!(ids(listed["campaigns"].as_array().unwrap()), ["receipt"]);
    client.accepted("/v1/identify", &opt_out(false)).await;
    assert_eq!(ids(&opened(&pipeline, "u").await), ["receipt", "news"]);
}

#[tokio::test]
async fn a_roll_out_reaches_the_same_users_everywhere() {
    let pipeline = start([campaign("half", json!({"rollout_percentage": 50}))]).await;
    let client = pipeline.client();
    let mut reached = 0;
    for number in 0..40 {
        let user = format!("u{number}");
        let shown = client.accepted("/v1/track", &json!({"user_id": user, "event": "opened"})).await;
        let listed = client.get(&format!("/v1/campaigns?user_id={user}")).await.unwrap().json();
        assert_eq!(shown["matched"], listed["campaigns"]);
        reached += shown["matched"].as_array().unwrap().len();
    }
    // Fixed by the hash: neither none nor all.
    assert!((10..=30).contains(&reached), "{reached}");
    pipeline.drained().await;
    let recorded = pipeline.database.number("SELECT count(*) FROM matches").await;
    assert_eq!(usize::try_from(recorded).unwrap(), reached);
}

#[tokio::test]
async fn a_held_out_user_is_counted_but_shown_nothing() {
    let pipeline = start([campaign("all-held", json!({"hold_out_percentage": 100}))]).await;
    assert_eq!(opened(&pipeline, "u").await, Vec::<Value>::new());
    assert_eq!(record(&pipeline, "u").await, ["all-held hold_out"]);
    let listed = pipeline.client().get("/v1/campaigns?user_id=u").await.unwrap().json();
    assert_eq!(listed["campaigns"], json!([]));
}

#[tokio::test]
async fn a_user_keeps_one_variant_and_apps_are_not_told_how_the_audience_is_cut() {
    let variants = json!({
        "config": {"text": "plain", "colour": "red"}, "test_users": ["somebody"],
        "variants": [{"name": "A", "weight": 1}, {"name": "B", "weight": 1, "config": {"text": "bold"}}]
    });
    let pipeline = start([campaign("test", variants)]).await;
    let mut seen = std::collections::BTreeSet::new();
    for number in 0..20 {
        let user = format!("u{number}");
        let shown = opened(&pipeline, &user).await.remove(0);
        let variant = shown["variant"].as_str().unwrap().to_owned();
        let text = if variant == "B" { "bold" } else { "plain" };
        assert_eq!(shown["config"], json!({"text": text, "colour": "red"}));
        for hidden in ["variants", "test_users"] {
            assert_eq!(shown.get(hidden), None);
        }
        let listed = pipeline.client().get(&format!("/v1/campaigns?user_id={user}")).await.unwrap().json();
        assert_eq!(listed["campaigns"][0], shown);
        assert_eq!(record(&pipeline, &user).await, [format!("test show {variant}")]);
        seen.insert(variant);
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["A", "B"]);
}

#[tokio::test]
async fn a_draft_is_previewed_by_its_test_users_alone() {
    let draft = json!({
        "status": "draft", "test_users": ["tester"], "ends_at": "2020-01-01", "rollout_percentage": 0,
        "frequency_cap": {"per_user": 1}
    });
    let archived = json!({"status": "archived", "test_users": ["tester"]});
    let pipeline = start([campaign("soon", draft), campaign("gone", archived)]).await;
    for _ in 0..2 {
        assert_eq!(ids(&opened(&pipeline, "tester").await), ["soon"]);
    }
    assert_eq!(opened(&pipeline, "other").await, Vec::<Value>::new());
    assert_eq!(record(&pipeline, "tester").await, ["soon preview", "soon preview"]);
    assert_eq!(record(&pipeline, "other").await, Vec::<String>::new());
    let listed = pipeline.client().get("/v1/campaigns?user_id=tester").await.unwrap().json();
    assert_eq!(ids(listed["campaigns"].as_array().unwrap()), ["soon"]);
}

#[tokio::test]
async fn a_goal_event_after_a_match_is_one_conversion() {
    let goal = json!({"goal": {"event": "bought", "within_seconds": 3600}});
    let pipeline = start([campaign("sale", goal)]).await;
    let conversions = || pipeline.database.number("SELECT count(*) FROM conversions");
    track(&pipeline, "u", "bought").await;
    assert_eq!(conversions().await, 0, "nothing was shown yet");
    opened(&pipeline, "u").await;
    opened(&pipeline, "u").await;
    track(&pipeline, "u", "bought").await;
    track(&pipeline, "u", "bought").await;
    assert_eq!(conversions().await, 1, "the latest match, once");
    track(&pipeline, "other", "bought").await;
    assert_eq!(conversions().await, 1, "somebody else was shown nothing");

    // In one batch, so in one flush: a goal, a match, two goals, a match, a goal.
    let event = |(index, event): (usize, &&str)| json!({"type": "track", "userId": "in-a-batch", "event": event, "messageId": format!("m{index}")});
    let names = ["bought", "opened", "bought", "bought", "opened", "bought"];
    let batch: Vec<Value> = names.iter().enumerate().map(event).collect();
    pipeline.client().accepted("/v1/batch", &json!({"batch": batch})).await;
    pipeline.drained().await;
    let query = "SELECT string_agg(m.message_id || ' ' || g.message_id, ', ' ORDER BY g.message_id)
                   FROM conversions c JOIN events m ON m.id = c.match_event_id JOIN events g ON g.id = c.event_id
                  WHERE c.user_id = 'in-a-batch'";
    let pairs: String = sqlx::query_scalar(query).fetch_one(&pipeline.database.pool).await.unwrap();
    assert_eq!(pairs, "m1 m2, m4 m5");

    // Received at the same moment: the later of two matches is the latest, in memory and in storage alike.
    let event = |event: &str| json!({"type": "track", "userId": "twice", "event": event});
    let batch = json!({"batch": [event("opened"), event("opened"), event("bought")]});
    pipeline.client().accepted("/v1/batch", &batch).await;
    track(&pipeline, "twice", "bought").await;
    let of_twice = "SELECT count(*) FROM conversions WHERE user_id = 'twice'";
    assert_eq!(pipeline.database.number(of_twice).await, 1);
}
