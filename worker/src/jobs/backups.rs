//! Measures what a restore would bring back now: how old it would be, and whether the streams still hold what came after it. Changes
//! nothing; `deploy/backup` registers what there is.

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::jetstream::Context;
use chrono::{DateTime, Utc};
use shared::stream::lanes::{self, Lane};
use sqlx::PgPool;
use sqlx::types::Json;

use crate::attach::AttachError;
use crate::metrics;

/// The newest backup that is there.
#[derive(Debug, sqlx::FromRow)]
struct Newest {
    age_seconds: f64,
    /// Message from which a restore reads on, by lane.
    positions: Option<Json<BTreeMap<String, i64>>>,
    /// When WAL was archived last, if there is a base backup for it to be applied to.
    archived_at: Option<DateTime<Utc>>,
    archived_seconds: Option<f64>,
}

/// Measures once and sets the gauges.
pub async fn measure(pool: &PgPool, jetstream: &Context, lanes: &[Lane]) -> Result<(), AttachError> {
    let newest: Option<Newest> = sqlx::query_as(
        "/* backups.measure */ SELECT extract(epoch FROM clock_timestamp() - taken_at)::double precision AS age_seconds, positions,
                last_archived_time AS archived_at,
                extract(epoch FROM clock_timestamp() - last_archived_time)::double precision AS archived_seconds
           FROM backups b
           LEFT JOIN pg_stat_archiver ON EXISTS
                (SELECT FROM backups WHERE kind = 'base' AND finished_at IS NOT NULL AND removed_at IS NULL)
          WHERE finished_at IS NOT NULL AND removed_at IS NULL ORDER BY taken_at DESC LIMIT 1",
    )
    .fetch_optional(pool)
    .await?;
    let Some(newest) = newest else {
        metrics::backups(None, 0);
        return Ok(());
    };
    let mut missing = 0;
    for lane in lanes {
        let Some(stream) = lanes::state(jetstream, lane).await? else { continue };
        let Some(&reads_from) = newest.positions.as_ref().and_then(|p| p.get(&lane.number.to_string())) else {
            continue;
        };
        let trimmed = missing_messages(stream.first_seq, reads_from);
        // What was archived after the oldest message came in holds everything before it.
        let archived = match newest.archived_at {
            Some(at) if trimmed > 0 => {
                lanes::message(jetstream, lane, stream.first_seq).await?.is_none_or(|first| first.time <= at)
            }
            _ => false,
        };
        missing += if archived { 0 } else { trimmed };
    }
    let seconds = newest.archived_seconds.map_or(newest.age_seconds, |archived| archived.min(newest.age_seconds));
    metrics::backups(Some(Duration::try_from_secs_f64(seconds).unwrap_or_default()), missing);
    Ok(())
}

/// Messages between what a backup has processed and what the stream still holds.
fn missing_messages(first_seq: u64, reads_from: i64) -> u64 {
    first_seq.saturating_sub(u64::try_from(reads_from).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_trimmed_and_is_not_in_the_backup_is_missing() {
        assert_eq!(missing_messages(1, 1), 0, "nothing was trimmed");
        assert_eq!(missing_messages(100, 100), 0, "all that was trimmed is in the backup");
        assert_eq!(missing_messages(100, 500), 0);
        assert_eq!(missing_messages(501, 500), 1);
    }
}
