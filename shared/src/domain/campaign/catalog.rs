//! Everything compiled at one moment: campaigns indexed so that an event meets only those that listen to it, segments and flags.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use chrono::TimeDelta;

use super::compiled::{Compiled, Inert};
use crate::domain::feature::Flag;
use crate::domain::rules::{CountWindow, Needs, Segments};

/// An immutable snapshot. Everywhere campaigns with a higher priority come first, then the newest created, which SDKs take as
/// priority.
#[derive(Debug, Default)]
pub struct Catalog {
    by_trigger: HashMap<String, Listeners>,
    /// By [`folded`] trigger: campaigns that do not mind how an event is spelt.
    loosely: HashMap<String, Listeners>,
    for_users: Listeners,
    /// By id, of any status.
    by_id: HashMap<String, Arc<Compiled>>,
    /// How long a match of any of them may wait for an app.
    longest_match_ttl: TimeDelta,
    /// By goal event.
    goals: HashMap<String, Vec<Arc<Compiled>>>,
    /// Events that some rule counts.
    counted: HashSet<String>,
    segments: Segments,
    features: HashMap<String, Flag>,
    inert: Vec<Inert>,
    /// Ids of all campaigns, also of those that do nothing, and whether they have a goal.
    campaigns: HashMap<String, bool>,
}

/// Campaigns that are asked together, in order.
#[derive(Debug, Default)]
pub struct Listeners {
    /// With their place among all campaigns.
    ranked: Vec<(usize, Arc<Compiled>)>,
    /// What must be known to decide them.
    pub wants: Wants,
}

/// What must be known about a user to decide campaigns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wants {
    /// Traits, for rules and for the opt-out.
    pub traits: bool,
    /// How often the user did what.
    pub counts: BTreeSet<CountWindow>,
    /// What the user was shown of these campaigns.
    pub history: BTreeSet<String>,
    /// How often these campaigns were shown to anybody.
    pub totals: BTreeSet<String>,
}

/// What a [`Catalog`] is made of.
#[derive(Debug, Default)]
pub struct Contents {
    /// Newest created first.
    pub campaigns: Vec<Result<Arc<Compiled>, Inert>>,
    /// Segments that are well formed.
    pub segments: Segments,
    /// Flags that are well formed, by key.
    pub features: HashMap<String, Flag>,
    /// Segments and flags that are not.
    pub inert: Vec<Inert>,
}

impl Catalog {
    /// Indexes what was compiled.
    #[must_use]
    pub fn new(contents: Contents) -> Self {
        let Contents { campaigns, segments, features, inert } = contents;
        let mut catalog = Self { segments, features, inert, ..Self::default() };
        let mut compiled = Vec::with_capacity(campaigns.len());
        for campaign in campaigns {
            match campaign {
                Ok(campaign) => {
                    catalog.campaigns.insert(campaign.id.clone(), campaign.delivery.goal.is_some());
                    compiled.push(campaign);
                }
                Err(inert) => {
                    catalog.campaigns.insert(inert.id.clone(), false);
                    catalog.inert.push(inert);
                }
            }
        }
        // Stable: among equals the order given stands.
        compiled.sort_by_key(|campaign| Reverse(campaign.delivery.priority));
        for (rank, campaign) in compiled.into_iter().enumerate() {
            catalog.add(rank, &campaign);
        }
        let flags = catalog.features.values().map(|flag| flag.condition().needs());
        let counts = flags.chain(catalog.segments.iter().map(|(_, condition)| condition.needs()));
        catalog.counted.extend(counts.flat_map(|needs| &needs.counts).map(|window| window.event.clone()));
        catalog
    }

    fn add(&mut self, rank: usize, campaign: &Arc<Compiled>) {
        self.by_id.insert(campaign.id.clone(), Arc::clone(campaign));
        self.longest_match_ttl = self.longest_match_ttl.max(campaign.delivery.match_ttl());
        // A match that was shown may convert after its campaign has stopped.
        if let Some(goal) = &campaign.delivery.goal {
            self.goals.entry(goal.event.clone()).or_default().push(Arc::clone(campaign));
        }
        if !campaign.listens() {
            return;
        }
        let mut needs = campaign.condition.needs().clone();
        needs.resolve(&self.segments);
        self.counted.extend(needs.counts.iter().map(|window| window.event.clone()));
        for trigger in &campaign.triggers {
            let listeners = if campaign.listens_loosely {
                self.loosely.entry(folded(trigger)).or_default()
            } else {
                self.by_trigger.entry(trigger.clone()).or_default()
            };
            listeners.add(rank, campaign, &needs);
        }
        self.for_users.add(rank, campaign, &needs);
    }

    /// Campaigns that listen to this event. One or two hash lookups, however many others there are.
    #[must_use]
    pub fn triggered_by(&self, event: &str) -> Triggered<'_> {
        let loosely = if self.loosely.is_empty() { None } else { self.loosely.get(&folded(event)) };
        Triggered { exactly: self.by_trigger.get(event), loosely }
    }

    /// Campaigns apart from any event: active ones, and those with test users.
    #[must_use]
    pub fn for_users(&self) -> &Listeners {
        &self.for_users
    }

    /// The campaign with this id, of any status; malformed ones are not there.
    #[must_use]
    pub fn campaign(&self, id: &str) -> Option<&Arc<Compiled>> {
        self.by_id.get(id)
    }

    /// The longest time that a match of any campaign waits for an app.
    #[must_use]
    pub fn longest_match_ttl(&self) -> TimeDelta {
        self.longest_match_ttl
    }

    /// Campaigns whose goal this event is, of any status.
    #[must_use]
    pub fn goals(&self, event: &str) -> &[Arc<Compiled>] {
        self.goals.get(event).map_or(&[], Vec::as_slice)
    }

    /// Is there a campaign with this id, of any status?
    #[must_use]
    pub fn has_campaign(&self, id: &str) -> bool {
        self.campaigns.contains_key(id)
    }

    /// Ids of the campaigns that have a goal, of any status.
    pub fn with_goal(&self) -> impl Iterator<Item = &str> {
        self.campaigns.iter().filter(|(_, has_goal)| **has_goal).map(|(id, _)| id.as_str())
    }

    /// Does some rule count this event?
    #[must_use]
    pub fn is_counted(&self, event: &str) -> bool {
        self.counted.contains(event)
    }

    /// The segments that rules may name.
    #[must_use]
    pub fn segments(&self) -> &Segments {
        &self.segments
    }

    /// A feature flag.
    #[must_use]
    pub fn feature(&self, key: &str) -> Option<&Flag> {
        self.features.get(key)
    }

    /// What a condition needs, that of its segments included.
    #[must_use]
    pub fn wants(&self, needs: &Needs) -> Wants {
        let mut needs = needs.clone();
        needs.resolve(&self.segments);
        Wants { traits: needs.traits, counts: needs.counts, ..Wants::default() }
    }

    /// What is stored but malformed and therefore does nothing, with its faults; of any status.
    #[must_use]
    pub fn inert(&self) -> &[Inert] {
        &self.inert
    }
}

impl Wants {
    /// Adds what others want.
    pub fn merge(&mut self, other: &Self) {
        self.traits |= other.traits;
        self.counts.extend(other.counts.iter().cloned());
        self.history.extend(other.history.iter().cloned());
        self.totals.extend(other.totals.iter().cloned());
    }
}

impl Listeners {
    fn add(&mut self, rank: usize, campaign: &Arc<Compiled>, needs: &Needs) {
        // Two spellings of one trigger may fold into one.
        if self.ranked.last().is_some_and(|(last, _)| *last == rank) {
            return;
        }
        let delivery = &campaign.delivery;
        self.wants.traits |= needs.traits || !delivery.ignore_opt_out;
        self.wants.counts.extend(needs.counts.iter().cloned());
        if delivery.caps.per_user() {
            self.wants.history.insert(campaign.id.clone());
        }
        if delivery.caps.total.is_some() {
            self.wants.totals.insert(campaign.id.clone());
        }
        self.ranked.push((rank, Arc::clone(campaign)));
    }

    /// The campaigns, in order.
    pub fn campaigns(&self) -> impl Iterator<Item = &Arc<Compiled>> {
        self.ranked.iter().map(|(_, campaign)| campaign)
    }
}

/// The campaigns that listen to one event.
#[derive(Debug, Clone, Copy)]
pub struct Triggered<'a> {
    exactly: Option<&'a Listeners>,
    loosely: Option<&'a Listeners>,
}

impl<'a> Triggered<'a> {
    /// None at all?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.exactly.is_none() && self.loosely.is_none()
    }

    /// At most two groups, with what each wants to know.
    pub fn listeners(&self) -> impl Iterator<Item = &'a Listeners> + use<'a> {
        self.exactly.into_iter().chain(self.loosely)
    }

    /// The campaigns, in order.
    pub fn campaigns(&self) -> impl Iterator<Item = &'a Arc<Compiled>> + use<'a> {
        let of = |listeners: Option<&'a Listeners>| listeners.map_or(&[][..], |l| l.ranked.as_slice());
        let (mut exactly, mut loosely) = (of(self.exactly), of(self.loosely));
        std::iter::from_fn(move || {
            let side = match (exactly.first(), loosely.first()) {
                (Some((a, _)), Some((b, _))) if b < a => &mut loosely,
                (Some(_), _) => &mut exactly,
                (None, _) => &mut loosely,
            };
            let ((_, campaign), rest) = side.split_first()?;
            *side = rest;
            Some(campaign)
        })
    }
}

/// A name as a campaign with `trigger_match: "loose"` sees it: without case, `_` as a blank.
#[must_use]
pub fn folded(event: &str) -> String {
    event.to_lowercase().replace('_', " ")
}
