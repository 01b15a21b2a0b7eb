//! The calls that take events in, one handler each, with what the API's document says of it.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use shared::domain::event::EventType;

use super::batch::{self, BatchAnswer, Shape};
use super::single::{self, IdentifyAnswer, TakenAnswer, TrackAnswer};
use crate::app::App;
use crate::budget::Importance;
use crate::openapi::parameters::{Named, Verified};
use crate::openapi::refusals::{ManyEvents, OneEvent, Publishes, ReadsBody};

/// Something a user did.
///
/// The answer has the campaigns that the event triggers for this user. It comes when the event is on disk: it is never lost then. With a
/// `messageId` it may be sent again at will and takes effect once. `success` stands in the answer on the paths of the second
/// generation of apps (`/api/v1/nudge/…`).
#[utoipa::path(
    post, path = "/v1/track", operation_id = "track", tag = "Events", params(Named, Verified),
    request_body(content = ref("#/components/schemas/TrackCall"), content_type = "application/json"),
    responses((status = 200, description = "The event is on disk.", body = TrackAnswer), ReadsBody, Publishes, OneEvent),
)]
pub async fn track(state: State<Arc<App>>, request: Request) -> Response {
    single::take(state, EventType::Track, request).await
}

/// Who a user is: traits to merge.
///
/// Traits are merged per top-level key, in the order of arrival. With an `anonymous_id` beside the `user_id` both become the same person.
#[utoipa::path(
    post, path = "/v1/identify", operation_id = "identify", tag = "Events", params(Named, Verified),
    request_body(content = ref("#/components/schemas/IdentifyCall"), content_type = "application/json"),
    responses((status = 200, description = "The event is on disk.", body = IdentifyAnswer), ReadsBody, Publishes, OneEvent),
)]
pub async fn identify(state: State<Arc<App>>, request: Request) -> Response {
    single::take(state, EventType::Identify, request).await
}

/// A page that was seen.
#[utoipa::path(
    post, path = "/v1/page", operation_id = "page", tag = "Events", params(Named),
    request_body(content = ref("#/components/schemas/PageCall"), content_type = "application/json"),
    responses((status = 200, description = "The event is on disk.", body = TakenAnswer), ReadsBody, Publishes, OneEvent),
)]
pub async fn page(state: State<Arc<App>>, request: Request) -> Response {
    single::take(state, EventType::Page, request).await
}

/// A screen that was seen.
#[utoipa::path(
    post, path = "/v1/screen", operation_id = "screen", tag = "Events", params(Named),
    request_body(content = ref("#/components/schemas/PageCall"), content_type = "application/json"),
    responses((status = 200, description = "The event is on disk.", body = TakenAnswer), ReadsBody, Publishes, OneEvent),
)]
pub async fn screen(state: State<Arc<App>>, request: Request) -> Response {
    single::take(state, EventType::Screen, request).await
}

/// A group that a user belongs to.
#[utoipa::path(
    post, path = "/v1/group", operation_id = "group", tag = "Events", params(Named),
    request_body(content = ref("#/components/schemas/GroupCall"), content_type = "application/json"),
    responses((status = 200, description = "The event is on disk.", body = TakenAnswer), ReadsBody, Publishes, OneEvent),
)]
pub async fn group(state: State<Arc<App>>, request: Request) -> Response {
    single::take(state, EventType::Group, request).await
}

/// Another id of the same person.
#[utoipa::path(
    post, path = "/v1/alias", operation_id = "alias", tag = "Events", params(Named),
    request_body(content = ref("#/components/schemas/AliasCall"), content_type = "application/json"),
    responses((status = 200, description = "The event is on disk.", body = TakenAnswer), ReadsBody, Publishes, OneEvent),
)]
pub async fn alias(state: State<Arc<App>>, request: Request) -> Response {
    single::take(state, EventType::Alias, request).await
}

/// Many events at once.
///
/// Each event is judged by itself: the good ones are accepted, the others are named in `rejected`. Exactly 200 as long as one is good.
#[utoipa::path(
    post, path = "/v1/batch", operation_id = "batch", tag = "Events", params(Named),
    request_body(content = ref("#/components/schemas/BatchCall"), content_type = "application/json"),
    responses((status = 200, description = "The accepted events are on disk.", body = BatchAnswer), ReadsBody, Publishes, ManyEvents),
)]
pub async fn batch(state: State<Arc<App>>, request: Request) -> Response {
    batch::take(state, (Importance::Event, Shape::Batch), request).await
}

/// Many events of the past at once.
///
/// As `POST /v1/batch`, but refused first when there is too much to do.
#[utoipa::path(
    post, path = "/v1/import", operation_id = "import", tag = "Events", params(Named),
    request_body(content = ref("#/components/schemas/BatchCall"), content_type = "application/json"),
    responses((status = 200, description = "The accepted events are on disk.", body = BatchAnswer), ReadsBody, Publishes, ManyEvents),
)]
pub async fn import(state: State<Arc<App>>, request: Request) -> Response {
    batch::take(state, (Importance::Import, Shape::Batch), request).await
}

/// Leads, each of which becomes a track `lead_added`.
#[utoipa::path(
    post, path = "/v1/leads", operation_id = "leads", tag = "Events", params(Named),
    request_body(content = ref("#/components/schemas/LeadsCall"), content_type = "application/json"),
    responses((status = 200, description = "The accepted leads are on disk.", body = BatchAnswer), ReadsBody, Publishes, ManyEvents),
)]
pub async fn leads(state: State<Arc<App>>, request: Request) -> Response {
    batch::take(state, (Importance::Event, Shape::Leads), request).await
}
