//! `/v1/admin/segments`: named groups of users; see [`super::documents`] for the routes, [`super::members`] for who is in one.
//!
//! The list is `{segments, total, next_cursor}`, newest created first; without `limit` all of them.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{RawQuery, Request, State};
use axum::response::Response;
use shared::domain::raw_object::RawObject;
use shared::domain::rules::Fault;
use shared::domain::segment;
use shared::store::documents::{SEGMENTS, Wanted};

use super::documents::{self, answered};
use super::resource::{Checked, Resource, plain_shape};
use super::sent::SMALL_BODY_BYTES;
use crate::app::App;
use crate::keys::Caller;
use crate::openapi::parameters::Paging;
use crate::openapi::refusals::{AsksDatabase, FaultySegment, ReadsBody, ReadsParameters};
use crate::problem::Kind;
use crate::query::Query;

/// Segments, as the admin API serves them.
pub static RESOURCE: Resource = Resource {
    collection: &SEGMENTS,
    missing: "Segment not found",
    plural: "segments",
    invalid: Kind::InvalidSegment,
    body_bytes: SMALL_BODY_BYTES,
    fixed: &[],
    shows_deleted: false,
    check,
    faults: |row| segment::compile(&row.document()).err().unwrap_or_default(),
    shape: plain_shape,
};

/// Creates a segment under an id of the server's own.
#[utoipa::path(
    post, path = "/v1/admin/segments", operation_id = "createSegment", tag = "Segments",
    request_body(content = ref("#/components/schemas/SegmentDraft"), content_type = "application/json"),
    responses(
        (status = 201, description = "The segment.", body = ref("#/components/schemas/Segment"), headers(("ETag" = String))),
        ReadsBody, FaultySegment, AsksDatabase,
    ),
)]
pub async fn create(State(app): State<Arc<App>>, caller: Extension<Caller>, request: Request) -> Response {
    answered(documents::create(&RESOURCE, &app, &caller, request).await)
}

/// All segments, newest created first.
#[utoipa::path(
    get, path = "/v1/admin/segments", operation_id = "listSegments", tag = "Segments", params(Paging),
    responses((status = 200, description = "A page; without `limit` all of them.", body = ref("#/components/schemas/SegmentList")),
        ReadsParameters, AsksDatabase),
)]
pub async fn list(State(app): State<Arc<App>>, RawQuery(query): RawQuery) -> Response {
    let query = Query::parse(query.as_deref());
    answered(documents::list(&RESOURCE, &app, &query, Wanted::default()).await)
}

fn check(document: &RawObject) -> Result<Checked, Vec<Fault>> {
    let valid = segment::validate(document)?;
    Ok(Checked::new(valid.document, valid.dropped_artefact_rules))
}
