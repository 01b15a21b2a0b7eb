//! Why a campaign is shown to a user for an event, or why not: what is stored, gathered and given to the engine.
//!
//! A stored event is explained as of then: the campaign and its segments in the version that was in force (or that its match names),
//! the user's traits, counts and history from what had arrived before it ([`past`]), and the moment of its receipt. An event that is
//! only described is explained as of now. All of it is read in one snapshot. What cannot be known any more stands in `notes`.

mod event;
mod history;
mod known;
mod past;
mod priority;
pub(in crate::store) mod versions;

use std::collections::BTreeSet;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use serde_json::value::RawValue;
use sqlx::postgres::{PgConnection, PgPool};

use crate::domain::campaign::explain::Explanation;
use crate::domain::campaign::{Catalog, Compiled, explain::explain as explained};
use crate::domain::raw_object::RawObject;
use crate::domain::rules::{Fault, Segments};
use crate::domain::user_key::{KeyKind, Placeholders, UserKey};
use known::Known;

pub use event::{Described, Event};
pub use history::Recorded;
pub use priority::{Before, Priority};

/// What is to be explained.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Which campaign.
    pub campaign: Subject,
    /// Whose event; `None` for a stranger's, or where the event tells.
    pub user: Option<(KeyKind, String)>,
    /// Which event.
    pub event: Occasion,
}

/// A campaign.
#[derive(Debug, Clone)]
pub enum Subject {
    /// A stored one, by its id.
    Stored(String),
    /// One that passed the door and is not stored, with the id of the one that it would replace.
    Draft(RawObject, Option<String>),
}

/// An event.
#[derive(Debug, Clone)]
pub enum Occasion {
    /// A stored one, by its id or its message id.
    Stored(String),
    /// One that is only described.
    Described(Described),
}

/// Around what is asked.
#[derive(Debug, Clone, Copy)]
pub struct Setting<'a> {
    /// The campaigns of now.
    pub catalog: &'a Catalog,
    /// User ids of strangers.
    pub placeholders: &'a Placeholders,
    /// Now.
    pub now: DateTime<Utc>,
}

/// Why there is no explanation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// There is no such campaign.
    NoCampaign,
    /// There is no such event of this user.
    NoEvent,
    /// The campaign, or what it was then, is malformed and does nothing.
    Malformed(Vec<Fault>),
}

/// An explanation.
#[derive(Debug, Serialize)]
pub struct Answer {
    /// In the version that is explained.
    pub campaign: About,
    /// The event.
    pub event: Event,
    /// The moment of the rules: when the event was received, or now.
    pub as_of: String,
    /// What came of it, and why.
    #[serde(flatten)]
    pub explanation: Explanation,
    /// Its place among what the event sets off.
    pub priority: Priority,
    /// The match that is stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recorded: Option<Recorded>,
    /// What is not exactly as it was then, in sentences.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// A campaign, in short.
#[derive(Debug, Clone, Serialize)]
pub struct About {
    /// Of a draft none.
    pub id: Option<String>,
    /// Its name.
    pub name: String,
    /// Of a draft none.
    pub version: Option<i64>,
    /// As it is spelt.
    pub status: Option<String>,
}

/// Explains.
pub async fn explain(
    pool: &PgPool,
    asked: &Asked,
    setting: Setting<'_>,
) -> Result<Result<Answer, Refused>, sqlx::Error> {
    let mut snapshot = pool.begin().await?;
    sqlx::query("/* explain.explain */ SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        .execute(&mut *snapshot)
        .await?;
    let answer = answer(&mut snapshot, asked, setting).await?;
    snapshot.commit().await?;
    Ok(answer)
}

async fn answer(
    snapshot: &mut PgConnection,
    asked: &Asked,
    setting: Setting<'_>,
) -> Result<Result<Answer, Refused>, sqlx::Error> {
    let user = asked.user.as_ref().map(|(kind, id)| UserKey { kind: *kind, id });
    let event = match &asked.event {
        Occasion::Stored(id) => event::find(snapshot, user, id, setting.placeholders).await?,
        Occasion::Described(described) => Some(event::described(described, user, setting.now)),
    };
    let Some(event) = event else { return Ok(Err(Refused::NoEvent)) };
    let matches = history::of_event(snapshot, &event).await?;
    let mut notes = event.notes();
    let found = match &asked.campaign {
        Subject::Stored(id) => versions::campaign(snapshot, id, &event, &matches, &mut notes).await?,
        Subject::Draft(document, id) => Some(versions::draft(snapshot, document, id.as_deref()).await?),
    };
    let Some(version) = found else { return Ok(Err(Refused::NoCampaign)) };
    let campaign = match version.compiled() {
        Ok(campaign) => campaign,
        Err(inert) => return Ok(Err(Refused::Malformed(inert.faults))),
    };
    let then = event.is_stored().then_some(event.received_at);
    let segments = versions::segments(snapshot, &campaign.condition.needs().segments, then).await?;

    let names = counted(&campaign, &segments);
    let key = event.key(setting.placeholders);
    let mut person = past::person(snapshot, (key, setting.placeholders), &names, &event, &mut notes).await?;
    let position = matches.iter().map(|found| found.position).min();
    let moment = history::Moment { event: &event, position };
    let shown_to_all = history::fill(snapshot, &mut person, (key, &campaign), moment).await?;
    if let Some(more) = event.traits() {
        person.traits.merge(more);
    }

    let known = Known { event: &event, key, person: &person };
    let explanation = known.ask(&segments, (&person.history, shown_to_all), |facts, situation| {
        explained(&campaign, event.trigger(), facts, situation)
    });
    let recorded =
        matches.iter().find(|found| found.campaign_id == campaign.id).map(|found| found.beside(&explanation));
    if recorded.is_none() && event.is_stored() && !matches!(explanation.decision, "suppressed") {
        notes.push("no match is recorded, although this says that there should be one: what was in force then may differ from what \
                    is known of it now".to_owned());
    }
    let others = if event.is_stored() {
        priority::recorded(&matches, &campaign.id)
    } else {
        priority::decided(snapshot, (setting, &campaign.id), (&known, names)).await?
    };
    let is_shown = matches!(explanation.decision, "show" | "preview");
    let priority = priority::rank(snapshot, (&campaign, version.position, is_shown), others).await?;
    let (campaign, as_of) = (version.about(), iso(event.received_at));
    Ok(Ok(Answer { campaign, event, as_of, explanation, priority, recorded, notes }))
}

/// Names of the events that the rules of a campaign count.
fn counted(campaign: &Compiled, segments: &Segments) -> BTreeSet<String> {
    let mut needs = campaign.condition.needs().clone();
    needs.resolve(segments);
    needs.counts.into_iter().map(|window| window.event).collect()
}

fn iso(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn raw(text: Option<String>) -> Option<Box<RawValue>> {
    text.and_then(|text| RawValue::from_string(text).ok())
}
