//! The commands that do one thing and exit. They print for a person, to standard output.

pub mod adopt_stream;
pub mod audit;
pub mod check;
pub mod dead_letters;
pub mod import_archive;
pub mod migrate;
pub mod retention;

use shared::store::connection::{self, SessionLimits};
use sqlx::PgPool;
use std::time::Duration;

use crate::Problem;
use crate::settings::Settings;

/// A pool for a command: patient with long statements.
fn pool(settings: &Settings) -> Result<PgPool, Problem> {
    let limits = SessionLimits { statement: Duration::from_secs(600), ..SessionLimits::default() };
    let options = connection::options(&settings.pipeline, "ec-worker-command", limits)?;
    Ok(connection::pool(connection::planned_once(options), 2))
}

#[expect(clippy::print_stdout, reason = "what a command prints is its result")]
fn say(line: &str) {
    println!("{line}");
}
