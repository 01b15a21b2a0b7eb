//! Whether a campaign whose trigger fired is really shown: everything that is not a rule, in one place and one order.
//!
//! status or preview → rules → schedule → opt-out → roll-out → caps → hold-out → variant. A preview (a campaign that is not
//! active, for one of its named test users) asks only for trigger and rules. Pure: what it must know comes in as [`Situation`].

use chrono::{DateTime, Utc};

use super::assignment::{Assignment, Who};
use super::caps::{Caps, History};
use super::goal::Goal;
use super::option::Section;
use super::schedule::Schedule;
use super::webhook::Webhook;
use crate::domain::limits;
use crate::domain::raw_object::RawObject;
use crate::domain::rules::Fault;
use crate::domain::user_key::KeyKind;

/// The trait with which a user says that campaigns are not wanted.
pub const OPT_OUT_TRAIT: &str = "$campaigns_opt_out";
/// Most test users of one campaign.
pub const MAX_TEST_USERS: usize = 100;

/// Has a user with these traits opted out? `true`, `"true"` and 1 all say so.
#[must_use]
pub fn opted_out(traits: &RawObject) -> bool {
    traits.get(OPT_OUT_TRAIT).is_some_and(|raw| matches!(raw.get(), "true" | "\"true\"" | "1" | "\"1\""))
}

/// How one campaign is delivered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Delivery {
    /// Higher comes first; 0 where none is given.
    pub priority: i64,
    /// When it runs.
    pub schedule: Schedule,
    /// How often it is shown.
    pub caps: Caps,
    /// Who is in.
    pub assignment: Assignment,
    /// What it is for.
    pub goal: Option<Goal>,
    /// Who is told.
    pub webhook: Option<Webhook>,
    /// Shown even to users who opted out: a receipt, a warning.
    pub ignore_opt_out: bool,
    test_users: Vec<String>,
}

/// What is known when a campaign is decided.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    /// For whom.
    pub who: Who<'a>,
    /// When the event was received.
    pub now: DateTime<Utc>,
    /// Has the user opted out?
    pub opted_out: bool,
    /// What the user was shown of this campaign; looked at only where [`Caps::per_user`] says so.
    pub history: &'a History,
    /// How often it was shown to anybody, where that is known.
    pub shown_to_all: u64,
}

/// What becomes of a campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Shown, with this variant.
    Show(Option<usize>),
    /// Counted, but not shown.
    HoldOut(Option<usize>),
    /// Shown to a test user; counts for nothing.
    Preview(Option<usize>),
    /// Not shown.
    Suppressed(Suppressed),
}

/// Why a campaign is not shown; the first reason in the order of [`self`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suppressed {
    /// It is a draft, paused or archived.
    NotActive,
    /// A rule does not hold.
    Rules,
    /// Before its start, after its end or outside its windows.
    Schedule,
    /// The user wants none.
    OptedOut,
    /// The roll-out has not reached the user.
    RollOut,
    /// Shown often enough.
    Capped,
}

impl Suppressed {
    /// What may stand against a campaign whose rules hold, in the order in which it is asked.
    const AFTER_RULES: [Self; 4] = [Self::Schedule, Self::OptedOut, Self::RollOut, Self::Capped];

    /// The name, for programs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotActive => "not_active",
            Self::Rules => "rules",
            Self::Schedule => "schedule",
            Self::OptedOut => "opted_out",
            Self::RollOut => "roll_out",
            Self::Capped => "capped",
        }
    }
}

impl Decision {
    /// The name, for programs: what a recorded match says, or `suppressed`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Show(_) => "show",
            Self::HoldOut(_) => "hold_out",
            Self::Preview(_) => "preview",
            Self::Suppressed(_) => "suppressed",
        }
    }

    /// The index of the variant; of what is suppressed none.
    #[must_use]
    pub fn variant(self) -> Option<usize> {
        match self {
            Self::Show(variant) | Self::HoldOut(variant) | Self::Preview(variant) => variant,
            Self::Suppressed(_) => None,
        }
    }
}

impl Delivery {
    /// Reads all of it.
    pub fn read(document: &RawObject, faults: &mut Vec<Fault>) -> Self {
        let top = Section::document(document);
        Self {
            priority: priority(&top, faults),
            schedule: Schedule::read(document, faults),
            caps: Caps::read(document, faults),
            assignment: Assignment::read(document, faults),
            goal: Goal::read(document, faults),
            webhook: Webhook::read(document, faults),
            ignore_opt_out: top.flag("ignore_opt_out", faults),
            test_users: test_users(&top, faults),
        }
    }

    /// May anybody see it although it is not active?
    #[must_use]
    pub fn has_test_users(&self) -> bool {
        !self.test_users.is_empty()
    }

    /// Is this one of the test users?
    #[must_use]
    pub fn is_test_user(&self, who: Who<'_>) -> bool {
        matches!(who, Who::User(user) if user.kind == KeyKind::User && self.test_users.iter().any(|id| id == user.id))
    }

    /// Decides. `rules_hold` is asked only where status or preview let it come to that.
    pub fn decide(
        &self,
        campaign_id: &str,
        active: bool,
        rules_hold: impl FnOnce() -> bool,
        situation: &Situation<'_>,
    ) -> Decision {
        let who = situation.who;
        let preview = !active && self.is_test_user(who);
        if !active && !preview {
            return Decision::Suppressed(Suppressed::NotActive);
        }
        if !rules_hold() {
            return Decision::Suppressed(Suppressed::Rules);
        }
        let variant = self.assignment.variant(campaign_id, who);
        if preview {
            return Decision::Preview(variant);
        }
        let against = Suppressed::AFTER_RULES.into_iter().find(|reason| self.stands(*reason, campaign_id, situation));
        match against {
            Some(reason) => Decision::Suppressed(reason),
            None if self.assignment.held_out(campaign_id, who) => Decision::HoldOut(variant),
            None => Decision::Show(variant),
        }
    }

    /// Does this stand against the campaign? Status and rules are not judged here.
    pub(super) fn stands(&self, reason: Suppressed, campaign_id: &str, situation: &Situation<'_>) -> bool {
        match reason {
            Suppressed::NotActive | Suppressed::Rules => false,
            Suppressed::Schedule => !self.schedule.is_open(situation.now),
            Suppressed::OptedOut => situation.opted_out && !self.ignore_opt_out,
            Suppressed::RollOut => !self.assignment.rolled_out(campaign_id, situation.who),
            Suppressed::Capped => self.capped_for_user(situation) || self.capped_for_all(situation),
        }
    }

    /// Was the user shown it often enough? A stranger has no history.
    pub(super) fn capped_for_user(&self, situation: &Situation<'_>) -> bool {
        matches!(situation.who, Who::User(_)) && !self.caps.allow(situation.history, &self.schedule, situation.now)
    }

    /// Was it shown to enough people?
    pub(super) fn capped_for_all(&self, situation: &Situation<'_>) -> bool {
        self.caps.total.is_some_and(|most| situation.shown_to_all >= u64::from(most))
    }
}

/// A number, also as text, as one dashboard sends it.
fn priority(top: &Section<'_>, faults: &mut Vec<Fault>) -> i64 {
    let Some(raw) = top.object().get("priority").map(serde_json::value::RawValue::get) else { return 0 };
    let text = raw.trim_matches('"').trim();
    if text.is_empty() || text == "null" {
        return 0;
    }
    match text.parse::<f64>() {
        #[expect(clippy::cast_possible_truncation, reason = "from -1e9 to 1e9")]
        Ok(number) if number.abs() <= 1e9 => number.round() as i64,
        _ => {
            let message = "must be a number from -1000000000 to 1000000000 (higher comes first), or absent";
            faults.push(Fault::new("priority", "wrong_type", message));
            0
        }
    }
}

fn test_users(top: &Section<'_>, faults: &mut Vec<Fault>) -> Vec<String> {
    let users: Vec<String> = top.read("test_users", "an array of user ids (strings)", faults).unwrap_or_default();
    if users.len() > MAX_TEST_USERS || users.iter().any(|id| id.is_empty() || id.len() > limits::ID_BYTES) {
        let message = format!("must be at most {MAX_TEST_USERS} user ids of 1 to {} bytes", limits::ID_BYTES);
        faults.push(Fault::new("test_users", "too_many", message));
    }
    users
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::user_key::UserKey;

    fn read(text: &str) -> Delivery {
        let mut faults = Vec::new();
        let delivery = Delivery::read(&RawObject::parse(text).unwrap(), &mut faults);
        assert_eq!(faults, []);
        delivery
    }

    fn decide(text: &str, active: bool, rules: bool, change: impl FnOnce(&mut Situation<'_>)) -> Decision {
        let history = History { shown: 1, ..History::default() };
        let now = DateTime::parse_from_rfc3339("2026-03-01T10:00:00Z").unwrap().with_timezone(&Utc);
        let who = Who::User(UserKey::user("tester"));
        let mut situation = Situation { who, now, opted_out: false, history: &history, shown_to_all: 5 };
        change(&mut situation);
        read(text).decide("c", active, || rules, &situation)
    }

    #[test]
    fn each_reason_suppresses_in_its_order() {
        use Suppressed::{Capped, NotActive, OptedOut, RollOut, Rules};
        let all = r#"{"ends_at":"2026-01-01","rollout_percentage":0,"frequency_cap":{"per_user":1}}"#;
        assert_eq!(decide(all, false, false, |_| ()), Decision::Suppressed(NotActive));
        assert_eq!(decide(all, true, false, |_| ()), Decision::Suppressed(Rules));
        assert_eq!(decide(all, true, true, |s| s.opted_out = true), Decision::Suppressed(Suppressed::Schedule));
        let rest = r#"{"rollout_percentage":0,"frequency_cap":{"per_user":1}}"#;
        assert_eq!(decide(rest, true, true, |s| s.opted_out = true), Decision::Suppressed(OptedOut));
        assert_eq!(decide(rest, true, true, |_| ()), Decision::Suppressed(RollOut));
        let capped = r#"{"hold_out_percentage":100,"frequency_cap":{"per_user":1}}"#;
        assert_eq!(decide(capped, true, true, |_| ()), Decision::Suppressed(Capped));
        assert_eq!(decide(r#"{"frequency_cap":{"total":5}}"#, true, true, |_| ()), Decision::Suppressed(Capped));
        assert_eq!(decide(r#"{"hold_out_percentage":100}"#, true, true, |_| ()), Decision::HoldOut(None));
        assert_eq!(decide(r#"{"variants":[{"name":"A"}]}"#, true, true, |_| ()), Decision::Show(Some(0)));
    }

    #[test]
    fn a_campaign_may_be_shown_to_those_who_opted_out() {
        assert_eq!(decide(r#"{"ignore_opt_out":true}"#, true, true, |s| s.opted_out = true), Decision::Show(None));
    }

    #[test]
    fn caps_per_user_do_not_bind_strangers() {
        let stranger = |s: &mut Situation<'_>| s.who = Who::Stranger(uuid::Uuid::nil());
        assert_eq!(decide(r#"{"frequency_cap":{"per_user":1}}"#, true, true, stranger), Decision::Show(None));
    }

    #[test]
    fn a_test_user_sees_what_is_not_active_and_only_rules_can_hide_it() {
        let text =
            r#"{"test_users":["tester"],"ends_at":"2026-01-01","frequency_cap":{"per_user":1},"rollout_percentage":0}"#;
        assert_eq!(decide(text, false, true, |s| s.opted_out = true), Decision::Preview(None));
        assert_eq!(decide(text, false, false, |_| ()), Decision::Suppressed(Suppressed::Rules));
        let other = |s: &mut Situation<'_>| s.who = Who::User(UserKey::user("other"));
        assert_eq!(decide(text, false, true, other), Decision::Suppressed(Suppressed::NotActive));
        let visitor = |s: &mut Situation<'_>| s.who = Who::User(UserKey::anonymous("tester"));
        assert_eq!(decide(text, false, true, visitor), Decision::Suppressed(Suppressed::NotActive));
    }

    #[test]
    fn priorities_may_be_text_and_faults_are_named() {
        for (text, priority) in [("5", 5), ("-2.6", -3), ("\"7\"", 7), ("\"\"", 0), ("null", 0)] {
            assert_eq!(read(&format!(r#"{{"priority":{text}}}"#)).priority, priority);
        }
        let mut faults = Vec::new();
        Delivery::read(
            &RawObject::parse(r#"{"priority":"high","ignore_opt_out":"no","test_users":[""]}"#).unwrap(),
            &mut faults,
        );
        assert_eq!(
            faults.iter().map(|f| f.field.as_str()).collect::<Vec<_>>(),
            ["priority", "ignore_opt_out", "test_users"]
        );
    }
}
