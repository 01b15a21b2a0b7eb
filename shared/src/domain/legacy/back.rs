//! The way back: what is stored here, in the shapes of the old store.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::value::RawValue;

use crate::domain::raw_object::RawObject;

/// A campaign or segment. The old server fails for everybody over rules that are no array, or hold a null: those become a rule that
/// never holds.
pub fn document(
    document: &RawObject,
    id: &str,
    created_at: DateTime<Utc>,
    updated_at: Option<DateTime<Utc>>,
) -> serde_json::Result<RawObject> {
    let iso = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Millis, true);
    let mut object = document.clone();
    object.set("id", id)?;
    object.set("createdAt", &iso(created_at))?;
    if let Some(updated_at) = updated_at {
        object.set("updatedAt", &iso(updated_at))?;
    }
    Ok(object)
}

/// A campaign: a [`document`] whose rules the old server can read.
pub fn campaign(
    campaign: &RawObject,
    id: &str,
    created_at: DateTime<Utc>,
    updated_at: Option<DateTime<Utc>>,
) -> serde_json::Result<RawObject> {
    let mut object = document(campaign, id, created_at, updated_at)?;
    // The old server would give it to apps.
    object.remove("webhook");
    let Some(rules) = object.get("rules").map(ToOwned::to_owned) else { return Ok(object) };
    match serde_json::from_str::<Option<Vec<&RawValue>>>(rules.get()) {
        Ok(Some(listed)) if listed.iter().any(|rule| rule.get() == "null") => {
            let never = RawValue::from_string("{}".to_owned())?;
            let listed: Vec<&RawValue> =
                listed.into_iter().map(|rule| if rule.get() == "null" { &*never } else { rule }).collect();
            object.set("rules", &listed)?;
        }
        Ok(_) => {}
        Err(_) => object.set("rules", &[rules])?,
    }
    Ok(object)
}

/// A flag: it stands under its key.
#[must_use]
pub fn flag(flag: &RawObject) -> RawObject {
    let mut object = flag.clone();
    object.remove("key");
    object
}

/// A stored event as far as the old server knew events.
#[derive(Debug)]
pub struct Event<'a> {
    /// Its id here.
    pub id: &'a str,
    /// The user, or else the visitor.
    pub user: &'a str,
    /// Its name, or its type.
    pub name: &'a str,
    /// As stored.
    pub properties: Option<&'a str>,
    /// When it happened, in milliseconds.
    pub ts: i64,
    /// Of one that was imported: the other fields it came with.
    pub others: Option<Others<'a>>,
}

/// Fields that the old server had not asked for.
#[derive(Debug)]
pub struct Others<'a> {
    /// `event_id`.
    pub event_id: Option<&'a str>,
    /// `timestamp`.
    pub timestamp: Option<&'a str>,
    /// The rest, as one object.
    pub extra: Option<&'a str>,
}

/// An event, as one line.
pub fn event(event: &Event<'_>) -> serde_json::Result<String> {
    let text = |text: &str| serde_json::Value::from(text).to_string();
    let mut line = format!(
        r#"{{"id":{},"user_id":{},"event":{},"properties":{},"ts":{}"#,
        text(event.id),
        text(event.user),
        text(event.name),
        event.properties.unwrap_or("{}"),
        event.ts
    );
    if let Some(others) = &event.others {
        for (key, value) in [("event_id", others.event_id), ("timestamp", others.timestamp)] {
            if let Some(value) = value {
                line.push_str(&format!(r#","{key}":{}"#, text(value)));
            }
        }
        let extra = others.extra.map(RawObject::parse).transpose()?.unwrap_or_default();
        for (key, value) in extra.iter().filter(|(key, _)| *key != "ts" && *key != "id") {
            line.push_str(&format!(",{}:{}", text(key), value.get()));
        }
    }
    line.push('}');
    Ok(line)
}
