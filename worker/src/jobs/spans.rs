//! Looks whether days hold events from another time that nobody noted ([`crate::flush::spans`]): written by a release that did not, or
//! brought back from an archive. Two looks into an index per day.

use chrono::{DateTime, Utc};
use shared::domain::day::usual_times;
use sqlx::PgPool;

use super::partitions::day_of;
use crate::flush::spans::widen;

/// In place of a partition, for what this job notes.
const JOB: i32 = -1;

/// Looks at every day once; tells how many were noted.
pub async fn note(pool: &PgPool) -> Result<usize, sqlx::Error> {
    let tables: Vec<String> = sqlx::query_scalar(
        "/* spans.note.pg_inherits */ SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
          WHERE i.inhparent = 'events'::regclass AND NOT i.inhdetachpending",
    )
    .fetch_all(pool)
    .await?;
    let mut noted = 0;
    for day in tables.iter().filter_map(|table| day_of(table)) {
        // Of `events` and not of the partition by its name, which may be dropped meanwhile.
        let ends: (Option<DateTime<Utc>>, Option<DateTime<Utc>>) = sqlx::query_as(
            r#"/* spans.note.events */ SELECT min("timestamp"), max("timestamp") FROM events WHERE day = $1"#,
        )
        .bind(day)
        .fetch_one(pool)
        .await?;
        let (Some(first), Some(last)) = ends else { continue };
        let usual = usual_times(day);
        if !usual.contains(&first) || !usual.contains(&last) {
            widen(&mut *pool.acquire().await?, (day, JOB), (first, last)).await?;
            noted += 1;
        }
    }
    Ok(noted)
}
