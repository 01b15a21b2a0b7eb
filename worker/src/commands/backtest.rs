//! `worker backtest`: how many users and events of the last days a campaign would have matched.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use shared::store::backtest::{self, Asked, DEFAULT_SECONDS, MOST_SECONDS, Outcome, Progress, STATE_BYTES};
use tokio::sync::mpsc;

use super::campaign_file::campaign;
use super::explain::refusal;
use super::{pool, say};
use crate::Problem;
use crate::settings::Settings;

/// Reports that wait to be printed.
const REPORTS: usize = 8;
const BETWEEN_LINES: Duration = Duration::from_secs(2);

/// `backtest`.
#[derive(Debug, clap::Args)]
pub struct Backtest {
    /// A file with the document of a campaign, or the id of a stored one
    campaign: String,
    /// How many days back, today included
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..))]
    days: u16,
    /// After so long it tells what there is
    #[arg(long, value_name = "SECONDS", default_value_t = DEFAULT_SECONDS, value_parser = clap::value_parser!(u64).range(1..=MOST_SECONDS))]
    time_limit: u64,
    /// As JSON, as the API answers
    #[arg(long)]
    json: bool,
}

impl Backtest {
    /// Runs the command.
    pub async fn run(self) -> Result<(), Problem> {
        let settings = Settings::from_environment()?;
        let most_days = settings.pipeline.retention_days;
        if self.days > most_days {
            return Err(format!("--days must be at most {most_days}: events are kept so long").into());
        }
        let asked = Asked {
            campaign: campaign(&self.campaign)?,
            days: self.days,
            limit: Duration::from_secs(self.time_limit),
            placeholders: settings.pipeline.placeholders.clone(),
            state_bytes: STATE_BYTES,
        };
        let pool = pool(&settings)?;
        let (progress, mut reports) = mpsc::channel(REPORTS);
        let running = tokio::spawn(async move { backtest::backtest(&pool, &asked, &progress).await });
        let mut bar = Bar::start(self.days);
        while let Some(report) = reports.recv().await {
            bar.show(&report);
        }
        bar.end();
        let outcome = running.await??.map_err(|why| refusal(&why))?.ok_or("the backtest was broken off")?;
        if self.json {
            say(&serde_json::to_string_pretty(&outcome)?);
        } else {
            lines(&outcome).iter().for_each(|line| say(line));
        }
        Ok(())
    }
}

fn lines(outcome: &Outcome) -> Vec<String> {
    let mut lines = vec![format!("{:<10}  {:>12}  {:>12}  {:>12}", "day", "events", "matched", "users")];
    let line = |day: &str, events: u64, matched: u64, users: u64| {
        format!("{day:<10}  {events:>12}  {matched:>12}  {users:>12}")
    };
    let days = outcome.daily.iter();
    lines.extend(days.map(|day| line(&day.date.to_string(), day.events, day.matched_events, day.matched_users)));
    lines.push(line("all", outcome.events, outcome.matched_events, outcome.matched_users));
    lines.push(String::new());
    lines.push(format!("of the matched events held out: {}", outcome.held_out_events));
    lines.extend(outcome.suppressed.iter().map(|(reason, count)| format!("not matched, {reason}: {count}")));
    lines.extend(outcome.notes.iter().map(|note| format!("note: {note}")));
    let end = if outcome.complete { "complete" } else { "NOT complete" };
    lines.push(format!("{end}, after {:.1} s", outcome.elapsed_seconds));
    lines
}

/// How far it is: a bar on a terminal, else a line now and then, on standard error.
struct Bar {
    bar: ProgressBar,
    last_line: Instant,
}

impl Bar {
    fn start(days: u16) -> Self {
        let bar = ProgressBar::new(u64::from(days));
        let style = ProgressStyle::with_template("{bar:40} {pos}/{len} days, {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { bar, last_line: Instant::now() }
    }

    #[expect(clippy::print_stderr, reason = "results go to standard output")]
    fn show(&mut self, report: &Progress) {
        let text = format!("{}: {} events, {} users matched", report.day, report.events, report.matched_users);
        self.bar.set_position(u64::try_from(report.days_done).unwrap_or(0));
        if self.bar.is_hidden() && self.last_line.elapsed() > BETWEEN_LINES {
            self.last_line = Instant::now();
            eprintln!("{} of {} days, {text}", report.days_done, report.days);
        }
        self.bar.set_message(text);
    }

    fn end(&self) {
        self.bar.finish_and_clear();
    }
}
