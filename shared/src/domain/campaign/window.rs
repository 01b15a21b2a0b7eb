//! The hours of the week in which a campaign runs, by the clock on the wall.
//!
//! `{"days": ["mon", …], "from": "22:00", "to": "02:00"}`: one that ends before it begins goes on into the next day and belongs to the
//! day it began on; without `days` it is daily; `from` equal to `to` is the 24 hours from then.

use std::fmt;

use chrono::{Datelike, NaiveDateTime, NaiveTime, Weekday};

use super::option::Section;
use crate::domain::raw_object::RawObject;
use crate::domain::rules::Fault;

/// Most windows of one campaign.
pub const MAX_WINDOWS: usize = 50;

const NAMES: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// One window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// Bit 0 is Monday.
    days: u8,
    from: NaiveTime,
    to: NaiveTime,
}

impl Window {
    /// Is this time on the wall's clock in it?
    #[must_use]
    pub fn holds(&self, local: NaiveDateTime) -> bool {
        let (today, time) = (local.weekday(), local.time());
        if self.from < self.to {
            return self.on(today) && self.from <= time && time < self.to;
        }
        // Over midnight: what began today, or what began yesterday and still goes on.
        (self.on(today) && time >= self.from) || (self.on(today.pred()) && time < self.to)
    }

    fn on(&self, day: Weekday) -> bool {
        self.days & (1 << day.num_days_from_monday()) != 0
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days: Vec<&str> = NAMES
            .into_iter()
            .enumerate()
            .filter(|(bit, _)| self.days & (1 << bit) != 0)
            .map(|(_, name)| name)
            .collect();
        let days = if days.len() == NAMES.len() { "daily".to_owned() } else { days.join(" ") };
        write!(f, "{days} {}–{}", self.from.format("%H:%M"), self.to.format("%H:%M"))
    }
}

/// Reads `windows`.
pub fn read_all(section: &Section<'_>, faults: &mut Vec<Fault>) -> Vec<Window> {
    let wanted = "an array of windows {days, from, to}";
    let listed: Vec<RawObject> = section.read("windows", wanted, faults).unwrap_or_default();
    if listed.len() > MAX_WINDOWS {
        let message = format!("has {} windows; at most {MAX_WINDOWS} are allowed", listed.len());
        faults.push(Fault::new(section.path("windows"), "too_many", message));
        return Vec::new();
    }
    let of = |(index, object)| window(&Section::element(object, &section.path("windows"), index), faults);
    listed.into_iter().enumerate().filter_map(of).collect()
}

fn window(section: &Section<'_>, faults: &mut Vec<Fault>) -> Option<Window> {
    let (from, to, days) = (clock(section, "from", faults), clock(section, "to", faults), days(section, faults));
    Some(Window { days: days?, from: from?, to: to? })
}

/// `HH:MM`, also `24:00` for midnight.
fn clock(section: &Section<'_>, key: &str, faults: &mut Vec<Fault>) -> Option<NaiveTime> {
    let text = section.text(key, faults).unwrap_or_default();
    let time = if text == "24:00" { Some(NaiveTime::MIN) } else { NaiveTime::parse_from_str(&text, "%H:%M").ok() };
    if time.is_none() {
        faults.push(Fault::new(section.path(key), "wrong_type", "must be a time of day such as \"09:30\""));
    }
    time
}

fn days(section: &Section<'_>, faults: &mut Vec<Fault>) -> Option<u8> {
    let Some(listed) = section.read::<Vec<String>>("days", "an array of days such as \"mon\"", faults) else {
        return Some(0b111_1111);
    };
    let mut days = 0;
    for name in &listed {
        let day = name.trim().to_lowercase();
        match NAMES.iter().position(|known| day.get(..3) == Some(known)) {
            Some(place) => days |= 1 << place,
            None => {
                let message = format!("{:?} is no day; the days are {}", short(name), NAMES.join(" "));
                faults.push(Fault::new(section.path("days"), "unknown_value", message));
                return None;
            }
        }
    }
    Some(if listed.is_empty() { 0b111_1111 } else { days })
}

/// Enough of a text to show what was meant.
#[must_use]
pub fn short(text: &str) -> String {
    text.chars().take(40).collect()
}
