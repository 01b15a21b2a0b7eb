//! A standby for what people read (`DATABASE_READ_URL`): whether it may be asked now.
//!
//! How far behind it is comes from positions in the write-ahead log: the database's own is noted once a second with the time, and the
//! standby is behind since the first note that it has not reached. Clocks of two machines are never compared, and a quiet database is
//! not a slow standby. While the database itself is away nothing new is noted: the standby has what there is, and may be asked.
//!
//! Only reads that may be a moment old go there; what a change is made from, keys and campaigns, and everything on the way of an event
//! stay with the database. A standby that is away, behind, promoted, or of another database is not asked: everything works without it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use shared::store::failure;
use sqlx::PgPool;

use crate::metrics::Metrics;

/// Between looks.
const LOOK: Duration = Duration::from_secs(1);
/// A server that does not answer this soon is not asked by people either.
const PATIENCE: Duration = Duration::from_secs(2);
/// Notes that are kept: beyond half an hour a standby is just far behind.
const NOTES: usize = 1_800;

/// The standby.
#[derive(Debug, Clone)]
pub struct Standby {
    pool: PgPool,
    usable: Arc<AtomicBool>,
}

impl Standby {
    /// One that is not asked until a look has shown that it may be.
    #[must_use]
    pub fn new(pool: PgPool) -> Self {
        Self { pool, usable: Arc::default() }
    }

    /// Its connections, if it may be asked now.
    #[must_use]
    pub fn pool(&self) -> Option<&PgPool> {
        self.usable.load(Ordering::Relaxed).then_some(&self.pool)
    }

    /// It failed: nobody asks before the next look.
    pub fn failed(&self) {
        self.usable.store(false, Ordering::Relaxed);
    }

    /// Looks at it again and again.
    pub async fn keep_looking(self, database: PgPool, max_lag: Duration, metrics: Arc<Metrics>) {
        let mut notes = Notes::default();
        let mut system = None;
        let mut said = String::new();
        loop {
            if let Ok((position, id)) = answered(position(database.clone())).await {
                notes.add(position, Instant::now());
                system = Some(id);
            }
            let (lag, why_not) = match answered(replayed(self.pool.clone())).await {
                Ok(Standing { system: other, .. }) if system.as_ref().is_some_and(|ours| *ours != other) => {
                    (None, "it belongs to another database than DATABASE_URL".to_owned())
                }
                Ok(Standing { replayed: None, .. }) => {
                    (None, "it is no standby (any more), so nobody knows how far behind it is".to_owned())
                }
                Ok(Standing { replayed: Some(position), .. }) => {
                    let lag = notes.lag(position, Instant::now());
                    let behind = || format!("it is {:.1} s behind", lag.as_secs_f64());
                    (Some(lag), if lag > max_lag { behind() } else { String::new() })
                }
                Err(why) => (None, why),
            };
            metrics.standby_lag(lag);
            self.usable.store(why_not.is_empty(), Ordering::Relaxed);
            if why_not.is_empty() != said.is_empty() {
                if why_not.is_empty() {
                    tracing::info!("DATABASE_READ_URL is used again");
                } else {
                    tracing::warn!("DATABASE_READ_URL is not used: {why_not}; the database itself is read meanwhile");
                }
            }
            said = why_not;
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// Where the database was, and when.
#[derive(Debug, Default)]
struct Notes(VecDeque<(i64, Instant)>);

impl Notes {
    fn add(&mut self, position: i64, now: Instant) {
        // Where nothing was written, the first note of the position counts.
        if self.0.back().is_none_or(|(last, _)| *last != position) {
            self.0.push_back((position, now));
        }
        if self.0.len() > NOTES {
            self.0.pop_front();
        }
    }

    /// How long a standby that has replayed up to `position` has been behind.
    fn lag(&mut self, position: i64, now: Instant) -> Duration {
        while self.0.front().is_some_and(|(noted, _)| *noted <= position) {
            self.0.pop_front();
        }
        self.0.front().map_or(Duration::ZERO, |(_, since)| now.saturating_duration_since(*since))
    }
}

/// How a standby stands.
#[derive(sqlx::FromRow)]
struct Standing {
    system: String,
    replayed: Option<i64>,
}

/// What a server answers within [`PATIENCE`], or why not. Asked in a task of its own, which is not cancelled: a rule of the house.
async fn answered<T: Send + 'static>(
    question: impl Future<Output = Result<T, sqlx::Error>> + Send + 'static,
) -> Result<T, String> {
    match tokio::time::timeout(PATIENCE, tokio::spawn(question)).await {
        Ok(Ok(Ok(answer))) => Ok(answer),
        Ok(Ok(Err(error))) => {
            failure::count(&error);
            Err(error.to_string())
        }
        Ok(Err(panic)) => Err(panic.to_string()),
        Err(_) => Err("it does not answer".to_owned()),
    }
}

async fn position(database: PgPool) -> Result<(i64, String), sqlx::Error> {
    let sql = "/* standby.position */ SELECT (pg_current_wal_lsn() - '0/0')::bigint, (SELECT system_identifier::text FROM pg_control_system())";
    sqlx::query_as(sql).fetch_one(&database).await
}

async fn replayed(standby: PgPool) -> Result<Standing, sqlx::Error> {
    let sql = "/* standby.replayed */ SELECT (SELECT system_identifier::text FROM pg_control_system()) AS system,
                      CASE WHEN pg_is_in_recovery() THEN (pg_last_wal_replay_lsn() - '0/0')::bigint END AS replayed";
    sqlx::query_as(sql).fetch_one(&standby).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standby_is_behind_since_the_first_position_that_it_has_not_reached() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut notes = Notes::default();
        for (position, seconds) in [(10, 0), (20, 1), (20, 2), (30, 3)] {
            notes.add(position, after(seconds));
        }
        assert_eq!(notes.lag(10, after(4)), Duration::from_secs(3));
        assert_eq!(notes.lag(20, after(4)), Duration::from_secs(1));
        assert_eq!(notes.lag(30, after(60)), Duration::ZERO);
        notes.add(30, after(61));
        assert_eq!(notes.lag(35, after(62)), Duration::ZERO);
    }

    #[test]
    fn notes_do_not_grow_without_end() {
        let mut notes = Notes::default();
        (0..10_000).for_each(|position| notes.add(position, Instant::now()));
        assert_eq!(notes.0.len(), NOTES);
    }
}
