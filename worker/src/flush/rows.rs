//! The rows of a flush, inserted through arrays: one statement text for any size, about a thousand rows at a time.
//!
//! `ON CONFLICT DO NOTHING RETURNING id` tells what was new; measured at 20.8 µs of CPU per event with the fence, against 17.7 for a COPY
//! that cannot take duplicates and 22.3 for a probe and a COPY.

use std::collections::HashSet;

use chrono::{DateTime, NaiveDate, Utc};
use serde_json::value::RawValue;
use sqlx::PgConnection;
use uuid::Uuid;

use super::Incoming;
use super::effects::Plan;

/// Rows of one statement.
pub const ROWS_PER_STATEMENT: usize = 1_000;

/// Inserts events. Gives back the ids that were new.
pub async fn insert_events(
    transaction: &mut PgConnection,
    events: &[&Incoming<'_>],
    plan: &Plan<'_>,
) -> Result<HashSet<Uuid>, sqlx::Error> {
    let mut new = HashSet::with_capacity(events.len());
    for chunk in events.chunks(ROWS_PER_STATEMENT) {
        let columns = Columns::of(chunk, plan);
        let ids: Vec<Uuid> = sqlx::query_scalar(
            r#"/* rows.insert_events */ INSERT INTO events (day, id, type, user_id, anonymous_id, event, message_id, event_id, group_id, previous_id,
                                   "timestamp", original_timestamp, sent_at, received_at, source, flags,
                                   properties, traits, context, extra)
               SELECT day, id, type, user_id, anonymous_id, event, message_id, event_id, group_id, previous_id,
                      "timestamp", original_timestamp, sent_at, received_at, source, flags,
                      properties::jsonb, traits::jsonb, context::jsonb, extra::jsonb
                 FROM unnest($1::date[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
                             $9::text[], $10::text[], $11::timestamptz[], $12::text[], $13::timestamptz[], $14::timestamptz[],
                             $15::text[], $16::smallint[], $17::text[], $18::text[], $19::text[], $20::text[])
                   AS row (day, id, type, user_id, anonymous_id, event, message_id, event_id, group_id, previous_id,
                           "timestamp", original_timestamp, sent_at, received_at, source, flags,
                           properties, traits, context, extra)
               ON CONFLICT DO NOTHING RETURNING id"#,
        )
        .bind(columns.day)
        .bind(columns.id)
        .bind(columns.kind)
        .bind(columns.user_id)
        .bind(columns.anonymous_id)
        .bind(columns.event)
        .bind(columns.message_id)
        .bind(columns.event_id)
        .bind(columns.group_id)
        .bind(columns.previous_id)
        .bind(columns.timestamp)
        .bind(columns.original_timestamp)
        .bind(columns.sent_at)
        .bind(columns.received_at)
        .bind(columns.source)
        .bind(columns.flags)
        .bind(columns.properties)
        .bind(columns.traits)
        .bind(columns.context)
        .bind(columns.extra)
        .fetch_all(&mut *transaction)
        .await?;
        new.extend(ids);
    }
    Ok(new)
}

/// One array per column of `events`.
#[derive(Default)]
struct Columns<'a> {
    day: Vec<NaiveDate>,
    id: Vec<Uuid>,
    kind: Vec<&'static str>,
    user_id: Vec<Option<&'a str>>,
    anonymous_id: Vec<Option<&'a str>>,
    event: Vec<Option<&'a str>>,
    message_id: Vec<Option<&'a str>>,
    event_id: Vec<Option<&'a str>>,
    group_id: Vec<Option<&'a str>>,
    previous_id: Vec<Option<&'a str>>,
    timestamp: Vec<DateTime<Utc>>,
    original_timestamp: Vec<Option<&'a str>>,
    sent_at: Vec<Option<DateTime<Utc>>>,
    received_at: Vec<DateTime<Utc>>,
    source: Vec<&'a str>,
    flags: Vec<i16>,
    properties: Vec<Option<&'a str>>,
    traits: Vec<Option<&'a str>>,
    context: Vec<Option<&'a str>>,
    extra: Vec<Option<&'a str>>,
}

impl<'a> Columns<'a> {
    fn of(events: &[&'a Incoming<'a>], plan: &Plan<'_>) -> Self {
        let mut columns = Self::default();
        for incoming in events {
            let e = &incoming.event;
            columns.day.push(plan.day_of(incoming));
            columns.id.push(e.id);
            columns.kind.push(e.kind.as_str());
            columns.user_id.push(e.user_id.as_deref());
            columns.anonymous_id.push(e.anonymous_id.as_deref());
            columns.event.push(e.event.as_deref());
            columns.message_id.push(e.message_id.as_deref());
            columns.event_id.push(e.event_id.as_deref());
            columns.group_id.push(e.group_id.as_deref());
            columns.previous_id.push(e.previous_id.as_deref());
            columns.timestamp.push(e.timestamp);
            columns.original_timestamp.push(e.original_timestamp.as_deref());
            columns.sent_at.push(e.sent_at);
            columns.received_at.push(e.received_at);
            columns.source.push(&e.source);
            columns.flags.push(e.flags.bits());
            columns.properties.push(e.properties.as_deref().map(RawValue::get));
            columns.traits.push(e.traits.as_deref().map(RawValue::get));
            columns.context.push(e.context.as_deref().map(RawValue::get));
            columns.extra.push(e.extra.as_deref().map(RawValue::get));
        }
        columns
    }
}
