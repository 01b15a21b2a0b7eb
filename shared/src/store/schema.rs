//! The schema's version: migrations are embedded; the worker applies them on command, each program checks them at start.

use std::time::Duration;

use sqlx::migrate::{Migrate, MigrateError, Migrator};
use sqlx::postgres::PgPool;
use sqlx::{Connection, Executor};

/// The migrations of this build.
pub static MIGRATIONS: Migrator = sqlx::migrate!("../migrations");

/// A statement that waits for a lock makes everybody else wait behind it, so it gives up soon …
const LOCK_TIMEOUT: &str = "/* schema.lock_timeout */ SET lock_timeout = '500ms'";
/// … and tries again after this pause …
const PAUSE: Duration = Duration::from_secs(1);
/// … so often.
const TRIES: u32 = 300;

/// Applies what is missing in the database of this build. `false`: the database is ahead of it, and nothing is to be done.
pub async fn migrate(pool: &PgPool) -> Result<bool, MigrateError> {
    match apply(&MIGRATIONS, pool).await {
        Ok(()) => Ok(true),
        Err(MigrateError::VersionMissing(_)) if problem(pool).await?.is_none() => Ok(false),
        Err(error) => Err(error),
    }
}

/// Applies what is missing. Safe to run from several places at once: it takes a lock. Events go on meanwhile: it waits for no lock
/// on a table longer than a moment, but takes its turn again and again.
pub async fn apply(migrations: &Migrator, pool: &PgPool) -> Result<(), MigrateError> {
    for tries in 1.. {
        let mut connection = pool.acquire().await?.detach();
        connection.execute(LOCK_TIMEOUT).await?;
        let done = migrations.run_direct(&mut connection).await;
        // The migrators' lock goes with the session.
        connection.close().await?;
        match done {
            Err(MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _))
                if is_locked(&error) && tries < TRIES =>
            {
                if tries == 1 {
                    tracing::warn!("others hold a lock that is needed (`pg_locks` says who): trying again");
                }
                tokio::time::sleep(PAUSE).await;
            }
            done => return done,
        }
    }
    Ok(())
}

fn is_locked(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|e| e.code()).is_some_and(|code| matches!(&*code, "55P03" | "40P01"))
}

/// What is wrong with the schema, with what to do; `None` when this build can work with it.
///
/// A database with *more* migrations than this build is fine: new migrations keep old programs working.
pub async fn problem(pool: &PgPool) -> Result<Option<String>, sqlx::Error> {
    let exists: bool = sqlx::query_scalar("/* schema.problem */ SELECT to_regclass('_sqlx_migrations') IS NOT NULL")
        .fetch_one(pool)
        .await?;
    let applied = if exists {
        let mut connection = pool.acquire().await?;
        match connection.list_applied_migrations().await {
            Ok(applied) => applied,
            Err(MigrateError::Execute(error)) => return Err(error),
            Err(other) => return Ok(Some(format!("the schema's history cannot be read: {other}"))),
        }
    } else {
        Vec::new()
    };
    for migration in MIGRATIONS.iter() {
        match applied.iter().find(|a| a.version == migration.version) {
            None => {
                return Ok(Some(format!(
                    "the schema lacks migration {} ({}): run `worker migrate`",
                    migration.version, migration.description
                )));
            }
            Some(a) if a.checksum != migration.checksum => {
                return Ok(Some(format!(
                    "migration {} was applied in another form than this build's: is this the right database?",
                    migration.version
                )));
            }
            Some(_) => {}
        }
    }
    Ok(None)
}
