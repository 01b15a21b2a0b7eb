//! Campaigns, segments and feature flags of the old store, as they are stored here: verbatim, but for what the old dashboard's editor
//! left behind.
//!
//! Nothing is refused that the old server showed: what is malformed is stored, and has no effect until somebody mends it.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::identity::{derived, digest, own_id};
use super::oddity::Oddity;
use super::{Noticed, Refused, mojibake};
use crate::domain::campaign::{self, delivery::Delivery};
use crate::domain::document::RESERVED;
use crate::domain::limits;
use crate::domain::raw_object::RawObject;
use crate::domain::rules::{self, Scope};
use crate::domain::timestamp::{ClientTime, parse_number, parse_text};
use crate::domain::{feature, json_text, segment};

/// Fields that every campaign of the old dashboard had.
const CAMPAIGN_FIELDS: [&str; 9] =
    ["id", "name", "type", "status", "trigger", "rules", "config", "createdAt", "updatedAt"];

/// A document to be imported.
#[derive(Debug, Clone)]
pub struct Imported {
    /// Its id; of a flag its key.
    pub id: String,
    /// The document, without what the server adds to it.
    pub document: RawObject,
    /// When it was created, if it says so.
    pub created_at: Option<DateTime<Utc>>,
    /// When it was last changed, if it says so.
    pub updated_at: Option<DateTime<Utc>>,
    /// Tells whether two of the same id are alike.
    pub digest: [u8; 32],
    /// What is odd about it.
    pub noticed: Noticed,
}

/// Maps a campaign.
pub fn campaign(raw: &RawValue) -> Result<Imported, Refused> {
    let mut imported = read(raw, Scope::Campaign)?;
    let document = &imported.document;
    let mut noticed = Noticed::new();
    let mut notice = |oddity, holds: bool| noticed.extend(holds.then_some((oddity, 1)));
    notice(Oddity::CampaignWithoutRules, document.get("rules").is_none());
    notice(Oddity::CampaignWithoutType, document.get("type").is_none());
    notice(Oddity::CampaignWithoutStatus, document.get("status").is_none());
    notice(Oddity::CampaignExtraFields, document.iter().any(|(key, _)| !CAMPAIGN_FIELDS.contains(&key)));
    let more = Delivery::read(document, &mut Vec::new()) != Delivery::default()
        || document.get("triggers").is_some()
        || document.get("trigger_match").is_some();
    notice(Oddity::CampaignObeysMore, more);
    notice(Oddity::DocumentWithoutEffect, campaign::compile(&imported.id, 1, document).is_err());
    imported.noticed.append(&mut noticed);
    Ok(imported)
}

/// Maps a segment.
pub fn segment(raw: &RawValue) -> Result<Imported, Refused> {
    let mut imported = read(raw, Scope::Segment)?;
    let named = imported.document.get("name").is_some_and(|name| name.get().starts_with('"'));
    imported.noticed.extend((!named).then_some((Oddity::SegmentWithoutName, 1)));
    let faulty = segment::compile(&imported.document).is_err();
    imported.noticed.extend(faulty.then_some((Oddity::DocumentWithoutEffect, 1)));
    Ok(imported)
}

/// Maps a feature flag.
pub fn flag(key: &str, raw: &RawValue) -> Result<Imported, Refused> {
    let refuse = |what: &str| Refused::because(what);
    if key.is_empty() || key.contains('\0') || key.len() > limits::ID_BYTES {
        return Err(refuse("has a key that is empty, too long or no text that a database holds"));
    }
    let (mut document, repaired) = checked(raw)?;
    let mut noticed = Noticed::new();
    let mut notice = |oddity, holds: bool| noticed.extend(holds.then_some((oddity, 1)));
    notice(Oddity::FlagWithoutValue, document.get("value").is_none());
    notice(Oddity::FlagWithoutSwitch, document.get("enabled").is_none());
    notice(Oddity::TextRepaired, repaired);
    notice(Oddity::Mojibake, mojibake::is_in(raw.get()));
    if document.get("enabled").is_none() {
        document.set("enabled", &false).map_err(|error| refuse(&error.to_string()))?;
    }
    document.set("key", key).map_err(|error| refuse(&error.to_string()))?;
    notice(Oddity::DocumentWithoutEffect, feature::compile(&document).is_err());
    drop_reserved(&mut document, &mut noticed);
    let digest = digest(raw);
    Ok(Imported { id: key.to_owned(), document, created_at: None, updated_at: None, digest, noticed })
}

fn read(raw: &RawValue, scope: Scope) -> Result<Imported, Refused> {
    let (mut document, repaired) = checked(raw)?;
    let digest = digest(raw);
    let mut noticed = Noticed::new();
    let own_id = own_id(&document).filter(|id| id.len() <= limits::ID_BYTES);
    let (created_at, updated_at) = (time(&document, "createdAt"), time(&document, "updatedAt"));
    noticed.extend(own_id.is_none().then_some((Oddity::CampaignWithoutId, 1)));
    noticed.extend(created_at.is_none().then_some((Oddity::CampaignWithoutTimes, 1)));
    noticed.extend(repaired.then_some((Oddity::TextRepaired, 1)));
    noticed.extend(mojibake::is_in(raw.get()).then_some((Oddity::Mojibake, 1)));
    for known in ["id", "createdAt", "updatedAt"] {
        document.remove(known);
    }
    drop_reserved(&mut document, &mut noticed);
    let before = document.clone();
    let rules = rules::read(&before, scope, &mut Vec::new());
    if rules.artefacts > 0 {
        noticed.push((Oddity::UnknownRule, rules.artefacts as u64));
        rules.clean(&mut document).map_err(|error| Refused::because(format!("cannot be written: {error}")))?;
    }
    let id = own_id.unwrap_or_else(|| derived(digest).to_string());
    Ok(Imported { id, document, created_at, updated_at, digest, noticed })
}

fn drop_reserved(document: &mut RawObject, noticed: &mut Noticed) {
    let count = RESERVED.iter().filter(|key| document.get(key).is_some()).count();
    RESERVED.iter().for_each(|key| document.remove(key));
    noticed.extend((count > 0).then_some((Oddity::ReservedField, count as u64)));
}

/// The object, fit for the database; and whether a character was replaced for that.
fn checked(raw: &RawValue) -> Result<(RawObject, bool), Refused> {
    let checked = json_text::check(raw.get()).map_err(|(_, what)| Refused::because(what))?;
    let object = RawObject::parse(&checked.text).map_err(|_| Refused::because("is no JSON object"))?;
    Ok((object, checked.repaired))
}

fn time(document: &RawObject, key: &str) -> Option<DateTime<Utc>> {
    let raw = document.get(key)?;
    let time = if raw.get().starts_with('"') {
        parse_text(&String::deserialize(raw).ok()?)
    } else {
        parse_number(raw.get().parse().ok()?)
    };
    if let ClientTime::Instant(time) = time { Some(time) } else { None }
}
