//! A short selection of what `./deploy/chaos` does at length, with a seed of its own each time: one strike of each of the faults that
//! kill in the middle of something, cut the power, or break the network, and the pipelines that are broken on purpose.

use tests::chaos::controls::Broken;
use tests::chaos::fault::Fault;
use tests::chaos::report::Report;
use tests::chaos::{run, schedule, world};
use tests::load::seed;
use tests::skip::impossible_here;

/// Strikes once with each of these, and fails unless everything is well.
fn struck_by(test: &str, faults: &[Fault]) {
    if let Some(reason) = faults.iter().find_map(|fault| world::impossible(fault.facts().needs)) {
        return impossible_here(test, &reason);
    }
    let seed = seed();
    let outcomes = schedule::schedule(seed, 0, faults).iter().map(run::run).collect();
    let report = Report { seed, minutes: 0, outcomes };
    eprintln!("{}", report.text());
    assert!(report.is_well(), "{}", report.text());
}

fn caught(test: &str, broken: Broken) {
    let outcome = broken.run(seed());
    if let Some(reason) = outcome.skipped {
        return impossible_here(test, &reason);
    }
    assert!(outcome.is_well(), "the judge saw nothing: {outcome:?}");
}

#[test]
fn programs_that_die_between_two_steps_lose_and_double_nothing() {
    struck_by("", &[Fault::IngestDiesUnanswered, Fault::WorkerDiesInFlush]);
}

#[test]
fn a_worker_that_stands_still_beyond_its_lease_has_no_second_effect() {
    struck_by("", &[Fault::WorkerPause]);
}

#[test]
fn networks_that_fail_lose_and_double_nothing() {
    struck_by("", &[Fault::StreamNetwork, Fault::DatabaseNetwork]);
}

#[test]
fn a_power_cut_of_nats_loses_nothing_acknowledged() {
    struck_by("a_power_cut_of_nats_loses_nothing_acknowledged", &[Fault::NatsPowerCut]);
}

#[test]
fn a_power_cut_of_everything_loses_nothing_acknowledged() {
    struck_by("a_power_cut_of_everything_loses_nothing_acknowledged", &[Fault::TotalPowerCut]);
}

#[test]
fn a_full_disk_delays_and_loses_nothing() {
    struck_by("a_full_disk_delays_and_loses_nothing", &[Fault::NatsDiskFull, Fault::PostgresDiskFull]);
}

#[test]
fn a_nats_that_acknowledges_before_it_syncs_is_caught_losing() {
    caught("a_nats_that_acknowledges_before_it_syncs_is_caught_losing", Broken::DefaultSync);
}

#[test]
fn a_worker_that_commits_positions_before_effects_is_caught_losing() {
    caught("", Broken::PositionsFirst);
}

#[test]
fn a_database_that_recognises_no_duplicate_is_caught_doubling() {
    caught("", Broken::NoDedup);
}
