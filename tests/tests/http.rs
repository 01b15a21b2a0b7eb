//! What the HTTP side takes and refuses, and how it says so.

use std::io::Write;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use serde_json::{Value, json};
use tests::client::{ADMIN_KEY, Client, WRITE_KEY};
use tests::eventually::{equal, eventually};
use tests::http1::{Answer, Connection, request};
use tests::pipeline::{Pipeline, Setup};

fn track() -> Value {
    json!({"user_id": "u", "event": "e", "properties": {"a": "b"}})
}

/// Every error is an object with `code`, `message` and `error` as strings: SDKs and the dashboard read them.
fn assert_problem(answer: &Answer, status: u16) {
    assert_eq!(answer.status, status, "{}", answer.text());
    let body = answer.json();
    for field in ["code", "message", "error", "request_id"] {
        assert!(body[field].is_string(), "{field} is missing in {body}");
    }
}

async fn post(client: &Client, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    client.send("POST", path, headers, body).await.unwrap()
}

#[tokio::test]
async fn a_key_may_come_in_four_ways_and_x_api_key_wins() {
    let pipeline = Pipeline::start().await;
    let client = pipeline.ingests[0].client();
    let body = track().to_string().into_bytes();
    // "test-write-key:" in base64
    let basic = "Basic dGVzdC13cml0ZS1rZXk6";
    for headers in [
        vec![("x-api-key", WRITE_KEY)],
        vec![("authorization", "Bearer test-write-key")],
        vec![("authorization", "bearer test-write-key")],
        vec![("authorization", basic)],
        vec![("authorization", "Bearer wrong"), ("x-api-key", WRITE_KEY)],
        vec![("x-api-key", ADMIN_KEY)],
    ] {
        assert_eq!(post(&client, "/v1/track", &headers, &body).await.status, 200, "{headers:?}");
    }
    let mut keyed = track();
    keyed["writeKey"] = json!(WRITE_KEY);
    client.accepted("/v1/track", &keyed).await;
    let event = json!({"type": "track", "userId": "u", "event": "e"});
    client.accepted("/v1/batch", &json!({"writeKey": WRITE_KEY, "batch": [event]})).await;

    let wins = [("x-api-key", "wrong"), ("authorization", "Bearer test-write-key")];
    assert_eq!(post(&client, "/v1/track", &wins, &body).await.status, 401);
    pipeline.drained().await;
    assert_eq!(pipeline.rows().await, 8);
    let leaked = "SELECT count(*) FROM events WHERE to_jsonb(events)::text LIKE '%test-write-key%'";
    assert_eq!(pipeline.database.number(leaked).await, 0, "a write key was stored");
}

#[tokio::test]
async fn every_refused_key_gets_the_same_answer() {
    let pipeline = Pipeline::start().await;
    let client = pipeline.ingests[0].client();
    let body = track().to_string().into_bytes();
    let mut answers = Vec::new();
    for headers in [
        vec![],
        vec![("x-api-key", "unknown")],
        vec![("x-api-key", "")],
        vec![("authorization", "Bearer unknown")],
        vec![("authorization", "Basic not base64!")],
        vec![("authorization", "Digest x")],
    ] {
        let answer = post(&client, "/v1/track", &headers, &body).await;
        assert_problem(&answer, 401);
        let mut body = answer.json();
        body["request_id"] = Value::Null;
        answers.push(body);
    }
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:#?}");
    assert_problem(&post(&client, "/v1/batch", &[("x-api-key", "unknown")], br#"{"batch":[{}]}"#).await, 401);
    assert_eq!(client.get("/v1/admin/events").await.unwrap().status, 401);
    for (method, path) in [("GET", "/v1/admin/events"), ("GET", "/v1/admin/campaigns"), ("POST", "/v1/admin/campaigns")]
    {
        assert_problem(&pipeline.client().send(method, path, &[], b"{}").await.unwrap(), 403);
    }
    assert_eq!(pipeline.stream.state().await.last_seq, 0, "something reached the stream");
}

#[tokio::test]
async fn keys_of_the_table_are_known_and_forgotten_when_revoked() {
    let pipeline = Pipeline::start().await;
    let insert = "INSERT INTO api_keys (name, role, hash) VALUES ('shop', 'client', sha256('a key of the table'))";
    sqlx::query(insert).execute(&pipeline.database.pool).await.unwrap();
    let client = pipeline.ingests[0].client().with_key("a key of the table");
    let status = async |wanted: u16| {
        let what = format!("the key is answered {wanted}");
        eventually(&what, async || equal(client.post("/v1/track", &track()).await.unwrap().status, wanted)).await;
    };
    status(200).await;
    sqlx::query("UPDATE api_keys SET revoked_at = now()").execute(&pipeline.database.pool).await.unwrap();
    status(401).await;
    pipeline.drained().await;
    assert_eq!(pipeline.database.number("SELECT count(*) FROM events WHERE source <> 'shop'").await, 0);
    assert!(pipeline.rows().await > 0);
}

#[tokio::test]
async fn keyless_calls_are_admitted_only_where_the_setting_says_so() {
    let pipeline = Setup::default().set("AUTH_REQUIRED", "false").start().await;
    let client = pipeline.ingests[0].client();
    client.accepted("/v1/track", &track()).await;
    assert_eq!(client.get("/v1/health").await.unwrap().json()["auth"], "disabled");
    assert_eq!(client.get("/v1/admin/events").await.unwrap().status, 401);
}

#[tokio::test]
async fn browsers_may_call_from_anywhere() {
    let pipeline = Pipeline::start().await;
    let client = pipeline.ingests[0].client();
    let headers = [
        ("origin", "https://shop.example"),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization,content-type,x-api-key"),
    ];
    let preflight = client.send("OPTIONS", "/v1/t", &headers, b"").await.unwrap();
    assert_eq!(preflight.status, 204, "{}", preflight.text());
    let origin = preflight.header("access-control-allow-origin").unwrap();
    assert!(["*", "https://shop.example"].contains(&origin), "{origin}");
    let allowed = preflight.header("access-control-allow-headers").unwrap().to_lowercase();
    for name in ["authorization", "content-type", "x-api-key"] {
        assert!(allowed.contains(name), "{allowed}");
    }
    assert!(preflight.header("access-control-allow-methods").unwrap().contains("POST"));
    assert!(preflight.header("access-control-max-age").is_some());

    let refused = post(&client, "/v1/track", &[("origin", "https://shop.example")], b"{}").await;
    assert_problem(&refused, 401);
    assert!(refused.header("access-control-allow-origin").is_some(), "CORS headers are missing on an error");
    assert!(refused.header("access-control-expose-headers").unwrap().to_lowercase().contains("retry-after"));
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn compressible() -> Vec<u8> {
    json!({"batch": [{"type": "track", "userId": "u", "event": "compressed"}]}).to_string().into_bytes()
}

#[tokio::test]
async fn compressed_bodies_are_read() {
    let pipeline = Pipeline::start().await;
    let body = compressible();
    let zstd = zstd::encode_all(&body[..], 3).unwrap();
    let two_members = [gzip(&body[..10]), gzip(&body[10..])].concat();
    for (encoding, bytes) in [
        ("gzip", gzip(&body)),
        ("GZIP", gzip(&body)),
        ("gzip", two_members),
        ("deflate", zlib(&body)),
        ("deflate", deflate(&body)),
        ("zstd", zstd),
        ("identity", body),
    ] {
        let answer = post(&pipeline.client(), "/v1/batch", &[("content-encoding", encoding)], &bytes).await;
        assert_eq!(answer.status, 200, "{encoding}: {}", answer.text());
    }
    pipeline.drained().await;
    assert_eq!(pipeline.rows().await, 7);
}

#[tokio::test]
async fn no_content_type_is_a_reason_to_refuse() {
    let pipeline = Pipeline::start().await;
    let body = track().to_string();
    for kind in ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-8", "nonsense"] {
        let answer = post(&pipeline.client(), "/v1/track", &[("content-type", kind)], body.as_bytes()).await;
        assert_eq!(answer.status, 200, "{kind}: {}", answer.text());
    }
}

#[tokio::test]
async fn an_invalid_event_is_answered_in_the_old_shape_with_every_violation() {
    let pipeline = Pipeline::start().await;
    let answer = pipeline.client().post("/v1/track", &json!({"event": 5, "properties": []})).await.unwrap();
    assert_problem(&answer, 400);
    let body = answer.json();
    assert_eq!(body["error"], "Validation failed");
    let paths: Vec<_> = body["details"].as_array().unwrap().iter().map(|d| d["path"].as_str().unwrap()).collect();
    for path in ["user_id", "event", "properties"] {
        assert!(paths.contains(&path), "{body}");
    }
}

#[tokio::test]
async fn chunked_bodies_are_read() {
    let pipeline = Pipeline::start().await;
    let mut connection = Connection::open(pipeline.ingests[0].address).await.unwrap();
    let head =
        format!("POST /v1/track HTTP/1.1\r\nhost: x\r\nx-api-key: {WRITE_KEY}\r\ntransfer-encoding: chunked\r\n\r\n");
    let body = track().to_string();
    let (one, two) = body.split_at(7);
    let chunks = format!("{:x}\r\n{one}\r\n{:x}\r\n{two}\r\n0\r\n\r\n", one.len(), two.len());
    connection.send(head.as_bytes()).await.unwrap();
    connection.send(chunks.as_bytes()).await.unwrap();
    let answer = connection.receive(false).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[tokio::test]
async fn one_connection_carries_many_requests_with_errors_between() {
    let pipeline = Pipeline::start().await;
    let mut connection = Connection::open(pipeline.ingests[0].address).await.unwrap();
    let good = request("POST", "/v1/track", &[("x-api-key", WRITE_KEY)], track().to_string().as_bytes());
    let bad = request("POST", "/v1/track", &[("x-api-key", WRITE_KEY)], b"{");
    for _ in 0..20 {
        assert_eq!(connection.exchange(&good).await.unwrap().status, 200);
        assert_eq!(connection.exchange(&bad).await.unwrap().status, 400);
    }
}

#[tokio::test]
async fn health_is_in_the_old_shape_and_probes_answer() {
    let pipeline = Pipeline::start().await;
    let health = pipeline.ingests[0].client().get("/v1/health").await.unwrap().json();
    assert_eq!((&health["status"], &health["auth"]), (&json!("ok"), &json!("enabled")));
    assert!(health["timestamp"].is_string() && health["version"].is_string(), "{health}");
    for program in pipeline.ingests.iter().chain(&pipeline.workers) {
        for path in ["/livez", "/readyz"] {
            assert_eq!(program.client().get(path).await.unwrap().status, 200, "{} {path}", program.name);
        }
    }
}
