//! What Segment's browser SDK asks beside sending events: its settings, and a place for its metrics.

use serde_json::{Value, json};
use tests::client::{ADMIN_KEY, WRITE_KEY};
use tests::eventually::{equal, eventually};
use tests::http1::Answer;
use tests::pipeline::Pipeline;

/// As a page asks: with an origin, without a key in any header.
async fn settings(pipeline: &Pipeline, key: &str) -> Answer {
    let path = format!("/v1/projects/{key}/settings");
    let headers = [("origin", "https://shop.example")];
    pipeline.ingests[0].client().send("GET", &path, &headers, b"").await.unwrap()
}

fn without_request_id(answer: &Answer) -> Value {
    let mut body = answer.json();
    body.as_object_mut().unwrap().remove("request_id");
    body
}

#[tokio::test]
async fn a_write_key_is_answered_with_the_settings_of_one_integration() {
    let pipeline = Pipeline::start().await;
    let answer = settings(&pipeline, WRITE_KEY).await;
    let expected = json!({"integrations": {"Segment.io": {"apiKey": WRITE_KEY}}, "metrics": {"sampleRate": 0}});
    assert_eq!((answer.status, answer.json()), (200, expected));
    assert_eq!(answer.header("cache-control"), Some("public, max-age=300"));
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));

    // A key of the table, with signs that stand encoded in a path.
    let insert = "INSERT INTO api_keys (name, role, hash) VALUES ('shop', 'client', sha256('a/key of +100%'))";
    sqlx::query(insert).execute(&pipeline.database.pool).await.unwrap();
    let status = async |wanted: u16| {
        eventually("the key is known", async || {
            equal(settings(&pipeline, "a%2Fkey%20of%20+100%25").await.status, wanted)
        })
        .await;
    };
    status(200).await;
    let answer = settings(&pipeline, "a%2Fkey%20of%20+100%25").await;
    assert_eq!(answer.json()["integrations"]["Segment.io"]["apiKey"], "a/key of +100%");
    sqlx::query("UPDATE api_keys SET revoked_at = now()").execute(&pipeline.database.pool).await.unwrap();
    status(404).await;
}

#[tokio::test]
async fn unknown_admin_and_malformed_keys_get_one_and_the_same_answer() {
    let pipeline = Pipeline::start().await;
    // Until the table has been read nobody can say.
    eventually("keys can be told", async || equal(settings(&pipeline, "unknown").await.status, 404)).await;
    let unknown = settings(&pipeline, "unknown").await;
    assert_eq!(unknown.header("cache-control"), Some("no-store"), "the key may be made in a moment");
    assert_eq!(unknown.header("access-control-allow-origin"), Some("*"), "the page can read why");
    for key in [ADMIN_KEY, &"k".repeat(300), "%00", "%F0%9F%A7%B5", "%20"] {
        let answer = settings(&pipeline, key).await;
        assert_eq!(answer.status, 404, "{key}: {}", answer.text());
        assert_eq!(without_request_id(&answer), without_request_id(&unknown), "{key}");
    }
    let broken = settings(&pipeline, "%ff%fe").await;
    assert_eq!((broken.status, &broken.json()["code"]), (400, &json!("invalid_parameter")), "{}", broken.text());
}

#[tokio::test]
async fn its_metrics_are_taken_without_a_key_and_dropped() {
    let pipeline = Pipeline::start().await;
    let client = pipeline.ingests[0].client();
    let series = json!({"series": [{"type": "Counter", "metric": "analytics_js.invoke", "value": 1, "tags": {}}]});
    let large = "x".repeat(900_000);
    for body in [series.to_string().as_str(), "", "nonsense", &large] {
        let answer = client.send("POST", "/v1/m", &[("content-type", "text/plain")], body.as_bytes()).await.unwrap();
        assert_eq!((answer.status, answer.json()), (200, json!({"ok": true})));
    }
    assert_eq!(pipeline.stream.state().await.last_seq, 0, "something reached the stream");
}
