//! What is kept, for how long, and what outlives it.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Datelike as _, Days, NaiveDate, NaiveTime, Utc};
use serde_json::{Value, json};
use shared::domain::retention::Limits;
use sqlx::PgPool;
use tests::books::assert_balanced;
use tests::database::TestDatabase;
use tests::days::{ago, make_day, today};
use tests::eventually::{equal, eventually};
use tests::load::{Control, Load};
use tests::metrics::Metrics;
use tests::oracle::{campaigns, verdict};
use tests::pipeline::{Pipeline, Setup};
use tests::program::{Output, run};
use tests::recount::{recounted, rolled_up};
use tests::services::{Services, root};
use worker::archive::folder::Folder;
use worker::jobs::clock::{self, Verdict};
use worker::jobs::partitions;
use worker::jobs::retention::sweep::Periods;
use worker::jobs::retention::{self, Done, Rules};

/// Rules that keep so many days of events, and the rest as by default.
fn keep(days: u16, archive: Option<Folder>) -> Rules {
    let periods = Periods { matches: 400, dead_letters: 90, changes: 1_100, webhooks: 30 };
    Rules { limits: Limits { days, bytes: 0 }, periods, archive }
}

/// A worker's two jobs, in a time of the test's own, in which all clocks agree.
struct Simulation<'a> {
    pool: &'a PgPool,
    rules: Rules,
}

impl Simulation<'_> {
    /// One look of both jobs. `None`: the clock was doubted.
    async fn look(&self, now: DateTime<Utc>) -> Option<Done> {
        partitions::ensure_ahead(self.pool, now.date_naive()).await.unwrap();
        let mut connection = self.pool.acquire().await.unwrap();
        let (standing, _) = clock::read(&mut connection).await.unwrap();
        let (verdict, standing) = clock::judge(standing, now, now);
        clock::remember(&mut connection, standing).await.unwrap();
        drop(connection);
        match verdict {
            Verdict::Day(today) => Some(retention::run(self.pool, &self.rules, today).await.unwrap()),
            Verdict::Doubted(_) => None,
        }
    }

    async fn midnight(&self, day: NaiveDate) -> Option<Done> {
        self.look(day.and_time(NaiveTime::MIN).and_utc()).await
    }
}

async fn database() -> TestDatabase {
    TestDatabase::create(&Services::shared().database_url).await
}

/// One whose commits do not wait for the disk: a year has many.
async fn quick_database() -> TestDatabase {
    let database = database().await;
    let quick =
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET synchronous_commit = off', current_database()); END $$";
    sqlx::query(quick).execute(&database.pool).await.unwrap();
    // Those that are open do not know of it.
    sqlx::query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
        .execute(&database.pool).await.unwrap();
    database
}

async fn execute(pipeline: &Pipeline, statement: &str) -> u64 {
    let done = sqlx::query(statement).execute(&pipeline.database.pool).await;
    done.unwrap_or_else(|e| panic!("{statement}: {e}")).rows_affected()
}

async fn worker(pipeline: &Pipeline, arguments: &[&str]) -> Output {
    run("worker", arguments, &pipeline.environment_of("worker")).await
}

async fn days(database: &TestDatabase) -> BTreeSet<NaiveDate> {
    database.event_partitions().await.into_iter().map(|(_, day)| day).collect()
}

/// The last line of what a command printed, which is JSON.
fn printed(output: &Output) -> Value {
    assert!(output.status.success(), "{}", output.text);
    let line = output.text.lines().rev().find(|line| line.starts_with('{'));
    serde_json::from_str(line.unwrap_or_else(|| panic!("no JSON: {}", output.text))).unwrap()
}

/// Publishes a track of a day as old as that, as history from elsewhere comes in.
async fn publish_old(pipeline: &Pipeline, day: NaiveDate) {
    let at = day.and_hms_opt(12, 0, 0).unwrap().and_utc();
    let line = json!({
        "id": uuid::Uuid::new_v4(), "day": day, "type": "track", "user_id": "u", "event": "e", "late": true,
        "timestamp": at, "received_at": Utc::now(), "source": "history",
    });
    pipeline.stream.publish_lines(&[(3, line.to_string().as_bytes())]).await;
}

async fn filed(pipeline: &Pipeline) -> Vec<NaiveDate> {
    sqlx::query_scalar("SELECT day FROM events ORDER BY day").fetch_all(&pipeline.database.pool).await.unwrap()
}

/// Lets so many days pass, with one that is held until a date, and compares the partitions at every midnight.
async fn pass(start: &str, number_of_days: u64, held: &str, held_until: &str) {
    const KEPT: u64 = 15;
    let database = quick_database().await;
    let time = Simulation { pool: &database.pool, rules: keep(15, None) };
    let day = |text: &str| text.parse::<NaiveDate>().unwrap();
    let (start, held, held_until) = (day(start), day(held), day(held_until));
    let hold = "INSERT INTO holds VALUES ($1, $2, 'a test')";
    sqlx::query(hold).bind(held).bind(held_until).execute(&database.pool).await.unwrap();
    let expected = |today: NaiveDate| -> BTreeSet<NaiveDate> {
        let first = (start - Days::new(1)).max(today - Days::new(KEPT + 2));
        let held = Some(held).filter(|_| today <= held_until);
        first.iter_days().take_while(|day| *day <= today + Days::new(7)).chain(held).collect()
    };
    for today in start.iter_days().take(usize::try_from(number_of_days).unwrap()) {
        time.midnight(today).await.unwrap_or_else(|| panic!("{today} was doubted"));
        assert_eq!(days(&database).await, expected(today), "at midnight of {today}");
        // The last second of a month belongs to its last day.
        if today.succ_opt().is_some_and(|next| next.day() == 1) {
            time.look(today.and_hms_opt(23, 59, 59).unwrap().and_utc()).await.unwrap();
            assert_eq!(days(&database).await, expected(today), "in the last second of {today}");
        }
    }
}

#[tokio::test]
async fn at_every_midnight_of_a_year_exactly_the_right_days_are_there_until_june() {
    // With the leap day.
    pass("2027-12-20", 190, "2027-12-24", "2028-05-31").await;
}

#[tokio::test]
async fn at_every_midnight_of_a_year_exactly_the_right_days_are_there_from_june() {
    pass("2028-06-20", 200, "2028-06-20", "2028-12-31").await;
}

#[tokio::test]
async fn after_a_long_stop_and_while_the_clock_is_wrong_nothing_goes_too_early() {
    let database = database().await;
    let time = Simulation { pool: &database.pool, rules: keep(30, None) };
    let day = |text: &str| text.parse::<NaiveDate>().unwrap();
    let all = |from: &str, to: &str| day(from).iter_days().take_while(|at| *at <= day(to)).collect::<BTreeSet<_>>();
    for number in 0..40 {
        time.midnight(day("2028-01-01") + Days::new(number)).await.unwrap();
    }
    let last = all("2028-01-08", "2028-02-16");
    assert_eq!(days(&database).await, last);
    make_day(&database.pool, day("2028-01-10"), 1).await;

    // Forty days later: what is missing is made at once, what is too old goes when the date has stood for a day.
    assert!(time.midnight(day("2028-03-20")).await.is_none());
    let mut found = last.clone();
    found.extend(all("2028-03-19", "2028-03-27"));
    assert_eq!(days(&database).await, found);
    time.midnight(day("2028-03-21")).await.unwrap();
    assert_eq!(days(&database).await, &all("2028-02-17", "2028-02-16") | &all("2028-03-19", "2028-03-28"));

    // Ten years ahead and back again: nothing went, and no trace is left.
    let before = days(&database).await;
    make_day(&database.pool, day("2028-03-19"), 1).await;
    for hour in 1..=20 {
        assert!(time.look(day("2038-03-21").and_hms_opt(hour, 0, 0).unwrap().and_utc()).await.is_none());
    }
    assert!(days(&database).await.is_superset(&before));
    time.look(day("2028-03-21").and_hms_opt(21, 0, 0).unwrap().and_utc()).await.unwrap();
    assert_eq!(days(&database).await, before);
    // Back to the beginning and forth again.
    time.midnight(day("1970-01-01")).await.unwrap();
    assert_eq!(database.number("SELECT count(*) FROM events").await, 1);
    assert!(time.midnight(day("2028-03-22")).await.is_none(), "this is a leap too");
    time.midnight(day("2028-03-23")).await.unwrap();
    // Empty days that lay ahead of the beginning went then; one with rows did not.
    assert_eq!(days(&database).await, &all("2028-03-19", "2028-03-19") | &all("2028-03-21", "2028-03-30"));
}

#[tokio::test]
async fn a_dry_run_changes_nothing_and_a_real_one_says_what_went() {
    let mut pipeline = Setup::default().workers(0).set("RETENTION_DAYS", "30").start().await;
    let pool = &pipeline.database.pool;
    for (age, rows) in [(100, 7), (33, 3), (32, 1)] {
        make_day(pool, ago(age), rows).await;
    }
    let tables = "SELECT string_agg(relname::text, ' ' ORDER BY oid) FROM pg_class WHERE relname LIKE 'events_%' AND relkind = 'r'";
    let before: String = sqlx::query_scalar(tables).fetch_one(pool).await.unwrap();
    let output = worker(&pipeline, &["retention"]).await;
    assert!(
        output.text.contains(" days would go, nothing was changed") && output.text.contains(": 2 of "),
        "{}",
        output.text
    );
    let dry = printed(&worker(&pipeline, &["retention", "--dry-run", "--json"]).await);
    let days = |list: &Value| -> Vec<(String, i64)> {
        let goes = list.as_array().unwrap().iter();
        goes.map(|goes| (goes["day"].as_str().unwrap().to_owned(), goes["rows"].as_i64().unwrap())).collect()
    };
    let due = [(ago(100).to_string(), 7), (ago(33).to_string(), 3)];
    assert_eq!(days(&dry["goes"]), due);
    assert!(dry["goes"][0]["bytes"].as_i64().unwrap() > 0);
    assert_eq!(sqlx::query_scalar::<_, String>(tables).fetch_one(pool).await.unwrap(), before);

    let done = printed(&worker(&pipeline, &["retention", "--now", "--json"]).await);
    assert_eq!(days(&done["dropped"]), due);
    assert_eq!(pipeline.rows().await, 1);
    assert_eq!(
        pipeline.database.number("SELECT sum(events)::bigint FROM removals WHERE reason = 'retention'").await,
        10
    );
    let none = printed(&worker(&pipeline, &["retention", "--now", "--json"]).await);
    assert_eq!(none["dropped"], json!([]));

    pipeline.add_worker();
    pipeline.ready().await;
    eventually("the figures are shown", async || {
        let metrics = Metrics::of(&pipeline.workers[0]).await;
        let age = metrics.sum("events_oldest_day_seconds", &[]);
        let next = metrics.sum("events_next_drop_seconds", &[]);
        let fits = (32.0 * 86_400.0..33.0 * 86_400.0).contains(&age) && (0.0..=86_400.0).contains(&next);
        if fits && metrics.sum("events_bytes", &[]) > 0.0 {
            Ok(())
        } else {
            Err(format!("{age} s old, next in {next} s"))
        }
    })
    .await;
}

#[tokio::test]
async fn a_clock_that_leapt_drops_nothing_and_says_so_until_a_person_does() {
    let mut pipeline =
        Setup::default().workers(0).set("RETENTION_DAYS", "30").set("JOB_INTERVAL_SECONDS", "0.5").start().await;
    make_day(&pipeline.database.pool, ago(50), 5).await;
    execute(&pipeline, &format!("UPDATE retention SET believed_day = '{}'", ago(40))).await;
    pipeline.add_worker();
    pipeline.ready().await;
    eventually("the worker says so", async || {
        let doubted = Metrics::of(&pipeline.workers[0]).await.sum("retention_clock_doubted", &[]);
        if doubted > 0.5 && pipeline.workers[0].log().contains("the clock may be wrong") {
            Ok(())
        } else {
            Err(doubted.to_string())
        }
    })
    .await;
    let refused = worker(&pipeline, &["retention", "--now"]).await;
    assert!(!refused.status.success() && refused.text.contains("nothing was dropped"), "{}", refused.text);
    assert_eq!(pipeline.rows().await, 5);
    let told = eventually("no worker is at it", async || {
        let told = worker(&pipeline, &["retention", "--now", "--today", &today().to_string()]).await;
        if told.text.contains("try again") { Err(told.text) } else { Ok(told) }
    })
    .await;
    assert!(told.status.success(), "{}", told.text);
    eventually("the day is gone", async || equal(pipeline.rows().await, 0)).await;
    eventually("the clock is believed", async || {
        equal(Metrics::of(&pipeline.workers[0]).await.sum("retention_clock_doubted", &[]).to_string(), "0".to_owned())
    })
    .await;
}

#[tokio::test]
async fn days_that_are_too_large_go_and_do_not_come_back() {
    let mut pipeline =
        Setup::default().workers(0).set("RETENTION_BYTES", "1").set("JOB_INTERVAL_SECONDS", "0.5").start().await;
    for age in [20, 9, 8, 2] {
        make_day(&pipeline.database.pool, ago(age), 2).await;
    }
    pipeline.add_worker();
    pipeline.ready().await;
    eventually("the oldest are gone, the last eight are there", async || equal(pipeline.rows().await, 4)).await;
    assert_eq!(filed(&pipeline).await, [ago(8), ago(8), ago(2), ago(2)]);
    for (age, id) in [(20, "m1"), (9, "m2"), (8, "m3")] {
        let event =
            json!({"user_id": "u", "event": "late", "messageId": id, "timestamp": format!("{}T12:00:00Z", ago(age))});
        pipeline.client().accepted("/v1/track", &event).await;
    }
    pipeline.drained().await;
    assert_eq!(filed(&pipeline).await, [ago(8), ago(8), ago(8), ago(2), ago(2), today(), today()]);
    assert_balanced(&pipeline).await;
    // A larger limit does not bring them back, and they do not come and go.
    let made = pipeline.workers[0].log().matches(&partitions::name(ago(9))).count();
    assert_eq!(made, 1, "made and dropped: {}", pipeline.workers[0].log());
}

#[tokio::test]
async fn an_old_event_is_filed_under_its_own_day_while_that_day_is_held() {
    let pipeline = Setup::default().set("RETENTION_DAYS", "30").set("JOB_INTERVAL_SECONDS", "0.5").start().await;
    let (held, passed, unheld) = (ago(400), ago(401), ago(402));
    for (day, until) in [(held, today()), (passed, ago(1))] {
        execute(&pipeline, &format!("INSERT INTO holds VALUES ('{day}', '{until}', 'a test')")).await;
    }
    for day in [held, passed, unheld] {
        publish_old(&pipeline, day).await;
    }
    pipeline.drained().await;
    assert_eq!(filed(&pipeline).await, [held, today(), today()]);

    execute(&pipeline, &format!("UPDATE holds SET until = '{}' WHERE day = '{held}'", ago(1))).await;
    eventually("it goes when the hold has passed", async || match filed(&pipeline).await {
        days if days == [today(), today()] => Ok(()),
        days => Err(format!("{days:?}")),
    })
    .await;
    let held = "SELECT count(*) FROM holds";
    eventually("nothing is held", async || equal(pipeline.database.number(held).await, 0)).await;
}

#[tokio::test]
async fn a_day_that_was_detached_comes_back_with_its_rows_when_it_is_to_be_kept() {
    let database = database().await;
    make_day(&database.pool, ago(40), 3).await;
    let table = partitions::name(ago(40));
    for how in ["CONCURRENTLY", ""] {
        sqlx::query(&format!("ALTER TABLE events DETACH PARTITION {table} {how}"))
            .execute(&database.pool)
            .await
            .unwrap();
        assert_eq!(database.number("SELECT count(*) FROM events").await, 0);
        let done = retention::run(&database.pool, &keep(90, None), today()).await.unwrap();
        assert_eq!((done.dropped.len(), database.number("SELECT count(*) FROM events").await), (0, 3));
    }
    // And when an event needs it.
    sqlx::query(&format!("ALTER TABLE events DETACH PARTITION {table}")).execute(&database.pool).await.unwrap();
    assert!(partitions::ensure(&database.pool, ago(40)).await.unwrap());
    assert_eq!(database.number("SELECT count(*) FROM events").await, 3);
}

#[tokio::test]
async fn partitions_are_made_although_the_retention_is_stuck() {
    let mut pipeline = Setup::default().workers(0).set("JOB_INTERVAL_SECONDS", "0.5").start().await;
    make_day(&pipeline.database.pool, ago(100), 1).await;
    let mut stuck = pipeline.database.pool.acquire().await.unwrap();
    sqlx::query("SELECT pg_advisory_lock(hashtextextended('ec-job-retention', 0))").execute(&mut *stuck).await.unwrap();
    pipeline.add_worker();
    pipeline.ready().await;
    eventually("partitions are made", async || {
        let days = days(&pipeline.database).await;
        if days.contains(&(today() + Days::new(7))) { Ok(days) } else { Err(format!("{days:?}")) }
    })
    .await;
    assert_eq!(pipeline.rows().await, 1, "another leads the retention");
    drop(stuck.detach());
    eventually("then it goes", async || equal(pipeline.rows().await, 0)).await;
}

#[tokio::test]
async fn rollups_equal_a_recount_with_killed_workers_and_a_replay_and_outlive_the_rows() {
    let mut setup = campaigns().into_iter().fold(Setup::default(), Setup::campaign);
    setup = setup
        .campaign(json!({"id": "tested", "name": "t", "status": "active", "trigger": "cart_viewed", "rules": [],
        "hold_out_percentage": 50, "goal": {"event": "item_viewed"}}));
    let mut pipeline = setup.workers(2).start().await;
    let load = Load { events: 6_000, ..Load::default() };
    let control = Control::default();
    let address = [pipeline.ingests[0].address];
    let loading = load.run(&address, &control);
    let killing = async {
        for kill in 0..4 {
            control.reaches((kill + 1) * 1_000).await;
            let worker = &mut pipeline.workers[usize::try_from(kill % 2).unwrap()];
            worker.kill();
            worker.start_again();
        }
    };
    let (log, ()) = tokio::join!(loading, killing);
    let old =
        json!({"user_id": "u", "event": "old", "messageId": "old", "timestamp": format!("{}T12:00:00Z", ago(40))});
    pipeline.client().accepted("/v1/track", &old).await;
    pipeline.drained().await;
    let counted = recounted(&pipeline.database.pool).await;
    assert_eq!(rolled_up(&pipeline.database.pool).await, counted);
    let whats: BTreeSet<_> = counted.keys().map(|(_, what, _)| what.as_str()).collect();
    assert!(whats.is_superset(&["events", "names", "shown", "active_users"].into()), "{whats:?}");
    assert!(counted.len() > 6, "{counted:?}");

    // Everything once more, as if positions had been lost; then the old day goes.
    pipeline.workers.iter_mut().for_each(tests::program::Program::kill);
    execute(&pipeline, "UPDATE partitions SET last_seq = 0, last_batch_id = NULL, owner = NULL").await;
    execute(&pipeline, "UPDATE retention SET swept_on = NULL").await;
    for worker in &mut pipeline.workers {
        worker.set("RETENTION_DAYS", "30");
        worker.start_again();
    }
    pipeline.ready().await;
    pipeline.drained().await;
    assert_eq!(rolled_up(&pipeline.database.pool).await, counted, "a replay counts nothing");
    eventually("the old day is dropped and its sums are one row each", async || {
        let separate = format!("SELECT count(*) FROM rollups WHERE day = '{}' AND partition <> -1", ago(40));
        equal(
            (
                pipeline.database.number("SELECT count(*) FROM events WHERE event = 'old'").await,
                pipeline.database.number(&separate).await,
            ),
            (0, 0),
        )
    })
    .await;
    assert_eq!(rolled_up(&pipeline.database.pool).await, counted);
    drop(log);
}

#[tokio::test]
async fn names_without_end_count_under_one_label() {
    let pipeline = Pipeline::start().await;
    let most = i64::try_from(shared::domain::rollup::NAMES_PER_DAY).unwrap();
    let event =
        |n: i64| json!({"type": "track", "userId": "u", "event": format!("name {n}"), "messageId": format!("m-{n}")});
    for batch in 0..3 {
        let events: Vec<_> = (0..500).map(|n| event(batch * 500 + n)).collect();
        pipeline.client().accepted("/v1/batch", &json!({"batch": events})).await;
    }
    pipeline.drained().await;
    let number = async |query: &str| pipeline.database.number(query).await;
    // One writer: all are of one user.
    assert_eq!(number("SELECT count(*) FROM rollups WHERE what = 'names' AND metric <> ''").await, most);
    assert_eq!(number("SELECT count FROM rollups WHERE what = 'names' AND metric = ''").await, 1_500 - most);
    // Those that have their row go on counting there.
    pipeline.client().accepted("/v1/track", &json!({"userId": "u", "event": "name 0", "messageId": "again"})).await;
    pipeline.drained().await;
    assert_eq!(number("SELECT count FROM rollups WHERE metric = 'name 0'").await, 2);
    assert_eq!(number("SELECT sum(count)::bigint FROM rollups WHERE what = 'names'").await, 1_501);
}

#[tokio::test]
async fn each_table_has_its_rule() {
    let database = database().await;
    let pool = &database.pool;
    let now: DateTime<Utc> = Utc::now();
    for statement in [
        "INSERT INTO campaigns (id, document) VALUES ('capped', '{\"frequency_cap\": {\"per_user\": 3}}'), ('free', '{}')",
        // Of a campaign with a cap, of one without, of one that is gone; old and young.
        "INSERT INTO matches (event_id, campaign_id, campaign_version, day, received_at)
         SELECT gen_random_uuid(), campaign, 1, at, at
           FROM unnest(ARRAY['capped', 'free', 'gone']) campaign, unnest(ARRAY[current_date - 401, current_date - 399]) at",
        "INSERT INTO conversions (campaign_id, match_event_id, event_id, day, user_kind, user_id, converted_at)
         SELECT campaign_id, event_id, gen_random_uuid(), day, 'user', 'u', received_at FROM matches",
        "INSERT INTO lanes (lane, stream, generation, trimmed_to) VALUES (0, 's', 'g', 10)",
        // Open; closed long ago and trimmed; closed long ago and in the stream; closed lately.
        "INSERT INTO dead_letters (lane, stream_seq, partition, position, reason, payload, received_at, discarded_at)
         SELECT 0, seq, 3, 0, 'r', '', '2026-01-01T10:30Z', closed
           FROM (VALUES (1, NULL), (2, current_date - 91), (11, current_date - 91), (3, current_date - 89)) AS l (seq, closed)",
        "INSERT INTO ledger (partition, hour, read, stored, duplicate, dead, suppressed) VALUES (3, '2026-01-01T10:00Z', 5, 1, 0, 4, 0)",
        "INSERT INTO ledger (partition, hour, read, stored, duplicate, dead, suppressed, settled, first_seq)
         SELECT p, current_date - 401 + n * interval '1 hour', 10, 7, 3, 0, 0, 2, n + 5 FROM generate_series(1, 2) p, generate_series(1, 30) n",
        "INSERT INTO changes (collection, entity_id, version, action, changed_by, changed_at, position, created_at)
         SELECT 'campaigns', entity, version, 'change', 'a', current_date - 1200 + version, 1, now()
           FROM unnest(ARRAY['a', 'b']) entity, generate_series(1, 3) version",
        "INSERT INTO late_ids SELECT gen_random_uuid(), current_date - age FROM unnest(ARRAY[93, 92]) age",
        "INSERT INTO duplicates SELECT gen_random_uuid(), 1, current_date - age FROM unnest(ARRAY[93, 92]) age",
        "INSERT INTO rollups SELECT current_date - age, 'events', 'track', p, p FROM unnest(ARRAY[93, 92]) age, generate_series(1, 3) p",
        // Of a day that is gone, of one that is held, of one that is there.
        "INSERT INTO active_users SELECT current_date - age, gen_random_uuid() FROM unnest(ARRAY[93, 94, 92]) age",
        "INSERT INTO holds VALUES (current_date - 94, current_date + 1, 'a test')",
    ] {
        sqlx::query(statement).execute(pool).await.unwrap_or_else(|e| panic!("{statement}: {e}"));
    }
    let sum =
        "SELECT sum(read)::text || ' ' || sum(stored) || ' ' || sum(duplicate) || ' ' || sum(settled) FROM ledger";
    let books: String = sqlx::query_scalar(sum).fetch_one(pool).await.unwrap();
    let done = retention::run(pool, &keep(90, None), now.date_naive()).await.unwrap();
    let swept = |table: &str| done.swept.get(table).copied().unwrap_or(0);
    assert_eq!((swept("matches"), swept("conversions")), (2, 2));
    assert_eq!(database.number("SELECT count(*) FROM matches WHERE campaign_id = 'capped'").await, 2);
    assert_eq!(swept("dead_letters"), 1);
    assert_eq!(database.number("SELECT min(stream_seq) FILTER (WHERE stream_seq <> 1) FROM dead_letters").await, 3);
    assert_eq!(database.number("SELECT letters_dropped FROM ledger WHERE hour = '2026-01-01T10:00Z'").await, 1);
    assert_eq!(swept("changes"), 4);
    assert_eq!(database.number("SELECT count(*) FROM changes WHERE version = 3").await, 2, "the last of each");
    assert_eq!((swept("late_ids"), swept("duplicates"), swept("rollups"), swept("active_users")), (1, 1, 3, 1));
    assert_eq!(database.number("SELECT count FROM rollups WHERE partition = -1").await, 6);
    // 23 hours of the first day are old enough; of the summed ones is one row for each partition.
    assert_eq!(swept("ledger"), 46);
    assert_eq!(database.number("SELECT first_seq FROM ledger WHERE partition = 1 AND hour = 'epoch'").await, 6);
    assert_eq!(sqlx::query_scalar::<_, String>(sum).fetch_one(pool).await.unwrap(), books);
    let again = retention::run(pool, &keep(90, None), now.date_naive()).await.unwrap();
    assert!(again.swept.is_empty(), "once a day: {:?}", again.swept);
}

#[tokio::test]
async fn the_books_balance_after_their_old_pages_and_letters_went() {
    let pipeline = campaigns().into_iter().fold(Setup::default(), Setup::campaign).start().await;
    let load = Load { events: 1_000, ..Load::default() };
    let log = load.run(&[pipeline.ingests[0].address], &Control::default()).await;
    pipeline.stream.publish_lines(&[(5, b"no event")]).await;
    pipeline.drained().await;
    let discarded = worker(&pipeline, &["dead-letters", "discard", "--all", "--why", "a test"]).await;
    assert!(discarded.status.success(), "{}", discarded.text);
    pipeline.stream.context.get_stream(&pipeline.stream.lane.stream).await.unwrap().purge().await.unwrap();
    execute(&pipeline, "UPDATE lanes SET trimmed_to = (SELECT max(last_seq) FROM partitions)").await;
    for statement in [
        "UPDATE dead_letters SET discarded_at = now() - interval '91 days', received_at = received_at - interval '500 days'",
        "UPDATE ledger SET hour = hour - interval '500 days'",
        "UPDATE retention SET swept_on = NULL",
    ] {
        execute(&pipeline, statement).await;
    }
    let pages = pipeline.database.number("SELECT count(*) FROM ledger").await;
    let done = printed(&worker(&pipeline, &["retention", "--now", "--json"]).await);
    assert_eq!((&done["swept"]["dead_letters"], &done["swept"]["ledger"]), (&json!(1), &json!(pages)));
    assert_balanced(&pipeline).await;
    let imbalance = Metrics::of(&pipeline.workers[0]).await.sum("pipeline_audit_imbalance", &[]);
    assert!(imbalance < 0.5, "{imbalance}");
    drop(log);
}

/// What each table is, and for how long: the first words of the table's rows.
#[tokio::test]
async fn the_documents_have_a_rule_for_every_table() {
    let database = database().await;
    let text = std::fs::read_to_string(root().join("migrations/README.md")).unwrap();
    let (_, table) = text.split_once("| table | one row is |").unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    let mut documented = BTreeMap::new();
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        for name in cells[0].split(',') {
            documented
                .insert(name.trim().trim_matches('`').to_owned(), cells.last().copied().unwrap_or_default().to_owned());
        }
    }
    let tables =
        "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
                     AND NOT relispartition AND relname NOT LIKE '\\_sqlx%' ORDER BY 1";
    let tables: Vec<String> = sqlx::query_scalar(tables).fetch_all(&database.pool).await.unwrap();
    for table in &tables {
        let rule =
            documented.get(table).unwrap_or_else(|| panic!("migrations/README.md does not know the table {table}"));
        assert!(!rule.is_empty(), "migrations/README.md does not say how long rows of {table} are kept");
    }
    let gone: Vec<_> = documented.keys().filter(|name| !tables.contains(name)).collect();
    assert!(gone.is_empty(), "migrations/README.md has tables that are not there: {gone:?}");
}

#[tokio::test]
async fn acknowledged_events_survive_the_retention_of_others() {
    let mut pipeline = campaigns()
        .into_iter()
        .fold(Setup::default(), Setup::campaign)
        .workers(0)
        .set("RETENTION_DAYS", "30")
        .set("JOB_INTERVAL_SECONDS", "0.5")
        .start()
        .await;
    for age in 40..45 {
        make_day(&pipeline.database.pool, ago(age), 1_000).await;
    }
    pipeline.add_worker();
    pipeline.add_worker();
    let load = Load { events: 3_000, ..Load::default() };
    let log = load.run(&[pipeline.ingests[0].address], &Control::default()).await;
    eventually("the old ones are gone", async || {
        equal(pipeline.database.number(&format!("SELECT count(*) FROM events WHERE day < '{}'", ago(30))).await, 0)
    })
    .await;
    verdict(&pipeline, &log).await.assert_clean(&log);
    assert_balanced(&pipeline).await;
}
