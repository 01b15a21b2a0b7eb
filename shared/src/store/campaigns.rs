//! What a row of `campaigns` is to the programs: the object that clients are given, and something to match with.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::value::RawValue;

use super::documents::Stored;
use crate::domain::campaign;

/// The object for clients.
pub fn client_object(row: &Stored) -> serde_json::Result<Box<RawValue>> {
    let iso = |t: DateTime<Utc>| t.to_rfc3339_opts(SecondsFormat::Millis, true);
    campaign::client_object(&row.document(), &row.id, &iso(row.created_at), &iso(row.updated_at))
}

/// Ready to match, with the object for clients.
pub fn compile(row: &Stored) -> Result<campaign::Compiled, campaign::Inert> {
    let compiled = campaign::compile(&row.id, row.version, &row.document())?;
    match client_object(row) {
        Ok(object) => Ok(compiled.with_client_object(object)),
        Err(_) => Ok(compiled),
    }
}
