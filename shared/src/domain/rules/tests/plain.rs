//! Values for the reference: what they are is known from how they were made, so that no JSON text is ever read back. All numbers
//! are whole thousandths.

use std::collections::BTreeMap;

use chrono::{DateTime, FixedOffset, SecondsFormat, Utc};
use proptest::prelude::*;

use super::now;

/// Names to values.
pub type Named = BTreeMap<String, Plain>;

#[derive(Debug, Clone)]
pub enum Plain {
    Null,
    Bool(bool),
    /// Value in thousandths, and how it is spelt.
    Number(i128, String),
    /// Neither a time nor a pre-release.
    Text(String),
    /// Milliseconds since 1970, and how it is spelt.
    Time(i64, String),
    /// Numbers, the `n` of a `-rc.n`, and how it is spelt.
    Version(Vec<u64>, Option<u64>, String),
    List(Vec<Plain>),
    Object(Named),
}

impl Plain {
    pub fn json(&self) -> String {
        match self {
            Self::Null => "null".into(),
            Self::Bool(flag) => flag.to_string(),
            Self::Number(_, spelling) => spelling.clone(),
            Self::Text(text) | Self::Time(_, text) | Self::Version(_, _, text) => serde_json::to_string(text).unwrap(),
            Self::List(items) => format!("[{}]", items.iter().map(Self::json).collect::<Vec<_>>().join(" , ")),
            Self::Object(fields) => object(fields),
        }
    }

    pub fn is_scalar(&self) -> bool {
        !matches!(self, Self::List(_) | Self::Object(_))
    }

    /// The number it is, spells or stands for.
    pub fn thousandths(&self) -> Option<i128> {
        match self {
            Self::Bool(flag) => Some(if *flag { 1000 } else { 0 }),
            Self::Number(thousandths, _) => Some(*thousandths),
            Self::Text(text) | Self::Time(_, text) | Self::Version(_, _, text) => text_thousandths(text.trim()),
            Self::Null | Self::List(_) | Self::Object(_) => None,
        }
    }

    pub fn text(&self) -> Option<String> {
        match self {
            Self::Bool(flag) => Some(flag.to_string()),
            Self::Number(thousandths, _) => Some(spell(*thousandths)),
            Self::Text(text) | Self::Time(_, text) | Self::Version(_, _, text) => Some(text.clone()),
            Self::Null | Self::List(_) | Self::Object(_) => None,
        }
    }

    /// Milliseconds since 1970.
    pub fn time(&self) -> Option<i64> {
        if let Self::Time(milliseconds, _) = self {
            return Some(*milliseconds);
        }
        if let Self::Bool(_) = self {
            return None;
        }
        let thousandths = self.thousandths()?;
        if thousandths <= 0 || thousandths >= 253_402_300_800_000_000 {
            return None;
        }
        // Thousandths of seconds are milliseconds; clients' fractions are doubles, cut off.
        let units = thousandths as f64 / 1000.0;
        Some(if thousandths < 100_000_000_000_000 { (units * 1000.0) as i64 } else { units as i64 })
    }

    /// Numbers without zeros at the end, and the place of the pre-release: a release is after all of its own.
    pub fn version(&self) -> Option<(Vec<u64>, u64)> {
        let (mut numbers, pre_release) = match self {
            Self::Version(numbers, pre_release, _) => (numbers.clone(), *pre_release),
            Self::Number(..) | Self::Text(_) => (dotted(self.text()?.trim())?, None),
            Self::Null | Self::Bool(_) | Self::Time(..) | Self::List(_) | Self::Object(_) => return None,
        };
        while numbers.last() == Some(&0) {
            numbers.pop();
        }
        Some((numbers, pre_release.unwrap_or(u64::MAX)))
    }

    /// In lower case.
    pub fn folded(&self) -> Self {
        match self {
            Self::Text(text) => Self::Text(text.to_lowercase()),
            Self::Time(milliseconds, text) => Self::Time(*milliseconds, text.to_lowercase()),
            Self::Version(numbers, pre_release, text) => {
                Self::Version(numbers.clone(), *pre_release, text.to_lowercase())
            }
            Self::List(items) => Self::List(items.iter().map(Self::folded).collect()),
            other => other.clone(),
        }
    }
}

pub fn object(fields: &Named) -> String {
    let member = |(name, value): (&String, &Plain)| format!(r#""{name}": {}"#, value.json());
    format!("{{{}}}", fields.iter().map(member).collect::<Vec<_>>().join(", "))
}

/// Shortest decimal form.
fn spell(thousandths: i128) -> String {
    let sign = if thousandths < 0 { "-" } else { "" };
    let (whole, rest) = (thousandths.abs() / 1000, thousandths.abs() % 1000);
    if rest == 0 {
        return format!("{sign}{whole}");
    }
    format!("{sign}{whole}.{}", format!("{rest:03}").trim_end_matches('0'))
}

/// Digits with at most one sign in front and at most three after a point.
fn text_thousandths(text: &str) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (whole, rest) = digits.split_once('.').unwrap_or((digits, "000"));
    if whole.is_empty()
        || !whole.chars().chain(rest.chars()).all(|c| c.is_ascii_digit())
        || !(1..=3).contains(&rest.len())
    {
        return None;
    }
    let value = whole.parse::<i128>().ok()? * 1000 + format!("{rest:0<3}").parse::<i128>().ok()?;
    Some(if negative { -value } else { value })
}

/// Numbers between dots.
fn dotted(text: &str) -> Option<Vec<u64>> {
    text.split('.').map(|part| part.chars().all(|c| c.is_ascii_digit()).then(|| part.parse().ok())?).collect()
}

/// Small ones often, so that different spellings meet; large ones around where doubles begin to round.
fn any_thousandths() -> impl Strategy<Value = i128> {
    prop_oneof![
        (-3_i128..12).prop_map(|whole| whole * 1000),
        -2500_i128..2500,
        (-2_i128..3).prop_map(|near| ((1 << 53) + near) * 1000),
        any::<i64>().prop_map(|whole| i128::from(whole) * 1000),
        any::<u64>().prop_map(|whole| i128::from(whole) * 1000),
    ]
}

fn any_number() -> impl Strategy<Value = Plain> {
    (any_thousandths(), any::<bool>()).prop_map(|(thousandths, pointed)| {
        let small_whole = thousandths % 1000 == 0 && thousandths.abs() < 1 << 50;
        let point = if pointed && small_whole { ".0" } else { "" };
        Plain::Number(thousandths, spell(thousandths) + point)
    })
}

/// Around the moment of receipt and around 1970, as text or number.
pub fn any_time() -> impl Strategy<Value = Plain> {
    let near = (-200_000_i64..=700).prop_map(|seconds| (now().timestamp() + seconds) * 1000);
    let edges = proptest::sample::select(vec![-90, -89, -3_600, 0, 300, 301]);
    let edges = edges.prop_map(|seconds| (now().timestamp() + seconds) * 1000);
    let milliseconds = prop_oneof![2 => near, 2 => edges, 1 => -100_000_i64..100_000];
    (milliseconds, 0..5).prop_map(|(milliseconds, form)| {
        let time: DateTime<Utc> = DateTime::from_timestamp_millis(milliseconds).unwrap();
        let india = FixedOffset::east_opt(19_800).unwrap();
        match form {
            0 => Plain::Time(milliseconds, time.to_rfc3339_opts(SecondsFormat::Millis, true)),
            1 => Plain::Time(milliseconds, time.with_timezone(&india).to_rfc3339()),
            2 => Plain::Time(milliseconds, time.naive_utc().format("%Y-%m-%dT%H:%M:%S%.3f").to_string()),
            3 => Plain::Number(i128::from(milliseconds) * 1000, milliseconds.to_string()),
            _ => Plain::Number(i128::from(milliseconds / 1000 * 1000), (milliseconds / 1000).to_string()),
        }
    })
}

pub fn any_version() -> impl Strategy<Value = Plain> {
    let numbers = proptest::collection::vec(prop_oneof![4 => 0_u64..2, 1 => 9_u64..11], 1..3);
    let marks = (proptest::sample::select(vec!["", "v", "V"]), proptest::sample::select(vec!["", "+b.7"]));
    (numbers, proptest::option::of(9_u64..11), marks).prop_map(|(numbers, pre_release, (before, after))| {
        let dotted = numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(".");
        let rc = pre_release.map_or(String::new(), |n| format!("-rc.{n}"));
        Plain::Version(numbers, pre_release, format!("{before}{dotted}{rc}{after}"))
    })
}

pub fn any_scalar() -> impl Strategy<Value = Plain> {
    let words = [
        "", " ", "vip", "VIP", "nonvip", "true", "false", "True", "null", "0x10", "a,b", "é\"\\", "É", "1.4.2", "-",
        "B", "ab",
    ];
    prop_oneof![
        1 => Just(Plain::Null),
        1 => any::<bool>().prop_map(Plain::Bool),
        2 => any_number(),
        1 => any_number().prop_map(|number| Plain::Text(number.json())),
        1 => any_number().prop_map(|number| Plain::Text(format!(" {}\t", number.json()))),
        2 => proptest::sample::select(words.to_vec()).prop_map(|word| Plain::Text(word.to_owned())),
        1 => "[a-c0-2.]{0,3}"
            .prop_filter("1. and .1 are for the table", |text| !text.starts_with('.') && !text.ends_with('.'))
            .prop_map(Plain::Text),
        1 => any_time(),
        1 => any_version(),
    ]
}

pub fn any_field() -> impl Strategy<Value = Plain> {
    let element = prop_oneof![
        8 => any_scalar(),
        1 => Just(Plain::Object(Named::new())),
        1 => Just(Plain::List(vec![])),
    ];
    let inner = proptest::collection::btree_map("[xyz](\\.[xyz])?", any_scalar(), 0..3).prop_map(Plain::Object).boxed();
    let middle = prop_oneof![3 => any_scalar(), 1 => inner.clone()];
    prop_oneof![
        8 => any_scalar(),
        2 => proptest::collection::vec(element, 0..4).prop_map(Plain::List),
        3 => inner,
        3 => proptest::collection::btree_map("[xyz](\\.[xyz])?", middle, 0..3).prop_map(Plain::Object),
    ]
}

pub fn any_fields() -> impl Strategy<Value = Named> {
    proptest::collection::btree_map("[xyz](\\.[xyz])?", any_field(), 0..5)
}
