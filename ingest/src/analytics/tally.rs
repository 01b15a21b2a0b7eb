//! What dashboards count, made of the daily sums.
//!
//! | field | is |
//! |---|---|
//! | `events` | new events of every type |
//! | `active_users` | user keys that sent anything on the day: users, and visitors that nobody logged in as; a visitor who logs in is both |
//! | `matches`, `held_out` | what the pipeline decided to show, or to hold out; previews count for nothing |
//! | `impressions`, `clicks`, `dismissals` | what apps reported |
//! | `conversions` | of a campaign that has a goal now, matches that its goal event followed in time; of every other, what apps reported |
//!
//! So a conversion is never counted both ways. Reports that name no campaign, or one that does not exist (any more), are in the sums of
//! everything, and in those of no campaign.

use serde::Serialize;
use shared::domain::rollup::What;
use utoipa::ToSchema;

/// Counts of some days.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = AnalyticsCounts)]
pub struct Tally {
    /// Matches that were shown.
    pub matches: i64,
    /// Reported by apps.
    pub impressions: i64,
    /// Reported by apps.
    pub clicks: i64,
    /// Reported by apps.
    pub dismissals: i64,
    /// Of campaigns with a goal, matches that it followed; of others as reported by apps.
    pub conversions: i64,
    #[serde(skip)]
    #[schema(ignore)]
    pub(super) held_out: i64,
    #[serde(skip)]
    #[schema(ignore)]
    pub(super) events: i64,
    #[serde(skip)]
    #[schema(ignore)]
    pub(super) active_users: i64,
}

impl Tally {
    /// The sums that a tally is made of.
    pub const MADE_OF: [What; 9] = [
        What::Events,
        What::Shown,
        What::HeldOut,
        What::Converted,
        What::Impressions,
        What::Clicks,
        What::Dismissals,
        What::Conversions,
        What::ActiveUsers,
    ];

    /// Adds a sum; `has_goal` is whether it is of a campaign that has one.
    pub fn add(&mut self, what: What, has_goal: bool, count: i64) {
        let field = match what {
            What::Events => &mut self.events,
            What::Shown => &mut self.matches,
            What::HeldOut => &mut self.held_out,
            What::Impressions => &mut self.impressions,
            What::Clicks => &mut self.clicks,
            What::Dismissals => &mut self.dismissals,
            What::Converted if has_goal => &mut self.conversions,
            What::Conversions if !has_goal => &mut self.conversions,
            What::ActiveUsers => &mut self.active_users,
            What::Converted | What::Conversions | What::Names => return,
        };
        *field += count;
    }

    /// This and another.
    #[must_use]
    pub fn and(self, more: &Self) -> Self {
        Self {
            matches: self.matches + more.matches,
            impressions: self.impressions + more.impressions,
            clicks: self.clicks + more.clicks,
            dismissals: self.dismissals + more.dismissals,
            conversions: self.conversions + more.conversions,
            held_out: self.held_out + more.held_out,
            events: self.events + more.events,
            active_users: self.active_users + more.active_users,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sum_has_its_field_and_a_conversion_is_counted_one_way() {
        let tally = |has_goal| {
            let mut tally = Tally::default();
            Tally::MADE_OF.into_iter().zip(1..).for_each(|(what, n)| tally.add(what, has_goal, 1 << n));
            tally
        };
        let (with, without) = (tally(true), tally(false));
        assert_eq!((with.conversions, without.conversions), (1 << 4, 1 << 8));
        for tally in [with, without] {
            assert_eq!((tally.events, tally.matches, tally.held_out, tally.active_users), (2, 4, 8, 1 << 9));
            assert_eq!((tally.impressions, tally.clicks, tally.dismissals), (1 << 5, 1 << 6, 1 << 7));
        }
    }
}
