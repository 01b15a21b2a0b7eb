//! NATS and PostgreSQL die, lose power, and run out of room.

use std::time::Duration;

use serde_json::json;

use crate::chaos::schedule::Strike;
use crate::chaos::world::World;
use crate::client::WRITE_KEY;
use crate::eventually::within;
use crate::program::Program;
use crate::services::PrivatePostgres;

const PATIENCE: Duration = Duration::from_secs(60);

/// kill -9, and a start after up to a second and a half.
pub async fn nats_kill(world: &mut World, strike: Strike) {
    world.nats().kill();
    tokio::time::sleep(Duration::from_millis(strike.choose(1, 1_500) as u64)).await;
    world.nats().restart();
}

/// One backend is killed, the postmaster is, or the server stops at once.
pub async fn postgres_kill(world: &mut World, strike: Strike) {
    match strike.choose(1, 3) {
        0 => {
            let query = "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'ec-worker-%' ORDER BY pid";
            let backends: Vec<i32> = sqlx::query_scalar(query)
                .fetch_all(&world.pipeline.database.pool)
                .await
                .expect("a database that runs can be asked");
            PrivatePostgres::kill_backend(backends[strike.choose(2, backends.len())]);
        }
        1 => {
            world.postgres.kill();
            world.postgres.restart();
        }
        _ => {
            world.postgres.stop_immediately();
            tokio::time::sleep(Duration::from_millis(strike.choose(2, 1_500) as u64)).await;
            world.postgres.restart();
        }
    }
}

/// The disk of NATS holds what was written to it at this moment.
pub fn nats_power_cut(world: &mut World) {
    world.nats().pause();
    world.nats().disk().photograph();
    world.nats().kill();
    world.nats().disk().put_back();
    world.nats().restart();
}

/// The same of PostgreSQL.
pub fn postgres_power_cut(world: &mut World) {
    world.postgres.pause();
    world.postgres.disk().photograph();
    world.postgres.kill_all();
    world.postgres.disk().put_back();
    world.postgres.restart();
}

/// Everything stands still at one moment, and comes back from what the two disks held then.
pub fn total_power_cut(world: &mut World) {
    world.programs().for_each(|program| program.pause());
    world.nats().pause();
    world.postgres.pause();
    world.nats().disk().photograph();
    world.postgres.disk().photograph();
    world.programs().for_each(Program::kill);
    world.nats().kill();
    world.postgres.kill_all();
    world.nats().disk().put_back();
    world.postgres.disk().put_back();
    world.postgres.restart();
    world.nats().restart();
    world.programs().for_each(Program::start_again);
}

/// Posts large events until one is refused with 503; gives back what the refusal said.
async fn refused_at_last(world: &World, mut before_each: impl FnMut()) -> String {
    let client = world.pipeline.ingests[0].client().with_key(WRITE_KEY);
    let filler = "x".repeat(500_000);
    within(PATIENCE, "events are refused", async || {
        before_each();
        let id = format!("filler-{}", uuid::Uuid::new_v4());
        let body = json!({"user_id": "filler", "event": "filler", "messageId": id, "properties": {"filler": filler}});
        match client.post("/v1/track", &body).await {
            Ok(answer) if answer.status == 503 => {
                let wait = answer.header("retry-after").and_then(|text| text.parse::<u32>().ok());
                assert!(wait.is_some_and(|seconds| seconds >= 2), "a 503 without Retry-After: {}", answer.text());
                Ok(answer.text())
            }
            Ok(answer) if answer.status == 200 => Err("still accepted".to_owned()),
            Ok(answer) => panic!("{} {}", answer.status, answer.text()),
            Err(error) => Err(error.to_string()),
        }
    })
    .await
}

/// Nobody reads, so the stream fills up to its limit; then the workers come back and it is trimmed.
pub async fn stream_full(world: &mut World) {
    world.pipeline.workers.iter_mut().for_each(Program::kill);
    let said = refused_at_last(world, || {}).await;
    assert!(said.contains("full"), "{said}");
    world.pipeline.workers.iter_mut().for_each(Program::start_again);
    world.stream_is_whole = false;
}

/// No byte is left on the disk of NATS. Somebody makes room; the server, which gives its streams up then, is started again.
pub async fn nats_disk_full(world: &mut World) {
    let ballast = world.nats().disk().fill();
    refused_at_last(world, || {}).await;
    drop(ballast);
    world.nats().kill();
    world.nats().restart();
}

/// No byte is left on the disk of PostgreSQL: workers wait, nothing is put aside, ingest goes on. Somebody makes room.
pub async fn postgres_disk_full(world: &mut World) {
    let ballast = world.postgres.disk().fill();
    let client = world.pipeline.ingests[0].client().with_key(WRITE_KEY);
    within(PATIENCE, "no worker gets anywhere", async || {
        // What the server has set aside for itself has to be used up first.
        let id = format!("filler-{}", uuid::Uuid::new_v4());
        let filler = "x".repeat(900_000);
        let body = json!({"user_id": "filler", "event": "filler", "messageId": id, "properties": {"filler": filler}});
        let answer = client.post("/v1/track", &body).await.map_err(|e| e.to_string())?;
        assert_eq!(answer.status, 200, "ingest does not need the database: {}", answer.text());
        let mut unready = 0;
        for worker in &world.pipeline.workers {
            let answer = worker.client().get("/readyz").await.map_err(|e| e.to_string())?;
            unready += usize::from(answer.status == 503);
        }
        if unready == world.pipeline.workers.len() { Ok(()) } else { Err(format!("{unready} are unready")) }
    })
    .await;
    drop(ballast);
    if !world.postgres.runs() {
        world.postgres.restart();
    }
    let dead = world.pipeline.database.number("SELECT count(*) FROM dead_letters").await;
    assert_eq!(dead, 0, "a full disk made dead letters");
}
