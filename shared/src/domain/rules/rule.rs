//! One compiled rule: where it looks, and what it asks there.

use super::check::Check;
use super::facts::{CountWindow, Facts};
use super::fields::Fields;
use super::keys::{self, Keys};
use super::needs::Needs;
use super::observe::{Observer, Seen};
use super::operator::Relation;
use super::path;
use super::truth::Truth;

/// A leaf of the tree.
#[derive(Debug, Clone)]
pub(super) enum Rule {
    /// On a value of the user or the event.
    Field {
        /// Where the field is looked for.
        source: Source,
        /// Its name, or a dotted path.
        path: Box<str>,
        /// What it must be.
        check: Check,
        /// Text is compared in lower case.
        ignore_case: bool,
    },
    /// On belonging to a segment.
    Segment {
        /// The segment.
        id: String,
        /// Must the user be in it, or not in it?
        inside: bool,
    },
    /// On how often the user did something.
    Count {
        /// What is counted.
        window: CountWindow,
        /// How the count stands to the threshold.
        relation: Relation,
        /// In events.
        threshold: u32,
    },
}

/// Where a rule looks for its field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// The traits of the user.
    Trait,
    /// The properties of the event.
    Property,
    /// The context of the event.
    Context,
}

impl Rule {
    pub fn holds<O: Observer>(&self, facts: &Facts<'_>, observer: &mut O) -> Truth {
        let (seen, truth) = match self {
            Self::Field { source, path, check, ignore_case } => {
                match source.fields(facts).filter(|fields| fields.is_known()) {
                    Some(fields) => {
                        let found = path::find(fields, path);
                        (Seen::Field(found), check.holds(found, *ignore_case, facts.now).into())
                    }
                    None => (Seen::Nothing, Truth::Unknown),
                }
            }
            Self::Segment { id, inside } => {
                observer.enter();
                let member = facts.segments.get(id).map(|segment| segment.observed(facts, observer));
                // Of a segment that does not exist nobody can say who is outside.
                let truth = member.map_or(Truth::False, |member| if *inside { member } else { !member });
                (Seen::Segment(member), truth)
            }
            Self::Count { window, relation, threshold } => match facts.counts.count(window) {
                Some(count) => (Seen::Count(count), relation.holds(count.cmp(threshold)).into()),
                None => (Seen::Nothing, Truth::Unknown),
            },
        };
        observer.rule(self, seen, truth);
        truth
    }

    pub fn add_keys(&self, keys: &mut Keys) {
        if let Self::Field { source, path, .. } = self {
            let of = match source {
                Source::Trait => &mut keys.traits,
                Source::Property => &mut keys.properties,
                Source::Context => &mut keys.context,
            };
            keys::add(of, path);
        }
    }

    pub fn add_needs(&self, needs: &mut Needs) {
        match self {
            Self::Field { source: Source::Trait, .. } => needs.traits = true,
            Self::Field { source: Source::Property | Source::Context, .. } => needs.event = true,
            Self::Segment { id, .. } => {
                needs.segments.insert(id.clone());
            }
            Self::Count { window, .. } => {
                needs.counts.insert(window.clone());
            }
        }
    }
}

impl Source {
    fn fields<'a>(self, facts: &Facts<'a>) -> Option<&'a dyn Fields> {
        match self {
            Self::Trait => Some(facts.traits),
            Self::Property => facts.properties,
            Self::Context => facts.context,
        }
    }
}
