//! `/v1/admin/campaigns`: create, list, show, change and delete campaigns, in the old server's shapes.
//!
//! A change is a shallow merge of the sent fields into the stored document; the result must be a valid whole. Every process sees
//! a change within its next poll of the catalog.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, RawQuery, Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;
use shared::domain::campaign::{Valid, validate};
use shared::domain::intake::envelope;
use shared::domain::json_text;
use shared::domain::raw_object::RawObject;
use shared::store::campaigns::{COLUMNS, StoredCampaign};
use uuid::Uuid;

use crate::app::App;
use crate::body;
use crate::budget::Importance;
use crate::intake::ok;
use crate::problem::{Kind, Problem};
use crate::query::Query;

/// Configurations hold images as base64; the old server took so much.
pub const BODY_BYTES: usize = 50 << 20;

/// `POST`: 201 with the campaign. An `id` in the body is ignored.
pub async fn create(State(app): State<Arc<App>>, request: Request) -> Response {
    let create = async {
        let sent = sent_document(&app, request).await?;
        let valid = checked(&sent)?;
        let (id, status, document) = (Uuid::new_v4().to_string(), status(&valid), valid.document.to_json());
        let sql =
            format!("INSERT INTO campaigns (id, status, document) VALUES ($1, $2, $3::jsonb) RETURNING {COLUMNS}");
        let insert = |pool| async move {
            sqlx::query_as::<_, StoredCampaign>(&sql).bind(id).bind(status).bind(document).fetch_one(&pool).await
        };
        let row = app.database.run(insert).await?;
        let mut response = ok(&row.client_object().map_err(internal)?)?;
        *response.status_mut() = StatusCode::CREATED;
        Ok(response)
    };
    answered(create.await)
}

/// `GET`: `{campaigns, total}`, newest created first; all of them unless `limit` says otherwise.
pub async fn list(State(app): State<Arc<App>>, headers: HeaderMap, RawQuery(query): RawQuery) -> Response {
    #[derive(Serialize)]
    struct Listed {
        campaigns: Vec<Box<RawValue>>,
        total: i64,
    }
    let list = async {
        app.door.admin(&headers)?;
        let query = Query::parse(query.as_deref());
        let limit = query.number("limit").filter(|limit| *limit > 0);
        let offset = query.number("offset").unwrap_or(0);
        let sql = format!("SELECT {COLUMNS} FROM campaigns ORDER BY position DESC LIMIT $1 OFFSET $2");
        let read = |pool| async move {
            let rows: Vec<StoredCampaign> = sqlx::query_as(&sql).bind(limit).bind(offset).fetch_all(&pool).await?;
            let total: i64 = sqlx::query_scalar("SELECT count(*) FROM campaigns").fetch_one(&pool).await?;
            Ok((rows, total))
        };
        let (rows, total) = app.database.run(read).await?;
        let campaigns = rows.iter().map(StoredCampaign::client_object).collect::<Result<_, _>>().map_err(internal)?;
        ok(&Listed { campaigns, total })
    };
    answered(list.await)
}

/// `GET /:id`.
pub async fn show(State(app): State<Arc<App>>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    let show = async {
        app.door.admin(&headers)?;
        ok(&read(&app, id).await?.client_object().map_err(internal)?)
    };
    answered(show.await)
}

/// `PUT /:id`: merges the sent fields into the campaign. Of two changes at once each sees the other's result.
pub async fn change(State(app): State<Arc<App>>, Path(id): Path<String>, request: Request) -> Response {
    let change = async {
        let sent = sent_document(&app, request).await?;
        loop {
            let before = read(&app, id.clone()).await?;
            let mut document = RawObject::parse(&before.document).map_err(internal)?;
            document.merge(sent.clone());
            let valid = checked(&document)?;
            if let Some(row) = write(&app, &before, &valid).await? {
                return ok(&row.client_object().map_err(internal)?);
            }
        }
    };
    answered(change.await)
}

/// `DELETE /:id`: `{ok, deleted}`.
pub async fn delete(State(app): State<Arc<App>>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    #[derive(Serialize)]
    struct Deleted {
        ok: bool,
        deleted: Box<RawValue>,
    }
    let delete = async {
        app.door.admin(&headers)?;
        let sql = format!("DELETE FROM campaigns WHERE id = $1 RETURNING {COLUMNS}");
        let id = storable(id)?;
        let delete =
            |pool| async move { sqlx::query_as::<_, StoredCampaign>(&sql).bind(id).fetch_optional(&pool).await };
        let row = app.database.run(delete).await?.ok_or_else(not_found)?;
        ok(&Deleted { ok: true, deleted: row.client_object().map_err(internal)? })
    };
    answered(delete.await)
}

async fn read(app: &App, id: String) -> Result<StoredCampaign, Problem> {
    let sql = format!("SELECT {COLUMNS} FROM campaigns WHERE id = $1");
    let id = storable(id)?;
    let read = |pool| async move { sqlx::query_as::<_, StoredCampaign>(&sql).bind(id).fetch_optional(&pool).await };
    app.database.run(read).await?.ok_or_else(not_found)
}

/// Replaces the document if nobody else did since `before` was read.
async fn write(app: &App, before: &StoredCampaign, valid: &Valid) -> Result<Option<StoredCampaign>, Problem> {
    let sql = format!(
        "UPDATE campaigns SET document = $3::jsonb, status = $4, version = version + 1, updated_at = now()
          WHERE id = $1 AND version = $2 RETURNING {COLUMNS}"
    );
    let (id, version, document, status) = (before.id.clone(), before.version, valid.document.to_json(), status(valid));
    let write = |pool| async move {
        sqlx::query_as::<_, StoredCampaign>(&sql)
            .bind(id)
            .bind(version)
            .bind(document)
            .bind(status)
            .fetch_optional(&pool)
            .await
    };
    app.database.run(write).await
}

/// The body of an admin's request, as an object whose text may be stored.
async fn sent_document(app: &App, request: Request) -> Result<RawObject, Problem> {
    let (parts, mut sent) = request.into_parts();
    let read = async |sent: &mut Body| {
        app.door.admin(&parts.headers)?;
        let announced = body::announced_bytes(&parts.headers, BODY_BYTES)?;
        let mut share = app.budget.take(Importance::Profile, announced)?;
        let bytes = body::read(&parts.headers, sent, BODY_BYTES, &mut share).await?;
        document(&bytes)
    };
    let result = read(&mut sent).await;
    if result.is_err() {
        body::discard(&parts.headers, sent).await;
    }
    result
}

fn document(bytes: &[u8]) -> Result<RawObject, Problem> {
    let unreadable = |e: envelope::Unreadable| Problem::new(Kind::InvalidJson, e.0);
    let raw = envelope::single(envelope::text(bytes).map_err(unreadable)?).map_err(unreadable)?;
    let checked = json_text::check(raw.get())
        .map_err(|(_, why)| Problem::new(Kind::InvalidCampaign, format!("the campaign {why}")))?;
    RawObject::parse(&checked.text)
        .map_err(|e| Problem::new(Kind::InvalidJson, format!("the body is not valid JSON: {e}")))
}

fn checked(document: &RawObject) -> Result<Valid, Problem> {
    validate(document).map_err(|faults| {
        let message = faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        let details = faults.iter().map(|fault| {
            json!({"type": "field", "path": fault.field, "msg": fault.message, "code": fault.code, "location": "body"})
        });
        Problem::new(Kind::InvalidCampaign, message).with("details", details.collect())
    })
}

fn status(valid: &Valid) -> Option<&'static str> {
    valid.status.map(shared::domain::campaign::Status::as_str)
}

/// A text that PostgreSQL can be asked for; no campaign has another id.
fn storable(id: String) -> Result<String, Problem> {
    if id.contains('\0') { Err(not_found()) } else { Ok(id) }
}

fn not_found() -> Problem {
    Problem::new(Kind::NotFound, "there is no campaign with this id").with_error("Campaign not found")
}

fn internal(error: serde_json::Error) -> Problem {
    Problem::new(Kind::Internal, "this failed on our side").caused_by(error)
}

fn answered(result: Result<Response, Problem>) -> Response {
    result.unwrap_or_else(IntoResponse::into_response)
}
