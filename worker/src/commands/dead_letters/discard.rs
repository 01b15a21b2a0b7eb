//! Open letters that stay dead.

use shared::store::dead_letters::open;

use super::progress::Progress;
use super::select::{Select, sum_up};
use crate::Problem;
use crate::commands::{pool, say};
use crate::settings::Settings;

/// Letters of one transaction.
const MOST_OF_A_STEP: u32 = 5_000;

/// `discard`.
#[derive(Debug, clap::Args)]
pub struct Discard {
    #[command(flatten)]
    select: Select,
    /// All open letters
    #[arg(long)]
    all: bool,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
    /// Why, for the mark on the letters
    #[arg(long)]
    why: Option<String>,
    /// Who does it, for the mark on the letters
    #[arg(long, default_value_t = super::somebody())]
    by: String,
}

impl Discard {
    /// Runs the command.
    pub async fn run(self) -> Result<(), Problem> {
        let filter = self.select.filter_or_all(self.all)?;
        let settings = Settings::from_environment()?;
        let pool = pool(&settings)?;
        let summary = sum_up(&pool, &filter).await?;
        if self.dry_run {
            say(&format!("would discard {} letters", summary.letters));
            return Ok(());
        }
        let mut progress = Progress::start(summary.letters);
        let (mut after, mut discarded) = (0, 0);
        loop {
            let ids = after + 1..=summary.last_id;
            let mark = (self.by.as_str(), self.why.as_deref());
            let step = open::discard(&pool, &filter, ids, MOST_OF_A_STEP, mark).await?;
            let Some(reached) = step.reached else { break };
            after = reached;
            discarded += step.letters;
            progress.add(step.letters);
        }
        progress.end();
        say(&format!("discarded {discarded} letters"));
        Ok(())
    }
}
