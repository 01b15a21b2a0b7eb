//! Letters of an event that could not be stored.

use chrono::{DateTime, Utc};
use serde::Serialize;
use shared::domain::event::Event;
use shared::store::dead_letters::COLUMNS;
use sqlx::FromRow;
use sqlx::postgres::PgConnection;
use utoipa::ToSchema;
use uuid::Uuid;

use super::asked::Asked;

/// So many of the latest letters of its partition are looked through.
const MOST_LETTERS: i64 = 1_000;

/// A letter, as a receipt shows it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeadReceipt)]
pub struct Dead {
    /// For `/v1/admin/dead-letters/{id}`.
    dead_letter_id: i64,
    /// Ours.
    id: Uuid,
    #[schema(required)]
    sqlstate: Option<String>,
    reason: String,
    received_at: DateTime<Utc>,
    dead_at: DateTime<Utc>,
    /// `open`; `redriven`: it went through the stream again; or `discarded`: it stays dead.
    state: String,
    #[schema(required)]
    redriven_at: Option<DateTime<Utc>>,
    #[schema(required)]
    discarded_at: Option<DateTime<Utc>>,
}

#[derive(FromRow)]
struct Letter {
    id: i64,
    sqlstate: Option<String>,
    reason: String,
    payload: Vec<u8>,
    received_at: DateTime<Utc>,
    created_at: DateTime<Utc>,
    state: String,
    redriven_at: Option<DateTime<Utc>>,
    discarded_at: Option<DateTime<Utc>>,
}

/// Reads the letters, latest first. A message that could not be read at all is nobody's letter.
pub async fn read(
    connection: &mut PgConnection,
    asked: &Asked,
    notes: &mut Vec<String>,
) -> Result<Vec<Dead>, sqlx::Error> {
    let sql = format!(
        "/* dead.read */ SELECT {COLUMNS}, payload FROM dead_letters WHERE ($1::integer IS NULL OR partition = $1) ORDER BY id DESC LIMIT $2"
    );
    let letters: Vec<Letter> =
        sqlx::query_as(&sql).bind(asked.partition.map(i32::from)).bind(MOST_LETTERS).fetch_all(connection).await?;
    if i64::try_from(letters.len()).is_ok_and(|count| count >= MOST_LETTERS) {
        notes.push(format!("only the latest {MOST_LETTERS} dead letters of its partition were looked through"));
    }
    let dead = letters.into_iter().filter_map(|letter| {
        let event: Event<'_> = serde_json::from_slice(&letter.payload).ok().filter(|event| asked.is(event))?;
        Some(Dead {
            dead_letter_id: letter.id,
            id: event.id,
            sqlstate: letter.sqlstate,
            reason: letter.reason,
            received_at: letter.received_at,
            dead_at: letter.created_at,
            state: letter.state,
            redriven_at: letter.redriven_at,
            discarded_at: letter.discarded_at,
        })
    });
    Ok(dead.collect())
}
