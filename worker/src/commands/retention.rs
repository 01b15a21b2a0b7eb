//! `worker retention`: shows which days of events have to go, or drops them now, with everything else that has expired.

use chrono::NaiveDate;
use clap::Args;
use serde_json::json;
use shared::domain::retention::{self, Partition};
use sqlx::PgPool;

use super::{pool, say};
use crate::Problem;
use crate::jobs::clock::{self, Standing, Verdict};
use crate::jobs::leader::Leadership;
use crate::jobs::retention::{Done, Goes, Plan, Rules, run};
use crate::settings::Settings;

/// Its arguments.
#[derive(Debug, Args)]
pub struct Retention {
    /// Only say what would go; nothing is changed. The default.
    #[arg(long, conflicts_with = "now")]
    dry_run: bool,
    /// Drop it, without waiting for the next look of a worker.
    #[arg(long)]
    now: bool,
    /// Go by this date instead of the database's clock: today's, where the clock is doubted without reason.
    #[arg(long, value_name = "DATE")]
    today: Option<NaiveDate>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub async fn retention(what: Retention) -> Result<(), Problem> {
    let settings = Settings::from_environment()?;
    let pool = pool(&settings)?;
    if what.now {
        return drop_now(&pool, &settings.retention, &what).await;
    }
    let today = match what.today {
        Some(today) => today,
        None => crate::jobs::today(&pool).await?,
    };
    let plan = Plan::make(&mut *pool.acquire().await?, settings.retention.limits, today).await?;
    let goes = plan.describe(&pool).await?;
    let sizes: Vec<_> = plan.tables.iter().map(|table| Partition { day: table.day, bytes: table.bytes }).collect();
    let stay: Vec<_> = sizes.iter().copied().filter(|p| plan.due.iter().all(|(due, _)| *due != p.day)).collect();
    let next = retention::next_drop(settings.retention.limits, &stay, &plan.held);
    if what.json {
        say(&json!({"today": today, "goes": goes, "next_drop": next, "held": plan.held}).to_string());
        return Ok(());
    }
    goes.iter().for_each(|goes| say(&line("would go", goes)));
    let bytes: u64 = sizes.iter().map(|p| p.bytes).sum();
    say(&format!(
        "{today}: {} of {} days would go, nothing was changed; all together have {}; {} held{}",
        goes.len(),
        sizes.len(),
        megabytes(bytes),
        plan.held.len(),
        next.map_or(String::new(), |next| format!("; by age the next one goes on {next}"))
    ));
    Ok(())
}

async fn drop_now(pool: &PgPool, rules: &Rules, what: &Retention) -> Result<(), Problem> {
    let Some(leadership) = Leadership::take(pool, "retention").await? else {
        return Err("a worker is dropping what has expired right now; try again when it is done".into());
    };
    let today = match what.today {
        Some(today) => {
            // Who says the date has looked at the clock.
            let standing = Standing { believed_day: Some(today), doubted_since: None };
            clock::remember(&mut *pool.acquire().await?, standing).await?;
            Verdict::Day(today)
        }
        None => clock::look(pool, &leadership).await?,
    };
    let done = match today {
        Verdict::Day(today) => run(pool, rules, today).await,
        Verdict::Doubted(why) => Err(format!(
            "nothing was dropped, because the clock may be wrong: {why}. If it is right, say so: --today {}",
            chrono::Utc::now().date_naive()
        )
        .into()),
    };
    leadership.abandon().await;
    report(&done?, what.json)
}

fn report(done: &Done, as_json: bool) -> Result<(), Problem> {
    if as_json {
        say(&serde_json::to_string(done)?);
    } else {
        done.dropped.iter().for_each(|gone| say(&line("dropped", gone)));
        done.failed.iter().for_each(|(day, why)| say(&format!("KEPT      {day}  {why}")));
        done.swept.iter().for_each(|(table, rows)| say(&format!("{table}: {rows} rows expired")));
        say(&format!("{} days dropped", done.dropped.len()));
    }
    match done.failed.len() {
        0 => Ok(()),
        failed => Err(format!("{failed} days could not be exported, and are still there").into()),
    }
}

fn line(what: &str, goes: &Goes) -> String {
    let archive = goes.archive.as_ref().map_or(String::new(), |file| format!("  exported to {file}"));
    format!("{what:9} {}  {} rows  {}  by {}{archive}", goes.day, goes.rows, megabytes(goes.bytes), goes.why.as_str())
}

fn megabytes(bytes: u64) -> String {
    format!("{}.{} MB", bytes / 1_000_000, bytes / 100_000 % 10)
}
