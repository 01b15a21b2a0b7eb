//! What this process has accepted about users but the database does not show yet.
//!
//! `identify`, then `track`: the reply to the track must know the new traits, though the worker may not have committed them. The
//! same holds for "did it three times" and for "was shown it already". So each accepted [`Fact`] is kept under its user with the
//! place it has in the stream, and laid over what is read from the database, unless that place is already covered by the
//! partition's committed offset. Reading the profile and the offset at *one* moment makes the answer exact: a fact is either in
//! the profile or laid over it, never both, never neither.
//!
//! Bounded: beyond [`LIMIT_BYTES`] the oldest facts go first (the worker's match is the authoritative one). Facts of other ingest
//! processes are not here; they show when the worker has committed them.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Utc};
use shared::domain::user_key::{KeyKind, UserKey};
use uuid::Uuid;

/// Most bytes of facts that are kept.
const LIMIT_BYTES: usize = 64 << 20;
/// Most facts of one user: a service account that sends without end must not make everybody wait. The oldest go first.
const MOST_OF_A_USER: usize = 2_000;
/// What one fact costs besides its texts.
const FACT_BYTES: usize = 160;

/// Something that an accepted event says about its user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// An identify: a patch of traits, the text of an object.
    Traits(Box<str>),
    /// An event that some rule counts.
    Happened {
        /// Its name.
        event: Box<str>,
        /// Its identity: a resend is no second event.
        id: Uuid,
        /// Its own time.
        at: DateTime<Utc>,
    },
    /// A campaign with a cap that was in a reply.
    Shown {
        /// Which.
        campaign_id: Box<str>,
        /// The event: a resend is shown it again and counts once.
        event_id: Uuid,
        /// When its event was received.
        at: DateTime<Utc>,
    },
}

impl Fact {
    fn text_bytes(&self) -> usize {
        match self {
            Self::Traits(text) => text.len(),
            Self::Happened { event, .. } => event.len(),
            Self::Shown { campaign_id, .. } => campaign_id.len(),
        }
    }
}

/// Where a fact stands in the stream: the place of its event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Sequence of the message in its lane.
    pub sequence: u64,
    /// Position in the message.
    pub position: usize,
}

#[derive(Debug)]
struct Placed {
    place: Place,
    fact: Fact,
}

/// Owned form of a user key.
type Owner = (KeyKind, Box<str>);

#[derive(Debug, Default)]
struct Facts {
    by_user: HashMap<Owner, Vec<Placed>>,
    /// In order of acceptance, with partition and size; an entry may be gone from `by_user` already.
    order: VecDeque<(Owner, u16, Place, usize)>,
    bytes: usize,
}

/// The facts of this process.
#[derive(Debug, Default)]
pub struct Overlay(Mutex<Facts>);

impl Overlay {
    /// Keeps what an accepted event says.
    pub fn add(&self, key: UserKey<'_>, partition: u16, place: Place, fact: Fact) {
        let owner: Owner = (key.kind, key.id.into());
        let size = fact.text_bytes() + 2 * key.id.len() + FACT_BYTES;
        let mut facts = self.lock();
        let list = facts.by_user.entry(owner.clone()).or_default();
        if list.len() >= MOST_OF_A_USER {
            list.remove(0);
        }
        let at = list.partition_point(|p| p.place < place);
        list.insert(at, Placed { place, fact });
        facts.order.push_back((owner, partition, place, size));
        facts.bytes += size;
        while facts.bytes > LIMIT_BYTES {
            facts.forget_oldest();
        }
    }

    /// The facts about a user after `committed` (a sequence), in the order of the stream.
    #[must_use]
    pub fn after(&self, key: UserKey<'_>, committed: u64) -> Vec<Fact> {
        let facts = self.lock();
        if facts.by_user.is_empty() {
            return Vec::new();
        }
        let Some(list) = facts.by_user.get(&(key.kind, Box::from(key.id))) else { return Vec::new() };
        list.iter().filter(|p| p.place.sequence > committed).map(|p| p.fact.clone()).collect()
    }

    /// Forgets what the database shows. `committed` gives a partition's offset, if it is known.
    pub fn prune(&self, committed: impl Fn(u16) -> Option<u64>) {
        let mut facts = self.lock();
        while let Some((_, partition, place, _)) = facts.order.front() {
            if committed(*partition).is_none_or(|sequence| sequence < place.sequence) {
                // Later ones of other partitions wait for this one: they are bounded, and the order stays simple.
                break;
            }
            facts.forget_oldest();
        }
    }

    /// Forgets everything: the places mean nothing in another stream.
    pub fn clear(&self) {
        *self.lock() = Facts::default();
    }

    /// How many facts are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().order.len()
    }

    /// None at all?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Facts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Facts {
    fn forget_oldest(&mut self) {
        let Some((owner, _, place, size)) = self.order.pop_front() else { return };
        self.bytes = self.bytes.saturating_sub(size);
        if let Some(list) = self.by_user.get_mut(&owner) {
            list.retain(|p| p.place != place);
            if list.is_empty() {
                self.by_user.remove(&owner);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: UserKey<'static> = UserKey { kind: KeyKind::User, id: "u" };

    fn place(sequence: u64, position: usize) -> Place {
        Place { sequence, position }
    }

    fn patch(text: &str) -> Fact {
        Fact::Traits(text.into())
    }

    #[test]
    fn facts_come_in_the_order_of_the_stream_and_only_those_not_committed() {
        let overlay = Overlay::default();
        let shown = Fact::Shown { campaign_id: "c".into(), event_id: Uuid::nil(), at: DateTime::UNIX_EPOCH };
        overlay.add(USER, 3, place(8, 1), patch("second"));
        overlay.add(USER, 3, place(8, 0), patch("first"));
        overlay.add(USER, 3, place(9, 0), shown.clone());
        assert_eq!(overlay.after(USER, 7), [patch("first"), patch("second"), shown.clone()]);
        assert_eq!(overlay.after(USER, 8), [shown]);
        assert_eq!(overlay.after(UserKey::anonymous("u"), 0), []);
    }

    #[test]
    fn what_is_committed_is_forgotten() {
        let overlay = Overlay::default();
        overlay.add(USER, 3, place(8, 0), patch("{}"));
        overlay.add(USER, 3, place(9, 0), patch("{}"));
        overlay.prune(|_| None);
        assert_eq!(overlay.len(), 2);
        overlay.prune(|partition| (partition == 3).then_some(8));
        assert_eq!(overlay.len(), 1);
        overlay.prune(|_| Some(9));
        assert!(overlay.is_empty() && overlay.lock().bytes == 0 && overlay.lock().by_user.is_empty());
    }

    #[test]
    fn of_one_user_only_the_latest_are_kept() {
        let overlay = Overlay::default();
        for sequence in 1..=5_000 {
            overlay.add(USER, 3, place(sequence, 0), patch("{}"));
        }
        assert_eq!(overlay.after(USER, 0).len(), MOST_OF_A_USER);
        assert_eq!(overlay.after(USER, 4_990).len(), 10);
        overlay.prune(|_| Some(5_000));
        assert!(overlay.is_empty() && overlay.lock().bytes == 0 && overlay.lock().by_user.is_empty());
    }

    #[test]
    fn it_never_grows_beyond_its_limit() {
        let overlay = Overlay::default();
        let large = format!(r#"{{"a":"{}"}}"#, "x".repeat(1 << 20));
        for sequence in 1..=80 {
            overlay.add(USER, 3, place(sequence, 0), patch(&large));
        }
        assert!(overlay.lock().bytes <= LIMIT_BYTES);
        assert!(overlay.len() < 64);
    }
}
