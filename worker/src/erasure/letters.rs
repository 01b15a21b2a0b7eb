//! Dead letters of erased keys: the letter stays, because the books count it, and everything in it goes.
//!
//! A letter that is an event is judged as an event. Of one that cannot be read, whose user nobody knows, the bytes are searched for
//! the id in the fields that carry ids. From a whole message that can be read by now only their lines go: the others can still be
//! driven again.

use bytes::Bytes;
use shared::domain::event::Event;
use shared::domain::message::{self, SPECIAL_VERSION};
use shared::domain::tombstone::Tombstone;
use shared::domain::user_key::Placeholders;
use sqlx::{FromRow, PgConnection, PgPool};

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
            "/* letters.sweep */ SELECT id, payload FROM dead_letters
              WHERE id > $1 AND payload <> ''
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
        become_owner(&mut transaction, Until::Commit).await?;
        for letter in &letters {
            let left = match rest(&letter.payload, &bounds, placeholders) {
                Rest::All => continue,
                Rest::Lines(payload) => Some(payload),
                Rest::Nothing => None,
            };
            wipe(&mut transaction, letter.id, left).await?;
            wiped += 1;
        }
        transaction.commit().await?;
    }
}

/// Empties a letter, or leaves the lines of others in it, which can still be driven again.
async fn wipe(transaction: &mut PgConnection, id: i64, left: Option<Vec<u8>>) -> Result<(), sqlx::Error> {
    let statement = match left {
        Some(_) => "/* letters.wipe.dead_letters */ UPDATE dead_letters SET payload = $2, erased_at = clock_timestamp() WHERE id = $1",
        None => {
            "/* letters.wipe.dead_letters.2 */ UPDATE dead_letters
                SET payload = coalesce($2, ''), user_id = NULL, event_id = NULL, reason = 'erased', erased_at = clock_timestamp(),
                    discarded_at = CASE WHEN redriven_at IS NULL THEN coalesce(discarded_at, clock_timestamp()) END,
                    discarded_by = CASE WHEN redriven_at IS NULL THEN coalesce(discarded_by, 'erasure') END
              WHERE id = $1"
        }
    };
    sqlx::query(statement).bind(id).bind(left).execute(transaction).await?;
    Ok(())
}

/// The fields that carry ids, as ingest writes them.
fn needles(id: &str) -> Vec<Vec<u8>> {
    let id = serde_json::to_string(id).unwrap_or_default();
    ["user_id", "anonymous_id", "key"].map(|field| format!("\"{field}\":{id}").into_bytes()).to_vec()
}

/// What is left of a letter.
#[derive(Debug, PartialEq, Eq)]
enum Rest {
    /// It is not theirs.
    All,
    /// A message without their lines.
    Lines(Vec<u8>),
    /// It is theirs alone, or nobody can tell.
    Nothing,
}

/// What is left of a letter that names one of the keys.
fn rest(payload: &[u8], bounds: &Bounds, placeholders: &Placeholders) -> Rest {
    let bytes = Bytes::copy_from_slice(payload);
    let Ok(message) = message::decode(&bytes) else {
        return if concerns(payload, bounds, placeholders) { Rest::Nothing } else { Rest::All };
    };
    let lines = message.segments.iter().flat_map(|segment| segment.lines().map(|line| (segment.partition, line)));
    let (theirs, others): (Vec<_>, Vec<_>) = lines.partition(|(_, line)| concerns_line(line, bounds, placeholders));
    match (theirs.is_empty(), others.is_empty()) {
        (true, _) => Rest::All,
        (_, true) => Rest::Nothing,
        _ => {
            let lines = others.iter().map(|(partition, line)| (*partition, line.as_ref()));
            Rest::Lines(message::encode(SPECIAL_VERSION, message.received_at, lines))
        }
    }
}

/// Is a line of a message theirs? One that is no event only if it names one of them.
fn concerns_line(line: &[u8], bounds: &Bounds, placeholders: &Placeholders) -> bool {
    let names = || bounds.ids.iter().flat_map(|id| needles(id)).any(|needle| contains(line, &needle));
    concerns(line, bounds, placeholders) && names()
}

fn contains(text: &[u8], needle: &[u8]) -> bool {
    text.windows(needle.len()).any(|window| window == needle)
}

/// Is an event theirs? Of what cannot be read nobody knows better.
fn concerns(payload: &[u8], bounds: &Bounds, placeholders: &Placeholders) -> bool {
    let Ok(event) = serde_json::from_slice::<Event<'_>>(payload) else { return true };
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
        Bounds { kinds: vec!["user"], ids: vec!["1".to_owned()], until: vec![None], ..Bounds::default() }
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

    #[test]
    fn of_a_whole_message_the_lines_of_others_stay() {
        let (hers, his) = (line(r#""user_id":"1""#).replace('\n', ""), line(r#""user_id":"2""#).replace('\n', ""));
        let encode = |lines: &[&str]| {
            message::encode(
                SPECIAL_VERSION,
                chrono::DateTime::UNIX_EPOCH,
                lines.iter().map(|line| (3, line.as_bytes())),
            )
        };
        let rest = |lines: &[&str]| rest(&encode(lines), &bounds(), &Placeholders::default());
        assert_eq!(rest(&[&his, &hers, "rubbish"]), Rest::Lines(encode(&[&his, "rubbish"])));
        assert_eq!(rest(&[&his]), Rest::All);
        assert_eq!(rest(&[&hers, r#"{"user_id":"1", half"#]), Rest::Nothing);
    }
}
