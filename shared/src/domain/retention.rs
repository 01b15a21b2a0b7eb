//! Which days of events have to go, and why: a function of the date, the limits, the partitions and the held days.
//!
//! By age a day goes two days after the retention ends ([`super::day::oldest_kept`]). By size the oldest days go until the others
//! fit, but never the last [`ALWAYS_KEPT_DAYS`]: an event may come up to seven days late without a note in `late_ids`, so
//! that its row is all by which a replay of the stream knows it. Held days are left alone and do not count.

use std::collections::BTreeSet;

use chrono::{Days, NaiveDate};

use super::day::oldest_kept;

/// Today and so many days before it stay whatever their size.
pub const ALWAYS_KEPT_DAYS: u64 = 8;

/// What is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Days of events.
    pub days: u16,
    /// Bytes of events with their indexes, in the database; 0: no limit.
    pub bytes: u64,
}

/// The events of one day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partition {
    /// The day.
    pub day: NaiveDate,
    /// With indexes.
    pub bytes: u64,
}

/// Why a day goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Why {
    /// It is older than the retention.
    Age,
    /// All days together are larger than they may be.
    Bytes,
}

impl Why {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Age => "age",
            Self::Bytes => "bytes",
        }
    }
}

/// The days that have to go on `today`, oldest first. `held` are the days that are held on `today`; `kept_from` is the first day that was
/// not dropped for its size before.
#[must_use]
pub fn due(
    today: NaiveDate,
    limits: Limits,
    partitions: &[Partition],
    held: &BTreeSet<NaiveDate>,
    kept_from: Option<NaiveDate>,
) -> Vec<(NaiveDate, Why)> {
    let mut mine: Vec<Partition> = partitions.iter().copied().filter(|p| !held.contains(&p.day)).collect();
    mine.sort_unstable_by_key(|p| p.day);
    let (expired, kept): (Vec<_>, Vec<_>) = mine.into_iter().partition(|p| p.day < oldest_kept(today, limits.days));
    let mut due: Vec<_> = expired.into_iter().map(|p| (p.day, Why::Age)).collect();
    let mut bytes: u64 = kept.iter().map(|p| p.bytes).sum();
    let always = today.checked_sub_days(Days::new(ALWAYS_KEPT_DAYS)).unwrap_or(NaiveDate::MIN);
    for partition in kept.into_iter().take_while(|p| p.day < always) {
        let again = kept_from.is_some_and(|from| partition.day < from);
        if again || (limits.bytes > 0 && bytes > limits.bytes) {
            due.push((partition.day, Why::Bytes));
            bytes -= partition.bytes;
        }
    }
    due
}

/// The date on which the oldest of these days goes by age.
#[must_use]
pub fn next_drop(limits: Limits, partitions: &[Partition], held: &BTreeSet<NaiveDate>) -> Option<NaiveDate> {
    let oldest = partitions.iter().map(|p| p.day).filter(|day| !held.contains(day)).min()?;
    oldest.checked_add_days(Days::new(u64::from(limits.days) + 3))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn days(from: &str, count: u64, bytes: u64) -> Vec<Partition> {
        (0..count).map(|n| Partition { day: day(from) + Days::new(n), bytes }).collect()
    }

    fn gone(today: &str, limits: Limits, partitions: &[Partition], held: &[&str]) -> Vec<(String, Why)> {
        let held = held.iter().map(|text| day(text)).collect();
        due(day(today), limits, partitions, &held, None).into_iter().map(|(day, why)| (day.to_string(), why)).collect()
    }

    #[test]
    fn by_age_a_day_goes_two_days_after_the_retention_also_over_a_leap_day() {
        let limits = Limits { days: 30, bytes: 0 };
        let partitions = days("2028-01-27", 40, 1);
        let count = |today| gone(today, limits, &partitions, &[]).len();
        assert_eq!(["2028-02-28", "2028-02-29", "2028-03-01"].map(count), [0, 1, 2]);
        assert_eq!(next_drop(limits, &partitions, &BTreeSet::new()), Some(day("2028-02-29")));
    }

    #[test]
    fn held_days_stay_and_do_not_count() {
        let limits = Limits { days: 30, bytes: 30 };
        let mut partitions = days("2026-10-25", 29, 1);
        partitions.push(Partition { day: day("2020-01-01"), bytes: 1_000 });
        assert_eq!(gone("2026-11-22", limits, &partitions, &["2020-01-01"]), []);
        assert_eq!(gone("2026-11-22", limits, &partitions, &[]), [("2020-01-01".to_owned(), Why::Age)]);
        let held = BTreeSet::from([day("2020-01-01")]);
        assert_eq!(next_drop(limits, &partitions, &held), Some(day("2026-11-27")));
    }

    #[test]
    fn by_size_the_oldest_go_until_the_others_fit_but_never_the_last_days() {
        let partitions = days("2026-11-01", 25, 10);
        let size = |bytes| gone("2026-11-22", Limits { days: 90, bytes }, &partitions, &[]);
        assert_eq!(size(0), []);
        assert_eq!(size(250), []);
        let bytes = |day: &str| (day.to_owned(), Why::Bytes);
        assert_eq!(size(235), [bytes("2026-11-01"), bytes("2026-11-02")]);
        let all = size(1);
        assert_eq!((all.len(), all.last().cloned()), (13, Some(bytes("2026-11-13"))));
    }

    #[test]
    fn a_day_that_was_dropped_for_its_size_does_not_come_back() {
        let limits = Limits { days: 90, bytes: 1_000 };
        let due = due(day("2026-11-22"), limits, &days("2026-11-01", 25, 1), &BTreeSet::new(), Some(day("2026-11-03")));
        assert_eq!(due, [(day("2026-11-01"), Why::Bytes), (day("2026-11-02"), Why::Bytes)]);
    }

    proptest! {
        #[test]
        fn what_stays_is_young_held_or_fits(
            ages in proptest::collection::btree_set(-8_i64..200, 0..60),
            size in 1_u64..100,
            limit in 0_u64..4_000,
            held in proptest::collection::btree_set(0_i64..200, 0..5),
        ) {
            let today = day("2028-03-01");
            let at = |age: &i64| today - chrono::TimeDelta::days(*age);
            let partitions: Vec<_> = ages.iter().map(|age| Partition { day: at(age), bytes: size }).collect();
            let held: BTreeSet<_> = held.iter().map(at).collect();
            let limits = Limits { days: 90, bytes: limit };
            let due: BTreeSet<_> = due(today, limits, &partitions, &held, None).into_iter().map(|(day, _)| day).collect();
            let counted: Vec<_> = partitions.iter().filter(|p| !due.contains(&p.day) && !held.contains(&p.day)).collect();
            let bytes: u64 = counted.iter().map(|p| p.bytes).sum();
            prop_assert!(due.is_disjoint(&held));
            prop_assert!(counted.iter().all(|p| p.day >= today - Days::new(92)));
            prop_assert!(due.iter().all(|day| *day < today - Days::new(8)));
            prop_assert!(limit == 0 || bytes <= limit || counted.iter().all(|p| p.day >= today - Days::new(8)));
        }
    }
}
