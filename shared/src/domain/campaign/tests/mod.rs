//! Behaviour of the engine as its callers see it.

mod catalog;
mod client_object;
mod door;
mod legacy;
mod selection;

use chrono::DateTime;

use super::{Catalog, Compiled, Inert, compile};
use crate::domain::raw_object::RawObject;
use crate::domain::rules::{Facts, Fields, JsonFields, NoCounts};

fn document(text: &str) -> RawObject {
    RawObject::parse(text).unwrap_or_else(|error| panic!("{error} in {text}"))
}

/// A catalog of these documents, in this order; ids are `c0`, `c1`, ….
fn catalog(documents: &[String]) -> Catalog {
    let compiled = documents.iter().enumerate().map(|(index, text)| compile(&format!("c{index}"), 1, &document(text)));
    Catalog::new(compiled.collect::<Vec<Result<Compiled, Inert>>>())
}

fn facts<'a>(catalog: &'a Catalog, traits: &'a dyn Fields, properties: &'a dyn Fields) -> Facts<'a> {
    Facts {
        traits,
        properties: Some(properties),
        context: Some(properties),
        counts: &NoCounts,
        segments: catalog.segments(),
        now: DateTime::UNIX_EPOCH,
    }
}

/// Ids of the campaigns that match, in order.
fn matched(catalog: &Catalog, event: &str, traits: &str, properties: &str) -> Vec<String> {
    let (traits, properties) = (JsonFields::new(traits), JsonFields::new(properties));
    catalog.matches(event, facts(catalog, &traits, &properties)).map(|campaign| campaign.id.clone()).collect()
}

/// Ids of the campaigns for a user, in order.
fn for_user(catalog: &Catalog, traits: &str) -> Vec<String> {
    let (traits, any_event) = (document(traits), JsonFields::none());
    catalog.for_user(facts(catalog, &traits, &any_event)).map(|campaign| campaign.id.clone()).collect()
}
