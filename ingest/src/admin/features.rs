//! `/v1/admin/features`: feature flags; the id of a flag is its key.
//!
//! | route | answer |
//! |---|---|
//! | `POST …` `{key, enabled?, value?, …}` | `{ok, flag}`; creates the flag or replaces it whole |
//! | `GET …` | `{flags: {key: flag}, total}`, all of them |
//! | `GET`, `PUT …/{key}` | the flag; `PUT` merges, and cannot change the key |
//! | `DELETE …/{key}` | `{ok: true}` |

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use shared::domain::feature;
use shared::domain::raw_object::RawObject;
use shared::domain::rules::Fault;
use shared::store::documents::{FEATURES, Wanted};
use utoipa::ToSchema;
use utoipa::openapi::Ref;

use super::documents::{answered, document};
use super::edit::{Edit, Written};
use super::if_match::{IfMatch, tagged};
use super::resource::{Checked, Resource, internal, plain_shape};
use super::sent::SMALL_BODY_BYTES;
use crate::app::App;
use crate::intake::ok;
use crate::keys::Caller;
use crate::openapi::parameters::FromVersion;
use crate::openapi::refusals::{AsksDatabase, FaultyFeature, ReadsBody, Versioned};
use crate::problem::{Kind, Problem};

/// Feature flags, as the admin API serves them.
pub static RESOURCE: Resource = Resource {
    collection: &FEATURES,
    missing: "Feature not found",
    plural: "flags",
    invalid: Kind::InvalidFeature,
    body_bytes: SMALL_BODY_BYTES,
    fixed: &["key"],
    shows_deleted: false,
    check,
    faults: |row| feature::compile(&row.document()).err().unwrap_or_default(),
    shape: plain_shape,
};

#[derive(Serialize, ToSchema)]
#[schema(as = SavedFlag)]
struct Saved {
    ok: bool,
    #[schema(schema_with = a_flag)]
    flag: RawObject,
}

#[derive(Serialize, ToSchema)]
#[schema(as = FlagList)]
struct Listed {
    /// By key.
    #[schema(value_type = HashMap<String, Object>)]
    flags: RawObject,
    total: usize,
}

fn a_flag() -> Ref {
    Ref::from_schema_name("Feature")
}

/// Creates a flag, or replaces it whole.
#[utoipa::path(
    post, path = "/v1/admin/features", operation_id = "putFeature", tag = "Feature flags", params(FromVersion),
    request_body(content = ref("#/components/schemas/FeatureDraft"), content_type = "application/json"),
    responses(
        (status = 200, description = "The flag.", body = Saved, headers(("ETag" = String))),
        ReadsBody, FaultyFeature, Versioned, AsksDatabase,
    ),
)]
pub async fn put(State(app): State<Arc<App>>, caller: Extension<Caller>, request: Request) -> Response {
    let put = async {
        let condition = IfMatch::of(request.headers());
        let sent = document(&app, &RESOURCE, request).await?;
        let key = key(&sent)?;
        let checked = RESOURCE.checked(&sent)?;
        let edit = Edit { app: &app, resource: &RESOURCE, caller: &caller, id: &key, condition };
        let written = create_or_replace(&edit, checked).await?;
        let flag = RESOURCE.object(&written.row, &written.notes)?;
        Ok(tagged(ok(&Saved { ok: true, flag })?, written.row.version))
    };
    answered(put.await)
}

/// All flags.
#[utoipa::path(
    get, path = "/v1/admin/features", operation_id = "listFeatures", tag = "Feature flags",
    responses((status = 200, description = "All of them.", body = Listed), AsksDatabase),
)]
pub async fn list(State(app): State<Arc<App>>) -> Response {
    let list = async {
        let read =
            |pool: sqlx::PgPool| async move { FEATURES.list(&mut *pool.acquire().await?, &Wanted::default()).await };
        let rows = app.database.run(read).await?;
        let mut flags = RawObject::default();
        for row in &rows {
            flags.set(&row.id, &RESOURCE.object(row, &[])?).map_err(internal)?;
        }
        ok(&Listed { flags, total: rows.len() })
    };
    answered(list.await)
}

async fn create_or_replace(edit: &Edit<'_>, checked: Checked) -> Result<Written, Problem> {
    loop {
        if edit.find().await?.is_some() {
            match edit.change(|_| Ok(checked.clone())).await {
                // Deleted in the meantime.
                Err(problem) if problem.kind() == Kind::NotFound => {}
                result => return result,
            }
        }
        // Nothing is there: a client that means a version of it is mistaken.
        edit.condition.check(0)?;
        if let Some(written) = edit.create(checked.clone()).await? {
            return Ok(written);
        }
    }
}

fn key(sent: &RawObject) -> Result<String, Problem> {
    let key = sent.get("key").and_then(|raw| String::deserialize(raw).ok()).filter(|key| !key.is_empty());
    let missing = || {
        Problem::new(Kind::InvalidFeature, "key must be a text of letters, digits, `_`, `.`, `:` or `-`")
            .with_error("key required")
    };
    key.ok_or_else(missing)
}

fn check(document: &RawObject) -> Result<Checked, Vec<Fault>> {
    let valid = feature::validate(document)?;
    let mut document = valid.document;
    if document.get("enabled").is_none_or(|raw| raw.get() == "null") {
        document.set("enabled", &true).map_err(|e| vec![Fault::new("", "unwritable", e.to_string())])?;
    }
    Ok(Checked::new(document, valid.dropped_artefact_rules))
}
