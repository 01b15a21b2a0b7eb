//! Documents that name an erased id: a test user of a campaign, a rule on an id. A person wrote them, and only a person can tell what
//! they should say instead; so they are reported, and the receipt lists them.

use serde::Serialize;
use sqlx::{FromRow, PgPool};

use super::Key;
use crate::jobs::partitions::{Until, become_owner};

/// A document that names one of the ids as a JSON string.
#[derive(Debug, Serialize, FromRow, PartialEq, Eq)]
pub struct Mention {
    /// Its table.
    table: String,
    /// Its id; of the history, the document that changed.
    id: String,
}

/// Finds them. The history of documents counts too: it shows how they were.
pub async fn find(pool: &PgPool, keys: &[Key]) -> Result<Vec<Mention>, sqlx::Error> {
    let needles: Vec<String> = keys.iter().filter_map(|key| serde_json::to_string(&key.id).ok()).collect();
    let mut transaction = pool.begin().await?;
    sqlx::query("/* mentions.find.campaigns */ SET LOCAL statement_timeout = '10min'")
        .execute(&mut *transaction)
        .await?;
    become_owner(&mut transaction, Until::Commit).await?;
    let found = sqlx::query_as(
        r#"/* mentions.find.campaigns.2 */ SELECT DISTINCT "table", id FROM (
                SELECT 'campaigns' AS "table", id, document::text AS text FROM campaigns
                UNION ALL SELECT 'segments', id, document::text FROM segments
                UNION ALL SELECT 'features', id, document::text FROM features
                UNION ALL SELECT 'changes', collection || '/' || entity_id, concat(before, after) FROM changes) AS d
            WHERE EXISTS (SELECT FROM unnest($1::text[]) AS n (needle) WHERE position(needle IN text) > 0)
            ORDER BY 1, 2 LIMIT 1000"#,
    )
    .bind(needles)
    .fetch_all(&mut *transaction)
    .await?;
    transaction.rollback().await?;
    Ok(found)
}
