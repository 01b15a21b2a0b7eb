//! How a tree of rules is read from the `rules` of a document.

use serde_json::value::RawValue;

use super::condition::{Condition, Node};
use super::entry::text;
use super::fault::Fault;
use super::leaf;
use super::rule::Rule;
use super::scope::Scope;
use crate::domain::raw_object::RawObject;

/// Most rules of one document, artefacts not counted. Editors make a handful; the limit bounds the cost of one event.
pub const MAX_RULES: usize = 200;
/// Most groups of one document.
pub const MAX_GROUPS: usize = 200;
/// Deepest nesting of groups.
pub const MAX_DEPTH: usize = 16;

const EXPECTED: &str =
    "must be an object {type, field, operator, value}, or a group {all: […]}, {any: […]} or {not: …}";

/// The `rules` of a document, read.
#[derive(Debug)]
pub struct Read<'a> {
    /// All of them must hold; only complete when no fault was found.
    pub condition: Condition,
    /// The text of each element of `rules` that is not an artefact.
    pub kept: Vec<&'a RawValue>,
    /// How many artefacts of an editor were left out.
    pub artefacts: usize,
    /// The document does not hold them as they are kept: there were artefacts, or one group stood in place of the array.
    pub rewritten: bool,
}

impl Read<'_> {
    /// Puts the rules into `document` as they are kept: always an array, because dashboards map over it, without artefacts.
    pub fn clean(&self, document: &mut RawObject) -> serde_json::Result<()> {
        if self.rewritten { document.set("rules", &self.kept) } else { Ok(()) }
    }
}

/// Reads `rules` (missing or null: none), naming every fault.
pub fn read<'a>(document: &'a RawObject, scope: Scope, faults: &mut Vec<Fault>) -> Read<'a> {
    let mut read = Read { condition: Condition::always(), kept: Vec::new(), artefacts: 0, rewritten: false };
    let mut tree = Tree { scope, faults, rules: 0, groups: 0 };
    let nodes = match document.get("rules") {
        None => Vec::new(),
        Some(raw) if raw.get().starts_with('{') => tree.only_group(raw, &mut read),
        Some(raw) => tree.top_level(raw, &mut read),
    };
    tree.check_totals();
    read.rewritten |= read.artefacts > 0;
    read.condition = Condition::new(Node::All(nodes));
    read
}

struct Tree<'f> {
    scope: Scope,
    faults: &'f mut Vec<Fault>,
    rules: usize,
    groups: usize,
}

impl Tree<'_> {
    fn top_level<'a>(&mut self, raw: &'a RawValue, read: &mut Read<'a>) -> Vec<Node> {
        let Ok(listed) = serde_json::from_str::<Option<Vec<&RawValue>>>(raw.get()) else {
            self.fault::<()>("rules", "wrong_type", "must be an array of rules and groups, or one group, or absent");
            return Vec::new();
        };
        let mut nodes = Vec::new();
        for (index, raw) in listed.unwrap_or_default().into_iter().enumerate() {
            let source = RawObject::parse(raw.get()).ok();
            if source.as_ref().is_some_and(is_artefact) {
                read.artefacts += 1;
                continue;
            }
            read.kept.push(raw);
            nodes.extend(self.node(source.as_ref(), &format!("rules[{index}]"), 0));
        }
        nodes
    }

    /// `rules` that is itself a group.
    fn only_group<'a>(&mut self, raw: &'a RawValue, read: &mut Read<'a>) -> Vec<Node> {
        let source = RawObject::parse(raw.get()).ok().filter(|source| !groups(source).is_empty());
        let Some(source) = source else {
            self.fault::<()>("rules", "wrong_type", "must be an array of rules and groups, or one group, or absent");
            return Vec::new();
        };
        read.kept.push(raw);
        read.rewritten = true;
        self.node(Some(&source), "rules", 0).into_iter().collect()
    }

    /// A rule or group inside `depth` groups; `None` after a fault.
    fn node(&mut self, source: Option<&RawObject>, path: &str, depth: usize) -> Option<Node> {
        let groups = source.map(groups).unwrap_or_default();
        let (Some(source), false) = (source, groups.is_empty()) else {
            return self.rule(source, path).map(Node::Rule);
        };
        self.groups += 1;
        if self.groups > MAX_GROUPS {
            return None;
        }
        let &[(group, inner)] = groups.as_slice() else {
            return self.fault(path, "ambiguous", "must be one of all, any and not; put one inside the other");
        };
        if source.get("field").is_some() || source.get("operator").is_some() {
            return self.fault(path, "ambiguous", "must be either a rule or a group, not both");
        }
        if depth == MAX_DEPTH {
            return self.fault(path, "too_deep", format!("is inside {MAX_DEPTH} groups already; no more are allowed"));
        }
        match group {
            Group::All => Some(Node::All(self.list(inner, &format!("{path}.all"), depth + 1)?)),
            Group::Any => {
                let path = format!("{path}.any");
                let nodes = self.list(inner, &path, depth + 1)?;
                if nodes.is_empty() {
                    return self.fault(&path, "required", "must hold at least one rule: of none, none can hold");
                }
                Some(Node::Any(nodes))
            }
            Group::Not => {
                let inner = RawObject::parse(inner.get()).ok();
                Some(Node::Not(Box::new(self.node(inner.as_ref(), &format!("{path}.not"), depth + 1)?)))
            }
        }
    }

    /// The members of a group; `None` after a fault.
    fn list(&mut self, raw: &RawValue, path: &str, depth: usize) -> Option<Vec<Node>> {
        let Ok(listed) = serde_json::from_str::<Vec<&RawValue>>(raw.get()) else {
            return self.fault(path, "wrong_type", "must be an array of rules and groups");
        };
        let before = self.faults.len();
        let mut nodes = Vec::new();
        for (index, raw) in listed.into_iter().enumerate() {
            let source = RawObject::parse(raw.get()).ok();
            nodes.extend(self.node(source.as_ref(), &format!("{path}[{index}]"), depth));
        }
        let complete = self.faults.len() == before && self.rules <= MAX_RULES && self.groups <= MAX_GROUPS;
        complete.then_some(nodes)
    }

    fn rule(&mut self, source: Option<&RawObject>, path: &str) -> Option<Rule> {
        self.rules += 1;
        if self.rules > MAX_RULES {
            return None;
        }
        match source {
            Some(source) => leaf::read(source, self.scope, path, self.faults),
            None => self.fault(path, "wrong_type", EXPECTED),
        }
    }

    fn check_totals(&mut self) {
        for (count, limit, what) in [(self.rules, MAX_RULES, "rules"), (self.groups, MAX_GROUPS, "groups")] {
            if count > limit {
                self.fault::<()>("rules", "too_many", format!("has {count} {what}; at most {limit} are allowed"));
            }
        }
    }

    /// Notes a fault; always `None`.
    fn fault<T>(&mut self, path: &str, code: &'static str, message: impl Into<String>) -> Option<T> {
        self.faults.push(Fault::new(path, code, message));
        None
    }
}

#[derive(Clone, Copy)]
enum Group {
    All,
    Any,
    Not,
}

/// Which of `all`, `any` and `not` the object has; a rule has none.
fn groups(source: &RawObject) -> Vec<(Group, &RawValue)> {
    let given = |(key, group)| Some((group, source.get(key).filter(|raw| raw.get() != "null")?));
    [("all", Group::All), ("any", Group::Any), ("not", Group::Not)].into_iter().filter_map(given).collect()
}

/// A dashboard adds this rule on every load and save. It could never hold, so it silenced the campaigns it got into.
pub(super) fn is_artefact(rule: &RawObject) -> bool {
    let is = |key, wanted| text(rule, key).is_some_and(|found| found == wanted);
    is("field", "unknown") && is("operator", "==") && is("value", "")
}
