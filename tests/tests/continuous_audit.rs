//! The continuous audit says 0 whatever workers go through, and names what is lost or changed.

use tests::books::{
    assert_balanced, event, execute, move_positions, publish, with_poison, without_worker, worker_again,
};
use tests::eventually::eventually;
use tests::load::{Control, Load};
use tests::metrics::Metrics;
use tests::pipeline::{Pipeline, Setup};
use tests::program::run;

const METRIC: &str = "pipeline_audit_imbalance";

/// Waits until the continuous audit has compared everything and both the database and a worker say `wanted`.
async fn imbalance_is(pipeline: &Pipeline, wanted: impl Fn(i64) -> bool) {
    eventually("the continuous audit has compared everything", async || {
        let behind = "SELECT count(*) FROM lanes l WHERE audited_to < (SELECT min(last_seq) FROM partitions p WHERE p.lane = l.lane)";
        let behind = pipeline.database.number(behind).await;
        let stored = pipeline.database.number("SELECT sum(imbalance)::bigint FROM lanes").await;
        let metrics = Metrics::of(&pipeline.workers[0]).await;
        #[expect(clippy::cast_possible_truncation, reason = "a whole number")]
        let shown = metrics.has(METRIC).then(|| metrics.sum(METRIC, &[]) as i64);
        let said = format!("{behind} lanes behind, {stored} in the database, {shown:?} shown");
        if behind == 0 && shown.is_some_and(&wanted) && wanted(stored) { Ok(()) } else { Err(said) }
    })
    .await;
}

#[tokio::test]
async fn the_continuous_audit_says_0_under_load_with_killed_workers_and_an_adopted_stream() {
    let mut pipeline = Setup::default().workers(2).set("LANES", "2").set("AUDIT_INTERVAL_SECONDS", "0.5").start().await;
    let address = pipeline.ingests[0].address;
    let load = Load { events: 8_000, users: 200, ..Load::default() };
    let running = tokio::spawn(async move { load.run(&[address], &Control::default()).await });
    let mut round = 0;
    while !running.is_finished() {
        let looked = pipeline.database.number("SELECT sum(audited_events)::bigint FROM lanes").await;
        eventually("the audit has looked again", async || {
            let now = pipeline.database.number("SELECT sum(audited_events)::bigint FROM lanes").await;
            assert_eq!(pipeline.database.number("SELECT sum(imbalance)::bigint FROM lanes").await, 0);
            if now > looked || running.is_finished() { Ok(()) } else { Err(now.to_string()) }
        })
        .await;
        pipeline.workers[round % 2].kill();
        pipeline.workers[round % 2].start_again();
        pipeline.workers[round % 2].ready().await;
        round += 1;
    }
    running.await.unwrap();
    pipeline.drained().await;
    imbalance_is(&pipeline, |n| n == 0).await;
    let output = run("worker", &["adopt-stream"], &pipeline.environment_of("worker")).await;
    assert!(output.status.success(), "{}", output.text);
    assert_eq!(pipeline.database.number("SELECT sum(audited_events)::bigint FROM lanes").await, 0);
    pipeline.drained().await;
    imbalance_is(&pipeline, |n| n == 0).await;
    assert_balanced(&pipeline).await;
    for worker in &pipeline.workers {
        assert!(!worker.log().contains("do not balance"), "{}", worker.log());
    }
}

#[tokio::test]
async fn the_continuous_audit_sees_lost_letters_rows_and_messages_and_when_they_are_back() {
    let mut pipeline = Setup::default().set("AUDIT_INTERVAL_SECONDS", "0.5").start().await;
    for number in 0..5 {
        pipeline.client().accepted("/v1/track", &event(&format!("m-{number}"), "u")).await;
    }
    publish(&pipeline, 0, &with_poison("u")).await;
    pipeline.drained().await;
    imbalance_is(&pipeline, |n| n == 0).await;
    for (harm, repair) in [
        ("UPDATE dead_letters SET events = 0", "UPDATE dead_letters SET events = 1"),
        (
            "UPDATE ledger SET read = read + 3, duplicate = duplicate + 3",
            "UPDATE ledger SET read = read - 3, duplicate = duplicate - 3",
        ),
        (
            "UPDATE events SET id = gen_random_uuid() WHERE message_id = 'm-3'",
            "UPDATE events SET id = kept.id FROM kept WHERE message_id = 'm-3'",
        ),
    ] {
        execute(&pipeline, "CREATE TABLE IF NOT EXISTS kept AS SELECT id FROM events WHERE message_id = 'm-3'").await;
        execute(&pipeline, harm).await;
        imbalance_is(&pipeline, |n| n > 0).await;
        execute(&pipeline, repair).await;
        imbalance_is(&pipeline, |n| n == 0).await;
    }
    without_worker(&mut pipeline).await;
    pipeline.client().accepted("/v1/track", &event("skipped", "u")).await;
    let last = pipeline.stream.state().await.last_seq;
    move_positions(&pipeline, last).await;
    worker_again(&mut pipeline).await;
    imbalance_is(&pipeline, |n| n > 0).await;
    assert!(pipeline.workers[0].log().contains("`worker audit` tells where"));
}

#[tokio::test]
async fn the_continuous_audit_sees_a_position_that_was_moved_back_also_after_everything_was_read_again() {
    let mut pipeline = Setup::default().set("AUDIT_INTERVAL_SECONDS", "0.5").start().await;
    for number in 0..5 {
        pipeline.client().accepted("/v1/track", &event(&format!("m-{number}"), "u")).await;
    }
    pipeline.drained().await;
    imbalance_is(&pipeline, |n| n == 0).await;
    without_worker(&mut pipeline).await;
    move_positions(&pipeline, 2).await;
    worker_again(&mut pipeline).await;
    imbalance_is(&pipeline, |n| n == 3).await;
}
