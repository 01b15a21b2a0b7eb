//! What is known about one user as of now: what the database shows, with this process's own accepted events over it.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use shared::domain::campaign::Wants;
use shared::domain::campaign::caps::History;
use shared::domain::event::{Event, EventType};
use shared::domain::rules::{CountWindow, Counts};
use shared::domain::traits::Traits;
use shared::domain::user_key::UserKey;
use shared::store::occurrences::Occurrence;
use shared::store::shown::{self, Moment, Shown};
use sqlx::postgres::PgPool;
use uuid::Uuid;

use crate::app::App;
use crate::overlay::{Fact, Place};
use crate::profile_query;

/// One user.
#[derive(Debug, Clone, Default)]
pub struct Profile {
    /// Everything that identifies have said.
    pub traits: Traits,
    /// Stored events that rules count, latest first.
    stored: HashMap<CountWindow, Vec<Occurrence>>,
    /// Accepted events that no worker has handled yet, with name and time. A resend of a stored one may be among them.
    accepted: HashMap<Uuid, (Box<str>, DateTime<Utc>)>,
    shown: HashMap<String, Shown>,
    totals: HashMap<String, u64>,
}

/// What a user did up to and with the event at hand.
#[derive(Debug)]
pub struct ProfileCounts<'a> {
    /// Who; `None` for a stranger, of whom there is only the event.
    pub profile: Option<&'a Profile>,
    /// The event, if there is one.
    pub event: Option<&'a Event<'a>>,
    /// When it was received.
    pub now: DateTime<Utc>,
}

/// Reads what is wanted; `None` when the database cannot be asked quickly. What is accepted but not committed is in it.
pub async fn current(app: &App, key: Option<UserKey<'_>>, wants: &Wants, now: DateTime<Utc>) -> Option<Profile> {
    read_at(app, key, wants, Moment { now, but: None }).await
}

/// The same for an event: as if it came for the first time, so that the reply to a resend is like the one that was lost.
pub async fn for_event(app: &App, key: Option<UserKey<'_>>, wants: &Wants, event: &Event<'_>) -> Option<Profile> {
    read_at(app, key, wants, Moment { now: event.received_at, but: Some(event.id) }).await
}

async fn read_at(app: &App, key: Option<UserKey<'_>>, wants: &Wants, moment: Moment) -> Option<Profile> {
    let Some(key) = key else { return of_strangers(app, wants, moment).await };
    if *wants == Wants::default() {
        return Some(Profile::default());
    }
    let partition = key.partition(app.publisher.layout().partitions);
    let (kind, id, wants) = (key.kind, key.id.to_owned(), wants.clone());
    let read = async move |pool| profile_query::read(pool, partition, UserKey { kind, id: &id }, &wants, moment).await;
    let stored = app.database.look_up(read).await?;
    let mut profile = Profile {
        traits: stored.traits,
        stored: stored.occurrences,
        accepted: HashMap::new(),
        shown: stored.shown,
        totals: stored.totals,
    };
    for fact in app.overlay.after(key, stored.committed) {
        profile.add(fact, moment.but);
    }
    Some(profile)
}

/// The traits alone.
pub async fn traits(app: &App, key: UserKey<'_>) -> Option<Traits> {
    let wants = Wants { traits: true, ..Wants::default() };
    current(app, Some(key), &wants, Utc::now()).await.map(|profile| profile.traits)
}

/// Of a stranger nothing is known; only what was shown to anybody counts.
async fn of_strangers(app: &App, wants: &Wants, moment: Moment) -> Option<Profile> {
    if wants.totals.is_empty() {
        return Some(Profile::default());
    }
    let wants = wants.clone();
    let read = async move |pool: PgPool| {
        let ids: Vec<&str> = wants.totals.iter().map(String::as_str).collect();
        shown::totals(&mut *pool.acquire().await?, &ids, moment.but).await
    };
    let totals = app.database.look_up(read).await?;
    let totals = totals.into_iter().map(|(id, shown)| (id, u64::try_from(shown).unwrap_or(0))).collect();
    Some(Profile { totals, ..Profile::default() })
}

impl Profile {
    fn add(&mut self, fact: Fact, at_hand: Option<Uuid>) {
        match fact {
            // Checked at the door to be an object.
            Fact::Traits(text) => self.traits.merge(Traits::parse(&text).unwrap_or_default()),
            Fact::Happened { event, id, at } => {
                self.accepted.entry(id).or_insert((event, at));
            }
            Fact::Shown { campaign_id, event_id, at } => {
                let shown = self.shown.entry(campaign_id.into()).or_default();
                if at_hand != Some(event_id) && !shown.recent_events.contains(&event_id) {
                    shown.recent_events.push(event_id);
                    shown.history.record(at);
                }
            }
        }
    }

    /// What the user was shown of a campaign.
    #[must_use]
    pub fn history(&self, campaign_id: &str) -> Option<&History> {
        self.shown.get(campaign_id).map(|shown| &shown.history)
    }

    /// How often a campaign was shown to anybody.
    #[must_use]
    pub fn shown_to_all(&self, campaign_id: &str) -> u64 {
        self.totals.get(campaign_id).copied().unwrap_or(0)
    }
}

impl Counts for ProfileCounts<'_> {
    fn count(&self, window: &CountWindow) -> Option<u32> {
        let at_hand = self.event.filter(|event| event.trigger() == Some(&window.event));
        let Some(profile) = self.profile else { return Some(u32::from(at_hand.is_some())) };
        let since = window.since(self.now);
        let counts = |at: DateTime<Utc>| since.is_none_or(|since| at > since);
        // The event at hand may be a resend of one that is stored or accepted, and what is accepted of one that is stored.
        let another = |id: Uuid| at_hand.is_none_or(|at_hand| at_hand.id != id);
        let accepted = profile
            .accepted
            .iter()
            .filter(|(id, (event, at))| **event == *window.event && counts(*at) && another(**id));
        let stored = profile.stored.get(window).map_or(&[][..], Vec::as_slice).iter();
        let stored = stored.filter(|o| counts(o.at) && another(o.id) && !profile.accepted.contains_key(&o.id));
        let here = usize::from(at_hand.is_some_and(|event| counts(event.happened_at())));
        let all = stored.count() + accepted.count() + here;
        Some(u32::try_from(all).unwrap_or(u32::MAX).min(window.most))
    }
}

/// Keeps what an accepted event says about its user until the database shows it. `shown` are campaigns with caps per user that the
/// reply named.
pub fn remember(app: &App, event: &Event<'_>, key: UserKey<'_>, (partition, place): (u16, Place), shown: &[&str]) {
    if event.kind == EventType::Identify {
        let patch = event.traits.as_deref().map_or("{}", RawValue::get);
        app.overlay.add(key, partition, place, Fact::Traits(patch.into()));
    }
    if let Some(name) = event.trigger().filter(|name| app.campaigns.borrow().catalog.is_counted(name)) {
        let fact = Fact::Happened { event: name.into(), id: event.id, at: event.happened_at() };
        app.overlay.add(key, partition, place, fact);
    }
    for campaign_id in shown {
        let fact = Fact::Shown { campaign_id: (*campaign_id).into(), event_id: event.id, at: event.received_at };
        app.overlay.add(key, partition, place, fact);
    }
}

/// The committed offset of each partition.
pub async fn committed(pool: PgPool) -> Result<Vec<(u16, u64)>, sqlx::Error> {
    let rows: Vec<(i32, i64)> =
        sqlx::query_as("/* profile.committed */ SELECT partition, last_seq FROM partitions").fetch_all(&pool).await?;
    Ok(rows.into_iter().filter_map(|(p, seq)| Some((u16::try_from(p).ok()?, u64::try_from(seq).ok()?))).collect())
}
