//! What storing a group of events does: rows for those that are new, and for those only, traits, links, matches and conversions.
//!
//! Invariant: everything but the row follows from ids that the database says were new, so an event has its effects once, however often
//! it comes. Works on any run of consecutive events, so that [`super::poison`] can cut a group in two.

use std::collections::{BTreeSet, HashSet};

use chrono::NaiveDate;
use shared::domain::rollup::{self, Sums, What};
use sqlx::PgConnection;

use super::walk::{self, Walked};
use super::{Context, Incoming, active, duplicates, known, matches, outbox, profiles, resends, rows, spans, totals};

/// Where and when.
pub struct Plan<'a> {
    /// What the flush knows.
    pub context: &'a Context<'a>,
    /// The database's date.
    pub today: NaiveDate,
    /// Events filed under an earlier day have no partition any more …
    pub oldest_kept: NaiveDate,
    /// … but for these days, which are held.
    pub held: BTreeSet<NaiveDate>,
}

/// What applying a group did.
#[derive(Debug, Default)]
pub struct Applied {
    /// Which of the lines were new: `(seq, partition, position)`.
    pub fresh: HashSet<(i64, i32, i32)>,
    /// Matches written.
    pub matches: u64,
    /// What of it is counted by day.
    pub sums: Sums,
    /// Who was active on which day.
    pub active: BTreeSet<active::Pair>,
}

impl Plan<'_> {
    /// The day a row goes to: its own, or, when that partition is gone (a long backlog), the day it was received, or today.
    pub fn day_of(&self, incoming: &Incoming<'_>) -> NaiveDate {
        let received = incoming.event.received_at.date_naive();
        [incoming.event.day, received].into_iter().find(|day| self.keeps(*day)).unwrap_or(self.today)
    }

    /// Whether events may be filed under a day.
    pub fn keeps(&self, day: NaiveDate) -> bool {
        day >= self.oldest_kept || self.held.contains(&day)
    }
}

/// Applies a group.
pub async fn apply(
    transaction: &mut PgConnection,
    group: &[Incoming<'_>],
    plan: &Plan<'_>,
) -> Result<Applied, sqlx::Error> {
    if group.is_empty() {
        return Ok(Applied::default());
    }
    let context = plan.context;
    // Of several copies in one group the first is the one that counts.
    let mut seen = HashSet::with_capacity(group.len());
    let first: Vec<&Incoming<'_>> = group.iter().filter(|i| seen.insert(i.event.id)).collect();
    let known = resends::known(transaction, &first, plan).await?;
    let candidates: Vec<&Incoming<'_>> = first.into_iter().filter(|i| !known.contains(&i.event.id)).collect();
    let times = known::times(transaction, &candidates, context).await?;
    let new = rows::insert_events(transaction, &candidates, plan).await?;
    let fresh: Vec<&Incoming<'_>> = candidates.into_iter().filter(|i| new.contains(&i.event.id)).collect();

    spans::note(transaction, &fresh, plan).await?;
    let known = known::rest(transaction, &fresh, times, context).await?;
    let walked = walk::walk(&fresh, known, plan);
    profiles::merge(transaction, &walked.patches).await?;
    profiles::fill(transaction, &walked.fills).await?;
    profiles::link(transaction, &walked.links).await?;
    matches::insert(transaction, &walked.matches).await?;
    matches::convert(transaction, &walked.conversions).await?;
    outbox::insert(transaction, &walked.outgoing).await?;
    totals::add(transaction, &walked.shown).await?;

    let mut sums = sums(&fresh, &walked, plan);
    let active = active::note(transaction, &fresh, plan, &mut sums).await?;
    let fresh = fresh.iter().map(|incoming| incoming.place()).collect();
    duplicates::record(transaction, group, &fresh, plan).await?;
    Ok(Applied { fresh, matches: walked.matches.len() as u64, sums, active })
}

/// What is counted of new events and of what came of them.
fn sums(fresh: &[&Incoming<'_>], walked: &Walked<'_>, plan: &Plan<'_>) -> Sums {
    let mut sums = Sums::new();
    for incoming in fresh {
        rollup::count_event(&mut sums, plan.day_of(incoming), &incoming.event);
    }
    for found in &walked.matches {
        let what = match found.disposition {
            "show" => What::Shown,
            "hold_out" => What::HeldOut,
            _ => continue,
        };
        rollup::count(&mut sums, found.day, what, found.campaign_id);
    }
    for conversion in &walked.conversions {
        rollup::count(&mut sums, conversion.day, What::Converted, conversion.campaign_id);
    }
    sums
}
