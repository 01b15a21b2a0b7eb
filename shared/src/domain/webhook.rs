//! What a receiver can be told, and the id of such a message: the same however often it is sent, and after a replay.

use sha2::{Digest, Sha256};
use uuid::Uuid;

/// What a message tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A campaign was shown.
    Match,
    /// A goal followed.
    Conversion,
    /// Nothing: somebody tries whether messages arrive.
    Ping,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Match, Self::Conversion, Self::Ping];

    /// As it is stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Match => "match",
            Self::Conversion => "conversion",
            Self::Ping => "ping",
        }
    }

    /// Reads what is stored.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// The `type` that receivers read.
    #[must_use]
    pub fn type_name(self) -> &'static str {
        match self {
            Self::Match => "campaign.matched",
            Self::Conversion => "campaign.converted",
            Self::Ping => "webhook.ping",
        }
    }
}

/// The id of the message about an event and a campaign: a UUIDv8 with the event's first 48 bits, its hour, which keeps neighbours in
/// time neighbours in the index.
#[must_use]
pub fn delivery_id(kind: Kind, event_id: Uuid, campaign_id: &str) -> Uuid {
    let mut hash = Sha256::new();
    for part in [kind.as_str().as_bytes(), event_id.as_bytes(), campaign_id.as_bytes()] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let digest = hash.finalize();
    let mut bytes: [u8; 16] = std::array::from_fn(|i| digest[i]);
    bytes[..6].copy_from_slice(&event_id.as_bytes()[..6]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_of_one_kind_event_and_campaign_and_never_changes() {
        let event = Uuid::from_u128(0x01a2_03fc_5c00_8d25_be87_381f_31da_2bd3);
        let id = delivery_id(Kind::Match, event, "c");
        assert_eq!(id.to_string(), delivery_id(Kind::Match, event, "c").to_string());
        let others = [
            delivery_id(Kind::Conversion, event, "c"),
            delivery_id(Kind::Match, event, "d"),
            delivery_id(Kind::Match, Uuid::nil(), "c"),
        ];
        assert!(!others.contains(&id));
        assert_eq!((id.as_bytes()[..6].to_vec(), id.get_version_num()), (event.as_bytes()[..6].to_vec(), 8));
    }
}
