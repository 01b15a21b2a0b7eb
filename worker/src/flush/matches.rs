//! The rows that come of matching: `matches`, and `conversions` of earlier ones.

use chrono::{DateTime, NaiveDate, Utc};
use shared::domain::place::Place;
use shared::domain::user_key::UserKey;
use sqlx::PgConnection;
use uuid::Uuid;

use super::rows::ROWS_PER_STATEMENT;

/// One event matched one campaign.
#[derive(Debug, PartialEq, Eq)]
pub struct Match<'a> {
    /// The event.
    pub event_id: Uuid,
    /// The campaign.
    pub campaign_id: &'a str,
    /// In which version.
    pub campaign_version: i64,
    /// The day its row is under.
    pub day: NaiveDate,
    /// Whose event it is.
    pub user: Option<UserKey<'a>>,
    /// Arm of an A/B test.
    pub variant: Option<&'a str>,
    /// `show`, `hold_out` or `preview`.
    pub disposition: &'static str,
    /// When the event was received.
    pub received_at: DateTime<Utc>,
    /// Where the event lies.
    pub place: Place,
}

impl<'a> Match<'a> {
    /// Whose app may fetch it, if anybody's.
    #[must_use]
    pub fn receiver(&self) -> Option<UserKey<'a>> {
        self.user.filter(|_| self.disposition != "hold_out")
    }
}

/// One goal event followed one match.
#[derive(Debug, PartialEq, Eq)]
pub struct Conversion<'a> {
    /// The campaign.
    pub campaign_id: &'a str,
    /// The event that had matched.
    pub match_event_id: Uuid,
    /// The goal event.
    pub event_id: Uuid,
    /// The day its row is under.
    pub day: NaiveDate,
    /// Whose event it is.
    pub user: UserKey<'a>,
    /// When it was received.
    pub converted_at: DateTime<Utc>,
}

/// Inserts matches, each once per event and campaign.
pub async fn insert(transaction: &mut PgConnection, matches: &[Match<'_>]) -> Result<(), sqlx::Error> {
    for chunk in matches.chunks(ROWS_PER_STATEMENT) {
        sqlx::query(
            "/* matches.insert */ INSERT INTO matches (event_id, campaign_id, campaign_version, day, user_kind, user_id, variant, disposition, received_at,
                                  stream_generation, stream_seq, stream_index)
             SELECT * FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::date[], $5::text[], $6::text[], $7::text[], $8::text[],
                                  $9::timestamptz[], $10::bigint[], $11::bigint[], $12::int[])
             ON CONFLICT DO NOTHING",
        )
        .bind(chunk.iter().map(|m| m.event_id).collect::<Vec<_>>())
        .bind(chunk.iter().map(|m| m.campaign_id).collect::<Vec<_>>())
        .bind(chunk.iter().map(|m| m.campaign_version).collect::<Vec<_>>())
        .bind(chunk.iter().map(|m| m.day).collect::<Vec<_>>())
        .bind(chunk.iter().map(|m| m.user.map(|u| u.kind.as_str())).collect::<Vec<_>>())
        .bind(chunk.iter().map(|m| m.user.map(|u| u.id)).collect::<Vec<_>>())
        .bind(chunk.iter().map(|m| m.variant).collect::<Vec<_>>())
        .bind(chunk.iter().map(|m| m.disposition).collect::<Vec<_>>())
        .bind(chunk.iter().map(|m| m.received_at).collect::<Vec<_>>())
        .bind(chunk.iter().map(|m| m.place.generation).collect::<Vec<_>>())
        .bind(chunk.iter().map(|m| m.place.sequence).collect::<Vec<_>>())
        .bind(chunk.iter().map(|m| m.place.index).collect::<Vec<_>>())
        .execute(&mut *transaction)
        .await?;
    }
    Ok(())
}

/// Inserts conversions, each match at most once.
pub async fn convert(transaction: &mut PgConnection, conversions: &[Conversion<'_>]) -> Result<(), sqlx::Error> {
    for chunk in conversions.chunks(ROWS_PER_STATEMENT) {
        sqlx::query(
            "/* matches.convert */ INSERT INTO conversions (campaign_id, match_event_id, event_id, day, user_kind, user_id, converted_at)
             SELECT * FROM unnest($1::text[], $2::uuid[], $3::uuid[], $4::date[], $5::text[], $6::text[], $7::timestamptz[])
             ON CONFLICT DO NOTHING",
        )
        .bind(chunk.iter().map(|c| c.campaign_id).collect::<Vec<_>>())
        .bind(chunk.iter().map(|c| c.match_event_id).collect::<Vec<_>>())
        .bind(chunk.iter().map(|c| c.event_id).collect::<Vec<_>>())
        .bind(chunk.iter().map(|c| c.day).collect::<Vec<_>>())
        .bind(chunk.iter().map(|c| c.user.kind.as_str()).collect::<Vec<_>>())
        .bind(chunk.iter().map(|c| c.user.id).collect::<Vec<_>>())
        .bind(chunk.iter().map(|c| c.converted_at).collect::<Vec<_>>())
        .execute(&mut *transaction)
        .await?;
    }
    Ok(())
}
