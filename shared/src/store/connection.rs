//! Connections to PostgreSQL, with the time limits on the database's side.
//!
//! Rule of the house: a database future is never put inside a `timeout` or `select!`. sqlx 0.8.4 to 0.9.0 hand a connection back
//! with an open transaction when `begin` is cancelled; limits belong into the session instead.
//!
//! Each statement begins with its name in a comment, `/* flush.fence */ SELECT …`: by that it is known in our log when it was slow, in the
//! server's log, in `pg_stat_activity` and in `pg_stat_statements`. Values are bound, so no log shows one.

use std::str::FromStr;
use std::time::Duration;

use log::LevelFilter;
use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};

use crate::runtime::settings::pipeline::Pipeline;

/// Limits that the server keeps for a session.
#[derive(Debug, Clone, Copy)]
pub struct SessionLimits {
    /// Longest statement.
    pub statement: Duration,
    /// Longest wait for a lock.
    pub lock: Duration,
    /// Longest pause inside a transaction; a worker's must be below its lease.
    pub idle_in_transaction: Duration,
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self {
            statement: Duration::from_secs(10),
            lock: Duration::from_secs(5),
            idle_in_transaction: Duration::from_secs(10),
        }
    }
}

/// Options of a session with the database of the settings, under a name that `pg_stat_activity` shows.
pub fn options(settings: &Pipeline, name: &str, limits: SessionLimits) -> Result<PgConnectOptions, sqlx::Error> {
    options_of(settings.database_url.expose(), settings.slow_statement, name, limits)
}

/// The same for another address.
pub fn options_of(
    url: &str,
    slow_statement: Duration,
    name: &str,
    limits: SessionLimits,
) -> Result<PgConnectOptions, sqlx::Error> {
    let milliseconds = |d: Duration| d.as_millis().to_string();
    let options = PgConnectOptions::from_str(url)?.application_name(name);
    Ok(options.log_slow_statements(LevelFilter::Warn, slow_statement).options([
        ("statement_timeout", milliseconds(limits.statement)),
        ("lock_timeout", milliseconds(limits.lock)),
        ("idle_in_transaction_session_timeout", milliseconds(limits.idle_in_transaction)),
        // The peer may be gone without a word: notice unacknowledged data within this time.
        ("tcp_user_timeout", milliseconds(limits.idle_in_transaction)),
        ("timezone", "UTC".to_owned()),
        // ROLLBACK outside a transaction is a warning on every acquire.
        ("client_min_messages", "error".to_owned()),
    ]))
}

/// The same for sessions that run a few statements again and again: they are planned once. A statement over all partitions of
/// `events` takes longer to plan than to run, and the database would otherwise plan it anew for its parameters each time.
#[must_use]
pub fn planned_once(options: PgConnectOptions) -> PgConnectOptions {
    options.options([("plan_cache_mode", "force_generic_plan")])
}

/// The same for sessions whose statements over `events` name days: only with the values at hand the database sees, when it plans, which
/// partitions they are of.
#[must_use]
pub fn planned_each_time(options: PgConnectOptions) -> PgConnectOptions {
    options.options([("plan_cache_mode", "force_custom_plan")])
}

/// A pool that connects when first used, so a program can start before its database.
pub fn pool(options: PgConnectOptions, max_connections: u32) -> PgPool {
    lazy(max_connections)
        // A connection that was left inside a transaction must not carry it to its next user. This also shows that it lives.
        .test_before_acquire(false)
        .before_acquire(|connection, _| {
            Box::pin(async move {
                sqlx::Executor::execute(connection, "ROLLBACK").await?;
                Ok(true)
            })
        })
        .connect_lazy_with(options)
}

/// A pool for single statements outside of transactions: nothing can be left open, so a connection is only asked whether it lives.
pub fn statement_pool(options: PgConnectOptions, max_connections: u32) -> PgPool {
    lazy(max_connections).connect_lazy_with(planned_once(options))
}

fn lazy(max_connections: u32) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(max_connections)
        .min_connections(0)
        .acquire_timeout(Duration::from_secs(3))
        .idle_timeout(Duration::from_secs(300))
}

/// The SQLSTATE of a failure, if the database itself reported it.
#[must_use]
pub fn sqlstate(error: &sqlx::Error) -> Option<String> {
    error.as_database_error().and_then(|e| e.code()).map(|code| code.into_owned())
}
