//! The commands that do one thing and exit. They print for a person, to standard output.

pub mod adopt_stream;
pub mod audit;
pub mod backtest;
mod campaign_file;
pub mod check;
pub mod dead_letters;
pub mod erasures;
pub mod explain;
pub mod export_legacy;
pub mod export_user;
pub mod import_archive;
pub mod import_legacy;
pub mod migrate;
pub mod recount_sums;
pub mod repartition;
pub mod retention;
pub mod way_in;
pub mod webhooks;

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

/// What only the owner of the schema may do says so.
fn owner_is_needed(error: sqlx::Error) -> Problem {
    let code = error.as_database_error().and_then(|e| e.code());
    if code.as_deref() == Some("42501") {
        return format!("{error}: run this with the DATABASE_URL of the schema's owner, as `worker migrate`").into();
    }
    error.into()
}

#[expect(clippy::print_stdout, reason = "what a command prints is its result")]
fn say(line: &str) {
    println!("{line}");
}
