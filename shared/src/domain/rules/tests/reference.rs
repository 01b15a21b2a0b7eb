//! The engine against a slow, obvious evaluator that never sees JSON: whole trees with everything they can look at.

use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;
use proptest::sample::select;

use super::asks::{Ask, any_ask, any_ask_with_field};
use super::plain::{Named, Plain, any_fields, object};
use super::{World, condition, scoped};
use crate::domain::rules::{Grouped, Needs, Scope, Step, Truth};

#[derive(Debug, Clone)]
enum Tree {
    All(Vec<Tree>),
    Any(Vec<Tree>),
    Not(Box<Tree>),
    Field(Option<&'static str>, String, Ask),
    Segment(&'static str, bool),
    Count(&'static str, Option<u32>, &'static str, u32),
}

/// What is known; `None` is not.
#[derive(Debug, Clone)]
struct Known {
    traits: Option<Named>,
    properties: Option<Named>,
    context: Option<Named>,
    counts: BTreeMap<(&'static str, Option<u32>), u32>,
    segments: BTreeMap<&'static str, Tree>,
}

impl Tree {
    fn json(&self) -> String {
        let list = |trees: &[Tree]| trees.iter().map(Tree::json).collect::<Vec<_>>().join(",");
        match self {
            Self::All(trees) => format!(r#"{{"all":[{}]}}"#, list(trees)),
            Self::Any(trees) => format!(r#"{{"any":[{}]}}"#, list(trees)),
            Self::Not(tree) => format!(r#"{{"not":{}}}"#, tree.json()),
            Self::Field(kind, path, ask) => {
                let kind = kind.map_or(String::new(), |kind| format!(r#""type":"{kind}","#));
                format!(r#"{{{kind}"field":"{path}",{}}}"#, ask.json())
            }
            Self::Segment(id, inside) => {
                let operator = if *inside { "in" } else { "not_in" };
                format!(r#"{{"type":"segment","segment":"{id}","operator":"{operator}"}}"#)
            }
            Self::Count(event, within, sign, threshold) => {
                let within = within.map_or(String::from("null"), |seconds| seconds.to_string());
                format!(
                    r#"{{"type":"event_count","event":"{event}","within":{within},"operator":"{sign}","value":{threshold}}}"#
                )
            }
        }
    }

    /// Has the trace the same shape, each step with the outcome that it has by itself?
    fn is_shown_by(&self, step: &Step, known: &Known) -> bool {
        let inner = step.inner();
        let all = |trees: &[Tree]| {
            trees.len() == inner.len() && trees.iter().zip(inner).all(|(tree, step)| tree.is_shown_by(step, known))
        };
        step.pass() == self.holds(known)
            && match (self, step) {
                (Self::All(trees), Step::Group(Grouped { all: Some(_), .. }))
                | (Self::Any(trees), Step::Group(Grouped { any: Some(_), .. })) => all(trees),
                (Self::Not(tree), Step::Group(Grouped { not: Some(_), .. })) => all(std::slice::from_ref(tree)),
                (Self::Segment(id, _), Step::Rule(_)) => match known.segments.get(id) {
                    Some(segment) => segment.is_shown_by(inner[0].inner().first().unwrap(), known),
                    None => inner.is_empty(),
                },
                (Self::Field(..) | Self::Count(..), Step::Rule(_)) => inner.is_empty(),
                _ => false,
            }
    }

    /// `None`: it depends on what is not known.
    fn holds(&self, known: &Known) -> Option<bool> {
        match self {
            Self::All(trees) => {
                let found: Vec<Option<bool>> = trees.iter().map(|tree| tree.holds(known)).collect();
                if found.contains(&Some(false)) {
                    Some(false)
                } else {
                    found.iter().all(Option::is_some).then_some(true)
                }
            }
            Self::Any(trees) => {
                let found: Vec<Option<bool>> = trees.iter().map(|tree| tree.holds(known)).collect();
                if found.contains(&Some(true)) {
                    Some(true)
                } else {
                    found.iter().all(Option::is_some).then_some(false)
                }
            }
            Self::Not(tree) => tree.holds(known).map(|holds| !holds),
            Self::Field(kind, path, ask) => {
                let fields = match kind {
                    Some("attribute" | "trait") => &known.traits,
                    Some("context") => &known.context,
                    _ => &known.properties,
                };
                let parts: Vec<&str> = path.split('.').collect();
                fields.as_ref().map(|fields| ask.holds(find(fields, &parts)))
            }
            Self::Segment(id, inside) => match known.segments.get(id) {
                Some(segment) => segment.holds(known).map(|member| member == *inside),
                None => Some(false),
            },
            Self::Count(event, within, sign, threshold) => {
                let count = *known.counts.get(&(*event, *within))?;
                Some(match *sign {
                    "==" => count == *threshold,
                    "!=" => count != *threshold,
                    ">" => count > *threshold,
                    ">=" => count >= *threshold,
                    "<" => count < *threshold,
                    "<=" => count <= *threshold,
                    other => panic!("no such sign: {other}"),
                })
            }
        }
    }
}

/// The whole rest as one key, or else the first part and on.
fn find<'a>(fields: &'a Named, parts: &[&str]) -> Option<&'a Plain> {
    if let Some(found) = fields.get(&parts.join(".")) {
        return Some(found);
    }
    match fields.get(parts[0]) {
        Some(Plain::Object(inner)) if parts.len() > 1 => find(inner, &parts[1..]),
        _ => None,
    }
}

impl Known {
    fn world(&self) -> World {
        let counts = self.counts.iter().map(|((event, within), count)| (((*event).to_owned(), *within), *count));
        let segment = |(id, tree): (&&str, &Tree)| ((*id).to_owned(), scoped(&tree.json(), Scope::Segment));
        World {
            traits: self.traits.as_ref().map(object),
            properties: self.properties.as_ref().map(object),
            context: self.context.as_ref().map(object),
            counts: counts.collect::<HashMap<_, _>>(),
            segments: self.segments.iter().map(segment).collect(),
        }
    }

    /// Only what is needed.
    fn reduced(&self, needs: &Needs) -> Self {
        let needed = |event: &str, within: Option<u32>| {
            needs.counts.iter().any(|window| window.event == event && window.within_seconds == within)
        };
        let mut reduced = self.clone();
        reduced.traits = reduced.traits.filter(|_| needs.traits);
        reduced.properties = reduced.properties.filter(|_| needs.event);
        reduced.context = reduced.context.filter(|_| needs.event);
        reduced.counts.retain(|(event, within), _| needed(event, *within));
        reduced.segments.retain(|id, _| needs.segments.contains(*id));
        reduced
    }
}

fn any_path() -> impl Strategy<Value = String> {
    prop_oneof![3 => "[xyz]", 2 => "[xyz]\\.[xyz]", 1 => "[xyz]\\.[xyz]\\.[xyz]"]
}

fn any_count() -> impl Strategy<Value = Tree> {
    let signs = select(vec!["==", "!=", ">", ">=", "<", "<="]);
    (select(vec!["e", "f"]), select(vec![None, Some(60)]), signs, 0_u32..4)
        .prop_map(|(event, within, sign, threshold)| Tree::Count(event, within, sign, threshold))
}

fn any_field_rule(kinds: Vec<Option<&'static str>>) -> impl Strategy<Value = Tree> {
    (select(kinds), any_path(), any_ask()).prop_map(|(kind, path, ask)| Tree::Field(kind, path, ask))
}

fn grown(leaf: impl Strategy<Value = Tree> + 'static) -> impl Strategy<Value = Tree> {
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Tree::All),
            proptest::collection::vec(inner.clone(), 1..4).prop_map(Tree::Any),
            inner.prop_map(|tree| Tree::Not(Box::new(tree))),
        ]
    })
}

fn any_tree() -> impl Strategy<Value = Tree> {
    let kinds = vec![Some("attribute"), Some("trait"), Some("context"), Some("event"), Some("Attribute"), None];
    let segment = (select(vec!["s", "t", "gone"]), any::<bool>()).prop_map(|(id, inside)| Tree::Segment(id, inside));
    grown(prop_oneof![6 => any_field_rule(kinds), 1 => segment, 1 => any_count()])
}

fn any_segment() -> impl Strategy<Value = Tree> {
    grown(prop_oneof![3 => any_field_rule(vec![Some("attribute"), Some("trait")]), 1 => any_count()])
}

fn any_known() -> impl Strategy<Value = Known> {
    let mostly = || proptest::option::weighted(0.8, any_fields());
    let windows = (select(vec!["e", "f"]), select(vec![None, Some(60)]));
    let counts = proptest::collection::btree_map(windows, 0_u32..5, 0..5);
    let segments = proptest::collection::btree_map(select(vec!["s", "t"]), any_segment(), 0..3);
    (mostly(), mostly(), mostly(), counts, segments).prop_map(|(traits, properties, context, counts, segments)| Known {
        traits,
        properties,
        context,
        counts,
        segments,
    })
}

fn truth(holds: Option<bool>) -> Truth {
    holds.map_or(Truth::Unknown, Truth::from)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8192))]

    #[test]
    fn every_operator_agrees((ask, field) in any_ask_with_field()) {
        let expected = ask.holds(Some(&field));
        let world = World { properties: Some(object(&Named::from([("x".to_owned(), field.clone())]))), ..World::default() };
        let found = world.truth(&condition(&format!(r#"{{"field":"x",{}}}"#, ask.json())));
        prop_assert_eq!(found, Truth::from(expected), "{} {}", field.json(), ask.json());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn every_tree_agrees(tree in any_tree(), known in any_known()) {
        let condition = condition(&tree.json());
        let expected = truth(tree.holds(&known));
        prop_assert_eq!(known.world().truth(&condition), expected, "{}", tree.json());

        let trace = known.world().trace(&condition);
        prop_assert_eq!(trace.pass(), tree.holds(&known), "the trace differs: {}", tree.json());
        prop_assert!(tree.is_shown_by(trace.inner().first().unwrap(), &known), "{} is shown as {trace:?}", tree.json());

        let mut needs = condition.needs().clone();
        needs.resolve(&known.world().segments);
        let reduced = known.reduced(&needs);
        prop_assert_eq!(reduced.world().truth(&condition), expected, "what is not needed changed the answer: {}", tree.json());
    }
}
