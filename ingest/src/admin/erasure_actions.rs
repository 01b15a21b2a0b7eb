//! `POST /v1/admin/erasures` and `…/renew`: a person's data is erased, or their consent renewed.
//!
//! Both take `{user_id}`, `{anonymous_id}` or `{users: […]}` (at most [`erasure_request::MOST_PEOPLE`]) and `reason`; an erasure also
//! `mode` (`delete` or `anonymise`) and `keep_properties`. They go through the stream, so they take effect in order with the events
//! that were accepted before; the answer, 202, means that they are in it. What became of each: [`super::erasures`].

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::response::Response;
use chrono::Utc;
use http::StatusCode;
use serde::Serialize;
use shared::domain::control::{Control, Erase, Request as Asked};
use shared::domain::message::SPECIAL_VERSION;
use shared::domain::user_key::KeyKind;
use utoipa::ToSchema;
use uuid::Uuid;

use super::documents::answered;
use super::erasure_request::{self, Wanted};
use super::resource::internal;
use crate::app::App;
use crate::budget::Importance;
use crate::intake::ok;
use crate::keys::Caller;
use crate::openapi::refusals::{Publishes, ReadsBody, ReadsParameters};
use crate::problem::Problem;
use crate::publish::lines::Lines;
use crate::publish::outcome;

/// What was accepted.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ErasuresAccepted)]
struct Accepted {
    requests: Vec<AcceptedRequest>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ErasureAccepted)]
struct AcceptedRequest {
    /// For `/v1/admin/erasures/{id}`.
    id: Uuid,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    anonymous_id: Option<String>,
}

/// Erases everything about a person, or about several.
///
/// It takes effect in order with the events that were accepted before: from then on nothing about them is stored, until consent is renewed,
/// and what was stored goes within seconds. It follows the visitors that a user turned out to be. `mode` `anonymise` keeps the events,
/// under one random id, without what identifies. The answer means that the request is safe; the receipt is
/// `/v1/admin/erasures/{id}`.
#[utoipa::path(
    post, path = "/v1/admin/erasures", operation_id = "erase", tag = "Erasure and access",
    request_body(content = ref("#/components/schemas/ErasureRequest"), content_type = "application/json"),
    responses((status = 202, description = "The requests are in the stream.", body = Accepted), ReadsBody, ReadsParameters, Publishes),
)]
pub async fn erase(State(app): State<Arc<App>>, caller: Extension<Caller>, request: Request) -> Response {
    answered(accept(&app, &caller, request, false).await)
}

/// Renews the consent of a person who was erased: what happens from now on is stored again.
///
/// Nothing that was erased comes back, and events from before stay away. It holds for the visitors that were erased together with the
/// user, too.
#[utoipa::path(
    post, path = "/v1/admin/erasures/renew", operation_id = "renewConsent", tag = "Erasure and access",
    request_body(content = ref("#/components/schemas/ConsentRenewal"), content_type = "application/json"),
    responses((status = 202, description = "The requests are in the stream.", body = Accepted), ReadsBody, ReadsParameters, Publishes),
)]
pub async fn renew(State(app): State<Arc<App>>, caller: Extension<Caller>, request: Request) -> Response {
    answered(accept(&app, &caller, request, true).await)
}

async fn accept(app: &App, caller: &Caller, request: Request, is_renewal: bool) -> Result<Response, Problem> {
    let wanted = erasure_request::read(app, request, is_renewal).await?;
    app.readiness.admit()?;
    let way = app.publisher.way();
    let mut lanes = BTreeMap::<u16, Lines>::new();
    let mut requests = Vec::with_capacity(wanted.ids.len());
    for id in &wanted.ids {
        let control = control(&wanted, id, &caller.source, is_renewal);
        let asked = control.request();
        let partition = asked.key().partition(way.layout.partitions);
        let lines = lanes.entry(way.layout.lane_of(partition)).or_default();
        lines.push_line(partition, &control.to_line().map_err(internal)?);
        lines.need_version(SPECIAL_VERSION);
        let of = |kind| (wanted.kind == kind).then(|| id.clone());
        let (user_id, anonymous_id) = (of(KeyKind::User), of(KeyKind::Anonymous));
        requests.push(AcceptedRequest { id: asked.id, user_id, anonymous_id });
    }
    let mut pending = Vec::with_capacity(lanes.len());
    for (lane, lines) in lanes {
        let share = app.budget.take(Importance::Profile, lines.byte_len())?;
        pending.push(way.submit(lane, lines, share));
    }
    // Whoever is refused asks again: what was taken the first time does no harm the second.
    for pending in pending {
        outcome(pending).await.map_err(|refusal| refusal.problem())?;
    }
    let mut response = ok(&Accepted { requests })?;
    *response.status_mut() = StatusCode::ACCEPTED;
    Ok(response)
}

fn control(wanted: &Wanted, id: &str, by: &str, is_renewal: bool) -> Control {
    let request = Asked {
        id: Uuid::new_v4(),
        kind: wanted.kind,
        key: id.to_owned(),
        requested_at: Utc::now(),
        by: by.to_owned(),
        reason: wanted.reason.clone(),
    };
    if is_renewal {
        return Control::RenewConsent(request);
    }
    Control::Erase(Erase { request, mode: wanted.mode, keep_properties: wanted.keep_properties.clone() })
}
