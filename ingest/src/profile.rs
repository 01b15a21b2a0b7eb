//! What is known about one user as of now: what the database shows, with this process's own accepted events over it.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use shared::domain::campaign::Wants;
use shared::domain::campaign::caps::History;
use shared::domain::event::{Event, EventType};
use shared::domain::rules::{CountWindow, Counts};
use shared::domain::traits::Traits;
use shared::domain::user_key::{KeyKind, UserKey};
use shared::store::occurrences::{self, Asked, Occurrence};
use shared::store::shown::{self, Pair, Shown};
use sqlx::postgres::{PgConnection, PgPool};
use uuid::Uuid;

use crate::app::App;
use crate::overlay::{Fact, Place};

/// Offset and traits in one statement, so that they belong together.
const READ: &str = "SELECT p.last_seq, u.traits::text
       FROM partitions p LEFT JOIN users u ON u.kind = $2 AND u.id = $3
      WHERE p.partition = $1";

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
    read_at(app, key, wants, Moment { now, event: None }).await
}

/// The same for an event: as if it came for the first time, so that the reply to a resend is like the one that was lost.
pub async fn for_event(app: &App, key: Option<UserKey<'_>>, wants: &Wants, event: &Event<'_>) -> Option<Profile> {
    read_at(app, key, wants, Moment { now: event.received_at, event: Some(event.id) }).await
}

/// What a profile is read for.
#[derive(Debug, Clone, Copy)]
struct Moment {
    now: DateTime<Utc>,
    /// The event at hand: what it was answered before is left out.
    event: Option<Uuid>,
}

async fn read_at(app: &App, key: Option<UserKey<'_>>, wants: &Wants, moment: Moment) -> Option<Profile> {
    let Some(key) = key else { return of_strangers(app, wants, moment).await };
    if *wants == Wants::default() {
        return Some(Profile::default());
    }
    let partition = key.partition(app.settings.pipeline.partitions);
    let (owner, wants) = ((key.kind, key.id.to_owned()), wants.clone());
    let (committed, mut profile) = app.database.look_up(|pool| read(pool, partition, owner, wants, moment)).await?;
    for fact in app.overlay.after(key, committed) {
        profile.add(fact, moment.event);
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
    let read = async move |pool: PgPool| totals(&mut *pool.acquire().await?, &wants, moment).await;
    let totals = app.database.look_up(read).await?;
    Some(Profile { totals, ..Profile::default() })
}

async fn read(
    pool: PgPool,
    partition: u16,
    (kind, id): (KeyKind, String),
    wants: Wants,
    moment: Moment,
) -> Result<(u64, Profile), sqlx::Error> {
    let user = UserKey { kind, id: &id };
    if wants.counts.is_empty() && wants.history.is_empty() && wants.totals.is_empty() {
        let (committed, traits) = traits_of(&mut *pool.acquire().await?, partition, user).await?;
        return Ok((committed, Profile { traits, ..Profile::default() }));
    }
    // All as of one moment, or what is laid over it would not fit.
    let mut transaction = pool.begin().await?;
    sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY").execute(&mut *transaction).await?;
    let (committed, traits) = traits_of(&mut transaction, partition, user).await?;
    let stored = occurrences_of(&mut transaction, user, &wants, moment.now).await?;
    let shown = histories(&mut transaction, user, &wants, moment).await?;
    let totals = totals(&mut transaction, &wants, moment).await?;
    transaction.commit().await?;
    Ok((committed, Profile { traits, stored, accepted: HashMap::new(), shown, totals }))
}

async fn traits_of(
    connection: &mut PgConnection,
    partition: u16,
    user: UserKey<'_>,
) -> Result<(u64, Traits), sqlx::Error> {
    let row: Option<(i64, Option<String>)> = sqlx::query_as(READ)
        .bind(i32::from(partition))
        .bind(user.kind.as_str())
        .bind(user.id)
        .fetch_optional(connection)
        .await?;
    // Without a row no worker ever ran: nothing is committed.
    let (committed, traits) = row.unwrap_or_default();
    let traits = traits.and_then(|text| Traits::parse(&text).ok()).unwrap_or_default();
    Ok((u64::try_from(committed).unwrap_or(0), traits))
}

async fn occurrences_of(
    connection: &mut PgConnection,
    user: UserKey<'_>,
    wants: &Wants,
    now: DateTime<Utc>,
) -> Result<HashMap<CountWindow, Vec<Occurrence>>, sqlx::Error> {
    let ask = |window: &'_ CountWindow| occurrences::since(now, window.within_seconds);
    let asked: Vec<Asked<'_>> = wants
        .counts
        .iter()
        .map(|window| Asked { user, event: &window.event, since: ask(window), most: window.most })
        .collect();
    let found = occurrences::read(connection, &asked).await?;
    Ok(wants.counts.iter().cloned().zip(found).collect())
}

/// Histories of the campaigns wanted. Beyond a few it is cheaper to look at all that the user was shown.
async fn histories(
    connection: &mut PgConnection,
    user: UserKey<'_>,
    wants: &Wants,
    moment: Moment,
) -> Result<HashMap<String, Shown>, sqlx::Error> {
    const FEW: usize = 20;
    if wants.history.len() > FEW {
        return shown::of_user(connection, user, moment.now, moment.event).await;
    }
    let pairs: Vec<Pair<'_>> = wants.history.iter().map(|id| Pair { user, campaign_id: id }).collect();
    let shown = shown::read(connection, &pairs, moment.now, moment.event).await?;
    Ok(wants.history.iter().cloned().zip(shown).collect())
}

async fn totals(
    connection: &mut PgConnection,
    wants: &Wants,
    moment: Moment,
) -> Result<HashMap<String, u64>, sqlx::Error> {
    let ids: Vec<&str> = wants.totals.iter().map(String::as_str).collect();
    let totals = shown::totals(connection, &ids, moment.event).await?;
    Ok(totals.into_iter().map(|(id, shown)| (id, u64::try_from(shown).unwrap_or(0))).collect())
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
        let since = occurrences::since(self.now, window.within_seconds);
        let counts = |at: DateTime<Utc>| since.is_none_or(|since| at > since);
        // The event at hand may be a resend of one that is stored or accepted, and what is accepted of one that is stored.
        let another = |id: Uuid| at_hand.is_none_or(|at_hand| at_hand.id != id);
        let accepted = profile
            .accepted
            .iter()
            .filter(|(id, (event, at))| **event == *window.event && counts(*at) && another(**id));
        let stored = profile.stored.get(window).map_or(&[][..], Vec::as_slice).iter();
        let stored = stored.filter(|o| counts(o.at) && another(o.id) && !profile.accepted.contains_key(&o.id));
        let here = usize::from(at_hand.is_some_and(|event| counts(event.timestamp)));
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
        let fact = Fact::Happened { event: name.into(), id: event.id, at: event.timestamp };
        app.overlay.add(key, partition, place, fact);
    }
    for campaign_id in shown {
        let fact = Fact::Shown { campaign_id: (*campaign_id).into(), event_id: event.id, at: event.received_at };
        app.overlay.add(key, partition, place, fact);
    }
}

/// The committed offset of each partition.
pub async fn committed(pool: PgPool) -> Result<Vec<(u16, u64)>, sqlx::Error> {
    let rows: Vec<(i32, i64)> = sqlx::query_as("SELECT partition, last_seq FROM partitions").fetch_all(&pool).await?;
    Ok(rows.into_iter().filter_map(|(p, seq)| Some((u16::try_from(p).ok()?, u64::try_from(seq).ok()?))).collect())
}
