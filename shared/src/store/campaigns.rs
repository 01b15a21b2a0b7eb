//! What a row of `campaigns` is to the programs: the object that clients are given, and something to match with.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::value::RawValue;

use super::documents::Stored;
use crate::domain::campaign::{self, Compiled, Inert};
use crate::domain::rules::Fault;

/// The object for editors: the whole document in the shape that clients read.
pub fn client_object(row: &Stored) -> serde_json::Result<Box<RawValue>> {
    campaign::client_object(&row.document(), &row.id, &iso(row.created_at), &iso(row.updated_at))
}

/// Ready to match.
pub fn compile(row: &Stored) -> Result<Compiled, Inert> {
    campaign::compile(&row.id, row.version, &row.document())
}

/// The same with the objects for apps.
pub fn compile_with_objects(row: &Stored) -> Result<Compiled, Inert> {
    let compiled = compile(row)?;
    if !compiled.listens() {
        // Nobody is ever given it; its images need no place in memory.
        return Ok(compiled);
    }
    compiled.with_objects(&row.document(), &iso(row.created_at), &iso(row.updated_at)).map_err(|error| {
        let faults = vec![Fault::new("", "unwritable", error.to_string())];
        Inert { kind: "campaign", id: row.id.clone(), version: row.version, faults }
    })
}

fn iso(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}
