//! "Where is my event?": receipts through the real programs, at every stage of an event's life.

use serde_json::{Value, json};
use shared::domain::user_key::UserKey;
use tests::client::Client;
use tests::eventually::{equal, eventually};
use tests::pipeline::{Pipeline, Setup};

const SENT_AT: &str = "2026-11-20T10:20:30.123Z";

fn track(message_id: &str, user: &str, timestamp: &str) -> Value {
    json!({"type": "track", "userId": user, "event": "opened", "messageId": message_id, "timestamp": timestamp})
}

fn now() -> String {
    chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

async fn receipt(client: &Client, path: &str) -> Value {
    let answer = client.get(&format!("/v1/events/{path}")).await.unwrap();
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.json()
}

async fn status(client: &Client, path: &str) -> (u16, Value) {
    let answer = client.get(&format!("/v1/events/{path}")).await.unwrap();
    (answer.status, answer.json()["code"].clone())
}

#[tokio::test]
async fn an_event_is_queued_with_its_position_then_stored_with_its_matches_then_counts_its_copies() {
    let campaign = json!({"name": "Hello", "status": "active", "trigger": "opened", "rules": []});
    let mut pipeline = Setup::default().campaign(campaign).ingests(2).workers(0).without_waiting().start().await;
    pipeline.add_worker();
    pipeline.ready().await;
    pipeline.drained().await;
    pipeline.workers[0].pause();
    let client = pipeline.client();
    let at = now();
    client.accepted("/v1/batch", &json!({"batch": [track("m0", "bob", &at)]})).await;
    client.accepted("/v1/batch", &json!({"batch": [track("m1", "ada", &at)]})).await;

    // Every process knows it, whichever took it.
    for ingest in &pipeline.ingests {
        let client = ingest.client().with_key(tests::client::WRITE_KEY);
        let queued = receipt(&client, "m1?user_id=ada").await;
        assert_eq!((&queued["status"], &queued["complete"]), (&json!("queued"), &json!(true)), "{queued}");
        let place = &queued["queued"][0];
        assert_eq!((&place["duplicate"], &place["messages_before"]), (&json!(false), &json!(1)), "{place}");
        assert_eq!(place["sequence"], pipeline.stream.state().await.last_seq);
        assert_eq!(place["partition"], UserKey::user("ada").partition(16));
    }
    pipeline.workers[0].resume();
    pipeline.drained().await;

    let stored = receipt(&client, "m1?user_id=ada").await;
    assert_eq!(stored["status"], "stored", "{stored}");
    assert_eq!((&stored["queued"], &stored["dead"]), (&json!([]), &json!([])));
    let row = &stored["stored"][0];
    let texts = ["type", "user_id", "event", "message_id", "original_timestamp", "source"]
        .map(|name| row[name].as_str().unwrap());
    assert_eq!(texts, ["track", "ada", "opened", "m1", at.as_str(), "client-1"]);
    assert!(row["received_at"].is_string() && row["timestamp"].is_string());
    assert_eq!(row["matched"][0]["disposition"], "show");
    assert_eq!((row["matched"].as_array().unwrap().len(), &row["duplicates"]), (1, &Value::Null));

    // A copy waits: it is known to be one.
    pipeline.workers[0].pause();
    client.accepted("/v1/batch", &json!({"batch": [track("m1", "ada", &at)]})).await;
    let waiting = receipt(&client, &format!("m1?user_id=ada&timestamp={at}")).await;
    assert_eq!((&waiting["status"], &waiting["queued"][0]["duplicate"]), (&json!("stored"), &json!(true)), "{waiting}");
    pipeline.workers[0].resume();
    client.accepted("/v1/batch", &json!({"batch": [track("m1", "ada", &at), track("m1", "ada", &at)]})).await;
    pipeline.drained().await;
    let resent = receipt(&client, "m1?user_id=ada").await;
    assert_eq!(resent["stored"][0]["duplicates"]["copies"], 3, "{resent}");
    assert!(resent["stored"][0]["duplicates"]["last_received_at"].as_str() > row["received_at"].as_str());
    assert_eq!(pipeline.rows().await, 2);
}

#[tokio::test]
async fn a_replay_of_the_stream_is_no_copy() {
    let mut pipeline = Pipeline::start().await;
    let client = pipeline.client();
    let at = now();
    client.accepted("/v1/batch", &json!({"batch": [track("m1", "ada", &at)]})).await;
    pipeline.drained().await;
    client.accepted("/v1/batch", &json!({"batch": [track("m1", "ada", &at)]})).await;
    pipeline.drained().await;
    pipeline.workers[0].stop().await;
    sqlx::query("UPDATE partitions SET last_seq = 0, last_batch_id = NULL")
        .execute(&pipeline.database.pool)
        .await
        .unwrap();
    pipeline.workers[0].start_again();
    pipeline.ready().await;
    eventually("everything was read once more", async || {
        equal(pipeline.database.number("SELECT coalesce(sum(read), 0)::bigint FROM ledger").await, 4)
    })
    .await;
    assert_eq!(receipt(&client, "m1?user_id=ada").await["stored"][0]["duplicates"]["copies"], 1);
}

#[tokio::test]
async fn a_timestamp_names_the_one_row_and_an_id_of_ours_needs_none() {
    let pipeline = Pipeline::start().await;
    let client = pipeline.client();
    // Longer ago than is believed: filed under the day of receipt.
    let long_ago = "2001-02-03T04:05:06+05:30";
    let batch = json!({"batch": [track("m1", "ada", SENT_AT), track("m1", "ada", long_ago), {"type": "page", "anonymousId": "a1", "messageId": "m2"}]});
    client.accepted("/v1/batch", &batch).await;
    let flutter = json!({"event_id": "ada_opened_1", "timestamp": "2026-11-20T10:20:30.123456", "user_id": "ada", "event": "opened"});
    let tracked = client.accepted("/v1/track", &flutter).await;
    let stranger = json!({"user_id": "anonymous", "event": "opened", "messageId": "m3", "timestamp": SENT_AT});
    client.accepted("/v1/track", &stranger).await;
    pipeline.drained().await;

    let original = |receipt: &Value| -> Vec<String> {
        let rows = receipt["stored"].as_array().unwrap();
        rows.iter().map(|row| row["original_timestamp"].as_str().unwrap_or_default().to_owned()).collect()
    };
    let both = receipt(&client, "m1?user_id=ada").await;
    assert_eq!(original(&both).len(), 2, "two events under one message id: {both}");
    for time in [SENT_AT, long_ago, "2001-02-03T04:05:06%2B05:30"] {
        let one = receipt(&client, &format!("m1?user_id=ada&timestamp={time}")).await;
        assert_eq!(original(&one), [time.replace("%2B", "+")]);
    }
    assert_eq!(receipt(&client, "m2?anonymous_id=a1").await["stored"][0]["type"], "page");
    assert_eq!(receipt(&client, "ada_opened_1?user_id=ada").await["stored"][0]["event_id"], "ada_opened_1");
    assert_eq!(receipt(&client, &format!("m3?user_id=anonymous&timestamp={SENT_AT}")).await["status"], "stored");
    let id = tracked["event"]["id"].as_str().unwrap();
    assert_eq!(receipt(&client, &format!("{id}?user_id=ada")).await["stored"][0]["id"], id);
    assert_eq!(receipt(&pipeline.admin(), id).await["stored"][0]["id"], id);
    assert_eq!(status(&client, id).await, (400, json!("invalid_parameter")), "a write key says whose event it was");
    assert_eq!(status(&client, "m1").await, (400, json!("invalid_parameter")));
    assert_eq!(status(&client, "m1?user_id=ada&timestamp=yesterday").await, (400, json!("invalid_parameter")));
    for missing in ["m1?user_id=bob", "m9?user_id=ada", "m2?user_id=a1", &format!("{id}?user_id=bob")] {
        assert_eq!(status(&client, missing).await, (404, json!("not_found")), "{missing}");
    }
}

#[tokio::test]
async fn a_write_key_is_told_only_of_its_own_source() {
    let pipeline = Setup::default().set("CLIENT_API_KEYS", "web:k1,app:k2").start().await;
    let (web, app) = (pipeline.client().with_key("k1"), pipeline.client().with_key("k2"));
    web.accepted("/v1/batch", &json!({"batch": [track("m1", "ada", &now())]})).await;
    pipeline.drained().await;
    assert_eq!(receipt(&web, "m1?user_id=ada").await["status"], "stored");
    assert_eq!(status(&app, "m1?user_id=ada").await, (404, json!("not_found")));
    assert_eq!(receipt(&pipeline.admin(), "m1?user_id=ada").await["stored"][0]["source"], "web");
    assert_eq!(status(&pipeline.client().with_key("nobody's"), "m1?user_id=ada").await, (401, json!("unauthorized")));
}

#[tokio::test]
async fn a_dead_event_says_why() {
    let pipeline = Pipeline::start().await;
    let at = chrono::Utc::now();
    let text = json!({
        "id": uuid::Uuid::new_v4(), "day": at.date_naive(), "type": "track", "user_id": "ada", "event": "e",
        "message_id": "m1", "timestamp": at, "received_at": at, "source": "client-1"
    })
    .to_string();
    let poison = format!("{},\"properties\":{{\"text\":\"no \\u0000\"}}}}", &text[..text.len() - 1]);
    pipeline.stream.publish_lines(&[(UserKey::user("ada").partition(16), poison.as_bytes())]).await;
    pipeline.drained().await;
    let dead = receipt(&pipeline.client(), "m1?user_id=ada").await;
    assert_eq!((&dead["status"], &dead["dead"][0]["sqlstate"]), (&json!("dead"), &json!("22P05")), "{dead}");
    assert!(!dead["dead"][0]["reason"].as_str().unwrap().is_empty());
    let letter = format!("/v1/admin/dead-letters/{}", dead["dead"][0]["dead_letter_id"]);
    assert_eq!(pipeline.admin().get(&letter).await.unwrap().status, 200);
}

#[tokio::test]
async fn what_is_too_far_behind_is_said_to_be_unknown() {
    let mut pipeline = Pipeline::start().await;
    pipeline.workers[0].stop().await;
    let client = pipeline.client();
    for number in 0..205 {
        let message = format!("m{number}");
        client.accepted("/v1/batch", &json!({"batch": [track(&message, "ada", &now())]})).await;
    }
    assert_eq!(receipt(&client, "m0?user_id=ada").await["status"], "queued");
    let last = receipt(&client, "m204?user_id=ada").await;
    assert_eq!((&last["status"], &last["complete"]), (&json!("unknown"), &json!(false)));
    assert!(last["notes"][0].as_str().unwrap().contains("wait and were not looked at"), "{last}");
    pipeline.workers[0].start_again();
    pipeline.ready().await;
    pipeline.drained().await;
    assert_eq!(receipt(&client, "m204?user_id=ada").await["status"], "stored");
}
