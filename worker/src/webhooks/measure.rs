//! Counts what waits for receivers, and which of them are paused. Changes nothing.

use std::time::Duration;

use sqlx::PgPool;

use crate::metrics;

/// Counts once and sets the gauges.
pub async fn measure(pool: &PgPool) -> Result<(), sqlx::Error> {
    let (pending, seconds, held, paused): (i64, f64, i64, i64) = sqlx::query_as(
        "/* measure.webhooks */ WITH counted AS (
            SELECT e.campaign_id, e.paused_at IS NOT NULL AS paused,
                   e.webhook IS NOT NULL AND e.paused_at IS NULL AND e.webhook->'enabled' IS DISTINCT FROM 'false' AS sends, d.pending, d.oldest
              FROM webhook_endpoints e CROSS JOIN LATERAL (
                   SELECT count(*) AS pending, min(created_at) AS oldest FROM webhook_deliveries d
                    WHERE d.campaign_id = e.campaign_id AND d.state = 'pending' AND d.kind <> 'ping') AS d)
         SELECT coalesce(sum(pending) FILTER (WHERE sends), 0)::bigint,
                coalesce(extract(epoch FROM clock_timestamp() - min(oldest) FILTER (WHERE sends)), 0)::double precision,
                coalesce(sum(pending) FILTER (WHERE NOT sends), 0)::bigint, count(*) FILTER (WHERE paused)
           FROM counted",
    )
    .fetch_one(pool)
    .await?;
    let count = |n: i64| u64::try_from(n).unwrap_or(0);
    let oldest = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    metrics::webhooks(count(pending), oldest, count(held), count(paused));
    Ok(())
}
