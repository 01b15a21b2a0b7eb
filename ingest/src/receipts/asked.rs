//! Which event a receipt is asked for, and whether a decoded event is that one.

use chrono::{NaiveDate, NaiveDateTime};
use http::HeaderMap;
use shared::domain::event::{Event, EventType};
use shared::domain::event_id::{Name, event_id};
use shared::domain::limits;
use shared::domain::timestamp::{parse_number, parse_text};
use shared::domain::user_key::{Placeholders, UserKey};
use uuid::Uuid;

use crate::admin::stored_events::oldest_day;
use crate::app::App;
use crate::identity;
use crate::keys::{Caller, Role};
use crate::problem::{Kind, Problem};
use crate::query::Query;

/// A question.
#[derive(Debug)]
pub struct Asked {
    /// As sent.
    pub name: String,
    /// Ours, when the name is one.
    pub id: Option<Uuid>,
    /// Whose.
    pub user_id: Option<String>,
    /// Whose, when nobody was logged in.
    pub anonymous_id: Option<String>,
    /// The ids that an event of this name and time would have, one per type; none without a time.
    pub ids: Vec<Uuid>,
    /// Where the user's events lie; `None` for strangers.
    pub partition: Option<u16>,
    /// Days before it are not shown.
    pub oldest_day: NaiveDate,
    /// Only events of this source.
    source: Option<String>,
    placeholders: Placeholders,
}

impl Asked {
    /// Reads a question, and whether this caller may ask it.
    pub fn read(
        app: &App,
        name: &str,
        caller: &Caller,
        headers: &HeaderMap,
        query: &Query<'_>,
    ) -> Result<Self, Problem> {
        let invalid = |message: &'static str| Problem::new(Kind::InvalidParameter, message);
        if name.len() > limits::ID_BYTES || name.contains('\0') {
            return Err(invalid("the message id must be at most 255 bytes, without a zero byte"));
        }
        let placeholders = &app.settings.pipeline.placeholders;
        let (user_id, anonymous_id) = (query.id("user_id")?.or(query.id("userId")?), query.id("anonymous_id")?);
        let id = name.parse::<Uuid>().ok().filter(|id| id.get_version_num() == 8);
        if user_id.or(anonymous_id).is_none() && (id.is_none() || caller.role != Role::Admin) {
            return Err(invalid("say whose event it was: user_id, or anonymous_id when nobody was logged in"));
        }
        let key = UserKey::of(user_id, anonymous_id, placeholders);
        identity::verify(caller, key, headers, query)?;
        let ids = match query.text("timestamp") {
            None => Vec::new(),
            Some(text) => {
                ids(name, key, text).ok_or_else(|| invalid("timestamp must be the event's own time, as sent"))?
            }
        };
        Ok(Self {
            name: name.to_owned(),
            id,
            user_id: user_id.map(str::to_owned),
            anonymous_id: anonymous_id.map(str::to_owned),
            ids: id.map_or(ids, |id| vec![id]),
            partition: key.map(|key| key.partition(app.publisher.layout().partitions)),
            oldest_day: oldest_day(app),
            source: (caller.role == Role::Client).then(|| caller.source.to_string()),
            placeholders: placeholders.clone(),
        })
    }

    /// Whose event it was; `None` for a stranger, or when only an id of ours is given.
    #[must_use]
    pub fn key(&self) -> Option<UserKey<'_>> {
        UserKey::of(self.user_id.as_deref(), self.anonymous_id.as_deref(), &self.placeholders)
    }

    /// Is an event with these ids theirs?
    #[must_use]
    pub fn is_theirs(&self, user_id: Option<&str>, anonymous_id: Option<&str>) -> bool {
        let anybody = self.user_id.is_none() && self.anonymous_id.is_none();
        let key = UserKey::of(self.user_id.as_deref(), self.anonymous_id.as_deref(), &self.placeholders);
        anybody || UserKey::of(user_id, anonymous_id, &self.placeholders) == key
    }

    /// May the caller know of events that came with this key?
    #[must_use]
    pub fn may_see(&self, source: &str) -> bool {
        self.source.as_ref().is_none_or(|own| own == source)
    }

    /// Is it this event?
    #[must_use]
    pub fn is(&self, event: &Event<'_>) -> bool {
        let named = self.id == Some(event.id)
            || [&event.message_id, &event.event_id].into_iter().any(|name| name.as_deref() == Some(&self.name));
        named && self.is_theirs(event.user_id.as_deref(), event.anonymous_id.as_deref()) && self.may_see(&event.source)
    }
}

/// What an event would be called that was sent with this message id and time; `None` when the time cannot be read.
fn ids(message_id: &str, key: Option<UserKey<'_>>, time: &str) -> Option<Vec<Uuid>> {
    // The plus sign of a zone that was not encoded has become a space.
    let read = |text: &str| text.parse().map_or_else(|_| parse_text(text), parse_number).as_written();
    let time: NaiveDateTime = read(time).or_else(|| read(&time.replace(' ', "+")))?;
    Some(EventType::ALL.map(|kind| event_id(kind, key, Name::MessageId(message_id), Some(time))).to_vec())
}
