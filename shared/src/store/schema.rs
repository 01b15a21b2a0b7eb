//! The schema's version: migrations are embedded; the worker applies them on command, each program checks them at start.

use sqlx::migrate::{Migrate, MigrateError, Migrator};
use sqlx::postgres::PgPool;

/// The migrations of this build.
pub static MIGRATIONS: Migrator = sqlx::migrate!("../migrations");

/// Applies what is missing. Safe to run from several places at once: it takes a lock.
pub async fn migrate(pool: &PgPool) -> Result<(), MigrateError> {
    MIGRATIONS.run(pool).await
}

/// What is wrong with the schema, with what to do; `None` when this build can work with it.
///
/// A database with *more* migrations than this build is fine: new migrations keep old programs working.
pub async fn problem(pool: &PgPool) -> Result<Option<String>, sqlx::Error> {
    let exists: bool = sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations') IS NOT NULL").fetch_one(pool).await?;
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
