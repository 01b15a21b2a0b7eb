//! How long a match takes to an app: tracks one event after the other, each of a user whose stream of matches is open, and waits for it
//! there. Needs an active campaign that listens to `bench_match`.
//!
//! Three times of each: from the track to its match on the stream; from the answer to the track; and from the begin of the worker's
//! transaction, which is a little more than from its commit. Idle streams of other users can be open beside it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use clap::Parser;
use hdrhistogram::Histogram;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use tests::client::Client;
use tests::event_stream::EventStream;
use tests::hostile::raise_open_files;

/// Users with an open stream, in turn.
const USERS: usize = 8;

#[derive(Parser)]
#[command(name = "match_latency", about = "Measures how long a match takes from the track to an open stream")]
struct Arguments {
    /// Address of ingest.
    #[arg(long, default_value = "127.0.0.1:4000")]
    address: SocketAddr,
    /// Write key.
    #[arg(long, default_value = "dev-write-key")]
    key: String,
    /// Matches, one after the other.
    #[arg(long, default_value_t = 500)]
    matches: u64,
    /// Further streams that are open and quiet.
    #[arg(long, default_value_t = 0)]
    idle: usize,
}

#[tokio::main]
#[expect(clippy::print_stdout, reason = "the result of the program")]
async fn main() {
    let arguments = Arguments::parse();
    raise_open_files(arguments.idle as u64 + 1_000);
    let headers = [("x-api-key", arguments.key.as_str())];
    let open = async |user: &str| {
        EventStream::open(arguments.address, &format!("/v1/matches/stream?user_id={user}"), &headers).await
    };
    let run = uuid::Uuid::new_v4().simple().to_string();
    let mut idle = Vec::with_capacity(arguments.idle);
    for n in 0..arguments.idle {
        idle.push(open(&format!("idle-{run}-{n}")).await);
    }
    let mut streams = Vec::new();
    for user in 0..USERS {
        streams.push(open(&format!("{run}-{user}")).await);
    }
    let client = Client::new(arguments.address).with_key(&arguments.key);
    let mut times = ["track to stream", "answer to stream", "transaction to stream"]
        .map(|name| (name, Histogram::<u64>::new(3).expect("three digits are allowed")));
    let bar = ProgressBar::new(arguments.matches);
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} matches, {eta} left");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    for n in 0..arguments.matches {
        let user = usize::try_from(n).unwrap_or(0) % USERS;
        let body =
            json!({"user_id": format!("{run}-{user}"), "event": "bench_match", "messageId": format!("{run}-{n}")});
        let sent = Instant::now();
        let answered = async {
            client.accepted("/v1/track", &body).await;
            Instant::now()
        };
        let received = async {
            let event = streams[user].next().await.expect("the stream goes on");
            (event, Instant::now(), Utc::now())
        };
        let (answered, (event, received, now)) = tokio::join!(answered, received);
        let begun = event.data["matched_at"].as_str().and_then(|time| DateTime::parse_from_rfc3339(time).ok());
        let begun = (now - begun.expect("a match says when it was made").to_utc()).to_std().unwrap_or(Duration::ZERO);
        let took = [received - sent, received.saturating_duration_since(answered), begun];
        for ((_, histogram), took) in times.iter_mut().zip(took) {
            histogram.record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX)).expect("it resizes itself");
        }
        bar.inc(1);
        if bar.is_hidden() && n % 100 == 99 {
            eprintln!("{} of {} matches", n + 1, arguments.matches);
        }
    }
    bar.finish_and_clear();
    for (name, histogram) in &times {
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1_000.0;
        println!("{name:<22} p50 {:>6.1} ms   p99 {:>6.1} ms", at(0.5), at(0.99));
    }
    drop(idle);
}
