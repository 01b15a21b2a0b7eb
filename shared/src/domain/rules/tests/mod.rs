//! Behaviour of the rules as their callers see it.

mod asks;
mod door;
mod plain;
mod reference;
mod semantics;
mod trace;

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use super::{
    Condition, CountWindow, Counts, Facts, Fault, Fields, JsonFields, Scope, Segments, Step, Truth, UnknownFields, read,
};
use crate::domain::raw_object::RawObject;

/// What a test knows. Texts are JSON objects; what is `None` is not known.
struct World {
    traits: Option<String>,
    properties: Option<String>,
    context: Option<String>,
    counts: HashMap<(String, Option<u32>), u32>,
    segments: Segments,
}

impl Default for World {
    fn default() -> Self {
        let empty = || Some(String::from("{}"));
        Self {
            traits: empty(),
            properties: empty(),
            context: empty(),
            counts: HashMap::new(),
            segments: Segments::new(),
        }
    }
}

impl Counts for World {
    fn count(&self, window: &CountWindow) -> Option<u32> {
        let exact = self.counts.get(&(window.event.clone(), window.within_seconds))?;
        Some(*exact.min(&window.most))
    }
}

impl World {
    fn truth(&self, condition: &Condition) -> Truth {
        self.facts(|facts| condition.holds(facts))
    }

    fn trace(&self, condition: &Condition) -> Step {
        self.facts(|facts| condition.trace(facts))
    }

    fn facts<T>(&self, ask: impl FnOnce(&Facts<'_>) -> T) -> T {
        let traits = self.traits.as_deref().map(JsonFields::new);
        let properties = self.properties.as_deref().map(JsonFields::new);
        let context = self.context.as_deref().map(JsonFields::new);
        ask(&Facts {
            traits: traits.as_ref().map_or(&UnknownFields as &dyn Fields, |traits| traits),
            properties: properties.as_ref().map(|fields| fields as &dyn Fields),
            context: context.as_ref().map(|fields| fields as &dyn Fields),
            counts: self,
            segments: &self.segments,
            now: now(),
        })
    }
}

/// The moment of all tests: 2027-01-15T08:00:00Z.
fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap()
}

fn document(text: &str) -> RawObject {
    RawObject::parse(text).unwrap_or_else(|error| panic!("{error} in {text}"))
}

/// The condition of these rules: the inside of the array.
fn condition(rules: &str) -> Condition {
    scoped(rules, Scope::Campaign)
}

fn scoped(rules: &str, scope: Scope) -> Condition {
    let mut faults: Vec<Fault> = Vec::new();
    let text = format!(r#"{{"rules":[{rules}]}}"#);
    let condition = read(&document(&text), scope, &mut faults).condition;
    assert_eq!(faults, [], "{rules}");
    condition
}
