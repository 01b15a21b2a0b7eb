//! What the validation found: counts per kind, every oddity with examples and what is done about it, what is too old, what cannot be
//! imported.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use shared::domain::legacy::oddity::Oddity;

use super::documents::Standing;
use super::source::{Element, Kind};

/// Elements named as examples of one oddity.
const EXAMPLES: usize = 3;
/// Rejected elements that are named.
const REJECTED: usize = 5;

/// Counts of one kind.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// In the file.
    pub found: u64,
    /// To be imported.
    pub imported: u64,
    /// Not possible to import.
    pub rejected: u64,
}

/// Everything that was noticed.
#[derive(Debug, Default)]
pub struct Report {
    counts: BTreeMap<Kind, Counts>,
    oddities: BTreeMap<Oddity, (u64, Vec<String>)>,
    expired: BTreeMap<NaiveDate, u64>,
    rejected: Vec<String>,
    standing: BTreeMap<(Kind, Standing), (u64, Vec<String>)>,
}

impl Report {
    pub(super) fn found(&mut self, kind: Kind) {
        self.counts.entry(kind).or_default().found += 1;
    }

    pub(super) fn imported(&mut self, kind: Kind) {
        self.counts.entry(kind).or_default().imported += 1;
    }

    pub(super) fn rejected(&mut self, element: &Element, reason: &str) {
        self.counts.entry(element.kind).or_default().rejected += 1;
        if self.rejected.len() < REJECTED {
            self.rejected.push(format!("{} {reason}", place(element)));
        }
    }

    pub(super) fn notice(&mut self, oddity: Oddity, count: u64, element: &Element) {
        let (total, examples) = self.oddities.entry(oddity).or_default();
        *total += count;
        if examples.len() < EXAMPLES {
            examples.push(place(element));
        }
    }

    pub(super) fn expired(&mut self, day: NaiveDate) {
        *self.expired.entry(day).or_default() += 1;
    }

    /// Notes how a document stands in the database.
    pub fn stands(&mut self, kind: Kind, id: &str, standing: Standing) {
        let (total, examples) = self.standing.entry((kind, standing)).or_default();
        *total += 1;
        if examples.len() < EXAMPLES {
            examples.push(id.to_owned());
        }
    }

    /// Counts of a kind.
    #[must_use]
    pub fn counts(&self, kind: Kind) -> Counts {
        self.counts.get(&kind).copied().unwrap_or_default()
    }

    /// How often something was noticed.
    #[must_use]
    pub fn count(&self, oddity: Oddity) -> u64 {
        self.oddities.get(&oddity).map_or(0, |(count, _)| *count)
    }

    /// Elements that cannot be imported.
    #[must_use]
    pub fn all_rejected(&self) -> u64 {
        self.counts.values().map(|counts| counts.rejected).sum()
    }

    /// Events older than what is kept, by day.
    #[must_use]
    pub fn expired_days(&self) -> &BTreeMap<NaiveDate, u64> {
        &self.expired
    }

    /// Events older than what is kept.
    #[must_use]
    pub fn all_expired(&self) -> u64 {
        self.expired.values().sum()
    }

    /// The report, line by line.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("{:<12} {:>10} {:>10} {:>10}", "", "in file", "to import", "rejected")];
        for kind in Kind::ALL {
            let Counts { found, imported, rejected } = self.counts(kind);
            if found > 0 || kind != Kind::Other {
                lines.push(format!("{:<12} {found:>10} {imported:>10} {rejected:>10}", format!("{}s", kind.name())));
            }
        }
        for ((kind, standing), (count, examples)) in &self.standing {
            lines.push(format!("{count} {}s {} ({})", kind.name(), standing.meaning(), named(*count, examples)));
        }
        if !self.oddities.is_empty() {
            lines.push("What is odd, and what is done about it:".to_owned());
        }
        for (oddity, (count, examples)) in &self.oddities {
            lines.push(format!("{count:>10}  {}: {} ({})", oddity.what(), oddity.done(), named(*count, examples)));
        }
        if !self.rejected.is_empty() {
            lines.push(format!("{:>10}  cannot be imported:", self.all_rejected()));
            lines.extend(self.rejected.iter().map(|rejected| format!("{:>12}{rejected}", "")));
        }
        if let (Some(first), Some(last)) = (self.expired.keys().next(), self.expired.keys().next_back()) {
            lines.push(format!(
                "{:>10}  events are older than what is kept: of {} days, {first} to {last}",
                self.all_expired(),
                self.expired.len()
            ));
        }
        lines
    }
}

fn place(element: &Element) -> String {
    match &element.key {
        Some(key) => format!("{} {key:?}", element.kind.name()),
        None => format!("{} {}", element.kind.name(), element.index),
    }
}

fn named(count: u64, examples: &[String]) -> String {
    let more = if count > examples.len() as u64 { ", …" } else { "" };
    format!("{}{more}", examples.join(", "))
}
