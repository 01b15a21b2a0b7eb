//! The worker program: turns arguments into a command, and its result into an exit code.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use worker::commands::audit::Since;
use worker::commands::dead_letters::DeadLetters;
use worker::commands::import_archive::ImportArchive;
use worker::commands::retention::Retention;

/// Stores the events of the stream, matches campaigns and keeps the books.
#[derive(Parser)]
#[command(name = "worker", version)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Processes events until it is told to stop (the default).
    Run,
    /// Verifies settings, database, schema, streams and durability, and exits.
    Check,
    /// Creates or upgrades the schema, and exits.
    Migrate,
    /// Trusts the streams as they are now, after a gap was reported: positions restart at their first message.
    AdoptStream,
    /// Proves that every event has one outcome and the books balance, or lists where they do not, and exits.
    Audit {
        /// Only the hours from then on: a time (2026-11-22T10:00:00Z), a date, or a duration (90m, 24h, 7d). Rows are then not counted.
        #[arg(long, value_name = "TIME|DURATION")]
        since: Option<Since>,
    },
    /// Shows which days of events have to go, or drops them now.
    Retention(Retention),
    /// Brings the events of a day back from its archive, for a while.
    ImportArchive(ImportArchive),
    /// Lists, shows, redrives and discards events that could not be stored.
    #[command(subcommand)]
    DeadLetters(DeadLetters),
}

#[tokio::main]
async fn main() -> ExitCode {
    let done = match Arguments::parse().command.unwrap_or(Command::Run) {
        Command::Run => worker::run::run().await,
        Command::Check => worker::commands::check::check().await,
        Command::Migrate => worker::commands::migrate::migrate().await,
        Command::DeadLetters(what) => worker::commands::dead_letters::dead_letters(what).await,
        Command::Retention(what) => worker::commands::retention::retention(what).await,
        Command::ImportArchive(what) => worker::commands::import_archive::import_archive(what).await,
        Command::AdoptStream => worker::commands::adopt_stream::adopt_stream().await,
        Command::Audit { since } => worker::commands::audit::run(since).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("worker: {problem}");
            ExitCode::FAILURE
        }
    }
}
