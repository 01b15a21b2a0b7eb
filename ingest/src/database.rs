//! PostgreSQL as ingest uses it: never needed to accept an event, and never waited for without end.
//!
//! Rule of the house: a database future is never cancelled. Each runs as a task of its own, and the request waits for the task;
//! if the client goes away or the wait ends first, the task still runs to its end. So its own limits (session limits, the pool's
//! acquire timeout) are what bounds it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use shared::store::connection::sqlstate;
use shared::store::failure;
use sqlx::Transaction;
use sqlx::postgres::{PgPool, Postgres};
use tokio::sync::Semaphore;
use tokio::task::JoinError;
use tokio::time::error::Elapsed;

use crate::metrics::Metrics;
use crate::problem::{Kind, Problem};
use crate::standby::Standby;

/// Look-ups on the way of an event that may be under way at once; more would only wait for the pool.
const LOOK_UPS: usize = 1_024;
/// A request waits for the database this long, whatever the database does. Its own limits end a statement earlier; a server that
/// stands still keeps none.
const PATIENCE: Duration = Duration::from_secs(14);
/// After a failed look-up the next ones are not even tried for this long.
const REST_MILLISECONDS: u64 = 1_000;
/// SQLSTATE of a statement that took too long.
pub const QUERY_CANCELED: &str = "57014";
/// An outage is logged again after so long.
const QUIET_MILLISECONDS: u64 = 30_000;

/// Two pools, one for what people ask and one for look-ups on the way of an event, and what is known about their health; perhaps a
/// standby for what people read.
#[derive(Debug, Clone)]
pub struct Database {
    pool: PgPool,
    statements: PgPool,
    standby: Option<Standby>,
    metrics: Arc<Metrics>,
    look_ups: Arc<Semaphore>,
    started: Instant,
    /// Milliseconds after `started`.
    resting_until: Arc<AtomicU64>,
    patience: Duration,
}

impl Database {
    /// `statements` is for look-ups: single statements, which wait at most `patience`.
    #[must_use]
    pub fn new(
        pool: PgPool,
        statements: PgPool,
        standby: Option<Standby>,
        metrics: Arc<Metrics>,
        patience: Duration,
    ) -> Self {
        let look_ups = Arc::new(Semaphore::new(LOOK_UPS));
        let resting_until = Arc::default();
        Self { pool, statements, standby, metrics, look_ups, started: Instant::now(), resting_until, patience }
    }

    /// The pool for tasks that run on their own.
    #[must_use]
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// The standby, if there is one.
    #[must_use]
    pub fn standby(&self) -> Option<Standby> {
        self.standby.clone()
    }

    /// The pool for long reads of people that run on their own: the standby's while it can be asked.
    #[must_use]
    pub fn reading_pool(&self) -> &PgPool {
        let standby = self.standby.as_ref().and_then(Standby::pool);
        self.metrics.read_from(if standby.is_some() { "standby" } else { "database" });
        standby.unwrap_or(&self.pool)
    }

    /// Connections that are idle, and those in use.
    #[must_use]
    pub fn connections(&self) -> (usize, usize) {
        let pools = [&self.pool, &self.statements];
        let idle = pools.iter().map(|pool| pool.num_idle()).sum();
        let all: usize = pools.iter().map(|pool| usize::try_from(pool.size()).unwrap_or(0)).sum();
        (idle, all.saturating_sub(idle))
    }

    /// Something a request cannot be answered without.
    pub async fn run<T, F>(&self, work: impl FnOnce(PgPool) -> F) -> Result<T, Problem>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, sqlx::Error>> + Send + 'static,
    {
        ended(tokio::time::timeout(PATIENCE, tokio::spawn(work(self.pool.clone()))).await)
    }

    /// The same for what people only read, and what may be a moment old: asks the standby while it can be asked, and the database when
    /// the standby fails.
    pub async fn read<T, F>(&self, work: impl FnOnce(PgPool) -> F + Clone) -> Result<T, Problem>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, sqlx::Error>> + Send + 'static,
    {
        if let Some((standby, pool)) = self.standby.as_ref().and_then(|standby| Some((standby, standby.pool()?))) {
            let work = work.clone();
            let result = tokio::time::timeout(PATIENCE, tokio::spawn(work(pool.clone()))).await;
            match &result {
                Ok(Ok(Err(error))) if sqlstate(error).as_deref() != Some(QUERY_CANCELED) => {
                    failure::count(error);
                    standby.failed();
                }
                _ => {
                    if result.is_err() {
                        standby.failed();
                    }
                    self.metrics.read_from("standby");
                    return ended(result);
                }
            }
        }
        self.metrics.read_from("database");
        self.run(work).await
    }

    /// Something an answer is better with; `None` when it cannot be had quickly. A statement that the database itself ended for its
    /// length says nothing about the next one; after any other failure nobody asks for a while.
    pub async fn look_up<T, F>(&self, work: impl FnOnce(PgPool) -> F) -> Option<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, sqlx::Error>> + Send + 'static,
    {
        if self.millis() < self.resting_until.load(Ordering::Relaxed) {
            return None;
        }
        let permit = Arc::clone(&self.look_ups).try_acquire_owned().ok()?;
        let work = work(self.statements.clone());
        let task = tokio::spawn(async move {
            let result = work.await;
            drop(permit);
            result
        });
        let failure = match tokio::time::timeout(self.patience, task).await {
            Ok(Ok(Ok(value))) => return Some(value),
            Ok(Ok(Err(error))) => {
                failure::count(&error);
                if sqlstate(&error).as_deref() == Some(QUERY_CANCELED) {
                    return None;
                }
                error.to_string()
            }
            Ok(Err(panic)) => panic.to_string(),
            Err(_) => "no answer in time".to_owned(),
        };
        let until = self.millis() + REST_MILLISECONDS;
        let before = self.resting_until.swap(until, Ordering::Relaxed);
        if before == 0 || before + QUIET_MILLISECONDS < until {
            tracing::warn!(reason = failure, "profiles cannot be read; answers are incomplete");
        }
        None
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Several reads as of one moment: commit it when they are done.
pub async fn moment(pool: &PgPool) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    let mut moment = pool.begin().await?;
    sqlx::query("/* database.moment */ SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        .execute(&mut *moment)
        .await?;
    Ok(moment)
}

/// How a task that was waited for has ended.
fn ended<T>(result: Result<Result<Result<T, sqlx::Error>, JoinError>, Elapsed>) -> Result<T, Problem> {
    match result {
        Ok(Ok(Ok(value))) => Ok(value),
        Ok(Ok(Err(error))) => Err(problem(&error)),
        Ok(Err(panic)) => Err(Problem::new(Kind::Internal, "this failed on our side").caused_by(panic)),
        Err(_) => {
            Err(Problem::new(Kind::DatabaseUnavailable, "the database does not answer; try again after Retry-After"))
        }
    }
}

/// What a client is told of a failure.
pub fn problem(error: &sqlx::Error) -> Problem {
    failure::count(error);
    let class = sqlstate(error);
    if class.as_deref() == Some(QUERY_CANCELED) {
        let message = "the database did not finish in time; narrow what you ask for, or try again after Retry-After";
        return Problem::new(Kind::DatabaseUnavailable, message).caused_by(error);
    }
    match class.as_deref().map(|code| code.get(..2).unwrap_or("")) {
        // Connection, rollback, resources, operator, system, internal; and everything below SQL.
        None | Some("08" | "40" | "53" | "55" | "57" | "58" | "25" | "XX") => Problem::new(
            Kind::DatabaseUnavailable,
            "the database cannot be asked just now; try again after Retry-After",
        )
        .caused_by(error),
        Some(_) => Problem::new(Kind::Internal, "this failed on our side").caused_by(error),
    }
}
