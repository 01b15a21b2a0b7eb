//! Jobs that keep the database and the streams in shape. Every worker runs them; each has one leader at a time.
//!
//! [`partitions`] makes event partitions ahead; [`retention`] drops expired ones, if the [`clock`] is to be believed; [`spans`] notes
//! days with events from another time; [`trim`] purges processed messages; [`erasure`] sweeps up after erasures; [`lag`],
//! [`dead_letters`] and [`backups`] only measure, in every worker.

pub mod backups;
pub mod clock;
pub mod dead_letters;
pub mod erasure;
pub mod lag;
pub mod leader;
pub mod partitions;
pub mod retention;
pub mod spans;
pub mod trim;

use chrono::NaiveDate;
use sqlx::PgPool;

/// The database's date (UTC): jobs take the day from one clock.
pub async fn today(pool: &PgPool) -> Result<NaiveDate, sqlx::Error> {
    sqlx::query_scalar("/* jobs.today */ SELECT (now() AT TIME ZONE 'UTC')::date").fetch_one(pool).await
}
