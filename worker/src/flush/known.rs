//! What the walk must know beforehand, read for all events of a group at once.
//!
//! Times of earlier events are read before the group's own rows go in ([`times`]), so that they hold exactly what came before; the
//! rest afterwards ([`rest`]), for the events that were new. The counters of global caps come last: their rows are locked until
//! the commit.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use shared::domain::event::Flags;
use shared::domain::rules::CountWindow;
use shared::domain::traits::Traits;
use shared::domain::user_key::UserKey;
use shared::store::occurrences::{self, Asked};
use shared::store::shown::{self, Moment, Pair, Shown};
use sqlx::PgConnection;

use super::{Context, Incoming, profiles, totals};

/// Times of earlier events, latest first, by user and question.
pub type Times<'a> = HashMap<(UserKey<'a>, &'a CountWindow), Vec<DateTime<Utc>>>;

/// What is known before the walk.
#[derive(Debug, Default)]
pub struct Known<'a> {
    /// Stored traits of the users that some campaign asks about.
    pub traits: HashMap<UserKey<'a>, Traits>,
    /// What rules count.
    pub times: Times<'a>,
    /// What users were shown of campaigns with caps or goals.
    pub shown: HashMap<(UserKey<'a>, &'a str), Shown>,
    /// How often campaigns with a global cap were shown.
    pub totals: HashMap<&'a str, u64>,
}

/// Reads the times that rules will count.
pub async fn times<'a>(
    transaction: &mut PgConnection,
    events: &[&'a Incoming<'a>],
    context: &'a Context<'a>,
) -> Result<Times<'a>, sqlx::Error> {
    let mut asked: BTreeSet<(UserKey<'a>, &'a CountWindow)> = BTreeSet::new();
    for incoming in judged(events) {
        let Some(trigger) = incoming.event.trigger() else { continue };
        for listeners in context.catalog.triggered_by(trigger).listeners() {
            if listeners.wants.counts.is_empty() {
                continue;
            }
            if let Some(user) = incoming.event.user_key(context.placeholders) {
                asked.extend(listeners.wants.counts.iter().map(|window| (user, window)));
            }
        }
    }
    let Some(earliest) = earliest(events) else { return Ok(Times::default()) };
    let questions: Vec<Asked<'_>> = asked
        .iter()
        .map(|(user, window)| {
            let since = window.since(earliest);
            Asked { user: *user, event: &window.event, since, most: window.most }
        })
        .collect();
    let found = occurrences::read(transaction, &questions).await?;
    let times = found.into_iter().map(|occurrences| occurrences.into_iter().map(|occurrence| occurrence.at).collect());
    Ok(asked.into_iter().zip(times).collect())
}

/// Reads everything else, for events that were new.
pub async fn rest<'a>(
    transaction: &mut PgConnection,
    events: &[&'a Incoming<'a>],
    times: Times<'a>,
    context: &'a Context<'a>,
) -> Result<Known<'a>, sqlx::Error> {
    let (mut need_traits, mut pairs, mut capped) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for incoming in judged(events) {
        let Some(trigger) = incoming.event.trigger() else { continue };
        let (triggered, goals) = (context.catalog.triggered_by(trigger), context.catalog.goals(trigger));
        if triggered.is_empty() && goals.is_empty() {
            continue;
        }
        // Only what can be shown now: whoever locks a counter keeps other workers waiting.
        let showable =
            triggered.campaigns().filter(|c| c.is_active() && c.delivery.schedule.is_open(incoming.event.received_at));
        capped.extend(showable.filter_map(|c| Some((c.id.as_str(), c.delivery.caps.total?))));
        let Some(user) = incoming.event.user_key(context.placeholders) else { continue };
        if triggered.listeners().any(|listeners| listeners.wants.traits) {
            need_traits.insert(user);
        }
        let with_history = triggered.campaigns().filter(|c| c.delivery.caps.per_user()).chain(goals);
        pairs.extend(with_history.map(|campaign| Pair { user, campaign_id: &campaign.id }));
    }
    let pairs: Vec<Pair<'a>> = pairs.into_iter().collect();
    let now = earliest(events).unwrap_or_default();
    let shown = shown::read(transaction, &pairs, Moment { now, but: None }).await?;
    Ok(Known {
        traits: profiles::read(transaction, &need_traits).await?,
        times,
        shown: pairs.iter().map(|p| (p.user, p.campaign_id)).zip(shown).collect(),
        totals: totals::lock(transaction, &capped).await?,
    })
}

/// The events that may match or convert: imported history does neither, and its times are of another age.
fn judged<'e, 'a>(events: &'e [&'a Incoming<'a>]) -> impl Iterator<Item = &'a Incoming<'a>> + 'e {
    events.iter().copied().filter(|incoming| !incoming.event.flags.contains(Flags::IMPORTED))
}

fn earliest<'a>(events: &[&'a Incoming<'a>]) -> Option<DateTime<Utc>> {
    judged(events).map(|i| i.event.received_at).min()
}
