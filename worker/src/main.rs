//! The worker program: turns arguments into a command, and its result into an exit code.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use worker::commands::dead_letters::DeadLetters;

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
        Command::AdoptStream => worker::commands::adopt_stream::adopt_stream().await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("worker: {problem}");
            ExitCode::FAILURE
        }
    }
}
