//! Printing requests: a line each, or one as JSON.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::SecondsFormat;
use serde_json::json;
use shared::domain::user_key::UserKey;
use shared::store::{erasures, tombstones};
use uuid::Uuid;

use crate::Problem;
use crate::commands::{pool, say};
use crate::settings::Settings;

/// `list`.
#[derive(Debug, clap::Args)]
pub struct List {
    /// Only about this user: ids are kept as hashes
    #[arg(long)]
    user: Option<String>,
    /// Only about this visitor
    #[arg(long, conflicts_with = "user")]
    anonymous: Option<String>,
    /// Lines at most
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

/// `show`.
#[derive(Debug, clap::Args)]
pub struct Show {
    /// Of the request
    id: Uuid,
}

impl List {
    /// Runs the command.
    pub async fn run(self) -> Result<(), Problem> {
        let settings = Settings::from_environment()?;
        let pool = pool(&settings)?;
        let mut connection = pool.acquire().await?;
        let salt = tombstones::salt(&mut connection).await?;
        let user = self.user.as_deref().map(UserKey::user);
        let hash = user.or(self.anonymous.as_deref().map(UserKey::anonymous)).map(|key| salt.hash(key));
        let found = erasures::page(&mut connection, hash, None, i64::from(self.limit)).await?;
        for one in &found {
            let at = one.requested_at.to_rfc3339_opts(SecondsFormat::Secs, true);
            let mode = one.mode.as_deref().unwrap_or("-");
            say(&format!("{}  {at}  {:<5}  {mode:<9}  {:<11}  by {}", one.id, one.action, one.state, one.requested_by));
            one.waiting_for.iter().for_each(|what| say(&format!("{:38}{what}", "")));
        }
        say(&format!("{} requests", found.len()));
        Ok(())
    }
}

impl Show {
    /// Runs the command.
    pub async fn run(self) -> Result<(), Problem> {
        let settings = Settings::from_environment()?;
        let pool = pool(&settings)?;
        let mut connection = pool.acquire().await?;
        let one = erasures::one(&mut connection, self.id).await?;
        let one = one.ok_or_else(|| format!("there is no request {}, or it has not taken effect yet", self.id))?;
        let public_key = erasures::public_key(&mut connection).await?;
        let mut shown = one.shown();
        shown["receipt"] = json!(one.receipt);
        shown["public_key"] = json!(public_key.map(|key| STANDARD.encode(key)));
        say(&serde_json::to_string_pretty(&shown)?);
        Ok(())
    }
}
