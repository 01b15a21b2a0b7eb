//! Dead letters of erased keys: the letter stays, because the books count it, and everything in it goes.
//!
//! A letter that is an event is judged as an event. Of one that cannot be read, whose user nobody knows, the bytes are searched for
//! the id in the fields that carry ids.

use bytes::Bytes;
use shared::domain::event::Event;
use shared::domain::tombstone::Tombstone;
use shared::domain::user_key::Placeholders;
use sqlx::{FromRow, PgPool};

use super::{Bounds, Keys};
use crate::jobs::partitions::{Until, become_owner};

/// Letters that are looked at in one transaction.
const LETTERS_PER_BATCH: i64 = 500;

#[derive(FromRow)]
struct Letter {
    id: i64,
    payload: Vec<u8>,
}

/// Wipes all of them; says how many.
pub async fn sweep(pool: &PgPool, keys: &Keys<'_>, placeholders: &Placeholders) -> Result<u64, sqlx::Error> {
    let (mut after, mut wiped) = (0, 0);
    loop {
        let mut transaction = pool.begin().await?;
        let bounds = keys.lock(&mut transaction).await?;
        let needles: Vec<Vec<u8>> = bounds.ids.iter().flat_map(|id| needles(id)).collect();
        let letters: Vec<Letter> = sqlx::query_as(
            "SELECT id, payload FROM dead_letters
              WHERE id > $1 AND erased_at IS NULL
                AND (user_id = ANY($2) OR EXISTS (SELECT FROM unnest($3::bytea[]) AS n (needle) WHERE position(needle IN payload) > 0))
              ORDER BY id LIMIT $4",
        )
        .bind(after)
        .bind(&bounds.ids)
        .bind(needles)
        .bind(LETTERS_PER_BATCH)
        .fetch_all(&mut *transaction)
        .await?;
        let Some(last) = letters.last() else { return Ok(wiped) };
        after = last.id;
        let doomed: Vec<i64> =
            letters.iter().filter(|letter| concerns(&letter.payload, &bounds, placeholders)).map(|l| l.id).collect();
        become_owner(&mut transaction, Until::Commit).await?;
        let done = sqlx::query(
            "UPDATE dead_letters
                SET payload = '', user_id = NULL, event_id = NULL, reason = 'erased', erased_at = clock_timestamp(),
                    discarded_at = CASE WHEN redriven_at IS NULL THEN coalesce(discarded_at, clock_timestamp()) END,
                    discarded_by = CASE WHEN redriven_at IS NULL THEN coalesce(discarded_by, 'erasure') END
              WHERE id = ANY($1)",
        )
        .bind(&doomed)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        wiped += done.rows_affected();
    }
}

/// The fields that carry ids, as ingest writes them.
fn needles(id: &str) -> Vec<Vec<u8>> {
    let id = serde_json::to_string(id).unwrap_or_default();
    ["user_id", "anonymous_id", "key"].map(|field| format!("\"{field}\":{id}").into_bytes()).to_vec()
}

/// Does a letter that names one of the keys belong to it?
fn concerns(payload: &[u8], bounds: &Bounds, placeholders: &Placeholders) -> bool {
    let bytes = Bytes::copy_from_slice(payload);
    let Ok(event) = serde_json::from_slice::<Event<'_>>(&bytes) else { return true };
    let Some(key) = event.user_key(placeholders) else { return false };
    let keys = bounds.kinds.iter().zip(&bounds.ids).zip(&bounds.until);
    keys.into_iter().any(|((kind, id), until)| {
        (*kind, id.as_str()) == (key.kind.as_str(), key.id)
            && Tombstone { renewed_at: *until }.covers(event.happened_at())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds() -> Bounds {
        Bounds { kinds: vec!["user"], ids: vec!["1".to_owned()], until: vec![None] }
    }

    fn line(ids: &str) -> String {
        format!(
            r#"{{"id":"00000000-0000-8000-8000-000000000001","day":"2026-01-02","type":"track",{ids},
                 "timestamp":"2026-01-02T03:04:05Z","received_at":"2026-01-02T03:04:05Z","source":"s"}}"#
        )
    }

    #[test]
    fn a_letter_that_is_an_event_is_its_users_and_of_another_nobody_knows() {
        let concerns = |text: &str| concerns(text.as_bytes(), &bounds(), &Placeholders::default());
        assert!(concerns(&line(r#""user_id":"1""#)));
        assert!(!concerns(&line(r#""user_id":"2","anonymous_id":"1""#)));
        assert!(!concerns(&line(r#""anonymous_id":"1""#)));
        assert!(concerns(r#"{"user_id":"1", half a line"#));
    }
}
