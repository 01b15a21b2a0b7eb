//! A rolling upgrade to a build that writes the next version of stream messages, in the worst order: ingest first, so that no worker
//! can read what is written.

use std::path::Path;

use crate::eventually::{equal, eventually};
use crate::load::{Control, Load, Log};
use crate::oracle::{Verdict, verdict};
use crate::pipeline::Setup;
use crate::program::{Program, run};

/// Events that are acknowledged between two steps, at least.
const STEP_EVENTS: u64 = 1_000;

/// Upgrades two ingest and two worker processes one after another under load to the build in the folder `next`, and judges. The
/// setup needs the campaigns of the oracle. Events are sent until the last step is done, whatever `load` says of their number.
///
/// # Panics
/// When the old workers do not wait, or put anything aside, or a step cannot be done.
pub async fn rolling_upgrade(setup: Setup, next: &Path, load: Load) -> (Log, Verdict) {
    let mut pipeline = setup.ingests(2).workers(2).start().await;
    let control = Control::default();
    let targets: Vec<_> = pipeline.ingests.iter().map(|ingest| ingest.address).collect();
    let load = Load { events: u64::MAX / 2, ..load };
    let running = tokio::spawn({
        let control = control.clone();
        async move { load.run(&targets, &control).await }
    });
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

    // From here on versions are mixed on both sides: an old worker stays halted beside the new one.
    upgrade(&mut pipeline.workers[0], next).await;
    let before = pipeline.rows().await;
    eventually("the new worker goes on where the old ones stopped", async || match pipeline.rows().await {
        rows if rows > before => Ok(()),
        rows => Err(rows.to_string()),
    })
    .await;
    more().await;
    upgrade(&mut pipeline.workers[1], next).await;
    upgrade(&mut pipeline.ingests[1], next).await;
    more().await;
    control.stop();
    let log = running.await.expect("the load ends");
    let mut verdict = verdict(&pipeline, &log).await;
    let worker = next.join("worker");
    let audit = run(&worker.to_string_lossy(), &["audit"], pipeline.environment()).await;
    if !audit.status.success() {
        verdict.faults.push(format!("the audit says: {}", audit.text));
    }
    (log, verdict)
}

async fn upgrade(program: &mut Program, next: &Path) {
    program.stop().await;
    program.take_build(next);
    program.start_again();
    program.ready().await;
}
