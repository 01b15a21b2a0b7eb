//! A rolling upgrade to a build that writes the next version of stream messages, in the worst order: ingest first, so that no worker
//! can read what is written.

use std::path::Path;

use crate::eventually::{equal, eventually};
use crate::load::Control;
use crate::pipeline::Pipeline;
use crate::program::Program;

/// Events that are acknowledged between two steps, at least.
const STEP_EVENTS: u64 = 1_000;

/// Upgrades the programs of a pipeline one after another, under the load of `control`, to the build in the folder `next`.
///
/// # Panics
/// When the old workers do not wait, or put anything aside, or the new ones do not go on.
pub async fn roll(pipeline: &mut Pipeline, next: &Path, control: &Control) {
    control.allow(u64::MAX);
    let more = async || control.reaches(control.acknowledged() + STEP_EVENTS).await;
    more().await;
    upgrade(&mut pipeline.ingests[0], next).await;
    more().await;
    for worker in &pipeline.workers {
        let said = worker.unready_with("upgrade it").await;
        assert!(said.contains("version 2"), "it does not say what it met: {said}");
    }
    eventually("the old workers have released everything", async || {
        equal(pipeline.database.number("SELECT count(*) FROM partitions WHERE owner IS NOT NULL").await, 0)
    })
    .await;
    assert_eq!(pipeline.database.number("SELECT count(*) FROM dead_letters").await, 0, "something was put aside");

    // From here on versions are mixed on both sides: old workers stay halted beside the new one.
    upgrade(&mut pipeline.workers[0], next).await;
    let before = pipeline.rows().await;
    eventually("the new worker goes on where the old ones stopped", async || match pipeline.rows().await {
        rows if rows > before => Ok(()),
        rows => Err(rows.to_string()),
    })
    .await;
    more().await;
    for program in pipeline.workers.iter_mut().skip(1).chain(pipeline.ingests.iter_mut().skip(1)) {
        upgrade(program, next).await;
    }
    more().await;
}

async fn upgrade(program: &mut Program, next: &Path) {
    program.stop().await;
    program.take_build(next);
    program.start_again();
    program.ready().await;
}
