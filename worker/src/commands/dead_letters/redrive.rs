//! Open letters through the stream again, at a pace that leaves room for what comes from outside.

use std::time::Duration;

use bytes::Bytes;
use shared::redrive::{Order, Publish, Step};
use shared::runtime::pace::Pace;
use shared::stream::sealed::Answer;
use sqlx::PgPool;
use tokio::time::Instant;

use super::progress::Progress;
use super::select::{MOST_NAMED, Select, name, sum_up};
use crate::Problem;
use crate::commands::way_in::{WayIn, seal};
use crate::commands::{pool, say};
use crate::settings::Settings;

/// Longest wait for an acknowledgement; locks are held meanwhile, and a session may pause 10 s.
const PATIENCE: Duration = Duration::from_secs(6);
/// One attempt.
const ATTEMPT: Duration = Duration::from_secs(2);
/// Letters of one step, at most: one stream message.
const MOST_OF_A_STEP: u32 = 500;
/// Letters that a dry run names.
const SAMPLE: usize = 5;

/// `redrive`.
#[derive(Debug, clap::Args)]
pub struct Redrive {
    #[command(flatten)]
    select: Select,
    /// All open letters
    #[arg(long)]
    all: bool,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
    /// Events per second, at most
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// Identifies too of whose user a later one is stored: their traits overwrite newer ones
    #[arg(long)]
    overwrite_traits: bool,
    /// Who does it, for the mark on the letters
    #[arg(long, default_value_t = super::somebody())]
    by: String,
}

/// What all steps together did.
#[derive(Default)]
struct Sum {
    letters: usize,
    events: u64,
    skipped: usize,
    /// The first of them.
    sample: Vec<i64>,
    /// The first of those that were passed over.
    named: Vec<(i64, String)>,
}

impl Redrive {
    /// Runs the command.
    pub async fn run(self) -> Result<(), Problem> {
        let filter = self.select.filter_or_all(self.all)?;
        let settings = Settings::from_environment()?;
        let pool = pool(&settings)?;
        let mut stream =
            if self.dry_run { None } else { Some(WayIn::open(&settings, &pool, "ec-worker-redrive").await?) };
        let summary = sum_up(&pool, &filter).await?;
        let layout = match &stream {
            Some(stream) => stream.layout,
            // Where a letter would go makes no difference to what would be driven.
            None => settings.pipeline.first_layout,
        };
        let mut order = Order::new(&settings.pipeline, layout, filter, summary.last_id, self.by.clone());
        order.overwrite_traits = self.overwrite_traits;

        let mut progress = Progress::start(summary.letters);
        let mut sum = Sum::default();
        let done = self.drive(&pool, &order, stream.as_mut(), &mut sum, &mut progress).await;
        progress.end();
        name(&sum.named, sum.skipped);
        let Sum { letters, events, skipped, .. } = sum;
        if self.dry_run {
            let sample: Vec<String> = sum.sample.iter().map(i64::to_string).collect();
            let seconds = events.div_ceil(u64::from(self.rate));
            say(&format!(
                "would redrive {letters} letters ({events} events) in about {seconds} s, pass over {skipped}; the first: {}",
                sample.join(" ")
            ));
        } else {
            say(&format!("redriven {letters} letters ({events} events), passed over {skipped}"));
        }
        let missed = summary.letters - i64::try_from(letters + skipped).unwrap_or(i64::MAX);
        if done.is_ok() && missed > 0 {
            say(&format!(
                "{missed} letters are in somebody else's hands, or were until now; run this again to see what is left"
            ));
        }
        done
    }

    async fn drive(
        &self,
        pool: &PgPool,
        order: &Order,
        mut stream: Option<&mut WayIn>,
        sum: &mut Sum,
        progress: &mut Progress,
    ) -> Result<(), Problem> {
        let mut pace = Pace::new(self.rate);
        let most = if self.dry_run { MOST_OF_A_STEP } else { pace.piece().min(MOST_OF_A_STEP) };
        let mut after = 0;
        loop {
            pace.turn().await;
            let Step { redriven, events, skipped, reached, failure } =
                order.step(pool, after, most, stream.as_deref_mut()).await?;
            let Some(reached) = reached else { return Ok(()) };
            if !self.dry_run {
                pace.spend(events);
            }
            progress.add((redriven.len() + skipped.len()) as u64);
            after = reached;
            sum.letters += redriven.len();
            sum.skipped += skipped.len();
            sum.events += events;
            sum.sample.extend(redriven.iter().take(SAMPLE.saturating_sub(sum.sample.len())));
            sum.named.extend(skipped.into_iter().take(MOST_NAMED.saturating_sub(sum.named.len())));
            if let Some(why) = failure {
                return Err(format!(
                    "the stream did not take the next letters: {why}. What is redriven so far is marked; run this again for the rest"
                )
                .into());
            }
        }
    }
}

impl Publish for WayIn {
    type Error = String;

    async fn publish(&mut self, lane: u16, version: u16, lines: Vec<(u16, Bytes)>) -> Result<u64, String> {
        let lane = self.lanes.get(usize::from(lane)).ok_or("there is no such lane")?;
        let message = seal(version, &lines);
        let deadline = Instant::now() + PATIENCE;
        loop {
            let why = match message.send(&self.connection.client, &lane.subject, ATTEMPT).await {
                Answer::Acknowledged { sequence, .. } => return Ok(sequence),
                Answer::Full => return Err(format!("stream {} is full", lane.stream)),
                Answer::Failed(why) => why,
            };
            if Instant::now() > deadline {
                return Err(why);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}
