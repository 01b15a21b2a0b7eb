//! Daily sums whose name holds an erased id: an app that puts ids into event names, or reports them as ids of campaigns, would leave a
//! trace there. Their counts go on under the common label, so totals stay as they are. A campaign that is called like somebody keeps
//! its sums.

use shared::domain::rollup::{OTHER, What};
use sqlx::PgPool;

use super::Key;
use crate::jobs::partitions::{Until, become_owner};

/// Sums that are named after one of these ids, as a word of its own, lose the name; says how many.
pub async fn sweep(pool: &PgPool, keys: &[Key]) -> Result<u64, sqlx::Error> {
    let ids: Vec<&str> = keys.iter().map(|key| key.id.as_str()).collect();
    let mut transaction = pool.begin().await?;
    become_owner(&mut transaction, Until::Commit).await?;
    // A letter or digit beside it makes it another word: the id `1` does not take `step_10`.
    let gone: i64 = sqlx::query_scalar(
        r"/* sums.sweep */ WITH ids AS (SELECT '(^|[^[:alnum:]])' || regexp_replace(id, '([^[:alnum:]])', '\\\1', 'g') || '($|[^[:alnum:]])' AS word
                       FROM unnest($1::text[]) AS i (id)),
               gone AS (DELETE FROM rollups r USING ids WHERE r.what = ANY($2) AND r.metric <> $3 AND r.metric ~ ids.word
                               AND (r.what = $4 OR NOT EXISTS (SELECT FROM campaigns c WHERE c.id = r.metric))
                        RETURNING r.day, r.what, r.partition, r.count),
               kept AS (INSERT INTO rollups AS r (day, what, metric, partition, count)
                        SELECT day, what, $3, partition, sum(count) FROM gone GROUP BY day, what, partition
                        ON CONFLICT (day, what, metric, partition) DO UPDATE SET count = r.count + excluded.count)
          SELECT count(*) FROM gone",
    )
    .bind(ids)
    .bind(What::ALL.into_iter().filter(|what| what.is_unbounded()).map(What::as_str).collect::<Vec<_>>())
    .bind(OTHER)
    .bind(What::Names.as_str())
    .fetch_one(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(gone.unsigned_abs())
}
