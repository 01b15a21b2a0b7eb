//! EmbeddedCraft's Flutter SDKs, replayed byte by byte: both generations, their offline queues, and an upgrade between them.
//!
//! The first (`in_app_ninja`) posts `{user_id, event, properties}` to `/v1/…`, the second `{userId, action, metadata}` to
//! `/api/v1/nudge/…`. Both keep what was not answered 2xx in one queue on the device, for ever, and post it at the next start:
//! after an upgrade bodies of the first generation arrive on the paths of the second. What the dashboards' and apps' parsers
//! read of campaigns is tested in `plan_checklist`.

use serde_json::{Value, json};
use sqlx::Row;
use tests::client::WRITE_KEY;
use tests::http1::Answer;
use tests::parsers::{first_flutter_sdk, second_flutter_sdk};
use tests::pipeline::{Pipeline, Setup};

/// As `package:http` sends them, on GET too.
const HEADERS: [(&str, &str); 4] = [
    ("user-agent", "Dart/3.5 (dart:io)"),
    ("content-type", "application/json; charset=utf-8"),
    ("accept-encoding", "gzip"),
    ("x-api-key", WRITE_KEY),
];

async fn post(pipeline: &Pipeline, path: &str, body: &str) -> Answer {
    pipeline.ingests[0].client().send("POST", path, &HEADERS, body.as_bytes()).await.unwrap()
}

/// The device's own clock: local, with microseconds and without a zone.
fn device_time() -> String {
    (chrono::Utc::now().naive_utc() + chrono::TimeDelta::minutes(330)).format("%Y-%m-%dT%H:%M:%S%.6f").to_string()
}

/// A track of the first generation, in the order of its fields.
fn first_track(user: &str, event: &str, millisecond: u64, time: &str, properties: &str, page: &str) -> String {
    format!(
        r#"{{"event_id":"{user}_{event}_{millisecond}","timestamp":"{time}","user_id":"{user}","event":"{event}","properties":{properties},"sdk_version":"in_app_ninja_flutter_1.0.0","page":{page}}}"#
    )
}

/// What the first generation does with an answer to a track: only exactly 200 is looked at, and only a list of campaigns shown.
fn rendered(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status, 200, "anything else shows nothing, or stays in the queue for ever: {}", answer.text());
    let matched = answer.json()["matched"].as_array().cloned().expect("matched is a list");
    matched.iter().for_each(first_flutter_sdk);
    matched.iter().map(|campaign| campaign["id"].as_str().unwrap().to_owned()).collect()
}

async fn with_campaign() -> Pipeline {
    let campaign = json!({"id": "c", "name": "c", "status": "active", "type": "modal", "trigger": "page_view", "rules": [],
        "config": {"type": "modal"}, "targeting": []});
    Setup::default().campaign(campaign).start().await
}

#[tokio::test]
async fn the_first_generation_tracks_identifies_and_shows_what_matched() {
    let pipeline = with_campaign().await;
    let time = device_time();
    let body = first_track(
        "ada",
        "page_view",
        1_763_201_187_097,
        &time,
        r#"{"page":"/home","n":1.5,"none":null}"#,
        r#""/home""#,
    );
    assert_eq!(rendered(&post(&pipeline, "/v1/track", &body).await), ["c"]);
    let traits = r#"{"user_id":"ada","name":"Ada 🧵","email":null,"age":36}"#;
    let body = format!(r#"{{"user_id":"ada","traits":{traits},"timestamp":"{time}"}}"#);
    assert_eq!(post(&pipeline, "/v1/identify", &body).await.status, 200);
    let traits = r#"{"name":"Ada","email":"a@b.example","phone_number":"1","referral_code":null}"#;
    let body = format!(r#"{{"external_id":null,"user_id":"ada","traits":{traits},"timestamp":"{time}"}}"#);
    assert_eq!(post(&pipeline, "/v1/identify", &body).await.status, 200);
    let listed = pipeline.ingests[0].client().send("GET", "/v1/campaigns?user_id=ada", &HEADERS, b"").await.unwrap();
    assert_eq!(listed.status, 200);
    listed.json()["campaigns"].as_array().unwrap().iter().for_each(first_flutter_sdk);
    let leads = post(&pipeline, "/v1/leads", r#"{"leads":[{"email":"x@y.example"}]}"#).await;
    assert_eq!(leads.status, 200, "{}", leads.text());

    pipeline.drained().await;
    let query =
        "SELECT user_id, event, event_id, original_timestamp, properties, extra FROM events WHERE event = 'page_view'";
    let row = sqlx::query(query).fetch_one(&pipeline.database.pool).await.unwrap();
    assert_eq!((row.get::<&str, _>(0), row.get::<&str, _>(2)), ("ada", "ada_page_view_1763201187097"));
    assert_eq!(row.get::<String, _>(3), time);
    assert_eq!(row.get::<Value, _>(4), json!({"page": "/home", "n": 1.5, "none": null}));
    assert_eq!(row.get::<Value, _>(5), json!({"sdk_version": "in_app_ninja_flutter_1.0.0", "page": "/home"}));
    let profile = "SELECT traits FROM users WHERE kind = 'user' AND id = 'ada'";
    let profile: Value = sqlx::query_scalar(profile).fetch_one(&pipeline.database.pool).await.unwrap();
    let expected = json!({"user_id": "ada", "name": "Ada", "email": "a@b.example", "age": 36, "phone_number": "1", "referral_code": null});
    assert_eq!(profile, expected, "later traits win, key by key");
}

#[tokio::test]
async fn a_queue_that_is_posted_again_and_again_is_stored_once_and_nothing_in_it_is_refused() {
    let pipeline = with_campaign().await;
    let time = device_time();
    // Names that its observer makes, devices without a user, and widgets that became visible in one millisecond.
    let queue = [
        first_track("anonymous", "/_Viewed", 1, &time, "{}", "null"),
        first_track("ada", "DialogRoute<dynamic>_Viewed", 2, &time, r#"{"route":"DialogRoute<dynamic>"}"#, "null"),
        first_track("ada", "widget_viewed", 3, &time, r#"{"widget":"a"}"#, r#""/home""#),
        first_track("ada", "widget_viewed", 3, &time, r#"{"widget":"b"}"#, r#""/home""#),
        first_track("anonymous", "app_opened", 4, &time, r#"{"device":"1"}"#, "null"),
        first_track("anonymous", "app_opened", 4, &time, r#"{"device":"2"}"#, "null"),
        first_track("ada", "campaign_clicked", 5, "2025-11-15T15:36:21.267949", r#"{"button_text":null}"#, "null"),
    ];
    for _ in 0..3 {
        for body in &queue {
            let answer = post(&pipeline, "/v1/track", body).await;
            assert_eq!(answer.status, 200, "{body}: {}", answer.text());
        }
    }
    pipeline.drained().await;
    assert_eq!(pipeline.rows().await, 7);
    assert_eq!(pipeline.database.number("SELECT sum(duplicate)::bigint FROM ledger").await, 14);
}

#[tokio::test]
async fn the_second_generation_tracks_identifies_and_fetches() {
    let pipeline = with_campaign().await;
    let body = r#"{"userId":"ada","action":"page_view","metadata":{"page":"/home","campaignId":"c","nudgeId":"c"}}"#;
    let tracked = post(&pipeline, "/api/v1/nudge/track", body).await;
    assert_eq!((tracked.status, &tracked.json()["success"]), (200, &json!(true)), "{}", tracked.text());
    let body = r#"{"userId":"ada","traits":{"plan":"pro"}}"#;
    assert_eq!(post(&pipeline, "/api/v1/nudge/identify", body).await.status, 200);
    // It names the user in the new way on the old path.
    let body = r#"{"userId":"ada","traits":{"email":"a@b.example"}}"#;
    assert_eq!(post(&pipeline, "/v1/identify", body).await.status, 200);
    let path = "/api/v1/nudge/fetch?userId=ada&screenName=Home&platform=android";
    let fetched = pipeline.ingests[0].client().send("GET", path, &HEADERS, b"").await.unwrap();
    assert_eq!(fetched.status, 200);
    fetched.json()["campaigns"].as_array().unwrap().iter().for_each(second_flutter_sdk);

    pipeline.drained().await;
    let query = "SELECT user_id, event, properties FROM events WHERE type = 'track'";
    let row: (String, String, Value) = sqlx::query_as(query).fetch_one(&pipeline.database.pool).await.unwrap();
    let properties = json!({"page": "/home", "campaignId": "c", "nudgeId": "c"});
    assert_eq!(row, ("ada".to_owned(), "page_view".to_owned(), properties));
    let profile: Value = sqlx::query_scalar("SELECT traits FROM users WHERE id = 'ada'")
        .fetch_one(&pipeline.database.pool)
        .await
        .unwrap();
    assert_eq!(profile, json!({"plan": "pro", "email": "a@b.example"}));
}

#[tokio::test]
async fn a_queue_that_outlives_an_upgrade_of_the_app_is_taken_on_the_other_generations_paths() {
    let pipeline = with_campaign().await;
    let time = device_time();
    let track = first_track("ada", "page_view", 9, &time, r#"{"page":"/"}"#, "null");
    let identify = format!(r#"{{"user_id":"ada","traits":{{"old":1}},"timestamp":"{time}"}}"#);
    // The answer to the first was lost just before the upgrade.
    assert_eq!(rendered(&post(&pipeline, "/v1/track", &track).await), ["c"]);
    let replayed = post(&pipeline, "/api/v1/nudge/track", &track).await;
    assert_eq!((replayed.status, &replayed.json()["success"]), (200, &json!(true)), "{}", replayed.text());
    assert_eq!(post(&pipeline, "/api/v1/nudge/identify", &identify).await.status, 200);
    // And back again, after a downgrade.
    let newer = r#"{"userId":"ada","action":"closed","metadata":{"n":1}}"#;
    assert_eq!(rendered(&post(&pipeline, "/v1/track", newer).await), [""; 0]);
    assert_eq!(post(&pipeline, "/v1/identify", r#"{"userId":"ada","traits":{"new":2}}"#).await.status, 200);

    pipeline.drained().await;
    let query = "SELECT event, properties FROM events WHERE type = 'track' ORDER BY event";
    let rows: Vec<(String, Value)> = sqlx::query_as(query).fetch_all(&pipeline.database.pool).await.unwrap();
    let expected = [("closed".to_owned(), json!({"n": 1})), ("page_view".to_owned(), json!({"page": "/"}))];
    assert_eq!(rows, expected, "the same bytes are the same event, on whichever path");
    let profile: Value = sqlx::query_scalar("SELECT traits FROM users WHERE id = 'ada'")
        .fetch_one(&pipeline.database.pool)
        .await
        .unwrap();
    assert_eq!(profile, json!({"old": 1, "new": 2}));
    assert_eq!(pipeline.database.number("SELECT count(*) FROM matches").await, 1);
}
