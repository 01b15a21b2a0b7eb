//! Old days of events, made by hand.

use chrono::{Days, NaiveDate, Utc};
use sqlx::PgPool;

/// Today (UTC).
#[must_use]
pub fn today() -> NaiveDate {
    Utc::now().date_naive()
}

/// The day so many days ago.
#[must_use]
pub fn ago(days: u64) -> NaiveDate {
    today() - Days::new(days)
}

/// Makes the partition of a day, as the worker names it, with so many rows, which the books know of.
///
/// # Panics
/// When that fails.
pub async fn make_day(pool: &PgPool, day: NaiveDate, rows: i32) {
    let table = format!("events_{}", day.format("%Y%m%d"));
    let next = day + Days::new(1);
    for statement in [
        format!("CREATE TABLE IF NOT EXISTS {table} PARTITION OF events FOR VALUES FROM ('{day}') TO ('{next}')"),
        format!("ALTER TABLE {table} OWNER TO ec_events"),
        format!(
            "INSERT INTO events (day, id, type, user_id, event, \"timestamp\", received_at, source, properties)
             SELECT '{day}', gen_random_uuid(), 'track', 'u-' || n % 100, 'old', '{day}', '{day}', 'by hand',
                    jsonb_build_object('n', n, 'text', 'Grüße \\ \"') FROM generate_series(1, {rows}) n"
        ),
        format!("INSERT INTO removals (day, events, reason) VALUES ('{day}', -{rows}, 'made by hand')"),
    ] {
        sqlx::query(&statement).execute(pool).await.unwrap_or_else(|e| panic!("{statement}: {e}"));
    }
}
