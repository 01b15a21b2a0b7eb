//! What a campaign would have matched, had it been in force: stored events decided once more, one after the other, by the engine itself.
//!
//! Pure. Events are fed in the order in which they arrived; what is known of a user from before them is given when [`Simulation::lacks`] asks
//! for it. Users lie in [`PARTS`] parts by hash, and each part has sums of its own: when the state of all users takes too much memory,
//! whole parts are put off ([`Simulation::put_off`]) and done in another pass over the same events.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

use chrono::{DateTime, NaiveDate, Utc};
use uuid::Uuid;

use super::assignment::Who;
use super::caps::History;
use super::compiled::Compiled;
use super::delivery::{Decision, OPT_OUT_TRAIT, Situation, opted_out};
use super::person::{Happened, PastCounts, Person};
use crate::domain::raw_object::RawObject;
use crate::domain::rules::{Facts, Keys, Needs, Segments};
use crate::domain::traits::Traits;
use crate::domain::user_key::{KeyKind, UserKey};

/// Of a user's id, and the place in the table.
const KEY_BYTES: usize = 96;
/// Parts in which users lie.
pub const PARTS: usize = 64;

/// One stored event, as far as the campaign can look at it.
#[derive(Debug)]
pub struct Past {
    /// Its id.
    pub id: Uuid,
    /// Whose it is; `None` for a stranger.
    pub key: Option<Key>,
    /// The day it is filed under.
    pub day: NaiveDate,
    /// When it was received.
    pub received_at: DateTime<Utc>,
    /// Its own time, or its receipt where the device's clock was ahead.
    pub at: DateTime<Utc>,
    /// History from elsewhere: counted, but it sets nothing off.
    pub imported: bool,
    /// Counting finds it.
    pub counts: bool,
    /// What it is.
    pub what: What,
}

/// What an event is.
#[derive(Debug)]
pub enum What {
    /// Traits to merge.
    Identify(Traits),
    /// Something with a name.
    Named {
        /// The name.
        event: String,
        /// Those properties that rules look at.
        properties: RawObject,
        /// The same of the context.
        context: RawObject,
    },
}

/// A user, owned.
pub type Key = (KeyKind, String);

/// What is known of a user from before the events.
#[derive(Debug, Clone, Default)]
pub struct Base {
    /// Traits that no event sets which is still to come.
    pub traits: Traits,
    /// Counted events.
    pub happened: Vec<(String, Happened)>,
    /// What they were shown of the campaign.
    pub history: History,
}

/// Sums of one day.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DaySums {
    /// Events that triggered.
    pub events: u64,
    /// Of these, matched: shown or held out.
    pub matched_events: u64,
    /// Users that matched on this day.
    pub matched_users: u64,
}

/// Sums.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sums {
    /// By the day that events are filed under.
    pub days: BTreeMap<NaiveDate, DaySums>,
    /// Users that matched.
    pub matched_users: u64,
    /// Of the matched events, held out.
    pub held_out_events: u64,
    /// Events that triggered and did not match, by reason.
    pub suppressed: BTreeMap<&'static str, u64>,
    /// Shown, for the global cap.
    shown: u64,
}

/// What must be known to simulate a campaign.
#[derive(Debug, Clone)]
pub struct Wants {
    /// What its rules, and those of its segments, look at; of traits the opt-out too.
    pub keys: Keys,
    /// How far back rules count.
    pub needs: Needs,
    /// The caps of a user ask for what was shown before.
    pub history: bool,
}

#[derive(Debug, Default)]
struct Subject {
    person: Person,
    has_base: bool,
    /// Days on which they matched.
    matched: BTreeSet<NaiveDate>,
}

/// Goes through the past of all users.
#[derive(Debug)]
pub struct Simulation {
    campaign: Compiled,
    segments: Segments,
    wants: Wants,
    /// Of each event that rules count, how many times to keep.
    most: HashMap<String, usize>,
    subjects: HashMap<Key, Subject>,
    bytes: usize,
    parts: Vec<Part>,
    /// To anybody, so far.
    shown_to_all: u64,
}

/// Some of the users.
#[derive(Debug, Clone)]
enum Part {
    /// Gone through in this pass; what was found so far.
    Active(Sums),
    /// For another pass.
    PutOff,
    /// In a pass before.
    Done,
}

impl Simulation {
    /// Of a campaign as if it were active, shown to anybody so often before.
    #[must_use]
    pub fn new(campaign: Compiled, segments: Segments, shown_before: u64) -> Self {
        let campaign = campaign.activated();
        let mut needs = campaign.condition.needs().clone();
        needs.resolve(&segments);
        let mut keys = Keys::default();
        campaign.condition.add_keys(&mut keys);
        segments.iter().for_each(|(_, segment)| segment.add_keys(&mut keys));
        if !campaign.delivery.ignore_opt_out {
            keys.traits.insert(OPT_OUT_TRAIT.to_owned());
        }
        let mut most: HashMap<String, usize> = HashMap::new();
        for window in &needs.counts {
            let kept = most.entry(window.event.clone()).or_default();
            *kept = (*kept).max(usize::try_from(window.most).unwrap_or(usize::MAX));
        }
        let wants = Wants { keys, needs, history: campaign.delivery.caps.per_user() };
        Self {
            campaign,
            segments,
            wants,
            most,
            subjects: HashMap::new(),
            bytes: 0,
            parts: vec![Part::Active(Sums::default()); PARTS],
            shown_to_all: shown_before,
        }
    }

    /// The campaign.
    #[must_use]
    pub fn campaign(&self) -> &Compiled {
        &self.campaign
    }

    /// What it looks at.
    #[must_use]
    pub fn wants(&self) -> &Wants {
        &self.wants
    }

    /// Memory that the state of the users takes, about, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Must more be known of the user of this event, before it is fed?
    #[must_use]
    pub fn lacks<'a>(&self, past: &'a Past) -> Option<&'a Key> {
        let key = past.key.as_ref().filter(|_| self.has_part(past) && self.triggers(past).is_some())?;
        let known = self.subjects.get(key).is_some_and(|subject| subject.has_base);
        (!known).then_some(key)
    }

    /// Says what is known of a user from before.
    pub fn give(&mut self, key: Key, base: Base) {
        let most = &self.most;
        touch(&mut self.subjects, &mut self.bytes, key, |subject| {
            subject.has_base = true;
            subject.person.traits.fill(base.traits);
            subject.person.history = base.history;
            for (event, happened) in base.happened {
                subject.person.happen(&event, happened, most.get(&event).copied().unwrap_or(0));
            }
        });
    }

    /// Goes on by one event.
    pub fn feed(&mut self, past: Past) {
        if !self.has_part(&past) {
            return;
        }
        let triggers = self.triggers(&past).is_some();
        match past.what {
            What::Identify(patch) => {
                if let Some(key) = past.key {
                    self.change(key, |person| person.identify(patch, past.imported));
                }
            }
            What::Named { ref event, ref properties, ref context } => {
                if triggers {
                    self.decide(&past, event, properties, context);
                }
                if let Some(most) = self.most.get(event.as_str()).copied().filter(|_| past.counts)
                    && let Some(key) = past.key.clone()
                {
                    let happened = Happened { at: past.at, day: past.day };
                    self.change(key, |person| person.happen(event, happened, most));
                }
            }
        }
    }

    fn change(&mut self, key: Key, change: impl FnOnce(&mut Person)) {
        touch(&mut self.subjects, &mut self.bytes, key, |subject| change(&mut subject.person));
    }

    fn triggers<'a>(&self, past: &'a Past) -> Option<&'a str> {
        let What::Named { event, .. } = &past.what else { return None };
        (!past.imported && self.campaign.is_triggered_by(event)).then_some(event)
    }

    fn decide(&mut self, past: &Past, event: &str, properties: &RawObject, context: &RawObject) {
        let nobody = Person::default();
        let subject = past.key.as_ref().and_then(|key| self.subjects.get(key));
        let person = subject.map_or(&nobody, |subject| &subject.person);
        let who = match &past.key {
            Some((kind, id)) => Who::User(UserKey { kind: *kind, id }),
            None => Who::Stranger(past.id),
        };
        let counts =
            PastCounts { person: past.key.as_ref().map(|_| person), event, at: past.at, now: past.received_at };
        let facts = Facts {
            traits: &person.traits,
            properties: Some(properties),
            context: Some(context),
            counts: &counts,
            segments: &self.segments,
            now: past.received_at,
        };
        let situation = Situation {
            who,
            now: past.received_at,
            opted_out: opted_out(&person.traits),
            history: &person.history,
            shown_to_all: self.shown_to_all,
        };
        let decision = self.campaign.decide(&facts, &situation);

        let Some(Part::Active(sums)) = self.parts.get_mut(part(past)) else { return };
        let day = sums.days.entry(past.day).or_default();
        day.events += 1;
        match decision {
            Decision::Suppressed(reason) => {
                *sums.suppressed.entry(reason.as_str()).or_default() += 1;
                return;
            }
            Decision::HoldOut(_) => sums.held_out_events += 1,
            Decision::Show(_) | Decision::Preview(_) => {
                sums.shown += 1;
                self.shown_to_all += 1;
            }
        }
        day.matched_events += 1;
        let Some(key) = past.key.clone() else { return };
        let remembers = self.wants.history;
        touch(&mut self.subjects, &mut self.bytes, key, |subject| {
            sums.matched_users += u64::from(subject.matched.is_empty());
            day.matched_users += u64::from(subject.matched.insert(past.day));
            if remembers {
                subject.person.history.record(past.received_at);
            }
        });
    }

    /// Is a user with this [`hash`] gone through in this pass?
    #[must_use]
    pub fn has(&self, hash: u64) -> bool {
        self.is_active(part_of(hash))
    }

    fn has_part(&self, past: &Past) -> bool {
        self.is_active(part(past))
    }

    fn is_active(&self, part: usize) -> bool {
        matches!(self.parts.get(part), Some(Part::Active(_)))
    }

    /// Gives half of the parts up for now, with their users and sums, to make room; false when there is but one left.
    pub fn put_off(&mut self) -> bool {
        let active: Vec<usize> = (0..PARTS).filter(|place| self.is_active(*place)).collect();
        let keep = active.len().div_ceil(2);
        for place in active.iter().skip(keep) {
            if let Part::Active(sums) = std::mem::replace(&mut self.parts[*place], Part::PutOff) {
                self.shown_to_all -= sums.shown;
            }
        }
        let mut subjects = std::mem::take(&mut self.subjects);
        subjects.retain(|key, _| self.is_active(part_of(hash(key))));
        self.bytes = subjects.values().map(Subject::bytes).sum();
        self.subjects = subjects;
        keep < active.len()
    }

    /// All that was found in this pass so far.
    #[must_use]
    pub fn total(&self) -> Sums {
        let mut total = Sums::default();
        for part in &self.parts {
            if let Part::Active(sums) = part {
                total.add(sums);
            }
        }
        total
    }

    /// Share of the users that were gone through, this pass included, from 0 to 1.
    #[must_use]
    pub fn share(&self) -> f64 {
        let put_off = self.parts.iter().filter(|part| matches!(part, Part::PutOff)).count();
        (PARTS - put_off) as f64 / PARTS as f64
    }

    /// Ends a pass and begins the next, over those that were put off; false when there are none.
    pub fn next_pass(&mut self) -> bool {
        self.subjects = HashMap::new();
        self.bytes = 0;
        let mut more = false;
        for part in &mut self.parts {
            *part = match part {
                Part::Active(_) | Part::Done => Part::Done,
                Part::PutOff => {
                    more = true;
                    Part::Active(Sums::default())
                }
            };
        }
        more
    }
}

/// Changes a user, and keeps account of the memory.
fn touch<T>(
    subjects: &mut HashMap<Key, Subject>,
    bytes: &mut usize,
    key: Key,
    change: impl FnOnce(&mut Subject) -> T,
) -> T {
    let subject = match subjects.entry(key) {
        Entry::Occupied(known) => {
            *bytes -= known.get().bytes();
            known.into_mut()
        }
        Entry::Vacant(place) => place.insert(Subject::default()),
    };
    let changed = change(subject);
    *bytes += subject.bytes();
    changed
}

impl Subject {
    fn bytes(&self) -> usize {
        self.person.bytes() + KEY_BYTES + 16 * self.matched.len()
    }
}

impl Sums {
    /// Adds those of other users.
    pub fn add(&mut self, other: &Self) {
        for (day, sums) in &other.days {
            let all = self.days.entry(*day).or_default();
            all.events += sums.events;
            all.matched_events += sums.matched_events;
            all.matched_users += sums.matched_users;
        }
        for (reason, count) in &other.suppressed {
            *self.suppressed.entry(reason).or_default() += count;
        }
        self.matched_users += other.matched_users;
        self.held_out_events += other.held_out_events;
        self.shown += other.shown;
    }

    /// Events that triggered.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.days.values().map(|day| day.events).sum()
    }

    /// Of these, matched.
    #[must_use]
    pub fn matched_events(&self) -> u64 {
        self.days.values().map(|day| day.matched_events).sum()
    }
}

/// What decides in which part a user is.
#[must_use]
pub fn hash(key: &Key) -> u64 {
    hashed(key)
}

fn part(past: &Past) -> usize {
    part_of(past.key.as_ref().map_or_else(|| hashed(&past.id), hash))
}

fn part_of(hash: u64) -> usize {
    usize::try_from(hash % PARTS as u64).unwrap_or(0)
}

fn hashed(of: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::campaign::compile;
    use chrono::{Days, TimeDelta};
    use proptest::prelude::*;

    fn simulation(more: &str) -> Simulation {
        let text = format!(r#"{{"trigger":"e","status":"draft",{more}}}"#);
        let campaign = compile("c", 1, &RawObject::parse(&text).unwrap()).unwrap();
        Simulation::new(campaign, Segments::new(), 0)
    }

    /// An event of user `user` in minute `minute`; every fifth user is nobody.
    fn past((user, minute, kind): (u8, u16, u8)) -> Past {
        let received_at = DateTime::UNIX_EPOCH + TimeDelta::days(20_000) + TimeDelta::minutes(i64::from(minute));
        let what = match kind {
            0 => What::Identify(Traits::parse(r#"{"tier":"gold"}"#).unwrap()),
            1 => What::Identify(Traits::parse(r#"{"tier":"silver"}"#).unwrap()),
            _ => What::Named {
                event: if kind == 2 { "f" } else { "e" }.to_owned(),
                properties: RawObject::default(),
                context: RawObject::default(),
            },
        };
        let key = (user % 5 > 0).then(|| (KeyKind::User, format!("u{user}")));
        let id = Uuid::from_u128(u128::from(user) << 64 | u128::from(minute));
        Past {
            id,
            key,
            day: received_at.date_naive(),
            received_at,
            at: received_at,
            imported: false,
            counts: true,
            what,
        }
    }

    const CAMPAIGN: &str = r#""frequency_cap":{"per_user":2},"hold_out_percentage":20,
        "rules":[{"type":"attribute","field":"tier","operator":"==","value":"gold"},{"type":"event_count","event":"f","value":2,"within":"2d"}]"#;

    #[test]
    fn what_was_known_before_counts_and_what_events_say_later_replaces_it() {
        let mut simulation = simulation(CAMPAIGN);
        let event = past((1, 5_000, 3));
        assert_eq!(simulation.lacks(&event), event.key.as_ref());
        assert_eq!(simulation.lacks(&past((1, 5_000, 0))), None, "an identify asks for nothing");
        let at = event.at - TimeDelta::hours(1);
        let happened = Happened { at, day: at.date_naive() };
        let base = Base {
            traits: Traits::parse(r#"{"tier":"gold"}"#).unwrap(),
            happened: vec![("f".to_owned(), happened); 2],
            history: History::default(),
        };
        simulation.give(event.key.clone().unwrap(), base);
        assert_eq!(simulation.lacks(&event), None);
        simulation.feed(event);
        simulation.feed(past((1, 5_001, 1)));
        simulation.feed(past((1, 5_002, 3)));
        let total = simulation.total();
        let day = DateTime::UNIX_EPOCH.date_naive() + Days::new(20_003);
        assert_eq!(total.days[&day], DaySums { events: 2, matched_events: 1, matched_users: 1 });
        assert_eq!(total.suppressed, BTreeMap::from([("rules", 1)]));
    }

    proptest! {
        #[test]
        fn putting_users_off_changes_nothing_but_the_number_of_passes(
            events in proptest::collection::vec((0_u8..40, 0_u16..6_000, 0_u8..6), 0..300), at in 0_usize..300,
        ) {
            let mut events = events;
            events.sort_by_key(|(_, minute, _)| *minute);
            let mut whole = simulation(CAMPAIGN);
            events.iter().for_each(|event| whole.feed(past(*event)));
            let known: usize = whole.subjects.values().map(Subject::bytes).sum();
            prop_assert_eq!(whole.bytes(), known);

            let (mut parted, mut total, mut passes) = (simulation(CAMPAIGN), Sums::default(), 0);
            loop {
                for (place, event) in events.iter().enumerate() {
                    parted.feed(past(*event));
                    if passes < 2 && place == at {
                        prop_assert!(parted.put_off());
                    }
                }
                total.add(&parted.total());
                passes += 1;
                if !parted.next_pass() {
                    break;
                }
            }
            prop_assert_eq!(&total, &whole.total());
            prop_assert_eq!(passes, if at < events.len() { 3 } else { 1 });
        }
    }
}
