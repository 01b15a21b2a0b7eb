//! The counters of global caps: one row per campaign that has such a cap, locked from here to the commit, in order of id.
//!
//! Workers that show the same capped campaign wait for each other here, so the cap holds exactly; a campaign whose cap is reached
//! is only read, never locked again. A counter is made at its first use from the matches there are, and goes with its cap (a trigger
//! of the database); a worker that does not know the cap yet (for at most a poll of the catalog) does not count, so a cap is exact
//! from the moment on at which all workers know it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use shared::store::shown;
use sqlx::PgConnection;

/// Locks the counters of these campaigns (id and cap) that are not full, and reads all.
pub async fn lock<'a>(
    transaction: &mut PgConnection,
    capped: &BTreeSet<(&'a str, u32)>,
) -> Result<HashMap<&'a str, u64>, sqlx::Error> {
    if capped.is_empty() {
        return Ok(HashMap::new());
    }
    let ids: Vec<&str> = capped.iter().map(|(id, _)| *id).collect();
    let mut totals: HashMap<String, i64> = shown::totals(transaction, &ids, None).await?.into_iter().collect();
    let missing: Vec<&str> = ids.iter().copied().filter(|id| !totals.contains_key(*id)).collect();
    if !missing.is_empty() {
        sqlx::query(
            "/* totals.lock.campaign_totals */ INSERT INTO campaign_totals (campaign_id, shown)
             SELECT id, (SELECT count(*) FROM matches WHERE campaign_id = id AND disposition = 'show')
               FROM campaigns
              WHERE id = ANY($1) AND coalesce(document #> '{frequency_cap,total}', 'null') <> 'null' ORDER BY id
             ON CONFLICT DO NOTHING",
        )
        .bind(&missing)
        .execute(&mut *transaction)
        .await?;
    }
    let open = |(id, most): &&(&str, u32)| totals.get(*id).is_none_or(|shown| *shown < i64::from(*most));
    let open: Vec<&str> = capped.iter().filter(open).map(|(id, _)| *id).collect();
    if !open.is_empty() {
        let locked: Vec<(String, i64)> = sqlx::query_as(
            "/* totals.lock.campaign_totals.2 */ SELECT campaign_id, shown FROM campaign_totals WHERE campaign_id = ANY($1) ORDER BY campaign_id FOR UPDATE",
        )
        .bind(&open)
        .fetch_all(transaction)
        .await?;
        totals.extend(locked);
    }
    let of = |id: &str| totals.get(id).and_then(|shown| u64::try_from(*shown).ok()).unwrap_or(0);
    Ok(capped.iter().map(|(id, _)| (*id, of(id))).collect())
}

/// Adds what the walk showed.
pub async fn add(transaction: &mut PgConnection, more: &BTreeMap<&str, i64>) -> Result<(), sqlx::Error> {
    if more.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "/* totals.add */ UPDATE campaign_totals t SET shown = t.shown + m.more
           FROM unnest($1::text[], $2::bigint[]) AS m (id, more) WHERE t.campaign_id = m.id",
    )
    .bind(more.keys().copied().collect::<Vec<_>>())
    .bind(more.values().copied().collect::<Vec<_>>())
    .execute(transaction)
    .await?;
    Ok(())
}
