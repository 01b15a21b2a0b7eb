//! What receivers are to be told of a flush: rows of `webhook_deliveries`, in the transaction of the matches and conversions they tell of.
//!
//! Only of matches that were shown: not of previews, held-out users, or what these did on their own. The row holds no more than what
//! finds the match and the event again; [`crate::webhooks`] sends it.

use chrono::{DateTime, NaiveDate, Utc};
use shared::domain::webhook::{Kind, delivery_id};
use sqlx::PgConnection;
use uuid::Uuid;

use super::rows::ROWS_PER_STATEMENT;

/// One message to one receiver.
#[derive(Debug, PartialEq, Eq)]
pub struct Outgoing<'a> {
    /// What it tells.
    pub kind: Kind,
    /// The campaign whose receiver it is.
    pub campaign_id: &'a str,
    /// The event that matched, or that is the goal.
    pub event_id: Uuid,
    /// The event that matched.
    pub match_event_id: Uuid,
    /// The day the event's row is under.
    pub day: NaiveDate,
    /// When it was received.
    pub received_at: DateTime<Utc>,
}

/// Adds them in order, each once per kind, event and campaign. Comes behind the matches, which tell what was shown, and to whom.
pub async fn insert(transaction: &mut PgConnection, outgoing: &[Outgoing<'_>]) -> Result<(), sqlx::Error> {
    for chunk in outgoing.chunks(ROWS_PER_STATEMENT) {
        sqlx::query(
            "/* outbox.insert */ INSERT INTO webhook_deliveries (id, kind, campaign_id, campaign_version, event_id, match_event_id, day,
                                            user_kind, user_id, variant, occurred_at)
             SELECT o.id, o.kind, m.campaign_id, m.campaign_version, o.event_id, m.event_id, o.day, m.user_kind, m.user_id, m.variant, o.at
               FROM unnest($1::uuid[], $2::text[], $3::text[], $4::uuid[], $5::uuid[], $6::date[], $7::timestamptz[]) WITH ORDINALITY
                 AS o (id, kind, campaign_id, event_id, match_event_id, day, at, place)
               JOIN matches m ON m.event_id = o.match_event_id AND m.campaign_id = o.campaign_id AND m.disposition = 'show'
              ORDER BY o.place
             ON CONFLICT (id) DO NOTHING",
        )
        .bind(chunk.iter().map(|o| delivery_id(o.kind, o.event_id, o.campaign_id)).collect::<Vec<_>>())
        .bind(chunk.iter().map(|o| o.kind.as_str()).collect::<Vec<_>>())
        .bind(chunk.iter().map(|o| o.campaign_id).collect::<Vec<_>>())
        .bind(chunk.iter().map(|o| o.event_id).collect::<Vec<_>>())
        .bind(chunk.iter().map(|o| o.match_event_id).collect::<Vec<_>>())
        .bind(chunk.iter().map(|o| o.day).collect::<Vec<_>>())
        .bind(chunk.iter().map(|o| o.received_at).collect::<Vec<_>>())
        .execute(&mut *transaction)
        .await?;
    }
    Ok(())
}
