//! What a run came to: a table and one line for people, JSON for machines.

use std::fmt::Write;
use std::time::Duration;

use serde_json::{Value, json};

use super::fault::Facts;
use super::schedule::Run;

/// What one run came to.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// Of the fault or control.
    pub name: String,
    /// Of the fault matrix; 0 for a control.
    pub row: u8,
    /// Of the load.
    pub seed: u64,
    /// Strikes that were recovered from.
    pub strikes: u64,
    /// Processes killed.
    pub kills: u64,
    /// Power cuts.
    pub power_cuts: u64,
    /// Events answered with success.
    pub acknowledged: u64,
    /// Of these, without a row.
    pub lost: u64,
    /// With more than one row.
    pub duplicated: u64,
    /// Everything else that is wrong, in words.
    pub faults: Vec<String>,
    /// What was measured beside.
    pub notes: Vec<String>,
    /// The longest time that a client was answered 503, or not at all, before its request succeeded.
    pub longest_wait: Duration,
    /// Requests that had to be repeated.
    pub repeats: u64,
    /// Of all requests, from their first attempt to their success.
    pub p99: Duration,
    /// From the end of the harm until a new event was accepted and stored.
    pub recovery: Duration,
    /// Why it did not run.
    pub skipped: Option<String>,
    /// It is broken on purpose: something must be lost or doubled.
    pub is_control: bool,
}

impl Outcome {
    /// Nothing has happened yet.
    #[must_use]
    pub fn of(run: &Run) -> Self {
        let Facts { name, row, kills, power_cuts, .. } = run.fault.facts();
        let strikes = run.strikes.len() as u64;
        Self {
            name: name.to_owned(),
            row,
            seed: run.seed,
            kills: kills * strikes,
            power_cuts: power_cuts * strikes,
            ..Self::default()
        }
    }

    /// It cannot run here.
    #[must_use]
    pub fn skipped(run: &Run, reason: String) -> Self {
        Self { skipped: Some(reason), kills: 0, power_cuts: 0, ..Self::of(run) }
    }

    /// Was it as it must be?
    #[must_use]
    pub fn is_well(&self) -> bool {
        if self.is_control && self.skipped.is_none() {
            return self.lost + self.duplicated > 0;
        }
        self.skipped.is_some() || (self.lost == 0 && self.duplicated == 0 && self.faults.is_empty())
    }

    fn verdict(&self) -> &'static str {
        match (self.is_control, self.is_well(), self.skipped.is_some()) {
            (_, _, true) => "SKIPPED",
            (false, true, _) => "ok",
            (false, false, _) => "FAILED",
            (true, true, _) => "caught",
            (true, false, _) => "NOT CAUGHT",
        }
    }

    /// One line of the table.
    #[must_use]
    pub fn line(&self) -> String {
        format!(
            "{:>3}  {:<24} {:>9} {:>7} {:>9} {:>6} {:>10} {:>8.1} {:>9.1}  {}",
            if self.is_control { "-".to_owned() } else { self.row.to_string() },
            self.name,
            self.seed,
            self.strikes,
            self.acknowledged,
            self.lost,
            self.duplicated,
            self.longest_wait.as_secs_f64(),
            self.recovery.as_secs_f64(),
            self.verdict()
        )
    }

    fn json(&self) -> Value {
        json!({
            "name": self.name, "row": self.row, "seed": self.seed, "strikes": self.strikes, "kills": self.kills,
            "power_cuts": self.power_cuts, "acknowledged": self.acknowledged, "lost": self.lost,
            "duplicated": self.duplicated, "faults": self.faults, "notes": self.notes, "repeats": self.repeats,
            "longest_wait_seconds": self.longest_wait.as_secs_f64(), "p99_seconds": self.p99.as_secs_f64(),
            "recovery_seconds": self.recovery.as_secs_f64(), "skipped": self.skipped, "is_control": self.is_control,
            "verdict": self.verdict(),
        })
    }
}

/// The heads of the table's columns.
#[must_use]
pub fn head() -> String {
    format!(
        "{:>3}  {:<24} {:>9} {:>7} {:>9} {:>6} {:>10} {:>8} {:>9}  verdict",
        "row", "fault", "seed", "runs", "acked", "lost", "duplicated", "503 s", "recover s"
    )
}

/// All of a command's outcomes.
#[derive(Debug, Clone)]
pub struct Report {
    /// Of the schedule.
    pub seed: u64,
    /// Of the schedule.
    pub minutes: u64,
    /// In order.
    pub outcomes: Vec<Outcome>,
}

impl Report {
    /// Was all as it must be, and did anything run?
    #[must_use]
    pub fn is_well(&self) -> bool {
        self.outcomes.iter().all(Outcome::is_well) && self.outcomes.iter().any(|outcome| outcome.skipped.is_none())
    }

    fn sum(&self, what: impl Fn(&Outcome) -> u64) -> u64 {
        self.outcomes.iter().filter(|outcome| !outcome.is_control).map(what).sum()
    }

    /// The one line at the end.
    #[must_use]
    pub fn summary(&self) -> String {
        let count = |which: &dyn Fn(&&Outcome) -> bool| self.outcomes.iter().filter(which).count();
        let controls = count(&|o| o.is_control && o.skipped.is_none());
        let caught = count(&|o| o.is_control && o.skipped.is_none() && o.is_well());
        format!(
            "seed {}: {} runs, {} strikes, {} kills, {} power cuts; acked {}, lost {}, duplicated {}; {caught} of {controls} controls caught; {} skipped; {}",
            self.seed,
            count(&|o| !o.is_control && o.skipped.is_none()),
            self.sum(|o| o.strikes),
            self.sum(|o| o.kills),
            self.sum(|o| o.power_cuts),
            self.sum(|o| o.acknowledged),
            self.sum(|o| o.lost),
            self.sum(|o| o.duplicated),
            count(&|o| o.skipped.is_some()),
            if self.is_well() { "well" } else { "NOT WELL" }
        )
    }

    /// The table, what is wrong or was skipped in words, and the summary line.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = head();
        for outcome in &self.outcomes {
            let _ = write!(text, "\n{}", outcome.line());
        }
        for outcome in &self.outcomes {
            if let Some(reason) = &outcome.skipped {
                let _ = write!(text, "\nSKIPPED {}: {reason}", outcome.name);
            }
            for note in &outcome.notes {
                let _ = write!(text, "\n{}: {note}", outcome.name);
            }
            if !outcome.is_well() {
                for fault in outcome.faults.iter().take(5) {
                    let _ = write!(text, "\n{}: {fault}", outcome.name);
                }
            }
        }
        let _ = write!(text, "\n\n{}", self.summary());
        text
    }

    /// The same for machines.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({
            "seed": self.seed, "minutes": self.minutes, "well": self.is_well(), "summary": self.summary(),
            "outcomes": self.outcomes.iter().map(Outcome::json).collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(outcome: Outcome) -> Report {
        Report { seed: 1, minutes: 1, outcomes: vec![outcome] }
    }

    #[test]
    fn anything_lost_doubled_or_wrong_is_not_well_and_a_control_must_be_caught() {
        assert!(report(Outcome::default()).is_well());
        for bad in [
            Outcome { lost: 1, ..Outcome::default() },
            Outcome { duplicated: 1, ..Outcome::default() },
            Outcome { faults: vec!["the audit".to_owned()], ..Outcome::default() },
            Outcome { is_control: true, ..Outcome::default() },
        ] {
            assert!(!report(bad.clone()).is_well(), "{bad:?}");
        }
        assert!(report(Outcome { is_control: true, lost: 3, ..Outcome::default() }).is_well());
        assert!(
            !report(Outcome { skipped: Some("no root".to_owned()), ..Outcome::default() }).is_well(),
            "nothing ran"
        );
    }
}
