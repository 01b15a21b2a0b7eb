//! `worker export-user`: all data about a user as one JSON file.

use std::io::Write;
use std::path::PathBuf;

use chrono::Utc;
use indicatif::ProgressBar;
use shared::domain::user_key::KeyKind;
use shared::store::subject_access::{self, Subject};
use tokio::sync::mpsc;

use super::{pool, say};
use crate::Problem;
use crate::settings::Settings;

/// Pieces of 64 KiB that wait for the disk.
const PIECES: usize = 4;

/// `export-user`.
#[derive(Debug, clap::Args)]
pub struct ExportUser {
    /// The user's id
    id: String,
    /// It is an anonymous id: a visitor that nobody logged in as
    #[arg(long)]
    anonymous: bool,
    /// The file; without it, standard output
    #[arg(long)]
    output: Option<PathBuf>,
}

impl ExportUser {
    /// Runs the command.
    pub async fn run(self) -> Result<(), Problem> {
        let settings = Settings::from_environment()?;
        let pool = pool(&settings)?;
        let kind = if self.anonymous { KeyKind::Anonymous } else { KeyKind::User };
        let subject = Subject::find(&pool, kind, self.id.clone()).await?;
        let (out, mut pieces) = mpsc::channel(PIECES);
        let placeholders = settings.pipeline.placeholders.clone();
        let export =
            tokio::spawn(async move { subject_access::export(&pool, &subject, &placeholders, Utc::now(), out).await });
        let mut file: Box<dyn Write> = match &self.output {
            Some(path) => Box::new(
                std::fs::File::options()
                    .write(true)
                    .create_new(true)
                    .open(path)
                    .map_err(|e| format!("{} cannot be made: {e}", path.display()))?,
            ),
            None => Box::new(std::io::stdout()),
        };
        let bar = ProgressBar::new_spinner();
        let mut bytes = 0;
        while let Some(piece) = pieces.recv().await {
            file.write_all(&piece)?;
            bytes += piece.len();
            bar.set_message(format!("{bytes} bytes"));
            bar.tick();
        }
        bar.finish_and_clear();
        file.flush()?;
        export.await??;
        if let Some(path) = &self.output {
            say(&format!("{bytes} bytes written to {}", path.display()));
        }
        Ok(())
    }
}
