//! A compiled tree of rules, and its evaluation.
//!
//! Invariant: a tree is at most [`super::read::MAX_DEPTH`] groups deep, so plain recursion is safe.

use super::facts::Facts;
use super::keys::Keys;
use super::needs::Needs;
use super::observe::{Group, Observer};
use super::rule::Rule;
use super::trace::{Step, Trace};
use super::truth::Truth;

/// When something holds: rules under `all`, `any` and `not`.
#[derive(Debug, Clone)]
pub struct Condition {
    root: Node,
    needs: Needs,
}

/// One place of the tree.
#[derive(Debug, Clone)]
pub(super) enum Node {
    /// Every one holds; of none: true.
    All(Vec<Node>),
    /// One holds at least; of none: false.
    Any(Vec<Node>),
    /// It does not hold.
    Not(Box<Node>),
    /// A rule on its own.
    Rule(Rule),
}

impl Condition {
    /// Holds whatever the facts.
    #[must_use]
    pub fn always() -> Self {
        Self::new(Node::All(Vec::new()))
    }

    /// Never holds.
    #[must_use]
    pub fn never() -> Self {
        Self::new(Node::Any(Vec::new()))
    }

    pub(super) fn new(root: Node) -> Self {
        let mut needs = Needs::default();
        root.add_needs(&mut needs);
        Self { root, needs }
    }

    /// Does it hold? Unknown only if what is not known decides.
    #[must_use]
    pub fn holds(&self, facts: &Facts<'_>) -> Truth {
        self.root.holds(facts, &mut ())
    }

    /// The same with every step that led there, all rules looked at.
    #[must_use]
    pub fn trace(&self, facts: &Facts<'_>) -> Step {
        let mut trace = Trace::default();
        self.observed(facts, &mut trace);
        trace.finish()
    }

    /// The keys that its rules can look at, not those of its segments.
    pub fn add_keys(&self, keys: &mut Keys) {
        self.root.add_keys(keys);
    }

    pub(super) fn observed<O: Observer>(&self, facts: &Facts<'_>, observer: &mut O) -> Truth {
        self.root.holds(facts, observer)
    }

    /// What it looks at. What its segments look at is added by [`Needs::resolve`].
    #[must_use]
    pub fn needs(&self) -> &Needs {
        &self.needs
    }
}

impl Node {
    fn holds<O: Observer>(&self, facts: &Facts<'_>, observer: &mut O) -> Truth {
        match self {
            Self::All(nodes) => {
                observer.enter();
                let mut least = Truth::True;
                for node in nodes {
                    least = least.min(node.holds(facts, observer));
                    if least == Truth::False && !O::EVERYTHING {
                        break;
                    }
                }
                observer.leave(Group::All, least);
                least
            }
            Self::Any(nodes) => {
                observer.enter();
                let mut greatest = Truth::False;
                for node in nodes {
                    greatest = greatest.max(node.holds(facts, observer));
                    if greatest == Truth::True && !O::EVERYTHING {
                        break;
                    }
                }
                observer.leave(Group::Any, greatest);
                greatest
            }
            Self::Not(node) => {
                observer.enter();
                let truth = !node.holds(facts, observer);
                observer.leave(Group::Not, truth);
                truth
            }
            Self::Rule(rule) => rule.holds(facts, observer),
        }
    }

    fn add_keys(&self, keys: &mut Keys) {
        match self {
            Self::All(nodes) | Self::Any(nodes) => nodes.iter().for_each(|node| node.add_keys(keys)),
            Self::Not(node) => node.add_keys(keys),
            Self::Rule(rule) => rule.add_keys(keys),
        }
    }

    fn add_needs(&self, needs: &mut Needs) {
        match self {
            Self::All(nodes) | Self::Any(nodes) => nodes.iter().for_each(|node| node.add_needs(needs)),
            Self::Not(node) => node.add_needs(needs),
            Self::Rule(rule) => rule.add_needs(needs),
        }
    }
}
