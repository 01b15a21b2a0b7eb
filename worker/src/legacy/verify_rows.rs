//! Compares a few users or events of the file with their rows, in one question per day or piece.

use std::collections::{BTreeMap, HashMap};

use chrono::NaiveDate;
use serde_json::value::RawValue;
use shared::domain::event::Event;
use shared::domain::legacy::{event, user};
use sqlx::{FromRow, PgPool};
use uuid::Uuid;

use crate::Problem;

/// How an event's row compares, by its place in what was asked.
#[derive(Debug, FromRow)]
struct EventRow {
    place: i64,
    there: bool,
    who: Option<bool>,
    at: Option<bool>,
    properties: Option<bool>,
    extra: Option<bool>,
}

/// What is different, by event: a sentence each. Equal ones are not in it.
pub async fn events(pool: &PgPool, events: &[&event::Imported]) -> Result<HashMap<Uuid, String>, Problem> {
    let mut days = BTreeMap::<NaiveDate, Vec<Event<'_>>>::new();
    for event in events {
        days.entry(event.day).or_default().push(serde_json::from_slice(&event.line)?);
    }
    let mut differences = HashMap::new();
    for (day, events) in days {
        for row in rows_of(pool, day, &events).await? {
            let Some(event) = usize::try_from(row.place - 1).ok().and_then(|at| events.get(at)) else { continue };
            if !row.there {
                differences.insert(event.id, format!("is not there under {day}"));
                continue;
            }
            let parts = [
                (row.who, "user, name or ids"),
                (row.at, "time"),
                (row.properties, "properties"),
                (row.extra, "other fields"),
            ];
            let differ: Vec<&str> =
                parts.into_iter().filter(|(same, _)| *same != Some(true)).map(|(_, what)| what).collect();
            if !differ.is_empty() {
                differences.insert(event.id, format!("differs in {}", differ.join(", ")));
            }
        }
    }
    explain(pool, &mut differences).await?;
    Ok(differences)
}

async fn rows_of(pool: &PgPool, day: NaiveDate, events: &[Event<'_>]) -> Result<Vec<EventRow>, sqlx::Error> {
    let raw = |raw: &Option<std::borrow::Cow<'_, RawValue>>| raw.as_deref().map(|raw| raw.get().to_owned());
    sqlx::query_as(
        r#"/* verify_rows.rows_of */ SELECT k.place, e.id IS NOT NULL AS there,
                  (e.type, e.user_id, e.event, e.message_id, e.event_id, e.original_timestamp)
                      IS NOT DISTINCT FROM ('track', k.user_id, k.event, k.message_id, k.event_id, k.original_timestamp) AS who,
                  e."timestamp" = k.at AS at,
                  e.properties IS NOT DISTINCT FROM k.properties::jsonb AS properties,
                  e.extra IS NOT DISTINCT FROM k.extra::jsonb AS extra
             FROM unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::timestamptz[], $9::text[], $10::text[])
                  WITH ORDINALITY AS k (id, user_id, event, message_id, event_id, original_timestamp, at, properties, extra, place)
             LEFT JOIN events e ON e.day = $1 AND e.id = k.id"#,
    )
    .bind(day)
    .bind(events.iter().map(|e| e.id).collect::<Vec<_>>())
    .bind(events.iter().map(|e| e.user_id.as_deref()).collect::<Vec<_>>())
    .bind(events.iter().map(|e| e.event.as_deref()).collect::<Vec<_>>())
    .bind(events.iter().map(|e| e.message_id.as_deref()).collect::<Vec<_>>())
    .bind(events.iter().map(|e| e.event_id.as_deref()).collect::<Vec<_>>())
    .bind(events.iter().map(|e| e.original_timestamp.as_deref()).collect::<Vec<_>>())
    .bind(events.iter().map(|e| e.timestamp).collect::<Vec<_>>())
    .bind(events.iter().map(|e| raw(&e.properties)).collect::<Vec<_>>())
    .bind(events.iter().map(|e| raw(&e.extra)).collect::<Vec<_>>())
    .fetch_all(pool)
    .await
}

/// Says of those that are missing where they went, if that is known.
async fn explain(pool: &PgPool, differences: &mut HashMap<Uuid, String>) -> Result<(), sqlx::Error> {
    if differences.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = differences.keys().copied().collect();
    let query = "/* verify_rows.explain.dead_letters */ SELECT event_id, max(id) FROM dead_letters WHERE event_id = ANY($1) GROUP BY event_id";
    for (id, letter) in sqlx::query_as::<_, (Uuid, i64)>(query).bind(&ids).fetch_all(pool).await? {
        differences.entry(id).and_modify(|what| what.push_str(&format!(", but in dead letter {letter}")));
    }
    let query = "/* verify_rows.explain.late_ids */ SELECT id FROM late_ids WHERE id = ANY($1)";
    for id in sqlx::query_scalar::<_, Uuid>(query).bind(&ids).fetch_all(pool).await? {
        differences.entry(id).and_modify(|what| what.push_str(", but was filed under another day"));
    }
    Ok(())
}

/// How a user's profile compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// All traits are there.
    Same,
    /// All keys are there, some with another value: a later identify said so.
    Newer,
    /// Keys are missing, or the whole profile.
    Missing,
}

/// How each of these users compares, in their order.
pub async fn users(pool: &PgPool, users: &[(&str, &user::Imported)]) -> Result<Vec<Profile>, sqlx::Error> {
    let rows: Vec<(i64, bool, i64, i64)> = sqlx::query_as(
        "/* verify_rows.users */ SELECT k.place, u.id IS NOT NULL,
                (SELECT count(*) FROM jsonb_object_keys(k.traits::jsonb) key WHERE NOT u.traits ? key),
                (SELECT count(*) FROM jsonb_each(k.traits::jsonb) t WHERE u.traits -> t.key <> t.value)
           FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS k (id, traits, place)
           LEFT JOIN users u ON u.kind = 'user' AND u.id = k.id ORDER BY k.place",
    )
    .bind(users.iter().map(|(id, _)| *id).collect::<Vec<_>>())
    .bind(users.iter().map(|(_, user)| user.traits.as_str()).collect::<Vec<_>>())
    .fetch_all(pool)
    .await?;
    let compared = |(_, there, missing, other): (i64, bool, i64, i64)| match (there, missing, other) {
        (true, 0, 0) => Profile::Same,
        (true, 0, _) => Profile::Newer,
        _ => Profile::Missing,
    };
    Ok(rows.into_iter().map(compared).collect())
}
