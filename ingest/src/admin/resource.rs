//! What is special about one collection of documents, and what all of them have in common towards clients.
//!
//! An object in a reply is the client's own, with `id` and times, and three fields of the server's: `_version`; `_faults`, there
//! when the stored document is malformed and therefore without effect; `_notes`, sentences about what was done to a document on
//! its way in. They are taken out when they come back.

use axum::response::Response;
use serde::Serialize;
use serde_json::json;
use shared::domain::campaign::Fault;
use shared::domain::document::RESERVED;
use shared::domain::raw_object::RawObject;
use shared::store::documents::{Collection, Stored};
use utoipa::ToSchema;

use super::if_match::tagged;
use crate::intake::ok;
use crate::problem::{Kind, Problem};

/// One collection as the admin API serves it.
#[derive(Debug)]
pub struct Resource {
    /// Where the documents are.
    pub collection: &'static Collection,
    /// The old server's words for a missing one.
    pub missing: &'static str,
    /// Name of the list in a reply.
    pub plural: &'static str,
    /// What a document is that has faults.
    pub invalid: Kind,
    /// Largest body.
    pub body_bytes: usize,
    /// Fields that a change cannot touch.
    pub fixed: &'static [&'static str],
    /// The answer to a DELETE shows what was deleted.
    pub shows_deleted: bool,
    /// The door: a clean document, or every fault of it.
    pub check: fn(&RawObject) -> Result<Checked, Vec<Fault>>,
    /// Faults of a stored document, which may have come past the door.
    pub faults: fn(&Stored) -> Vec<Fault>,
    /// The object for clients.
    pub shape: fn(&Stored) -> serde_json::Result<RawObject>,
}

/// The answer to a DELETE.
#[derive(Serialize, ToSchema)]
pub struct Deleted {
    ok: bool,
    /// Of a campaign: what was deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>, nullable = false)]
    deleted: Option<RawObject>,
}

/// A document fit to be saved.
#[derive(Debug, Clone)]
pub struct Checked {
    /// As it is saved.
    pub document: RawObject,
    /// What the editor should know.
    pub notes: Vec<String>,
}

impl Checked {
    /// A document from which so many leftover rules of an editor were taken.
    #[must_use]
    pub fn new(document: RawObject, dropped_rules: usize) -> Self {
        let note = match dropped_rules {
            0 => None,
            1 => Some("1 leftover rule of an editor was dropped".to_owned()),
            many => Some(format!("{many} leftover rules of an editor were dropped")),
        };
        Self { document, notes: note.into_iter().collect() }
    }
}

impl Resource {
    /// What was sent, without what only the server says.
    #[must_use]
    pub fn cleaned(&self, mut sent: RawObject) -> RawObject {
        RESERVED.iter().for_each(|key| sent.remove(key));
        sent
    }

    /// Passes a whole document through the door.
    pub fn checked(&self, document: &RawObject) -> Result<Checked, Problem> {
        (self.check)(document).map_err(|faults| self.faulty(&faults))
    }

    /// A document with these faults.
    #[must_use]
    pub fn faulty(&self, faults: &[Fault]) -> Problem {
        let message = faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        let details = faults.iter().map(|fault| {
            json!({"type": "field", "path": fault.field, "msg": fault.message, "code": fault.code,
                   "location": "body"})
        });
        Problem::new(self.invalid, message).with("details", details.collect())
    }

    /// The object of a reply.
    pub fn object(&self, row: &Stored, notes: &[String]) -> Result<RawObject, Problem> {
        let object = || {
            let mut object = (self.shape)(row)?;
            object.set("_version", &row.version)?;
            let faults = (self.faults)(row);
            if !faults.is_empty() {
                object.set("_faults", &faults)?;
            }
            if !notes.is_empty() {
                object.set("_notes", notes)?;
            }
            Ok(object)
        };
        object().map_err(internal)
    }

    /// A reply that is the object, tagged with its version.
    pub fn reply(&self, row: &Stored, notes: &[String]) -> Result<Response, Problem> {
        Ok(tagged(ok(&self.object(row, notes)?)?, row.version))
    }

    /// The answer to a DELETE.
    pub fn deleted(&self, row: &Stored) -> Result<Response, Problem> {
        let deleted = self.shows_deleted.then(|| (self.shape)(row)).transpose().map_err(internal)?;
        ok(&Deleted { ok: true, deleted })
    }

    /// There is none with this id.
    #[must_use]
    pub fn not_found(&self) -> Problem {
        Problem::new(Kind::NotFound, "there is nothing with this id").with_error(self.missing)
    }

    /// A text that PostgreSQL can be asked for; no document has another id.
    pub fn storable(&self, id: String) -> Result<String, Problem> {
        if id.contains('\0') { Err(self.not_found()) } else { Ok(id) }
    }
}

/// The document with its id and times: what a client sees where no more is owed to it.
pub fn plain_shape(row: &Stored) -> serde_json::Result<RawObject> {
    let iso = |t: chrono::DateTime<chrono::Utc>| t.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    let mut object = row.document();
    RESERVED.iter().for_each(|key| object.remove(key));
    object.set("id", &row.id)?;
    object.set("createdAt", &iso(row.created_at))?;
    object.set("updatedAt", &iso(row.updated_at))?;
    Ok(object)
}

/// A stored text that should have been JSON is not.
pub fn internal(error: serde_json::Error) -> Problem {
    Problem::new(Kind::Internal, "this failed on our side").caused_by(error)
}
