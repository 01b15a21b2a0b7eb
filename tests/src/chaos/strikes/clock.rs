//! Programs whose clocks are wrong, by libfaketime; servers' clocks are right.

use std::time::Duration;

use crate::chaos::schedule::Strike;
use crate::chaos::world::World;

const WRONG: [&str; 4] = ["+1h", "-1h", "+100d", "-100d"];

/// One ingest and one worker live in another time for a while, and come back.
pub async fn wrong(world: &mut World, strike: Strike) {
    let library = std::env::var("EC_FAKETIME_LIBRARY").unwrap_or_default();
    let ingest = strike.choose(1, world.pipeline.ingests.len());
    let worker = strike.choose(2, world.pipeline.workers.len());
    let pipeline = &mut world.pipeline;
    for program in [&mut pipeline.ingests[ingest], &mut pipeline.workers[worker]] {
        program.set("LD_PRELOAD", &library);
        program.set("FAKETIME", WRONG[strike.choose(3, WRONG.len())]);
        // Timers must go on as they do.
        program.set("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        program.start_again();
    }
    pipeline.ready().await;
    // The fault's own length, with jobs and flushes in it.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let early = "SELECT count(*) FROM generate_series(0, 7) AS n
                  WHERE to_regclass('events_' || to_char((now() AT TIME ZONE 'UTC')::date + n::int, 'YYYYMMDD')) IS NULL";
    assert_eq!(pipeline.database.number(early).await, 0, "a partition that is needed is gone");
    for program in [&mut pipeline.ingests[ingest], &mut pipeline.workers[worker]] {
        for variable in ["LD_PRELOAD", "FAKETIME", "FAKETIME_DONT_FAKE_MONOTONIC"] {
            program.unset(variable);
        }
        program.start_again();
    }
}
