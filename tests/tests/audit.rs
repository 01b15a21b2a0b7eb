//! `worker audit` finds what does not balance, and is silent about everything that is in order, however it came about.

use serde_json::json;
use shared::domain::message::PLAIN_VERSION;
use shared::domain::user_key::UserKey;
use tests::books::{
    PARTITIONS, assert_balanced, event, execute, line, move_positions, publish, with_poison, without_worker,
    worker_again,
};
use tests::eventually::eventually;
use tests::load::{Control, Load};
use tests::pipeline::{Pipeline, Setup};
use tests::program::{Output, run};

async fn audit(pipeline: &Pipeline) -> Output {
    audit_with(pipeline, &["audit"]).await
}

async fn audit_with(pipeline: &Pipeline, arguments: &[&str]) -> Output {
    run("worker", arguments, &pipeline.environment_of("worker")).await
}

/// The audit must fail and name each of these.
async fn assert_found(pipeline: &Pipeline, wanted: &[&str]) {
    let output = audit(pipeline).await;
    assert!(!output.status.success(), "{}", output.text);
    for text in wanted {
        assert!(output.text.contains(text), "{text:?} is not named:\n{}", output.text);
    }
}

#[tokio::test]
async fn loads_duplicates_dead_letters_and_killed_workers_balance_in_two_lanes_also_meanwhile() {
    let mut pipeline = Setup::default().workers(2).set("LANES", "2").start().await;
    let address = pipeline.ingests[0].address;
    let load = Load { seed: 1, events: 8_000, users: 200, ..Load::default() };
    let running = tokio::spawn(async move { load.run(&[address], &Control::default()).await });
    for round in 0..4 {
        let worker = round % 2;
        let before = pipeline.rows().await;
        eventually("some more are stored", async || {
            let rows = pipeline.rows().await;
            if rows > before || running.is_finished() { Ok(()) } else { Err(rows.to_string()) }
        })
        .await;
        pipeline.workers[worker].kill();
        assert_balanced(&pipeline).await;
        pipeline.workers[worker].start_again();
    }
    running.await.unwrap();
    // The same once more: every event is a duplicate.
    let again = Load { seed: 1, events: 2_000, users: 200, ..Load::default() };
    again.run(&[address], &Control::default()).await;
    // By hand into the first lane, which has the even partitions.
    let mut users = (0..).map(|n| format!("u-{n}"));
    let user = users.find(|user| UserKey::user(user).partition(PARTITIONS).is_multiple_of(2)).unwrap();
    publish(&pipeline, 0, &with_poison(&user)).await;
    pipeline.stream.publish(bytes::Bytes::from_static(b"\xffrubbish"), 7, PLAIN_VERSION).await;
    pipeline.ready().await;
    pipeline.drained().await;
    assert_eq!(pipeline.database.number("SELECT sum(events) FROM dead_letters").await, 8);
    assert_balanced(&pipeline).await;
}

#[tokio::test]
async fn an_adopted_stream_is_read_again_and_balances() {
    let mut pipeline = Pipeline::start().await;
    let client = pipeline.client();
    for number in 0..20 {
        client.accepted("/v1/track", &event(&format!("m-{number}"), &format!("u-{number}"))).await;
    }
    publish(&pipeline, 2, &with_poison("u")).await;
    pipeline.stream.publish(bytes::Bytes::from_static(b"\xffrubbish"), 7, PLAIN_VERSION).await;
    pipeline.drained().await;
    assert_balanced(&pipeline).await;
    // Adopted although nothing happened to it: everything is read a second and a third time.
    for _ in 0..2 {
        let output = run("worker", &["adopt-stream"], &pipeline.environment_of("worker")).await;
        assert!(output.status.success(), "{}", output.text);
        assert_balanced(&pipeline).await;
        pipeline.drained().await;
        pipeline.ready().await;
        client.accepted("/v1/track", &event("between", "u")).await;
        pipeline.drained().await;
        assert_balanced(&pipeline).await;
    }
    let query = "SELECT sum(dead)::bigint FROM ledger";
    assert_eq!(
        pipeline.database.number(query).await,
        8,
        "what is put aside already is a duplicate when it comes again"
    );
}

#[tokio::test]
async fn a_stream_that_was_made_anew_balances_and_a_letter_at_the_place_of_an_old_one_is_kept() {
    let mut pipeline = Pipeline::start().await;
    publish(&pipeline, 0, &with_poison("u")).await;
    pipeline.drained().await;
    pipeline.stream.delete().await;
    pipeline.workers[0].unready().await;
    assert_found(&pipeline, &["does not exist any more"]).await;
    let output = run("worker", &["adopt-stream"], &pipeline.environment_of("worker")).await;
    assert!(output.status.success(), "{}", output.text);
    pipeline.ready().await;
    assert_eq!(publish(&pipeline, 0, &with_poison("u")).await, 1, "the same place in the new stream");
    pipeline.drained().await;
    assert_eq!(pipeline.database.number("SELECT count(*) FROM dead_letters").await, 2);
    assert_balanced(&pipeline).await;
}

#[tokio::test]
async fn a_trimmed_stream_balances_and_what_is_left_of_it_is_still_compared() {
    let setup = Setup::default().set("STREAM_MAX_BYTES", &(16 << 20).to_string());
    let pipeline = setup.set("TRIM_INTERVAL_SECONDS", "0.5").set("REPLAY_WINDOW_SECONDS", "1").start().await;
    let load = Load { events: 2_000, ..Load::default() };
    load.run(&[pipeline.ingests[0].address], &Control::default()).await;
    publish(&pipeline, 3, &with_poison("u")).await;
    pipeline.drained().await;
    eventually("processed messages are trimmed", async || {
        let state = pipeline.stream.state().await;
        if state.messages == 0 { Ok(()) } else { Err(format!("{state:?}")) }
    })
    .await;
    assert_balanced(&pipeline).await;
    load.run(&[pipeline.ingests[0].address], &Control::default()).await;
    pipeline.drained().await;
    assert_balanced(&pipeline).await;
    execute(&pipeline, "DELETE FROM events WHERE id = (SELECT id FROM events ORDER BY received_at LIMIT 1)").await;
    assert_found(&pipeline, &["1 rows too few"]).await;
}

#[tokio::test]
async fn hours_and_dropped_days_balance() {
    let mut pipeline = Setup::default().set("RETENTION_DAYS", "90").start().await;
    for hours in [30, 1, 0, 1] {
        let lines: Vec<_> = (0..40).map(|n| line(&format!("u-{n}"), "{}")).collect();
        publish(&pipeline, hours, &lines).await;
    }
    let day = chrono::Utc::now().date_naive() - chrono::Days::new(40);
    for number in 0..30 {
        let old = json!({"user_id": "u", "event": "old", "messageId": format!("old-{number}"), "timestamp": format!("{day}T12:00:00Z")});
        pipeline.client().accepted("/v1/track", &old).await;
    }
    pipeline.drained().await;
    assert_eq!(pipeline.rows().await, 190);
    assert_balanced(&pipeline).await;
    pipeline.workers[0].kill();
    pipeline.workers[0].set("RETENTION_DAYS", "30");
    worker_again(&mut pipeline).await;
    eventually("the old day is dropped", async || match pipeline.rows().await {
        160 => Ok(()),
        rows => Err(rows.to_string()),
    })
    .await;
    assert_balanced(&pipeline).await;
    // Another hour is not this one.
    let moved = "WITH least AS (SELECT partition, min(hour) AS hour FROM ledger GROUP BY 1 HAVING count(*) > 1 LIMIT 1)
         UPDATE ledger l SET hour = l.hour - interval '5 h' FROM least WHERE (l.partition, l.hour) = (least.partition, least.hour)";
    assert_eq!(execute(&pipeline, moved).await, 1);
    assert_found(&pipeline, &["2 imbalance(s) found"]).await;
}

#[tokio::test]
async fn a_row_deleted_by_hand_is_found() {
    let pipeline = Pipeline::start().await;
    for number in 0..50 {
        pipeline.client().accepted("/v1/track", &event(&format!("m-{number}"), &format!("u-{number}"))).await;
    }
    pipeline.drained().await;
    assert_balanced(&pipeline).await;
    let delete = "DELETE FROM events WHERE message_id = 'm-17' RETURNING id";
    let id: uuid::Uuid = sqlx::query_scalar(delete).fetch_one(&pipeline.database.pool).await.unwrap();
    assert_found(&pipeline, &["1 rows too few", "1 events have no row and no dead letter", &id.to_string()]).await;
    // Of the last hours only: the messages tell it alone. Nothing is that old.
    let recent = audit_with(&pipeline, &["audit", "--since", "2h"]).await;
    assert!(!recent.status.success() && recent.text.contains(&id.to_string()), "{}", recent.text);
    let tomorrow = (chrono::Utc::now() + chrono::Days::new(1)).date_naive().to_string();
    let none = audit_with(&pipeline, &["audit", "--since", &tomorrow]).await;
    assert!(none.status.success() && none.text.contains("audited 0 events"), "{}", none.text);
}

#[tokio::test]
async fn a_message_that_was_skipped_is_found_whether_its_events_are_new_or_not() {
    for (id, wanted) in [("new", "1 events have no row"), ("known", "the messages hold 2 events, the ledger read 1")] {
        let mut pipeline = Pipeline::start().await;
        pipeline.client().accepted("/v1/track", &event("known", "u")).await;
        pipeline.drained().await;
        without_worker(&mut pipeline).await;
        assert_balanced(&pipeline).await;
        let stored = "SELECT to_char(original_timestamp::timestamptz, 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') FROM events";
        let stored: String = sqlx::query_scalar(stored).fetch_one(&pipeline.database.pool).await.unwrap();
        let mut skipped = event(id, "u");
        skipped["timestamp"] = json!(stored);
        pipeline.client().accepted("/v1/track", &skipped).await;
        assert_balanced(&pipeline).await;
        let last = pipeline.stream.state().await.last_seq;
        move_positions(&pipeline, last).await;
        worker_again(&mut pipeline).await;
        pipeline.client().accepted("/v1/track", &event("after", "v")).await;
        pipeline.drained().await;
        assert_found(&pipeline, &[wanted]).await;
    }
}

#[tokio::test]
async fn a_position_moved_by_hand_is_found_before_and_after_workers_went_on_from_it() {
    let mut pipeline = Pipeline::start().await;
    for number in 0..10 {
        pipeline.client().accepted("/v1/track", &event(&format!("m-{number}"), "u")).await;
    }
    pipeline.drained().await;
    without_worker(&mut pipeline).await;
    move_positions(&pipeline, 5).await;
    assert_found(&pipeline, &["the messages hold 5 events, the ledger read 10"]).await;
    worker_again(&mut pipeline).await;
    assert_found(&pipeline, &["the messages hold 10 events, the ledger read 15"]).await;

    // Beyond the end, and to another batch, no worker would go on at all.
    without_worker(&mut pipeline).await;
    execute(&pipeline, "UPDATE partitions SET last_seq = 99 WHERE partition = 3").await;
    assert_found(&pipeline, &["partition 3 has processed message 99"]).await;
    execute(&pipeline, "UPDATE partitions SET last_seq = 10, last_batch_id = 'another' WHERE partition = 3").await;
    assert_found(&pipeline, &["partition 3 had processed batch another"]).await;
}

#[tokio::test]
async fn a_ledger_changed_by_hand_is_found() {
    let pipeline = Pipeline::start().await;
    for number in 0..10 {
        pipeline.client().accepted("/v1/track", &event(&format!("m-{number}"), "u")).await;
    }
    pipeline.drained().await;
    for (change, back, wanted) in [
        (
            "read = read + 1, stored = stored + 1",
            "read = read - 1, stored = stored - 1",
            "the messages hold 10 events, the ledger read 11",
        ),
        (
            "stored = stored - 1, duplicate = duplicate + 1",
            "stored = stored + 1, duplicate = duplicate - 1",
            "1 rows too many",
        ),
        (
            "stored = stored - 1, dead = dead + 1",
            "stored = stored + 1, dead = dead - 1",
            "1 events are dead, the dead letters hold 0",
        ),
        (
            "partition = (partition + 1) % 16",
            "partition = (partition + 15) % 16",
            "the messages hold 0 events, the ledger read 10",
        ),
    ] {
        assert_eq!(execute(&pipeline, &format!("UPDATE ledger SET {change}")).await, 1);
        assert_found(&pipeline, &[wanted]).await;
        execute(&pipeline, &format!("UPDATE ledger SET {back}")).await;
        assert_balanced(&pipeline).await;
    }
    execute(&pipeline, "DELETE FROM ledger").await;
    assert_found(&pipeline, &["the messages hold 10 events, the ledger read 0", "10 rows too many"]).await;
}

#[tokio::test]
async fn a_dead_letter_deleted_by_hand_is_found() {
    let pipeline = Pipeline::start().await;
    publish(&pipeline, 0, &with_poison("u")).await;
    let damaged = pipeline.stream.publish(bytes::Bytes::from_static(b"\xffrubbish"), 7, PLAIN_VERSION).await;
    pipeline.drained().await;
    assert_balanced(&pipeline).await;
    execute(&pipeline, &format!("DELETE FROM dead_letters WHERE stream_seq = {damaged}")).await;
    let wanted = format!("message {damaged} of {}, partition 0: 7 events have no row", pipeline.stream.lane.stream);
    assert_found(&pipeline, &[&wanted, "7 events are dead, the dead letters hold 0"]).await;
    execute(&pipeline, "DELETE FROM dead_letters").await;
    assert_found(&pipeline, &["1 events are dead, the dead letters hold 0", "1 events have no row"]).await;
}

#[tokio::test]
async fn events_of_a_partition_that_nobody_processes_are_found() {
    let pipeline = Pipeline::start().await;
    let (_, text) = line("u", "{}");
    publish(&pipeline, 0, &[(99, text)]).await;
    publish(&pipeline, 0, &[line("u", "{}")]).await;
    pipeline.drained().await;
    assert_found(&pipeline, &["1 events of partition 99"]).await;
}

#[tokio::test]
async fn books_of_the_release_before_are_taken_as_settled_and_balance_from_there_on() {
    let mut pipeline = Pipeline::start().await;
    for number in 0..10 {
        pipeline.client().accepted("/v1/track", &event(&format!("m-{number}"), &format!("u-{number}"))).await;
    }
    publish(&pipeline, 100, &with_poison("u")).await;
    pipeline.drained().await;
    without_worker(&mut pipeline).await;
    for statement in [
        "ALTER TABLE partitions DROP COLUMN counted_from",
        "ALTER TABLE ledger DROP COLUMN settled, DROP COLUMN first_seq",
        "ALTER TABLE lanes DROP COLUMN audited_to, DROP COLUMN audited_events, DROP COLUMN imbalance, DROP COLUMN suspect_seq",
        "DROP TABLE removals",
        "DELETE FROM _sqlx_migrations WHERE version = 5",
        // It counted a letter again when it was read again, and dropped days without a note.
        "UPDATE ledger SET read = read + 4, dead = dead + 1, stored = stored + 3 WHERE dead > 0",
    ] {
        execute(&pipeline, statement).await;
    }
    let output = run("worker", &["migrate"], pipeline.environment()).await;
    assert!(output.status.success(), "{}", output.text);
    tests::roles::make(&pipeline.database.url);
    assert_eq!(pipeline.database.number("SELECT sum(events)::bigint FROM removals").await, 3);
    assert_balanced(&pipeline).await;
    worker_again(&mut pipeline).await;
    for number in 5..15 {
        pipeline.client().accepted("/v1/track", &event(&format!("m-{number}"), &format!("u-{number}"))).await;
    }
    publish(&pipeline, 100, &with_poison("u")).await;
    pipeline.drained().await;
    assert_balanced(&pipeline).await;
    execute(&pipeline, "DELETE FROM events WHERE message_id = 'm-3'").await;
    assert_found(&pipeline, &["1 events have no row", "1 rows too few"]).await;
}

#[tokio::test]
async fn letters_that_are_redriven_balance_whether_they_die_again_or_not() {
    let pipeline = Pipeline::start().await;
    execute(&pipeline, "ALTER TABLE events ADD CONSTRAINT mistake CHECK (message_id NOT LIKE 'bad-%')").await;
    for number in 0..6 {
        let id = if number % 2 == 0 { format!("bad-{number}") } else { format!("good-{number}") };
        pipeline.client().accepted("/v1/track", &event(&id, "u")).await;
    }
    pipeline.drained().await;
    let redrive = ["dead-letters", "redrive", "--all"];
    let dead = "SELECT sum(dead)::bigint FROM ledger";
    for (letters, mended) in [(6, false), (6, true)] {
        if mended {
            execute(&pipeline, "ALTER TABLE events DROP CONSTRAINT mistake").await;
        }
        let output = audit_with(&pipeline, &redrive).await;
        assert!(output.status.success(), "{}", output.text);
        pipeline.drained().await;
        assert_eq!(pipeline.database.number(dead).await, letters, "mended {mended}");
        assert_balanced(&pipeline).await;
    }
    assert_eq!(pipeline.rows().await, 6);
    // Everything once more: letters that are there, rows that are there.
    let output = audit_with(&pipeline, &["adopt-stream"]).await;
    assert!(output.status.success(), "{}", output.text);
    pipeline.drained().await;
    assert_balanced(&pipeline).await;
}
