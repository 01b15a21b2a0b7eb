//! The program `ingest`: turns a result into an exit code.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use shared::runtime::settings::Reader;

/// Takes events in over HTTP and answers when they are on disk. Settings come from the environment; see the README.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Verifies settings, stream, durability, database and schema, and exits.
    Check,
}

#[tokio::main]
async fn main() -> ExitCode {
    let reader = Reader::from_environment();
    let result = match Arguments::parse().command {
        None => ingest::run::run(reader).await.map(|()| true),
        Some(Command::Check) => ingest::verify::check(reader, &mut std::io::stdout()).await,
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("ingest: {failure}");
            ExitCode::FAILURE
        }
    }
}
