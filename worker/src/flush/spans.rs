//! Notes of days that hold events from another time, so that who lists events by time knows which partitions can hold them.
//!
//! Nearly every event is filed within two days of its timestamp ([`shared::domain::day::usual_times`]), and costs nothing here. One
//! without a zone in its time that waited long on a device, or of a clock that is far off, widens the span of its day. Spans never shrink.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use shared::domain::day::usual_times;
use sqlx::PgConnection;

use super::Incoming;
use super::effects::Plan;

/// Notes what new events ask for.
pub async fn note(transaction: &mut PgConnection, fresh: &[&Incoming<'_>], plan: &Plan<'_>) -> Result<(), sqlx::Error> {
    let mut spans = BTreeMap::<(NaiveDate, i32), (DateTime<Utc>, DateTime<Utc>)>::new();
    for incoming in fresh {
        let (day, at) = (plan.day_of(incoming), incoming.event.timestamp);
        if !usual_times(day).contains(&at) {
            let (first, last) = spans.entry((day, incoming.line.partition)).or_insert((at, at));
            (*first, *last) = (at.min(*first), at.max(*last));
        }
    }
    for ((day, partition), (first, last)) in spans {
        widen(transaction, (day, partition), (first, last)).await?;
    }
    Ok(())
}

/// Widens the span of a day, as one of those who write it.
pub async fn widen(
    connection: &mut PgConnection,
    (day, partition): (NaiveDate, i32),
    (first, last): (DateTime<Utc>, DateTime<Utc>),
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "/* spans.widen */ INSERT INTO day_spans AS s (day, partition, first_at, last_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (day, partition) DO UPDATE
            SET first_at = least(s.first_at, excluded.first_at), last_at = greatest(s.last_at, excluded.last_at)
          WHERE excluded.first_at < s.first_at OR excluded.last_at > s.last_at",
    )
    .bind(day)
    .bind(partition)
    .bind(first)
    .bind(last)
    .execute(connection)
    .await?;
    Ok(())
}
