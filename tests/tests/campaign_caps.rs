//! Caps hold: exactly in the record, and in the replies as far as they promise.

use std::sync::Arc;

use serde_json::{Value, json};
use tests::client::WRITE_KEY;
use tests::matching::replied;
use tests::pipeline::{Pipeline, Setup};

fn capped(id: &str, cap: &Value) -> Value {
    json!({"id": id, "name": id, "status": "active", "trigger": "opened", "frequency_cap": cap})
}

/// How often a reply named the campaign, for one event after the other of one user.
async fn replies(pipeline: &Pipeline, user: &str, id: &str, events: usize) -> Vec<bool> {
    let client = pipeline.client();
    let mut named = Vec::with_capacity(events);
    for _ in 0..events {
        let answer = client.accepted("/v1/track", &json!({"user_id": user, "event": "opened"})).await;
        named.push(answer["matched"].as_array().unwrap().iter().any(|campaign| campaign["id"] == id));
    }
    named
}

async fn recorded(pipeline: &Pipeline, id: &str) -> i64 {
    pipeline.drained().await;
    let query = "SELECT count(*) FROM matches WHERE campaign_id = $1";
    sqlx::query_scalar(query).bind(id).fetch_one(&pipeline.database.pool).await.unwrap()
}

#[tokio::test]
async fn one_user_who_sends_one_event_after_the_other_is_never_answered_beyond_a_cap() {
    let pipeline = Setup::default()
        .campaign(capped("twice", &json!({"per_user": 2})))
        .campaign(capped("daily", &json!({"per_user_per_day": 3})))
        .campaign(capped("seldom", &json!({"min_gap_seconds": 3600})))
        .start()
        .await;
    // Each on a connection of its own and without waiting for the worker: what counts is what this process has answered.
    assert_eq!(replies(&pipeline, "u1", "twice", 5).await, [true, true, false, false, false]);
    assert_eq!(replies(&pipeline, "u2", "daily", 5).await, [true, true, true, false, false]);
    assert_eq!(replies(&pipeline, "u3", "seldom", 3).await, [true, false, false]);
    assert_eq!(recorded(&pipeline, "twice").await, 2 + 2 + 2);
    assert_eq!(recorded(&pipeline, "daily").await, 3 + 3 + 3);
    assert_eq!(recorded(&pipeline, "seldom").await, 3);
    // Whoever has had enough is not offered it by a fetch either.
    let listed = pipeline.client().get("/v1/campaigns?user_id=u1").await.unwrap().json();
    assert_eq!(listed["campaigns"], json!([]));
    let listed = pipeline.client().get("/v1/campaigns?user_id=u4").await.unwrap().json();
    assert_eq!(listed["campaigns"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn a_resend_is_answered_as_the_first_was_and_uses_up_nothing() {
    // Histories of a few campaigns are read one by one, those of many together.
    for others in [0, 30] {
        let mut setup = Setup::default()
            .campaign(capped("first-of-all", &json!({"total": 1})))
            .campaign(capped("seldom", &json!({"min_gap_seconds": 3600})))
            .campaign(capped("once", &json!({"per_user": 1})))
            .campaign(capped("twice", &json!({"per_user": 2, "per_user_per_day": 2})));
        for other in 0..others {
            let mut never = capped(&format!("never-{other}"), &json!({"per_user": 1}));
            never["rules"] = json!([{"field": "never", "operator": "exists"}]);
            setup = setup.campaign(never);
        }
        let pipeline = setup.start().await;
        let client = pipeline.client();
        let event = |id: &str| json!({"user_id": "u", "event": "opened", "messageId": id});
        let all = ["twice", "once", "seldom", "first-of-all"];
        // First while the worker stands still: of the total over all users a process knows only what is recorded.
        pipeline.workers[0].pause();
        for _ in 0..3 {
            assert_eq!(replied(&client, &event("1")).await, all);
        }
        assert_eq!(replied(&client, &event("2")).await, ["twice", "first-of-all"]);
        pipeline.workers[0].resume();
        pipeline.drained().await;
        assert_eq!(replied(&client, &event("1")).await, all, "stored");
        assert_eq!(replied(&client, &event("2")).await, ["twice"]);
        assert_eq!(replied(&client, &event("3")).await, Vec::<String>::new());
        for (id, shown) in [("first-of-all", 1), ("seldom", 1), ("once", 1), ("twice", 2)] {
            assert_eq!(recorded(&pipeline, id).await, shown, "{id}");
        }
    }
}

#[tokio::test]
async fn a_gap_and_a_day_end() {
    let pipeline = Setup::default()
        .campaign(capped("seldom", &json!({"min_gap_seconds": 3600})))
        .campaign(capped("daily", &json!({"per_user_per_day": 1})))
        .start()
        .await;
    let shown = async || replies(&pipeline, "u", "seldom", 1).await[0] && replies(&pipeline, "u", "daily", 1).await[0];
    assert_eq!(replies(&pipeline, "u", "daily", 1).await, [true]);
    pipeline.drained().await;
    assert!(!shown().await);
    pipeline.drained().await;
    // As if a day had passed.
    sqlx::query("UPDATE matches SET received_at = received_at - interval '27 hours'")
        .execute(&pipeline.database.pool)
        .await
        .unwrap();
    assert_eq!(replies(&pipeline, "u", "seldom", 1).await, [true]);
    assert_eq!(recorded(&pipeline, "seldom").await, 2);
    assert_eq!(recorded(&pipeline, "daily").await, 2);
}

#[tokio::test]
async fn a_cap_that_is_set_later_counts_what_was_shown_before() {
    let pipeline = Setup::default().campaign(capped("c", &json!({}))).start().await;
    assert_eq!(replies(&pipeline, "u", "c", 3).await, [true, true, true]);
    assert_eq!(recorded(&pipeline, "c").await, 3);
    let admin = pipeline.admin();
    let change = json!({"frequency_cap": {"total": 4, "per_user": 4}}).to_string();
    assert_eq!(admin.send("PUT", "/v1/admin/campaigns/c", &[], change.as_bytes()).await.unwrap().status, 200);
    pipeline.catalog_known().await;
    for user in ["a", "b", "c"] {
        replies(&pipeline, user, "c", 1).await;
        pipeline.drained().await;
    }
    assert_eq!(recorded(&pipeline, "c").await, 4);

    // Without the cap it is shown again and nobody counts; with the cap back, all of that is counted.
    for (cap, more, shown) in [(json!({}), 3, 7), (json!({"total": 8}), 3, 8)] {
        let change = json!({"frequency_cap": cap}).to_string();
        assert_eq!(admin.send("PUT", "/v1/admin/campaigns/c", &[], change.as_bytes()).await.unwrap().status, 200);
        pipeline.catalog_known().await;
        for user in ["d", "e", "f"].iter().take(more) {
            replies(&pipeline, user, "c", 1).await;
            pipeline.drained().await;
        }
        assert_eq!(recorded(&pipeline, "c").await, shown);
    }
}

/// Two ingest processes, three workers that are killed and started anew, users who send many events: no cap is passed in the
/// record, and none is left short.
#[tokio::test(flavor = "multi_thread")]
async fn caps_hold_exactly_under_three_workers_with_kills() {
    const USERS: usize = 300;
    const ROUNDS: usize = 80;
    const BATCH: usize = 20;
    const SENDERS: usize = 4;
    const KILLS: usize = 8;
    let mut pipeline = Setup::default()
        .ingests(2)
        .workers(3)
        .campaign(capped("twice", &json!({"per_user": 2})))
        .campaign(capped("daily", &json!({"per_user_per_day": 3})))
        .campaign(capped("seldom", &json!({"min_gap_seconds": 86400})))
        .campaign(capped("first-500", &json!({"total": 500})))
        .campaign(capped("first-100", &json!({"total": 100, "per_user": 1})))
        .start()
        .await;
    let clients: Arc<Vec<_>> = Arc::new(pipeline.ingests.iter().map(|i| i.client().with_key(WRITE_KEY)).collect());
    let mut senders = tokio::task::JoinSet::new();
    for sender in 0..SENDERS {
        let clients = Arc::clone(&clients);
        senders.spawn(async move {
            let client = clients[sender % clients.len()].clone();
            for round in (sender..ROUNDS).step_by(SENDERS) {
                for first in (0..USERS).step_by(BATCH) {
                    let event = |user: usize| {
                        json!({"type": "track", "userId": format!("u{user}"), "event": "opened",
                               "messageId": format!("{round}-{user}")})
                    };
                    let batch: Vec<Value> = (first..first + BATCH).map(event).collect();
                    client.accepted("/v1/batch", &json!({"batch": batch})).await;
                }
            }
        });
    }
    // Each in the middle of the work: when so many more events are stored.
    let step = i64::try_from(USERS * ROUNDS / (KILLS + 2)).unwrap();
    for (kill, due) in (0..KILLS).zip((1..).map(|number| number * step)) {
        tests::eventually::eventually("the work goes on", async || {
            let stored = pipeline.rows().await;
            if stored >= due { Ok(()) } else { Err(format!("{stored} of {due} events")) }
        })
        .await;
        pipeline.workers[kill % 3].start_again();
    }
    let stored = pipeline.rows().await;
    eprintln!("the last of {KILLS} kills came when {stored} of {} events were stored", USERS * ROUNDS);
    pipeline.ready().await;
    senders.join_all().await;
    pipeline.drained().await;

    assert_eq!(pipeline.rows().await, i64::try_from(USERS * ROUNDS).unwrap());
    let users = i64::try_from(USERS).unwrap();
    let expected =
        [("twice", 2 * users), ("daily", 3 * users), ("seldom", users), ("first-500", 500), ("first-100", 100)];
    for (id, shown) in expected {
        assert_eq!(recorded(&pipeline, id).await, shown, "{id}");
    }
    let over =
        "SELECT count(*) FROM (SELECT FROM matches WHERE campaign_id IN ('twice', 'daily', 'seldom', 'first-100')
                 GROUP BY campaign_id, user_id
                HAVING count(*) > CASE campaign_id WHEN 'twice' THEN 2 WHEN 'daily' THEN 3 ELSE 1 END) AS over";
    assert_eq!(pipeline.database.number(over).await, 0);
    let counters = "SELECT sum(shown)::bigint FROM campaign_totals WHERE campaign_id IN ('first-500', 'first-100')";
    assert_eq!(pipeline.database.number(counters).await, 600);
}
