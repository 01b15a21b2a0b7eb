//! The live tail: what any ingest process accepts and rejects, as server-sent events.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tests::client::{ADMIN_KEY, Client, WRITE_KEY};
use tests::eventually::{PATIENCE, eventually};
use tests::pipeline::{Pipeline, Setup};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Somebody who listens.
struct Listener {
    lines: Lines<BufReader<TcpStream>>,
}

impl Listener {
    async fn open(address: SocketAddr, query: &str) -> Self {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request =
            format!("GET /v1/admin/events/stream{query} HTTP/1.1\r\nhost: x\r\nx-api-key: {ADMIN_KEY}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut listener = Self { lines: BufReader::new(stream).lines() };
        assert_eq!(listener.line().await.as_deref(), Some("HTTP/1.1 200 OK"));
        while listener.line().await.expect("a head") != "event: listening" {}
        listener
    }

    async fn line(&mut self) -> Option<String> {
        timeout(PATIENCE, self.lines.next_line()).await.expect("a line in time").unwrap()
    }

    /// The next entry; `None` at the end of the stream.
    async fn next(&mut self) -> Option<(String, Value)> {
        let mut name = String::new();
        loop {
            let line = self.line().await?;
            if let Some(event) = line.strip_prefix("event: ") {
                name = event.to_owned();
            } else if let Some(data) = line.strip_prefix("data: ").filter(|_| !name.is_empty()) {
                return Some((name, serde_json::from_str(data).unwrap()));
            }
        }
    }
}

/// Until every process knows the listener: sends an event that it waits for, again and again.
async fn known(listener: &mut Listener, clients: &[Client], probe: &Value) {
    for (number, client) in clients.iter().enumerate() {
        let mut probe = probe.clone();
        probe["messageId"] = json!(format!("probe-{number}"));
        eventually("a process knows the listener", async || {
            client.accepted("/v1/track", &probe).await;
            match timeout(std::time::Duration::from_millis(200), listener.next()).await {
                Ok(Some((_, entry))) if entry["message_id"] == probe["messageId"] => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
    }
}

/// Entries that are no probes.
async fn after_probes(listener: &mut Listener) -> (String, Value) {
    loop {
        let (name, entry) = listener.next().await.expect("an entry");
        if !entry["message_id"].as_str().unwrap_or_default().starts_with("probe") {
            return (name, entry);
        }
    }
}

#[tokio::test]
async fn what_any_process_accepts_and_rejects_is_shown_with_reasons() {
    let pipeline = Setup::default().ingests(2).start().await;
    let clients: Vec<Client> = pipeline.ingests.iter().map(|i| i.client().with_key(WRITE_KEY)).collect();
    let mut listener = Listener::open(pipeline.ingests[0].address, "?user_id=ada").await;
    known(&mut listener, &clients, &json!({"user_id": "ada", "event": "probe"})).await;

    // Through the other process, beside what the filter leaves out.
    let batch = json!({"batch": [
        {"type": "track", "userId": "bob", "event": "opened", "messageId": "m0"},
        {"type": "track", "userId": "ada", "event": "opened", "messageId": "m1", "properties": {"n": 12345678901234567890_u64}},
        {"type": "track", "userId": "ada", "messageId": "m2"},
        {"type": "identify", "userId": "ada", "messageId": "m3", "traits": {"plan": "pro"}},
    ]});
    clients[1].accepted("/v1/batch", &batch).await;
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(after_probes(&mut listener).await);
    }
    seen.sort_by_key(|(_, entry)| entry["message_id"].to_string());
    let (name, entry) = &seen[0];
    assert_eq!((name.as_str(), &entry["outcome"], &entry["event"]), ("accepted", &json!("accepted"), &json!("opened")));
    assert_eq!(
        (&entry["properties"]["n"], &entry["source"]),
        (&json!(12_345_678_901_234_567_890_u64), &json!("client-1"))
    );
    let (name, entry) = &seen[1];
    assert_eq!(
        (name.as_str(), &entry["code"], &entry["message_id"]),
        ("rejected", &json!("missing_field"), &json!("m2")),
        "{entry}"
    );
    assert!(entry["message"].as_str().unwrap().contains("event") && entry["raw"].as_str().unwrap().contains("m2"));
    assert_eq!((&seen[2].1["type"], &seen[2].1["traits"]["plan"]), (&json!("identify"), &json!("pro")));
}

#[tokio::test]
async fn filters_narrow_by_event_source_and_outcome_and_refused_requests_are_shown() {
    let pipeline = Setup::default().set("CLIENT_API_KEYS", "web:k1,app:k2").start().await;
    let (web, app) = (pipeline.client().with_key("k1"), pipeline.client().with_key("k2"));
    let address = pipeline.ingests[0].address;
    let mut accepted = Listener::open(address, "?event=opened&source=web&outcome=accepted").await;
    known(&mut accepted, std::slice::from_ref(&web), &json!({"user_id": "u", "event": "opened"})).await;
    let mut rejected = Listener::open(address, "?outcome=rejected").await;
    eventually("the second listener is known", async || {
        let refused = web.post("/v1/track", &json!({"messageId": "probe"})).await.unwrap();
        assert_eq!(refused.status, 400);
        timeout(std::time::Duration::from_millis(200), rejected.next()).await.map_err(|e| e.to_string())
    })
    .await;

    for (client, event) in [(&app, "opened"), (&web, "closed"), (&web, "opened")] {
        client.accepted("/v1/track", &json!({"user_id": "u", "event": event, "messageId": "m1"})).await;
    }
    let (_, entry) = after_probes(&mut accepted).await;
    assert_eq!((&entry["source"], &entry["event"]), (&json!("web"), &json!("opened")));

    assert_eq!(web.send("POST", "/v1/track", &[], b"{").await.unwrap().status, 400);
    let (_, entry) = after_probes(&mut rejected).await;
    assert_eq!(entry["code"], "invalid_json");
    assert_eq!(pipeline.client().with_key("nobody's").post("/v1/track", &json!({})).await.unwrap().status, 401);
    let (_, entry) = after_probes(&mut rejected).await;
    assert_eq!((&entry["code"], entry.get("source")), (&json!("unauthorized"), None));
}

#[tokio::test]
async fn a_flood_is_sampled_and_costs_no_event() {
    let pipeline = Pipeline::start().await;
    let client = pipeline.client();
    let mut listener = Listener::open(pipeline.ingests[0].address, "").await;
    known(&mut listener, std::slice::from_ref(&client), &json!({"user_id": "u", "event": "probe"})).await;
    let batch = |round: usize| {
        let event = |n: usize| json!({"type": "track", "userId": format!("u{n}"), "event": "e", "messageId": format!("{round}-{n}")});
        json!({"batch": (0..500).map(event).collect::<Vec<_>>()})
    };
    for round in 0..4 {
        client.accepted("/v1/batch", &batch(round)).await;
    }
    // What was skipped is said with the first entry after it.
    let mut round = 4;
    eventually("some entries were skipped", async || {
        client.accepted("/v1/batch", &batch(round)).await;
        round += 1;
        let (_, entry) = listener.next().await.expect("an entry");
        if entry["skipped"].as_u64().is_some_and(|skipped| skipped > 0) { Ok(()) } else { Err(entry.to_string()) }
    })
    .await;
    pipeline.drained().await;
    let rows = "SELECT count(*) FROM events WHERE event = 'e'";
    assert_eq!(pipeline.database.number(rows).await, i64::try_from(round * 500).unwrap());
}

#[tokio::test]
async fn it_is_for_admins_and_a_stopping_process_lets_go_of_its_listeners() {
    let mut pipeline = Setup::default().workers(0).start().await;
    for client in [pipeline.client(), pipeline.client().with_key("nobody's")] {
        assert!([401, 403].contains(&client.get("/v1/admin/events/stream").await.unwrap().status));
    }
    let bad = pipeline.admin().get("/v1/admin/events/stream?outcome=both").await.unwrap();
    assert_eq!((bad.status, &bad.json()["code"]), (400, &json!("invalid_parameter")));
    let mut listener = Listener::open(pipeline.ingests[0].address, "").await;
    pipeline.ingests[0].terminate();
    while listener.next().await.is_some() {}
    assert!(pipeline.ingests[0].stop().await.success());
}
