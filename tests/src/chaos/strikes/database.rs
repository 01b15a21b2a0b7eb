//! Harm inside the database: locks, rows it refuses, a schema that does not fit, a missing partition.

use std::time::Duration;

use chrono::{Days, Utc};
use serde_json::json;
use shared::domain::user_key::UserKey;
use sqlx::Executor;
use uuid::Uuid;

use crate::chaos::schedule::Strike;
use crate::chaos::world::World;
use crate::eventually::within;

const PATIENCE: Duration = Duration::from_secs(60);
/// So far ahead are the clocks of clients whose events are filed under tomorrow.
pub const TOMORROW: Duration = Duration::from_secs(86_340);
const PARTITIONS: u16 = 16;

/// A transaction locks the tables, or a partition's row, until the workers have given up waiting at least once.
pub async fn lock(world: &World, strike: Strike) {
    let statement = match strike.choose(1, 2) {
        0 => "LOCK TABLE events, users, matches IN ACCESS EXCLUSIVE MODE",
        _ => "SELECT FROM partitions WHERE partition % 3 = 1 FOR UPDATE",
    };
    let mut holder = world.pipeline.database.pool.begin().await.expect("a transaction begins");
    holder.execute(statement).await.unwrap_or_else(|e| panic!("{statement}: {e}"));
    within(PATIENCE, "somebody waits for the lock", async || {
        let waiting =
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
        match world.pipeline.database.number(waiting).await {
            0 => Err("nobody does".to_owned()),
            _ => Ok(()),
        }
    })
    .await;
    // Longer than the lock_timeout of flushes (5 s): the fault's own length.
    tokio::time::sleep(Duration::from_secs(6)).await;
    holder.rollback().await.expect("a transaction ends");
}

/// Among good ones, a row that PostgreSQL has no way to store: written to the stream past the door.
pub async fn poison(world: &mut World, strike: Strike) {
    let now = Utc::now();
    let line = |user: &str, properties: &str| {
        let event = json!({
            "id": Uuid::new_v4(), "day": now.date_naive(), "type": "track", "user_id": user, "event": "by_hand",
            "message_id": format!("by-hand-{}", Uuid::new_v4()), "timestamp": now, "received_at": now, "source": "by hand",
        });
        let text = event.to_string();
        let text = format!("{},\"properties\":{properties}}}", &text[..text.len() - 1]);
        (UserKey::user(user).partition(PARTITIONS), text.into_bytes())
    };
    let mut lines: Vec<_> = (0..499).map(|n| line(&format!("by-hand-{}", n % 20), r#"{"fine":true}"#)).collect();
    lines.insert(strike.choose(1, 500), line("by-hand-3", r#"{"text":"PostgreSQL has no \u0000"}"#));
    let borrowed: Vec<(u16, &[u8])> = lines.iter().map(|(partition, line)| (*partition, line.as_slice())).collect();
    world.pipeline.stream.publish_lines(&borrowed).await;
    world.planned_dead += 1;
}

/// A column is not there: workers halt, say why, and put nothing aside.
pub async fn schema_behind(world: &World) {
    let pool = &world.pipeline.database.pool;
    // Not between two flushes' locks for longer than others wait.
    let rename = async |from: &str, to: &str| {
        let statement = format!("ALTER TABLE events RENAME COLUMN {from} TO {to}");
        within(PATIENCE, &statement, async || pool.execute(statement.as_str()).await.map_err(|e| e.to_string())).await;
    };
    rename("extra", "renamed").await;
    for worker in &world.pipeline.workers {
        worker.unready_with("extra").await;
    }
    rename("renamed", "extra").await;
    let dead = world.pipeline.database.number("SELECT count(*) FROM dead_letters").await;
    assert_eq!(dead, 0, "a schema that does not fit made dead letters");
}

/// Tomorrow's partition is dropped while it is still empty; the load's clients live tomorrow, so it is needed at once.
pub async fn partition_missing(world: &World) {
    let day = (Utc::now().date_naive() + Days::new(1)).format("%Y%m%d");
    let pool = &world.pipeline.database.pool;
    let rows = world.pipeline.database.number(&format!("SELECT count(*) FROM events_{day}")).await;
    assert!(rows > 0, "the load's events are not filed under tomorrow");
    // What is in it is kept, as a table of its own, and put back into the new one afterwards: nothing else is missing.
    for statement in [
        format!("ALTER TABLE events DETACH PARTITION events_{day} CONCURRENTLY"),
        format!("ALTER TABLE events_{day} RENAME TO kept_{day}"),
    ] {
        within(PATIENCE, &statement, async || pool.execute(statement.as_str()).await.map_err(|e| e.to_string())).await;
    }
    within(PATIENCE, "the partition is made again", async || {
        match world
            .pipeline
            .database
            .number(&format!("SELECT count(*) FROM pg_class WHERE relname = 'events_{day}'"))
            .await
        {
            0 => Err("it is not there".to_owned()),
            _ => Ok(()),
        }
    })
    .await;
    let back = format!("INSERT INTO events SELECT * FROM kept_{day} ON CONFLICT DO NOTHING");
    within(PATIENCE, &back, async || pool.execute(back.as_str()).await.map_err(|e| e.to_string())).await;
}
