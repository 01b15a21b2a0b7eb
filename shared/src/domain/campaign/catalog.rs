//! All campaigns at one moment, indexed so that an event meets only those that listen to it.

use std::collections::HashMap;
use std::sync::Arc;

use super::compiled::{Compiled, Facts, Inert};
use super::fields::{Fields, JsonFields};
use super::rule::Source;

/// An immutable snapshot of the campaigns. Everywhere the order is the one it was built in: newest created first, which SDKs
/// take as priority.
#[derive(Debug, Default)]
pub struct Catalog {
    by_trigger: HashMap<String, Listeners>,
    /// Active and without a rule on event properties.
    for_users: Vec<Arc<Compiled>>,
    inert: Vec<Inert>,
}

#[derive(Debug, Default)]
struct Listeners {
    campaigns: Vec<Arc<Compiled>>,
    need_traits: bool,
}

impl Catalog {
    /// Indexes what [`super::compile`] made of each stored campaign, newest created first.
    #[must_use]
    pub fn new(campaigns: impl IntoIterator<Item = Result<Compiled, Inert>>) -> Self {
        let mut catalog = Self::default();
        for campaign in campaigns {
            match campaign {
                Ok(campaign) if campaign.active => catalog.add(&Arc::new(campaign)),
                Ok(_) => {}
                Err(inert) => catalog.inert.push(inert),
            }
        }
        catalog
    }

    fn add(&mut self, campaign: &Arc<Compiled>) {
        for trigger in &campaign.triggers {
            let listeners = self.by_trigger.entry(trigger.clone()).or_default();
            listeners.need_traits |= campaign.has_rule_on(Source::Trait);
            listeners.campaigns.push(Arc::clone(campaign));
        }
        if !campaign.has_rule_on(Source::Property) {
            self.for_users.push(Arc::clone(campaign));
        }
    }

    /// Active campaigns that listen to this event name, exactly as spelt. One hash lookup, however many others there are.
    #[must_use]
    pub fn triggered_by(&self, event: &str) -> &[Arc<Compiled>] {
        self.by_trigger.get(event).map_or(&[], |listeners| &listeners.campaigns)
    }

    /// Does any of them look at traits? If not, they need not be read.
    #[must_use]
    pub fn needs_traits(&self, event: &str) -> bool {
        self.by_trigger.get(event).is_some_and(|listeners| listeners.need_traits)
    }

    /// Active campaigns that listen to this event and whose rules all hold.
    pub fn matches<'a>(&'a self, event: &str, facts: Facts<'a>) -> impl Iterator<Item = &'a Arc<Compiled>> + use<'a> {
        self.triggered_by(event).iter().filter(move |campaign| campaign.rules_hold(&facts))
    }

    /// Active campaigns for a user apart from any event: the trigger does not count, the rules on traits must hold, and a
    /// campaign with a rule on event properties is never among them.
    #[must_use]
    pub fn for_user(&self, traits: &dyn Fields) -> Vec<&Arc<Compiled>> {
        let facts = Facts { traits, properties: &JsonFields::none() };
        self.for_users.iter().filter(|campaign| campaign.rules_hold(&facts)).collect()
    }

    /// Stored campaigns that never match, with their faults; of any status.
    #[must_use]
    pub fn inert(&self) -> &[Inert] {
        &self.inert
    }
}
