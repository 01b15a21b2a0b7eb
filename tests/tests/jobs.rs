//! What happens by itself: partitions are made and dropped, the stream is trimmed, and never too far.

use chrono::{Days, NaiveDate, Utc};
use serde_json::json;
use tests::eventually::{eventually, within};
use tests::load::{Control, Load};
use tests::oracle::{campaigns, verdict};
use tests::pipeline::{Pipeline, Setup};
use tests::program::run;

fn today() -> NaiveDate {
    Utc::now().date_naive()
}

/// Makes the partition of a day as the worker names it, with one event in it.
async fn make_old_partition(pipeline: &Pipeline, day: NaiveDate) {
    let next = day + Days::new(1);
    let table = format!("events_{}", day.format("%Y%m%d"));
    for statement in [
        format!("CREATE TABLE {table} PARTITION OF events FOR VALUES FROM ('{day}') TO ('{next}')"),
        format!("ALTER TABLE {table} OWNER TO ec_events"),
        format!(
            "INSERT INTO events (day, id, type, user_id, \"timestamp\", received_at, source)
             VALUES ('{day}', gen_random_uuid(), 'track', 'u', '{day}', '{day}', 'by hand')"
        ),
    ] {
        sqlx::query(&statement).execute(&pipeline.database.pool).await.unwrap();
    }
}

async fn days(pipeline: &Pipeline) -> Vec<NaiveDate> {
    pipeline.database.event_partitions().await.into_iter().map(|(_, day)| day).collect()
}

#[tokio::test]
async fn partitions_are_made_a_week_ahead() {
    let pipeline = Pipeline::start().await;
    eventually("there are partitions for the next seven days", async || {
        let days = days(&pipeline).await;
        let missing: Vec<_> = (0..=7).map(|n| today() + Days::new(n)).filter(|day| !days.contains(day)).collect();
        if missing.is_empty() { Ok(()) } else { Err(format!("{missing:?} are missing")) }
    })
    .await;
    let default = "SELECT count(*) FROM pg_partitioned_table WHERE partrelid = 'events'::regclass AND partdefid <> 0";
    assert_eq!(pipeline.database.number(default).await, 0, "a default partition would block detaching");
}

#[tokio::test]
async fn an_expired_partition_is_dropped_and_one_within_the_retention_stays() {
    let mut pipeline = Setup::default().workers(0).set("RETENTION_DAYS", "30").start().await;
    let (expired, kept) = (today() - Days::new(33), today() - Days::new(31));
    make_old_partition(&pipeline, expired).await;
    make_old_partition(&pipeline, kept).await;
    // Two of them: one leader each job, and the other does no harm.
    pipeline.add_worker();
    pipeline.add_worker();
    pipeline.ready().await;
    eventually("the expired partition is gone", async || {
        let days = days(&pipeline).await;
        if days.contains(&expired) { Err(format!("{days:?}")) } else { Ok(()) }
    })
    .await;
    assert!(days(&pipeline).await.contains(&kept), "partitions go two days after the retention ends, not before");
    assert_eq!(pipeline.rows().await, 1);
    let listed = pipeline.admin().get("/v1/admin/events").await.unwrap().json();
    assert_eq!(listed["events"], json!([]), "what is past the retention is hidden, although it is still there");
}

#[tokio::test]
async fn a_detach_that_was_cut_off_holds_no_older_day_up() {
    let mut pipeline = Setup::default().workers(0).set("RETENTION_DAYS", "30").start().await;
    let (older, newer) = (today() - Days::new(45), today() - Days::new(40));
    make_old_partition(&pipeline, older).await;
    make_old_partition(&pipeline, newer).await;
    let table = format!("events_{}", newer.format("%Y%m%d"));
    // Somebody who reads holds the detach up between its two steps, and there it is given up.
    let pool = &pipeline.database.pool;
    let mut reader = pool.begin().await.unwrap();
    sqlx::query(&format!("SELECT count(*) FROM {table}")).execute(&mut *reader).await.unwrap();
    let mut detaching = pool.acquire().await.unwrap();
    sqlx::query("SET lock_timeout = '500ms'").execute(&mut *detaching).await.unwrap();
    let detach = format!("ALTER TABLE events DETACH PARTITION {table} CONCURRENTLY");
    sqlx::query(&detach).execute(&mut *detaching).await.unwrap_err();
    reader.rollback().await.unwrap();
    assert_eq!(pipeline.database.number("SELECT count(*) FROM pg_inherits WHERE inhdetachpending").await, 1);

    pipeline.add_worker();
    pipeline.ready().await;
    eventually("both are gone", async || {
        let days = days(&pipeline).await;
        if days.contains(&older) || days.contains(&newer) { Err(format!("{days:?}")) } else { Ok(()) }
    })
    .await;
}

/// A pipeline on the smallest stream, which keeps as little as possible of what is processed.
fn small_stream() -> Setup {
    campaigns()
        .into_iter()
        .fold(Setup::default(), Setup::campaign)
        .set("STREAM_MAX_BYTES", &(16 << 20).to_string())
        .set("TRIM_INTERVAL_SECONDS", "0.5")
        .set("REPLAY_WINDOW_SECONDS", "1")
}

#[tokio::test]
async fn the_stream_is_trimmed_after_it_was_processed() {
    let pipeline = small_stream().workers(2).start().await;
    let load = Load { events: 5_000, users: 50, ..Load::default() };
    let log = load.run(&[pipeline.ingests[0].address], &Control::default()).await;
    pipeline.drained().await;
    let state = eventually("processed messages are trimmed", async || {
        let state = pipeline.stream.state().await;
        if state.first_seq > 1 { Ok(state) } else { Err(format!("{state:?}")) }
    })
    .await;
    let least = pipeline.database.number("SELECT min(last_seq) FROM partitions").await;
    let trimmed = pipeline.database.number("SELECT trimmed_to FROM lanes").await;
    let first = i64::try_from(state.first_seq).unwrap();
    assert!(first - 1 <= trimmed && trimmed <= least, "first {first}, trimmed to {trimmed}, processed to {least}");
    verdict(&pipeline, &log).await.assert_clean(&log);
}

#[tokio::test]
async fn the_stream_is_never_trimmed_beyond_what_every_partition_has_processed() {
    let mut pipeline = small_stream().workers(1).start().await;
    let first = Load { seed: 1, events: 1_000, ..Load::default() };
    let mut log = first.run(&[pipeline.ingests[0].address], &Control::default()).await;
    pipeline.drained().await;
    // One partition is held back for good: somebody unknown owns it.
    let hold = "UPDATE partitions SET owner = gen_random_uuid(), lease_until = 'infinity' WHERE partition = 3
             RETURNING last_seq";
    pipeline.workers[0].kill();
    let held: i64 = sqlx::query_scalar(hold).fetch_one(&pipeline.database.pool).await.unwrap();
    pipeline.workers[0].start_again();
    let second = Load { seed: 2, events: 3_000, ..Load::default() };
    log.add(second.run(&[pipeline.ingests[0].address], &Control::default()).await);
    let others = format!("SELECT count(*) FROM partitions WHERE last_seq > {held}");
    eventually("the other partitions go on", async || match pipeline.database.number(&others).await {
        15 => Ok(()),
        other => Err(other.to_string()),
    })
    .await;
    eventually("the stream is trimmed up to the one that is held", async || {
        let trimmed = pipeline.database.number("SELECT trimmed_to FROM lanes").await;
        if trimmed > 0 { Ok(()) } else { Err("nothing is trimmed".to_owned()) }
    })
    .await;
    let state = pipeline.stream.state().await;
    assert!(i64::try_from(state.first_seq).unwrap() - 1 <= held, "message {} is gone, {held} is owed", state.first_seq);
    sqlx::query("UPDATE partitions SET owner = NULL, lease_until = '-infinity' WHERE partition = 3")
        .execute(&pipeline.database.pool)
        .await
        .unwrap();
    verdict(&pipeline, &log).await.assert_clean(&log);
}

#[tokio::test]
async fn a_full_stream_refuses_with_503_drops_nothing_and_recovers_unattended() {
    let mut pipeline = small_stream().workers(0).start().await;
    let client = pipeline.client();
    let filler = "x".repeat(200_000);
    let mut accepted = 0;
    let refused = loop {
        let body = json!({"user_id": format!("u-{accepted}"), "event": "e", "properties": {"filler": filler}});
        let answer = client.post("/v1/track", &body).await.unwrap();
        if answer.status != 200 {
            break answer;
        }
        accepted += 1;
        assert!(accepted < 200, "a stream of 16 MiB took 40 MB");
    };
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(refused.header("retry-after").is_some_and(|seconds| seconds.parse::<u32>().unwrap() >= 2));

    pipeline.add_worker();
    pipeline.ready().await;
    within(std::time::Duration::from_secs(60), "events are accepted again", async || {
        let body = json!({"user_id": "after", "event": "after", "messageId": "after"});
        let answer = client.post("/v1/track", &body).await.map_err(|e| e.to_string())?;
        if answer.status == 200 { Ok(()) } else { Err(answer.text()) }
    })
    .await;
    pipeline.drained().await;
    assert_eq!(pipeline.database.number("SELECT count(*) FROM events WHERE event = 'e'").await, accepted);
}

#[tokio::test]
async fn a_replay_of_the_window_changes_nothing() {
    let mut pipeline = campaigns().into_iter().fold(Setup::default(), Setup::campaign).start().await;
    let load = Load { events: 3_000, ..Load::default() };
    let log = load.run(&[pipeline.ingests[0].address], &Control::default()).await;
    pipeline.drained().await;
    // As if the positions had been lost.
    pipeline.workers[0].kill();
    sqlx::query("UPDATE partitions SET last_seq = 0, last_batch_id = NULL, owner = NULL")
        .execute(&pipeline.database.pool)
        .await
        .unwrap();
    pipeline.workers[0].start_again();
    pipeline.ready().await;
    pipeline.drained().await;
    let mut found = tests::oracle::Found::of(&pipeline).await;
    found.published_by_partition = None;
    tests::oracle::judge(&log, &found, 0).assert_clean(&log);
    let sent = i64::try_from(log.acknowledged.len()).unwrap();
    assert_eq!(found.books[2], sent, "each event was read once more, and was a duplicate");
}

#[tokio::test]
async fn an_event_resent_on_another_day_is_still_a_duplicate() {
    let pipeline = Pipeline::start().await;
    let client = pipeline.client();
    // No time of its own: filed under the day of receipt, which is another one when the resend comes.
    let body = json!({"user_id": "u", "event": "e", "messageId": "m"});
    client.accepted("/v1/track", &body).await;
    pipeline.drained().await;
    let yesterday = today() - Days::new(1);
    if !days(&pipeline).await.contains(&yesterday) {
        let next = today();
        let table =
            format!("CREATE TABLE events_by_hand PARTITION OF events FOR VALUES FROM ('{yesterday}') TO ('{next}')");
        sqlx::query(&table).execute(&pipeline.database.pool).await.unwrap();
    }
    let moved = format!("UPDATE events SET day = '{yesterday}'");
    sqlx::query(&moved).execute(&pipeline.database.pool).await.unwrap();
    let moved = format!("UPDATE late_ids SET received_day = '{yesterday}'");
    assert_eq!(sqlx::query(&moved).execute(&pipeline.database.pool).await.unwrap().rows_affected(), 1);
    client.accepted("/v1/track", &body).await;
    pipeline.drained().await;
    assert_eq!(pipeline.rows().await, 1);
}

#[tokio::test]
async fn migrating_twice_is_harmless_and_a_program_on_no_schema_says_what_to_do() {
    let pipeline = Pipeline::start().await;
    let output = run("worker", &["migrate"], pipeline.environment()).await;
    assert!(output.status.success(), "{}", output.text);

    let empty = tests::database::TestDatabase::create_empty(&tests::services::Services::shared().database_url).await;
    let mut environment = pipeline.environment().to_vec();
    environment.iter_mut().filter(|(name, _)| name == "DATABASE_URL").for_each(|(_, url)| url.clone_from(&empty.url));
    for program in ["ingest", "worker"] {
        let output = run(program, &["check"], &environment).await;
        assert!(!output.status.success() && output.text.contains("worker migrate"), "{program}: {}", output.text);
    }
}
