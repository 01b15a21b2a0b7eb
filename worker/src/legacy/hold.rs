//! Days older than the retention whose events are imported all the same: held until a date, each with its partition.

use chrono::NaiveDate;
use sqlx::PgPool;

use crate::jobs::partitions;

/// Holds these days. A day that is held longer already stays so.
pub async fn hold(pool: &PgPool, days: impl Iterator<Item = NaiveDate>, until: NaiveDate) -> Result<(), sqlx::Error> {
    for day in days {
        // First, so that the retention never sees the partition without it.
        sqlx::query(
            "/* hold */ INSERT INTO holds AS h (day, until, reason) VALUES ($1, $2, 'imported from the old store')
             ON CONFLICT (day) DO UPDATE SET until = greatest(h.until, excluded.until)",
        )
        .bind(day)
        .bind(until)
        .execute(pool)
        .await?;
        partitions::ensure(pool, day).await?;
    }
    Ok(())
}
