//! `worker erase`, which asks for erasures or renews consent, and `worker erasures list | show | verify | tombstones`, which looks
//! after them. The admin API asks in the same way: through the stream, in order with the people's events.
//!
//! [`erase`] asks, [`look`] prints, [`verify`] checks a receipt, [`tombstones`] carries tombstones to a restored database.

pub mod erase;
mod look;
mod tombstones;
mod verify;

use crate::Problem;

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub enum Erasures {
    /// Lists requests, latest first.
    List(look::List),
    /// Shows one request with its signed receipt, as JSON.
    Show(look::Show),
    /// Verifies the signature of a receipt: a file that `show` or the admin API gave, or the JWS alone.
    Verify(verify::Verify),
    /// Carries tombstones from one database to another: after an older backup was restored.
    #[command(subcommand)]
    Tombstones(tombstones::Tombstones),
}

/// Runs the command.
pub async fn erasures(what: Erasures) -> Result<(), Problem> {
    match what {
        Erasures::List(list) => list.run().await,
        Erasures::Show(show) => show.run().await,
        Erasures::Verify(verify) => verify.run().await,
        Erasures::Tombstones(what) => what.run().await,
    }
}
