//! Sweeps up after erasures and signs their receipts ([`crate::erasure`]), and measures what is left to do.

use std::time::Duration;

use shared::domain::user_key::Placeholders;
use sqlx::PgPool;

use crate::{Problem, erasure, metrics};

/// Does what is to be done. Runs under leadership.
pub async fn run(pool: &PgPool, placeholders: &Placeholders, signing_key: &str) -> Result<(), Problem> {
    loop {
        let unswept = erasure::unswept(pool).await?;
        if unswept.is_empty() {
            break;
        }
        for one in &unswept {
            erasure::sweep(pool, one, placeholders).await?;
        }
    }
    erasure::settle::settle(pool, signing_key).await
}

/// Counts once and sets the gauges.
pub async fn measure(pool: &PgPool) -> Result<(), sqlx::Error> {
    let (sweeping, seconds, provisional): (i64, f64, i64) = sqlx::query_as(
        "/* erasure.measure */ SELECT count(*) FILTER (WHERE state = 'sweeping'),
                coalesce(extract(epoch FROM clock_timestamp() - min(erased_at) FILTER (WHERE state = 'sweeping')), 0)::double precision,
                count(*) FILTER (WHERE state = 'provisional')
           FROM erasures WHERE state IN ('sweeping', 'provisional')",
    )
    .fetch_one(pool)
    .await?;
    let oldest = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    metrics::erasures(u64::try_from(sweeping).unwrap_or(0), oldest, u64::try_from(provisional).unwrap_or(0));
    Ok(())
}
