//! Asks, again and again, whether a PubAck can be trusted: at once on a new connection, every few seconds otherwise.
//!
//! One failing check is not yet believed once there was a good one (a monitoring port may be slow under load); two in a row are.

use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use shared::runtime::settings::pipeline::Pipeline;
use shared::stream::connection;
use shared::stream::durability::{self, Examined};
use shared::stream::lanes::{Lane, StreamState};
use tokio::time::Instant;

use super::Readiness;
use crate::metrics::Metrics;
use crate::publish::Publisher;

const WHEN_READY: Duration = Duration::from_secs(5);
const WHEN_NOT: Duration = Duration::from_millis(250);
/// A node that leads a replicated stream and is cut off from the others notices after ten seconds; until then it answers with what it
/// has. For so long a stream that is behind may be no more than that.
const STALE: Duration = Duration::from_secs(20);

/// Which stream we trust on a lane.
struct Trusted {
    generation: String,
    adopted: String,
    /// Since when it ends before what was acknowledged.
    behind_since: Option<Instant>,
}

/// Checks in a row that found something.
#[derive(Default)]
struct InARow {
    wrong: u32,
    unanswered: u32,
}

/// Checks for ever; the caller runs it as a task of its own.
pub async fn keep_checking(
    readiness: Arc<Readiness>,
    settings: Arc<Pipeline>,
    publisher: Arc<Publisher>,
    metrics: Arc<Metrics>,
) {
    let mut trusted: Vec<Option<Trusted>> = readiness.highest.iter().map(|_| None).collect();
    let mut epochs = readiness.connection.epochs.clone();
    let mut in_a_row = InARow::default();
    let mut unseen = Vec::new();
    // A server that is there answers at once: no need to call it away first.
    connection::wait_until_up(&readiness.connection, WHEN_READY).await;
    loop {
        let epoch = *epochs.borrow_and_update();
        // Before the streams are asked: what is acknowledged meanwhile may not be in their answers.
        let highest: Vec<u64> = readiness.highest.iter().map(|mark| mark.load(Ordering::Relaxed)).collect();
        let mut examined = durability::examine(&readiness.connection, &settings).await;
        examined.wrong.extend(examined.repartitioning());
        let mut replaced = Vec::new();
        if examined.wrong.is_empty() {
            replaced.extend(follow(&readiness, &publisher, &mut trusted, &examined));
        }
        for (lane, state) in std::mem::take(&mut examined.streams) {
            metrics.stream_fill(lane.number, state.bytes, state.max_bytes);
            let number = usize::from(lane.number);
            let (Some(trusted), Some(&highest)) = (trusted.get_mut(number), highest.get(number)) else { continue };
            match recognise(&readiness, &lane, trusted, &state, highest) {
                Recognised::Ours => {}
                Recognised::Behind(why) => examined.unanswered.push(why),
                Recognised::Another(why) => replaced.push(why),
            }
        }
        if examined.unseen != unseen {
            unseen.clone_from(&examined.unseen);
            tracing::warn!(nodes = unseen.join("; "), "nodes that do not answer; most of the others do and sync");
        }
        let count = |before: u32, found: &Vec<String>| if found.is_empty() { 0 } else { before + 1 };
        in_a_row = InARow {
            wrong: count(in_a_row.wrong, &examined.wrong),
            unanswered: count(in_a_row.unanswered, &examined.unanswered),
        };
        let sound = examined.wrong.is_empty() && examined.unanswered.is_empty();
        conclude(&readiness, epoch, examined, replaced, &in_a_row);
        let ready = readiness.reasons().is_empty();
        metrics.ready(ready);
        tokio::select! {
            changed = epochs.changed() => if changed.is_err() { return },
            () = readiness.look_again.notified() => {}
            () = tokio::time::sleep(if ready && sound { WHEN_READY } else { WHEN_NOT }) => {}
        }
    }
}

/// Goes over to the layout of the streams, when all of them are open. Gives back why it must not.
fn follow(
    readiness: &Readiness,
    publisher: &Publisher,
    trusted: &mut [Option<Trusted>],
    examined: &Examined,
) -> Option<String> {
    let (before, now) = (publisher.layout(), examined.layout?);
    let (lane, state) = examined.streams.first()?;
    let first = trusted.first_mut()?;
    let adopted = first.as_ref().is_none_or(|known| state.adopted > known.adopted);
    if before == now {
        return None;
    }
    if now.epoch <= before.epoch && !adopted {
        return Some(format!(
            "stream {} was replaced by an older copy: it is of {now}, and {before} was in force; see `worker adopt-stream`",
            lane.stream
        ));
    }
    // The first look finds out what was guessed. Lanes that both layouts have are the same streams; others are made anew.
    if first.is_some() {
        tracing::info!(%before, %now, "the pipeline was repartitioned");
        let kept = if now.epoch == before.epoch + 1 { before.lanes.min(now.lanes) } else { 1 };
        for number in usize::from(kept)..trusted.len() {
            trusted[number] = None;
            readiness.highest[number].store(0, Ordering::Relaxed);
        }
        readiness.adoptions.fetch_add(1, Ordering::Relaxed);
    } else if (before.partitions, before.lanes) != (now.partitions, now.lanes) {
        tracing::warn!("{before} is set, and the streams are of {now}, which is in force: see `worker repartition`");
    }
    publisher.take(now);
    None
}

enum Recognised {
    Ours,
    /// Perhaps ours, as a node has it that was cut off.
    Behind(String),
    Another(String),
}

/// Is it the stream we know? The first one seen is; after that only an adoption makes another one trusted.
fn recognise(
    readiness: &Readiness,
    lane: &Lane,
    trusted: &mut Option<Trusted>,
    state: &StreamState,
    highest: u64,
) -> Recognised {
    let known = trusted.as_mut().filter(|known| state.adopted <= known.adopted);
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
        let (generation, adopted) = (state.generation.clone(), state.adopted.clone());
        *trusted = Some(Trusted { generation, adopted, behind_since: None });
        return Recognised::Ours;
    };
    if known.generation != state.generation {
        return Recognised::Another(format!(
            "stream {} was replaced by another one of that name; see `worker adopt-stream`",
            lane.stream
        ));
    }
    if state.last_seq >= highest {
        known.behind_since = None;
        return Recognised::Ours;
    }
    let since = *known.behind_since.get_or_insert_with(Instant::now);
    let ends = format!("it ends at message {}, and {highest} was acknowledged", state.last_seq);
    if state.replicas > 1 && since.elapsed() < STALE {
        return Recognised::Behind(format!("the node that answers for stream {} is behind: {ends}", lane.stream));
    }
    Recognised::Another(format!(
        "stream {} was replaced by an older copy: {ends}; see `worker adopt-stream`",
        lane.stream
    ))
}

fn conclude(readiness: &Readiness, epoch: u64, examined: Examined, replaced: Vec<String>, in_a_row: &InARow) {
    for why in replaced {
        readiness.set_replaced(why);
    }
    let Examined { wrong, unanswered, .. } = examined;
    let mut standing = readiness.standing.write().unwrap_or_else(PoisonError::into_inner);
    if wrong.is_empty() && unanswered.is_empty() {
        let was_sound = standing.problems.is_empty() && standing.unanswered.is_empty();
        if (standing.proven_epoch != Some(epoch) || !was_sound) && standing.replaced.is_none() {
            tracing::info!("durability of the stream is proven: ready for events");
        }
        standing.proven_epoch = Some(epoch);
        standing.ever_proven = true;
    }
    let believed = |found: Vec<String>, in_a_row| if standing.ever_proven && in_a_row < 2 { None } else { Some(found) };
    let (wrong, unanswered) = (believed(wrong, in_a_row.wrong), believed(unanswered, in_a_row.unanswered));
    let before = (standing.problems.clone(), standing.unanswered.clone());
    standing.problems = wrong.unwrap_or_default();
    standing.unanswered = unanswered.unwrap_or_default();
    let reasons: Vec<&str> = standing.problems.iter().chain(&standing.unanswered).map(String::as_str).collect();
    if !reasons.is_empty() && before != (standing.problems.clone(), standing.unanswered.clone()) {
        tracing::warn!(reason = reasons.join("; "), "not ready");
    }
}
