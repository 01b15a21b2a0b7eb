//! Trims a lane's stream: purges the prefix that every partition has processed, less a replay window.
//!
//! The window is a time, or half of the stream's bytes, whichever is smaller. `trimmed_to` is written before each purge, so that a
//! purge that was cut off is never taken for a gap; purges go in steps, because one blocks publishes for 0.3 to 0.6 ms per megabyte.

use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use chrono::{DateTime, Utc};
use futures_util::StreamExt;
use shared::stream::StreamError;
use shared::stream::lanes::{Lane, StreamState};
use sqlx::PgPool;

use crate::attach::{self, AttachError};

/// Most bytes purged in one step.
const STEP_BYTES: u64 = 100 << 20;
const PAUSE: Duration = Duration::from_millis(200);

/// Up to which message a stream may be trimmed: below the slowest partition, and below the replay window.
#[must_use]
pub fn trim_to(stream: &StreamState, processed_to: u64, before_window: u64) -> u64 {
    let mean_bytes = (stream.bytes / stream.messages.max(1)).max(1);
    let half = u64::try_from(stream.max_bytes).unwrap_or(0) / 2;
    let excess_messages = stream.bytes.saturating_sub(half).div_ceil(mean_bytes);
    let by_bytes = (stream.first_seq + excess_messages).saturating_sub(1);
    processed_to.min(before_window.max(by_bytes))
}

/// Trims a lane; gives back the sequence it is trimmed to, if it moved. Runs under leadership.
pub async fn trim(
    pool: &PgPool,
    jetstream: &Context,
    lane: &Lane,
    replay_window: Duration,
    now: DateTime<Utc>,
) -> Result<Option<u64>, AttachError> {
    let mut connection = pool.acquire().await?;
    let Some((record, positions)) = attach::read(&mut connection, lane).await? else { return Ok(None) };
    drop(connection);
    let stream = attach::verify(jetstream, lane, &record, &positions).await?;
    let processed_to = positions.iter().map(|p| p.last_seq).min().unwrap_or(0);
    let before_window = last_before(jetstream, lane, &stream, now - replay_window).await?;
    let target = trim_to(&stream, u64::try_from(processed_to).unwrap_or(0), before_window);
    if target < stream.first_seq {
        return Ok(None);
    }
    let mut done = stream.first_seq.saturating_sub(1);
    while done < target {
        done = (done + step(&stream)).min(target);
        let recorded = sqlx::query(
            "/* trim */ UPDATE lanes SET trimmed_to = greatest(trimmed_to, $2) WHERE lane = $1 AND generation = $3",
        )
        .bind(i32::from(lane.number))
        .bind(i64::try_from(done).unwrap_or(i64::MAX))
        .bind(&stream.generation)
        .execute(pool)
        .await?;
        if recorded.rows_affected() == 0 {
            return Ok(None);
        }
        purge_to(jetstream, lane, done).await?;
        if done < target {
            tokio::time::sleep(PAUSE).await;
        }
    }
    tracing::info!(lane = lane.number, trimmed_to = done, "stream trimmed");
    Ok(Some(done))
}

/// Purges a lane up to a message that is recorded as trimmed already, in steps.
pub async fn purge(jetstream: &Context, lane: &Lane, stream: &StreamState, target: u64) -> Result<(), StreamError> {
    let mut done = stream.first_seq.saturating_sub(1);
    while done < target {
        done = (done + step(stream)).min(target);
        purge_to(jetstream, lane, done).await?;
        if done < target {
            tokio::time::sleep(PAUSE).await;
        }
    }
    Ok(())
}

/// Messages of one step.
fn step(stream: &StreamState) -> u64 {
    (STEP_BYTES / (stream.bytes / stream.messages.max(1)).max(1)).max(1)
}

async fn purge_to(jetstream: &Context, lane: &Lane, seq: u64) -> Result<(), StreamError> {
    let doing = || format!("purging stream {} up to {seq}", lane.stream);
    let handle = jetstream.get_stream_no_info(&lane.stream).await.map_err(|e| StreamError::new(doing(), e))?;
    handle.purge().sequence(seq + 1).await.map_err(|e| StreamError::new(doing(), e))?;
    Ok(())
}

/// The last message older than `since`; the stream's last one if nothing is younger.
pub async fn last_before(
    jetstream: &Context,
    lane: &Lane,
    stream: &StreamState,
    since: DateTime<Utc>,
) -> Result<u64, StreamError> {
    if stream.messages == 0 {
        return Ok(stream.last_seq);
    }
    let doing = || format!("looking for the replay window in {}", lane.stream);
    let config = pull::Config {
        deliver_policy: DeliverPolicy::ByStartTime { start_time: since },
        ack_policy: AckPolicy::None,
        memory_storage: true,
        num_replicas: 1,
        headers_only: true,
        inactive_threshold: Duration::from_secs(5),
        ..pull::Config::default()
    };
    let consumer =
        jetstream.create_consumer_on_stream(config, &lane.stream).await.map_err(|e| StreamError::new(doing(), e))?;
    let name = consumer.cached_info().name.clone();
    let mut first = consumer
        .fetch()
        .max_messages(1)
        .expires(Duration::from_secs(2))
        .messages()
        .await
        .map_err(|e| StreamError::new(doing(), e))?;
    let found = match first.next().await {
        Some(Ok(message)) => message.info().ok().map(|info| info.stream_sequence - 1),
        _ => None,
    };
    // It would vanish by itself after five seconds.
    let _ = jetstream.delete_consumer_from_stream(name, &lane.stream).await;
    Ok(found.unwrap_or(stream.last_seq))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use shared::domain::layout::Layout;

    proptest! {
        #[test]
        fn nothing_unprocessed_is_ever_trimmed(first in 1u64..1_000, messages in 0u64..1_000, bytes in 0u64..1_000_000,
                                               max in 0i64..1_000_000, processed in 0u64..2_000, window in 0u64..2_000) {
            let stream = StreamState {
                generation: String::new(), adopted: String::new(), since: 0, first_seq: first, last_seq: first + messages, bytes,
                max_bytes: max, messages, layout: Layout::first(1, 1), sealed: false, barrier: 0, replicas: 1, problems: Vec::new(),
            };
            prop_assert!(trim_to(&stream, processed, window) <= processed);
            if bytes <= u64::try_from(max).unwrap() / 2 {
                prop_assert!(trim_to(&stream, processed, window) <= window.max(first - 1));
            }
        }
    }
}
