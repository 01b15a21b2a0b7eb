//! The campaign and its segments as they were at the event.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use sqlx::postgres::PgConnection;

use super::event::Event;
use super::history::Match;
use super::{About, Subject};
use crate::domain::campaign::{Compiled, Inert, compile};
use crate::domain::document::optional_text;
use crate::domain::raw_object::RawObject;
use crate::domain::rules::Segments;
use crate::domain::segment;
use crate::store::changes;
use crate::store::documents::{CAMPAIGNS, Collection, SEGMENTS, Stored};

/// A campaign in one version.
#[derive(Debug)]
pub struct Version {
    id: Option<String>,
    version: Option<i64>,
    document: RawObject,
    /// Among campaigns of the same priority the highest comes first.
    pub position: i64,
}

impl Version {
    fn of(row: Stored) -> Self {
        Self { document: row.document(), version: Some(row.version), id: Some(row.id), position: row.position }
    }

    /// Of what is stored.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Ready to match, or what is wrong with it.
    pub fn compiled(&self) -> Result<Compiled, Inert> {
        compile(self.id.as_deref().unwrap_or_default(), self.version.unwrap_or(0), &self.document)
    }

    /// What the answer says of it.
    pub fn about(&self) -> About {
        let text = |key| optional_text(&self.document, key, &mut Vec::new());
        About {
            id: self.id.clone(),
            name: text("name").unwrap_or_default(),
            version: self.version,
            status: text("status"),
        }
    }
}

/// The campaign of now; `None` when there is none.
pub async fn current(snapshot: &mut PgConnection, campaign: &Subject) -> Result<Option<Version>, sqlx::Error> {
    match campaign {
        Subject::Stored(id) => Ok(CAMPAIGNS.read(snapshot, id).await?.map(Version::of)),
        Subject::Draft(document, id) => draft(snapshot, document, id.as_deref()).await.map(Some),
    }
}

/// One that is not stored; in the place of the one that it would replace, or else the newest.
pub async fn draft(
    snapshot: &mut PgConnection,
    document: &RawObject,
    id: Option<&str>,
) -> Result<Version, sqlx::Error> {
    let replaced = match id {
        Some(id) => CAMPAIGNS.read(snapshot, id).await?,
        None => None,
    };
    let position = replaced.as_ref().map_or(i64::MAX, |row| row.position);
    Ok(Version { id: replaced.map(|row| row.id), version: None, document: document.clone(), position })
}

/// The campaign in the version that its match names, else the one that was in force; `None` when there never was one.
pub async fn campaign(
    snapshot: &mut PgConnection,
    id: &str,
    event: &Event,
    matches: &[Match],
    notes: &mut Vec<String>,
) -> Result<Option<Version>, sqlx::Error> {
    let current = CAMPAIGNS.read(&mut *snapshot, id).await?;
    let wanted = match matches.iter().find(|found| found.campaign_id == id) {
        Some(found) => Some(found.campaign_version),
        None if event.is_stored() => {
            let then = changes::version_at(&mut *snapshot, &CAMPAIGNS, (id, event.received_at)).await?;
            if then.is_none() && current.is_some() {
                notes.push("there was no such campaign then: it is explained as it is now".to_owned());
            }
            then
        }
        None => None,
    };
    let position = current.as_ref().map_or(i64::MAX, |row| row.position);
    if let Some(version) = wanted.filter(|wanted| current.as_ref().is_none_or(|row| row.version != *wanted)) {
        match as_of(snapshot, &CAMPAIGNS, (id, version)).await? {
            Some(document) => {
                return Ok(Some(Version { id: Some(id.to_owned()), version: Some(version), document, position }));
            }
            None => {
                notes.push(format!("version {version} is not known any more: the campaign is explained as it is now"))
            }
        }
    }
    Ok(current.map(Version::of))
}

/// The segments that rules name, as they were at a moment; without one, as they are now.
pub async fn segments(
    snapshot: &mut PgConnection,
    ids: &BTreeSet<String>,
    at: Option<DateTime<Utc>>,
) -> Result<Segments, sqlx::Error> {
    let mut found = Vec::with_capacity(ids.len());
    for id in ids {
        let document = match at {
            None => SEGMENTS.read(&mut *snapshot, id).await?.map(|row| row.document()),
            Some(at) => match changes::version_at(&mut *snapshot, &SEGMENTS, (id, at)).await? {
                Some(version) => as_of(snapshot, &SEGMENTS, (id, version)).await?,
                None => None,
            },
        };
        if let Some(Ok(condition)) = document.map(|document| segment::compile(&document)) {
            found.push((id.clone(), condition));
        }
    }
    Ok(found.into_iter().collect())
}

async fn as_of(
    snapshot: &mut PgConnection,
    collection: &Collection,
    version: (&str, i64),
) -> Result<Option<RawObject>, sqlx::Error> {
    let text = changes::document_of(snapshot, collection, version).await?;
    Ok(text.and_then(|text| RawObject::parse(&text).ok()))
}
