//! Measures how far processing is behind, over all workers, and how full the streams are. Changes nothing.

use std::time::Duration;

use async_nats::jetstream::Context;
use chrono::Utc;
use shared::domain::message::EVENTS_HEADER;
use shared::stream::lanes::{self, Lane};
use sqlx::PgPool;

use crate::attach::AttachError;
use crate::metrics;

/// Measures all lanes once and sets the gauges.
pub async fn measure(pool: &PgPool, jetstream: &Context, lanes: &[Lane]) -> Result<(), AttachError> {
    let slowest: Vec<(i32, i64)> =
        sqlx::query_as("/* lag.measure */ SELECT lane, min(last_seq) FROM partitions GROUP BY lane")
            .fetch_all(pool)
            .await?;
    let (mut events, mut oldest) = (0, Duration::ZERO);
    for lane in lanes {
        let Some(stream) = lanes::state(jetstream, lane).await? else { continue };
        let processed = slowest.iter().find(|(n, _)| *n == i32::from(lane.number)).map_or(0, |(_, seq)| *seq);
        let processed = u64::try_from(processed).unwrap_or(0).max(stream.first_seq.saturating_sub(1));
        let behind = stream.last_seq.saturating_sub(processed);
        if behind > 0
            && let Some(message) = lanes::message(jetstream, lane, processed + 1).await?
        {
            // One message tells the size of its neighbours.
            let count = message.headers.get(EVENTS_HEADER).and_then(|n| n.as_str().parse().ok()).unwrap_or(1_u64);
            events += behind * count;
            oldest = oldest.max((Utc::now() - message.time).to_std().unwrap_or_default());
        }
        let mut window = Duration::ZERO;
        if stream.messages > 0
            && let Some(first) = lanes::message(jetstream, lane, stream.first_seq).await?
        {
            window = (Utc::now() - first.time).to_std().unwrap_or_default();
        }
        metrics::stream(lane.number, stream.bytes, stream.max_bytes, window);
    }
    metrics::pipeline_lag(events, oldest);
    metrics::pool(pool.size(), pool.num_idle());
    Ok(())
}
