//! One fault from a fresh pipeline to its verdict: load, strikes, recovery, drain, recount, audit.

use std::time::Duration;

use super::fault::Fault;
use super::report::Outcome;
use super::schedule::Run;
use super::world::World;
use super::{strikes, world};
use crate::load::{Control, Load, Log};
use crate::oracle::{Found, judge, shown_too_often_or_too_seldom};
use crate::program;

/// How many more events may be acknowledged while a strike goes on.
const MEANWHILE: u64 = 6_000;
/// Beyond that, each connection pauses so long before each request.
const TRICKLE: Duration = Duration::from_millis(150);
/// After the last strike.
const AFTERWARDS: u64 = 1_000;

/// Does a run. Whatever goes wrong, a panic included, becomes part of the outcome.
#[must_use]
pub fn run(run: &Run) -> Outcome {
    if let Some(reason) = world::impossible(run.fault.facts().needs) {
        return Outcome::skipped(run, reason);
    }
    let (planned, outcome) = (run.clone(), Outcome::of(run));
    // A thread and a runtime of its own: what a panic leaves behind ends with them.
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        runtime.expect("a runtime").block_on(survive(&planned, outcome))
    });
    thread.join().unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>().cloned();
        let said = said.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        let faults = vec![said.unwrap_or_else(|| "a panic without words".to_owned())];
        // How far it came is not known; nothing is claimed.
        Outcome { faults, kills: 0, power_cuts: 0, ..Outcome::of(run) }
    })
}

async fn survive(run: &Run, mut outcome: Outcome) -> Outcome {
    let mut world = World::start(run.fault).await;
    let control = Control::default();
    let load = Load {
        seed: run.seed,
        events: u64::from(u32::MAX),
        users: 300,
        connections: 6,
        patience: Duration::from_secs(180),
        trickle: Some(TRICKLE),
        ahead: if run.fault == Fault::PartitionMissing { strikes::database::TOMORROW } else { Duration::ZERO },
        ..Load::default()
    };
    let targets: Vec<_> = world.pipeline.ingests.iter().map(|ingest| ingest.address).collect();
    control.allow(run.strikes.first().map_or(0, |first| first.after_events));
    let running = tokio::spawn({
        let control = control.clone();
        async move { load.run(&targets, &control).await }
    });
    for strike in &run.strikes {
        let before = control.acknowledged();
        control.allow(before + strike.after_events + MEANWHILE);
        control.reaches(before + strike.after_events).await;
        strikes::strike(&mut world, run.fault, *strike, &control).await;
        outcome.recovery = outcome.recovery.max(world.recovered().await);
        outcome.strikes += 1;
    }
    let end = control.acknowledged() + AFTERWARDS;
    control.allow(end);
    control.reaches(end).await;
    control.stop();
    let log = running.await.expect("the load does not panic");
    judged(&world, &log, run.fault, &mut outcome).await;
    outcome
}

async fn judged(world: &World, log: &Log, fault: Fault, outcome: &mut Outcome) {
    let pipeline = &world.pipeline;
    pipeline.drained().await;
    let mut found = Found::of(pipeline).await;
    if !world.stream_is_whole {
        found.published_by_partition = None;
    }
    let verdict = judge(log, &found, world.planned_dead);
    outcome.acknowledged = verdict.acknowledged as u64;
    outcome.lost = verdict.lost.len() as u64;
    outcome.duplicated = verdict.duplicated.len() as u64;
    outcome.longest_wait = log.longest_wait;
    outcome.repeats = log.repeats;
    outcome.faults = verdict.faults;
    outcome.notes.clone_from(&world.notes);
    outcome.faults.extend(shown_too_often_or_too_seldom(pipeline).await);
    if !log.unknown.is_empty() {
        outcome.faults.push(format!("{} events got no answer at all", log.unknown.len()));
    }
    if fault == Fault::IngestStop && log.cut > 0 {
        outcome.faults.push(format!("{} requests were cut by a stop", log.cut));
    }
    outcome.p99 = percentile(&log.waits_microseconds, 99);
    let audit = program::run(pipeline.workers[0].binary(), &["audit"], &pipeline.environment_of("worker")).await;
    if !audit.status.success() {
        outcome.faults.push(format!("worker audit: {}", audit.text.trim()));
    }
}

/// The `percent`-th percentile of so many microseconds.
#[must_use]
pub fn percentile(microseconds: &[u32], percent: usize) -> Duration {
    let mut sorted = microseconds.to_vec();
    sorted.sort_unstable();
    let at = sorted.len() * percent / 100;
    Duration::from_micros(sorted.get(at).copied().unwrap_or_default().into())
}
