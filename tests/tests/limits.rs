//! Sizes and counts: what is still taken, what is not, and how it is named.

use serde_json::{Value, json};
use sqlx::Row;
use tests::pipeline::Pipeline;

const EVENT_BYTES: usize = 1 << 20;

/// A track that has exactly so many bytes.
fn track_of(bytes: usize, id: &str) -> String {
    let frame = |filler: &str| {
        format!(
            r#"{{"type":"track","userId":"u","event":"e","messageId":"{id}","properties":{{"filler":"{filler}"}}}}"#
        )
    };
    frame(&"x".repeat(bytes - frame("").len()))
}

async fn status(pipeline: &Pipeline, path: &str, body: &str) -> u16 {
    let answer = pipeline.client().send("POST", path, &[], body.as_bytes()).await.unwrap();
    if answer.status >= 400 {
        assert!(answer.json()["code"].is_string(), "{}", answer.text());
    }
    answer.status
}

#[tokio::test]
async fn the_largest_event_is_taken_and_one_byte_more_is_not() {
    let pipeline = Pipeline::start().await;
    assert_eq!(status(&pipeline, "/v1/track", &track_of(EVENT_BYTES, "fits")).await, 200);
    assert_eq!(status(&pipeline, "/v1/track", &track_of(EVENT_BYTES + 1, "too-large")).await, 400);
    let both = [track_of(EVENT_BYTES, "fits-too"), track_of(EVENT_BYTES + 1, "too-large")].join(",");
    assert_eq!(status(&pipeline, "/v1/batch", &format!("{{\"batch\":[{both}]}}")).await, 200);
    pipeline.drained().await;
    let query = "SELECT message_id, length(properties ->> 'filler')::bigint FROM events ORDER BY 1";
    let rows = sqlx::query(query).fetch_all(&pipeline.database.pool).await.unwrap();
    let ids: Vec<&str> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(ids, ["fits", "fits-too"]);
    assert!(rows.iter().all(|row| row.get::<i64, _>(1) > 1_000_000));
}

#[tokio::test]
async fn a_batch_of_ten_thousand_events_and_eight_megabytes_is_taken_whole() {
    let pipeline = Pipeline::start().await;
    let events: Vec<String> = (0..10_000).map(|n| track_of(800, &format!("m-{n}"))).collect();
    let body = format!("{{\"batch\":[{}]}}", events.join(","));
    assert!(body.len() > 8_000_000);
    assert_eq!(status(&pipeline, "/v1/batch", &body).await, 200);
    pipeline.drained().await;
    assert_eq!(pipeline.rows().await, 10_000);
}

#[tokio::test]
async fn each_limit_on_a_field_is_named_when_it_is_broken() {
    let pipeline = Pipeline::start().await;
    let keys: serde_json::Map<String, Value> = (0..2_001).map(|n| (format!("k{n}"), json!(n))).collect();
    for (field, code, value) in [
        ("userId", "too_long", json!("u".repeat(256))),
        ("anonymousId", "too_long", json!("a".repeat(256))),
        ("messageId", "too_long", json!("m".repeat(1_025))),
        ("event", "too_long", json!("e".repeat(201))),
        ("properties", "too_many_keys", Value::Object(keys)),
        ("properties", "too_long", json!({"k".repeat(256): 1})),
        ("userId", "wrong_type", json!({})),
        ("userId", "wrong_type", json!(true)),
        ("properties", "wrong_type", json!("text")),
        ("event", "wrong_type", json!(["list"])),
        ("event", "missing_field", json!("   ")),
    ] {
        let mut body = json!({"userId": "u", "event": "e"});
        body[field] = value;
        let answer = pipeline.client().post("/v1/track", &body).await.unwrap();
        assert_eq!(answer.status, 400, "{field} {code}");
        let text = answer.text();
        assert!(text.contains(code) || answer.json()["details"][0]["path"] == field, "{field} {code}: {text}");
        assert_eq!(answer.json()["details"][0]["path"], field, "{text}");
    }
    for (body, taken) in [
        (json!({"userId": "u".repeat(255), "event": "é".repeat(200)}), 200),
        (json!({"userId": "", "anonymousId": "a", "event": "e"}), 200),
        (json!({"userId": "u", "event": "e", "properties": null, "anonymousId": null}), 200),
    ] {
        assert_eq!(status(&pipeline, "/v1/track", &body.to_string()).await, taken, "{body}");
    }
}

#[tokio::test]
async fn numbers_are_stored_to_the_last_digit_or_refused_never_rounded() {
    let pipeline = Pipeline::start().await;
    let exact = [
        "9007199254740993",
        "18446744073709551615",
        "-9223372036854775808",
        "123456789012345678901234567890",
        "0.1",
        "1.00",
        "3.141592653589793238462643383279",
    ];
    for (n, number) in exact.iter().enumerate() {
        let body = format!(r#"{{"userId":"u","event":"e","messageId":"n-{n}","properties":{{"n":{number}}}}}"#);
        let answer = pipeline.client().send("POST", "/v1/track", &[], body.as_bytes()).await.unwrap();
        assert!([200, 400].contains(&answer.status), "{number}: {}", answer.text());
    }
    for number in ["1e400", "1e100000", &"9".repeat(400)] {
        let body = format!(r#"{{"userId":"u","event":"e","properties":{{"n":{number}}}}}"#);
        assert_eq!(status(&pipeline, "/v1/track", &body).await, 400, "{number}");
    }
    pipeline.drained().await;
    let query = "SELECT message_id, properties ->> 'n' FROM events";
    let rows: Vec<(String, String)> = sqlx::query_as(query).fetch_all(&pipeline.database.pool).await.unwrap();
    assert!(rows.len() >= 4, "{rows:?}");
    for (id, stored) in rows {
        let n: usize = id[2..].parse().unwrap();
        assert_eq!(stored, exact[n]);
    }
}
