//! What a rule asks of a field, evaluated slowly and obviously on plain values.

use std::cmp::Ordering;

use proptest::prelude::*;
use proptest::sample::select;

use super::now;
use super::plain::{Plain, any_field, any_scalar, any_time, any_version};

/// An operator and its value, with the spelling it is written in.
#[derive(Debug, Clone)]
pub struct Ask {
    pub question: Question,
    pub spelling: &'static str,
    pub compare: &'static str,
    pub ignore_case: bool,
}

#[derive(Debug, Clone)]
pub enum Question {
    Relation(&'static str, Plain),
    In(Vec<Plain>),
    NotIn(Vec<Plain>),
    Contains(Plain),
    NotContains(Plain),
    StartsWith(Plain),
    EndsWith(Plain),
    Exists,
    NotExists,
    IsTrue,
    IsFalse,
    /// A literal text, from the start, to the end.
    Matches(String, bool, bool),
    Before(Plain),
    After(Plain),
    /// Seconds, as JSON.
    WithinLast(i64, &'static str),
}

impl Ask {
    /// The members of a rule, without its field and type.
    pub fn json(&self) -> String {
        let list = |values: &Vec<Plain>| Plain::List(values.clone()).json();
        let value = match &self.question {
            Question::In(values) | Question::NotIn(values) => list(values),
            Question::Relation(_, value)
            | Question::Contains(value)
            | Question::NotContains(value)
            | Question::StartsWith(value)
            | Question::EndsWith(value)
            | Question::Before(value)
            | Question::After(value) => value.json(),
            Question::Exists | Question::NotExists | Question::IsTrue | Question::IsFalse => r#""""#.into(),
            Question::Matches(text, start, end) => {
                let (start, end) = (if *start { "^" } else { "" }, if *end { "$" } else { "" });
                format!(r#""{start}{text}{end}""#)
            }
            Question::WithinLast(_, json) => (*json).to_owned(),
        };
        let Self { spelling, compare, ignore_case, .. } = self;
        format!(r#""operator":"{spelling}","value":{value},"compare":"{compare}","ignore_case":{ignore_case}"#)
    }

    pub fn holds(&self, field: Option<&Plain>) -> bool {
        let Some(field) = field else { return matches!(self.question, Question::NotExists) };
        let same = |field: &Plain, value: &Plain| self.same(field, value);
        match &self.question {
            Question::Exists => !matches!(field, Plain::Null),
            Question::NotExists => matches!(field, Plain::Null),
            Question::Relation("==", value) => alone(field, |field| same(field, value)),
            Question::Relation("!=", value) => !alone(field, |field| same(field, value)),
            Question::Relation(sign, value) => field.is_scalar() && self.ordered(field, sign, value),
            Question::In(values) => some(field, |field| values.iter().any(|value| same(field, value))),
            Question::NotIn(values) => !some(field, |field| values.iter().any(|value| same(field, value))),
            Question::IsTrue => alone(field, |field| equal(&self.fold(field), &Plain::Bool(true))),
            Question::IsFalse => alone(field, |field| equal(&self.fold(field), &Plain::Bool(false))),
            Question::Contains(part) => self.contains(field, part),
            Question::NotContains(part) => !self.contains(field, part),
            Question::StartsWith(start) => {
                some(field, |field| self.texts(field, start).is_some_and(|(text, start)| text.starts_with(&start)))
            }
            Question::EndsWith(end) => {
                some(field, |field| self.texts(field, end).is_some_and(|(text, end)| text.ends_with(&end)))
            }
            Question::Matches(text, start, end) => some(field, |field| {
                let Some((found, wanted)) = self.texts(field, &Plain::Text(text.clone())) else { return false };
                match (start, end) {
                    (true, true) => found == wanted,
                    (true, false) => found.starts_with(&wanted),
                    (false, true) => found.ends_with(&wanted),
                    (false, false) => found.contains(&wanted),
                }
            }),
            Question::Before(time) => field.is_scalar() && field.time().is_some_and(|at| at < time.time().unwrap()),
            Question::After(time) => field.is_scalar() && field.time().is_some_and(|at| at > time.time().unwrap()),
            Question::WithinLast(seconds, _) => {
                field.is_scalar()
                    && field.time().is_some_and(|at| {
                        let now = now().timestamp_millis();
                        at > now - seconds * 1000 && at <= now + 300_000
                    })
            }
        }
    }

    fn fold(&self, value: &Plain) -> Plain {
        if self.ignore_case { value.folded() } else { value.clone() }
    }

    fn texts(&self, field: &Plain, value: &Plain) -> Option<(String, String)> {
        Some((self.fold(field).text()?, self.fold(value).text()?))
    }

    fn contains(&self, field: &Plain, part: &Plain) -> bool {
        match field {
            Plain::List(_) => some(field, |item| equal(&self.fold(item), &self.fold(part))),
            _ => self.texts(field, part).is_some_and(|(text, part)| text.contains(&part)),
        }
    }

    /// Equal in the way asked for.
    fn same(&self, field: &Plain, value: &Plain) -> bool {
        match self.compare {
            "auto" => equal(&self.fold(field), &self.fold(value)),
            _ => self.order(field, value) == Some(Ordering::Equal),
        }
    }

    fn ordered(&self, field: &Plain, sign: &str, value: &Plain) -> bool {
        let order = self.order(field, value);
        match sign {
            ">" => order == Some(Ordering::Greater),
            ">=" => order == Some(Ordering::Greater) || order == Some(Ordering::Equal),
            "<" => order == Some(Ordering::Less),
            "<=" => order == Some(Ordering::Less) || order == Some(Ordering::Equal),
            other => panic!("no such sign: {other}"),
        }
    }

    fn order(&self, field: &Plain, value: &Plain) -> Option<Ordering> {
        let by_text = || {
            let (field, value) = self.texts(field, value)?;
            Some(field.chars().collect::<Vec<_>>().cmp(&value.chars().collect::<Vec<_>>()))
        };
        match self.compare {
            "number" => Some(field.thousandths()?.cmp(&value.thousandths()?)),
            "version" => Some(field.version()?.cmp(&value.version()?)),
            "time" => Some(field.time()?.cmp(&value.time()?)),
            "text" => by_text(),
            _ => match (field.thousandths(), value.thousandths()) {
                (Some(field), Some(value)) => Some(field.cmp(&value)),
                _ => by_text(),
            },
        }
    }
}

/// Equal by what the two are.
fn equal(a: &Plain, b: &Plain) -> bool {
    match (a, b) {
        (Plain::Null, Plain::Null) => true,
        (Plain::Bool(flag), text) | (text, Plain::Bool(flag))
            if matches!(text, Plain::Text(_)) && text.text() == Some(flag.to_string()) =>
        {
            true
        }
        _ if is_text(a) && is_text(b) => a.text() == b.text(),
        _ => a.is_scalar() && b.is_scalar() && a.thousandths().is_some() && a.thousandths() == b.thousandths(),
    }
}

fn is_text(value: &Plain) -> bool {
    matches!(value, Plain::Text(_) | Plain::Time(..) | Plain::Version(..))
}

/// Of a scalar, or of the only element of a list.
fn alone(field: &Plain, test: impl Fn(&Plain) -> bool) -> bool {
    match field {
        Plain::List(items) => items.len() == 1 && items[0].is_scalar() && test(&items[0]),
        _ => field.is_scalar() && test(field),
    }
}

/// Of a scalar, or of at least one element of a list.
fn some(field: &Plain, test: impl Fn(&Plain) -> bool) -> bool {
    match field {
        Plain::List(items) => items.iter().any(|item| item.is_scalar() && test(item)),
        _ => field.is_scalar() && test(field),
    }
}

/// Can a rule have this value with this `compare`?
fn suits(compare: &str, value: &Plain) -> bool {
    match compare {
        "text" => value.text().is_some(),
        "number" => value.thousandths().is_some(),
        "version" => value.version().is_some(),
        "time" => value.time().is_some(),
        _ => true,
    }
}

const RELATIONS: [(&str, &[&str]); 6] = [
    ("==", &["==", "equals", "eq", "is"]),
    ("!=", &["!=", "not_equals", "neq", "is_not"]),
    (">", &[">", "greater_than", "gt"]),
    (">=", &[">=", "greater_than_or_equal", "greater_than_or_equals", "gte"]),
    ("<", &["<", "less_than", "lt"]),
    ("<=", &["<=", "less_than_or_equal", "less_than_or_equals", "lte"]),
];

fn any_question() -> impl Strategy<Value = (Question, &'static str)> {
    let listed = || proptest::collection::vec(any_scalar(), 0..4);
    let with_text = || any_scalar().prop_filter("has text", |value| value.text().is_some());
    let with_time = || any_scalar().prop_filter("is a time", |value| value.time().is_some());
    let relation = select(RELATIONS.to_vec()).prop_flat_map(|(sign, spellings)| (Just(sign), select(spellings)));
    let durations = vec![(90, r#""90s""#), (90, "90"), (3_600, r#""60m""#), (7_200, r#""2h""#), (86_400, r#""1d""#)];
    prop_oneof![
        10 => (relation, any_scalar()).prop_map(|((sign, spelling), value)| (Question::Relation(sign, value), spelling)),
        2 => listed().prop_map(|values| (Question::In(values), "in")),
        2 => listed().prop_map(|values| (Question::NotIn(values), "not_in")),
        2 => any_scalar().prop_map(|part| (Question::Contains(part), "contains")),
        1 => (any_scalar(), select(vec!["not_contains", "does_not_contain"]))
            .prop_map(|(part, spelling)| (Question::NotContains(part), spelling)),
        1 => with_text().prop_map(|start| (Question::StartsWith(start), "starts_with")),
        1 => with_text().prop_map(|end| (Question::EndsWith(end), "ends_with")),
        1 => select(vec!["exists", "set", "is_set"]).prop_map(|spelling| (Question::Exists, spelling)),
        1 => select(vec!["not_exists", "not_set", "is_not_set"]).prop_map(|spelling| (Question::NotExists, spelling)),
        1 => Just((Question::IsTrue, "is_true")),
        1 => Just((Question::IsFalse, "is_false")),
        2 => ("[a-cV0-2]{0,2}", any::<(bool, bool)>(), select(vec!["matches", "regex"]))
            .prop_map(|(text, (start, end), spelling)| (Question::Matches(text, start, end), spelling)),
        2 => with_time().prop_map(|time| (Question::Before(time), "before")),
        2 => with_time().prop_map(|time| (Question::After(time), "after")),
        2 => select(durations).prop_map(|(seconds, json)| (Question::WithinLast(seconds, json), "within_last")),
    ]
}

pub fn any_ask() -> impl Strategy<Value = Ask> {
    let compare = prop_oneof![2 => Just("auto"), 3 => select(vec!["text", "number", "version", "time"])];
    let fitting = (any_version(), any_time());
    (any_question(), compare, any::<bool>(), fitting).prop_map(
        |((mut question, spelling), mut compare, ignore_case, (version, time))| {
            match &mut question {
                Question::Relation(_, value) if !suits(compare, value) => match compare {
                    "version" => *value = version,
                    "time" if suits("time", &time) => *value = time,
                    _ => compare = "auto",
                },
                Question::In(values) | Question::NotIn(values) => values.retain(|value| suits(compare, value)),
                _ => {}
            }
            Ask { question, spelling, compare, ignore_case }
        },
    )
}

/// A question with a field that it often has an answer for.
pub fn any_ask_with_field() -> impl Strategy<Value = (Ask, Plain)> {
    any_ask().prop_flat_map(|ask| {
        let about_time = matches!(ask.question, Question::Before(_) | Question::After(_) | Question::WithinLast(..));
        let field = match ask.compare {
            _ if about_time => any_time().boxed(),
            "time" => any_time().boxed(),
            "version" => any_version().boxed(),
            _ => any_scalar().boxed(),
        };
        (Just(ask), prop_oneof![field, any_field()])
    })
}
