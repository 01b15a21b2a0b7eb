//! Limits per key and per client address, through real HTTP; and who is refused first when too much is under way.
//!
//! Rates are far below one in the time a test takes (a token a second, bursts of hours), so nothing depends on how fast it runs.

use serde_json::{Value, json};
use tests::client::Client;
use tests::eventually::{equal, eventually};
use tests::http1::{Answer, Connection};
use tests::pipeline::{Pipeline, Setup};

const KEYS: &str = "/v1/admin/keys";

fn batch(events: usize) -> Value {
    let event = json!({"type": "track", "userId": "u", "event": "e"});
    json!({"batch": vec![event; events]})
}

async fn made(pipeline: &Pipeline, body: &Value) -> (Value, Client) {
    let answer = pipeline.admin().post(KEYS, body).await.unwrap();
    assert_eq!(answer.status, 201, "{}", answer.text());
    let client = pipeline.client().with_key(answer.json()["key"].as_str().unwrap());
    eventually("the key works", async || equal(client.get("/v1/features/x").await.unwrap().status, 200)).await;
    (answer.json(), client)
}

/// Every refusal has the shape that SDKs read, and says when to come back.
fn assert_limited(answer: &Answer, policy: &str) {
    assert_eq!(answer.status, 429, "{}", answer.text());
    let body = answer.json();
    assert_eq!(
        (&body["code"], &body["error"]),
        (&json!("rate_limited"), &json!("Too many requests, please try again later."))
    );
    assert!(body["message"].as_str().unwrap().contains("Retry-After") && body["request_id"].is_string());
    assert_eq!(answer.header("ratelimit-policy"), Some(policy));
    assert_eq!(answer.header("ratelimit-limit"), policy.split(';').next());
    assert_eq!(answer.header("ratelimit-remaining"), Some("0"));
    let retry_after: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!(retry_after >= 2);
    assert_eq!(answer.header("ratelimit-reset"), answer.header("retry-after"));
    let exposed = answer.header("access-control-expose-headers").unwrap();
    assert!(exposed.contains("retry-after") && exposed.contains("ratelimit-reset"));
}

#[tokio::test]
async fn a_key_with_limits_of_its_own_is_refused_beyond_them_and_another_is_not() {
    let pipeline = Pipeline::start().await;
    let limits = json!({"events_per_second": 1, "burst_seconds": 20});
    let (key, small) = made(&pipeline, &json!({"name": "small", "role": "client", "limits": limits})).await;
    assert_eq!(key["limits"], json!({"events_per_second": 1, "bytes_per_second": null, "burst_seconds": 20}));
    let (_, other) = made(&pipeline, &json!({"name": "other", "role": "client"})).await;

    // The key itself was tried with reads, which count too; then one batch may go beyond what is left.
    assert_eq!(small.post("/v1/batch", &batch(3_600)).await.unwrap().status, 200);
    for (path, body) in [
        ("/v1/track", json!({"user_id": "u", "event": "e"})),
        ("/v1/batch", batch(1)),
        ("/v1/identify", json!({"user_id": "u"})),
    ] {
        assert_limited(&small.post(path, &body).await.unwrap(), "20;w=20");
    }
    assert_limited(&small.get("/v1/campaigns?user_id=u").await.unwrap(), "20;w=20");
    assert_eq!(other.post("/v1/batch", &batch(3_600)).await.unwrap().status, 200);
    assert_eq!(pipeline.client().post("/v1/track", &json!({"user_id": "u", "event": "e"})).await.unwrap().status, 200);

    pipeline.drained().await;
    let stored = |source: &str| format!("SELECT count(*) FROM events WHERE source = '{source}'");
    assert_eq!(pipeline.database.number(&stored("small")).await, 3_600, "what was refused is not stored");
    assert_eq!(pipeline.database.number(&stored("other")).await, 3_600);
}

#[tokio::test]
async fn a_key_in_the_body_is_limited_like_one_in_a_header() {
    let pipeline =
        Setup::default().workers(0).set("KEY_EVENTS_PER_SECOND", "1").set("BURST_SECONDS", "20").start().await;
    let keyless = Client::new(pipeline.ingests[0].address);
    let with_key = |mut body: Value| {
        body["writeKey"] = json!(tests::client::WRITE_KEY);
        body
    };
    assert_eq!(keyless.post("/v1/batch", &with_key(batch(3_600))).await.unwrap().status, 200);
    assert_limited(&keyless.post("/v1/batch", &with_key(batch(1))).await.unwrap(), "20;w=20");
    assert_limited(&pipeline.client().post("/v1/batch", &batch(1)).await.unwrap(), "20;w=20");
    assert_eq!(pipeline.admin().post("/v1/batch", &batch(1)).await.unwrap().status, 200, "another key");
}

#[tokio::test]
async fn bytes_are_limited_apart_from_events_and_changed_limits_count_soon() {
    let pipeline = Setup::default().workers(0).start().await;
    let limits = json!({"events_per_second": 0, "bytes_per_second": 100, "burst_seconds": 10});
    let (key, client) = made(&pipeline, &json!({"name": "app", "role": "client", "limits": limits})).await;
    let large = json!({"user_id": "u", "event": "e", "properties": {"text": "x".repeat(400_000)}});
    assert_eq!(client.post("/v1/track", &large).await.unwrap().status, 200);
    assert_limited(&client.post("/v1/track", &json!({"user_id": "u", "event": "e"})).await.unwrap(), "1000;w=10");

    let path = format!("{KEYS}/{}", key["id"].as_str().unwrap());
    let changed = pipeline.admin().put(&path, &json!({"limits": {"bytes_per_second": 0}})).await.unwrap();
    assert_eq!(changed.status, 200, "{}", changed.text());
    assert_eq!(
        changed.json()["limits"],
        json!({"events_per_second": null, "bytes_per_second": 0, "burst_seconds": null})
    );
    let track = async || client.post("/v1/track", &json!({"user_id": "u", "event": "e"})).await.unwrap().status;
    eventually("the new limit is known", async || equal(track().await, 200)).await;
    let bad = json!({"limits": {"events_per_second": -1, "bytes_per_second": "many", "burst_seconds": 0}});
    let refused = pipeline.admin().put(&path, &bad).await.unwrap();
    assert_eq!(refused.status, 400);
    let named: Vec<_> = refused.json()["details"].as_array().unwrap().iter().map(|d| d["path"].clone()).collect();
    assert_eq!(named, ["limits.events_per_second", "limits.bytes_per_second", "limits.burst_seconds"]);
}

#[tokio::test]
async fn an_address_is_limited_before_its_key_is_looked_at_and_probes_are_free() {
    let pipeline =
        Setup::default().workers(0).set("ADDRESS_REQUESTS_PER_SECOND", "1").set("BURST_SECONDS", "3600").start().await;
    let stranger = pipeline.client().with_key("nobody's");
    let track = json!({"user_id": "u", "event": "e"});
    // Before the table of keys was read once, a key cannot be told to be nobody's.
    eventually("keys are known", async || equal(stranger.post("/v1/track", &track).await.unwrap().status, 401)).await;
    let mut seen = Vec::new();
    // A little came back while the burst was used up: at most a few.
    while seen.len() < 3_700 && seen.last() != Some(&429) {
        seen.push(stranger.post("/v1/track", &track).await.unwrap().status);
    }
    assert!(seen.len() > 3_500 && seen[..3_500].iter().all(|status| *status == 401), "{}", seen.len());
    eventually("the address has nothing left", async || {
        let refused = pipeline.client().post("/v1/track", &track).await.unwrap();
        equal(refused.status, 429)?;
        assert_limited(&refused, "3600;w=3600");
        Ok(())
    })
    .await;
    for probe in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(pipeline.client().get(probe).await.unwrap().status, 200);
    }
}

#[tokio::test]
async fn behind_a_trusted_proxy_each_client_has_its_own_share() {
    let pipeline = Setup::default()
        .workers(0)
        .set("ADDRESS_REQUESTS_PER_SECOND", "1")
        .set("BURST_SECONDS", "50")
        .set("TRUSTED_PROXIES", "127.0.0.0/8, ::1")
        .start()
        .await;
    let proxy = pipeline.client();
    let body = json!({"user_id": "u", "event": "e"}).to_string();
    let track = async |client: &str| {
        let headers = [("x-forwarded-for", client)];
        proxy.send("POST", "/v1/track", &headers, body.as_bytes()).await.unwrap().status
    };
    eventually("one client has used up its share", async || equal(track("198.51.100.1").await, 429)).await;
    assert_eq!(track("198.51.100.2").await, 200);
    eventually("what a client writes itself does not help", async || {
        equal(track("203.0.113.7, 198.51.100.1").await, 429)
    })
    .await;
}

/// A request whose body never ends, holding `bytes` of the budget.
async fn hold(pipeline: &Pipeline, path: &str, bytes: usize) -> Connection {
    let mut connection = Connection::open(pipeline.ingests[0].address).await.unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nx-api-key: {}\r\ncontent-length: {bytes}\r\n\r\n{{",
        tests::client::WRITE_KEY
    );
    connection.send(head.as_bytes()).await.unwrap();
    connection
}

#[tokio::test]
async fn overload_sheds_imports_first_then_events_and_identifies_last() {
    let pipeline = Setup::default()
        .workers(0)
        .set("MAX_BODY_BYTES", "1048576")
        .set("MAX_IN_FLIGHT_BYTES", "4194304")
        .start()
        .await;
    let status = async |path: &str, body: &Value| {
        let answer = pipeline.client().post(path, body).await.unwrap();
        if answer.status == 503 {
            assert_eq!(answer.json()["code"], "overloaded");
            assert!(answer.header("retry-after").unwrap().parse::<u64>().unwrap() >= 2);
        }
        answer.status
    };
    let lanes = async || {
        [
            status("/v1/import", &batch(1)).await,
            status("/v1/track", &json!({"user_id": "u", "event": "e"})).await,
            status("/v1/batch", &batch(1)).await,
            status("/v1/identify", &json!({"user_id": "u"})).await,
        ]
    };
    assert_eq!(lanes().await, [200; 4]);
    let mut held = Vec::new();
    for _ in 0..2 {
        held.push(hold(&pipeline, "/v1/batch", 1 << 20).await);
    }
    eventually("half of the budget is used", async || equal(lanes().await, [503, 200, 200, 200])).await;
    held.push(hold(&pipeline, "/v1/batch", 1 << 20).await);
    held.push(hold(&pipeline, "/v1/batch", 610_000).await);
    eventually("nine tenths are used", async || equal(lanes().await, [503, 503, 503, 200])).await;
    drop(held);
    eventually("everything is taken again", async || equal(lanes().await, [200; 4])).await;
}
