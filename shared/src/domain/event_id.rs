//! The identity of an event: the same for every resend, and friendly to the index it lands in.
//!
//! A UUIDv8: 48 bits of the raw client time cut to the hour, then bits of a SHA-256 over what the client named. The hour keeps
//! neighbours in time neighbours in the index (after a checkpoint, random ids wrote 2,035 bytes of WAL per event, hour-prefixed
//! ones 625), and cutting it lets resends agree that re-stamp their time within the hour. It is a function of the message's own
//! bytes alone, never of when they arrived.

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::event::EventType;
use super::user_key::UserKey;

const HOUR_MILLISECONDS: i64 = 3_600_000;
/// How message ids begin that Segment's browser SDK makes (a UUID follows). It adds who the visitor is when it sends: an anonymous
/// event whose answer was lost comes again with a user id when the visitor has logged in meanwhile.
const SEGMENT_BROWSER: &str = "ajs-next-";

/// What a client named an event by, strongest first.
#[derive(Debug, Clone, Copy)]
pub enum Name<'a> {
    /// `messageId`: Segment, RudderStack and everyone who wants exactly one effect.
    MessageId(&'a str),
    /// EmbeddedCraft's `event_id`, which is *not* unique (two widgets in one frame share it): it names an event only together
    /// with the time and the bytes of the event. A resend is byte-identical.
    EventId {
        /// The field as sent.
        event_id: &'a str,
        /// The time as sent.
        time: &'a str,
        /// The event as sent.
        raw: &'a str,
    },
    /// An `Idempotency-Key` header with the position in the request, under the key it was sent with.
    Idempotency {
        /// The header.
        key: &'a str,
        /// Index of the event in the request.
        index: usize,
        /// Name of the write key.
        source: &'a str,
    },
    /// Nothing: each success answer is one event of its own.
    Unnamed {
        /// Fresh random bits.
        random: u128,
        /// Gives such ids their place in the index.
        received_at: DateTime<Utc>,
    },
}

/// The id of an event. `raw_time` is the client's time as written ([`super::timestamp::ClientTime::as_written`]).
#[must_use]
pub fn event_id(kind: EventType, key: Option<UserKey<'_>>, name: Name<'_>, raw_time: Option<NaiveDateTime>) -> Uuid {
    let mut hash = Parts::default();
    hash.text(kind.as_str());
    // Ids of one event agree whoever it is said to be of, where the SDK may say another user in a resend.
    let key = key.filter(|_| !matches!(name, Name::MessageId(id) if id.starts_with(SEGMENT_BROWSER)));
    hash.text(key.map_or("", |k| k.kind.as_str()));
    hash.text(key.map_or("", |k| k.id));
    let mut hour = raw_time.map(|t| t.and_utc().timestamp_millis());
    match name {
        Name::MessageId(id) => hash.text(id),
        Name::EventId { event_id, time, raw } => {
            ["event_id", event_id, time, raw].map(|t| hash.text(t)).into_iter().collect()
        }
        Name::Idempotency { key, index, source } => {
            ["idempotency", source, key, &index.to_string()].map(|t| hash.text(t)).into_iter().collect()
        }
        Name::Unnamed { random, received_at } => {
            hour = Some(received_at.timestamp_millis());
            hash.0.update(random.to_be_bytes());
        }
    }
    let mut bytes: [u8; 16] = {
        let digest = hash.0.finalize();
        std::array::from_fn(|i| digest[i])
    };
    if let Some(milliseconds) = hour {
        let prefix = (milliseconds - milliseconds.rem_euclid(HOUR_MILLISECONDS)).to_be_bytes();
        bytes[..6].copy_from_slice(&prefix[2..]);
    }
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

/// The day of the client time that leads an id; rubbish, mostly from another age, for an id that was made without one.
#[must_use]
pub fn client_day(id: Uuid) -> Option<NaiveDate> {
    let milliseconds = id.as_bytes()[..6].iter().fold(0, |n, byte| (n << 8) | i64::from(*byte));
    DateTime::from_timestamp_millis(milliseconds).map(|time| time.date_naive())
}

/// SHA-256 over length-prefixed parts, so that no two lists of parts look alike.
#[derive(Default)]
struct Parts(Sha256);

impl Parts {
    fn text(&mut self, part: &str) {
        self.0.update((part.len() as u64).to_be_bytes());
        self.0.update(part.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::timestamp::parse_text;

    fn id(message: &str, user: &str, time: Option<&str>) -> Uuid {
        let raw_time = time.and_then(|t| parse_text(t).as_written());
        event_id(EventType::Track, Some(UserKey::user(user)), Name::MessageId(message), raw_time)
    }

    #[test]
    fn resends_agree_even_when_they_restamp_within_the_hour() {
        assert_eq!(id("m1", "u", Some("2026-11-22T10:00:00Z")), id("m1", "u", Some("2026-11-22T10:59:59.9Z")));
        assert_eq!(id("m1", "u", None), id("m1", "u", None));
    }

    #[test]
    fn another_message_user_type_or_hour_is_another_event() {
        let one = id("m1", "u", Some("2026-11-22T10:00:00Z"));
        assert_ne!(one, id("m2", "u", Some("2026-11-22T10:00:00Z")));
        assert_ne!(one, id("m1", "v", Some("2026-11-22T10:00:00Z")));
        assert_ne!(one, id("m1", "u", Some("2026-11-22T11:00:00Z")));
        assert_ne!(
            one,
            event_id(
                EventType::Page,
                Some(UserKey::user("u")),
                Name::MessageId("m1"),
                parse_text("2026-11-22T10:00:00Z").as_written()
            )
        );
    }

    #[test]
    fn a_resend_of_the_browser_sdk_agrees_although_the_visitor_has_logged_in() {
        let message = Name::MessageId("ajs-next-1763201218000-6f1f7c2e-7d6e-4b8c-9d0a-1b2c3d4e5f60");
        let of = |key, kind| event_id(kind, Some(key), message, None);
        let visitor = UserKey::of(None, Some("a"), &crate::domain::user_key::Placeholders::default()).unwrap();
        assert_eq!(of(visitor, EventType::Track), of(UserKey::user("u"), EventType::Track));
        assert_ne!(of(visitor, EventType::Track), of(visitor, EventType::Page));
    }

    #[test]
    fn the_hour_leads_and_the_version_is_eight() {
        let one = id("m1", "u", Some("2026-11-22T10:20:30Z"));
        assert_eq!(one.get_version_num(), 8);
        assert_eq!(client_day(one).unwrap().to_string(), "2026-11-22");
    }

    #[test]
    fn an_event_id_names_an_event_only_with_its_bytes() {
        let name = |raw| Name::EventId { event_id: "u_widget_viewed_1", time: "2026-11-22T10:00:00", raw };
        let at = parse_text("2026-11-22T10:00:00").as_written();
        let key = Some(UserKey::user("u"));
        assert_eq!(event_id(EventType::Track, key, name("{1}"), at), event_id(EventType::Track, key, name("{1}"), at));
        assert_ne!(event_id(EventType::Track, key, name("{1}"), at), event_id(EventType::Track, key, name("{2}"), at));
    }

    #[test]
    fn unnamed_events_are_each_their_own() {
        let received_at = DateTime::UNIX_EPOCH;
        let one = |random| event_id(EventType::Track, None, Name::Unnamed { random, received_at }, None);
        assert_ne!(one(1), one(2));
    }
}
