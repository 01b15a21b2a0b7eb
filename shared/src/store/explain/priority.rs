//! Which of several campaigns comes first: clients of the first generation show only that one.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;
use sqlx::FromRow;
use sqlx::postgres::PgConnection;

use super::history::Match;
use super::known::Known;
use super::{Setting, past};
use crate::domain::campaign::Compiled;
use crate::domain::campaign::caps::History;
use crate::domain::campaign::delivery::{Decision, Delivery};
use crate::domain::raw_object::RawObject;
use crate::store::shown::{self, Moment, Pair};

impl fmt::Display for Before {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.id)
    }
}

/// Where a campaign stands among those that the event shows.
#[derive(Debug, Serialize)]
pub struct Priority {
    /// Its own; higher comes first, then the newest created.
    pub value: i64,
    /// From 1; null where it is not shown.
    pub place: Option<usize>,
    /// How many are shown.
    pub of: usize,
    /// Those that come before it, or would.
    pub before: Vec<Before>,
}

/// A campaign that comes first.
#[derive(Debug, Serialize)]
pub struct Before {
    id: String,
    name: String,
}

/// The others that the event is recorded to have shown.
pub fn recorded(matches: &[Match], campaign_id: &str) -> Vec<String> {
    let shown = matches.iter().filter(|found| found.disposition != "hold_out" && found.campaign_id != campaign_id);
    shown.map(|found| found.campaign_id.clone()).collect()
}

/// The others that the event would show now. `counted` is what is read of the user's past for the campaign itself.
pub async fn decided(
    snapshot: &mut PgConnection,
    (setting, campaign_id): (Setting<'_>, &str),
    (known, mut counted): (&Known<'_>, BTreeSet<String>),
) -> Result<Vec<String>, sqlx::Error> {
    let Known { event, key, person } = *known;
    let Some(trigger) = event.trigger() else { return Ok(Vec::new()) };
    let triggered = setting.catalog.triggered_by(trigger);
    let others: Vec<&Compiled> = triggered.campaigns().map(AsRef::as_ref).filter(|c| c.id != campaign_id).collect();
    triggered.listeners().for_each(|l| counted.extend(l.wants.counts.iter().map(|window| window.event.clone())));
    let mut past = past::person(snapshot, (key, setting.placeholders), &counted, event, &mut Vec::new()).await?;
    past.traits.clone_from(&person.traits);
    let pairs: Vec<Pair<'_>> =
        key.map(|user| others.iter().map(|other| Pair { user, campaign_id: &other.id }).collect()).unwrap_or_default();
    let histories = shown::read(snapshot, &pairs, Moment { now: event.received_at, but: None }).await?;
    let capped = others.iter().filter(|other| other.delivery.caps.total.is_some());
    let capped: Vec<&str> = capped.map(|other| other.id.as_str()).collect();
    let totals = shown::totals(snapshot, &capped, None).await?;

    let known = Known { event, key, person: &past };
    let (segments, never) = (setting.catalog.segments(), History::default());
    let mut found = Vec::new();
    for (place, other) in others.into_iter().enumerate() {
        let total = totals.iter().find(|(id, _)| *id == other.id).and_then(|(_, shown)| u64::try_from(*shown).ok());
        let history = histories.get(place).map_or(&never, |shown| &shown.history);
        let decision =
            known.ask(segments, (history, total.unwrap_or(0)), |facts, situation| other.decide(facts, situation));
        if let Decision::Show(_) | Decision::Preview(_) = decision {
            found.push(other.id.clone());
        }
    }
    Ok(found)
}

#[derive(FromRow)]
struct Other {
    id: String,
    name: Option<String>,
    position: i64,
    document: String,
}

/// Puts a campaign among the others that are shown.
pub async fn rank(
    snapshot: &mut PgConnection,
    (campaign, position, is_shown): (&Compiled, i64, bool),
    others: Vec<String>,
) -> Result<Priority, sqlx::Error> {
    let sql = "/* priority.rank */ SELECT id, document ->> 'name' AS name, position, (document - 'config')::text AS document FROM campaigns
                WHERE id = ANY($1)";
    let rows: Vec<Other> =
        if others.is_empty() { Vec::new() } else { sqlx::query_as(sql).bind(&others).fetch_all(snapshot).await? };
    let value = campaign.delivery.priority;
    let order = |priority: i64, position: i64| (Reverse(priority), Reverse(position));
    let priority = |row: &Other| {
        let document = RawObject::parse(&row.document).unwrap_or_default();
        Delivery::read(&document, &mut Vec::new()).priority
    };
    let mut before: Vec<_> = rows.iter().map(|row| (order(priority(row), row.position), row)).collect();
    before.retain(|(place, _)| *place < order(value, position));
    before.sort_by_key(|(place, _)| *place);
    let before: Vec<Before> = before
        .into_iter()
        .map(|(_, row)| Before { id: row.id.clone(), name: row.name.clone().unwrap_or_default() })
        .collect();
    let of = others.len() + usize::from(is_shown);
    Ok(Priority { value, place: is_shown.then_some(before.len() + 1), of, before })
}
