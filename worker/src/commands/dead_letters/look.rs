//! Printing letters: a line each, or one with everything.

use chrono::{DateTime, SecondsFormat, Utc};
use shared::store::dead_letters::{self, State};
use sqlx::FromRow;
use uuid::Uuid;

use super::printable;
use super::select::Select;
use crate::Problem;
use crate::commands::{pool, say};
use crate::settings::Settings;

/// Columns of a reason in a list.
const REASON_CHARACTERS: usize = 100;

/// `list`.
#[derive(Debug, clap::Args)]
pub struct List {
    #[command(flatten)]
    select: Select,
    /// open, redriven, discarded or all
    #[arg(long, default_value = "open", value_parser = ["open", "redriven", "discarded", "all"])]
    state: String,
    /// Lines at most
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

/// `show`.
#[derive(Debug, clap::Args)]
pub struct Show {
    /// Of the letter
    id: i64,
}

#[derive(FromRow)]
struct Letter {
    id: i64,
    event_id: Option<Uuid>,
    user_id: Option<String>,
    lane: i32,
    stream_seq: i64,
    partition: i32,
    position: i32,
    events: i32,
    sqlstate: Option<String>,
    reason: String,
    received_at: DateTime<Utc>,
    created_at: DateTime<Utc>,
    previous_id: Option<i64>,
    state: String,
    redriven_at: Option<DateTime<Utc>>,
    redriven_by: Option<String>,
    redriven_seq: Option<i64>,
    discarded_at: Option<DateTime<Utc>>,
    discarded_by: Option<String>,
    discard_reason: Option<String>,
}

impl List {
    /// Runs the command.
    pub async fn run(self) -> Result<(), Problem> {
        let settings = Settings::from_environment()?;
        let pool = pool(&settings)?;
        let mut connection = pool.acquire().await?;
        let state = State::ALL.into_iter().find(|state| state.as_str() == self.state);
        let meant = (&self.select.filter(), state);
        let letters: Vec<Letter> =
            dead_letters::page(&mut connection, meant, (None, 0, Some(i64::from(self.limit)))).await?;
        for letter in &letters {
            let reason: String = printable(&letter.reason).chars().take(REASON_CHARACTERS).collect();
            say(&format!(
                "{:>8}  {}  {:<9}  {:<5}  {:<20}  {reason}",
                letter.id,
                time(letter.created_at),
                letter.state,
                letter.sqlstate.as_deref().unwrap_or("-"),
                letter.user_id.as_deref().map_or_else(|| "-".to_owned(), printable),
            ));
        }
        let all = dead_letters::count(&mut connection, meant, i64::MAX).await?;
        say(&format!("{} of {all} letters", letters.len()));
        Ok(())
    }
}

impl Show {
    /// Runs the command.
    pub async fn run(self) -> Result<(), Problem> {
        let settings = Settings::from_environment()?;
        let pool = pool(&settings)?;
        let found = dead_letters::one::<Letter>(&mut *pool.acquire().await?, self.id).await?;
        let (letter, payload) = found.ok_or_else(|| format!("there is no letter {}", self.id))?;
        for (name, value) in letter.fields() {
            if let Some(value) = value {
                say(&format!("{name:<15} {}", printable(&value)));
            }
        }
        let text = std::str::from_utf8(&payload).map_or_else(|_| payload.escape_ascii().to_string(), printable);
        say(&format!("payload, {} bytes:\n{text}", payload.len()));
        Ok(())
    }
}

impl Letter {
    fn fields(self) -> [(&'static str, Option<String>); 15] {
        [
            ("letter", Some(self.id.to_string())),
            ("state", Some(self.state)),
            ("event id", self.event_id.map(|id| id.to_string())),
            ("user", self.user_id),
            ("events", Some(self.events.to_string())),
            ("sqlstate", self.sqlstate),
            ("reason", Some(self.reason)),
            (
                "from",
                Some(format!(
                    "lane {}, message {}, partition {}, line {}",
                    self.lane, self.stream_seq, self.partition, self.position
                )),
            ),
            ("sealed at", Some(time(self.received_at))),
            ("put aside at", Some(time(self.created_at))),
            ("letter before", self.previous_id.map(|id| id.to_string())),
            ("redriven", mark(self.redriven_at, self.redriven_by)),
            ("into message", self.redriven_seq.map(|seq| seq.to_string())),
            ("discarded", mark(self.discarded_at, self.discarded_by)),
            ("because", self.discard_reason),
        ]
    }
}

fn mark(at: Option<DateTime<Utc>>, by: Option<String>) -> Option<String> {
    at.map(|at| format!("{} by {}", time(at), by.unwrap_or_else(|| "nobody known".to_owned())))
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}
