//! What is left of an erased person: a keyed hash of each id, and up to when events stay away.
//!
//! The rule is one of time alone, so it holds for late events, replays, imports and restored databases alike: while consent is not
//! renewed every event of the key is suppressed; after that, those that happened before the renewal. (When an event happened is
//! [`Event::happened_at`](super::event::Event::happened_at): its own time, never later than its receipt.)

use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::user_key::UserKey;

/// A keyed hash of a user key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyHash(pub [u8; 32]);

/// What keys are hashed with: of one deployment, in its database.
#[derive(Clone)]
pub struct Salt(Vec<u8>);

impl std::fmt::Debug for Salt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Salt(…)")
    }
}

impl Salt {
    /// From its bytes.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// HMAC-SHA-256 over the length-prefixed kind and id.
    #[must_use]
    pub fn hash(&self, key: UserKey<'_>) -> KeyHash {
        // An HMAC takes a key of any length, so this cannot fail; an empty hash is for the type checker alone.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else { return KeyHash([0; 32]) };
        for part in [key.kind.as_str(), key.id] {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
        KeyHash(mac.finalize().into_bytes().into())
    }

    /// A secret for another purpose, which tells nothing of this one.
    #[must_use]
    pub fn secret_for(&self, purpose: &str) -> [u8; 32] {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else { return [0; 32] };
        // No key's hash begins like this: there it is a length.
        mac.update(&u64::MAX.to_be_bytes());
        mac.update(purpose.as_bytes());
        mac.finalize().into_bytes().into()
    }
}

/// What a tombstone keeps away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tombstone {
    /// When consent was renewed; absent while it is not.
    pub renewed_at: Option<DateTime<Utc>>,
}

impl Tombstone {
    /// Is an event suppressed that happened then?
    #[must_use]
    pub fn covers(&self, happened_at: DateTime<Utc>) -> bool {
        self.renewed_at.is_none_or(|renewed_at| happened_at <= renewed_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_id_spaces_and_two_deployments_have_hashes_of_their_own() {
        let (here, there) = (Salt::new(vec![1; 32]), Salt::new(vec![2; 32]));
        let hash = here.hash(UserKey::user("ada"));
        assert_eq!(hash, here.hash(UserKey::user("ada")));
        assert_ne!(hash, here.hash(UserKey::anonymous("ada")));
        assert_ne!(hash, there.hash(UserKey::user("ada")));
    }

    #[test]
    fn what_happened_before_consent_was_renewed_stays_away() {
        let at = |seconds| DateTime::from_timestamp(seconds, 0).unwrap();
        assert!(Tombstone { renewed_at: None }.covers(at(9)));
        let renewed = Tombstone { renewed_at: Some(at(5)) };
        assert_eq!([4, 5, 6].map(|second| renewed.covers(at(second))), [true, true, false]);
    }
}
