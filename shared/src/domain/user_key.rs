//! Whose event it is, and therefore which partition owns it.
//!
//! A partition is a unit of ownership: all events of one user key lie in one partition, in order of arrival, and one
//! worker at a time applies them. The hash must never change while a stream lives: a new cut needs `worker repartition`.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// The identity that order, profile and matches belong to: `user_id` if there is one, else `anonymous_id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserKey<'a> {
    /// Which of the two id spaces.
    pub kind: KeyKind,
    /// The id, verbatim.
    pub id: &'a str,
}

/// The two id spaces; the same text in each is two different people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyKind {
    /// A known user.
    User,
    /// A device or browser that nobody logged in on.
    Anonymous,
}

impl KeyKind {
    /// The form stored in PostgreSQL and hashed into event ids.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Anonymous => "anonymous",
        }
    }
}

impl<'a> UserKey<'a> {
    /// A known user's key.
    #[must_use]
    pub fn user(id: &'a str) -> Self {
        Self { kind: KeyKind::User, id }
    }

    /// An anonymous visitor's key.
    #[must_use]
    pub fn anonymous(id: &'a str) -> Self {
        Self { kind: KeyKind::Anonymous, id }
    }

    /// The key of an event with these ids. Placeholder user ids (`anonymous`, empty) stand for strangers: the event then
    /// belongs to its anonymous id, or to nobody.
    #[must_use]
    pub fn of(user_id: Option<&'a str>, anonymous_id: Option<&'a str>, placeholders: &Placeholders) -> Option<Self> {
        match user_id {
            Some(id) if !placeholders.contains(id) => Some(Self::user(id)),
            _ => anonymous_id.filter(|id| !placeholders.contains(id)).map(Self::anonymous),
        }
    }

    /// The partition of this key among `partitions`.
    #[must_use]
    pub fn partition(&self, partitions: u16) -> u16 {
        bucket(self.hash(), partitions)
    }

    /// A hash that stands for the key where a collision does no harm.
    #[must_use]
    pub fn word(&self) -> u64 {
        word(self.hash())
    }

    /// 128 bits that stand for this key where its text would take too much room; stored, so they never change.
    #[must_use]
    pub fn fingerprint(&self) -> Uuid {
        let digest = self.hash().finalize();
        Uuid::from_bytes(std::array::from_fn(|i| digest[i]))
    }

    fn hash(&self) -> Sha256 {
        Sha256::new().chain_update([self.kind as u8]).chain_update(self.id.as_bytes())
    }
}

/// The partition of an event that belongs to nobody: spread by its own id, since no order is owed.
#[must_use]
pub fn partition_of_stranger(event_id: Uuid, partitions: u16) -> u16 {
    bucket(Sha256::new().chain_update([2]).chain_update(event_id.as_bytes()), partitions)
}

fn bucket(hash: Sha256, partitions: u16) -> u16 {
    // The remainder is below a u16, so the conversion cannot fail; 0 is only for the type checker.
    u16::try_from(word(hash) % u64::from(partitions.max(1))).unwrap_or(0)
}

fn word(hash: Sha256) -> u64 {
    let digest = hash.finalize();
    u64::from_be_bytes(std::array::from_fn(|i| digest[i]))
}

/// User ids that apps send when nobody is logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placeholders(Vec<String>);

impl Placeholders {
    /// These ids, and always the empty one.
    #[must_use]
    pub fn new(ids: impl IntoIterator<Item = String>) -> Self {
        Self(ids.into_iter().filter(|id| !id.is_empty()).collect())
    }

    /// All of them, the empty one first.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        std::iter::once("").chain(self.0.iter().map(String::as_str))
    }

    /// Is this id one of them?
    #[must_use]
    pub fn contains(&self, id: &str) -> bool {
        id.is_empty() || self.0.iter().any(|p| p == id)
    }
}

impl Default for Placeholders {
    /// `anonymous`, which the Flutter SDK sends for every stranger.
    fn default() -> Self {
        Self::new(["anonymous".to_owned()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_partition_of_a_key_is_fixed_for_ever() {
        assert_eq!(UserKey::user("user_11").partition(16), 15);
        assert_eq!(UserKey::anonymous("user_11").partition(16), 14);
    }

    #[test]
    fn the_fingerprint_of_a_key_is_fixed_for_ever_and_tells_the_id_spaces_apart() {
        let fingerprint = UserKey::user("user_11").fingerprint();
        assert_eq!(fingerprint.to_string(), "2b988cb1-c02d-650f-3410-32222f667927");
        assert_ne!(fingerprint, UserKey::anonymous("user_11").fingerprint());
    }

    #[test]
    fn a_placeholder_leaves_the_event_to_its_anonymous_id_or_to_nobody() {
        let placeholders = Placeholders::default();
        assert_eq!(UserKey::of(Some("anonymous"), None, &placeholders), None);
        assert_eq!(UserKey::of(Some(""), Some("a1"), &placeholders), Some(UserKey::anonymous("a1")));
        assert_eq!(UserKey::of(Some("u"), Some("a1"), &placeholders), Some(UserKey::user("u")));
    }

    proptest! {
        #[test]
        fn a_partition_is_always_in_range(id in ".{0,40}", partitions in 1u16..64) {
            prop_assert!(UserKey::user(&id).partition(partitions) < partitions);
        }
    }
}
