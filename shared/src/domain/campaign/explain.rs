//! Why a campaign is shown for an event, or why not: every check with what it saw, whatever the others said.
//!
//! Nothing is judged here a second time: the outcome is [`Delivery::decide`]'s, each check asks what the decision asks, and the rules
//! are the engine's own trace.
//!
//! [`Delivery::decide`]: super::delivery::Delivery::decide

use serde::Serialize;

use super::compiled::Compiled;
use super::definition::Status;
use super::delivery::{Decision, Situation, Suppressed};
use crate::domain::rules::{Facts, Step};

/// The reason where the event is none of the campaign's triggers.
pub const NO_TRIGGER: &str = "trigger";

/// What came of a campaign, and why.
#[derive(Debug, Clone, Serialize)]
pub struct Explanation {
    /// `show`, `hold_out`, `preview` or `suppressed`.
    pub decision: &'static str,
    /// Why it is suppressed, the first in the order of the checks: `trigger`, `not_active`, `rules`, `schedule`, `opted_out`, `roll_out`,
    /// `capped`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// Of an A/B test.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// One sentence.
    pub summary: String,
    /// The event beside what the campaign listens to.
    pub trigger: Trigger,
    /// The rules with what each saw.
    pub rules: Step,
    /// All of them, in the order in which they are asked.
    pub checks: Vec<Check>,
}

/// The name of the event beside what the campaign listens to.
#[derive(Debug, Clone, Serialize)]
pub struct Trigger {
    /// Any of these.
    pub expected: Vec<String>,
    /// They may be spelt in another case, and with `_` for a blank.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub loose: bool,
    /// The event; null when it has no name that could trigger anything.
    pub seen: Option<String>,
    /// Is it one of them?
    pub pass: bool,
}

/// One thing that is asked.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// `trigger`, `status`, `rules`, `schedule`, `opt_out`, `roll_out`, `caps`, `total_cap`, `hold_out` or `variant`.
    pub check: &'static str,
    /// Does it let the campaign through?
    pub pass: bool,
    /// What was seen, for people.
    pub detail: String,
}

/// Explains a campaign. `event` is the name that triggers listen to, if the event has one.
#[must_use]
pub fn explain(campaign: &Compiled, event: Option<&str>, facts: &Facts<'_>, situation: &Situation<'_>) -> Explanation {
    let rules = campaign.condition.trace(facts);
    let trigger = Trigger {
        expected: campaign.triggers().to_vec(),
        loose: campaign.listens_loosely(),
        seen: event.map(str::to_owned),
        pass: event.is_some_and(|event| campaign.is_triggered_by(event)),
    };
    let decision = trigger.pass.then(|| campaign.decide(facts, situation));
    let reason = match decision {
        None => Some(NO_TRIGGER),
        Some(Decision::Suppressed(reason)) => Some(reason.as_str()),
        Some(_) => None,
    };
    let variant = decision.and_then(|decision| campaign.variant_name(decision.variant())).map(str::to_owned);
    let checks = checks(campaign, &trigger, &rules, situation);
    let decision = decision.map_or("suppressed", Decision::as_str);
    let summary = summary(decision, reason, variant.as_deref(), &checks);
    Explanation { decision, reason, variant, summary, trigger, rules, checks }
}

fn checks(campaign: &Compiled, trigger: &Trigger, rules: &Step, situation: &Situation<'_>) -> Vec<Check> {
    let (id, delivery, assignment) = (campaign.id.as_str(), &campaign.delivery, &campaign.delivery.assignment);
    let check = |check, pass, detail| Check { check, pass, detail };
    let asked = |name, reason, detail| check(name, !delivery.stands(reason, id, situation), detail);
    let caps = delivery.caps.standing(situation.history, &delivery.schedule, situation.now);
    let total = delivery.caps.total.map(|most| format!("shown {} of {most} times to anybody", situation.shown_to_all));
    let variant = assignment.variant(id, situation.who);
    let none = |text: String, none: &str| if text.is_empty() { none.to_owned() } else { text };
    vec![
        check("trigger", trigger.pass, trigger_detail(trigger)),
        status(campaign, situation),
        check("rules", rules.pass() == Some(true), rules.why_not().unwrap_or_else(|| "all rules hold".to_owned())),
        asked("schedule", Suppressed::Schedule, delivery.schedule.standing(situation.now)),
        asked("opt_out", Suppressed::OptedOut, opt_out(situation.opted_out, delivery.ignore_opt_out).to_owned()),
        asked("roll_out", Suppressed::RollOut, assignment.rollout_standing(id, situation.who)),
        check("caps", !delivery.capped_for_user(situation), none(caps, "there is no cap per user")),
        check("total_cap", !delivery.capped_for_all(situation), total.unwrap_or_else(|| "there is none".to_owned())),
        check("hold_out", !assignment.held_out(id, situation.who), assignment.hold_out_standing(id, situation.who)),
        check("variant", true, campaign.variant_name(variant).unwrap_or("there are none").to_owned()),
    ]
}

fn trigger_detail(trigger: &Trigger) -> String {
    let seen = trigger.seen.as_deref().map_or_else(|| "an event without a name".to_owned(), |seen| format!("{seen:?}"));
    let expected: Vec<String> = trigger.expected.iter().map(|name| format!("{name:?}")).collect();
    let loosely = if trigger.loose { ", however it is spelt" } else { "" };
    match (trigger.pass, expected.is_empty()) {
        (_, true) => "it listens to no event".to_owned(),
        (true, _) => format!("it listens to {seen}{loosely}"),
        (false, _) => format!("it listens to {}{loosely}, not to {seen}", expected.join(", ")),
    }
}

fn status(campaign: &Compiled, situation: &Situation<'_>) -> Check {
    let status = campaign.status().map_or("none that is known", Status::as_str);
    let preview = !campaign.is_active() && campaign.delivery.is_test_user(situation.who);
    let tested = if preview { "; this is a test user, who is shown a preview of it" } else { "" };
    Check { check: "status", pass: campaign.is_active() || preview, detail: format!("its status is {status}{tested}") }
}

fn opt_out(opted_out: bool, ignored: bool) -> &'static str {
    match (opted_out, ignored) {
        (false, _) => "the user has not opted out",
        (true, false) => "the user wants no campaigns",
        (true, true) => "the user wants no campaigns, but this one is shown all the same",
    }
}

fn summary(decision: &str, reason: Option<&str>, variant: Option<&str>, checks: &[Check]) -> String {
    let variant = variant.map(|name| format!(", variant {name}")).unwrap_or_default();
    let detail = |names: &[&str]| {
        let failed = checks.iter().find(|check| !check.pass && names.contains(&check.check));
        failed.map(|check| check.detail.as_str()).unwrap_or_default()
    };
    match (decision, reason) {
        ("show", _) => format!("Shown{variant}: trigger, rules and all checks let it through."),
        ("hold_out", _) => format!("Held out{variant}: it would be shown, but the user is in the hold-out group."),
        ("preview", _) => format!("Shown as a preview{variant}: it is not active, and this is a test user."),
        (_, Some(NO_TRIGGER)) => format!("Not shown: {}.", detail(&["trigger"])),
        (_, Some("not_active")) => format!("Not shown: it is not active ({}).", detail(&["status"])),
        (_, Some("rules")) => format!("Not shown: a rule does not hold ({}).", detail(&["rules"])),
        (_, Some("schedule")) => format!("Not shown: it does not run then ({}).", detail(&["schedule"])),
        (_, Some("opted_out")) => format!("Not shown: {}.", detail(&["opt_out"])),
        (_, Some("roll_out")) => {
            format!("Not shown: the roll-out has not reached the user ({}).", detail(&["roll_out"]))
        }
        (_, Some("capped")) => format!("Not shown: it was shown often enough ({}).", detail(&["caps", "total_cap"])),
        (_, reason) => format!("Not shown: {}.", reason.unwrap_or_default()),
    }
}
