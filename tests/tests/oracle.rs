//! The judge itself, on a real pipeline: harm done to what is stored must be seen. Without these, a judge that looks at nothing
//! would pass every other suite.

use serde_json::json;
use tests::load::{Control, Load, Log};
use tests::oracle::{Found, Verdict, campaigns, judge};
use tests::pipeline::{Pipeline, Setup};

async fn loaded() -> (Pipeline, Log) {
    let pipeline = campaigns().into_iter().fold(Setup::default(), Setup::campaign).start().await;
    let load = Load { events: 1_000, users: 20, ..Load::default() };
    let log = load.run(&[pipeline.ingests[0].address], &Control::default()).await;
    pipeline.drained().await;
    (pipeline, log)
}

async fn harm(pipeline: &Pipeline, statement: &str) {
    let done = sqlx::query(statement).execute(&pipeline.database.pool).await.unwrap();
    assert!(done.rows_affected() > 0, "no harm was done by {statement}");
}

async fn judged(pipeline: &Pipeline, log: &Log) -> Verdict {
    judge(log, &Found::of(pipeline).await, 0)
}

#[tokio::test]
async fn a_sound_pipeline_passes_and_a_lost_doubled_or_changed_row_does_not() {
    let (pipeline, log) = loaded().await;
    judged(&pipeline, &log).await.assert_clean(&log);

    let one = "(SELECT id FROM events WHERE event = 'item_viewed' LIMIT 1)";
    harm(&pipeline, &format!("UPDATE events SET properties = '{{}}' WHERE id = {one}")).await;
    assert_eq!(judged(&pipeline, &log).await.faults.len(), 1);

    let copy = "SELECT (jsonb_populate_record(e, jsonb_build_object('day', e.day + 1))).* FROM events e";
    harm(&pipeline, &format!("INSERT INTO events {copy} WHERE e.id = {one}")).await;
    assert_eq!(judged(&pipeline, &log).await.duplicated.len(), 1);

    harm(&pipeline, &format!("DELETE FROM events WHERE id = {one}")).await;
    assert_eq!(judged(&pipeline, &log).await.lost.len(), 1);
}

#[tokio::test]
async fn a_position_that_advances_without_its_effects_is_seen() {
    let (mut pipeline, mut log) = loaded().await;
    pipeline.workers[0].kill();
    let load = Load { events: 100, users: 20, ..Load::default() };
    log.add(load.run(&[pipeline.ingests[0].address], &Control::default()).await);
    // As a worker would that commits its position first and dies: the position is right in every respect, but nothing was stored.
    let state = pipeline.stream.state().await;
    let last = shared::stream::lanes::message(&pipeline.stream.context, &pipeline.stream.lane, state.last_seq);
    let last = last.await.unwrap().expect("the last message");
    let batch = last.headers.get(shared::domain::message::BATCH_ID_HEADER).unwrap().as_str().to_owned();
    sqlx::query("UPDATE partitions SET last_seq = $1, last_batch_id = $2")
        .bind(i64::try_from(state.last_seq).unwrap())
        .bind(batch)
        .execute(&pipeline.database.pool)
        .await
        .unwrap();
    pipeline.workers[0].start_again();
    pipeline.ready().await;
    pipeline.drained().await;
    let verdict = judged(&pipeline, &log).await;
    assert!(verdict.lost.len() >= 100, "{} are lost", verdict.lost.len());
    assert!(verdict.faults.iter().any(|fault| fault.contains("the stream holds")), "{:?}", verdict.faults);
}

#[tokio::test]
async fn effects_applied_out_of_order_are_seen() {
    let (pipeline, log) = loaded().await;
    harm(&pipeline, "UPDATE users SET traits = traits || '{\"seq\": -1}'").await;
    assert_eq!(judged(&pipeline, &log).await.faults.len(), 20);
    let (pipeline, log) = loaded().await;
    harm(&pipeline, "DELETE FROM matches WHERE ctid = (SELECT min(ctid) FROM matches)").await;
    assert_eq!(judged(&pipeline, &log).await.faults.len(), 1);
    harm(
        &pipeline,
        "UPDATE ledger SET read = read + 1, duplicate = duplicate + 1 WHERE ctid = (SELECT min(ctid) FROM ledger)",
    )
    .await;
    let faults = judged(&pipeline, &log).await.faults;
    assert!(faults.iter().any(|fault| fault.contains("the stream holds")), "{faults:?}");
}

#[tokio::test]
async fn an_event_that_was_refused_is_not_stored() {
    let pipeline = Pipeline::start().await;
    let refused = json!({"user_id": ["no"], "event": "e", "messageId": "refused"});
    assert_eq!(pipeline.client().post("/v1/track", &refused).await.unwrap().status, 400);
    pipeline.client().accepted("/v1/track", &json!({"user_id": "u", "event": "e", "messageId": "accepted"})).await;
    pipeline.drained().await;
    assert_eq!(pipeline.rows().await, 1);
}
