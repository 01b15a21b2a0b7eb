//! Asks, again and again, whether a PubAck can be trusted: at once on a new connection, every few seconds otherwise.
//!
//! One failing check of a proven connection is not yet believed (a monitoring port may be slow under load); two in a row are.

use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use shared::runtime::settings::pipeline::Pipeline;
use shared::stream::lanes::{self, Lane, StreamState};
use shared::stream::{connection, durability};

use super::Readiness;
use crate::metrics::Metrics;

const WHEN_READY: Duration = Duration::from_secs(5);
const WHEN_NOT: Duration = Duration::from_millis(250);

/// Which stream we trust on a lane.
struct Trusted {
    generation: String,
    adopted: String,
}

/// Checks for ever; the caller runs it as a task of its own.
pub async fn keep_checking(readiness: Arc<Readiness>, settings: Arc<Pipeline>, metrics: Arc<Metrics>) {
    let lanes = Lane::all(&settings);
    let context = lanes::jetstream(readiness.connection.client.clone());
    let mut trusted: Vec<Option<Trusted>> = lanes.iter().map(|_| None).collect();
    let mut epochs = readiness.connection.epochs.clone();
    let mut failures = 0;
    // A server that is there answers at once: no need to call it away first.
    connection::wait_until_up(&readiness.connection, WHEN_READY).await;
    loop {
        let epoch = *epochs.borrow_and_update();
        let mut problems = durability::problems(&readiness.connection, &settings).await;
        let mut replaced = Vec::new();
        let asked = if readiness.connection.is_up() { &lanes[..] } else { &[] };
        for (lane, trusted) in asked.iter().zip(&mut trusted) {
            let highest = readiness.highest.get(usize::from(lane.number)).map_or(0, |h| h.load(Ordering::Relaxed));
            match lanes::state(&context, lane).await {
                Ok(Some(state)) => {
                    metrics.stream_fill(lane.number, state.bytes, state.max_bytes);
                    replaced.extend(recognise(&readiness, lane, trusted, &state, highest));
                }
                Ok(None) | Err(_) if problems.is_empty() => {
                    problems.push(format!("stream {} cannot be read", lane.stream))
                }
                Ok(None) | Err(_) => {}
            }
        }
        failures = if problems.is_empty() { 0 } else { failures + 1 };
        conclude(&readiness, epoch, problems, replaced, failures);
        let ready = readiness.reasons().is_empty();
        metrics.ready(ready);
        tokio::select! {
            changed = epochs.changed() => if changed.is_err() { return },
            () = readiness.look_again.notified() => {}
            () = tokio::time::sleep(if ready && failures == 0 { WHEN_READY } else { WHEN_NOT }) => {}
        }
    }
}

/// Is it the stream we know? The first one seen is; after that only an adoption makes another one trusted.
fn recognise(
    readiness: &Readiness,
    lane: &Lane,
    trusted: &mut Option<Trusted>,
    state: &StreamState,
    highest: u64,
) -> Option<String> {
    let known = trusted.as_ref().filter(|known| known.adopted == state.adopted);
    let Some(known) = known else {
        if let Some(mark) = readiness.highest.get(usize::from(lane.number)) {
            mark.store(state.last_seq, Ordering::Relaxed);
        }
        let mut standing = readiness.standing.write().unwrap_or_else(PoisonError::into_inner);
        if trusted.is_some() {
            readiness.adoptions.fetch_add(1, Ordering::Relaxed);
        }
        if trusted.is_some() && standing.replaced.take().is_some() {
            tracing::info!(stream = lane.stream, "the stream was adopted: events are accepted again");
        }
        *trusted = Some(Trusted { generation: state.generation.clone(), adopted: state.adopted.clone() });
        return None;
    };
    if known.generation != state.generation {
        return Some(format!(
            "stream {} was replaced by another one of that name; see `worker adopt-stream`",
            lane.stream
        ));
    }
    (state.last_seq < highest).then(|| {
        format!(
            "stream {} was replaced by an older copy: it ends at message {}, and {highest} was acknowledged; see `worker adopt-stream`",
            lane.stream, state.last_seq
        )
    })
}

fn conclude(readiness: &Readiness, epoch: u64, problems: Vec<String>, replaced: Vec<String>, failures: u32) {
    for why in replaced {
        readiness.set_replaced(why);
    }
    let mut standing = readiness.standing.write().unwrap_or_else(PoisonError::into_inner);
    if problems.is_empty() {
        let news = standing.proven_epoch != Some(epoch) || !standing.problems.is_empty();
        if news && standing.replaced.is_none() {
            tracing::info!("durability of the stream is proven: ready for events");
        }
        standing.proven_epoch = Some(epoch);
        standing.ever_proven = true;
        standing.problems = problems;
        return;
    }
    if standing.proven_epoch == Some(epoch) && failures < 2 {
        return;
    }
    if standing.problems != problems {
        tracing::warn!(reason = problems.join("; "), "not ready");
        standing.problems = problems;
    }
}
