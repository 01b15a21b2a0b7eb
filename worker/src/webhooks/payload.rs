//! The body of a message: `{type, timestamp, data}`, as Standard Webhooks suggests, the same for every attempt.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use serde_json::value::RawValue;
use shared::domain::webhook::Kind;
use uuid::Uuid;

use super::claim::Claimed;

/// Properties beyond this are left out; the event with all of them is still at `GET /v1/admin/events`.
pub const PROPERTIES_BYTES: usize = 256 << 10;

#[derive(Serialize)]
struct Message<'a> {
    r#type: &'static str,
    /// When what it tells of happened here.
    timestamp: String,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    campaign: Campaign<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<Option<&'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    anonymous_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<Event<'a>>,
    /// Of a conversion: the event that had matched.
    #[serde(skip_serializing_if = "Option::is_none")]
    match_event_id: Option<Uuid>,
}

#[derive(Serialize)]
struct Campaign<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    variant: Option<&'a str>,
}

#[derive(Serialize)]
struct Event<'a> {
    id: Uuid,
    r#type: &'a str,
    name: Option<&'a str>,
    timestamp: String,
    received_at: String,
    properties: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    properties_omitted: bool,
}

/// The body; `None` when the event is not stored any more, so that there is nothing to tell.
#[must_use]
pub fn body(delivery: &Claimed) -> Option<Vec<u8>> {
    let kind = Kind::parse(&delivery.kind)?;
    let event = if kind == Kind::Ping { None } else { Some(event(delivery)?) };
    let message = Message {
        r#type: kind.type_name(),
        timestamp: iso(delivery.occurred_at),
        data: Data {
            campaign: Campaign {
                id: &delivery.campaign_id,
                version: delivery.campaign_version,
                variant: delivery.variant.as_deref(),
            },
            user_id: event.is_some().then_some(delivery.event_user_id.as_deref()),
            anonymous_id: delivery.event_anonymous_id.as_deref(),
            event,
            match_event_id: delivery.match_event_id.filter(|_| kind == Kind::Conversion),
        },
    };
    serde_json::to_vec(&message).ok()
}

fn event(delivery: &Claimed) -> Option<Event<'_>> {
    let properties = delivery.properties.as_deref();
    let omitted = properties.is_some_and(|text| text.len() > PROPERTIES_BYTES);
    Some(Event {
        id: delivery.event_id?,
        r#type: delivery.event_type.as_deref()?,
        name: delivery.event_name.as_deref(),
        timestamp: iso(delivery.event_timestamp?),
        received_at: iso(delivery.occurred_at),
        properties: properties.filter(|_| !omitted).and_then(|text| serde_json::from_str(text).ok()),
        properties_omitted: omitted,
    })
}

fn iso(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn claimed(kind: &str) -> Claimed {
        Claimed {
            kind: kind.to_owned(),
            campaign_id: "c".to_owned(),
            campaign_version: Some(3),
            event_id: Some(Uuid::nil()),
            match_event_id: Some(Uuid::max()),
            variant: Some("B".to_owned()),
            event_type: Some("track".to_owned()),
            event_name: Some("bought".to_owned()),
            event_user_id: Some("ada".to_owned()),
            event_timestamp: Some(DateTime::UNIX_EPOCH),
            properties: Some(r#"{"total":1.10}"#.to_owned()),
            ..Claimed::default()
        }
    }

    fn told(delivery: &Claimed) -> Value {
        serde_json::from_slice(&body(delivery).unwrap()).unwrap()
    }

    #[test]
    fn a_match_a_conversion_and_a_ping_say_what_they_are() {
        let matched = told(&claimed("match"));
        assert_eq!(
            matched,
            json!({"type": "campaign.matched", "timestamp": "1970-01-01T00:00:00.000Z", "data": {
                "campaign": {"id": "c", "version": 3, "variant": "B"}, "user_id": "ada",
                "event": {"id": Uuid::nil(), "type": "track", "name": "bought", "timestamp": "1970-01-01T00:00:00.000Z",
                          "received_at": "1970-01-01T00:00:00.000Z", "properties": {"total": 1.10}}}})
        );
        let text = String::from_utf8(body(&claimed("match")).unwrap()).unwrap();
        assert!(text.contains(r#"{"total":1.10}"#), "properties are passed on to the letter: {text}");
        let converted = told(&claimed("conversion"));
        assert_eq!(
            (&converted["type"], &converted["data"]["match_event_id"]),
            (&json!("campaign.converted"), &json!(Uuid::max()))
        );
        let ping = told(&Claimed { kind: "ping".to_owned(), campaign_id: "c".to_owned(), ..Claimed::default() });
        assert_eq!((&ping["type"], &ping["data"]), (&json!("webhook.ping"), &json!({"campaign": {"id": "c"}})));
    }

    #[test]
    fn what_is_gone_is_not_told_and_what_is_too_large_is_left_out() {
        assert_eq!(body(&Claimed { event_type: None, ..claimed("match") }), None);
        let large = format!(r#"{{"a":"{}"}}"#, "x".repeat(PROPERTIES_BYTES));
        let told = told(&Claimed { properties: Some(large), ..claimed("match") });
        assert_eq!(
            (&told["data"]["event"]["properties"], &told["data"]["event"]["properties_omitted"]),
            (&json!(null), &json!(true))
        );
    }
}
