//! Behaviour of the engine as its callers see it.

mod catalog;
mod client_object;
mod door;
mod legacy;
mod reference;
mod semantics;

use super::{Catalog, Compiled, Facts, Inert, JsonFields, compile};
use crate::domain::raw_object::RawObject;

fn document(text: &str) -> RawObject {
    RawObject::parse(text).unwrap_or_else(|error| panic!("{error} in {text}"))
}

/// A catalog of these documents, in this order; ids are `c0`, `c1`, ….
fn catalog(documents: &[String]) -> Catalog {
    let compiled = documents.iter().enumerate().map(|(index, text)| compile(&format!("c{index}"), 1, &document(text)));
    Catalog::new(compiled.collect::<Vec<Result<Compiled, Inert>>>())
}

/// Ids of the campaigns that match, in order.
fn matched(catalog: &Catalog, event: &str, traits: &str, properties: &str) -> Vec<String> {
    let (traits, properties) = (JsonFields::new(traits), JsonFields::new(properties));
    let facts = Facts { traits: &traits, properties: &properties };
    catalog.matches(event, facts).map(|campaign| campaign.id.clone()).collect()
}

/// Ids of the campaigns for a user, in order.
fn for_user(catalog: &Catalog, traits: &str) -> Vec<String> {
    let campaigns = catalog.for_user(&document(traits));
    campaigns.iter().map(|campaign| campaign.id.clone()).collect()
}
