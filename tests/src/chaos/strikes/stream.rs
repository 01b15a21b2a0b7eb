//! The stream is not the one that was being read.

use std::path::Path;
use std::process::Command;

use crate::chaos::schedule::Strike;
use crate::chaos::world::World;
use crate::folder::Folder;
use crate::load::Control;
use crate::program::run;

/// The stream is deleted, made anew, or put back from an older copy, after everything in it was processed: what was lost with it
/// would be nobody's fault but the operator's. Everything halts until a person adopts it.
pub async fn replaced(world: &mut World, strike: Strike, control: &Control) {
    // Nobody posts from here on, but for requests that are on their way.
    control.allow(0);
    control.hold(true);
    let older = Folder::new("older-copy");
    match strike.choose(1, 3) {
        0 => {
            quiet(world, control).await;
            world.pipeline.stream.delete().await;
        }
        1 => {
            quiet(world, control).await;
            world.pipeline.stream.delete().await;
            world.pipeline.stream.create(world.pipeline.environment()).await;
        }
        _ => {
            quiet(world, control).await;
            world.nats().kill();
            copy(&world.nats().data(), older.path());
            world.nats().restart();
            let more = control.acknowledged() + 2_000;
            control.allow(more);
            control.reaches(more).await;
            control.allow(0);
            quiet(world, control).await;
            world.nats().kill();
            std::fs::remove_dir_all(world.nats().data()).expect("the stream's folder can be removed");
            copy(&older.path().join("jetstream"), &world.nats().data());
            world.nats().restart();
        }
    }
    for program in world.pipeline.ingests.iter().chain(&world.pipeline.workers) {
        program.unready().await;
    }
    let adopted = run("worker", &["adopt-stream"], &world.pipeline.environment_of("worker")).await;
    assert!(adopted.status.success(), "{}", adopted.text);
    world.stream_is_whole = false;
    control.hold(false);
}

/// Waits until no request is on its way, and everything is processed.
async fn quiet(world: &World, control: &Control) {
    loop {
        let before = control.acknowledged();
        world.pipeline.drained().await;
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        if control.acknowledged() == before {
            return world.pipeline.drained().await;
        }
    }
}

fn copy(from: &Path, to: &Path) {
    let done = Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(done.is_ok_and(|status| status.success()), "{} cannot be copied", from.display());
}
