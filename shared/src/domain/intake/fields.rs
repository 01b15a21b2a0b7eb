//! Splits one raw event into its fields, whatever the client's dialect.
//!
//! | field | spellings |
//! |---|---|
//! | user id | `user_id`, `userId` |
//! | anonymous id | `anonymous_id`, `anonymousId` |
//! | event | `event`, `action` |
//! | properties | `properties`, `metadata` |
//! | message id | `message_id`, `messageId` |
//! | `event_id` | `event_id` alone: a field of its own, not a message id |
//! | group, previous id | `group_id`, `groupId`; `previous_id`, `previousId` |
//! | times | `timestamp`; `originalTimestamp`, `original_timestamp`; `sentAt`, `sent_at` |
//!
//! A `null` is the same as absence (Python SDKs send explicit nulls); of two spellings the last non-null wins, as with a
//! duplicate key. Fields that nobody knows are kept, in order, for `extra`; the write key is not.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::envelope;

/// A field's value with the name the client used for it.
#[derive(Debug, Clone)]
pub struct Field<'a> {
    /// As the client spelt it, for messages.
    pub name: Cow<'a, str>,
    /// The value, unread and not null.
    pub raw: &'a RawValue,
}

/// The fields of one event.
#[derive(Debug, Default)]
#[expect(missing_docs, reason = "each is the field of its name")]
pub struct Fields<'a> {
    pub kind: Option<Field<'a>>,
    pub user_id: Option<Field<'a>>,
    pub anonymous_id: Option<Field<'a>>,
    pub event: Option<Field<'a>>,
    pub name: Option<Field<'a>>,
    pub message_id: Option<Field<'a>>,
    pub event_id: Option<Field<'a>>,
    pub group_id: Option<Field<'a>>,
    pub previous_id: Option<Field<'a>>,
    pub timestamp: Option<Field<'a>>,
    pub original_timestamp: Option<Field<'a>>,
    pub sent_at: Option<Field<'a>>,
    pub properties: Option<Field<'a>>,
    pub traits: Option<Field<'a>>,
    pub context: Option<Field<'a>>,
    /// Everything else, in order.
    pub extra: Vec<Field<'a>>,
}

/// Splits an object. Fails when it is not one, or not JSON.
pub fn split(raw: &str) -> serde_json::Result<Fields<'_>> {
    let mut fields = Fields::default();
    for (name, raw) in envelope::entries(raw)? {
        let known = match name.as_ref() {
            "type" => &mut fields.kind,
            "user_id" | "userId" => &mut fields.user_id,
            "anonymous_id" | "anonymousId" => &mut fields.anonymous_id,
            "event" | "action" => &mut fields.event,
            "name" => &mut fields.name,
            "message_id" | "messageId" => &mut fields.message_id,
            "event_id" => &mut fields.event_id,
            "group_id" | "groupId" => &mut fields.group_id,
            "previous_id" | "previousId" => &mut fields.previous_id,
            "timestamp" => &mut fields.timestamp,
            "original_timestamp" | "originalTimestamp" => &mut fields.original_timestamp,
            "sent_at" | "sentAt" => &mut fields.sent_at,
            "properties" | "metadata" => &mut fields.properties,
            "traits" => &mut fields.traits,
            "context" => &mut fields.context,
            "writeKey" | "write_key" => continue,
            _ => {
                fields.extra.push(Field { name, raw });
                continue;
            }
        };
        if raw.get() != "null" {
            *known = Some(Field { name, raw });
        }
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_dialects_fill_the_same_fields() {
        let v1 = split(r#"{"user_id":"u","event":"e","properties":{}}"#).unwrap();
        let v2 = split(r#"{"userId":"u","action":"e","metadata":{}}"#).unwrap();
        for fields in [v1, v2] {
            assert_eq!(fields.user_id.unwrap().raw.get(), r#""u""#);
            assert_eq!(fields.event.unwrap().raw.get(), r#""e""#);
            assert_eq!(fields.properties.unwrap().raw.get(), "{}");
        }
    }

    #[test]
    fn null_is_absence_and_the_last_value_wins() {
        let fields = split(r#"{"userId":"a","user_id":null,"anonymousId":null,"x":null,"writeKey":"secret"}"#).unwrap();
        assert_eq!(fields.user_id.unwrap().raw.get(), r#""a""#);
        assert!(fields.anonymous_id.is_none());
        assert_eq!(fields.extra.len(), 1);
    }
}
