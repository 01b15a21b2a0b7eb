//! All campaigns at one moment, indexed so that an event meets only those that listen to it.

use std::collections::HashMap;
use std::sync::Arc;

use super::compiled::{Compiled, Inert};
use crate::domain::rules::{Facts, Needs, Segments};

/// An immutable snapshot of the campaigns. Everywhere the order is the one it was built in: newest created first, which SDKs
/// take as priority.
#[derive(Debug, Default)]
pub struct Catalog {
    by_trigger: HashMap<String, Listeners>,
    /// Every active one.
    all: Listeners,
    inert: Vec<Inert>,
    segments: Segments,
    nothing: Needs,
}

#[derive(Debug, Default)]
struct Listeners {
    campaigns: Vec<Arc<Compiled>>,
    needs: Needs,
}

impl Listeners {
    fn add(&mut self, campaign: &Arc<Compiled>, needs: &Needs) {
        self.campaigns.push(Arc::clone(campaign));
        self.needs.merge(needs);
    }
}

impl Catalog {
    /// Indexes what [`super::compile`] made of each stored campaign, newest created first, without segments.
    #[must_use]
    pub fn new(campaigns: impl IntoIterator<Item = Result<Compiled, Inert>>) -> Self {
        Self::with_segments(campaigns, Segments::new())
    }

    /// The same with the segments that the campaigns may name.
    #[must_use]
    pub fn with_segments(campaigns: impl IntoIterator<Item = Result<Compiled, Inert>>, segments: Segments) -> Self {
        let mut catalog = Self { segments, ..Self::default() };
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
        let mut needs = campaign.needs().clone();
        needs.resolve(&self.segments);
        for trigger in &campaign.triggers {
            self.by_trigger.entry(trigger.clone()).or_default().add(campaign, &needs);
        }
        self.all.add(campaign, &needs);
    }

    /// Active campaigns that listen to this event name, exactly as spelt. One hash lookup, however many others there are.
    #[must_use]
    pub fn triggered_by(&self, event: &str) -> &[Arc<Compiled>] {
        self.by_trigger.get(event).map_or(&[], |listeners| &listeners.campaigns)
    }

    /// What they look at together, their segments included.
    #[must_use]
    pub fn needs(&self, event: &str) -> &Needs {
        self.by_trigger.get(event).map_or(&self.nothing, |listeners| &listeners.needs)
    }

    /// Does any of them look at traits? If not, they need not be read.
    #[must_use]
    pub fn needs_traits(&self, event: &str) -> bool {
        self.needs(event).traits
    }

    /// Active campaigns that listen to this event and whose rules all hold.
    pub fn matches<'a>(&'a self, event: &str, facts: Facts<'a>) -> impl Iterator<Item = &'a Arc<Compiled>> + use<'a> {
        self.triggered_by(event).iter().filter(move |campaign| campaign.rules_hold(&facts))
    }

    /// Active campaigns for a user apart from any event: the trigger does not count and the event in `facts` is disregarded, so
    /// a campaign is among them only if its rules hold whatever the event.
    pub fn for_user<'a>(&'a self, facts: Facts<'a>) -> impl Iterator<Item = &'a Arc<Compiled>> + use<'a> {
        let facts = Facts { properties: None, context: None, ..facts };
        self.all.campaigns.iter().filter(move |campaign| campaign.rules_hold(&facts))
    }

    /// What all active campaigns look at together, for [`Self::for_user`]. The event in it is of no use there.
    #[must_use]
    pub fn needs_for_user(&self) -> &Needs {
        &self.all.needs
    }

    /// The segments that rules may name.
    #[must_use]
    pub fn segments(&self) -> &Segments {
        &self.segments
    }

    /// Stored campaigns that never match, with their faults; of any status.
    #[must_use]
    pub fn inert(&self) -> &[Inert] {
        &self.inert
    }
}
