//! `worker webhooks list | deliveries | resume | resend`: what a person does about receivers that could not be told. The admin API does the
//! same by [`shared::store::webhooks`], and shows secrets.

use chrono::{DateTime, SecondsFormat, Utc};
use shared::store::webhooks::{self, Filter, State};
use sqlx::FromRow;
use uuid::Uuid;

use super::dead_letters::{printable, somebody};
use super::{pool, say};
use crate::Problem;
use crate::settings::Settings;

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub enum Webhooks {
    /// Lists the webhooks of campaigns: state, messages that wait, the last error.
    List,
    /// Lists messages to receivers, latest first.
    Deliveries {
        /// Only of this campaign
        #[arg(long)]
        campaign: Option<String>,
        /// pending, delivered, failed, cancelled or all
        #[arg(long, default_value = "all", value_parser = ["pending", "delivered", "failed", "cancelled", "all"])]
        state: String,
        /// Lines at most
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// Lets a paused webhook send again, what waits at once.
    Resume {
        /// Of the campaign
        campaign: String,
        /// Also what was tried often enough
        #[arg(long)]
        failed: bool,
    },
    /// Sends one message once more, under the same id, whatever became of it.
    Resend {
        /// Of the message: its webhook-id
        id: Uuid,
        /// Who does it, for the mark on the message
        #[arg(long, default_value_t = somebody())]
        by: String,
    },
}

#[derive(FromRow)]
struct Endpoint {
    campaign_id: String,
    state: String,
    failures: i32,
    pending: i64,
    oldest_pending_at: Option<DateTime<Utc>>,
    last_error: Option<String>,
}

#[derive(FromRow)]
struct Delivery {
    id: Uuid,
    campaign_id: String,
    kind: String,
    state: String,
    attempts: i32,
    created_at: DateTime<Utc>,
    last_error: Option<String>,
}

/// Runs the command.
pub async fn webhooks(what: Webhooks) -> Result<(), Problem> {
    let settings = Settings::from_environment()?;
    let pool = pool(&settings)?;
    match what {
        Webhooks::List => {
            let endpoints: Vec<Endpoint> = webhooks::endpoints(&mut *pool.acquire().await?).await?;
            for endpoint in &endpoints {
                let since = endpoint.oldest_pending_at.map_or_else(|| "-".to_owned(), time);
                let error = endpoint.last_error.as_deref().filter(|_| endpoint.failures > 0).map_or("", |error| error);
                say(&format!(
                    "{:<36}  {:<8}  {:>8} pending since {since:<20}  {:>5} failures in a row  {}",
                    printable(&endpoint.campaign_id),
                    endpoint.state,
                    endpoint.pending,
                    endpoint.failures,
                    printable(error)
                ));
            }
            say(&format!("{} webhooks", endpoints.len()));
        }
        Webhooks::Deliveries { campaign, state, limit } => {
            let state = State::ALL.into_iter().find(|known| known.as_str() == state);
            let filter = Filter { campaign_id: campaign, state, user_id: None };
            let cut = (None, 0, Some(i64::from(limit)));
            let deliveries: Vec<Delivery> = webhooks::deliveries(&mut *pool.acquire().await?, &filter, cut).await?;
            for delivery in &deliveries {
                say(&format!(
                    "{}  {}  {:<9}  {:>2} attempts  {:<10}  {:<36}  {}",
                    delivery.id,
                    time(delivery.created_at),
                    delivery.state,
                    delivery.attempts,
                    delivery.kind,
                    printable(&delivery.campaign_id),
                    printable(delivery.last_error.as_deref().unwrap_or(""))
                ));
            }
            say(&format!("{} messages", deliveries.len()));
        }
        Webhooks::Resume { campaign, failed } => {
            let due = webhooks::resume(&pool, &campaign, failed).await?;
            let due = due.ok_or_else(|| {
                format!("no campaign {campaign} has a webhook; `worker webhooks list` lists those that have")
            })?;
            say(&format!("resumed; {due} messages that had waited or been given up are due"));
        }
        Webhooks::Resend { id, by } => {
            if !webhooks::resend(&pool, id, &by).await? {
                return Err(format!("there is no message {id}, or it is being sent just now").into());
            }
            say("due; it is sent within a second, unless its webhook is paused");
        }
    }
    Ok(())
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}
