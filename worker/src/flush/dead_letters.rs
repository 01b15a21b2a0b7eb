//! Events that could not be stored: kept with their payload and the reason, in the transaction that passed over them.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use shared::domain::event::Event;
use shared::domain::limits;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::own::buffer::{Damaged, Line};

/// Longest reason that is kept, in bytes.
const REASON_BYTES: usize = 2_000;

/// One event (or a whole message that cannot be read) put aside.
#[derive(Debug)]
pub struct DeadLetter<'a> {
    /// The event's id, if it could be read.
    pub event_id: Option<Uuid>,
    /// Whose event it is, or of which visitor, if that could be read.
    pub user_id: Option<String>,
    /// The message.
    pub seq: i64,
    /// The partition it counts for.
    pub partition: i32,
    /// The line within the partition's segment.
    pub position: i32,
    /// How many events it stands for.
    pub events: u64,
    /// The database's reason, if it was the database.
    pub sqlstate: Option<String>,
    /// For a person.
    pub reason: String,
    /// As it lay in the stream.
    pub payload: &'a [u8],
    /// When the message was sealed; when the stream took it, if even that cannot be read.
    pub received_at: DateTime<Utc>,
}

impl<'a> DeadLetter<'a> {
    /// One line of a message.
    #[must_use]
    pub fn line(line: &'a Line, event: Option<&Event<'_>>, sqlstate: Option<String>, reason: String) -> Self {
        let user_id = event.and_then(|event| event.user_id.as_ref().or(event.anonymous_id.as_ref()));
        Self {
            event_id: event.map(|event| event.id),
            user_id: user_id.map(|id| id.to_string()),
            seq: line.seq,
            partition: line.partition,
            position: line.position,
            events: 1,
            sqlstate,
            reason,
            payload: &line.bytes,
            received_at: line.sealed_at,
        }
    }

    /// A whole message, counted for the partition whose owner answers for it.
    #[must_use]
    pub fn message(damaged: &'a Damaged, warden: i32) -> Self {
        Self {
            event_id: None,
            user_id: None,
            seq: damaged.seq,
            partition: warden,
            position: 0,
            events: damaged.events,
            sqlstate: None,
            reason: damaged.reason.clone(),
            payload: &damaged.payload,
            received_at: damaged.published,
        }
    }

    /// Where it lay, as `(seq, partition, position)`.
    #[must_use]
    pub fn place(&self) -> (i64, i32, i32) {
        (self.seq, self.partition, self.position)
    }
}

/// Inserts dead letters. Gives back the places of those that were there already, because a replay brought their events again. An event
/// that was put aside before names its last letter. What was erased from a letter does not come back.
pub async fn insert(
    transaction: &mut PgConnection,
    lane: i32,
    dead: &[DeadLetter<'_>],
) -> Result<HashSet<(i64, i32, i32)>, sqlx::Error> {
    let mut known = HashSet::new();
    for letter in dead {
        let inserted = sqlx::query(
            "/* dead_letters.insert */ INSERT INTO dead_letters (event_id, lane, stream_seq, partition, position, events, sqlstate, reason, payload, received_at,
                                       user_id, previous_id)
             SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, (SELECT max(id) FROM dead_letters WHERE event_id = $1)
              WHERE NOT EXISTS (SELECT FROM dead_letters WHERE lane = $2 AND stream_seq = $3 AND partition = $4 AND position = $5
                                   AND erased_at IS NOT NULL)
             ON CONFLICT DO NOTHING",
        )
        .bind(letter.event_id)
        .bind(lane)
        .bind(letter.seq)
        .bind(letter.partition)
        .bind(letter.position)
        .bind(i32::try_from(letter.events).unwrap_or(i32::MAX))
        .bind(letter.sqlstate.as_deref())
        .bind(storable(&letter.reason, REASON_BYTES))
        .bind(letter.payload)
        .bind(letter.received_at)
        .bind(letter.user_id.as_deref().map(|id| storable(id, limits::ID_BYTES)))
        .execute(&mut *transaction)
        .await?;
        if inserted.rows_affected() == 0 {
            known.insert(letter.place());
            continue;
        }
        tracing::error!(
            stream_seq = letter.seq,
            partition = letter.partition,
            sqlstate = letter.sqlstate,
            "an event was put aside"
        );
    }
    Ok(known)
}

/// What a person reads must itself be storable.
fn storable(text: &str, most_bytes: usize) -> String {
    let mut text = text.replace('\0', "\u{fffd}");
    text.truncate(text.floor_char_boundary(most_bytes));
    text
}
