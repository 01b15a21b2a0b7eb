//! Campaigns, segments and flags of the file in the database: added once, at their place, and never written over.

use std::collections::HashMap;

use shared::domain::legacy::{SOURCE, document, places};
use shared::store::documents::{CAMPAIGNS, Collection, FEATURES, Imported, SEGMENTS};
use sqlx::PgPool;

use super::source::Kind;
use super::survey::Survey;

/// How a document of the file stands in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// It is not there.
    New,
    /// It is there, the same.
    Same,
    /// It is there, and differs.
    Changed,
    /// It was there, and somebody deleted it.
    Deleted,
}

impl Standing {
    /// For the report.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Self::New => "are not in the database",
            Self::Same => "are in the database already, the same",
            Self::Changed => "are in the database and were changed there: they are left alone",
            Self::Deleted => "were in the database and somebody deleted them: they stay deleted",
        }
    }
}

/// Where documents of a kind are.
#[must_use]
pub fn collection(kind: Kind) -> &'static Collection {
    match kind {
        Kind::Segment => &SEGMENTS,
        Kind::Flag => &FEATURES,
        _ => &CAMPAIGNS,
    }
}

/// How it stands.
pub async fn standing(pool: &PgPool, kind: Kind, found: &document::Imported) -> Result<Standing, sqlx::Error> {
    let table = collection(kind).table();
    let query = format!(
        "/* documents.standing */ SELECT (SELECT document = $2::jsonb FROM {table} WHERE id = $1),
                EXISTS (SELECT FROM changes WHERE collection = '{table}' AND entity_id = $1)"
    );
    let (same, known): (Option<bool>, bool) =
        sqlx::query_as(&query).bind(&found.id).bind(found.document.to_json()).fetch_one(pool).await?;
    Ok(match (same, known) {
        (Some(true), _) => Standing::Same,
        (Some(false), _) => Standing::Changed,
        (None, true) => Standing::Deleted,
        (None, false) => Standing::New,
    })
}

/// Writes the documents of a file that are new.
#[derive(Debug)]
pub struct Documents<'a> {
    pool: &'a PgPool,
    places: HashMap<(Kind, String), i64>,
}

impl<'a> Documents<'a> {
    /// Deals the places.
    pub async fn open(pool: &'a PgPool, survey: &Survey) -> Result<Self, sqlx::Error> {
        let mut places = HashMap::new();
        for (kind, ids) in
            [(Kind::Campaign, &survey.campaigns), (Kind::Segment, &survey.segments), (Kind::Flag, &survey.flags)]
        {
            let query = format!("/* documents.open */ SELECT id, position FROM {}", collection(kind).table());
            let there: HashMap<String, i64> = sqlx::query_as(&query).fetch_all(pool).await?.into_iter().collect();
            let given: Vec<Option<i64>> = ids.iter().map(|id| there.get(id).copied()).collect();
            let others: Vec<i64> = there.into_values().collect();
            places.extend(ids.iter().map(|id| (kind, id.clone())).zip(places::deal(&given, &others)));
        }
        Ok(Self { pool, places })
    }

    /// Writes one, if it is new; tells how it stood.
    pub async fn write(&self, kind: Kind, found: &document::Imported) -> Result<Standing, sqlx::Error> {
        let standing = standing(self.pool, kind, found).await?;
        if standing != Standing::New {
            return Ok(standing);
        }
        let place = (kind, found.id.clone());
        let from = Imported {
            id: &found.id,
            document: &found.document.to_json(),
            position: self.places.get(&place).copied().unwrap_or(0),
            created_at: found.created_at,
            updated_at: found.updated_at,
        };
        // Somebody may have been quicker; then it is there.
        let written = collection(kind).import(self.pool, &from, SOURCE).await?;
        Ok(if written { Standing::New } else { Standing::Changed })
    }
}
