//! A good client that goes on posting while a test does harm, and what it saw; and how much memory the program took meanwhile.

use std::cell::Cell;
use std::future::Future;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::pipeline::Pipeline;
use crate::program::Program;

/// Far longer than any good request may take, whatever else goes on; a busy machine is no reason to fail.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a good client saw.
#[derive(Debug)]
pub struct Witness {
    /// Requests, all of them answered 200.
    pub answered: usize,
    /// The slowest of them.
    pub longest: Duration,
}

/// Does `harm`, and meanwhile posts events, one after the other over one connection, from before its begin to after its end.
///
/// # Panics
/// When one of them is not answered 200, or not in [`PATIENCE`].
pub async fn during<T>(pipeline: &Pipeline, harm: impl Future<Output = T>) -> (T, Witness) {
    let mut witness = Witness { answered: 0, longest: Duration::ZERO };
    let client = pipeline.client();
    let mut post = async || {
        let started = Instant::now();
        let body = json!({"user_id": "witness", "event": "good", "properties": {"n": witness.answered}});
        let answer = tokio::time::timeout(PATIENCE, client.post("/v1/track", &body)).await;
        let answer = answer.unwrap_or_else(|_| panic!("a good request has no answer after {PATIENCE:?}"));
        let answer = answer.unwrap_or_else(|e| panic!("a good request was cut: {e}"));
        assert_eq!(answer.status, 200, "{}", answer.text());
        witness.answered += 1;
        witness.longest = witness.longest.max(started.elapsed());
    };
    post().await;
    let over = Cell::new(false);
    let harming = async {
        let result = harm.await;
        over.set(true);
        result
    };
    // Each post is carried through: one that is cut short may be stored or not.
    let posting = async {
        while !over.get() {
            post().await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let (result, ()) = tokio::join!(harming, posting);
    post().await;
    (result, witness)
}

/// The most memory a program has held so far, in bytes; `None` where there is no `/proc`.
#[must_use]
pub fn peak_memory_bytes(program: &Program) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", program.pid())).ok()?;
    kibibytes(&status, "VmHWM:")
}

/// The memory a program holds now, in bytes; `None` where there is no `/proc`.
#[must_use]
pub fn memory_bytes(program: &Program) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", program.pid())).ok()?;
    kibibytes(&status, "VmRSS:")
}

fn kibibytes(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kibibytes| kibibytes << 10)
}

/// Prints a program's peak, and holds it against a bound.
///
/// # Panics
/// When it took more.
pub fn assert_memory_below(program: &Program, bound_bytes: u64, what: &str) {
    let Some(peak) = peak_memory_bytes(program) else { return };
    eprintln!("worst memory of {}: {} MiB under {what} (bound {} MiB)", program.name, peak >> 20, bound_bytes >> 20);
    assert!(peak <= bound_bytes, "{} took {peak} bytes under {what}, at most {bound_bytes} were planned", program.name);
}
