//! Programs die, stop and stand still.

use std::time::Duration;

use crate::chaos::schedule::Strike;
use crate::chaos::world::World;
use crate::eventually::within;
use crate::load::Control;
use crate::program::Program;

/// A failpoint is reached at the latest after this time, under load.
const PATIENCE: Duration = Duration::from_secs(60);
/// Events that pile up while no worker runs.
const BACKLOG: u64 = 5_000;

/// kill -9 of one of them, and a new start.
pub fn kill(programs: &mut [Program], strike: Strike) {
    let victim = strike.choose(1, programs.len());
    programs[victim].kill();
    programs[victim].start_again();
}

/// Starts a program anew with a failpoint that ends or stops it, and waits for that.
async fn arm(program: &mut Program, failpoint: &str, done: impl Fn(&mut Program) -> bool) {
    program.set("FAILPOINTS", failpoint);
    program.start_again();
    let what = format!("{} reaches {failpoint}", program.name);
    within(PATIENCE, &what, async || if done(program) { Ok(()) } else { Err("not yet".to_owned()) }).await;
    program.unset("FAILPOINTS");
}

/// It dies when the stream has acknowledged and nobody was told: clients send again.
pub async fn ingest_dies_unanswered(world: &mut World, strike: Strike) {
    let ingests = &mut world.pipeline.ingests;
    let victim = strike.choose(1, ingests.len());
    let failpoint = format!("ingest::acknowledged=die@{}", 1 + strike.choose(2, 30));
    arm(&mut ingests[victim], &failpoint, |program| program.ended().is_some()).await;
    ingests[victim].start_again();
}

/// SIGTERM: no request may be cut, and it ends within its promise.
pub async fn ingest_stops(world: &mut World, strike: Strike) {
    let ingests = &mut world.pipeline.ingests;
    let victim = strike.choose(1, ingests.len());
    let status = ingests[victim].stop().await;
    assert!(status.success(), "a stopping ingest ended with {status}");
    ingests[victim].start_again();
}

/// It dies in the transaction of a flush, or when that is committed and it does not know.
pub async fn worker_dies_in_flush(world: &mut World, strike: Strike) {
    let workers = &mut world.pipeline.workers;
    let victim = strike.choose(1, workers.len());
    let point = ["worker::before_commit", "worker::committed"][strike.choose(2, 2)];
    let failpoint = format!("{point}=die@{}", 1 + strike.choose(3, 20));
    arm(&mut workers[victim], &failpoint, |program| program.ended().is_some()).await;
    workers[victim].start_again();
}

/// It stands still beyond its lease, by chance anywhere or exactly inside a transaction; the others take over; it wakes up.
pub async fn worker_pauses(world: &mut World, strike: Strike) {
    let all = world.workers();
    world.dealt_out(all).await;
    let victim = strike.choose(1, world.pipeline.workers.len());
    if strike.choose(2, 2) == 0 {
        world.pipeline.workers[victim].pause();
    } else {
        let failpoint = format!("worker::before_commit=stop@{}", 1 + strike.choose(3, 20));
        arm(&mut world.pipeline.workers[victim], &failpoint, |program| program.is_paused()).await;
    }
    world.dealt_out(all - 1).await;
    world.pipeline.workers[victim].resume();
    world.dealt_out(all).await;
}

/// Events pile up; then all come back.
pub async fn workers_down(world: &mut World, control: &Control) {
    world.pipeline.workers.iter_mut().for_each(Program::kill);
    control.reaches(control.acknowledged() + BACKLOG).await;
    world.pipeline.workers.iter_mut().for_each(Program::start_again);
}

/// Up to eight, down to two, and back to three.
pub async fn workers_scale(world: &mut World) {
    while world.pipeline.workers.len() < 8 {
        world.pipeline.add_worker();
    }
    world.dealt_out(8).await;
    for mut leaving in world.pipeline.workers.split_off(2) {
        let status = leaving.stop().await;
        assert!(status.success(), "a leaving worker ended with {status}");
    }
    world.dealt_out(2).await;
    world.pipeline.add_worker();
    world.dealt_out(3).await;
}
