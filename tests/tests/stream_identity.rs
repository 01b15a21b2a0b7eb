//! A stream that is not the one that was being read, or not whole, is never read on in silence.

use std::path::Path;

use tests::folder::Folder;
use tests::load::{Control, Load, Log};
use tests::oracle::{Found, campaigns, judge};
use tests::pipeline::{Pipeline, Setup};
use tests::program::run;
use tests::services::PrivateNats;

fn with_campaigns() -> Setup {
    campaigns().into_iter().fold(Setup::default(), Setup::campaign)
}

async fn load(pipeline: &Pipeline, seed: u64) -> Log {
    let load = Load { seed, events: 2_000, users: 40, ..Load::default() };
    load.run(&[pipeline.ingests[0].address], &Control::default()).await
}

async fn adopt(pipeline: &Pipeline) {
    let output = run("worker", &["adopt-stream"], &pipeline.environment_of("worker")).await;
    assert!(output.status.success(), "{}", output.text);
}

/// Ingest must refuse with 503, a reason and Retry-After.
async fn assert_refuses(pipeline: &Pipeline) {
    let body = serde_json::json!({"user_id": "u", "event": "e", "messageId": "refused"});
    let answer = pipeline.client().post("/v1/track", &body).await.unwrap();
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.header("retry-after").is_some_and(|seconds| seconds.parse::<u32>().unwrap() >= 2));
}

/// Nothing that was acknowledged is missing and nothing is doubled, over all loads.
async fn assert_nothing_skipped(pipeline: &Pipeline, logs: impl IntoIterator<Item = Log>) {
    pipeline.drained().await;
    let mut log = Log::default();
    logs.into_iter().for_each(|one| log.add(one));
    let mut found = Found::of(pipeline).await;
    // Positions began anew, so the books have seen more than this stream holds.
    found.published_by_partition = None;
    judge(&log, &found, 0).assert_clean(&log);
}

#[tokio::test]
async fn a_deleted_stream_halts_everything_until_it_is_adopted() {
    let mut pipeline = Pipeline::start().await;
    let client = pipeline.client();
    let event = |id: &str| serde_json::json!({"user_id": "u", "event": "e", "messageId": id});
    client.accepted("/v1/track", &event("before")).await;
    pipeline.drained().await;

    pipeline.stream.delete().await;
    let said = pipeline.workers[0].unready().await;
    assert!(said.contains(&pipeline.stream.lane.stream) && said.contains("does not exist"), "{said}");
    let said = pipeline.ingests[0].unready().await;
    assert!(said.contains(&pipeline.stream.lane.stream), "{said}");
    assert_refuses(&pipeline).await;

    adopt(&pipeline).await;
    pipeline.ready().await;
    client.accepted("/v1/track", &event("after")).await;
    client.accepted("/v1/track", &event("before")).await;
    pipeline.drained().await;
    let query = "SELECT message_id FROM events ORDER BY 1";
    let rows: Vec<String> = sqlx::query_scalar(query).fetch_all(&pipeline.database.pool).await.unwrap();
    assert_eq!(rows, ["after", "before"]);
}

#[tokio::test]
async fn a_recreated_stream_is_recognised_although_it_is_empty() {
    let mut pipeline = Pipeline::start().await;
    pipeline.client().accepted("/v1/track", &serde_json::json!({"user_id": "u", "event": "e"})).await;
    pipeline.drained().await;
    pipeline.stream.delete().await;
    pipeline.stream.create(pipeline.environment()).await;
    let said = pipeline.workers[0].unready().await;
    assert!(said.contains("anew"), "the gap is not named: {said}");
    pipeline.ingests[0].unready().await;
    assert_refuses(&pipeline).await;

    // What the present stream has acknowledged in the meantime is not skipped by adopting it.
    let partition = shared::domain::user_key::UserKey::user("v").partition(16);
    let now = chrono::Utc::now();
    let line = serde_json::json!({"id": uuid::Uuid::new_v4(), "day": now.date_naive(), "type": "track", "user_id": "v",
        "event": "meantime", "timestamp": now, "received_at": now, "source": "by hand"});
    pipeline.stream.publish_lines(&[(partition, line.to_string().as_bytes())]).await;
    adopt(&pipeline).await;
    pipeline.ready().await;
    pipeline.drained().await;
    assert_eq!(pipeline.database.number("SELECT count(*) FROM events WHERE event = 'meantime'").await, 1);
    assert_eq!(pipeline.rows().await, 2);
}

#[tokio::test]
async fn a_stream_that_is_made_anew_after_an_adoption_is_recognised_once_more() {
    let mut pipeline = Pipeline::start().await;
    for round in 0..2 {
        let event = serde_json::json!({"user_id": "u", "event": "e", "messageId": format!("m-{round}")});
        pipeline.client().accepted("/v1/track", &event).await;
        pipeline.drained().await;
        pipeline.stream.delete().await;
        pipeline.stream.create(pipeline.environment()).await;
        let said = pipeline.ingests[0].unready_with("replaced").await;
        assert!(said.contains("adopt-stream"), "{said}");
        assert_refuses(&pipeline).await;
        adopt(&pipeline).await;
        pipeline.ready().await;
    }
    assert_eq!(pipeline.rows().await, 2);
}

#[tokio::test]
async fn a_load_across_a_recreated_stream_skips_and_doubles_nothing() {
    let mut pipeline = with_campaigns().workers(2).start().await;
    let before = load(&pipeline, 1).await;
    pipeline.drained().await;
    pipeline.stream.delete().await;
    pipeline.stream.create(pipeline.environment()).await;
    for worker in &pipeline.workers {
        worker.unready().await;
    }
    adopt(&pipeline).await;
    pipeline.ready().await;
    let after = load(&pipeline, 2).await;
    assert_nothing_skipped(&pipeline, [before, after]).await;
}

#[tokio::test]
async fn an_older_copy_of_the_streams_folder_is_recognised() {
    let nats = PrivateNats::start();
    let mut pipeline = with_campaigns().nats(&nats).start().await;
    let older = Folder::new("older-copy");
    let in_the_copy = load(&pipeline, 1).await;
    pipeline.drained().await;
    nats.kill();
    copy(&nats.data(), older.path());
    nats.restart();
    pipeline.ready().await;
    let lost_from_the_stream = load(&pipeline, 2).await;
    pipeline.drained().await;

    nats.kill();
    std::fs::remove_dir_all(nats.data()).unwrap();
    copy(older.path(), &nats.data());
    nats.restart();
    let said = pipeline.workers[0].unready_with("older copy").await;
    assert!(said.contains("adopt-stream"), "it does not say what to do: {said}");
    let said = pipeline.ingests[0].unready_with(&pipeline.stream.lane.stream).await;
    eprintln!("ingest says: {said}");
    assert_refuses(&pipeline).await;

    adopt(&pipeline).await;
    pipeline.ready().await;
    let after = load(&pipeline, 3).await;
    assert_nothing_skipped(&pipeline, [in_the_copy, lost_from_the_stream, after]).await;
}

#[tokio::test]
async fn an_older_copy_that_has_overtaken_the_positions_is_recognised_by_its_history() {
    let nats = PrivateNats::start();
    let mut pipeline = Setup::default().nats(&nats).start().await;
    let event = |id: &str| serde_json::json!({"user_id": "u", "event": "e", "messageId": id});
    let client = pipeline.client();
    let older = Folder::new("older-copy");
    client.accepted("/v1/track", &event("in-both")).await;
    pipeline.drained().await;
    nats.kill();
    copy(&nats.data(), older.path());
    nats.restart();
    pipeline.ready().await;
    client.accepted("/v1/track", &event("only-in-the-first")).await;
    pipeline.drained().await;

    // Everything stops; the older copy is put back, and another ingest, which knows of nothing, fills it beyond the positions.
    for program in pipeline.ingests.iter_mut().chain(&mut pipeline.workers) {
        program.kill();
    }
    nats.kill();
    std::fs::remove_dir_all(nats.data()).unwrap();
    copy(older.path(), &nats.data());
    nats.restart();
    pipeline.ingests[0].start_again();
    pipeline.ingests[0].ready().await;
    for number in 0..5 {
        pipeline.client().accepted("/v1/track", &event(&format!("overtaking-{number}"))).await;
    }
    pipeline.workers[0].start_again();
    let said = pipeline.workers[0].unready_with("history").await;
    assert!(said.contains("adopt-stream"), "it does not say what to do: {said}");
    assert_eq!(pipeline.rows().await, 2);

    adopt(&pipeline).await;
    pipeline.ready().await;
    pipeline.drained().await;
    assert_eq!(pipeline.rows().await, 7);
}

/// Copies a folder with all that is in it.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
