//! The load generator: posts events as apps do, over many kept-alive connections, and tells what was acknowledged and how fast.
//!
//! Each connection awaits each answer. Bodies are like those of a real app (about 300 bytes an event); message ids are unique, users are
//! drawn at random. A bar on a terminal, plain lines otherwise. Exit code 1 when anything was not acknowledged.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use hdrhistogram::Histogram;
use indicatif::{ProgressBar, ProgressStyle};
use tests::http1::{KeptAlive, request};

#[derive(Parser, Clone)]
#[command(name = "load", about = "Posts events to ingest and measures the answers")]
struct Arguments {
    /// Address of ingest.
    #[arg(long, default_value = "127.0.0.1:4000")]
    address: SocketAddr,
    /// Write key.
    #[arg(long, default_value = "dev-write-key")]
    key: String,
    /// One event per request, many, or one identify per request.
    #[arg(long, value_enum, default_value = "batch")]
    mode: Mode,
    /// Connections, each with one request at a time.
    #[arg(long, default_value_t = 64)]
    connections: u64,
    /// Events per request in batch mode.
    #[arg(long, default_value_t = 100)]
    batch: u64,
    /// Events in all, rounded up to whole requests.
    #[arg(long, default_value_t = 100_000)]
    events: u64,
    /// Users the events are spread over.
    #[arg(long, default_value_t = 100_000)]
    users: u64,
    /// One line of JSON at the end instead of a sentence.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Mode {
    Single,
    Batch,
    Identify,
}

/// What one connection saw.
struct Seen {
    latency_microseconds: Histogram<u64>,
    acknowledged: u64,
    refused: u64,
    first_refusal: Option<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let requests = arguments.events.div_ceil(if arguments.mode == Mode::Batch { arguments.batch.max(1) } else { 1 });
    let (started, done) = (Instant::now(), Arc::new(AtomicU64::new(0)));
    let progress = tokio::spawn(show_progress(requests, Arc::clone(&done)));
    let share =
        |connection: u64| requests / arguments.connections + u64::from(connection < requests % arguments.connections);
    let running: Vec<_> = (0..arguments.connections)
        .map(|connection| tokio::spawn(drive(arguments.clone(), connection, share(connection), Arc::clone(&done))))
        .collect();
    let mut all = Seen::new();
    for connection in running {
        match connection.await {
            Ok(seen) => all.add(seen),
            Err(error) => all.refuse(1, error.to_string()),
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    progress.abort();
    all.report(&arguments, seconds);
    if all.refused == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn drive(arguments: Arguments, connection: u64, requests: u64, done: Arc<AtomicU64>) -> Seen {
    let run = uuid::Uuid::new_v4().simple().to_string();
    let mut random = fastrand::Rng::new();
    let mut wire = KeptAlive::new(arguments.address);
    let mut seen = Seen::new();
    let headers = [("x-api-key", arguments.key.as_str()), ("content-type", "application/json")];
    for number in 0..requests {
        let (path, events, body) = body(&arguments, &mut random, &format!("{run}-{connection}-{number}"));
        let bytes = request("POST", path, &headers, body.as_bytes());
        let sent = Instant::now();
        match wire.exchange(&bytes).await {
            Ok(answer) if answer.status == 200 => {
                seen.acknowledged += events;
                let took = u64::try_from(sent.elapsed().as_micros()).unwrap_or(u64::MAX).min(1 << 40);
                seen.latency_microseconds.record(took).expect("it resizes itself");
            }
            Ok(answer) => seen.refuse(events, format!("{} {}", answer.status, answer.text())),
            Err(error) => seen.refuse(events, error.to_string()),
        }
        done.fetch_add(1, Ordering::Relaxed);
    }
    seen
}

fn body(arguments: &Arguments, random: &mut fastrand::Rng, id: &str) -> (&'static str, u64, String) {
    let now = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    let mut user = || random.u64(..arguments.users.max(1));
    match arguments.mode {
        Mode::Single => ("/v1/track", 1, track(user(), id, &now)),
        Mode::Identify => {
            let user = user();
            let text = format!(
                r#"{{"user_id":"user_{user}","messageId":"{id}","timestamp":"{now}","traits":{{"plan":"pro","visits":{user},"city":"Pune"}}}}"#
            );
            ("/v1/identify", 1, text)
        }
        Mode::Batch => {
            let events: Vec<_> = (0..arguments.batch).map(|n| track(user(), &format!("{id}-{n}"), &now)).collect();
            ("/v1/batch", arguments.batch, format!(r#"{{"batch":[{}],"sentAt":"{now}"}}"#, events.join(",")))
        }
    }
}

fn track(user: u64, id: &str, now: &str) -> String {
    let (product, position) = (user % 1_000, user % 20);
    format!(
        r#"{{"type":"track","user_id":"user_{user}","event":"product_viewed","messageId":"{id}","timestamp":"{now}","properties":{{"product_id":"p{product}","category":"shoes","price":49.9,"currency":"INR","position":{position},"list":"search"}},"context":{{"app":{{"name":"shopdemo","version":"1.4.2"}},"os":{{"name":"android","version":"14"}}}}}}"#
    )
}

/// A bar on a terminal, a line every five seconds otherwise.
async fn show_progress(requests: u64, done: Arc<AtomicU64>) {
    let bar = ProgressBar::new(requests);
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} requests, {per_sec}, {eta} left");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let mut every = tokio::time::interval(Duration::from_millis(if bar.is_hidden() { 5_000 } else { 200 }));
    every.tick().await;
    loop {
        every.tick().await;
        let position = done.load(Ordering::Relaxed);
        bar.set_position(position);
        if bar.is_hidden() {
            eprintln!("{position} of {requests} requests");
        }
    }
}

impl Seen {
    fn new() -> Self {
        let latency_microseconds = Histogram::new(3).expect("three digits are allowed");
        Self { latency_microseconds, acknowledged: 0, refused: 0, first_refusal: None }
    }

    fn refuse(&mut self, events: u64, why: String) {
        self.refused += events;
        self.first_refusal.get_or_insert(why);
    }

    fn add(&mut self, other: Self) {
        self.latency_microseconds.add(&other.latency_microseconds).expect("both resize themselves");
        self.acknowledged += other.acknowledged;
        self.refused += other.refused;
        self.first_refusal = self.first_refusal.take().or(other.first_refusal);
    }

    #[expect(clippy::print_stdout, reason = "the result of the program")]
    fn report(&self, arguments: &Arguments, seconds: f64) {
        let at = |quantile| self.latency_microseconds.value_at_quantile(quantile) as f64 / 1_000.0;
        let (p50, p99, rate) = (at(0.5), at(0.99), self.acknowledged as f64 / seconds);
        if arguments.json {
            let (acknowledged, refused) = (self.acknowledged, self.refused);
            println!(
                r#"{{"acknowledged":{acknowledged},"refused":{refused},"seconds":{seconds:.3},"events_per_second":{rate:.0},"p50_milliseconds":{p50:.3},"p99_milliseconds":{p99:.3}}}"#
            );
        } else {
            println!(
                "{} events acknowledged in {seconds:.1} s: {rate:.0} a second, p50 {p50:.2} ms, p99 {p99:.2} ms",
                self.acknowledged
            );
        }
        if let Some(why) = &self.first_refusal {
            eprintln!("{} events were not acknowledged; the first: {why}", self.refused);
        }
    }
}
