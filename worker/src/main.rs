//! The worker program: turns arguments into a command, and its result into an exit code.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use worker::commands::audit::Since;
use worker::commands::backtest::Backtest;
use worker::commands::dead_letters::DeadLetters;
use worker::commands::erasures::Erasures;
use worker::commands::erasures::erase::Erase;
use worker::commands::explain::Explain;
use worker::commands::export_legacy::ExportLegacy;
use worker::commands::export_user::ExportUser;
use worker::commands::import_archive::ImportArchive;
use worker::commands::import_legacy::{ImportLegacy, Incomplete};
use worker::commands::recount_sums::RecountSums;
use worker::commands::repartition::Repartition;
use worker::commands::retention::Retention;
use worker::commands::webhooks::Webhooks;

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
    /// Changes the number of partitions and lanes while events come in; refuses events for a moment, loses none and keeps their order.
    ///
    /// Run it as the owner of the schema, as `migrate`. It may be broken off at any moment, by kill -9 too: run it again without numbers and it
    /// goes on. Afterwards take a backup: the stream cannot bring one from before up to date.
    Repartition(Repartition),
    /// Proves that every event has one outcome and the books balance, or lists where they do not, and exits.
    Audit {
        /// Only the hours from then on: a time (2026-11-22T10:00:00Z), a date, or a duration (90m, 24h, 7d). Rows are then not counted.
        #[arg(long, value_name = "TIME|DURATION")]
        since: Option<Since>,
    },
    /// Tells why a campaign was, or would be, shown to a user for an event: each rule with what it saw, and every other check.
    Explain(Explain),
    /// Tells how many users and events of the last days a campaign would have matched.
    Backtest(Backtest),
    /// Erases everything about people, or renews their consent: through the stream, in order with their events.
    Erase(Erase),
    /// Lists, shows and verifies erasures and their receipts; carries tombstones to a restored database.
    #[command(subcommand)]
    Erasures(Erasures),
    /// Writes everything that is stored about a user into one JSON file.
    ExportUser(ExportUser),
    /// Shows which days of events have to go, or drops them now.
    Retention(Retention),
    /// Counts what apps reported and who was active anew, of days from before the upgrade that brought these sums.
    RecountSums(RecountSums),
    /// Brings the events of a day back from its archive, for a while.
    ImportArchive(ImportArchive),
    /// Lists, shows, redrives and discards events that could not be stored.
    #[command(subcommand)]
    DeadLetters(DeadLetters),
    /// Lists what receivers of webhooks are told, lets paused ones go on, and sends messages again.
    #[command(subcommand)]
    Webhooks(Webhooks),
    /// Brings the data.json of the old EmbeddedCraft server in; run again, it adds what is missing and overwrites nothing.
    ///
    /// Campaigns, segments and flags are written as the owner of the database (DATABASE_URL); users and events go through the stream, so
    /// workers must run. Exits with 2 when all was done but some elements could not be imported.
    ImportLegacy(ImportLegacy),
    /// Writes campaigns, users, events, flags and segments as a data.json for the old server.
    ExportLegacy(ExportLegacy),
}

#[tokio::main]
async fn main() -> ExitCode {
    let done = match Arguments::parse().command.unwrap_or(Command::Run) {
        Command::Run => worker::run::run().await,
        Command::Check => worker::commands::check::check().await,
        Command::Migrate => worker::commands::migrate::migrate().await,
        Command::DeadLetters(what) => worker::commands::dead_letters::dead_letters(what).await,
        Command::Webhooks(what) => worker::commands::webhooks::webhooks(what).await,
        Command::Explain(explain) => explain.run().await,
        Command::Backtest(backtest) => backtest.run().await,
        Command::ExportUser(export) => export.run().await,
        Command::Erase(erase) => erase.run().await,
        Command::Erasures(what) => worker::commands::erasures::erasures(what).await,
        Command::Retention(what) => worker::commands::retention::retention(what).await,
        Command::RecountSums(what) => worker::commands::recount_sums::recount_sums(what).await,
        Command::ImportArchive(what) => worker::commands::import_archive::import_archive(what).await,
        Command::AdoptStream => worker::commands::adopt_stream::adopt_stream().await,
        Command::Repartition(repartition) => repartition.run().await,
        Command::ImportLegacy(import) => import.run().await,
        Command::ExportLegacy(export) => export.run().await,
        Command::Audit { since } => worker::commands::audit::run(since).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("worker: {problem}");
            if problem.is::<Incomplete>() { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}
