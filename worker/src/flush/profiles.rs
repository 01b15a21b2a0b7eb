//! Profiles in the database: reading the traits that a match needs, merging patches, linking ids.
//!
//! Only the owner of a user's partition writes here, so there is no contention; keys go in order all the same.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use shared::domain::traits::Traits;
use shared::domain::user_key::UserKey;
use sqlx::PgConnection;

/// Reads the stored traits of these users; one without a row has none.
pub async fn read<'a>(
    transaction: &mut PgConnection,
    keys: &BTreeSet<UserKey<'a>>,
) -> Result<HashMap<UserKey<'a>, Traits>, sqlx::Error> {
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    let rows: Vec<(i64, String)> = sqlx::query_as(
        "/* profiles.read */ SELECT k.place, u.traits::text FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS k (kind, id, place)
           JOIN users u ON u.kind = k.kind AND u.id = k.id",
    )
    .bind(keys.iter().map(|k| k.kind.as_str()).collect::<Vec<_>>())
    .bind(keys.iter().map(|k| k.id).collect::<Vec<_>>())
    .fetch_all(transaction)
    .await?;
    let keys: Vec<UserKey<'a>> = keys.iter().copied().collect();
    let mut traits: HashMap<_, _> = keys.iter().map(|&key| (key, Traits::default())).collect();
    for (place, text) in rows {
        let key = usize::try_from(place - 1).ok().and_then(|at| keys.get(at));
        if let (Some(&key), Ok(stored)) = (key, Traits::parse(&text)) {
            traits.insert(key, stored);
        }
    }
    Ok(traits)
}

/// Merges patches into the stored traits, per top-level key.
pub async fn merge(transaction: &mut PgConnection, patches: &BTreeMap<UserKey<'_>, Traits>) -> Result<(), sqlx::Error> {
    write(
        transaction,
        patches,
        "/* profiles.merge */ INSERT INTO users AS u (kind, id, traits)
         SELECT kind, id, traits::jsonb FROM unnest($1::text[], $2::text[], $3::text[]) AS p (kind, id, traits)
         ON CONFLICT (kind, id) DO UPDATE SET traits = u.traits || excluded.traits, updated_at = now()",
    )
    .await
}

/// Adds traits for keys that nothing is known of; what is stored stays. After [`merge`], so that what came live wins.
pub async fn fill(transaction: &mut PgConnection, fills: &BTreeMap<UserKey<'_>, Traits>) -> Result<(), sqlx::Error> {
    write(
        transaction,
        fills,
        "/* profiles.fill */ INSERT INTO users AS u (kind, id, traits)
         SELECT kind, id, traits::jsonb FROM unnest($1::text[], $2::text[], $3::text[]) AS p (kind, id, traits)
         ON CONFLICT (kind, id) DO UPDATE SET traits = excluded.traits || u.traits, updated_at = now()",
    )
    .await
}

async fn write(
    transaction: &mut PgConnection,
    patches: &BTreeMap<UserKey<'_>, Traits>,
    statement: &'static str,
) -> Result<(), sqlx::Error> {
    if patches.is_empty() {
        return Ok(());
    }
    sqlx::query(statement)
        .bind(patches.keys().map(|k| k.kind.as_str()).collect::<Vec<_>>())
        .bind(patches.keys().map(|k| k.id).collect::<Vec<_>>())
        .bind(patches.values().map(Traits::to_json).collect::<Vec<_>>())
        .execute(transaction)
        .await?;
    Ok(())
}

/// Records that ids are one person.
pub async fn link(transaction: &mut PgConnection, links: &BTreeSet<(&str, &str)>) -> Result<(), sqlx::Error> {
    if links.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "/* profiles.link */ INSERT INTO identity_links (user_id, anonymous_id)
         SELECT * FROM unnest($1::text[], $2::text[]) ON CONFLICT DO NOTHING",
    )
    .bind(links.iter().map(|l| l.0).collect::<Vec<_>>())
    .bind(links.iter().map(|l| l.1).collect::<Vec<_>>())
    .execute(transaction)
    .await?;
    Ok(())
}
