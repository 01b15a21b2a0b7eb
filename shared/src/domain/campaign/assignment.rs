//! Who is in: stable roll-out, hold-out group and A/B variant, by hash.
//!
//! A user's place (0 to 9,999) comes from SHA-256 over a label, the campaign's id and the user key, so it is the same in every
//! process and for ever; different campaigns, and the three questions within one campaign, are independent of each other. Raising
//! the roll-out only adds users. An event of a stranger is placed by its own id; where not even an event is at hand, nobody knows:
//! then only a full roll-out shows, the hold-out does not apply, and the first variant stands.

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::option::{EVERYBODY, Section};
use crate::domain::raw_object::RawObject;
use crate::domain::rules::Fault;
use crate::domain::user_key::UserKey;

/// Most variants of one campaign.
pub const MAX_VARIANTS: usize = 20;
const MAX_VARIANT_NAME_BYTES: usize = 100;

/// For whom a campaign is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who<'a> {
    /// A user or an anonymous visitor.
    User(UserKey<'a>),
    /// A stranger, by the id of the event.
    Stranger(Uuid),
    /// Not known.
    Nobody,
}

/// The shares of one campaign, in hundredths of a percent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    rollout: u16,
    hold_out: u16,
    /// In the order given.
    pub variants: Vec<Variant>,
}

/// One arm of an A/B test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variant {
    /// What the SDK reads as `variant`.
    pub name: String,
    /// Share among the weights of all.
    weight: u32,
    /// Laid over the campaign's `config`, key by key.
    pub config: Option<String>,
}

impl Default for Assignment {
    fn default() -> Self {
        Self { rollout: EVERYBODY, hold_out: 0, variants: Vec::new() }
    }
}

/// The place of `who` for one question about one thing; `None` for nobody.
#[must_use]
pub fn place(label: &str, id: &str, who: Who<'_>) -> Option<u16> {
    u16::try_from(hash(label, id, who)? % u64::from(EVERYBODY)).ok()
}

fn hash(label: &str, id: &str, who: Who<'_>) -> Option<u64> {
    let mut hash = Sha256::new();
    let stranger;
    let (kind, key): (&str, &[u8]) = match who {
        Who::User(user) => (user.kind.as_str(), user.id.as_bytes()),
        Who::Stranger(event_id) => {
            stranger = event_id;
            ("event", stranger.as_bytes())
        }
        Who::Nobody => return None,
    };
    for part in [label.as_bytes(), id.as_bytes(), kind.as_bytes(), key] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let digest = hash.finalize();
    Some(u64::from_be_bytes(std::array::from_fn(|i| digest[i])))
}

impl Assignment {
    /// Reads `rollout_percentage` (also `goal.rolloutPercentage`), `hold_out_percentage` and `variants`.
    pub fn read(document: &RawObject, faults: &mut Vec<Fault>) -> Self {
        let top = Section::document(document);
        let mut rollout = top.percentage("rollout_percentage", faults);
        if rollout.is_none() && document.get("goal").is_some() {
            rollout = Section::within(document, "goal", faults).percentage("rolloutPercentage", faults);
        }
        Self {
            rollout: rollout.unwrap_or(EVERYBODY),
            hold_out: top.percentage("hold_out_percentage", faults).unwrap_or(0),
            variants: variants(&top, faults),
        }
    }

    /// Does it go by places at all: is it rolled out to some only, or some are held out?
    #[must_use]
    pub fn parts_users(&self) -> bool {
        self.rollout != EVERYBODY || self.hold_out > 0
    }

    /// Where they stand in the roll-out, for people.
    #[must_use]
    pub fn rollout_standing(&self, campaign_id: &str, who: Who<'_>) -> String {
        if self.rollout == EVERYBODY {
            return "it is rolled out to everybody".to_owned();
        }
        standing(place("roll-out", campaign_id, who), self.rollout, "rolled out to")
    }

    /// Where they stand in the hold-out, for people.
    #[must_use]
    pub fn hold_out_standing(&self, campaign_id: &str, who: Who<'_>) -> String {
        if self.hold_out == 0 {
            return "nobody is held out".to_owned();
        }
        standing(place("hold-out", campaign_id, who), self.hold_out, "held out for")
    }

    /// Is the campaign rolled out to them?
    #[must_use]
    pub fn rolled_out(&self, campaign_id: &str, who: Who<'_>) -> bool {
        self.rollout == EVERYBODY || place("roll-out", campaign_id, who).is_some_and(|place| place < self.rollout)
    }

    /// Are they in the hold-out group: counted, but shown nothing?
    #[must_use]
    pub fn held_out(&self, campaign_id: &str, who: Who<'_>) -> bool {
        self.hold_out > 0 && place("hold-out", campaign_id, who).is_some_and(|place| place < self.hold_out)
    }

    /// Their variant, as an index; `None` where there are none.
    #[must_use]
    pub fn variant(&self, campaign_id: &str, who: Who<'_>) -> Option<usize> {
        let total: u64 = self.variants.iter().map(|v| u64::from(v.weight)).sum();
        let mut left = hash("variant", campaign_id, who).unwrap_or(0) % total.max(1);
        self.variants.iter().position(|variant| {
            let weight = u64::from(variant.weight);
            let here = left < weight;
            left = left.saturating_sub(weight);
            here
        })
    }
}

/// The first places of [`EVERYBODY`] are in.
fn standing(place: Option<u16>, share: u16, what: &str) -> String {
    let percent = f64::from(share) / 100.0;
    match place {
        None => format!("{what} {percent} %: nobody is known, so there is no place"),
        Some(place) => format!("place {place} of {EVERYBODY}; {what} {percent} %, the places below {share}"),
    }
}

fn variants(top: &Section<'_>, faults: &mut Vec<Fault>) -> Vec<Variant> {
    let wanted = "an array of variants {name, weight, config}";
    let listed: Vec<RawObject> = top.read("variants", wanted, faults).unwrap_or_default();
    if listed.len() > MAX_VARIANTS {
        let message = format!("has {} variants; at most {MAX_VARIANTS} are allowed", listed.len());
        faults.push(Fault::new("variants", "too_many", message));
        return Vec::new();
    }
    let mut variants: Vec<Variant> = Vec::with_capacity(listed.len());
    for (index, object) in listed.into_iter().enumerate() {
        let section = Section::element(object, "variants", index);
        let name = section.text("name", faults).unwrap_or_default();
        if name.is_empty() || name.len() > MAX_VARIANT_NAME_BYTES || variants.iter().any(|v| v.name == name) {
            let message = format!("must be a name of its own, of 1 to {MAX_VARIANT_NAME_BYTES} bytes");
            faults.push(Fault::new(section.path("name"), "required", message));
        }
        let config: Option<RawObject> = section.read("config", "a JSON object", faults);
        let weight = section.whole("weight", 0..=1_000_000, faults).unwrap_or(1);
        variants.push(Variant { name, weight, config: config.map(|c| c.to_json()) });
    }
    if !variants.is_empty() && variants.iter().all(|v| v.weight == 0) {
        faults.push(Fault::new("variants", "never", "must have a weight above 0 in one of them at least"));
    }
    variants
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Assignment {
        let mut faults = Vec::new();
        let assignment = Assignment::read(&RawObject::parse(text).unwrap(), &mut faults);
        assert_eq!(faults, []);
        assignment
    }

    fn count(of: impl Fn(Who<'_>) -> bool) -> usize {
        (0..10_000).filter(|n| of(Who::User(UserKey::user(&format!("user_{n}"))))).count()
    }

    #[test]
    fn places_are_fixed_for_ever() {
        assert_eq!(place("roll-out", "c", Who::User(UserKey::user("u"))), Some(7_612));
        assert_eq!(place("roll-out", "c", Who::User(UserKey::anonymous("u"))), Some(2_904));
        assert_eq!(place("roll-out", "c", Who::Stranger(Uuid::nil())), Some(1_836));
        assert_eq!(place("roll-out", "c", Who::Nobody), None);
    }

    #[test]
    fn shares_are_what_they_say_and_independent() {
        let assignment = read(
            r#"{"rollout_percentage":30,"hold_out_percentage":10,"variants":[{"name":"A","weight":3},{"name":"B"},{"name":"off","weight":0}]}"#,
        );
        // Six standard deviations of a binomial count over 10,000.
        let near = |found: usize, expected: usize| assert!(found.abs_diff(expected) < 300, "{found} of {expected}");
        near(count(|w| assignment.rolled_out("c", w)), 3_000);
        near(count(|w| assignment.held_out("c", w)), 1_000);
        near(count(|w| assignment.rolled_out("c", w) && assignment.held_out("c", w)), 300);
        near(count(|w| assignment.rolled_out("c", w) && assignment.rolled_out("d", w)), 900);
        near(count(|w| assignment.variant("c", w) == Some(0)), 7_500);
        assert_eq!(count(|w| assignment.variant("c", w) == Some(2)), 0);
        assert_eq!(read(r#"{"goal":{"event":"x","rolloutPercentage":25.5}}"#).rollout, 2_550);
    }

    #[test]
    fn of_nobody_only_a_full_roll_out_is_certain() {
        let partly =
            read(r#"{"rollout_percentage":99.99,"hold_out_percentage":50,"variants":[{"name":"A"},{"name":"B"}]}"#);
        assert!(!partly.rolled_out("c", Who::Nobody) && !partly.held_out("c", Who::Nobody));
        assert_eq!(partly.variant("c", Who::Nobody), Some(0));
        assert!(read("{}").rolled_out("c", Who::Nobody));
        assert_eq!(read("{}").variant("c", Who::Nobody), None);
    }

    #[test]
    fn every_fault_is_named() {
        let mut faults = Vec::new();
        let text = r#"{"rollout_percentage":101,"hold_out_percentage":"x","variants":[{"name":"A","weight":0},{"name":"A","weight":0,"config":[]}]}"#;
        Assignment::read(&RawObject::parse(text).unwrap(), &mut faults);
        assert_eq!(
            faults.iter().map(|f| f.field.as_str()).collect::<Vec<_>>(),
            ["rollout_percentage", "hold_out_percentage", "variants[1].name", "variants[1].config", "variants"]
        );
    }

    proptest! {
        #[test]
        fn raising_the_roll_out_only_adds(id in ".{0,20}", user in ".{0,20}", low in 0u16..=10_000, high in 0u16..=10_000) {
            let (low, high) = (low.min(high), low.max(high));
            let of = |rollout| Assignment { rollout, ..Assignment::default() }.rolled_out(&id, Who::User(UserKey::user(&user)));
            prop_assert!(!of(low) || of(high));
        }
    }
}
