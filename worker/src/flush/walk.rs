//! The walk through a flush's new events in order: each event sees the traits as they are at its place in its user's order.
//!
//! Pure. Identifies change the traits, tracks are matched with them, and what the database must be told comes out at the end.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::NaiveDate;
use serde_json::value::RawValue;
use shared::domain::event::{Event, EventType};
use shared::domain::rules::{Facts, JsonFields, NoCounts};
use shared::domain::traits::Traits;
use shared::domain::user_key::UserKey;
use uuid::Uuid;

use super::effects::Plan;
use super::{Context, Incoming};

/// One event matched one campaign.
#[derive(Debug, PartialEq, Eq)]
pub struct Match<'a> {
    /// The event.
    pub event_id: Uuid,
    /// The campaign.
    pub campaign_id: String,
    /// In which version.
    pub campaign_version: i64,
    /// The day its row is under.
    pub day: NaiveDate,
    /// Whose event it is.
    pub user: Option<UserKey<'a>>,
}

/// What the walk found.
#[derive(Debug, Default)]
pub struct Walked<'a> {
    /// Per user, all patches merged in order.
    pub patches: BTreeMap<UserKey<'a>, Traits>,
    /// `(user_id, anonymous_id)` pairs that are one person.
    pub links: BTreeSet<(&'a str, &'a str)>,
    /// In order.
    pub matches: Vec<Match<'a>>,
}

/// The users whose stored traits some campaign will look at.
pub fn keys_needing_traits<'a>(events: &[&'a Incoming<'a>], context: &Context<'_>) -> BTreeSet<UserKey<'a>> {
    events
        .iter()
        .filter(|i| i.event.trigger().is_some_and(|trigger| context.catalog.needs_traits(trigger)))
        .filter_map(|i| i.event.user_key(context.placeholders))
        .collect()
}

/// Walks through new events in order, starting from the stored traits of those that need them.
pub fn walk<'a>(events: &[&'a Incoming<'a>], mut traits: HashMap<UserKey<'a>, Traits>, plan: &Plan<'_>) -> Walked<'a> {
    let context = plan.context;
    let mut walked = Walked::default();
    let nobody = Traits::default();
    for incoming in events {
        let event = &incoming.event;
        let user = event.user_key(context.placeholders);
        if let Some(user) = user.filter(|_| event.kind == EventType::Identify) {
            let patch = event.traits.as_deref().map(RawValue::get).and_then(|text| Traits::parse(text).ok());
            let patch = patch.unwrap_or_default();
            if let Some(current) = traits.get_mut(&user) {
                current.merge(patch.clone());
            }
            walked.patches.entry(user).or_default().merge(patch);
        }
        walked.links.extend(link(event, context));
        let Some(trigger) = event.trigger() else { continue };
        if context.catalog.triggered_by(trigger).is_empty() {
            continue;
        }
        let properties = JsonFields::of(event.properties.as_deref());
        let event_context = JsonFields::of(event.context.as_deref());
        let facts = Facts {
            traits: user.and_then(|u| traits.get(&u)).unwrap_or(&nobody),
            properties: Some(&properties),
            context: Some(&event_context),
            counts: &NoCounts,
            segments: context.catalog.segments(),
            now: event.received_at,
        };
        walked.matches.extend(context.catalog.matches(trigger, facts).map(|campaign| Match {
            event_id: event.id,
            campaign_id: campaign.id.clone(),
            campaign_version: campaign.version,
            day: plan.day_of(incoming),
            user,
        }));
    }
    walked
}

/// An identify with both ids, or an alias, says that two ids are one person.
fn link<'a>(event: &'a Event<'a>, context: &Context<'_>) -> Option<(&'a str, &'a str)> {
    let real = |id: Option<&'a str>| id.filter(|id| !context.placeholders.contains(id));
    let user = real(event.user_id.as_deref())?;
    let other = match event.kind {
        EventType::Identify => real(event.anonymous_id.as_deref())?,
        EventType::Alias => real(event.previous_id.as_deref())?,
        EventType::Track | EventType::Page | EventType::Screen | EventType::Group => return None,
    };
    (user != other || event.kind == EventType::Identify).then_some((user, other))
}
