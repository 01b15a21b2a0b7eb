//! `worker migrate`: creates or upgrades the schema, and makes the event partitions that are needed at once.

use shared::store::schema;

use super::{pool, say};
use crate::Problem;
use crate::jobs::{self, partitions};
use crate::settings::Settings;

/// Runs the command.
pub async fn migrate() -> Result<(), Problem> {
    let settings = Settings::from_environment()?;
    let pool = pool(&settings)?;
    if !schema::migrate(&pool).await? {
        say("the schema is ahead of this build, which works with it: nothing to do");
        return Ok(());
    }
    let made = partitions::ensure_ahead(&pool, jobs::today(&pool).await?).await?;
    say(&format!("schema is current; {made} event partitions made"));
    Ok(())
}
