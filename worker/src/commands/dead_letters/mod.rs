//! `worker dead-letters list | show | redrive | discard`: what a person does about events that could not be stored.
//!
//! [`select`] says which letters are meant, alike for all; [`look`] prints them, [`redrive`] puts them into the stream again,
//! [`discard`] closes them. The admin API does the same by [`shared::redrive`] and [`shared::store::dead_letters`].

mod discard;
mod look;
mod progress;
mod redrive;
mod select;

use crate::Problem;

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub enum DeadLetters {
    /// Lists letters, latest first.
    List(look::List),
    /// Shows one letter with its payload.
    Show(look::Show),
    /// Puts open letters into the stream again, each event under its own id; marks them.
    ///
    /// Mend the cause first. What fails again becomes a new letter that names the one before. Running it again, also after a crash or beside
    /// another run, never stores an event twice.
    Redrive(redrive::Redrive),
    /// Marks open letters as discarded: they stay dead, and are never redriven. Nothing is deleted.
    Discard(discard::Discard),
}

/// Runs the command.
pub async fn dead_letters(what: DeadLetters) -> Result<(), Problem> {
    match what {
        DeadLetters::List(list) => list.run().await,
        DeadLetters::Show(show) => show.run().await,
        DeadLetters::Redrive(redrive) => redrive.run().await,
        DeadLetters::Discard(discard) => discard.run().await,
    }
}

/// Who runs it, as the marks name them.
pub fn somebody() -> String {
    std::env::var("USER").ok().filter(|name| !name.is_empty()).unwrap_or_else(|| "command line".to_owned())
}

/// Text of a client on a terminal: nothing in it may move the cursor or pass for a line of ours.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() }).collect()
}
