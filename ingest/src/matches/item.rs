//! One match as apps are given it, in lists and in streams.

use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use serde_json::value::RawValue;
use shared::domain::campaign::Compiled;
use utoipa::ToSchema;
use uuid::Uuid;

/// Names a match: its event and its campaign.
pub type MatchId = (Uuid, String);

/// A match that is given. It holds the campaign of just now, so it should not be kept for long.
#[derive(Debug, Clone)]
pub struct Item {
    /// The campaign.
    pub campaign: Arc<Compiled>,
    /// Which of its variants.
    pub variant: Option<usize>,
    /// The event that matched.
    pub event_id: Uuid,
    /// Its name, unless its row is gone.
    pub event: Option<String>,
    /// When the worker decided it.
    pub matched_at: DateTime<Utc>,
    /// When it is too late.
    pub expires_at: DateTime<Utc>,
    /// For a test user, of a campaign that is not active.
    pub is_preview: bool,
}

/// The JSON of it.
#[derive(Serialize, ToSchema)]
#[schema(as = WaitingMatch)]
pub struct Shown<'a> {
    /// For `POST /v1/matches/ack`: the event's id, a full stop, the campaign's id.
    id: String,
    event_id: Uuid,
    /// The event's name; null when it is not kept any more.
    #[schema(required)]
    event: Option<&'a str>,
    #[schema(format = DateTime)]
    matched_at: String,
    /// It should not be shown any more then.
    #[schema(format = DateTime)]
    expires_at: String,
    /// `show`, or `preview` for a test user.
    disposition: &'static str,
    /// As the reply to a track has it, with the user's variant.
    #[schema(value_type = Object)]
    campaign: Option<&'a RawValue>,
}

impl Item {
    /// What acknowledges it.
    #[must_use]
    pub fn id(&self) -> MatchId {
        (self.event_id, self.campaign.id.clone())
    }

    /// As JSON.
    #[must_use]
    pub fn shown(&self) -> Shown<'_> {
        let iso = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Millis, true);
        Shown {
            id: write_id(self.event_id, &self.campaign.id),
            event_id: self.event_id,
            event: self.event.as_deref(),
            matched_at: iso(self.matched_at),
            expires_at: iso(self.expires_at),
            disposition: if self.is_preview { "preview" } else { "show" },
            campaign: self.campaign.object(self.variant),
        }
    }
}

/// The id of a match.
#[must_use]
pub fn write_id(event_id: Uuid, campaign_id: &str) -> String {
    format!("{event_id}.{campaign_id}")
}

/// Reads that.
#[must_use]
pub fn read_id(id: &str) -> Option<MatchId> {
    let (event_id, campaign_id) = id.split_once('.')?;
    let is_text = !campaign_id.is_empty() && !campaign_id.contains('\0');
    Some((event_id.parse().ok()?, campaign_id.to_owned())).filter(|_| is_text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_was_written() {
        for campaign in ["5259000f-b320-46e5-8b51-f33a89cab7f4", "a.b", "64f0"] {
            let id = (Uuid::max(), campaign.to_owned());
            assert_eq!(read_id(&write_id(id.0, &id.1)), Some(id));
        }
        for wrong in ["", ".", "x.c", "ffffffff-ffff-ffff-ffff-ffffffffffff", "ffffffff-ffff-ffff-ffff-ffffffffffff."] {
            assert_eq!(read_id(wrong), None, "{wrong}");
        }
    }
}
