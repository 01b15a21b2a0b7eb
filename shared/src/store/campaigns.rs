//! A campaign as it is stored, and as clients are given it.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::value::RawValue;

use crate::domain::campaign;
use crate::domain::raw_object::RawObject;

/// The columns of a [`StoredCampaign`], for a `SELECT` or a `RETURNING`.
pub const COLUMNS: &str =
    "id, version, document::text AS document, created_at, coalesce(updated_at, created_at) AS updated_at";

/// One row of `campaigns`.
#[derive(Debug, sqlx::FromRow)]
pub struct StoredCampaign {
    /// Fixed at creation.
    pub id: String,
    /// Grows with each change.
    pub version: i64,
    /// The client's object, as JSON.
    pub document: String,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it was last changed, or else created.
    pub updated_at: DateTime<Utc>,
}

impl StoredCampaign {
    /// The document, empty if it is not an object.
    #[must_use]
    pub fn document(&self) -> RawObject {
        RawObject::parse(&self.document).unwrap_or_default()
    }

    /// The object for clients.
    pub fn client_object(&self) -> serde_json::Result<Box<RawValue>> {
        let iso = |t: DateTime<Utc>| t.to_rfc3339_opts(SecondsFormat::Millis, true);
        campaign::client_object(&self.document(), &self.id, &iso(self.created_at), &iso(self.updated_at))
    }

    /// Ready to match, with the object for clients.
    pub fn compile(&self) -> Result<campaign::Compiled, campaign::Inert> {
        let compiled = campaign::compile(&self.id, self.version, &self.document())?;
        match self.client_object() {
            Ok(object) => Ok(compiled.with_client_object(object)),
            Err(_) => Ok(compiled),
        }
    }
}
