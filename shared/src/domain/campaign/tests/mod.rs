//! Behaviour of the engine as its callers see it.

mod catalog;
mod client_object;
mod door;
mod explain;
mod legacy;
mod selection;

use std::sync::Arc;

use chrono::DateTime;

use super::assignment::Who;
use super::caps::History;
use super::delivery::{Decision, Situation};
use super::{Catalog, Compiled, Contents, compile};
use crate::domain::raw_object::RawObject;
use crate::domain::rules::{Facts, Fields, JsonFields, NoCounts, Segments};
use crate::domain::user_key::UserKey;

fn document(text: &str) -> RawObject {
    RawObject::parse(text).unwrap_or_else(|error| panic!("{error} in {text}"))
}

/// A catalog of these documents, in this order; ids are `c0`, `c1`, ….
fn catalog(documents: &[String]) -> Catalog {
    with_segments(documents, Segments::new())
}

fn with_segments(documents: &[String], segments: Segments) -> Catalog {
    let compile = |(index, text): (usize, &String)| compile(&format!("c{index}"), 1, &document(text)).map(Arc::new);
    let campaigns = documents.iter().enumerate().map(compile).collect();
    Catalog::new(Contents { campaigns, segments, ..Contents::default() })
}

fn facts<'a>(catalog: &'a Catalog, traits: &'a dyn Fields, event: Option<&'a dyn Fields>) -> Facts<'a> {
    let segments = catalog.segments();
    Facts { traits, properties: event, context: event, counts: &NoCounts, segments, now: DateTime::UNIX_EPOCH }
}

/// Would it be shown to the user `u`?
fn shown(campaign: &Compiled, facts: &Facts<'_>) -> bool {
    let (who, history) = (Who::User(UserKey::user("u")), History::default());
    let situation = Situation { who, now: facts.now, opted_out: false, history: &history, shown_to_all: 0 };
    matches!(campaign.decide(facts, &situation), Decision::Show(_) | Decision::Preview(_))
}

/// Ids of the campaigns that match, in order.
fn matched(catalog: &Catalog, event: &str, traits: &str, properties: &str) -> Vec<String> {
    let (traits, properties) = (JsonFields::new(traits), JsonFields::new(properties));
    let facts = facts(catalog, &traits, Some(&properties));
    catalog.triggered_by(event).campaigns().filter(|c| shown(c, &facts)).map(|c| c.id.clone()).collect()
}

/// Ids of the campaigns for a user, in order.
fn for_user(catalog: &Catalog, traits: &str) -> Vec<String> {
    let traits = document(traits);
    let facts = facts(catalog, &traits, None);
    catalog.for_users().campaigns().filter(|c| shown(c, &facts)).map(|c| c.id.clone()).collect()
}
