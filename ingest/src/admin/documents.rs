//! The routes that all collections of documents have: list, create, show, change, delete.
//!
//! | route | answer |
//! |---|---|
//! | `POST …` | 201, the object with `id`; an `id` in the body is ignored |
//! | `GET …/{id}` | the object, with its version as `ETag` |
//! | `PUT …/{id}` | the whole object after a shallow merge of what was sent |
//! | `DELETE …/{id}` | `{ok: true}` |
//!
//! Changes and deletions honour `If-Match`. Every process works with a change after its next poll of the catalog.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use http::{HeaderMap, StatusCode};
use serde_json::json;
use shared::domain::raw_object::RawObject;
use shared::store::documents::Wanted;
use uuid::Uuid;

use super::edit::Edit;
use super::if_match::IfMatch;
use super::paging::Page;
use super::resource::{Checked, Deleted, Resource, internal};
use super::sent;
use crate::app::App;
use crate::database::moment;
use crate::intake::ok;
use crate::keys::Caller;
use crate::openapi::parameters::FromVersion;
use crate::openapi::refusals::{AsksDatabase, FaultyCampaign, Missing, ReadsBody, Versioned};
use crate::problem::{Kind, Problem};
use crate::query::Query;

/// The routes of one document.
pub fn one(resource: &'static Resource) -> MethodRouter<Arc<App>> {
    get(async move |State(app): State<Arc<App>>, Path(id): Path<String>, caller: Extension<Caller>| {
        answered(show(resource, &app, id, &caller).await)
    })
    .put(
        async move |State(app): State<Arc<App>>,
                    Path(id): Path<String>,
                    caller: Extension<Caller>,
                    request: Request| answered(change(resource, &app, id, &caller, request).await),
    )
    .delete(
        async move |State(app): State<Arc<App>>,
                    Path(id): Path<String>,
                    caller: Extension<Caller>,
                    headers: HeaderMap| answered(delete(resource, &app, id, &caller, &headers).await),
    )
}

// The three below are described as those of campaigns; `openapi::copies` makes the descriptions of the other collections.

/// Shows a campaign.
#[utoipa::path(
    get, path = "/v1/admin/campaigns/{id}", operation_id = "showCampaign", tag = "Campaigns", params(("id" = String, Path, description = "Of the campaign.", example = "5259000f-b320-46e5-8b51-f33a89cab7f4")),
    responses(
        (status = 200, description = "The campaign.", body = ref("#/components/schemas/Campaign"), headers(("ETag" = String))),
        Missing, AsksDatabase,
    ),
)]
async fn show(resource: &'static Resource, app: &App, id: String, caller: &Caller) -> Result<Response, Problem> {
    let id = resource.storable(id)?;
    let row = Edit { app, resource, caller, id: &id, condition: IfMatch::Any }.read().await?;
    resource.reply(&row, &[])
}

/// Changes a campaign: what is sent is merged into it, per top-level key.
#[utoipa::path(
    put, path = "/v1/admin/campaigns/{id}", operation_id = "changeCampaign", tag = "Campaigns", params(FromVersion, ("id" = String, Path, description = "Of the campaign.", example = "5259000f-b320-46e5-8b51-f33a89cab7f4")),
    request_body(content = ref("#/components/schemas/CampaignChange"), content_type = "application/json"),
    responses(
        (status = 200, description = "The whole campaign, changed.", body = ref("#/components/schemas/Campaign"), headers(("ETag" = String))),
        ReadsBody, FaultyCampaign, Missing, Versioned, AsksDatabase,
    ),
)]
async fn change(
    resource: &'static Resource,
    app: &App,
    id: String,
    caller: &Caller,
    request: Request,
) -> Result<Response, Problem> {
    let id = resource.storable(id)?;
    let condition = IfMatch::of(request.headers());
    let sent = document(app, resource, request).await?;
    let written = Edit { app, resource, caller, id: &id, condition }.merge(sent).await?;
    resource.reply(&written.row, &written.notes)
}

/// Deletes a campaign. Its history stays, and brings it back.
#[utoipa::path(
    delete, path = "/v1/admin/campaigns/{id}", operation_id = "deleteCampaign", tag = "Campaigns", params(FromVersion, ("id" = String, Path, description = "Of the campaign.", example = "5259000f-b320-46e5-8b51-f33a89cab7f4")),
    responses((status = 200, description = "It is gone.", body = Deleted), Missing, Versioned, AsksDatabase),
)]
async fn delete(
    resource: &'static Resource,
    app: &App,
    id: String,
    caller: &Caller,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let id = resource.storable(id)?;
    let condition = IfMatch::of(headers);
    let row = Edit { app, resource, caller, id: &id, condition }.delete().await?;
    resource.deleted(&row)
}

/// Creates a document under an id of our own: 201.
pub async fn create(
    resource: &'static Resource,
    app: &App,
    caller: &Caller,
    request: Request,
) -> Result<Response, Problem> {
    let sent = document(app, resource, request).await?;
    add(resource, app, caller, resource.checked(&sent)?).await
}

/// Adds a document that passed the door, under an id of our own: 201.
pub async fn add(
    resource: &'static Resource,
    app: &App,
    caller: &Caller,
    checked: Checked,
) -> Result<Response, Problem> {
    let id = Uuid::new_v4().to_string();
    let edit = Edit { app, resource, caller, id: &id, condition: IfMatch::Any };
    let taken = || Problem::new(Kind::Internal, "this failed on our side").caused_by("a fresh id is taken");
    let written = edit.create(checked).await?.ok_or_else(taken)?;
    let mut response = resource.reply(&written.row, &written.notes)?;
    *response.status_mut() = StatusCode::CREATED;
    Ok(response)
}

/// A list, newest created first: `{<plural>, total, next_cursor}`, all of them unless `limit` says otherwise. `wanted` holds what
/// it is filtered by; the page comes from `query`.
pub async fn list(
    resource: &'static Resource,
    app: &App,
    query: &Query<'_>,
    mut wanted: Wanted,
) -> Result<Response, Problem> {
    let page = Page::<i64>::read(query, None, i64::MAX - 1)?;
    (wanted.before, wanted.limit, wanted.offset) = (page.after, page.rows_to_read(), page.offset);
    let collection = resource.collection;
    let read = |pool| async move {
        let mut moment = moment(&pool).await?;
        let rows = collection.list(&mut moment, &wanted).await?;
        let total = collection.count(&mut moment, &wanted).await?;
        moment.commit().await?;
        Ok((rows, total))
    };
    let (mut rows, total) = app.database.run(read).await?;
    let next_cursor = page.cut(&mut rows, |row| row.position);
    let objects = rows.iter().map(|row| resource.object(row, &[])).collect::<Result<Vec<_>, _>>()?;
    let listed = || {
        let mut listed = RawObject::default();
        listed.set(resource.plural, &objects)?;
        listed.set("total", &json!(total))?;
        listed.set("next_cursor", &next_cursor)?;
        Ok(listed)
    };
    ok(&listed().map_err(internal)?)
}

/// The document that a request brings, without what only the server says.
pub async fn document(app: &App, resource: &Resource, request: Request) -> Result<RawObject, Problem> {
    Ok(resource.cleaned(sent::object(app, request, resource.body_bytes, resource.invalid).await?))
}

/// Ends a request.
pub fn answered(result: Result<Response, Problem>) -> Response {
    result.unwrap_or_else(IntoResponse::into_response)
}
