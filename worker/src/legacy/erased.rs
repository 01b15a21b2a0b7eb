//! Which users and events of the file a tombstone keeps away: they are missing on purpose.

use std::collections::HashSet;

use shared::domain::event::Event;
use shared::domain::user_key::Placeholders;
use shared::store::tombstones;
use sqlx::PgPool;
use uuid::Uuid;

use crate::Problem;

/// Of these lines, the events whose user was erased.
pub async fn among(pool: &PgPool, placeholders: &Placeholders, lines: &[&[u8]]) -> Result<HashSet<Uuid>, Problem> {
    if lines.is_empty() {
        return Ok(HashSet::new());
    }
    let mut database = pool.acquire().await?;
    let salt = tombstones::salt(&mut database).await?;
    let events = lines.iter().map(|line| serde_json::from_slice(line)).collect::<Result<Vec<Event<'_>>, _>>()?;
    let keyed = events.iter().filter_map(|event| {
        let key = event.user_key(placeholders)?;
        Some((salt.hash(key), event.happened_at(), event.id))
    });
    let keyed: Vec<_> = keyed.collect();
    let hashes: HashSet<_> = keyed.iter().map(|(hash, ..)| *hash).collect();
    let stones = tombstones::read(&mut database, &hashes.into_iter().collect::<Vec<_>>()).await?;
    let covered = keyed.into_iter().filter(|(hash, at, _)| stones.get(hash).is_some_and(|stone| stone.covers(*at)));
    Ok(covered.map(|(_, _, id)| id).collect())
}
