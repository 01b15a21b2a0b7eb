//! Counts the dead letters that wait for a person, and how long the oldest has waited. Changes nothing.

use std::time::Duration;

use sqlx::PgPool;

use crate::metrics;

/// Counts once and sets the gauges.
pub async fn measure(pool: &PgPool) -> Result<(), sqlx::Error> {
    let (open, seconds): (i64, f64) = sqlx::query_as(
        "/* dead_letters.measure */ SELECT count(*), coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0)::double precision
           FROM dead_letters WHERE redriven_at IS NULL AND discarded_at IS NULL",
    )
    .fetch_one(pool)
    .await?;
    let oldest = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    metrics::dead_letters(u64::try_from(open).unwrap_or(0), oldest);
    Ok(())
}
