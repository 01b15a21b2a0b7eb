//! A stored campaign made ready to match, or the reason why it cannot be.

use std::fmt;

use serde_json::value::RawValue;

use super::catalog::folded;
use super::client_object::client_object;
use super::definition::{self, Status};
use super::delivery::{Decision, Delivery, Situation};
use crate::domain::raw_object::RawObject;
use crate::domain::rules::{self, Condition, Facts, Fault, Scope};

/// Fields for editors alone: apps are not told who tests a campaign, how its audience is cut, or who else is told.
const EDITORS_ONLY: [&str; 5] = ["test_users", "variants", "hold_out_percentage", "rollout_percentage", "webhook"];

/// A campaign ready to match.
#[derive(Debug)]
pub struct Compiled {
    /// The stored id.
    pub id: String,
    /// The stored version, recorded with each match.
    pub version: i64,
    /// What its rules ask.
    pub condition: Condition,
    /// Everything that is not a rule.
    pub delivery: Delivery,
    /// `targeting`, where it is the array that clients of the second generation read.
    pub targeting_list: Option<Box<RawValue>>,
    pub(super) triggers: Vec<String>,
    pub(super) listens_loosely: bool,
    status: Option<Status>,
    /// What clients are given: one object, or one per variant; empty where the process answers no clients.
    objects: Vec<Box<RawValue>>,
}

/// Something stored that does nothing, because it is malformed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inert {
    /// `campaign`, `segment` or `feature`.
    pub kind: &'static str,
    /// The stored id.
    pub id: String,
    /// The stored version.
    pub version: i64,
    /// Every fault found; at least one.
    pub faults: Vec<Fault>,
}

impl fmt::Display for Inert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} does nothing until it is mended", self.kind, self.id)?;
        for (index, fault) in self.faults.iter().take(3).enumerate() {
            write!(f, "{} {fault}", if index == 0 { ":" } else { ";" })?;
        }
        match self.faults.len().saturating_sub(3) {
            0 => Ok(()),
            more => write!(f, " (and {more} more)"),
        }
    }
}

/// Compiles a stored document. Only what matching and rendering stand on can make it inert: a name or status that the door
/// would refuse does not (an unknown status is simply not active).
pub fn compile(id: &str, version: i64, document: &RawObject) -> Result<Compiled, Inert> {
    let mut faults = Vec::new();
    let triggers = definition::triggers(document, &mut faults);
    let listens_loosely = definition::listens_loosely(document, &mut faults);
    let rules = rules::read(document, Scope::Campaign, &mut faults);
    let delivery = Delivery::read(document, &mut faults);
    definition::check_objects(document, &mut faults);
    if !faults.is_empty() {
        return Err(Inert { kind: "campaign", id: id.to_owned(), version, faults });
    }
    let status = document.get("status").and_then(|raw| serde_json::from_str::<String>(raw.get()).ok());
    let targeting_list = document.get("targeting").filter(|raw| raw.get().starts_with('[')).map(ToOwned::to_owned);
    Ok(Compiled {
        id: id.to_owned(),
        version,
        condition: rules.condition,
        delivery,
        targeting_list,
        triggers,
        listens_loosely,
        status: status.as_deref().and_then(Status::parse),
        objects: Vec::new(),
    })
}

impl Compiled {
    /// The same, with the objects that clients are given; see [`client_object`] for the times.
    pub fn with_objects(
        mut self,
        document: &RawObject,
        created_at: &str,
        updated_at: &str,
    ) -> serde_json::Result<Self> {
        let mut shown = document.clone();
        EDITORS_ONLY.iter().for_each(|key| shown.remove(key));
        self.objects.clear();
        for variant in &self.delivery.assignment.variants {
            let mut shown = shown.clone();
            shown.set("variant", &variant.name)?;
            if let Some(patch) = &variant.config {
                let config = document.get("config").and_then(|config| RawObject::parse(config.get()).ok());
                let mut config = config.unwrap_or_default();
                config.merge(RawObject::parse(patch)?);
                shown.set("config", &config)?;
            }
            self.objects.push(client_object(&shown, &self.id, created_at, updated_at)?);
        }
        if self.objects.is_empty() {
            self.objects.push(client_object(&shown, &self.id, created_at, updated_at)?);
        }
        Ok(self)
    }

    /// Is there anybody who could be shown it: is it active, or has it test users and is not put away?
    #[must_use]
    pub fn listens(&self) -> bool {
        self.is_active() || (self.delivery.has_test_users() && self.status != Some(Status::Archived))
    }

    /// The names it listens to.
    #[must_use]
    pub fn triggers(&self) -> &[String] {
        &self.triggers
    }

    /// Does it take another case, and `_` for a blank, as the same name?
    #[must_use]
    pub fn listens_loosely(&self) -> bool {
        self.listens_loosely
    }

    /// Is this event one of its triggers?
    #[must_use]
    pub fn is_triggered_by(&self, event: &str) -> bool {
        if !self.listens_loosely {
            return self.triggers.iter().any(|trigger| trigger == event);
        }
        let event = folded(event);
        self.triggers.iter().any(|trigger| folded(trigger) == event)
    }

    /// Where it stands in its life; `None`: nowhere known, so never active.
    #[must_use]
    pub fn status(&self) -> Option<Status> {
        self.status
    }

    /// The same, as if it were active.
    #[must_use]
    pub fn activated(mut self) -> Self {
        self.status = Some(Status::Active);
        self
    }

    /// Is its status `active`?
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.status == Some(Status::Active)
    }

    /// What becomes of the campaign, its trigger having fired?
    #[must_use]
    pub fn decide(&self, facts: &Facts<'_>, situation: &Situation<'_>) -> Decision {
        self.decide_if(|| self.condition.holds(facts).is_true(), situation)
    }

    /// The same, where the caller judges the rules.
    #[must_use]
    pub fn decide_if(&self, rules_hold: impl FnOnce() -> bool, situation: &Situation<'_>) -> Decision {
        self.delivery.decide(&self.id, self.is_active(), rules_hold, situation)
    }

    /// Name of a variant.
    #[must_use]
    pub fn variant_name(&self, variant: Option<usize>) -> Option<&str> {
        self.delivery.assignment.variants.get(variant?).map(|variant| variant.name.as_str())
    }

    /// The object that clients are given.
    #[must_use]
    pub fn object(&self, variant: Option<usize>) -> Option<&RawValue> {
        self.objects.get(variant.unwrap_or(0)).map(Box::as_ref)
    }
}
