//! The traits of one user as of now: what the database shows, with this process's own accepted patches over it.

use shared::domain::traits::Traits;
use shared::domain::user_key::UserKey;
use sqlx::postgres::PgPool;

use crate::app::App;

/// Offset and traits in one statement, so that they belong together.
const READ: &str = "SELECT p.last_seq, u.traits::text
       FROM partitions p LEFT JOIN users u ON u.kind = $2 AND u.id = $3
      WHERE p.partition = $1";

/// Reads them; `None` when the database cannot be asked quickly. The merge of what is not committed is in it.
pub async fn current(app: &App, key: UserKey<'_>) -> Option<Traits> {
    let partition = key.partition(app.settings.pipeline.partitions);
    let (kind, id) = (key.kind.as_str(), key.id.to_owned());
    let (committed, stored) = app.database.look_up(|pool| read(pool, partition, kind, id)).await?;
    let mut traits = stored.and_then(|text| Traits::parse(&text).ok()).unwrap_or_default();
    app.overlay.apply(key, committed, &mut traits);
    Some(traits)
}

async fn read(pool: PgPool, partition: u16, kind: &str, id: String) -> Result<(u64, Option<String>), sqlx::Error> {
    let row: Option<(i64, Option<String>)> =
        sqlx::query_as(READ).bind(i32::from(partition)).bind(kind).bind(id).fetch_optional(&pool).await?;
    // Without a row no worker ever ran: nothing is committed.
    let (committed, traits) = row.unwrap_or_default();
    Ok((u64::try_from(committed).unwrap_or(0), traits))
}

/// The committed offset of each partition.
pub async fn committed(pool: PgPool) -> Result<Vec<(u16, u64)>, sqlx::Error> {
    let rows: Vec<(i32, i64)> = sqlx::query_as("SELECT partition, last_seq FROM partitions").fetch_all(&pool).await?;
    Ok(rows.into_iter().filter_map(|(p, seq)| Some((u16::try_from(p).ok()?, u64::try_from(seq).ok()?))).collect())
}
