//! Measures what is kept and when the next day goes. Changes nothing; every worker reports the same figures.

use chrono::{NaiveTime, TimeDelta, Utc};
use shared::domain::retention::{self, Limits, Partition};
use sqlx::PgPool;

use super::Plan;
use crate::jobs::clock::{self, Verdict};
use crate::jobs::partitions::State;
use crate::metrics::{self, Kept};

/// Full days that the mean size is taken over.
const MEAN_DAYS: i64 = 7;

/// Measures once and sets the gauges.
pub async fn measure(pool: &PgPool, limits: Limits) -> Result<(), sqlx::Error> {
    let mut connection = pool.acquire().await?;
    let (standing, now) = clock::read(&mut connection).await?;
    let (verdict, _) = clock::judge(standing, now, Utc::now());
    let today = now.date_naive();
    let plan = Plan::make(&mut connection, limits, today).await?;
    let sizes: Vec<_> = plan.tables.iter().map(|table| Partition { day: table.day, bytes: table.bytes }).collect();
    let seconds_from_midnight = |day: chrono::NaiveDate| (day.and_time(NaiveTime::MIN).and_utc() - now).num_seconds();
    let full = sizes.iter().filter(|p| p.day < today && p.day >= today - TimeDelta::days(MEAN_DAYS));
    let full: Vec<u64> = full.map(|p| p.bytes).collect();
    metrics::kept(Kept {
        oldest_seconds: sizes.iter().map(|p| -seconds_from_midnight(p.day)).max().unwrap_or(0),
        next_drop_seconds: retention::next_drop(limits, &sizes, &plan.held).map_or(0, seconds_from_midnight).max(0),
        bytes: sizes.iter().map(|p| p.bytes).sum(),
        bytes_per_day: full.iter().sum::<u64>() / u64::try_from(full.len().max(1)).unwrap_or(1),
        waiting: plan.tables.iter().filter(|table| table.state != State::Attached).count(),
        held: plan.held.len(),
        clock_doubted: matches!(verdict, Verdict::Doubted(_)),
    });
    Ok(())
}
