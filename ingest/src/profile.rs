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
use shared::store::{occurrences, shown};
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
    /// Times of stored events that rules count, latest first.
    times: HashMap<CountWindow, Vec<DateTime<Utc>>>,
    /// Accepted events that are not stored yet.
    happened: Vec<(Box<str>, Uuid, DateTime<Utc>)>,
    shown: HashMap<String, History>,
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
    let Some(key) = key else { return of_strangers(app, wants).await };
    if *wants == Wants::default() {
        return Some(Profile::default());
    }
    let partition = key.partition(app.settings.pipeline.partitions);
    let (kind, id, wants) = (key.kind, key.id.to_owned(), wants.clone());
    let read = async move |pool| profile_query::read(pool, partition, UserKey { kind, id: &id }, &wants, now).await;
    let stored = app.database.look_up(read).await?;
    let mut profile = Profile {
        traits: stored.traits,
        times: stored.times,
        happened: Vec::new(),
        shown: stored.histories,
        totals: stored.totals,
    };
    for fact in app.overlay.after(key, stored.committed) {
        profile.add(fact);
    }
    Some(profile)
}

/// The traits alone.
pub async fn traits(app: &App, key: UserKey<'_>) -> Option<Traits> {
    let wants = Wants { traits: true, ..Wants::default() };
    current(app, Some(key), &wants, Utc::now()).await.map(|profile| profile.traits)
}

/// Of a stranger nothing is known; only what was shown to anybody counts.
async fn of_strangers(app: &App, wants: &Wants) -> Option<Profile> {
    if wants.totals.is_empty() {
        return Some(Profile::default());
    }
    let wants = wants.clone();
    let read = async move |pool: PgPool| {
        let ids: Vec<&str> = wants.totals.iter().map(String::as_str).collect();
        shown::totals(&mut *pool.acquire().await?, &ids).await
    };
    let totals = app.database.look_up(read).await?;
    let totals = totals.into_iter().map(|(id, shown)| (id, u64::try_from(shown).unwrap_or(0))).collect();
    Some(Profile { totals, ..Profile::default() })
}

impl Profile {
    fn add(&mut self, fact: Fact) {
        match fact {
            // Checked at the door to be an object.
            Fact::Traits(text) => self.traits.merge(Traits::parse(&text).unwrap_or_default()),
            Fact::Happened { event, id, at } => {
                if !self.happened.iter().any(|(_, known, _)| *known == id) {
                    self.happened.push((event, id, at));
                }
            }
            Fact::Shown { campaign_id, at } => self.shown.entry(campaign_id.into()).or_default().record(at),
        }
    }

    /// What the user was shown of a campaign.
    #[must_use]
    pub fn history(&self, campaign_id: &str) -> Option<&History> {
        self.shown.get(campaign_id)
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
        let since = occurrences::since(self.now, window.within_seconds);
        let counts = |at: DateTime<Utc>| since.is_none_or(|since| at > since);
        let stored = profile.times.get(window).map_or(&[][..], Vec::as_slice).iter().filter(|at| counts(**at)).count();
        let accepted = profile.happened.iter().filter(|(event, id, at)| {
            **event == *window.event && counts(*at) && at_hand.is_none_or(|at_hand| at_hand.id != *id)
        });
        let all = stored + accepted.count() + usize::from(at_hand.is_some_and(|event| counts(event.timestamp)));
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
        let fact = Fact::Happened { event: name.into(), id: event.id, at: event.timestamp };
        app.overlay.add(key, partition, place, fact);
    }
    for campaign_id in shown {
        let fact = Fact::Shown { campaign_id: (*campaign_id).into(), at: event.received_at };
        app.overlay.add(key, partition, place, fact);
    }
}

/// The committed offset of each partition.
pub async fn committed(pool: PgPool) -> Result<Vec<(u16, u64)>, sqlx::Error> {
    let rows: Vec<(i32, i64)> = sqlx::query_as("SELECT partition, last_seq FROM partitions").fetch_all(&pool).await?;
    Ok(rows.into_iter().filter_map(|(p, seq)| Some((u16::try_from(p).ok()?, u64::try_from(seq).ok()?))).collect())
}
