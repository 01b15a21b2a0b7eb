//! `worker export-legacy`: writes the state as a `data.json` for the old server. See [`crate::legacy::export`].

use std::path::PathBuf;

use super::{pool, say};
use crate::Problem;
use crate::legacy::export::export;
use crate::settings::Settings;

/// Where to.
#[derive(Debug, clap::Args)]
pub struct ExportLegacy {
    /// The file to write; it must not be there yet
    file: PathBuf,
}

impl ExportLegacy {
    /// Runs the command.
    pub async fn run(self) -> Result<(), Problem> {
        let settings = Settings::from_environment()?;
        let pool = pool(&settings)?;
        let done = export(&pool, &self.file).await?;
        say(&format!(
            "{}: {} campaigns, {} users, {} events, {} flags, {} segments",
            self.file.display(),
            done.campaigns,
            done.users,
            done.events,
            done.flags,
            done.segments
        ));
        if done.anonymous + done.other_calls > 0 {
            say(&format!(
                "left out, because the old server has no place for them: {} profiles of visitors without a user id; {} identifies, groups \
                 and aliases (what identifies said is in the users' traits)",
                done.anonymous, done.other_calls
            ));
        }
        Ok(())
    }
}
