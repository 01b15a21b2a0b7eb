//! The books of a pipeline: the worker's own audit must find nothing, unless something was changed by hand, as it can be here.

use serde_json::{Value, json};
use shared::domain::message::{self, BATCH_ID_HEADER, PLAIN_VERSION};
use shared::domain::user_key::UserKey;
use shared::stream::lanes;

use crate::pipeline::Pipeline;
use crate::program::run;

/// As set by default.
pub const PARTITIONS: u16 = 16;
/// PostgreSQL has no such character; no door would let it in.
const POISON: &str = r#"{"text":"\u0000"}"#;

/// `worker audit` must find nothing wrong.
///
/// # Panics
/// When it does.
pub async fn assert_balanced(pipeline: &Pipeline) {
    let output = run("worker", &["audit"], &pipeline.environment_of("worker")).await;
    assert!(output.status.success() && output.text.contains("everything balances"), "{}", output.text);
}

/// Runs a statement, and says how many rows it changed.
///
/// # Panics
/// When it fails.
pub async fn execute(pipeline: &Pipeline, statement: &str) -> u64 {
    sqlx::query(statement).execute(&pipeline.database.pool).await.expect("the statement holds").rows_affected()
}

/// An event for `/v1/track`, with this message id.
#[must_use]
pub fn event(id: &str, user: &str) -> Value {
    json!({"user_id": user, "event": "e", "messageId": id, "timestamp": chrono::Utc::now()})
}

/// A line as ingest would write it, for its user's partition.
#[must_use]
pub fn line(user: &str, properties: &str) -> (u16, Vec<u8>) {
    let now = chrono::Utc::now();
    let event = json!({"id": uuid::Uuid::new_v4(), "day": now.date_naive(), "type": "track", "user_id": user, "event": "e",
        "timestamp": now, "received_at": now, "source": "by hand"});
    let text = event.to_string();
    let text = format!("{},\"properties\":{properties}}}", &text[..text.len() - 1]);
    (UserKey::user(user).partition(PARTITIONS), text.into_bytes())
}

/// Publishes a message that was sealed so many hours ago.
pub async fn publish(pipeline: &Pipeline, hours_ago: i64, lines: &[(u16, Vec<u8>)]) -> u64 {
    let sealed_at = chrono::Utc::now() - chrono::TimeDelta::hours(hours_ago);
    let payload = message::encode(PLAIN_VERSION, sealed_at, lines.iter().map(|(p, line)| (*p, line.as_slice())));
    pipeline.stream.publish(payload.into(), lines.len(), PLAIN_VERSION).await
}

/// Three ordinary lines with a poisoned one among them.
#[must_use]
pub fn with_poison(user: &str) -> Vec<(u16, Vec<u8>)> {
    vec![line(user, "{}"), line(user, POISON), line(user, "{}")]
}

/// Kills the worker, so that positions can be changed by hand, and lets go of what it held.
pub async fn without_worker(pipeline: &mut Pipeline) {
    pipeline.workers[0].kill();
    execute(pipeline, "UPDATE partitions SET owner = NULL, lease_until = '-infinity'").await;
}

/// Moves all positions, with the batch id that is there, so that no worker is suspicious.
///
/// # Panics
/// When there is no such message.
pub async fn move_positions(pipeline: &Pipeline, to: u64) {
    let message = lanes::message(&pipeline.stream.context, &pipeline.stream.lane, to)
        .await
        .expect("it is there")
        .expect("it is there");
    let batch = message.headers.get(BATCH_ID_HEADER).expect("it is there").as_str().to_owned();
    sqlx::query("UPDATE partitions SET last_seq = $1, last_batch_id = $2")
        .bind(i64::try_from(to).expect("it is there"))
        .bind(batch)
        .execute(&pipeline.database.pool)
        .await
        .expect("it is there");
}

/// Starts it again, and waits until it has read everything.
pub async fn worker_again(pipeline: &mut Pipeline) {
    pipeline.workers[0].start_again();
    pipeline.ready().await;
    pipeline.drained().await;
}
