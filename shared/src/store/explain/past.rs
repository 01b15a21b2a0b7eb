//! What was known of a user before an event: their stored events, gone through once more in the order of their receipt. What was received at
//! one moment (a batch) is taken in the order of its own times.
//!
//! Traits that no stored identify has set are older than what is kept, so they are taken as they are now; those that a later identify
//! has set, and none before the event, are taken as missing.

use std::collections::BTreeSet;

use chrono::{DateTime, NaiveDate, Utc};
use futures_util::TryStreamExt;
use sqlx::FromRow;
use sqlx::postgres::PgConnection;

use super::event::{Event, whose};
use crate::domain::campaign::person::{Happened, Person};
use crate::domain::event::Flags;
use crate::domain::traits::Traits;
use crate::domain::user_key::{Placeholders, UserKey};

/// The latest times of one event that are kept: further ones decide nothing.
const MOST_TIMES: usize = 10_000;

#[derive(FromRow)]
struct Row {
    day: NaiveDate,
    /// Absent: an identify.
    event: Option<String>,
    timestamp: DateTime<Utc>,
    received_at: DateTime<Utc>,
    flags: i16,
    /// Found by the index that counting uses.
    counts: bool,
    before: bool,
    traits: Option<String>,
}

/// A user as of before the event; as of now before one that is only described. A stranger has no past.
pub async fn person(
    snapshot: &mut PgConnection,
    (key, placeholders): (Option<UserKey<'_>>, &Placeholders),
    counted: &BTreeSet<String>,
    event: &Event,
    notes: &mut Vec<String>,
) -> Result<Person, sqlx::Error> {
    let Some(key) = key else { return Ok(Person::default()) };
    let now = current(snapshot, key).await?;
    let mut person = Person::default();
    let mut later = Vec::new();
    let mut set: BTreeSet<String> = BTreeSet::new();
    let sql = format!(
        r#"/* past.person */ SELECT day, CASE WHEN type <> 'identify' THEN event END AS event, "timestamp", received_at, flags,
                  user_id IS NULL OR NOT user_id = ANY($2) AS counts, before, CASE WHEN type = 'identify' THEN traits::text END AS traits
             FROM (SELECT *, ctid AS place, $5::date IS NULL OR (received_at, "timestamp", day, ctid)
                             < (SELECT o.received_at, o."timestamp", o.day, o.ctid FROM events o WHERE o.day = $5 AND o.id = $6) AS before
                     FROM events WHERE {}) AS e
            WHERE (type = 'identify' AND $4) OR (before AND type IN ('track', 'page', 'screen') AND event = ANY($3))
            ORDER BY received_at, "timestamp", day, place"#,
        whose(key.kind)
    );
    let strangers: Vec<&str> = placeholders.ids().collect();
    let names: Vec<&str> = counted.iter().map(String::as_str).collect();
    {
        let mut rows = sqlx::query_as(&sql)
            .bind(key.id)
            .bind(&strangers)
            .bind(&names)
            // Described events come now, and of now the profile tells.
            .bind(event.is_stored())
            .bind(event.day)
            .bind(event.id)
            .fetch(&mut *snapshot);
        while let Some(row) = rows.try_next().await? {
            let row: Row = row;
            if let Some(name) = row.event {
                let at = row.timestamp.min(row.received_at);
                if row.counts {
                    person.happen(&name, Happened { at, day: row.day }, MOST_TIMES);
                }
                continue;
            }
            let patch = row.traits.and_then(|text| Traits::parse(&text).ok()).unwrap_or_default();
            let known: Vec<String> = patch.iter().map(|(key, _)| key.to_owned()).collect();
            if row.before {
                person.identify(patch, row.flags & Flags::IMPORTED.bits() != 0);
            } else {
                later.extend(known.iter().filter(|key| !set.contains(*key)).cloned());
            }
            set.extend(known);
        }
    }
    let mut old = now;
    if event.is_stored() {
        set.iter().for_each(|key| old.remove(key));
        note(&old, &later, notes);
    }
    person.traits.fill(old);
    Ok(person)
}

async fn current(snapshot: &mut PgConnection, key: UserKey<'_>) -> Result<Traits, sqlx::Error> {
    let sql = "/* past.current */ SELECT traits::text FROM users WHERE kind = $1 AND id = $2";
    let text: Option<String> =
        sqlx::query_scalar(sql).bind(key.kind.as_str()).bind(key.id).fetch_optional(snapshot).await?;
    Ok(text.and_then(|text| Traits::parse(&text).ok()).unwrap_or_default())
}

fn note(old: &Traits, later: &[String], notes: &mut Vec<String>) {
    let old: Vec<&str> = old.iter().map(|(key, _)| key).collect();
    if old.is_empty() {
        return;
    }
    let some = |names: &[&str]| {
        let more = if names.len() > 10 { format!(" and {} more", names.len() - 10) } else { String::new() };
        format!("{}{more}", names.iter().take(10).copied().collect::<Vec<_>>().join(", "))
    };
    notes.push(format!(
        "no identify is stored any more that set these traits, so they are taken as they are now: {}",
        some(&old)
    ));
    if !later.is_empty() {
        let later: Vec<&str> = later.iter().map(String::as_str).collect();
        notes.push(format!(
            "these traits were first set later, as far as is stored, so they are taken as missing: {}",
            some(&later)
        ));
    }
}
