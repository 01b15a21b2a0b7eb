//! Services go away and come back, programs are killed and stopped, and nobody has to do anything about it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tests::client::WRITE_KEY;
use tests::eventually::{eventually, within};
use tests::http1::{KeptAlive, request};
use tests::load::{Control, Load, Log};
use tests::metrics::Metrics;
use tests::oracle::{campaigns, verdict};
use tests::pipeline::{Pipeline, Setup};
use tests::program::DRAIN;
use tests::services::{PrivateNats, PrivatePostgres};

const PUBLISH_DEADLINE: Duration = Duration::from_secs(1);

fn with_campaigns() -> Setup {
    campaigns().into_iter().fold(Setup::default(), Setup::campaign)
}

fn event(id: &str) -> serde_json::Value {
    json!({"user_id": "u", "event": "cart_viewed", "messageId": id, "properties": {"total": 70}})
}

fn start(load: &Load, pipeline: &Pipeline) -> (Control, tokio::task::JoinHandle<Log>) {
    let (load, control) = (load.clone(), Control::default());
    let targets: Vec<SocketAddr> = pipeline.ingests.iter().map(|ingest| ingest.address).collect();
    let running = tokio::spawn({
        let control = control.clone();
        async move { load.run(&targets, &control).await }
    });
    (control, running)
}

#[tokio::test]
async fn without_nats_ingest_answers_503_in_time_and_recovers_by_itself() {
    let nats = PrivateNats::start();
    let deadline = PUBLISH_DEADLINE.as_secs().to_string();
    let mut pipeline = Setup::default().nats(&nats).set("PUBLISH_DEADLINE_SECONDS", &deadline).start().await;
    let client = pipeline.client();
    client.accepted("/v1/track", &event("before")).await;

    nats.kill();
    let asked = Instant::now();
    let answer = client.post("/v1/track", &event("during")).await.unwrap();
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(asked.elapsed() < PUBLISH_DEADLINE + Duration::from_secs(2), "it took {:?}", asked.elapsed());
    let seconds: u32 = answer.header("retry-after").expect("Retry-After").parse().expect("whole seconds");
    assert!(seconds >= 2);
    pipeline.ingests[0].unready().await;
    assert_eq!(pipeline.ingests[0].client().get("/livez").await.unwrap().status, 200);

    nats.restart();
    within(Duration::from_secs(5), "events are accepted again", async || {
        let answer = client.post("/v1/track", &event("after")).await.map_err(|e| e.to_string())?;
        if answer.status == 200 { Ok(()) } else { Err(answer.text()) }
    })
    .await;
    pipeline.ready().await;
    pipeline.drained().await;
    let kept = "SELECT count(*) FROM events WHERE message_id IN ('before', 'after')";
    assert_eq!(pipeline.database.number(kept).await, 2);
}

#[tokio::test]
async fn nats_killed_again_and_again_under_load_loses_and_doubles_nothing() {
    let nats = PrivateNats::start();
    let pipeline = with_campaigns().nats(&nats).ingests(2).workers(2).start().await;
    let (control, running) = start(&Load { events: 12_000, users: 200, ..Load::default() }, &pipeline);
    for step in 1..=3 {
        control.allow(step * 2_500 + 2_500);
        control.reaches(step * 2_500).await;
        nats.kill();
        nats.restart();
    }
    control.allow(u64::MAX);
    let log = running.await.unwrap();
    assert_eq!(log.unknown.len(), 0);
    verdict(&pipeline, &log).await.assert_clean(&log);
}

#[tokio::test]
async fn nats_silent_beyond_the_deadline_under_load_loses_and_doubles_nothing() {
    let nats = PrivateNats::start();
    let deadline = PUBLISH_DEADLINE.as_secs().to_string();
    let setup = with_campaigns().nats(&nats).set("PUBLISH_DEADLINE_SECONDS", &deadline);
    let pipeline = setup.start().await;
    let (control, running) = start(&Load { events: 6_000, users: 100, ..Load::default() }, &pipeline);
    control.allow(3_000);
    control.reaches(2_000).await;
    // What was published just now may still land after everybody was told 503.
    nats.pause();
    control.allow(u64::MAX);
    let asked = Instant::now();
    let answer = pipeline.client().post("/v1/track", &json!({"user_id": "u", "event": "e"})).await.unwrap();
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(asked.elapsed() < PUBLISH_DEADLINE + Duration::from_secs(2), "it took {:?}", asked.elapsed());
    nats.resume();
    let log = running.await.unwrap();
    assert!(log.repeats > 0, "no request was hit");
    pipeline.drained().await;
    // The one event above may have landed; it has no message id, and so is not among the rows that are compared.
    let mut found = tests::oracle::Found::of(&pipeline).await;
    let unnamed = pipeline.database.number("SELECT count(*) FROM events WHERE message_id IS NULL").await;
    found.books[0] -= unnamed;
    found.books[1] -= unnamed;
    tests::oracle::judge(&log, &found, 0).assert_clean(&log);
}

#[tokio::test]
async fn a_lock_held_on_the_tables_delays_and_loses_nothing() {
    let pipeline = with_campaigns().workers(2).start().await;
    let (control, running) = start(&Load { events: 6_000, users: 100, ..Load::default() }, &pipeline);
    control.reaches(2_000).await;
    let mut holder = pipeline.database.pool.begin().await.unwrap();
    sqlx::query("LOCK TABLE events, users, matches IN ACCESS EXCLUSIVE MODE").execute(&mut *holder).await.unwrap();
    let log = running.await.unwrap();
    let wait = "a worker waits for the lock, or has given up for now";
    eventually(wait, async || {
        let waiting =
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
        match pipeline.database.number(waiting).await {
            0 => Err("nobody waits".to_owned()),
            _ => Ok(()),
        }
    })
    .await;
    holder.rollback().await.unwrap();
    verdict(&pipeline, &log).await.assert_clean(&log);
}

#[tokio::test]
async fn a_schema_that_does_not_fit_halts_loudly_and_puts_nothing_aside() {
    let mut pipeline = Pipeline::start().await;
    sqlx::query("ALTER TABLE events RENAME COLUMN extra TO renamed").execute(&pipeline.database.pool).await.unwrap();
    pipeline.client().accepted("/v1/track", &event("m")).await;
    let said = pipeline.workers[0].unready_with("extra").await;
    assert!(said.contains("halted"), "{said}");
    assert_eq!(pipeline.database.number("SELECT count(*) FROM dead_letters").await, 0);
    sqlx::query("ALTER TABLE events RENAME COLUMN renamed TO extra").execute(&pipeline.database.pool).await.unwrap();
    pipeline.ready().await;
    pipeline.drained().await;
    assert_eq!(pipeline.rows().await, 1);
}

#[tokio::test]
async fn beyond_the_budget_requests_are_refused_at_once_import_first() {
    let nats = PrivateNats::start();
    let megabyte = (1 << 20).to_string();
    let setup = Setup::default()
        .nats(&nats)
        .set("MAX_BODY_BYTES", &megabyte)
        .set("MAX_IN_FLIGHT_BYTES", &(4 << 20).to_string())
        .set("PUBLISH_DEADLINE_SECONDS", "10");
    let pipeline = setup.start().await;
    nats.pause();
    // Each waits for the stream with its body and the lines made of it; together they are more than half of the budget.
    let filler = "x".repeat(700_000);
    let body = json!({"batch": [{"type": "track", "userId": "u", "event": "e", "properties": {"filler": filler}}]});
    let client = pipeline.client();
    let waiting: Vec<_> = (0..2)
        .map(|_| {
            let (client, body) = (client.clone(), body.clone());
            tokio::spawn(async move { client.post("/v1/batch", &body).await })
        })
        .collect();
    eventually("half of the budget is used", async || {
        let used = Metrics::of(&pipeline.ingests[0]).await.sum("ingest_in_flight_bytes", &[]);
        if used > 2_500_000.0 { Ok(()) } else { Err(used.to_string()) }
    })
    .await;
    let asked = Instant::now();
    let refused = client.clone().post("/v1/import", &body).await.unwrap();
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert_eq!(refused.json()["code"], "overloaded", "{}", refused.text());
    assert!(refused.header("retry-after").is_some_and(|seconds| seconds.parse::<u32>().unwrap() >= 2));
    assert!(asked.elapsed() < Duration::from_secs(2), "refusing took {:?}", asked.elapsed());
    nats.resume();
    for task in waiting {
        let answer = task.await.unwrap().unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
}

#[tokio::test]
async fn without_postgres_ingest_goes_on_and_the_worker_catches_up() {
    let postgres = PrivatePostgres::start();
    let setup = with_campaigns().set("MATCH_DEADLINE_MILLISECONDS", "500").postgres(&postgres);
    let mut pipeline = setup.start().await;
    let client = pipeline.client();
    let answer = client.accepted("/v1/track", &event("before")).await;
    assert_eq!(answer["matched"].as_array().unwrap().len(), 1, "{answer}");
    pipeline.drained().await;

    postgres.kill();
    let load = Load { events: 2_000, users: 50, ..Load::default() };
    let log = load.run(&[pipeline.ingests[0].address], &Control::default()).await;
    assert_eq!(log.acknowledged.len(), 2_000);
    // Whether the user opted out cannot be known, so nothing is shown.
    let asked = Instant::now();
    let answer = client.accepted("/v1/track", &event("during")).await;
    assert!(asked.elapsed() < Duration::from_secs(2), "it took {:?}", asked.elapsed());
    assert_eq!(answer["matched_complete"], false, "{answer}");
    assert!(answer["matched"].is_array(), "{answer}");
    pipeline.workers[0].unready().await;

    postgres.restart();
    pipeline.ready().await;
    // The two single events are not the judge's.
    pipeline.drained().await;
    let mut found = tests::oracle::Found::of(&pipeline).await;
    found.events.retain(|stored| !["before", "during"].contains(&stored.message_id.as_str()));
    found.books[0] -= 2;
    found.books[1] -= 2;
    tests::oracle::judge(&log, &found, 0).assert_clean(&log);
}

#[tokio::test]
async fn postgres_killed_again_and_again_under_load_loses_and_doubles_nothing() {
    let postgres = PrivatePostgres::start();
    let pipeline = with_campaigns().postgres(&postgres).workers(2).start().await;
    let (control, running) = start(&Load { events: 12_000, users: 200, ..Load::default() }, &pipeline);
    for step in 1..=2 {
        control.allow(step * 4_000 + 4_000);
        control.reaches(step * 4_000).await;
        postgres.kill();
        postgres.restart();
    }
    control.allow(u64::MAX);
    let log = running.await.unwrap();
    verdict(&pipeline, &log).await.assert_clean(&log);
}

#[tokio::test]
async fn connections_to_postgres_cut_under_load_lose_and_double_nothing() {
    let pipeline = with_campaigns().workers(2).start().await;
    let (control, running) = start(&Load { events: 12_000, users: 200, ..Load::default() }, &pipeline);
    for step in 1..=5 {
        control.allow(step * 2_000 + 2_000);
        control.reaches(step * 2_000).await;
        let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                    WHERE datname = current_database() AND pid <> pg_backend_pid()";
        pipeline.database.number(cut).await;
    }
    control.allow(u64::MAX);
    let log = running.await.unwrap();
    verdict(&pipeline, &log).await.assert_clean(&log);
}

#[tokio::test]
async fn ingest_killed_again_and_again_under_load_loses_and_doubles_nothing() {
    let mut pipeline = with_campaigns().ingests(2).start().await;
    let (control, running) = start(&Load { events: 12_000, users: 200, connections: 8, ..Load::default() }, &pipeline);
    for step in 1..=4u64 {
        control.allow(step * 2_000 + 2_000);
        control.reaches(step * 2_000).await;
        let victim = usize::from(step % 2 == 0);
        pipeline.ingests[victim].kill();
        pipeline.ingests[victim].start_again();
        pipeline.ingests[victim].ready().await;
    }
    control.allow(u64::MAX);
    let log = running.await.unwrap();
    assert!(log.repeats > 0, "no request was hit");
    verdict(&pipeline, &log).await.assert_clean(&log);
}

#[tokio::test]
async fn everything_killed_at_once_loses_nothing_that_was_acknowledged() {
    let nats = PrivateNats::start();
    let mut pipeline = with_campaigns().nats(&nats).workers(2).start().await;
    let (control, running) = start(&Load { events: 8_000, users: 100, ..Load::default() }, &pipeline);
    control.allow(5_000);
    control.reaches(4_000).await;
    for program in pipeline.ingests.iter_mut().chain(&mut pipeline.workers) {
        program.kill();
    }
    nats.kill();
    nats.restart();
    for program in pipeline.ingests.iter_mut().chain(&mut pipeline.workers) {
        program.start_again();
    }
    control.allow(u64::MAX);
    let log = running.await.unwrap();
    verdict(&pipeline, &log).await.assert_clean(&log);
}

/// Sends tracks until `unready`, as a client behind a load balancer does: over one connection, and over a new one when an answer
/// says that its connection is closed. Returns the ids of answered ones.
async fn track_until(address: SocketAddr, name: usize, unready: Arc<AtomicBool>) -> Vec<String> {
    let mut connection = KeptAlive::new(address);
    let mut answered = Vec::new();
    while !unready.load(Ordering::SeqCst) {
        let id = format!("{name}-{}", answered.len());
        let body = event(&id).to_string();
        let bytes = request("POST", "/v1/track", &[("x-api-key", WRITE_KEY)], body.as_bytes());
        let answer = connection.exchange(&bytes).await.unwrap_or_else(|e| panic!("request {id} was cut: {e}"));
        assert_eq!(answer.status, 200, "{}", answer.text());
        answered.push(id);
    }
    answered
}

#[tokio::test]
async fn sigterm_under_load_cuts_no_request() {
    let mut pipeline = Setup::default().set("DRAIN_SECONDS", "2").start().await;
    let address = pipeline.ingests[0].address;
    let unready = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..16).map(|n| tokio::spawn(track_until(address, n, Arc::clone(&unready)))).collect();
    eventually("events flow", async || {
        let last = pipeline.stream.state().await.last_seq;
        if last > 50 { Ok(()) } else { Err(last.to_string()) }
    })
    .await;

    pipeline.ingests[0].terminate();
    let said = pipeline.ingests[0].unready().await;
    unready.store(true, Ordering::SeqCst);
    let mut answered = Vec::new();
    for client in clients {
        answered.extend(client.await.expect("a request was cut"));
    }
    assert!(said.contains("drain") || said.contains("stop"), "{said}");
    let status = pipeline.ingests[0].end().await;
    assert!(status.success(), "{status}");
    pipeline.drained().await;
    let mut stored: Vec<String> =
        sqlx::query_scalar("SELECT message_id FROM events").fetch_all(&pipeline.database.pool).await.unwrap();
    stored.sort();
    answered.sort();
    assert_eq!(stored, answered);
}

#[tokio::test]
async fn while_ingest_drains_each_answer_says_that_its_connection_closes() {
    let pipeline = Setup::default().set("DRAIN_SECONDS", "2").start().await;
    let client = pipeline.client();
    let answer = client.post("/v1/track", &event("before")).await.unwrap();
    assert_eq!((answer.status, answer.closes()), (200, false));
    pipeline.ingests[0].terminate();
    pipeline.ingests[0].unready_with("stopping").await;
    let answer = client.post("/v1/track", &event("while")).await.unwrap();
    assert_eq!((answer.status, answer.closes()), (200, true));
}

#[tokio::test]
async fn a_worker_drains_on_sigterm_and_hands_its_partitions_over() {
    let mut pipeline = Setup::default().workers(1).start().await;
    pipeline.client().accepted("/v1/track", &event("m")).await;
    let asked = Instant::now();
    let status = pipeline.workers[0].stop().await;
    assert!(status.success(), "{status}");
    assert!(asked.elapsed() < DRAIN);
    let owned = "SELECT count(*) FROM partitions WHERE owner IS NOT NULL";
    assert_eq!(pipeline.database.number(owned).await, 0);
}

#[tokio::test]
async fn programs_wait_for_services_that_are_not_there_yet() {
    let nats = PrivateNats::start();
    let mut pipeline = Setup::default().nats(&nats).workers(0).start().await;
    nats.kill();
    pipeline.ingests[0].kill();
    pipeline.ingests[0].start_again();
    pipeline.add_worker();
    pipeline.ingests[0].unready().await;
    pipeline.workers[0].unready().await;
    nats.restart();
    pipeline.ready().await;
    pipeline.client().accepted("/v1/track", &event("m")).await;
    pipeline.drained().await;
    assert_eq!(pipeline.rows().await, 1);
}

#[tokio::test]
async fn ingest_starts_and_accepts_while_postgres_is_away() {
    let postgres = PrivatePostgres::start();
    let mut pipeline = Setup::default().postgres(&postgres).start().await;
    pipeline.ingests[0].kill();
    pipeline.workers[0].kill();
    postgres.kill();
    pipeline.ingests[0].start_again();
    pipeline.ingests[0].ready().await;
    pipeline.client().accepted("/v1/track", &event("m")).await;
    pipeline.workers[0].start_again();
    pipeline.workers[0].unready().await;
    postgres.restart();
    pipeline.ready().await;
    pipeline.drained().await;
    assert_eq!(pipeline.rows().await, 1);
}

#[tokio::test]
async fn a_nats_that_does_not_sync_each_write_is_refused_by_name() {
    let nats = PrivateNats::start_with(&[("sync_interval: always", "sync_interval: \"2m\"")]);
    let pipeline = Setup::default().nats(&nats).without_waiting().start().await;
    let said = pipeline.ingests[0].unready_with("sync_interval").await;
    assert!(said.contains("always"), "{said}");
    let answer = pipeline.client().post("/v1/track", &event("m")).await.unwrap();
    assert_eq!(answer.status, 503, "{}", answer.text());
    pipeline.workers[0].unready_with("sync_interval").await;

    let override_ = Setup::default().nats(&nats).set("ACCEPT_DATA_LOSS_ON_POWER_CUT", "true").start().await;
    override_.client().accepted("/v1/track", &event("m")).await;
}
