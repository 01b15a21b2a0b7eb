//! What is known of one user at a point of their past, while it is gone through again in the order in which it arrived.
//!
//! Pure; the same state for an explanation as of then and for a backtest. It follows what the worker does with its events: identifies
//! merge (imported ones fill), every named event may be counted, a match that is shown or held out counts towards caps.

use std::collections::HashMap;

use chrono::{DateTime, Days, NaiveDate, Utc};

use super::caps::History;
use crate::domain::rules::{CountWindow, Counts};
use crate::domain::traits::Traits;

/// Days by which a device's own date may be off and its events still be counted in a window.
pub const CLOCK_DAYS: u64 = 2;

/// One user.
#[derive(Debug, Clone, Default)]
pub struct Person {
    /// Everything that identifies have said so far.
    pub traits: Traits,
    /// What was shown so far of the campaign in question.
    pub history: History,
    happened: HashMap<Box<str>, Vec<Happened>>,
}

/// When something happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Happened {
    /// Its own time, or its receipt where the device's clock was ahead.
    pub at: DateTime<Utc>,
    /// The day it is filed under.
    pub day: NaiveDate,
}

impl Person {
    /// An identify; what is imported only fills gaps.
    pub fn identify(&mut self, patch: Traits, imported: bool) {
        if imported { self.traits.fill(patch) } else { self.traits.merge(patch) }
    }

    /// A named event; the latest `most` are kept.
    pub fn happen(&mut self, event: &str, happened: Happened, most: usize) {
        if !self.happened.contains_key(event) {
            self.happened.insert(event.into(), Vec::new());
        }
        let Some(times) = self.happened.get_mut(event) else { return };
        // Nearly always the latest, so this is a push.
        let place = times.partition_point(|known| *known <= happened);
        times.insert(place, happened);
        if times.len() > most {
            times.remove(0);
        }
    }

    /// About how much memory this takes, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let traits: usize = self.traits.iter().map(|(key, value)| 64 + key.len() + value.get().len()).sum();
        let times: usize = self.happened.iter().map(|(name, times)| 64 + name.len() + 16 * times.capacity()).sum();
        size_of::<Self>() + traits + times + 16 * self.history.recent.capacity()
    }

    fn count(&self, window: &CountWindow, since: Option<DateTime<Utc>>) -> usize {
        let times = self.happened.get(window.event.as_str()).map_or(&[][..], Vec::as_slice);
        let Some(since) = since else { return times.len() };
        // As the stored events are asked: a window is read from the days that it can hold.
        let from = since.date_naive().checked_sub_days(Days::new(CLOCK_DAYS)).unwrap_or(NaiveDate::MIN);
        times.iter().filter(|happened| happened.at > since && happened.day >= from).count()
    }
}

/// What a user did before an event, and the event itself.
#[derive(Debug, Clone, Copy)]
pub struct PastCounts<'a> {
    /// Who, as of before the event; `None` for a stranger, of whom there is only the event.
    pub person: Option<&'a Person>,
    /// Name of the event.
    pub event: &'a str,
    /// When it happened.
    pub at: DateTime<Utc>,
    /// When it was received.
    pub now: DateTime<Utc>,
}

impl Counts for PastCounts<'_> {
    /// The number itself, beyond `window.most` too: people want to see it.
    fn count(&self, window: &CountWindow) -> Option<u32> {
        let is_it = window.event == self.event;
        let Some(person) = self.person else { return Some(u32::from(is_it)) };
        let since = window.since(self.now);
        let here = usize::from(is_it && since.is_none_or(|since| self.at > since));
        Some(u32::try_from(person.count(window, since) + here).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    fn at(minutes: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::days(20_000) + TimeDelta::minutes(minutes)
    }

    fn happened(minutes: i64) -> Happened {
        Happened { at: at(minutes), day: at(minutes).date_naive() }
    }

    fn counted(person: &Person, within_seconds: Option<u32>) -> Option<u32> {
        let window = CountWindow { event: "e".to_owned(), within_seconds, most: 3 };
        PastCounts { person: Some(person), event: "e", at: at(10), now: at(10) }.count(&window)
    }

    #[test]
    fn the_event_at_hand_counts_and_a_window_ends_before_its_length() {
        let mut person = Person::default();
        assert_eq!(counted(&person, None), Some(1));
        [9, 0, 5].into_iter().for_each(|minute| person.happen("e", happened(minute), 10));
        assert_eq!(counted(&person, None), Some(4), "more than the threshold too");
        assert_eq!(counted(&person, Some(300)), Some(2), "just so long ago is no more");
        assert_eq!(counted(&person, Some(301)), Some(3));
        let strange = PastCounts { person: None, event: "f", at: at(10), now: at(10) };
        assert_eq!(strange.count(&CountWindow { event: "e".into(), within_seconds: None, most: 2 }), Some(0));
    }

    #[test]
    fn a_device_with_a_wrong_date_is_not_counted_in_a_window_and_only_the_latest_are_kept() {
        let mut person = Person::default();
        person.happen("e", Happened { day: at(0).date_naive() - Days::new(4), ..happened(9) }, 10);
        assert_eq!((counted(&person, Some(3_600)), counted(&person, None)), (Some(1), Some(2)));
        (0..9).for_each(|minute| person.happen("e", happened(minute), 3));
        assert_eq!(counted(&person, Some(180)), Some(2), "minutes 8 and 10");
        assert_eq!(counted(&person, None), Some(4));
    }

    #[test]
    fn imported_traits_fill_and_others_replace() {
        let mut person = Person::default();
        let patch = |text: &str| Traits::parse(text).unwrap();
        person.identify(patch(r#"{"a":1}"#), false);
        person.identify(patch(r#"{"a":2,"b":2}"#), true);
        person.identify(patch(r#"{"b":3}"#), false);
        assert_eq!(person.traits.to_json(), r#"{"a":1,"b":3}"#);
    }
}
