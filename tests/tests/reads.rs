//! Reading by people: from a standby while it keeps up, complete however far an event's time lies from its day; and what the programs
//! say about slow statements and failures of the database.

use serde_json::{Value, json};
use tests::client::Client;
use tests::eventually::{equal, eventually};
use tests::metrics::Metrics;
use tests::pipeline::{Pipeline, Setup};
use tests::program::Program;
use tests::roles::Role;
use tests::services::PrivatePostgres;
use uuid::Uuid;

async fn listed(admin: &Client, query: &str) -> Vec<i64> {
    let answer = admin.get(&format!("/v1/admin/events{query}")).await.unwrap();
    assert_eq!(answer.status, 200, "{query}: {}", answer.text());
    let list: Value = answer.json();
    list["events"].as_array().unwrap().iter().map(|e| e["properties"]["n"].as_i64().unwrap_or(-1)).collect()
}

async fn track(client: &Client, n: i64) {
    let body = json!({"user_id": "u", "event": "e", "properties": {"n": n}});
    client.accepted("/v1/track", &body).await;
}

async fn reads_from(program: &Program, server: &str) -> f64 {
    Metrics::of(program).await.sum("ingest_reads_total", &[&format!("server=\"{server}\"")])
}

/// Lists until an answer comes from this server.
async fn until_read_from(pipeline: &Pipeline, server: &str) {
    let ingest = &pipeline.ingests[0];
    let before = reads_from(ingest, server).await;
    eventually(&format!("the {server} is read"), async || {
        listed(&pipeline.admin(), "").await;
        if reads_from(ingest, server).await > before { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await;
}

/// Restarts ingest with this standby.
async fn with_standby(pipeline: &mut Pipeline, url: &str) {
    let ingest = &mut pipeline.ingests[0];
    ingest.set("DATABASE_READ_URL", url);
    ingest.set("DATABASE_READ_MAX_LAG_SECONDS", "1");
    assert!(ingest.stop().await.success());
    ingest.start_again();
    ingest.ready().await;
}

#[tokio::test]
async fn people_read_from_a_standby_while_it_keeps_up_and_from_the_database_otherwise() {
    let postgres = PrivatePostgres::start();
    let standby = postgres.standby();
    let mut pipeline = Setup::default().postgres(&postgres).start().await;
    let (_, name) = pipeline.database.url.rsplit_once('/').unwrap();
    let (server, _) = standby.url.rsplit_once('/').unwrap();
    let owner_url = format!("{server}/{name}");
    with_standby(&mut pipeline, &Role::Ingest.url(&owner_url)).await;
    let client = pipeline.client();
    track(&client, 1).await;
    eventually("the standby shows the event", async || {
        until_read_from(&pipeline, "standby").await;
        equal(listed(&pipeline.admin(), "").await, vec![1])
    })
    .await;

    // It stands still while the database goes on.
    let replica = sqlx::PgPool::connect(&owner_url).await.unwrap();
    sqlx::query("SELECT pg_wal_replay_pause()").execute(&replica).await.unwrap();
    eventually("it is paused", async || {
        let state: String =
            sqlx::query_scalar("SELECT pg_get_wal_replay_pause_state()").fetch_one(&replica).await.unwrap();
        equal(state.as_str(), "paused")
    })
    .await;
    track(&client, 2).await;
    pipeline.drained().await;
    eventually("the event is shown although the standby does not have it", async || {
        let mut shown = listed(&pipeline.admin(), "").await;
        shown.sort_unstable();
        equal(shown, vec![1, 2])
    })
    .await;
    until_read_from(&pipeline, "database").await;
    let lag = Metrics::of(&pipeline.ingests[0]).await.sum("ingest_standby_lag_seconds", &[]);
    assert!(lag > 1.0, "{lag}");
    sqlx::query("SELECT pg_wal_replay_resume()").execute(&replica).await.unwrap();
    until_read_from(&pipeline, "standby").await;
    replica.close().await;

    standby.stop();
    until_read_from(&pipeline, "database").await;
    track(&client, 3).await;
    pipeline.drained().await;
    assert_eq!(listed(&pipeline.admin(), "").await.len(), 3);
    eventually("the lag is not known", async || {
        equal(Metrics::of(&pipeline.ingests[0]).await.sum("ingest_standby_lag_seconds", &[]), -1.0)
    })
    .await;
}

#[tokio::test]
async fn what_is_no_standby_is_not_read_and_the_log_says_why() {
    let mut pipeline = Pipeline::start().await;
    // The database itself, which is nobody's standby.
    let url = Role::Ingest.url(&pipeline.database.url);
    with_standby(&mut pipeline, &url).await;
    eventually("the log says it", async || {
        let log = pipeline.ingests[0].log();
        if log.contains("DATABASE_READ_URL is not used: it is no standby") { Ok(()) } else { Err(log) }
    })
    .await;
    listed(&pipeline.admin(), "").await;
    assert_eq!(reads_from(&pipeline.ingests[0], "standby").await, 0.0);
    assert!(!pipeline.ingests[0].log().contains(tests::roles::PASSWORD), "the password is in the log");
}

#[tokio::test]
async fn lists_show_events_in_the_order_of_their_times_wherever_they_are_filed() {
    let pipeline = Pipeline::start().await;
    let client = pipeline.client();
    let day = |back: i64| (chrono::Utc::now() - chrono::TimeDelta::days(back)).format("%Y-%m-%d").to_string();
    // One a day, so that many partitions hold something.
    for n in 0..20 {
        let body =
            json!({"user_id": "u", "event": "e", "properties": {"n": n}, "timestamp": format!("{}T00:00:01Z", day(n))});
        client.accepted("/v1/track", &body).await;
    }
    // Without a zone it is filed under the day it says, and shown when it came: the latest of all.
    let late =
        json!({"user_id": "u", "event": "e", "properties": {"n": 100}, "timestamp": format!("{}T12:00:00", day(40))});
    client.accepted("/v1/track", &late).await;
    // From before the retention: filed today, shown where it belongs.
    let old =
        json!({"user_id": "u", "event": "e", "properties": {"n": 200}, "timestamp": format!("{}T12:00:00Z", day(300))});
    client.accepted("/v1/track", &old).await;
    pipeline.drained().await;
    let filed: Vec<String> = sqlx::query_scalar(
        "SELECT day::text FROM events WHERE (properties->>'n')::int IN (100, 200) ORDER BY (properties->>'n')::int",
    )
    .fetch_all(&pipeline.database.pool)
    .await
    .unwrap();
    assert_eq!(filed, [day(40), day(0)]);
    let admin = pipeline.admin();
    let wanted: Vec<i64> = [100].into_iter().chain(0..20).chain([200]).collect();
    for narrowed in ["", "&user_id=u", "&event=e&type=track"] {
        assert_eq!(listed(&admin, &format!("?limit=100{narrowed}")).await, wanted, "{narrowed}");
        assert_eq!(listed(&admin, &format!("?limit=1{narrowed}")).await, [100], "{narrowed}");
    }
    let (mut walked, mut query) = (Vec::new(), "?limit=2".to_owned());
    loop {
        walked.extend(listed(&admin, &query).await);
        let page: Value = admin.get(&format!("/v1/admin/events{query}")).await.unwrap().json();
        assert_eq!(page["total"], 22);
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        query = format!("?limit=2&cursor={cursor}");
    }
    assert_eq!(walked, wanted);
    assert_eq!(listed(&admin, &format!("?to={}T00:00:00Z", day(200))).await, [200]);
    assert_eq!(listed(&admin, &format!("?from={}T00:00:02Z", day(0))).await, [100]);
    assert_eq!(listed(&admin, "?limit=3&offset=20").await, [19, 200]);
}

#[tokio::test]
async fn slow_statements_are_logged_by_name_and_without_values() {
    let secret = format!("secret-{}", Uuid::new_v4());
    let pipeline = Setup::default().set("SLOW_STATEMENT_SECONDS", "0").start().await;
    let client = pipeline.client();
    client.accepted("/v1/identify", &json!({"user_id": secret, "traits": {"email": secret}})).await;
    client.accepted("/v1/track", &json!({"user_id": secret, "event": secret, "properties": {"a": secret}})).await;
    pipeline.drained().await;
    assert_eq!(pipeline.admin().get(&format!("/v1/admin/users/{secret}")).await.unwrap().status, 200);
    for program in pipeline.ingests.iter().chain(&pipeline.workers) {
        let log = program.log();
        let slow: Vec<&str> = log.lines().filter(|line| line.contains("slow statement")).collect();
        assert!(!slow.is_empty(), "{}", program.name);
        assert!(slow.iter().all(|line| !line.contains(&secret)), "{} logs values", program.name);
        for line in slow {
            // What sqlx says by itself has no name.
            let (_, summary) = line.split_once("summary=\"").unwrap_or_else(|| panic!("no summary: {line}"));
            let own =
                ["BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE"].iter().any(|word| summary.starts_with(word));
            let own = own || line.contains("_sqlx_migrations");
            assert!(own || summary.starts_with("/* "), "{}: a statement without a name: {line}", program.name);
        }
    }
    assert!(pipeline.workers[0].log().contains("/* rows.insert_events */"), "the insert is not called by its name");
}

#[tokio::test]
async fn failures_of_the_database_are_counted_by_class() {
    let postgres = PrivatePostgres::start();
    let pipeline = Setup::default().postgres(&postgres).start().await;
    let count = async |program: &Program, class: &str| {
        let name = format!("{}_database_errors_total", program.binary());
        Metrics::of(program).await.sum(&name, &[&format!("class=\"{class}\"")])
    };
    let (ingest, worker) = (&pipeline.ingests[0], &pipeline.workers[0]);
    for program in [ingest, worker] {
        assert_eq!(count(program, "connection").await + count(program, "data").await, 0.0, "{}", program.name);
    }
    // One row that the database refuses for its own sake.
    sqlx::query("ALTER TABLE events ADD CONSTRAINT refuses CHECK (event <> 'refused')")
        .execute(&pipeline.database.pool)
        .await
        .unwrap();
    pipeline.client().accepted("/v1/track", &json!({"user_id": "u", "event": "refused"})).await;
    pipeline.drained().await;
    assert_eq!(count(worker, "constraint").await, 1.0);
    postgres.kill_all();
    for program in [ingest, worker] {
        eventually("the lost connection is counted", async || match count(program, "connection").await {
            0.0 => Err(format!("{} has not noticed", program.name)),
            _ => Ok(()),
        })
        .await;
    }
    postgres.restart();
}
