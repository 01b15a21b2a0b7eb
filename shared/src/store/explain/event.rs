//! The event that is explained: found among the stored ones, or only described.

use chrono::{DateTime, Days, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sqlx::FromRow;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::{iso, raw};
use crate::domain::event::{EventType, Flags};
use crate::domain::event_id::client_day;
use crate::domain::raw_object::RawObject;
use crate::domain::traits::Traits;
use crate::domain::user_key::{KeyKind, Placeholders, UserKey};

/// An event as somebody describes it: what if it came now?
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Described {
    /// Its name.
    pub event: String,
    /// Its properties.
    pub properties: Option<RawObject>,
    /// Its context.
    pub context: Option<RawObject>,
    /// Traits that the user would have by then, over those that are stored.
    pub traits: Option<RawObject>,
    /// When it would come: for schedules, and for lengths of time before it. Absent: now.
    pub timestamp: Option<DateTime<Utc>>,
}

/// An event as the answer shows it.
#[derive(Debug, Serialize)]
pub struct Event {
    /// Of a described one a made-up id.
    #[serde(skip_serializing_if = "Uuid::is_nil")]
    pub id: Uuid,
    /// Its name; null of one that has none.
    pub event: Option<String>,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    anonymous_id: Option<String>,
    timestamp: String,
    #[serde(rename = "received_at")]
    received: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    properties: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<Box<RawValue>>,
    #[serde(skip)]
    traits: Option<RawObject>,
    /// When it was received: the moment of its rules.
    #[serde(skip)]
    pub received_at: DateTime<Utc>,
    #[serde(skip)]
    happened_at: DateTime<Utc>,
    #[serde(skip)]
    flags: i16,
    /// The day it is filed under; of a described one none.
    #[serde(skip)]
    pub day: Option<NaiveDate>,
}

#[derive(FromRow)]
struct Row {
    day: NaiveDate,
    id: Uuid,
    kind: String,
    user_id: Option<String>,
    anonymous_id: Option<String>,
    event: Option<String>,
    message_id: Option<String>,
    timestamp: DateTime<Utc>,
    received_at: DateTime<Utc>,
    flags: i16,
    properties: Option<String>,
    context: Option<String>,
}

const COLUMNS: &str = r#"day, id, type AS kind, user_id, anonymous_id, event, message_id, "timestamp", received_at, flags,
    properties::text AS properties, context::text AS context"#;

/// Which rows of `events` are a user's, with the id as `$1` and the placeholders as `$2`.
pub fn whose(kind: KeyKind) -> &'static str {
    // The index is on coalesce(user_id, anonymous_id).
    match kind {
        KeyKind::User => "coalesce(user_id, anonymous_id) = $1 AND user_id = $1 AND $2::text[] IS NOT NULL",
        KeyKind::Anonymous => {
            "((coalesce(user_id, anonymous_id) = $1 AND user_id IS NULL)
              OR (coalesce(user_id, anonymous_id) = ANY($2) AND anonymous_id = $1 AND user_id IS NOT NULL))"
        }
    }
}

/// Finds a stored event by its id, its message id or the app's own event id; the latest, where several have it.
pub async fn find(
    snapshot: &mut PgConnection,
    user: Option<UserKey<'_>>,
    name: &str,
    placeholders: &Placeholders,
) -> Result<Option<Event>, sqlx::Error> {
    let id = Uuid::parse_str(name).ok();
    if let Some((id, day)) = id.and_then(|id| Some((id, client_day(id)?))) {
        // Nearly every event is filed under the day that leads its id.
        let days = [day.checked_sub_days(Days::new(1)), Some(day), day.checked_add_days(Days::new(1))];
        let sql = format!("/* event.find */ SELECT {COLUMNS} FROM events WHERE day = ANY($1) AND id = $2");
        let days: Vec<NaiveDate> = days.into_iter().flatten().collect();
        let row: Option<Row> = sqlx::query_as(&sql).bind(days).bind(id).fetch_optional(&mut *snapshot).await?;
        let event = row.map(Event::from);
        let is_theirs = |event: &Event| user.is_none() || user == event.key(placeholders);
        if let Some(event) = event.filter(is_theirs) {
            return Ok(Some(event));
        }
    }
    let Some(user) = user else { return Ok(None) };
    let sql = format!(
        r#"/* event.find.2 */ SELECT {COLUMNS} FROM events
            WHERE {} AND (id = $3 OR message_id = $4 OR event_id = $4) ORDER BY received_at DESC LIMIT 1"#,
        whose(user.kind)
    );
    let strangers: Vec<&str> = placeholders.ids().collect();
    let asked = sqlx::query_as(&sql).bind(user.id).bind(strangers).bind(id).bind(name);
    let row: Option<Row> = asked.fetch_optional(snapshot).await?;
    Ok(row.map(Event::from))
}

/// Makes an event of a description.
pub fn described(described: &Described, user: Option<UserKey<'_>>, now: DateTime<Utc>) -> Event {
    let at = described.timestamp.unwrap_or(now);
    let id = |kind| user.filter(|user| user.kind == kind).map(|user| user.id.to_owned());
    let object = |object: &Option<RawObject>| raw(object.as_ref().map(RawObject::to_json));
    Event {
        id: Uuid::nil(),
        event: Some(described.event.clone()),
        kind: EventType::Track.as_str(),
        message_id: None,
        user_id: id(KeyKind::User),
        anonymous_id: id(KeyKind::Anonymous),
        timestamp: iso(at),
        received: iso(at),
        properties: object(&described.properties),
        context: object(&described.context),
        traits: described.traits.clone(),
        received_at: at,
        happened_at: at,
        flags: 0,
        day: None,
    }
}

impl From<Row> for Event {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            event: row.event,
            kind: EventType::parse(&row.kind).map_or("", EventType::as_str),
            message_id: row.message_id,
            user_id: row.user_id,
            anonymous_id: row.anonymous_id,
            timestamp: iso(row.timestamp),
            received: iso(row.received_at),
            properties: raw(row.properties),
            context: raw(row.context),
            traits: None,
            received_at: row.received_at,
            happened_at: row.timestamp.min(row.received_at),
            flags: row.flags,
            day: Some(row.day),
        }
    }
}

impl Event {
    /// Is it in the database?
    pub fn is_stored(&self) -> bool {
        self.day.is_some()
    }

    /// Whose it is; `None` for a stranger.
    pub fn key(&self, placeholders: &Placeholders) -> Option<UserKey<'_>> {
        UserKey::of(self.user_id.as_deref(), self.anonymous_id.as_deref(), placeholders)
    }

    /// The name that triggers listen to.
    pub fn trigger(&self) -> Option<&str> {
        let named = matches!(EventType::parse(self.kind), Some(EventType::Track | EventType::Page | EventType::Screen));
        self.event.as_deref().filter(|_| named && !self.is_imported())
    }

    /// When it happened, for rules that count.
    pub fn happened_at(&self) -> DateTime<Utc> {
        self.happened_at
    }

    /// Its properties.
    pub fn properties(&self) -> Option<&RawValue> {
        self.properties.as_deref()
    }

    /// Its context.
    pub fn context(&self) -> Option<&RawValue> {
        self.context.as_deref()
    }

    /// Traits that a description adds.
    pub fn traits(&self) -> Option<Traits> {
        self.traits.clone()
    }

    /// What is special about it.
    pub fn notes(&self) -> Vec<String> {
        let imported = "the event is imported history, which is counted but sets off no campaign";
        if self.is_imported() { vec![imported.to_owned()] } else { Vec::new() }
    }

    fn is_imported(&self) -> bool {
        self.flags & Flags::IMPORTED.bits() != 0
    }
}
