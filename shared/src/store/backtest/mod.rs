//! What a campaign would have matched in the last days: stored events, gone through once more by the engine ([`Simulation`]).
//!
//! All of it is read in one snapshot, with cursors, so memory does not grow with the events; it grows with the users, up to
//! [`STATE_BYTES`]: then half of them are put off for another pass. It ends at a time limit with what there is, and as soon as nobody
//! listens to its progress any more. Two readings of each pass: who changes which traits within the days ([`ahead`]), because of these the profile does not
//! tell what they were before; then all events that the campaign can look at ([`days`]), with what is known of each user from before
//! ([`base`]). What is not exact stands in the notes of the outcome.

mod ahead;
mod base;
mod days;
mod outcome;

use std::time::{Duration, Instant};

use chrono::{Days as Count, NaiveDate};
use serde::Serialize;
use sqlx::postgres::{PgConnection, PgPool};
use tokio::sync::mpsc::Sender;

use super::connection::sqlstate;
use super::explain::versions::{self, Version};
use super::explain::{Refused, Subject};
use crate::domain::campaign::backtest::{Simulation, Sums};
use crate::domain::user_key::Placeholders;

use ahead::Ahead;
use days::Days;
pub use outcome::{Daily, Outcome};

/// Most memory that the state of users takes, about; beyond it half of them are done in another pass.
pub const STATE_BYTES: usize = 64 << 20;
/// Most seconds that a backtest may take.
pub const MOST_SECONDS: u64 = 300;
/// Seconds, where nobody says.
pub const DEFAULT_SECONDS: u64 = 30;
/// Between two reports of the progress.
const REPORT: Duration = Duration::from_millis(100);
/// SQLSTATE of a statement that took too long.
const QUERY_CANCELED: &str = "57014";

/// What is wanted.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Which campaign. It is taken as if it were active.
    pub campaign: Subject,
    /// How many days back, today included.
    pub days: u16,
    /// How long it may take.
    pub limit: Duration,
    /// User ids of strangers.
    pub placeholders: Placeholders,
    /// How much memory the state of users may take: [`STATE_BYTES`], where nobody tests.
    pub state_bytes: usize,
}

/// How far it is.
#[derive(Debug, Clone, Serialize)]
pub struct Progress {
    /// The day at hand.
    pub day: NaiveDate,
    /// How many days are done.
    pub days_done: i64,
    /// Of so many.
    pub days: i64,
    /// Events that triggered so far.
    pub events: u64,
    /// Users that matched so far.
    pub matched_users: u64,
}

/// How the reading of events ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// At the end.
    Whole,
    /// Time is up; this is the day it had come to.
    TimeIsUp(NaiveDate),
    /// Nobody waits for it any more.
    Gone,
}

/// One backtest.
struct Run<'a> {
    asked: &'a Asked,
    progress: &'a Sender<Progress>,
    started: Instant,
    reported: Instant,
    from: NaiveDate,
    to: NaiveDate,
    /// Of the passes before.
    done: Sums,
    passes: u32,
}

/// Runs a backtest; `None` when nobody listens any more.
pub async fn backtest(
    pool: &PgPool,
    asked: &Asked,
    progress: &Sender<Progress>,
) -> Result<Result<Option<Outcome>, Refused>, sqlx::Error> {
    let started = Instant::now();
    let mut snapshot = pool.begin().await?;
    sqlx::query("/* backtest.backtest */ SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        .execute(&mut *snapshot)
        .await?;
    let to: NaiveDate = sqlx::query_scalar("/* backtest.today */ SELECT now()::date").fetch_one(&mut *snapshot).await?;
    let from = to.checked_sub_days(Count::new(u64::from(asked.days.saturating_sub(1)))).unwrap_or(to);
    let Some(version) = versions::current(&mut snapshot, &asked.campaign).await? else {
        return Ok(Err(Refused::NoCampaign));
    };
    let mut run = Run { asked, progress, started, reported: started, from, to, done: Sums::default(), passes: 0 };
    let simulation = match run.simulation(&mut snapshot, &version).await? {
        Ok(simulation) => simulation,
        Err(refused) => return Ok(Err(refused)),
    };
    let outcome = run.run(&mut snapshot, simulation, version).await;
    // What was read is read; after a statement that took too long nothing else is possible.
    snapshot.rollback().await?;
    outcome.map(Ok)
}

impl Run<'_> {
    async fn simulation(
        &self,
        snapshot: &mut PgConnection,
        version: &Version,
    ) -> Result<Result<Simulation, Refused>, sqlx::Error> {
        let campaign = match version.compiled() {
            Ok(campaign) => campaign,
            Err(inert) => return Ok(Err(Refused::Malformed(inert.faults))),
        };
        let segments = versions::segments(snapshot, &campaign.condition.needs().segments, None).await?;
        let shown_before = match campaign.delivery.caps.total {
            Some(_) => base::shown_before(snapshot, &campaign.id, self.from).await?,
            None => 0,
        };
        Ok(Ok(Simulation::new(campaign, segments, shown_before)))
    }

    async fn run(
        &mut self,
        snapshot: &mut PgConnection,
        mut simulation: Simulation,
        version: Version,
    ) -> Result<Option<Outcome>, sqlx::Error> {
        let end = loop {
            let mut at = self.from;
            let end = match self.pass(snapshot, &mut simulation, &mut at).await {
                Err(error) if sqlstate(&error).as_deref() == Some(QUERY_CANCELED) => End::TimeIsUp(at),
                end => end?,
            };
            self.passes += 1;
            self.done.add(&simulation.total());
            if end != End::Whole || !simulation.next_pass() {
                break end;
            }
        };
        let until = match end {
            End::Gone => return Ok(None),
            End::Whole => None,
            End::TimeIsUp(day) => Some(day),
        };
        Ok(Some(self.outcome(&simulation, &version, until)))
    }

    /// Goes through all days with the users whose turn it is. `at` is the day it has come to.
    async fn pass(
        &mut self,
        snapshot: &mut PgConnection,
        simulation: &mut Simulation,
        at: &mut NaiveDate,
    ) -> Result<End, sqlx::Error> {
        let mut ahead = Ahead::default();
        if !simulation.wants().keys.traits.is_empty() {
            let mut day = self.from;
            while day <= self.to {
                if let Some(end) = self.must_end(snapshot, *at).await? {
                    return Ok(end);
                }
                ahead.look_at(snapshot, simulation, (day, self.asked)).await?;
                self.report(simulation, day, 0);
                day = day.succ_opt().unwrap_or(NaiveDate::MAX);
            }
        }
        let mut days = Days::new(simulation, (self.from, self.to));
        loop {
            if let Some(end) = self.must_end(snapshot, *at).await? {
                return Ok(end);
            }
            let rows = days.next(snapshot).await?;
            let Some(last) = rows.last() else { break };
            *at = last.received_at.date_naive().clamp(self.from, self.to);
            let rows: Vec<_> = rows.into_iter().map(|row| row.past(simulation, &self.asked.placeholders)).collect();
            base::give(snapshot, simulation, &rows, (self.from, &ahead)).await?;
            rows.into_iter().for_each(|past| simulation.feed(past));
            while simulation.bytes() + ahead.bytes() > self.asked.state_bytes && simulation.put_off() {
                ahead.keep(simulation);
            }
            self.report(simulation, *at, (*at - self.from).num_days());
        }
        Ok(End::Whole)
    }

    /// Is there a reason to end? Also tells the database how long the next statement may take.
    async fn must_end(&self, snapshot: &mut PgConnection, at: NaiveDate) -> Result<Option<End>, sqlx::Error> {
        if self.progress.is_closed() {
            return Ok(Some(End::Gone));
        }
        let left = self.asked.limit.saturating_sub(self.started.elapsed()).as_millis();
        if left == 0 {
            return Ok(Some(End::TimeIsUp(at)));
        }
        sqlx::query("/* backtest.must_end */ SELECT set_config('statement_timeout', $1, true)")
            .bind(left.to_string())
            .execute(snapshot)
            .await?;
        Ok(None)
    }

    fn report(&mut self, simulation: &Simulation, day: NaiveDate, days_done: i64) {
        if self.reported.elapsed() < REPORT {
            return;
        }
        self.reported = Instant::now();
        let mut sums = self.done.clone();
        sums.add(&simulation.total());
        let days = (self.to - self.from).num_days() + 1;
        let (events, matched_users) = (sums.events(), sums.matched_users);
        // Who does not keep up misses one.
        let _ = self.progress.try_send(Progress { day, days_done, days, events, matched_users });
    }
}
