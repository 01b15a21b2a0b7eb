//! Partitions change hands, workers die and pause, and every effect is there once and in order.

use std::time::{Duration, Instant};

use shared::runtime::settings::Reader;
use shared::runtime::settings::pipeline::Pipeline as SharedSettings;
use tests::eventually::{equal, eventually, within};
use tests::load::{Control, Load, seed};
use tests::oracle::{campaigns, verdict};
use tests::pipeline::{LEASE_SECONDS, Pipeline, Setup};
use worker::attach;

fn with_campaigns() -> Setup {
    campaigns().into_iter().fold(Setup::default(), Setup::campaign)
}

/// Owners in force, each with how many partitions it has.
async fn owners(pipeline: &Pipeline) -> Vec<i64> {
    let query = "SELECT count(*) FROM partitions WHERE lease_until > clock_timestamp() AND owner IS NOT NULL
                  GROUP BY owner ORDER BY 1";
    sqlx::query_scalar(query).fetch_all(&pipeline.database.pool).await.unwrap()
}

/// Waits until this many owners have all 16 partitions, none more than its share; returns how long that took.
async fn dealt_out(pipeline: &Pipeline, wanted: usize) -> Duration {
    let started = Instant::now();
    let share = i64::try_from(16_usize.div_ceil(wanted)).unwrap();
    eventually(&format!("{wanted} owners have at most {share} partitions each"), async || {
        let owners = owners(pipeline).await;
        let all = owners.len() == wanted && owners.iter().sum::<i64>() == 16;
        if all && owners.iter().all(|count| *count <= share) { Ok(()) } else { Err(format!("{owners:?}")) }
    })
    .await;
    started.elapsed()
}

/// Waits until no partition has one of these owners any more.
async fn taken_from(pipeline: &Pipeline, owner: uuid::Uuid, patience: Duration) {
    within(patience, "the partitions of a lost worker are taken over", async || {
        let query = "SELECT count(*) FROM partitions WHERE owner = $1 OR owner IS NULL";
        let left: i64 = sqlx::query_scalar(query).bind(owner).fetch_one(&pipeline.database.pool).await.unwrap();
        if left == 0 { Ok(()) } else { Err(format!("{left} are left")) }
    })
    .await;
}

#[tokio::test]
async fn three_workers_killed_paused_and_rebalanced_lose_and_double_nothing_of_50_000_events() {
    let mut pipeline = with_campaigns().ingests(2).workers(3).start().await;
    dealt_out(&pipeline, 3).await;
    let load = Load { seed: seed(), events: 50_000, users: 1_000, connections: 10, batch: 100, ..Load::default() };
    let mut random = fastrand::Rng::with_seed(load.seed);
    let control = Control::default();
    control.allow(7_000);
    let targets: Vec<_> = pipeline.ingests.iter().map(|ingest| ingest.address).collect();
    let running = tokio::spawn({
        let (load, control) = (load.clone(), control.clone());
        async move { load.run(&targets, &control).await }
    });

    for step in 1..=6u64 {
        control.reaches(step * 7_000).await;
        control.allow((step + 1) * 7_000);
        let victim = random.usize(..pipeline.workers.len());
        match step {
            1 | 3 => {
                pipeline.workers[victim].kill();
                pipeline.workers[victim].start_again();
            }
            2 => {
                pipeline.workers[victim].pause();
                let lost = Duration::from_secs(LEASE_SECONDS + 5);
                within(lost, "a paused worker's partitions are taken over", async || {
                    match owners(&pipeline).await.len() {
                        2 => Ok(()),
                        other => Err(format!("{other} owners")),
                    }
                })
                .await;
                pipeline.workers[victim].resume();
            }
            4 => pipeline.add_worker(),
            5 => {
                let mut leaving = pipeline.workers.remove(victim);
                assert!(leaving.stop().await.success(), "a worker did not end well:\n{}", leaving.log());
            }
            _ => pipeline.workers[victim].kill(),
        }
    }
    control.allow(u64::MAX);
    let log = running.await.unwrap();
    assert_eq!(log.acknowledged.len(), 50_000, "every event is answered in the end");
    verdict(&pipeline, &log).await.assert_clean(&log);
}

#[tokio::test]
async fn partitions_are_shared_out_evenly_as_workers_come_and_go() {
    let mut pipeline = Setup::default().workers(1).start().await;
    dealt_out(&pipeline, 1).await;
    pipeline.add_worker();
    dealt_out(&pipeline, 2).await;
    pipeline.add_worker();
    dealt_out(&pipeline, 3).await;
    let mut leaving = pipeline.workers.remove(0);
    let asked = Instant::now();
    assert!(leaving.stop().await.success());
    let (ended, dealt) = (asked.elapsed(), dealt_out(&pipeline, 2).await);
    let lease = Duration::from_secs(LEASE_SECONDS);
    assert!(ended + dealt < lease + Duration::from_secs(5), "handing over took {ended:?} and {dealt:?}");
}

#[tokio::test]
async fn the_partitions_of_a_killed_worker_are_taken_over_within_the_lease_and_five_seconds() {
    let mut pipeline = Setup::default().workers(2).start().await;
    dealt_out(&pipeline, 2).await;
    let all = "SELECT DISTINCT owner FROM partitions";
    let before: Vec<uuid::Uuid> = sqlx::query_scalar(all).fetch_all(&pipeline.database.pool).await.unwrap();
    pipeline.workers[0].kill();
    within(Duration::from_secs(LEASE_SECONDS + 5), "one owner is left", async || {
        let now: Vec<Option<uuid::Uuid>> = sqlx::query_scalar(all).fetch_all(&pipeline.database.pool).await.unwrap();
        match now[..] {
            [Some(owner)] if before.contains(&owner) => Ok(()),
            _ => Err(format!("{now:?}")),
        }
    })
    .await;
    pipeline.client().accepted("/v1/track", &serde_json::json!({"user_id": "u", "event": "e"})).await;
    pipeline.drained().await;
    assert_eq!(pipeline.rows().await, 1);
}

#[tokio::test]
async fn a_worker_that_slept_through_its_lease_is_fenced_out() {
    let mut pipeline = with_campaigns().workers(1).start().await;
    dealt_out(&pipeline, 1).await;
    let owner: uuid::Uuid =
        sqlx::query_scalar("SELECT owner FROM partitions LIMIT 1").fetch_one(&pipeline.database.pool).await.unwrap();
    let load = Load { events: 10_000, users: 200, batch: 50, ..Load::default() };
    let control = Control::default();
    let targets = vec![pipeline.ingests[0].address];
    let running = tokio::spawn({
        let (load, control) = (load.clone(), control.clone());
        async move { load.run(&targets, &control).await }
    });
    control.reaches(2_000).await;
    // Wherever it happens to be: reading, or in the middle of a transaction.
    pipeline.workers[0].pause();
    pipeline.add_worker();
    pipeline.workers[1].ready().await;
    taken_from(&pipeline, owner, Duration::from_secs(LEASE_SECONDS + 5)).await;
    control.reaches(6_000).await;
    pipeline.workers[0].resume();
    let log = running.await.unwrap();
    verdict(&pipeline, &log).await.assert_clean(&log);
    pipeline.workers[0].ready().await;
    dealt_out(&pipeline, 2).await;
}

#[tokio::test]
async fn a_backlog_that_grew_without_workers_is_drained_in_order() {
    let mut pipeline = with_campaigns().workers(0).start().await;
    let load = Load { events: 10_000, users: 300, batch: 100, ..Load::default() };
    let log = load.run(&[pipeline.ingests[0].address], &Control::default()).await;
    assert_eq!(pipeline.rows().await, 0);
    for _ in 0..3 {
        pipeline.add_worker();
    }
    verdict(&pipeline, &log).await.assert_clean(&log);
}

#[tokio::test]
async fn two_lanes_and_two_flushers_in_one_process_are_the_same_pipeline() {
    let mut pipeline = with_campaigns().set("LANES", "2").set("FLUSHERS", "2").workers(2).start().await;
    let load = Load { events: 10_000, users: 300, batch: 50, ..Load::default() };
    let control = Control::default();
    control.allow(5_000);
    let targets = vec![pipeline.ingests[0].address];
    let running = tokio::spawn({
        let (load, control) = (load.clone(), control.clone());
        async move { load.run(&targets, &control).await }
    });
    control.reaches(4_000).await;
    pipeline.workers[0].kill();
    control.allow(u64::MAX);
    let log = running.await.unwrap();
    for lane in pipeline.stream.lanes.clone() {
        assert!(pipeline.stream.state_of(&lane).await.last_seq > 0, "nothing went through {}", lane.stream);
    }
    verdict(&pipeline, &log).await.assert_clean(&log);
}

#[tokio::test]
async fn whichever_lane_is_made_first_the_first_layout_is_that_of_the_settings() {
    let mut pipeline = Setup::default().set("LANES", "2").workers(0).without_waiting().start().await;
    pipeline.stream.delete().await;
    // An owner of the second lane is quicker than all others.
    let settings = SharedSettings::read(&mut Reader::from_map(pipeline.environment_of("worker")));
    let (lane, layout) = (&pipeline.stream.lanes[1], settings.first_layout);
    let mut connection = pipeline.database.pool.acquire().await.unwrap();
    attach::load(&mut connection, &pipeline.stream.context, lane, &settings, layout).await.unwrap();
    drop(connection);

    pipeline.add_worker();
    pipeline.ready().await;
    assert_eq!(pipeline.database.number("SELECT count(*) FROM lanes").await, 2);
    let as_set = "SELECT count(*) FROM partitions WHERE lane = partition % 2 AND partition < 16";
    assert_eq!(pipeline.database.number(as_set).await, 16);
    assert_eq!(pipeline.stream.state().await.layout, layout);
}

#[tokio::test]
async fn a_dead_worker_is_noticed_by_its_session_lock_long_before_its_lease_ends() {
    let mut pipeline = Setup::default().set("LEASE_SECONDS", "60").workers(2).start().await;
    dealt_out(&pipeline, 2).await;
    let killed = Instant::now();
    pipeline.workers[0].kill();
    let gone = "SELECT count(DISTINCT owner) FROM partitions";
    eventually("one owner has everything", async || equal(pipeline.database.number(gone).await, 1)).await;
    assert!(killed.elapsed() < Duration::from_secs(10), "it took {:?}", killed.elapsed());
}

#[tokio::test]
async fn without_session_locks_the_lease_decides() {
    let mut pipeline = with_campaigns().set("SESSION_LOCK", "false").workers(2).start().await;
    dealt_out(&pipeline, 2).await;
    let killed = Instant::now();
    pipeline.workers[0].kill();
    let load = Load { events: 2_000, ..Load::default() };
    let log = load.run(&[pipeline.ingests[0].address], &Control::default()).await;
    let gone = "SELECT count(DISTINCT owner) FROM partitions";
    eventually("one owner has everything", async || equal(pipeline.database.number(gone).await, 1)).await;
    let took = killed.elapsed();
    assert!(took < Duration::from_secs(LEASE_SECONDS + 5), "it took {took:?}");
    verdict(&pipeline, &log).await.assert_clean(&log);
}
