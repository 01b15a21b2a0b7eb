//! Which users and events of the file are there already: only the others are sent.

use std::collections::{BTreeMap, HashSet};

use chrono::NaiveDate;
use sqlx::PgPool;
use uuid::Uuid;

/// Of these events, those that have a row under their day.
pub async fn events(pool: &PgPool, events: &[(NaiveDate, Uuid)]) -> Result<HashSet<Uuid>, sqlx::Error> {
    let mut days = BTreeMap::<NaiveDate, Vec<Uuid>>::new();
    for (day, id) in events {
        days.entry(*day).or_default().push(*id);
    }
    let mut found = HashSet::new();
    for (day, ids) in days {
        let query = "/* stored.events */ SELECT id FROM events WHERE day = $1 AND id = ANY($2)";
        found.extend(sqlx::query_scalar::<_, Uuid>(query).bind(day).bind(ids).fetch_all(pool).await?);
    }
    Ok(found)
}

/// Of these identifies, those that were stored on whatever day.
pub async fn identifies(pool: &PgPool, ids: &[Uuid]) -> Result<HashSet<Uuid>, sqlx::Error> {
    let query = "/* stored.identifies */ SELECT id FROM late_ids WHERE id = ANY($1)";
    Ok(sqlx::query_scalar(query).bind(ids).fetch_all(pool).await?.into_iter().collect())
}
