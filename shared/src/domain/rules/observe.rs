//! Who watches while a condition is evaluated: nobody where events are matched, a [`super::trace`] where people ask why.
//!
//! There is one evaluation, generic over its observer, so an explanation cannot differ from what is matched; with `()` for an observer
//! nothing of it is left in the compiled code.

use serde_json::value::RawValue;

use super::rule::Rule;
use super::truth::Truth;

/// A group of the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Group {
    All,
    Any,
    Not,
}

/// What a rule found.
#[derive(Debug, Clone, Copy)]
pub(super) enum Seen<'a> {
    /// Of a field; `None` when there is none.
    Field(Option<&'a RawValue>),
    /// Of a count.
    Count(u32),
    /// Of a segment: is the user a member? Closes what was entered.
    Segment(Option<Truth>),
    /// It could not be known.
    Nothing,
}

/// Is told of each step, inner ones first.
pub(super) trait Observer {
    /// Wants to see every rule, also where the outcome is settled already.
    const EVERYTHING: bool;

    /// What follows belongs to one group, or to one segment.
    fn enter(&mut self) {}

    /// The group is done.
    fn leave(&mut self, _group: Group, _truth: Truth) {}

    /// A rule was asked.
    fn rule(&mut self, _rule: &Rule, _seen: Seen<'_>, _truth: Truth) {}
}

impl Observer for () {
    const EVERYTHING: bool = false;
}
