//! `worker adopt-stream`: after a gap was reported, trusts the streams as they are: every position restarts before the first message.
//!
//! Safe to run too often: events that were stored before are recognised as duplicates. A lane whose stream is gone gets a new one.

use std::time::Duration;

use shared::domain::layout::Layout;
use shared::stream::connection;
use shared::stream::lanes::{self, Lane, StreamState};
use sqlx::PgConnection;

use super::{owner_is_needed, pool, say};
use crate::Problem;
use crate::flush::fence;
use crate::layout::{self, Start};
use crate::settings::Settings;

/// Runs the command.
pub async fn adopt_stream() -> Result<(), Problem> {
    let settings = Settings::from_environment()?;
    let pool = pool(&settings)?;
    let stream = connection::connect(&settings.pipeline, "ec-worker-adopt").await?;
    if !connection::wait_until_up(&stream, Duration::from_secs(10)).await {
        return Err("NATS is not connected; check NATS_URL".into());
    }
    let jetstream = lanes::jetstream(stream.client.clone());
    let prefix = &settings.pipeline.stream_prefix;
    let in_force = layout::in_force(&mut *pool.acquire().await?, &jetstream, &settings.pipeline).await?;
    let first = lanes::state(&jetstream, &Lane::new(prefix, 0)).await?;
    let layout = first.map_or(in_force, |stream| stream.layout);
    let mut adopted = Vec::new();
    for lane in Lane::all(prefix, layout) {
        let state = match lanes::state(&jetstream, &lane).await? {
            Some(state) => state,
            None => lanes::create(&jetstream, &lane, &settings.pipeline, layout).await?,
        };
        if state.sealed {
            return Err(format!("stream {} is being repartitioned: run `worker repartition` first", lane.stream).into());
        }
        if state.layout != layout {
            return Err(format!(
                "stream {} is of {}, and the first lane of {layout}: they belong to different times, so put back all of them or none",
                lane.stream, state.layout
            )
            .into());
        }
        // What is before the barrier is cut in another way.
        let before = i64::try_from(state.first_seq.max(state.barrier + 1)).unwrap_or(i64::MAX) - 1;
        adopted.push((lane, state, before));
    }
    let mut transaction = pool.begin().await?;
    if layout == in_force {
        fence::lock_all(&mut transaction).await?;
        for (lane, state, before) in &adopted {
            restart(&mut transaction, layout, lane, state, *before).await?;
        }
    } else {
        follow(&mut transaction, layout, &adopted).await.map_err(owner_is_needed)?;
    }
    // Before the commit: whoever owns a partition from then on finds the mark, and knows places of matches from those of before.
    for (lane, ..) in &adopted {
        lanes::mark_adopted(&jetstream, lane).await?;
    }
    transaction.commit().await?;
    if layout != in_force {
        say(&format!("the database follows the streams to {layout}"));
    }
    for (lane, state, before) in &adopted {
        let partitions = layout.partitions_of(lane.number).count();
        say(&format!(
            "{}: adopted; {} messages from {} on are read again, {partitions} partitions restart there",
            lane.stream,
            state.messages,
            before + 1,
        ));
    }
    Ok(())
}

/// The positions of a lane restart.
async fn restart(
    transaction: &mut PgConnection,
    layout: Layout,
    lane: &Lane,
    state: &StreamState,
    before: i64,
) -> Result<(), sqlx::Error> {
    let partitions: Vec<i32> = layout.partitions_of(lane.number).map(i32::from).collect();
    sqlx::query(
        "/* adopt_stream.restart.lanes */ INSERT INTO lanes (lane, stream, generation, trimmed_to, audited_to) VALUES ($1, $2, $3, $4, $4)
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
        "/* adopt_stream.restart.partitions */ INSERT INTO partitions (partition, lane, last_seq, counted_from) SELECT p, $1, $2, $2 FROM unnest($3::int[]) p
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
    sqlx::query("/* adopt_stream.restart.ledger */ UPDATE ledger SET settled = read, first_seq = $1 + 1 WHERE partition = ANY($2)")
        .bind(before)
        .bind(&partitions)
        .execute(transaction)
        .await?;
    Ok(())
}

/// Streams of another layout than the database's, such as after a restore: all positions are replaced.
async fn follow(
    transaction: &mut PgConnection,
    layout: Layout,
    adopted: &[(Lane, StreamState, i64)],
) -> Result<(), sqlx::Error> {
    let start = |(lane, state, before): &(Lane, StreamState, i64)| Start {
        lane: lane.clone(),
        generation: state.generation.clone(),
        seq: *before,
        batch_id: None,
    };
    let starts: Vec<Start> = adopted.iter().map(start).collect();
    layout::lock(transaction).await?;
    layout::set(transaction, layout).await?;
    layout::replace(transaction, layout, &starts).await
}
