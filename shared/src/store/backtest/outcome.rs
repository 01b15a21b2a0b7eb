//! What a backtest found, as it is told.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use serde::Serialize;

use super::Run;
use crate::domain::campaign::backtest::Simulation;
use crate::domain::campaign::delivery::OPT_OUT_TRAIT;
use crate::store::explain::About;
use crate::store::explain::versions::Version;

/// What a backtest found.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// The campaign.
    pub campaign: About,
    /// Everything was looked at in time.
    pub complete: bool,
    /// Up to and with this day everything was; absent when it is complete, and when not all users were looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub complete_until: Option<NaiveDate>,
    /// The first day that events are filed under.
    pub from: NaiveDate,
    /// The last one: today.
    pub to: NaiveDate,
    /// Events that triggered.
    pub events: u64,
    /// Of these, those that would have matched: shown or held out.
    pub matched_events: u64,
    /// Of the matched ones, held out.
    pub held_out_events: u64,
    /// Users of the matched events; strangers are not counted.
    pub matched_users: u64,
    /// Every day.
    pub daily: Vec<Daily>,
    /// Events that triggered and would not have matched, by the reason that explanations give.
    pub suppressed: BTreeMap<&'static str, u64>,
    /// How long it took.
    pub elapsed_seconds: f64,
    /// What is not exact, in sentences.
    pub notes: Vec<String>,
}

/// One day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Daily {
    /// That events are filed under.
    pub date: NaiveDate,
    /// Events that triggered.
    pub events: u64,
    /// Of these, matched.
    pub matched_events: u64,
    /// Their users, each once a day.
    pub matched_users: u64,
}

impl Run<'_> {
    /// Sums up. `until` is the day at which time was up.
    pub(super) fn outcome(&self, simulation: &Simulation, version: &Version, until: Option<NaiveDate>) -> Outcome {
        let day = |date: NaiveDate| {
            let sums = self.done.days.get(&date).cloned().unwrap_or_default();
            Daily { date, events: sums.events, matched_events: sums.matched_events, matched_users: sums.matched_users }
        };
        let share = simulation.share();
        let all_users = self.passes == 1 && share >= 1.0;
        let before = until.and_then(|day| day.pred_opt()).filter(|day| all_users && *day >= self.from);
        Outcome {
            campaign: version.about(),
            complete: until.is_none(),
            complete_until: before,
            from: self.from,
            to: self.to,
            events: self.done.events(),
            matched_events: self.done.matched_events(),
            held_out_events: self.done.held_out_events,
            matched_users: self.done.matched_users,
            daily: self.from.iter_days().take_while(|date| *date <= self.to).map(day).collect(),
            suppressed: self.done.suppressed.clone(),
            elapsed_seconds: (self.started.elapsed().as_secs_f64() * 1_000.0).round() / 1_000.0,
            notes: self.notes(simulation, version, until),
        }
    }

    fn notes(&self, simulation: &Simulation, version: &Version, until: Option<NaiveDate>) -> Vec<String> {
        let (campaign, from) = (simulation.campaign(), self.from);
        let (caps, wants) = (&campaign.delivery.caps, simulation.wants());
        let mut notes = vec![format!(
            "The campaign is taken as if it had been active from {from} on, as it is here{}.",
            if campaign.condition.needs().segments.is_empty() { "" } else { ", with its segments as they are now" }
        )];
        if wants.keys.traits.iter().any(|key| key != OPT_OUT_TRAIT) || !campaign.delivery.ignore_opt_out {
            notes.push(
                "Traits are taken from the identifies of these days; one that was first set within them as missing before, and one that \
                 was not set within them as it is now."
                    .to_owned(),
            );
        }
        notes.push("Events of one request are taken in the order of their own times.".to_owned());
        if campaign.delivery.assignment.parts_users() && version.id().is_none() {
            notes.push(
                "The campaign has no id yet: roll-out and hold-out hit as many users as they will, but others."
                    .to_owned(),
            );
        }
        if caps.per_user() || caps.total.is_some() {
            let shown = if version.id().is_some() { "what it was really shown before" } else { "nothing shown before" };
            notes.push(format!("Caps begin on {from} with {shown}."));
        }
        if caps.total.is_some() {
            notes.push("The cap over all users goes by the time of receipt; workers show in the order in which they get to it.".to_owned());
        }
        if self.passes > 1 || simulation.share() < 1.0 {
            notes.push(format!(
                "There are so many users that they were looked at in parts, {} so far{}.",
                self.passes,
                if caps.total.is_some() { ", each after the other also for the cap over all users" } else { "" }
            ));
        }
        if let Some(day) = until {
            let share = simulation.share();
            let users = if share < 1.0 { format!(", of {:.0} % of the users", share * 100.0) } else { String::new() };
            notes.push(format!(
                "Time was up when it had come to events of {day}{users}: ask for fewer days, or give it more time."
            ));
        }
        notes
    }
}
