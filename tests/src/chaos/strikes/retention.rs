//! Old partitions are dropped while events come in, by a job that is killed in the middle of it.

use std::time::{Duration, Instant};

use chrono::{Days, NaiveDate, Utc};
use serde_json::json;
use sqlx::{Executor, PgPool};
use uuid::Uuid;

use crate::chaos::run::percentile;
use crate::chaos::world::World;
use crate::client::{Client, WRITE_KEY};
use crate::eventually::within;
use crate::load::Control;
use crate::program::Program;

const PATIENCE: Duration = Duration::from_secs(60);
/// Beyond the retention of these runs, which is 30 days.
const OLD_DAYS: std::ops::Range<u64> = 40..50;

/// Makes old partitions with rows in them, named as the worker names them. Their rows have no message id: the judge looks past them.
async fn old_partitions(pool: &PgPool, rows: u32) -> Vec<String> {
    let mut tables = Vec::new();
    for age in OLD_DAYS {
        let day: NaiveDate = Utc::now().date_naive() - Days::new(age);
        let (next, table) = (day + Days::new(1), format!("events_{}", day.format("%Y%m%d")));
        // Beside the parent and then attached, as the worker does it: nobody waits. Until then under another name, because the
        // job drops what has the name of an old partition and is none.
        for statement in [
            format!("CREATE TABLE old_{table} (LIKE events INCLUDING DEFAULTS INCLUDING INDEXES)"),
            format!("ALTER TABLE old_{table} OWNER TO ec_events"),
            format!(
                "INSERT INTO old_{table} (day, id, type, user_id, \"timestamp\", received_at, source)
                 SELECT '{day}', gen_random_uuid(), 'track', 'u', '{day}', '{day}', 'by hand' FROM generate_series(1, {rows})"
            ),
            format!(
                "ALTER TABLE old_{table} RENAME TO {table};
                 ALTER TABLE events ATTACH PARTITION {table} FOR VALUES FROM ('{day}') TO ('{next}')"
            ),
        ] {
            within(PATIENCE, &statement, async || {
                pool.execute(statement.as_str()).await.map_err(|e| e.to_string())
            })
            .await;
        }
        tables.push(table);
    }
    tables
}

async fn gone(pool: &PgPool, tables: &[String]) {
    within(PATIENCE, "the old partitions are gone", async || {
        let left =
            sqlx::query_scalar("SELECT count(*) FROM pg_class WHERE relname = ANY($1)").bind(tables).fetch_one(pool);
        match left.await {
            Ok(0_i64) => Ok(()),
            Ok(left) => Err(format!("{left} are left")),
            Err(error) => Err(error.to_string()),
        }
    })
    .await;
    // The books never knew of these rows, so they must not know that they are gone.
    let unknown = "DELETE FROM removals WHERE day < current_date - 30";
    within(PATIENCE, unknown, async || pool.execute(unknown).await.map_err(|e| e.to_string())).await;
}

/// While a reader holds a detach up, everything that could finish it is killed.
pub async fn killed(world: &mut World) {
    let pool = &world.pipeline.database.pool;
    let mut reader = pool.begin().await.expect("a transaction begins");
    reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ").await.expect("a level");
    reader.execute("SELECT count(*) FROM events").await.expect("events can be read");
    let tables = old_partitions(pool, 100).await;
    // A plan that has seen the new partition, so that its detach has to wait for this reader.
    let mut holder = pool.begin().await.expect("a transaction begins");
    holder.execute(format!("LOCK TABLE {} IN ACCESS SHARE MODE", tables[0]).as_str()).await.expect("a lock");
    reader.rollback().await.expect("a transaction ends");
    let detaching =
        "SELECT pid FROM pg_stat_activity WHERE query LIKE '%ALTER TABLE events DETACH%' AND state = 'active'";
    let backend: i32 = within(PATIENCE, "a detach waits", async || {
        let found = sqlx::query_scalar(detaching).fetch_optional(pool).await.map_err(|e| e.to_string())?;
        found.ok_or_else(|| "nobody detaches".to_owned())
    })
    .await;
    world.pipeline.workers.iter_mut().for_each(Program::kill);
    sqlx::query("SELECT pg_terminate_backend($1)").bind(backend).execute(pool).await.expect("a backend can be ended");
    holder.rollback().await.expect("a transaction ends");
    world.pipeline.workers.iter_mut().for_each(Program::start_again);
    gone(pool, &tables).await;
}

/// Partitions with a hundred thousand rows each go while events come in. How long a single event waits for its answer is measured
/// before and meanwhile, under the same load: as much as it can.
pub async fn under_load(world: &mut World, control: &Control) {
    control.allow(u64::MAX);
    let pool = &world.pipeline.database.pool;
    let client = world.pipeline.ingests[0].client().with_key(WRITE_KEY);
    let before = p99_until(&client, tokio::time::sleep(Duration::from_secs(5))).await;
    let tables = old_partitions(pool, 100_000).await;
    let meanwhile = p99_until(&client, gone(pool, &tables)).await;
    let archives = std::fs::read_dir(world.archive.path()).expect("the archives can be listed").count();
    assert_eq!(archives, 2 * tables.len(), "an archive and a manifest for each");
    let ratio = meanwhile.as_secs_f64() / before.as_secs_f64();
    world.notes.push(format!(
        "p99 of a single event {before:.1?} before, {meanwhile:.1?} while partitions were exported and went: {ratio:.1} times"
    ));
    control.allow(control.acknowledged());
}

/// Posts single events until `end`, and gives back the 99th percentile of their waits.
async fn p99_until(client: &Client, end: impl Future<Output = ()>) -> Duration {
    let mut waits = Vec::new();
    tokio::pin!(end);
    loop {
        let body = json!({"user_id": "measure", "event": "measured", "messageId": Uuid::new_v4()});
        let started = Instant::now();
        client.accepted("/v1/track", &body).await;
        waits.push(u32::try_from(started.elapsed().as_micros()).unwrap_or(u32::MAX));
        tokio::select! {
            () = &mut end => return percentile(&waits, 99),
            () = tokio::time::sleep(Duration::from_millis(2)) => {}
        }
    }
}
