//! One day, counted from its rows.
//!
//! The rows are read before anything is locked. Then all flushes wait; if the day got no new event meanwhile, its sums are replaced,
//! else it is counted again. Who was active is only ever added to, so the sum is what is there at that moment.

use chrono::NaiveDate;
use futures_util::TryStreamExt;
use serde_json::value::RawValue;
use shared::domain::campaign::Catalog;
use shared::domain::reported::{NAMES, report_of};
use shared::domain::rollup::{OTHER, Sums, What, count};
use shared::domain::user_key::{KeyKind, Placeholders};
use sqlx::{PgConnection, PgPool};

use crate::Problem;
use crate::flush::{fence, rollups};
use crate::jobs::partitions::{Until, become_owner};

/// A day that gets events all the time is given up after so many counts.
const TRIES: u32 = 5;
/// The writer of sums of several: [`crate::jobs::retention::sweep`].
const OF_SEVERAL: i32 = -1;

/// What was counted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counted {
    /// Reports of apps.
    pub reports: i64,
    /// User keys.
    pub active_users: i64,
}

impl Counted {
    /// Adds another day.
    pub fn add(&mut self, more: Self) {
        self.reports += more.reports;
        self.active_users += more.active_users;
    }
}

/// Counts a day, and replaces its sums.
pub async fn recount(
    pool: &PgPool,
    day: NaiveDate,
    placeholders: &Placeholders,
    catalog: &Catalog,
) -> Result<Counted, Problem> {
    for _ in 0..TRIES {
        let mut connection = pool.acquire().await?;
        let before = events(&mut connection, day).await?;
        let mut sums = reports(&mut connection, day).await?;
        note_active(&mut connection, day, placeholders).await?;
        drop(connection);

        let mut transaction = pool.begin().await?;
        fence::lock_all(&mut transaction).await?;
        if events(&mut transaction, day).await? != before {
            transaction.rollback().await?;
            continue;
        }
        let active_users: i64 =
            sqlx::query_scalar("/* day.recount.active_users */ SELECT count(*) FROM active_users WHERE day = $1")
                .bind(day)
                .fetch_one(&mut *transaction)
                .await?;
        let reports = sums.values().flat_map(|names| names.values()).sum();
        if active_users > 0 {
            sums.entry((day, What::ActiveUsers)).or_default().insert(OTHER.to_owned(), active_users);
        }
        // Worker roles may not delete.
        become_owner(&mut transaction, Until::Commit).await?;
        sqlx::query("/* day.recount.rollups */ DELETE FROM rollups WHERE day = $1 AND what = ANY($2)")
            .bind(day)
            .bind(counted_here())
            .execute(&mut *transaction)
            .await?;
        rollups::write(&mut transaction, OF_SEVERAL, &sums, catalog).await?;
        transaction.commit().await?;
        return Ok(Counted { reports, active_users });
    }
    Err(format!("events of {day} keep coming in: run this again later, or with --to the day before").into())
}

fn counted_here() -> Vec<&'static str> {
    let whats = What::ALL.into_iter().filter(|what| what.is_reported() || *what == What::ActiveUsers);
    whats.map(What::as_str).collect()
}

/// How many new events the day ever got. It grows with each.
async fn events(connection: &mut PgConnection, day: NaiveDate) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar(
        "/* day.events */ SELECT coalesce(sum(count), 0)::bigint FROM rollups WHERE day = $1 AND what = $2",
    )
    .bind(day)
    .bind(What::Events.as_str())
    .fetch_one(connection)
    .await
}

/// What apps reported.
async fn reports(connection: &mut PgConnection, day: NaiveDate) -> Result<Sums, sqlx::Error> {
    let mut sums = Sums::new();
    let mut rows = sqlx::query_as::<_, (String, Option<String>)>(
        "/* day.reports */ SELECT event, properties::text FROM events WHERE day = $1 AND type = 'track' AND event = ANY($2)",
    )
    .bind(day)
    .bind(NAMES.map(|name| name.event).to_vec())
    .fetch(connection);
    while let Some((event, properties)) = rows.try_next().await? {
        let properties: Option<&RawValue> = properties.as_deref().and_then(|text| serde_json::from_str(text).ok());
        if let Some((what, campaign)) = report_of(&event, properties) {
            count(&mut sums, day, what, campaign.as_deref().unwrap_or(OTHER));
        }
    }
    Ok(sums)
}

/// Notes who was active, as a flush does: `UserKey::of` and `UserKey::fingerprint`, in SQL.
async fn note_active(
    connection: &mut PgConnection,
    day: NaiveDate,
    placeholders: &Placeholders,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        r"/* day.note_active */ INSERT INTO active_users (day, user_hash)
          SELECT DISTINCT $1::date, substr(encode(sha256(CASE WHEN user_id <> ALL($2) THEN $3::bytea || convert_to(user_id, 'UTF8')
                                                         ELSE $4::bytea || convert_to(anonymous_id, 'UTF8') END), 'hex'), 1, 32)::uuid
            FROM events WHERE day = $1 AND (user_id <> ALL($2) OR anonymous_id <> ALL($2))
           ORDER BY 2
          ON CONFLICT DO NOTHING",
    )
    .bind(day)
    .bind(placeholders.ids().collect::<Vec<_>>())
    .bind([KeyKind::User as u8].to_vec())
    .bind([KeyKind::Anonymous as u8].to_vec())
    .execute(connection)
    .await?;
    Ok(())
}
