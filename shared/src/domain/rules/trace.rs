//! How a condition came to its outcome: the tree of its rules with what each saw, as JSON and as text.

use serde::Serialize;
use serde_json::value::RawValue;

use super::observe::{Group, Observer, Seen};
use super::rule::Rule;
use super::truth::Truth;
use super::wording::{counted, length, shown, times};

/// A rule or a group, evaluated.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum Step {
    /// Rules under `all`, `any` or `not`.
    Group(Grouped),
    /// A rule on its own.
    Rule(Box<Leaf>),
}

/// A group: one of the three lists is there, `not` with one element.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Grouped {
    /// Each must hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub all: Option<Vec<Step>>,
    /// One must hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub any: Option<Vec<Step>>,
    /// It must not hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not: Option<Vec<Step>>,
    /// Does it hold? Null when that is not known.
    pub pass: Option<bool>,
}

/// A rule.
#[derive(Debug, Clone, Serialize)]
pub struct Leaf {
    /// All of it, for people.
    pub text: String,
    /// `attribute`, `event` (a property), `context`, `segment` or `event_count`.
    pub source: &'static str,
    /// The field, the segment's id, or the name of the event that is counted.
    pub field: String,
    /// Our spelling.
    pub operator: &'static str,
    /// What the field is compared with; of a count the threshold; absent where nothing is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<Box<RawValue>>,
    /// The value found, how often it happened, or whether the user is in the segment; absent when there was none, or it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seen: Option<Box<RawValue>>,
    /// Of a count: within so many seconds before; absent: ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub within_seconds: Option<u32>,
    /// Of a segment: its own rules.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rules: Option<Box<Step>>,
    /// Does it hold? Null when that is not known.
    pub pass: Option<bool>,
}

impl Step {
    /// Does it hold? `None` when that is not known.
    #[must_use]
    pub fn pass(&self) -> Option<bool> {
        match self {
            Self::Group(group) => group.pass,
            Self::Rule(leaf) => leaf.pass,
        }
    }

    /// Steps inside it; of a segment its rules.
    pub fn inner(&self) -> &[Self] {
        match self {
            Self::Group(Grouped { all, any, not, .. }) => {
                all.as_ref().or(any.as_ref()).or(not.as_ref()).map_or(&[], Vec::as_slice)
            }
            Self::Rule(leaf) => leaf.rules.as_deref().map_or(&[], std::slice::from_ref),
        }
    }

    /// What kept it from holding, in words: the first rule that decided so.
    #[must_use]
    pub fn why_not(&self) -> Option<String> {
        if self.pass() == Some(true) {
            return None;
        }
        match self {
            Self::Rule(leaf) => Some(leaf.text.clone()),
            Self::Group(Grouped { not: Some(inner), .. }) => {
                Some(format!("not ({}) does not hold", inner.iter().map(Self::words).collect::<String>()))
            }
            Self::Group(Grouped { any: Some(inner), .. }) if inner.len() > 1 => {
                let all: Vec<String> = inner.iter().map(Self::words).collect();
                Some(format!("none of these holds: {}", all.join("; ")))
            }
            Self::Group(_) => {
                let inner = self.inner();
                let failed = inner.iter().find(|step| step.pass() == Some(false));
                failed.or_else(|| inner.iter().find(|step| step.pass().is_none()))?.why_not()
            }
        }
    }

    fn words(&self) -> String {
        let joined = |inner: &[Self], word: &str| inner.iter().map(Self::words).collect::<Vec<_>>().join(word);
        match self {
            Self::Rule(leaf) => leaf.text.clone(),
            Self::Group(Grouped { any: Some(inner), .. }) => format!("({})", joined(inner, " or ")),
            Self::Group(Grouped { not: Some(inner), .. }) => format!("not ({})", joined(inner, "")),
            Self::Group(group) => format!("({})", joined(group.all.as_deref().unwrap_or_default(), " and ")),
        }
    }
}

/// Collects the steps of one evaluation.
#[derive(Debug, Default)]
pub(super) struct Trace {
    /// What was found so far in each group that is open, innermost last.
    open: Vec<Vec<Step>>,
    done: Vec<Step>,
}

impl Trace {
    /// The whole; of an evaluation that was observed to its end.
    pub fn finish(mut self) -> Step {
        self.done.pop().unwrap_or_else(|| Step::Group(Grouped::default()))
    }

    fn add(&mut self, step: Step) {
        self.open.last_mut().unwrap_or(&mut self.done).push(step);
    }
}

impl Observer for Trace {
    const EVERYTHING: bool = true;

    fn enter(&mut self) {
        self.open.push(Vec::new());
    }

    fn leave(&mut self, group: Group, truth: Truth) {
        let inner = Some(self.open.pop().unwrap_or_default());
        let mut grouped = Grouped { pass: known(truth), ..Grouped::default() };
        match group {
            Group::All => grouped.all = inner,
            Group::Any => grouped.any = inner,
            Group::Not => grouped.not = inner,
        }
        self.add(Step::Group(grouped));
    }

    fn rule(&mut self, rule: &Rule, seen: Seen<'_>, truth: Truth) {
        let inner = matches!(seen, Seen::Segment(_)).then(|| self.open.pop().unwrap_or_default()).unwrap_or_default();
        let mut leaf = leaf(rule, seen);
        leaf.pass = known(truth);
        leaf.rules = inner.into_iter().next().map(Box::new);
        self.add(Step::Rule(Box::new(leaf)));
    }
}

fn known(truth: Truth) -> Option<bool> {
    match truth {
        Truth::True => Some(true),
        Truth::False => Some(false),
        Truth::Unknown => None,
    }
}

fn leaf(rule: &Rule, seen: Seen<'_>) -> Leaf {
    let (text, source, field, operator, expected, within_seconds) = match rule {
        Rule::Field { source, path, check, ignore_case } => {
            let expected = check.expected();
            let value = expected.as_deref().map_or_else(String::new, |value| format!(" {}", value.get()));
            let case = if *ignore_case { ", in any case" } else { "" };
            let text = format!("{} {path} {}{value}{case}", source.word(), check.operator());
            (text, source.as_str(), path.to_string(), check.operator(), expected, None)
        }
        Rule::Segment { id, inside } => {
            let (operator, word) = if *inside { ("in", "in") } else { ("not_in", "not in") };
            (format!("{word} segment {id}"), "segment", id.clone(), operator, None, None)
        }
        Rule::Count { window, relation, threshold } => {
            let within = window.within_seconds.map_or_else(|| "ever".to_owned(), |s| format!("within {}", length(s)));
            let text = format!("did {} {}, {within}", window.event, times(*relation, *threshold));
            let expected = serde_json::value::to_raw_value(threshold).ok();
            (text, "event_count", window.event.clone(), relation.as_str(), expected, window.within_seconds)
        }
    };
    let (seen, found) = match seen {
        Seen::Field(Some(value)) => {
            let value = shown(value);
            let words = format!("it is {}", value.as_deref().map_or("", RawValue::get));
            (value, words)
        }
        Seen::Field(None) => (None, "it is missing".to_owned()),
        Seen::Count(count) => (serde_json::value::to_raw_value(&count).ok(), counted(count)),
        Seen::Segment(Some(Truth::Unknown)) | Seen::Nothing => (None, "that is not known".to_owned()),
        Seen::Segment(None) => (None, "there is no such segment, or it is malformed".to_owned()),
        Seen::Segment(Some(member)) => {
            let words = if member.is_true() { "a member" } else { "not a member" };
            (serde_json::value::to_raw_value(&member.is_true()).ok(), words.to_owned())
        }
    };
    let text = format!("{text}: {found}");
    Leaf { text, source, field, operator, expected, seen, within_seconds, rules: None, pass: None }
}
