//! The proof that a COMMIT means "on disk".

use sqlx::postgres::PgPool;

use crate::runtime::settings::pipeline::Pipeline;

/// The oldest PostgreSQL that is tested.
const OLDEST_SERVER_NUMBER: i32 = 150_000;

/// Everything that is wrong with the database's durability, each with what to do; empty when a COMMIT can be trusted.
pub async fn problems(pool: &PgPool, settings: &Pipeline) -> Result<Vec<String>, sqlx::Error> {
    let (version, fsync, commit, pages, recovering): (String, String, String, String, bool) = sqlx::query_as(
        "/* durability.problems */ SELECT current_setting('server_version_num'), current_setting('fsync'), current_setting('synchronous_commit'),
                current_setting('full_page_writes'), pg_is_in_recovery()",
    )
    .fetch_one(pool)
    .await?;
    let mut problems = Vec::new();
    if version.parse().unwrap_or(0) < OLDEST_SERVER_NUMBER {
        problems.push(format!("PostgreSQL is {version}, and needs to be 15 or newer: upgrade it"));
    }
    if recovering {
        problems.push("PostgreSQL is a standby in recovery: DATABASE_URL must name the primary".to_owned());
    }
    if settings.accept_data_loss {
        return Ok(problems);
    }
    let synced = !matches!(commit.as_str(), "off" | "local" | "remote_write");
    for (name, value, holds) in
        [("fsync", fsync, None), ("full_page_writes", pages, None), ("synchronous_commit", commit, Some(synced))]
    {
        if !holds.unwrap_or(value == "on") {
            problems.push(format!(
                "PostgreSQL has {name} = {value}: set it to on, or a power cut loses what was committed"
            ));
        }
    }
    Ok(problems)
}
