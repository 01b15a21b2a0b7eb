//! Optional fields of a campaign's document, read into types. Missing and null are both "not set"; anything of the wrong type or
//! out of range is a fault that says what would be right.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use serde::Deserialize;

use crate::domain::raw_object::RawObject;
use crate::domain::rules::Fault;

/// Hundredths of a percent: 10,000 is everybody.
pub const EVERYBODY: u16 = 10_000;

/// An object of the document that is read field by field, with the path that faults name.
#[derive(Debug, Clone)]
pub struct Section<'a> {
    /// The document is only looked at: its config may hold images.
    object: Cow<'a, RawObject>,
    path: String,
}

impl<'a> Section<'a> {
    /// The document itself.
    pub fn document(document: &'a RawObject) -> Self {
        Self { object: Cow::Borrowed(document), path: String::new() }
    }

    /// The object at `key`; empty when it is not set.
    pub fn within(document: &RawObject, key: &str, faults: &mut Vec<Fault>) -> Self {
        let mut section = Self { object: Cow::default(), path: format!("{key}.") };
        let Some(raw) = document.get(key).filter(|raw| raw.get() != "null") else { return section };
        match RawObject::parse(raw.get()) {
            Ok(object) => section.object = Cow::Owned(object),
            Err(_) => faults.push(Fault::new(key, "wrong_type", "must be a JSON object, or absent")),
        }
        section
    }

    /// An element of an array at `key`.
    pub fn element(object: RawObject, key: &str, index: usize) -> Self {
        Self { object: Cow::Owned(object), path: format!("{key}[{index}].") }
    }

    /// How a fault names a field of this section.
    pub fn path(&self, key: &str) -> String {
        format!("{}{key}", self.path)
    }

    /// The raw object.
    pub fn object(&self) -> &RawObject {
        &self.object
    }

    /// Any type that serde reads; `wanted` words what it must be.
    pub fn read<T: for<'de> Deserialize<'de>>(&self, key: &str, wanted: &str, faults: &mut Vec<Fault>) -> Option<T> {
        let raw = self.object.get(key)?;
        Option::<T>::deserialize(raw).unwrap_or_else(|_| {
            faults.push(Fault::new(self.path(key), "wrong_type", format!("must be {wanted}, or absent")));
            None
        })
    }

    /// A text; a blank one is not set, as editors leave it behind.
    pub fn text(&self, key: &str, faults: &mut Vec<Fault>) -> Option<String> {
        self.read::<String>(key, "a string", faults).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    /// A flag; not set is false.
    pub fn flag(&self, key: &str, faults: &mut Vec<Fault>) -> bool {
        self.read(key, "true or false", faults).unwrap_or(false)
    }

    /// A whole number in a range.
    pub fn whole(&self, key: &str, range: RangeInclusive<u32>, faults: &mut Vec<Fault>) -> Option<u32> {
        let wanted = format!("a whole number from {} to {}", range.start(), range.end());
        let number: serde_json::Number = self.read(key, &wanted, faults)?;
        let whole = number.as_u64().and_then(|n| u32::try_from(n).ok()).filter(|n| range.contains(n));
        if whole.is_none() {
            faults.push(Fault::new(self.path(key), "out_of_range", format!("is {number}; it must be {wanted}")));
        }
        whole
    }

    /// A percentage, as hundredths of a percent.
    pub fn percentage(&self, key: &str, faults: &mut Vec<Fault>) -> Option<u16> {
        let wanted = "a number from 0 to 100";
        let percent: f64 = self.read(key, wanted, faults)?;
        if !(0.0..=100.0).contains(&percent) {
            faults.push(Fault::new(self.path(key), "out_of_range", format!("is {percent}; it must be {wanted}")));
            return None;
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 10,000")]
        Some((percent * 100.0).round() as u16)
    }
}
