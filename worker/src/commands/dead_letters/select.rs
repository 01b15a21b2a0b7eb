//! Which letters are meant: the options that all of these commands share.

use chrono::{DateTime, Utc};
use shared::domain::timestamp::{ClientTime, parse_text};
use shared::store::dead_letters::Filter;
use shared::store::dead_letters::open::{self, Summary};
use sqlx::PgPool;
use uuid::Uuid;

use super::printable;
use crate::Problem;
use crate::commands::say;

/// So many letters that are passed over are named.
pub const MOST_NAMED: usize = 20;

/// A letter is meant when everything holds that is given.
#[derive(Debug, Clone, clap::Args)]
pub struct Select {
    /// Ids of letters
    ids: Vec<i64>,
    /// Of this event
    #[arg(long)]
    event_id: Option<Uuid>,
    /// Refused by the database with this code, such as 22P05
    #[arg(long)]
    sqlstate: Option<String>,
    /// With this text in the reason, in capitals or not
    #[arg(long)]
    reason: Option<String>,
    /// Of this user id (or anonymous id, where the event has no user id)
    #[arg(long)]
    user: Option<String>,
    /// Put aside then or later: ISO 8601, in UTC where it names no zone
    #[arg(long, value_parser = time)]
    from: Option<DateTime<Utc>>,
    /// Put aside before
    #[arg(long, value_parser = time)]
    to: Option<DateTime<Utc>>,
}

fn time(text: &str) -> Result<DateTime<Utc>, String> {
    match parse_text(text) {
        ClientTime::Instant(time) => Ok(time),
        ClientTime::Zoneless(time) => Ok(time.and_utc()),
        ClientTime::Unreadable => Err("a time looks like 2026-03-01T09:00:00Z".to_owned()),
    }
}

impl Select {
    /// As the database is asked.
    pub fn filter(&self) -> Filter {
        Filter {
            ids: (!self.ids.is_empty()).then(|| self.ids.clone()),
            event_id: self.event_id,
            sqlstate: self.sqlstate.clone(),
            reason: self.reason.clone(),
            user_id: self.user.clone(),
            from: self.from,
            to: self.to,
        }
    }

    /// The same for a command that changes something: all letters are only meant when that is said.
    pub fn filter_or_all(&self, all: bool) -> Result<Filter, Problem> {
        let filter = self.filter();
        match (filter.is_empty(), all) {
            (true, false) => Err("say which letters: by ids or options (see --help), or --all".into()),
            (false, true) => Err("--all means all letters: leave it out, or leave the others out".into()),
            _ => Ok(filter),
        }
    }
}

/// Prints what is open among the letters that are meant; ids that are not are named.
pub async fn sum_up(pool: &PgPool, filter: &Filter) -> Result<Summary, Problem> {
    let mut connection = pool.acquire().await?;
    if let Some(ids) = &filter.ids {
        let closed = open::not_open(&mut connection, ids).await?;
        name(&closed, closed.len());
    }
    let summary = open::summary(&mut connection, filter).await?;
    say(&format!("{} open letters ({} events) are meant", summary.letters, summary.events));
    for reason in &summary.reasons {
        let sqlstate = reason.sqlstate.as_deref().unwrap_or("-");
        say(&format!("{:>9}  {sqlstate:<5}  {}", reason.letters, printable(&reason.reason)));
    }
    Ok(summary)
}

/// Names letters that are passed over, and why: the first of `all`.
pub fn name(letters: &[(i64, String)], all: usize) {
    let letters = &letters[..letters.len().min(MOST_NAMED)];
    for (id, why) in letters {
        say(&format!("letter {id} is passed over: {}", printable(why)));
    }
    if all > letters.len() {
        say(&format!("… and {} more", all - letters.len()));
    }
}
