//! Remembers that an event came again, for its receipt: one row per event, counting the copies that were dropped.
//!
//! Costs nothing where nothing comes twice. A replay of the stream is no copy: it carries the time at which the stored one was
//! received, or times that were counted before.

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::Incoming;
use super::effects::Plan;

struct Copies {
    day: NaiveDate,
    count: i64,
    last_received_at: DateTime<Utc>,
}

/// Records the copies among `group`: everything but the `fresh` lines, given as `(seq, partition, position)`.
pub async fn record(
    transaction: &mut PgConnection,
    group: &[Incoming<'_>],
    fresh: &HashSet<(i64, i32, i32)>,
    plan: &Plan<'_>,
) -> Result<(), sqlx::Error> {
    if fresh.len() == group.len() {
        return Ok(());
    }
    let mut stored_here = HashSet::new();
    let mut copies = BTreeMap::<Uuid, Copies>::new();
    for incoming in group {
        let event = &incoming.event;
        if fresh.contains(&incoming.place()) {
            stored_here.insert(event.id);
            continue;
        }
        let first = Copies { day: plan.day_of(incoming), count: 0, last_received_at: event.received_at };
        let copies = copies.entry(event.id).or_insert(first);
        copies.count += 1;
        copies.last_received_at = copies.last_received_at.max(event.received_at);
    }
    sqlx::query(
        "/* duplicates.record */ INSERT INTO duplicates AS d (event_id, copies, last_received_at)
         SELECT id, copies, last_received_at
           FROM unnest($1::uuid[], $2::date[], $3::bigint[], $4::timestamptz[], $5::boolean[])
             AS c (id, day, copies, last_received_at, stored_here)
          WHERE stored_here OR NOT EXISTS (
                SELECT FROM events e WHERE e.day = c.day AND e.id = c.id AND e.received_at >= c.last_received_at)
         ON CONFLICT (event_id) DO UPDATE
            SET copies = d.copies + excluded.copies, last_received_at = excluded.last_received_at
          WHERE d.last_received_at < excluded.last_received_at",
    )
    .bind(copies.keys().copied().collect::<Vec<_>>())
    .bind(copies.values().map(|c| c.day).collect::<Vec<_>>())
    .bind(copies.values().map(|c| c.count).collect::<Vec<_>>())
    .bind(copies.values().map(|c| c.last_received_at).collect::<Vec<_>>())
    .bind(copies.keys().map(|id| stored_here.contains(id)).collect::<Vec<_>>())
    .execute(transaction)
    .await?;
    Ok(())
}
