//! Traits that this process has accepted but the database does not show yet.
//!
//! `identify`, then `track`: the reply to the track must know the new traits, though the worker may not have committed them. So
//! each accepted patch is kept under its user with the place it has in the stream, and laid over what is read from the database,
//! unless that place is already covered by the partition's committed offset. Reading traits and offset in *one* statement makes
//! the answer exact: a patch is either in the traits or laid over them, never both, never neither.
//!
//! Bounded: beyond [`LIMIT_BYTES`] the oldest patches go first (the worker's match is the authoritative one). Patches of other
//! ingest processes are not here; they show when the worker has committed them.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use shared::domain::traits::Traits;
use shared::domain::user_key::{KeyKind, UserKey};

/// Most bytes of patches that are kept.
const LIMIT_BYTES: usize = 64 << 20;
/// What one patch costs besides its text.
const PATCH_BYTES: usize = 160;

/// Where a patch stands in the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Sequence of the message in its lane.
    pub sequence: u64,
    /// Position in the message.
    pub position: usize,
}

#[derive(Debug)]
struct Patch {
    place: Place,
    traits: Box<str>,
}

/// Owned form of a user key.
type Owner = (KeyKind, Box<str>);

#[derive(Debug, Default)]
struct Patches {
    by_user: HashMap<Owner, Vec<Patch>>,
    /// In order of acceptance, with partition and size; an entry may be gone from `by_user` already.
    order: VecDeque<(Owner, u16, Place, usize)>,
    bytes: usize,
}

/// The patches of this process.
#[derive(Debug, Default)]
pub struct Overlay(Mutex<Patches>);

impl Overlay {
    /// Keeps an accepted patch.
    pub fn add(&self, key: UserKey<'_>, partition: u16, place: Place, traits: &str) {
        let owner: Owner = (key.kind, key.id.into());
        let size = traits.len() + 2 * key.id.len() + PATCH_BYTES;
        let mut patches = self.lock();
        let list = patches.by_user.entry(owner.clone()).or_default();
        let at = list.partition_point(|p| p.place < place);
        list.insert(at, Patch { place, traits: traits.into() });
        patches.order.push_back((owner, partition, place, size));
        patches.bytes += size;
        while patches.bytes > LIMIT_BYTES {
            patches.forget_oldest();
        }
    }

    /// Lays the patches of a user over traits that hold everything up to `committed` (a sequence).
    pub fn apply(&self, key: UserKey<'_>, committed: u64, traits: &mut Traits) {
        let patches = self.lock();
        if patches.by_user.is_empty() {
            return;
        }
        let Some(list) = patches.by_user.get(&(key.kind, Box::from(key.id))) else { return };
        for patch in list.iter().filter(|p| p.place.sequence > committed) {
            // Checked at the door to be an object.
            if let Ok(patch) = Traits::parse(&patch.traits) {
                traits.merge(patch);
            }
        }
    }

    /// Forgets what the database shows. `committed` gives a partition's offset, if it is known.
    pub fn prune(&self, committed: impl Fn(u16) -> Option<u64>) {
        let mut patches = self.lock();
        while let Some((_, partition, place, _)) = patches.order.front() {
            if committed(*partition).is_none_or(|sequence| sequence < place.sequence) {
                // Later ones of other partitions wait for this one: they are bounded, and the order stays simple.
                break;
            }
            patches.forget_oldest();
        }
    }

    /// Forgets everything: the places mean nothing in another stream.
    pub fn clear(&self) {
        *self.lock() = Patches::default();
    }

    /// How many patches are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().order.len()
    }

    /// None at all?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Patches> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Patches {
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

    fn seen(overlay: &Overlay, key: UserKey<'_>, committed: u64) -> String {
        let mut traits = Traits::parse(r#"{"tier":"stored","kept":1}"#).unwrap();
        overlay.apply(key, committed, &mut traits);
        traits.to_json()
    }

    #[test]
    fn patches_lie_over_what_is_stored_in_the_order_of_the_stream() {
        let overlay = Overlay::default();
        overlay.add(USER, 3, place(8, 1), r#"{"tier":"second"}"#);
        overlay.add(USER, 3, place(8, 0), r#"{"tier":"first"}"#);
        assert_eq!(seen(&overlay, USER, 7), r#"{"kept":1,"tier":"second"}"#);
        assert_eq!(seen(&overlay, USER, 8), r#"{"kept":1,"tier":"stored"}"#);
        assert_eq!(seen(&overlay, UserKey::anonymous("u"), 0), r#"{"kept":1,"tier":"stored"}"#);
    }

    #[test]
    fn what_is_committed_is_forgotten() {
        let overlay = Overlay::default();
        overlay.add(USER, 3, place(8, 0), "{}");
        overlay.add(USER, 3, place(9, 0), "{}");
        overlay.prune(|_| None);
        assert_eq!(overlay.len(), 2);
        overlay.prune(|partition| (partition == 3).then_some(8));
        assert_eq!(overlay.len(), 1);
        overlay.prune(|_| Some(9));
        assert!(overlay.is_empty() && overlay.lock().bytes == 0 && overlay.lock().by_user.is_empty());
    }

    #[test]
    fn it_never_grows_beyond_its_limit() {
        let overlay = Overlay::default();
        let large = format!(r#"{{"a":"{}"}}"#, "x".repeat(1 << 20));
        for sequence in 1..=80 {
            overlay.add(USER, 3, place(sequence, 0), &large);
        }
        assert!(overlay.lock().bytes <= LIMIT_BYTES);
        assert!(overlay.len() < 64);
    }
}
