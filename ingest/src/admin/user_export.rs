//! `GET /v1/admin/users/{id}/export`: all data about a user (with `?kind=anonymous`, about a visitor) as one JSON file.
//!
//! Streamed: an export of any size needs [`PIECES`] pieces of memory. One that fails midway is cut off, so that nobody takes it for
//! whole.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use bytes::Bytes;
use chrono::Utc;
use futures_util::stream;
use http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE, HeaderValue};
use shared::domain::limits::ID_BYTES;
use shared::store::subject_access::{self, ExportError, Subject};
use tokio::sync::mpsc;

use super::documents::answered;
use super::users;
use crate::app::App;
use crate::openapi::parameters::OfKind;
use crate::openapi::refusals::{AsksDatabase, ReadsParameters};
use crate::problem::{Kind, Problem};
use crate::query::Query;

/// Pieces of 64 KiB that wait for a reader.
const PIECES: usize = 4;

/// All data about a user, as one JSON file.
///
/// Profiles, events, matches, conversions, days of activity, dead letters and erasures, of the user and of the visitors they are linked to. Somebody of whom
/// nothing is stored has an empty one.
#[utoipa::path(
    get, path = "/v1/admin/users/{id}/export", operation_id = "exportUser", tag = "Erasure and access",
    params(OfKind, ("id" = String, Path, description = "Of the user.", example = "ada")),
    responses((status = 200, description = "The file.", body = Object), ReadsParameters, AsksDatabase),
)]
pub async fn export(State(app): State<Arc<App>>, Path(id): Path<String>, RawQuery(query): RawQuery) -> Response {
    answered(answer(&app, id, &Query::parse(query.as_deref())).await)
}

async fn answer(app: &Arc<App>, id: String, query: &Query<'_>) -> Result<Response, Problem> {
    let kind = users::kind(query)?;
    if id.len() > ID_BYTES || id.contains('\0') {
        let message = format!("an id has at most {ID_BYTES} bytes, without a zero byte");
        return Err(Problem::new(Kind::InvalidParameter, message));
    }
    let subject = app.database.run(move |pool| async move { Subject::find(&pool, kind, id).await }).await?;
    let (out, pieces) = mpsc::channel(PIECES);
    let (ended, end) = tokio::sync::oneshot::channel();
    let app = Arc::clone(app);
    tokio::spawn(async move {
        let placeholders = &app.settings.pipeline.placeholders;
        let done = subject_access::export(app.database.pool(), &subject, placeholders, Utc::now(), out).await;
        if let Err(error @ ExportError::Database(_)) = &done {
            tracing::warn!(%error, "an export of a user's data was cut off");
        }
        // Nobody may be left to hear it.
        let _ = ended.send(done);
    });
    let body = stream::unfold((pieces, Some(end)), async |(mut pieces, end)| match pieces.recv().await {
        Some(piece) => Some((Ok::<Bytes, ExportError>(piece), (pieces, end))),
        // The last piece was sent, or the export failed: then the body ends without its end.
        None => match end?.await {
            Ok(Err(error)) => Some((Err(error), (pieces, None))),
            Ok(Ok(())) => None,
            Err(_) => Some((Err(ExportError::Gone), (pieces, None))),
        },
    });
    let mut response = Response::new(Body::from_stream(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=\"user-export.json\""));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
