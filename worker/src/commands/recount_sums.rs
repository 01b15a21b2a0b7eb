//! `worker recount-sums`: counts days anew whose events were stored by a release that did not count reports of apps and active users.
//!
//! A day is counted while workers run; then all flushes wait for the moment in which its sums are replaced ([`day`]). Meanwhile no day
//! is dropped and nobody's rows are erased. Repeating it is harmless. What an erasure took before is not counted.

use std::time::Duration;

use chrono::NaiveDate;
use clap::Args;
use shared::store::catalog::Loader;
use sqlx::PgPool;

use super::{pool, say};
use crate::Problem;
use crate::jobs::leader::Leadership;
use crate::jobs::partitions::{self, State};
use crate::settings::Settings;

mod day;
mod progress;

/// The migration that brought what is counted here.
const COUNTED_SINCE_MIGRATION: i64 = 14;

/// Jobs that must not run meanwhile; a run of one takes moments, or minutes when there is much to do.
const JOBS: [&str; 2] = ["retention", "erasure"];
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// Then somebody has to look why it takes so long.
const LOOKS: u32 = 120;

/// Its arguments.
#[derive(Debug, Args)]
pub struct RecountSums {
    /// The first day; without it the first that is stored.
    #[arg(long, value_name = "DATE")]
    from: Option<NaiveDate>,
    /// The last day; without it the day of the upgrade, after which workers counted for themselves.
    #[arg(long, value_name = "DATE")]
    to: Option<NaiveDate>,
}

/// Runs the command.
pub async fn recount_sums(what: RecountSums) -> Result<(), Problem> {
    let settings = Settings::from_environment()?;
    let pool = pool(&settings)?;
    // Held on connections of their own.
    let leaders = super::pool(&settings)?;
    let mut leading = Vec::new();
    for job in JOBS {
        leading.push(lead(&leaders, job).await?);
    }
    let done = all(&pool, &settings, &what).await;
    for leadership in leading {
        leadership.abandon().await;
    }
    done
}

/// Waits for the lead of a job.
async fn lead(pool: &PgPool, job: &'static str) -> Result<Leadership, Problem> {
    for _ in 0..LOOKS {
        if let Some(leadership) = Leadership::take(pool, job).await? {
            return Ok(leadership);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    Err(format!("the job {job} of a worker is running all the time: try again when it is done").into())
}

async fn all(pool: &PgPool, settings: &Settings, what: &RecountSums) -> Result<(), Problem> {
    let to = match what.to {
        Some(to) => to,
        None => upgraded_on(pool).await?,
    };
    let from = what.from.unwrap_or(NaiveDate::MIN);
    // A day that is no part of `events` any more, or half of one, would be counted as less than it was.
    let tables = partitions::all(&mut *pool.acquire().await?).await?;
    let days = tables.iter().filter(|table| table.state == State::Attached).map(|table| table.day);
    let days: Vec<NaiveDate> = days.filter(|day| (from..=to).contains(day)).collect();
    let catalog = Loader::new(pool.clone(), false).read().await?.catalog;
    let mut progress = progress::Progress::start(days.len());
    let mut all = day::Counted::default();
    for day in &days {
        let counted = day::recount(pool, *day, &settings.pipeline.placeholders, &catalog).await;
        if counted.is_err() {
            progress.end();
        }
        all.add(counted?);
        progress.done(*day);
    }
    progress.end();
    say(&format!(
        "{} days up to {to}: {} reports of apps, {} active users (each once a day)",
        days.len(),
        all.reports,
        all.active_users
    ));
    Ok(())
}

async fn upgraded_on(pool: &PgPool) -> Result<NaiveDate, sqlx::Error> {
    sqlx::query_scalar(
        "/* recount_sums.upgraded_on */ SELECT (installed_on AT TIME ZONE 'UTC')::date FROM _sqlx_migrations WHERE version = $1",
    )
    .bind(COUNTED_SINCE_MIGRATION)
    .fetch_one(pool)
    .await
}
