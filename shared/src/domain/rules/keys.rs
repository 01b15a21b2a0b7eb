//! Which top-level keys of traits, properties and context a condition can look at: who reads much reads only these.

use std::collections::BTreeSet;

/// Keys at the top of each object. A rule on `a.b` may look at `a.b` and at `a`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keys {
    /// Of the user's traits.
    pub traits: BTreeSet<String>,
    /// Of the event's properties.
    pub properties: BTreeSet<String>,
    /// Of the event's context.
    pub context: BTreeSet<String>,
}

/// Adds the keys of a path.
pub(super) fn add(keys: &mut BTreeSet<String>, path: &str) {
    keys.insert(path.to_owned());
    keys.extend(path.split_once('.').map(|(head, _)| head.to_owned()));
}
