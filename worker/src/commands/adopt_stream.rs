//! `worker adopt-stream`: after a gap was reported, trusts the streams as they are: every position restarts before the first message.
//!
//! Safe to run too often: events that were stored before are recognised as duplicates. A lane whose stream is gone gets a new one.

use std::time::Duration;

use shared::stream::connection;
use shared::stream::lanes::{self, Lane};

use super::{pool, say};
use crate::settings::Settings;
use crate::{Problem, attach};

/// Runs the command.
pub async fn adopt_stream() -> Result<(), Problem> {
    let settings = Settings::from_environment()?;
    let pool = pool(&settings)?;
    let stream = connection::connect(&settings.pipeline, "ec-worker-adopt").await?;
    if !connection::wait_until_up(&stream, Duration::from_secs(10)).await {
        return Err("NATS is not connected; check NATS_URL".into());
    }
    let jetstream = lanes::jetstream(stream.client.clone());
    for lane in Lane::all(&settings.pipeline) {
        let state = match lanes::state(&jetstream, &lane).await? {
            Some(state) => state,
            None => lanes::create(&jetstream, &lane, &settings.pipeline).await?,
        };
        if (state.partitions, state.lanes) != (settings.pipeline.partitions, settings.pipeline.lanes) {
            return Err(format!(
                "stream {} was made for PARTITIONS={} and LANES={}: set these",
                lane.stream, state.partitions, state.lanes
            )
            .into());
        }
        let before = i64::try_from(state.first_seq).unwrap_or(i64::MAX) - 1;
        let partitions: Vec<i32> = attach::partitions_of(&lane, state.partitions, state.lanes).collect();
        let mut transaction = pool.begin().await?;
        sqlx::query(
            "INSERT INTO lanes (lane, stream, generation, trimmed_to, audited_to) VALUES ($1, $2, $3, $4, $4)
             ON CONFLICT (lane) DO UPDATE SET stream = excluded.stream, generation = excluded.generation, trimmed_to = excluded.trimmed_to,
                                              audited_to = excluded.audited_to, audited_events = 0, suspect_seq = NULL",
        )
        .bind(i32::from(lane.number))
        .bind(&lane.stream)
        .bind(&state.generation)
        .bind(before)
        .execute(&mut *transaction)
        .await?;
        // Without an owner, so that whoever holds a partition now is fenced out and starts anew.
        sqlx::query(
            "INSERT INTO partitions (partition, lane, last_seq, counted_from) SELECT p, $1, $2, $2 FROM unnest($3::int[]) p
             ON CONFLICT (partition) DO UPDATE SET lane = excluded.lane, last_seq = excluded.last_seq, last_batch_id = NULL,
                                                   counted_from = excluded.counted_from, owner = NULL, lease_until = '-infinity',
                                                   updated_at = clock_timestamp()",
        )
        .bind(i32::from(lane.number))
        .bind(before)
        .bind(&partitions)
        .execute(&mut *transaction)
        .await?;
        // What was read so far will be read again, or is not in this stream: the audit compares what comes from here on.
        sqlx::query("UPDATE ledger SET settled = read, first_seq = $1 + 1 WHERE partition = ANY($2)")
            .bind(before)
            .bind(&partitions)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        lanes::mark_adopted(&jetstream, &lane).await?;
        say(&format!(
            "{}: adopted; {} messages from {} on are read again, {} partitions restart there",
            lane.stream,
            state.messages,
            state.first_seq,
            partitions.len()
        ));
    }
    Ok(())
}
