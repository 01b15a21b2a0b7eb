//! A service that stands still under full load: memory stays flat, every request is answered in time, and programs that are told to
//! stop do so. What is bounded by what stands in `deploy/BOUNDS.md`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use shared::domain::user_key::UserKey;
use tests::client::{ADMIN_KEY, WRITE_KEY};
use tests::eventually::{eventually, within};
use tests::http1::{Connection, KeptAlive, request};
use tests::metrics::Metrics;
use tests::pipeline::{Pipeline, Setup};
use tests::program::{DRAIN, Program, run};
use tests::services::{PrivateNats, PrivatePostgres};
use tests::witness::{assert_memory_below, memory_bytes};
use tokio::task::JoinHandle;

const CONNECTIONS: usize = 64;
const PUBLISH_DEADLINE: Duration = Duration::from_secs(2);
/// Beyond the deadline: reading, waiting for a processor, answering.
const SLACK: Duration = Duration::from_secs(3);
/// How long a service stands still. Requests come and go several times in it.
const STILL: Duration = Duration::from_secs(6);
const BUDGET_BYTES: u64 = 16 << 20;

/// What the clients of a [`Load`] saw.
#[derive(Debug, Default)]
struct Seen {
    answers: BTreeMap<u16, u64>,
    longest: Duration,
    /// Requests without an answer.
    cut: Vec<String>,
}

/// Clients that post batches until they are told to stop, without a pause until they are told to slow down.
struct Load {
    over: Arc<AtomicBool>,
    slow: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Seen>>,
}

impl Load {
    /// Each batch holds tracks, an identify with large traits, and an event that is refused, of ever new users.
    fn start(address: SocketAddr, filler_bytes: usize) -> Self {
        let (over, slow) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let client = |number| tokio::spawn(post(address, number, filler_bytes, Arc::clone(&over), Arc::clone(&slow)));
        Self { clients: (0..CONNECTIONS).map(client).collect(), over, slow }
    }

    async fn end(self) -> Seen {
        self.over.store(true, Ordering::SeqCst);
        let mut all = Seen::default();
        for client in self.clients {
            let seen = client.await.unwrap();
            seen.answers.into_iter().for_each(|(status, count)| *all.answers.entry(status).or_default() += count);
            all.longest = all.longest.max(seen.longest);
            all.cut.extend(seen.cut);
        }
        eprintln!("answers {:?}, the slowest after {:.1} s", all.answers, all.longest.as_secs_f64());
        all
    }
}

async fn post(
    address: SocketAddr,
    client: usize,
    filler_bytes: usize,
    over: Arc<AtomicBool>,
    slow: Arc<AtomicBool>,
) -> Seen {
    let mut connection = KeptAlive::new(address);
    let mut seen = Seen::default();
    let filler = "x".repeat(filler_bytes);
    for number in 0.. {
        if over.load(Ordering::SeqCst) {
            break;
        }
        let user = format!("u-{client}-{number}");
        let track = json!({"type": "track", "userId": user, "event": "e", "properties": {"n": number}});
        let identify = json!({"type": "identify", "userId": user, "traits": {"filler": filler}});
        let refused = json!({"type": "track", "userId": user});
        let body = json!({"batch": [track, track, track, identify, refused]}).to_string();
        let bytes = request("POST", "/v1/batch", &[("x-api-key", WRITE_KEY)], body.as_bytes());
        let started = Instant::now();
        match connection.exchange(&bytes).await {
            Ok(answer) => {
                seen.longest = seen.longest.max(started.elapsed());
                *seen.answers.entry(answer.status).or_default() += 1;
                // As a client would that heeds Retry-After, only sooner.
                let pause = if answer.status == 200 { u64::from(slow.load(Ordering::SeqCst)) * 400 } else { 100 };
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
            // A program that has stopped accepts nothing any more.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => break,
            Err(error) => seen.cut.push(error.to_string()),
        }
    }
    seen
}

/// Watches programs for a while: the memory of none may go on growing. Buffers that were not full before may fill up; whatever kept
/// what it is sent would take hundreds of megabytes in this time.
async fn stays_flat(programs: &[&Program]) {
    let mut halves = vec![[0_u64; 2]; programs.len()];
    let started = Instant::now();
    while started.elapsed() < STILL {
        let half = usize::from(started.elapsed() > STILL / 2);
        for (program, peaks) in programs.iter().zip(&mut halves) {
            peaks[half] = peaks[half].max(memory_bytes(program).unwrap_or(0));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for (program, [first, second]) in programs.iter().zip(halves) {
        eprintln!("{}: {} MiB in the first half, {} MiB in the second", program.name, first >> 20, second >> 20);
        assert!(
            second <= first + BUDGET_BYTES * 3 / 2,
            "{} goes on growing while a service stands still: from {first} to {second} bytes",
            program.name
        );
    }
}

/// Listeners of the live tail, which keep the queues to NATS full.
async fn listeners(pipeline: &Pipeline) -> Vec<Connection> {
    let mut open = Vec::new();
    for _ in 0..8 {
        let mut listener = Connection::open(pipeline.ingests[0].address).await.unwrap();
        listener.send(&request("GET", "/v1/admin/events/stream", &[("x-api-key", ADMIN_KEY)], b"")).await.unwrap();
        assert!(listener.has_something_to_read(Duration::from_secs(10)).await);
        open.push(listener);
    }
    open
}

fn setup() -> Setup {
    Setup::default()
        .set("PUBLISH_DEADLINE_SECONDS", &PUBLISH_DEADLINE.as_secs().to_string())
        .set("MAX_IN_FLIGHT_BYTES", &BUDGET_BYTES.to_string())
        .set("MAX_BODY_BYTES", &(BUDGET_BYTES / 4).to_string())
        .set("MATCH_DEADLINE_MILLISECONDS", "500")
}

async fn flowing(pipeline: &Pipeline) {
    let before = pipeline.stream.state().await.last_seq;
    eventually("events flow", async || {
        let last = pipeline.stream.state().await.last_seq;
        if last > before + 20 { Ok(()) } else { Err(last.to_string()) }
    })
    .await;
}

async fn assert_audit_is_clean(pipeline: &Pipeline) {
    pipeline.drained().await;
    let output = run("worker", &["audit"], &pipeline.environment_of("worker")).await;
    assert!(output.status.success(), "{}", output.text);
}

#[tokio::test]
async fn with_a_nats_that_stands_still_memory_is_flat_and_every_request_is_answered_in_time() {
    let nats = PrivateNats::start();
    let mut pipeline = setup().nats(&nats).start().await;
    let _listeners = listeners(&pipeline).await;
    let load = Load::start(pipeline.ingests[0].address, 40_000);
    flowing(&pipeline).await;
    nats.pause();
    stays_flat(&[&pipeline.ingests[0], &pipeline.workers[0]]).await;
    let seen = load.end().await;
    nats.resume();
    assert_eq!(seen.cut, [""; 0]);
    assert!(seen.longest < PUBLISH_DEADLINE + SLACK, "the slowest answer took {:?}", seen.longest);
    assert!(seen.answers.keys().all(|status| [200, 503].contains(status)), "{:?}", seen.answers);
    assert!(seen.answers[&503] > 0 && seen.answers[&200] > 0, "{:?}", seen.answers);
    // An allocator keeps up to two and a half times what was used at once.
    assert_memory_below(&pipeline.ingests[0], (64 << 20) + BUDGET_BYTES * 5 / 2, "a NATS that stands still");
    pipeline.ready().await;
    assert_audit_is_clean(&pipeline).await;
}

#[tokio::test]
async fn with_a_postgres_that_stands_still_memory_is_flat_and_events_are_taken_in_time() {
    let postgres = PrivatePostgres::start();
    let pipeline = setup().postgres(&postgres).workers(2).start().await;
    let load = Load::start(pipeline.ingests[0].address, 80_000);
    flowing(&pipeline).await;
    postgres.pause();
    // The overlay of what was identified fills up to its own bound of 64 MiB first.
    let filled = pipeline.stream.state().await.bytes + (90 << 20);
    within(Duration::from_secs(60), "more is accepted than any buffer may hold", async || {
        let bytes = pipeline.stream.state().await.bytes;
        if bytes > filled { Ok(()) } else { Err(format!("{bytes} of {filled} bytes")) }
    })
    .await;
    load.slow.store(true, Ordering::SeqCst);
    let programs = [&pipeline.ingests[0], &pipeline.workers[0], &pipeline.workers[1]];
    stays_flat(&programs).await;
    let seen = load.end().await;
    postgres.resume();
    assert_eq!(seen.cut, [""; 0]);
    assert!(seen.longest < PUBLISH_DEADLINE + SLACK, "the slowest answer took {:?}", seen.longest);
    assert!(seen.answers[&200] > 0 && seen.answers.keys().all(|s| [200, 503].contains(s)), "{:?}", seen.answers);
    for worker in &pipeline.workers {
        assert_memory_below(worker, 128 << 20, "a PostgreSQL that stands still");
    }
    assert_audit_is_clean(&pipeline).await;
}

#[tokio::test]
async fn a_stop_while_nats_stands_still_cuts_no_request_and_takes_less_than_30_seconds() {
    let nats = PrivateNats::start();
    let mut pipeline = setup().set("DRAIN_SECONDS", "2").nats(&nats).start().await;
    let load = Load::start(pipeline.ingests[0].address, 4_000);
    flowing(&pipeline).await;
    nats.pause();
    let asked = Instant::now();
    pipeline.ingests[0].terminate();
    pipeline.workers[0].terminate();
    // As behind a load balancer: no new requests for a process that says it is stopping.
    pipeline.ingests[0].unready_with("stopping").await;
    let seen = load.end().await;
    let ingest = pipeline.ingests[0].end().await;
    eprintln!("ingest ended after {:.1} s", asked.elapsed().as_secs_f64());
    let worker = pipeline.workers[0].end().await;
    eprintln!("the worker ended after {:.1} s", asked.elapsed().as_secs_f64());
    nats.resume();
    assert!(ingest.success() && worker.success(), "{ingest}, {worker}");
    assert!(asked.elapsed() < DRAIN);
    assert_eq!(seen.cut, [""; 0], "requests were cut");
    // What may have landed after its 503 is stored by the next worker, and the books balance.
    pipeline.workers[0].start_again();
    pipeline.workers[0].ready().await;
    assert_audit_is_clean(&pipeline).await;
}

#[tokio::test]
async fn a_stop_while_postgres_stands_still_cuts_no_request_and_takes_less_than_30_seconds() {
    let postgres = PrivatePostgres::start();
    let mut pipeline = setup().set("DRAIN_SECONDS", "2").postgres(&postgres).start().await;
    let load = Load::start(pipeline.ingests[0].address, 4_000);
    flowing(&pipeline).await;
    postgres.pause();
    flowing(&pipeline).await;
    let asked = Instant::now();
    pipeline.ingests[0].terminate();
    pipeline.workers[0].terminate();
    pipeline.ingests[0].unready_with("stopping").await;
    let seen = load.end().await;
    let ingest = pipeline.ingests[0].end().await;
    eprintln!("ingest ended after {:.1} s", asked.elapsed().as_secs_f64());
    // It cannot hand anything over, and says so.
    let worker = pipeline.workers[0].end().await;
    eprintln!("the worker ended after {:.1} s", asked.elapsed().as_secs_f64());
    postgres.resume();
    assert!(ingest.success() && !worker.success(), "{ingest}, {worker}");
    assert!(asked.elapsed() < DRAIN);
    assert_eq!(seen.cut, [""; 0], "requests were cut");
    pipeline.workers[0].start_again();
    pipeline.workers[0].ready().await;
    assert_audit_is_clean(&pipeline).await;
}

#[tokio::test]
async fn a_backlog_of_thousands_of_messages_is_read_without_piling_up() {
    // Small flushes: the stream could send far faster than the worker takes.
    let mut pipeline = Setup::default().workers(0).set("FLUSH_EVENTS", "20").start().await;
    let filler = "x".repeat(2_000);
    for number in 0..6_000 {
        let (user, now) = (format!("u-{number}"), chrono::Utc::now());
        let line = json!({"id": uuid::Uuid::new_v4(), "day": now.date_naive(), "type": "track", "user_id": user, "event": "e",
            "timestamp": now, "received_at": now, "source": "by hand", "properties": {"filler": filler}});
        let partition = UserKey::user(&user).partition(16);
        pipeline.stream.publish_lines(&[(partition, line.to_string().as_bytes())]).await;
    }
    pipeline.add_worker();
    pipeline.ready().await;
    pipeline.drained().await;
    assert_eq!(pipeline.rows().await, 6_000);
    let lost = Metrics::of(&pipeline.workers[0]).await.sum("worker_retries_total", &["cause=\"stream\""]);
    assert!(lost < 1.0, "the reader began anew: {}", pipeline.workers[0].log());
    assert_memory_below(&pipeline.workers[0], 96 << 20, "a backlog");
}
