//! Matches as server-sent events: at once, resumed, woken by a notice or without one, and only for whom they are.

use serde_json::json;
use tests::client::WRITE_KEY;
use tests::event_stream::{Event, EventStream};
use tests::eventually::{equal, eventually};
use tests::hostile::raise_open_files;
use tests::matching::campaign;
use tests::metrics::Metrics;
use tests::pipeline::{Pipeline, Setup};
use tests::program::Program;
use tests::witness::memory_bytes;
use tokio::task::JoinSet;

const KEY: [(&str, &str); 1] = [("x-api-key", WRITE_KEY)];

fn setup() -> Setup {
    Setup::default().campaign(campaign("c", json!({}))).set("MATCH_HEARTBEAT_SECONDS", "1")
}

async fn listen(ingest: &Program, query: &str) -> EventStream {
    EventStream::open(ingest.address, &format!("/v1/matches/stream?{query}"), &KEY).await
}

/// Sends a track on `opened`; the id of the match that comes of it.
async fn track(pipeline: &Pipeline, user: &str, id: &str) -> String {
    let event = json!({"user_id": user, "event": "opened", "messageId": id});
    let reply = pipeline.client().accepted("/v1/track", &event).await;
    format!("{}.c", reply["event"]["id"].as_str().unwrap())
}

async fn next(stream: &mut EventStream) -> Event {
    let event = stream.next().await.expect("the stream goes on");
    assert_eq!(event.name, "match");
    event
}

fn id(event: &Event) -> &str {
    event.data["id"].as_str().unwrap()
}

async fn open_streams(ingest: &Program) -> f64 {
    Metrics::of(ingest).await.sum("ingest_match_streams", &[])
}

async fn token(pipeline: &Pipeline, user: &str) -> String {
    let issued = pipeline.client().accepted("/v1/matches/token", &json!({"user_id": user})).await;
    issued["token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn matches_come_at_once_on_any_process_and_go_on_where_they_were_left() {
    // So that only notices can wake anybody.
    let pipeline = setup().ingests(2).set("MATCH_REREAD_SECONDS", "600").start().await;
    track(&pipeline, "ada", "m0").await;
    pipeline.drained().await;
    let mut ada = listen(&pipeline.ingests[1], "user_id=ada&device_id=phone").await;
    let waiting = next(&mut ada).await;
    let mut bob = listen(&pipeline.ingests[1], "user_id=bob").await;
    ada.quiet_for(1).await;
    assert_eq!(ada.retry, Some(2_000));
    let first = track(&pipeline, "ada", "m1").await;
    let event = next(&mut ada).await;
    assert_eq!((id(&event), event.id.is_some()), (first.as_str(), true));
    assert_eq!(event.data["campaign"]["config"], json!({"text": "c"}));
    let listed = pipeline.client().get("/v1/matches?user_id=ada&device_id=phone").await.unwrap().json();
    assert_eq!(listed["matches"], json!([waiting.data, event.data]), "the objects of the list");
    assert_eq!(listed["cursor"].as_str(), event.id.as_deref());
    bob.quiet_for(1).await;

    // Gone, and back with what a browser remembers; or with the cursor of a list.
    let last = ada.last_event_id.clone().unwrap();
    drop(ada);
    let second = track(&pipeline, "ada", "m2").await;
    pipeline.drained().await;
    let path = "/v1/matches/stream?user_id=ada&device_id=phone";
    let resumed = [KEY[0], ("last-event-id", last.as_str())];
    for (path, headers) in [(path.to_owned(), &resumed[..]), (format!("{path}&after={last}"), &KEY[..])] {
        let mut ada = EventStream::open(pipeline.ingests[0].address, &path, headers).await;
        assert_eq!(id(&next(&mut ada).await), second);
        ada.quiet_for(1).await;
    }
    // Without it: everything that is not acknowledged.
    let acknowledged = json!({"user_id": "ada", "ids": [first]});
    pipeline.client().accepted("/v1/matches/ack", &acknowledged).await;
    let mut ada = listen(&pipeline.ingests[0], "user_id=ada&device_id=phone").await;
    assert_eq!((id(&next(&mut ada).await), id(&next(&mut ada).await)), (id(&waiting), second.as_str()));
}

#[tokio::test]
async fn of_two_devices_that_listen_one_gets_a_match_and_the_other_when_the_claim_ends() {
    let pipeline = setup().set("MATCH_CLAIM_SECONDS", "2").start().await;
    let ingest = &pipeline.ingests[0];
    let (mut phone, mut tablet) =
        (listen(ingest, "user_id=ada&device_id=phone").await, listen(ingest, "user_id=ada&device_id=tablet").await);
    let first = track(&pipeline, "ada", "m1").await;
    let (got, mut other) = tokio::select! {
        event = phone.next() => (event, tablet),
        event = tablet.next() => (event, phone),
    };
    assert_eq!(id(&got.unwrap()), first);
    // The other one gets what comes later, without an id, as something before it is not settled.
    let second = track(&pipeline, "ada", "m2").await;
    let late = next(&mut other).await;
    if id(&late) == second {
        assert_eq!(late.id, None);
        let event = next(&mut other).await;
        assert_eq!(id(&event), first, "nobody has acknowledged it");
    } else {
        // The claim was over before the second came, on a slow machine.
        assert_eq!(id(&late), first);
    }
}

#[tokio::test]
async fn a_worker_that_dies_between_its_commit_and_the_notice_delays_a_match_and_loses_none() {
    let mut pipeline = setup().set("MATCH_REREAD_SECONDS", "2").start().await;
    let worker = &mut pipeline.workers[0];
    worker.set("FAILPOINTS", "worker::committed=die");
    worker.start_again();
    worker.ready().await;
    let mut ada = listen(&pipeline.ingests[0], "user_id=ada").await;
    ada.quiet_for(1).await;
    let match_id = track(&pipeline, "ada", "m1").await;
    let event = next(&mut ada).await;
    assert_eq!(id(&event), match_id);
    assert!(pipeline.workers[0].ended().is_some(), "nobody was there to give notice");
}

#[tokio::test]
async fn a_stream_outlives_nats_and_the_database_and_is_woken_again() {
    let (nats, postgres) = (tests::services::PrivateNats::start(), tests::services::PrivatePostgres::start());
    let mut pipeline = setup().nats(&nats).postgres(&postgres).set("MATCH_REREAD_SECONDS", "600").start().await;
    let mut ada = listen(&pipeline.ingests[0], "user_id=ada&device_id=phone").await;
    let first = track(&pipeline, "ada", "m1").await;
    assert_eq!(id(&next(&mut ada).await), first);
    nats.kill();
    postgres.kill();
    ada.quiet_for(2).await;
    nats.restart();
    postgres.restart();
    pipeline.ready().await;
    let second = track(&pipeline, "ada", "m2").await;
    assert_eq!(id(&next(&mut ada).await), second);
}

#[tokio::test]
async fn a_token_opens_one_users_stream_for_a_while_and_a_key_in_the_address_none() {
    let mut pipeline = setup().set("MATCH_TOKEN_SECONDS", "3").set("LOG_LEVEL", "debug").start().await;
    let client = pipeline.ingests[0].client();
    let status = async |query: &str| client.get(&format!("/v1/matches/stream?{query}")).await.unwrap().status;
    let mine = token(&pipeline, "ada").await;
    let mut ada =
        EventStream::open(pipeline.ingests[0].address, &format!("/v1/matches/stream?user_id=ada&token={mine}"), &[])
            .await;
    let match_id = track(&pipeline, "ada", "m1").await;
    assert_eq!(id(&next(&mut ada).await), match_id);

    let (until, rest) = mine.strip_prefix("1~").unwrap().split_once('~').unwrap();
    let later = format!("1~{}~{rest}", until.parse::<i64>().unwrap() + 60);
    let last = if mine.ends_with('A') { "E" } else { "A" };
    let tampered = format!("{}{last}", &mine[..mine.len() - 1]);
    let other_key = mine.replace("~client-1~", "~admin-1~");
    assert_ne!(other_key, mine);
    for (what, query) in [
        ("of another user", format!("user_id=bob&token={mine}")),
        ("of a visitor of that name", format!("anonymous_id=ada&token={mine}")),
        ("for longer", format!("user_id=ada&token={later}")),
        ("with another signature", format!("user_id=ada&token={tampered}")),
        ("of another key", format!("user_id=ada&token={other_key}")),
        ("of nobody", format!("token={mine}")),
        ("that is a key", format!("user_id=ada&token={WRITE_KEY}")),
        ("that is nothing", "user_id=ada&token=x".to_owned()),
        ("none", "user_id=ada".to_owned()),
    ] {
        assert_eq!(status(&query).await, 401, "a token {what}");
    }
    for name in ["key", "api_key", "writeKey", "x-api-key"] {
        let refused = client.get(&format!("/v1/matches/stream?user_id=ada&{name}={WRITE_KEY}")).await.unwrap();
        assert_eq!((refused.status, &refused.json()["code"]), (400, &json!("invalid_parameter")), "{name}");
    }
    assert_eq!(pipeline.client().get("/v1/matches/stream?user_id=anonymous").await.unwrap().status, 400);
    // A token is no key for anything else.
    assert_eq!(client.with_key(&mine).get("/v1/matches?user_id=ada").await.unwrap().status, 401);
    assert_eq!(client.get(&format!("/v1/matches?user_id=ada&token={mine}")).await.unwrap().status, 401);

    let path = format!("/v1/matches/stream?user_id=ada&token={mine}");
    eventually("it expires", async || equal(EventStream::status(pipeline.ingests[0].address, &path).await, 401)).await;
    ada.quiet_for(1).await;
    pipeline.ingests[0].stop().await;
    let log = pipeline.ingests[0].log();
    let signature = mine.rsplit('~').next().unwrap();
    assert!(log.contains("answered") && !log.contains(signature), "a token is in the log");
}

#[tokio::test]
async fn who_loses_the_key_loses_the_stream_and_the_token() {
    let pipeline = setup().ingests(2).set("MATCH_REREAD_SECONDS", "1").start().await;
    let made = pipeline.admin().post("/v1/admin/keys", &json!({"name": "app", "role": "client"})).await.unwrap().json();
    let (key, key_id) = (made["key"].as_str().unwrap(), made["id"].as_str().unwrap());
    let client = pipeline.ingests[0].client().with_key(key);
    eventually("the key is known", async || equal(client.get("/v1/matches?user_id=ada").await.unwrap().status, 200))
        .await;
    let issued = client.post("/v1/matches/token", &json!({"user_id": "ada"})).await.unwrap().json();
    // Of another process.
    let path = format!("/v1/matches/stream?user_id=ada&token={}", issued["token"].as_str().unwrap());
    let other = pipeline.ingests[1].client();
    eventually("the other process knows the key", async || {
        equal(other.with_key(key).get("/v1/matches?user_id=ada").await.unwrap().status, 200)
    })
    .await;
    let mut ada = EventStream::open(pipeline.ingests[1].address, &path, &[]).await;
    let answer = pipeline.admin().delete(&format!("/v1/admin/keys/{key_id}")).await.unwrap();
    assert!(answer.status < 300, "{}", answer.text());
    assert_eq!(ada.next().await, None, "the stream ends");
    assert_eq!(other.get(&path).await.unwrap().status, 401);
}

#[tokio::test]
async fn streams_are_counted_limited_and_end_with_the_process() {
    let mut pipeline = setup().set("MATCH_STREAMS", "2").set("DRAIN_SECONDS", "1").start().await;
    let ingest = &pipeline.ingests[0];
    let (mut first, second) = (listen(ingest, "user_id=ada").await, listen(ingest, "user_id=ada").await);
    assert_eq!(open_streams(ingest).await, 2.0);
    let refused = pipeline.client().get("/v1/matches/stream?user_id=bob").await.unwrap();
    assert_eq!((refused.status, &refused.json()["code"]), (503, &json!("overloaded")), "{}", refused.text());
    assert!(refused.header("retry-after").is_some());
    drop(second);
    eventually("the place is free again", async || equal(open_streams(ingest).await, 1.0)).await;
    drop(listen(ingest, "user_id=bob").await);

    let ended = tokio::join!(first.next(), pipeline.ingests[0].stop());
    assert_eq!(ended.0, None);
    assert!(ended.1.success(), "{}", ended.1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_thousand_idle_streams_cost_little() {
    const STREAMS: usize = 5_000;
    /// With the connection, in the development profile.
    const STREAM_BYTES: u64 = 40 << 10;
    raise_open_files(STREAMS as u64 + 1_000);
    let pipeline = Setup::default().campaign(campaign("c", json!({}))).set("MATCH_REREAD_SECONDS", "5").start().await;
    let ingest = &pipeline.ingests[0];
    let before = memory_bytes(ingest);
    let address = ingest.address;
    let mut opening = JoinSet::new();
    for group in 0..50 {
        opening.spawn(async move {
            let mut streams = Vec::new();
            for n in 0..STREAMS / 50 {
                let path = format!("/v1/matches/stream?user_id=user-{group}-{n}");
                streams.push(EventStream::open(address, &path, &KEY).await);
            }
            streams
        });
    }
    let streams: Vec<EventStream> = opening.join_all().await.into_iter().flatten().collect();
    assert_eq!(open_streams(ingest).await, STREAMS as f64);
    // One among them is woken as ever.
    let mut woken = listen(ingest, "user_id=ada").await;
    let match_id = track(&pipeline, "ada", "m1").await;
    assert_eq!(id(&next(&mut woken).await), match_id);
    drop(woken);
    if let (Some(before), Some(after)) = (before, memory_bytes(ingest)) {
        let each = after.saturating_sub(before) / STREAMS as u64;
        eprintln!("memory of an idle stream: {each} bytes");
        assert!(each <= STREAM_BYTES, "{each} bytes for each stream");
    }
    drop(streams);
    eventually("they are gone", async || equal(open_streams(&pipeline.ingests[0]).await, 0.0)).await;
}
