//! The walk through a flush's new events in order: each event sees its user as they are at its place in the user's order.
//!
//! Pure. Identifies change the traits, earlier events and matches of the same flush count like stored ones, and what the database
//! must be told comes out at the end. At one event: traits, then goals (an event converts only what came before it), then matches.
//! Imported history is only counted by rules, like any stored event; it neither converts nor matches, and its traits fill gaps.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use shared::domain::campaign::Compiled;
use shared::domain::campaign::assignment::Who;
use shared::domain::campaign::caps::History;
use shared::domain::campaign::delivery::{Decision, Situation, opted_out};
use shared::domain::campaign::goal::Open;
use shared::domain::event::{Event, EventType, Flags};
use shared::domain::rules::{CountWindow, Counts, Facts, JsonFields};
use shared::domain::traits::Traits;
use shared::domain::user_key::{Placeholders, UserKey};
use shared::domain::webhook::Kind;

use super::Incoming;
use super::effects::Plan;
use super::known::{Known, Times};
use super::matches::{Conversion, Match};
use super::outbox::Outgoing;

/// What the walk found.
#[derive(Debug, Default)]
pub struct Walked<'a> {
    /// Per user, all patches merged in order.
    pub patches: BTreeMap<UserKey<'a>, Traits>,
    /// Per user, imported traits: for the keys that nothing is known of.
    pub fills: BTreeMap<UserKey<'a>, Traits>,
    /// `(user_id, anonymous_id)` pairs that are one person.
    pub links: BTreeSet<(&'a str, &'a str)>,
    /// In order.
    pub matches: Vec<Match<'a>>,
    /// In order.
    pub conversions: Vec<Conversion<'a>>,
    /// What receivers are to be told, in order.
    pub outgoing: Vec<Outgoing<'a>>,
    /// How often campaigns with a global cap were shown.
    pub shown: BTreeMap<&'a str, i64>,
}

/// The state of the walk.
struct Walk<'a> {
    plan: &'a Plan<'a>,
    known: Known<'a>,
    /// Times of this flush's own events so far that some rule counts.
    happened: HashMap<(UserKey<'a>, &'a str), Vec<DateTime<Utc>>>,
    walked: Walked<'a>,
}

/// Walks through new events in order, starting from what is stored.
pub fn walk<'a>(events: &[&'a Incoming<'a>], known: Known<'a>, plan: &'a Plan<'a>) -> Walked<'a> {
    let mut walk = Walk { plan, known, happened: HashMap::new(), walked: Walked::default() };
    for incoming in events {
        let user = incoming.event.user_key(plan.context.placeholders);
        walk.identify(&incoming.event, user);
        walk.walked.links.extend(link(&incoming.event, plan.context.placeholders));
        if let Some(trigger) = incoming.event.trigger() {
            walk.happen(&incoming.event, user, trigger);
            if incoming.event.flags.contains(Flags::IMPORTED) {
                continue;
            }
            walk.convert(incoming, user, trigger);
            walk.trigger(incoming, user, trigger);
        }
    }
    walk.walked
}

impl<'a> Walk<'a> {
    fn identify(&mut self, event: &Event<'_>, user: Option<UserKey<'a>>) {
        let Some(user) = user.filter(|_| event.kind == EventType::Identify) else { return };
        let patch = event.traits.as_deref().map(RawValue::get).and_then(|text| Traits::parse(text).ok());
        let patch = patch.unwrap_or_default();
        if event.flags.contains(Flags::IMPORTED) {
            if let Some(current) = self.known.traits.get_mut(&user) {
                current.fill(patch.clone());
            }
            self.walked.fills.entry(user).or_default().fill(patch);
            return;
        }
        if let Some(current) = self.known.traits.get_mut(&user) {
            current.merge(patch.clone());
        }
        self.walked.patches.entry(user).or_default().merge(patch);
    }

    fn happen(&mut self, event: &Event<'_>, user: Option<UserKey<'a>>, trigger: &'a str) {
        if let Some(user) = user.filter(|_| self.plan.context.catalog.is_counted(trigger)) {
            self.happened.entry((user, trigger)).or_default().push(event.happened_at());
        }
    }

    fn convert(&mut self, incoming: &'a Incoming<'a>, user: Option<UserKey<'a>>, trigger: &str) {
        let Some(user) = user else { return };
        let (event, plan) = (&incoming.event, self.plan);
        for campaign in plan.context.catalog.goals(trigger) {
            let Some(shown) = self.known.shown.get_mut(&(user, campaign.id.as_str())) else { continue };
            let Some(goal) = &campaign.delivery.goal else { continue };
            let Some(open) = shown.open.take_if(|open| goal.converts(*open, event.received_at)) else { continue };
            if campaign.delivery.webhook.as_ref().is_some_and(|webhook| webhook.enabled && webhook.on_conversion) {
                self.walked.outgoing.push(Outgoing {
                    kind: Kind::Conversion,
                    campaign_id: &campaign.id,
                    event_id: event.id,
                    match_event_id: open.event_id,
                    day: plan.day_of(incoming),
                    received_at: event.received_at,
                });
            }
            self.walked.conversions.push(Conversion {
                campaign_id: &campaign.id,
                match_event_id: open.event_id,
                event_id: event.id,
                day: plan.day_of(incoming),
                user,
                converted_at: event.received_at,
            });
        }
    }

    fn trigger(&mut self, incoming: &'a Incoming<'a>, user: Option<UserKey<'a>>, trigger: &'a str) {
        let (event, catalog) = (&incoming.event, self.plan.context.catalog);
        let triggered = catalog.triggered_by(trigger);
        if triggered.is_empty() {
            return;
        }
        let nobody = Traits::default();
        let (properties, context) =
            (JsonFields::of(event.properties.as_deref()), JsonFields::of(event.context.as_deref()));
        let mut found = Vec::new();
        {
            let traits = user.and_then(|u| self.known.traits.get(&u)).unwrap_or(&nobody);
            let counts = FlushCounts { times: &self.known.times, happened: &self.happened, user, event, trigger };
            let facts = Facts {
                traits,
                properties: Some(&properties),
                context: Some(&context),
                counts: &counts,
                segments: catalog.segments(),
                now: event.received_at,
            };
            let never = History::default();
            let who = user.map_or(Who::Stranger(event.id), Who::User);
            for campaign in triggered.campaigns() {
                let shown = user.and_then(|u| self.known.shown.get(&(u, campaign.id.as_str())));
                let situation = Situation {
                    who,
                    now: event.received_at,
                    opted_out: opted_out(traits),
                    history: shown.map_or(&never, |shown| &shown.history),
                    shown_to_all: self.known.totals.get(campaign.id.as_str()).copied().unwrap_or(0),
                };
                found.push((campaign, campaign.decide(&facts, &situation)));
            }
        }
        for (campaign, decision) in found {
            self.matched(incoming, user, campaign, decision);
        }
    }

    /// Writes one decision down, for the database and for the events that follow.
    fn matched(
        &mut self,
        incoming: &'a Incoming<'a>,
        user: Option<UserKey<'a>>,
        campaign: &'a Compiled,
        decision: Decision,
    ) {
        let event = &incoming.event;
        let (disposition, variant) = match decision {
            Decision::Show(variant) => ("show", variant),
            Decision::HoldOut(variant) => ("hold_out", variant),
            Decision::Preview(variant) => ("preview", variant),
            Decision::Suppressed(_) => return,
        };
        let id = campaign.id.as_str();
        if let Some(user) = user.filter(|_| disposition != "preview") {
            let shown = self.known.shown.entry((user, id)).or_default();
            shown.history.record(event.received_at);
            shown.open = Some(Open { event_id: event.id, at: event.received_at });
        }
        if disposition == "show" && campaign.delivery.caps.total.is_some() {
            *self.known.totals.entry(id).or_default() += 1;
            *self.walked.shown.entry(id).or_default() += 1;
        }
        let told = campaign.delivery.webhook.as_ref().is_some_and(|webhook| webhook.enabled && webhook.on_match);
        if told && disposition == "show" {
            self.walked.outgoing.push(Outgoing {
                kind: Kind::Match,
                campaign_id: id,
                event_id: event.id,
                match_event_id: event.id,
                day: self.plan.day_of(incoming),
                received_at: event.received_at,
            });
        }
        self.walked.matches.push(Match {
            event_id: event.id,
            campaign_id: id,
            campaign_version: campaign.version,
            day: self.plan.day_of(incoming),
            user,
            variant: campaign.variant_name(variant),
            disposition,
            received_at: event.received_at,
        });
    }
}

/// What a user did: stored before this flush, and in it up to and with the event at hand.
struct FlushCounts<'w, 'a> {
    times: &'w Times<'a>,
    happened: &'w HashMap<(UserKey<'a>, &'a str), Vec<DateTime<Utc>>>,
    user: Option<UserKey<'a>>,
    event: &'w Event<'a>,
    trigger: &'w str,
}

impl Counts for FlushCounts<'_, '_> {
    fn count(&self, window: &CountWindow) -> Option<u32> {
        let Some(user) = self.user else {
            // Of a stranger there is only this event.
            return Some(u32::from(window.event == self.trigger));
        };
        let since = window.since(self.event.received_at);
        let counts = |at: &&DateTime<Utc>| since.is_none_or(|since| **at > since);
        let stored = self.times.get(&(user, window)).map_or(&[][..], Vec::as_slice).iter().filter(counts).count();
        let here = self.happened.get(&(user, window.event.as_str())).map_or(&[][..], Vec::as_slice);
        let all = stored + here.iter().filter(counts).count();
        Some(u32::try_from(all).unwrap_or(u32::MAX).min(window.most))
    }
}

/// An identify with both ids, or an alias, says that two ids are one person.
pub fn link<'a>(event: &'a Event<'a>, placeholders: &Placeholders) -> Option<(&'a str, &'a str)> {
    let real = |id: Option<&'a str>| id.filter(|id| !placeholders.contains(id));
    let user = real(event.user_id.as_deref())?;
    let other = match event.kind {
        EventType::Identify => real(event.anonymous_id.as_deref())?,
        EventType::Alias => real(event.previous_id.as_deref())?,
        EventType::Track | EventType::Page | EventType::Screen | EventType::Group => return None,
    };
    (user != other || event.kind == EventType::Identify).then_some((user, other))
}
