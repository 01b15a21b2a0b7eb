//! `/v1/admin/keys`: keys of the table; those of the environment are not among them.
//!
//! | route | answer |
//! |---|---|
//! | `GET …` | `{keys: [{id, name, role, created_at, revoked_at}], total}`, newest first; never a key or its hash |
//! | `POST …` `{name, role}` | 201 `{id, name, role, key}`: the only time the key is shown; `role` is `client` or `admin` |
//! | `DELETE …/{id}` | `{ok: true}`; revoking again changes nothing |
//!
//! A name has at most [`LIVE_KEYS`] live keys, so that one can be put in place before the other is revoked. Every process knows
//! of a new or revoked key within [`crate::keys::REFRESH`].

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::response::Response;
use chrono::{DateTime, Utc};
use http::StatusCode;
use http::header::{CACHE_CONTROL, HeaderValue};
use serde::{Deserialize, Serialize};
use serde_json::json;
use shared::domain::raw_object::RawObject;
use sqlx::FromRow;
use sqlx::postgres::PgPool;
use utoipa::ToSchema;
use uuid::Uuid;

use super::documents::answered;
use super::sent::{self, SMALL_BODY_BYTES};
use crate::app::App;
use crate::intake::ok;
use crate::keys::{self, Role, configured};
use crate::openapi::refusals::{AsksDatabase, FaultyKey, Missing, ReadsBody};
use crate::problem::{Kind, Problem};

/// Live keys of one name.
pub const LIVE_KEYS: i64 = 2;

#[derive(Serialize, ToSchema)]
#[schema(as = KeyList)]
struct Listed {
    keys: Vec<Shown>,
    total: usize,
}

#[derive(Serialize, FromRow, ToSchema)]
#[schema(as = Key)]
struct Shown {
    id: Uuid,
    name: String,
    /// `client` or `admin`.
    role: String,
    created_at: DateTime<Utc>,
    #[schema(required)]
    revoked_at: Option<DateTime<Utc>>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = NewKey)]
struct Made {
    id: Uuid,
    name: String,
    role: &'static str,
    /// The only time that it is shown.
    key: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Done)]
struct Revoked {
    ok: bool,
}

/// The keys of the table, newest first; never a key itself or its hash.
#[utoipa::path(
    get, path = "/v1/admin/keys", operation_id = "listKeys", tag = "Keys",
    responses((status = 200, description = "All of them.", body = Listed), AsksDatabase),
)]
pub async fn list(State(app): State<Arc<App>>) -> Response {
    let list = async {
        let read = |pool: PgPool| async move {
            let sql = "SELECT id, name, role, created_at, revoked_at FROM api_keys ORDER BY created_at DESC, id";
            sqlx::query_as::<_, Shown>(sql).fetch_all(&pool).await
        };
        let keys = app.database.run(read).await?;
        let total = keys.len();
        ok(&Listed { keys, total })
    };
    answered(list.await)
}

/// Makes a key. It is shown this once.
///
/// A name has at most two live keys, so that one can be put in place before the other is revoked.
#[utoipa::path(
    post, path = "/v1/admin/keys", operation_id = "createKey", tag = "Keys",
    request_body(content = ref("#/components/schemas/KeyDraft"), content_type = "application/json"),
    responses((status = 201, description = "The key.", body = Made), ReadsBody, FaultyKey, AsksDatabase),
)]
pub async fn create(State(app): State<Arc<App>>, request: Request) -> Response {
    let create = async {
        let sent = sent::object(&app, request, SMALL_BODY_BYTES, Kind::InvalidKey).await?;
        let (name, role) = asked(&sent)?;
        // Two random UUIDs: 244 bits nobody can guess, in letters that survive every header.
        let key = format!("ec_{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        let (hash, stored) = (keys::hash(&key).to_vec(), name.clone());
        let id = app.database.run(|pool| insert(pool, stored, role, hash)).await?;
        let id = id.ok_or_else(|| {
            let message = format!("{name} has {LIVE_KEYS} live keys already: revoke one of them first");
            Problem::new(Kind::Conflict, message)
        })?;
        let mut response = ok(&Made { id, name, role: role.as_str(), key })?;
        *response.status_mut() = StatusCode::CREATED;
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(response)
    };
    answered(create.await)
}

/// Revokes a key; it opens nothing any more within 30 seconds. Revoking again changes nothing.
#[utoipa::path(
    delete, path = "/v1/admin/keys/{id}", operation_id = "revokeKey", tag = "Keys",
    params(("id" = String, Path, description = "Of the key, not the key itself.", example = "0b7e6a9e-2f0c-4d4e-9a51-6e1d4c8a7f10")),
    responses((status = 200, description = "It is revoked.", body = Revoked), Missing, AsksDatabase),
)]
pub async fn revoke(State(app): State<Arc<App>>, Path(id): Path<String>) -> Response {
    let revoke = async {
        let not_found = || Problem::new(Kind::NotFound, "there is nothing with this id").with_error("Key not found");
        let id: Uuid = id.parse().map_err(|_| not_found())?;
        let revoke = |pool: PgPool| async move {
            let sql = "UPDATE api_keys SET revoked_at = coalesce(revoked_at, now()) WHERE id = $1";
            sqlx::query(sql).bind(id).execute(&pool).await
        };
        if app.database.run(revoke).await?.rows_affected() == 0 {
            return Err(not_found());
        }
        ok(&Revoked { ok: true })
    };
    answered(revoke.await)
}

/// Adds a key; `None` when the name has enough of them.
async fn insert(pool: PgPool, name: String, role: Role, hash: Vec<u8>) -> Result<Option<Uuid>, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    // Two at once must not both find room. Reading keys goes on.
    sqlx::query("LOCK TABLE api_keys IN SHARE ROW EXCLUSIVE MODE").execute(&mut *transaction).await?;
    let id = sqlx::query_scalar(
        "INSERT INTO api_keys (name, role, hash) SELECT $1, $2, $3
          WHERE (SELECT count(*) FROM api_keys WHERE name = $1 AND revoked_at IS NULL) < $4 RETURNING id",
    )
    .bind(name)
    .bind(role.as_str())
    .bind(hash)
    .bind(LIVE_KEYS)
    .fetch_optional(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(id)
}

fn asked(sent: &RawObject) -> Result<(String, Role), Problem> {
    let text = |key: &str| sent.get(key).and_then(|raw| String::deserialize(raw).ok());
    let mut details = Vec::new();
    let mut fault = |field: &str, message: &str| {
        details.push(json!({"type": "field", "path": field, "msg": message, "location": "body"}));
    };
    let name = text("name").filter(|name| configured::is_name(name));
    if name.is_none() {
        fault("name", "must be 1 to 64 letters, digits, `_`, `-` or `.`");
    }
    let role = text("role").and_then(|role| Role::parse(&role));
    if role.is_none() {
        fault("role", "must be client or admin");
    }
    name.zip(role).ok_or_else(|| {
        let message = r#"a key needs {"name", "role"}: see details"#;
        Problem::new(Kind::InvalidKey, message).with("details", details.into())
    })
}
