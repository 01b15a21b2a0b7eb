//! `/v1/admin/keys`: keys of the table; those of the environment are not among them.
//!
//! | route | answer |
//! |---|---|
//! | `GET …` | `{keys: […], total}`, newest first; never a key, its hash or its secret |
//! | `POST …` `{name, role[, limits][, identity_verification]}` | 201, the key as listed, with `key` and, where asked for, `identity_secret`: the only time they are shown |
//! | `PUT …/{id}` `{[limits][, identity_verification]}` | the key as listed; `identity_secret` when it is new |
//! | `DELETE …/{id}` | `{ok: true}`; revoking again changes nothing |
//!
//! `role` is `client` or `admin`. `limits` is `{events_per_second, bytes_per_second, burst_seconds}`, whole numbers; what is absent or
//! null is as in the settings, 0 is no limit. `identity_verification: true` gives a write key a secret (see [`crate::identity`]),
//! `false` takes it away. A name has at most [`LIVE_KEYS`] live keys, so that one can be put in place before the other is revoked.
//! Every process knows of a change within [`crate::keys::REFRESH`].

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::response::Response;
use chrono::{DateTime, Utc};
use http::StatusCode;
use http::header::{CACHE_CONTROL, HeaderValue};
use serde::Serialize;
use sqlx::FromRow;
use sqlx::postgres::PgPool;
use utoipa::ToSchema;
use uuid::Uuid;

use super::documents::answered;
use super::key_request::{self, Change, NewKey};
use super::sent::{self, SMALL_BODY_BYTES};
use crate::app::App;
use crate::intake::ok;
use crate::keys::{self, table::Limits};
use crate::openapi::refusals::{AsksDatabase, FaultyKey, FaultyLimits, Missing, ReadsBody};
use crate::problem::{Kind, Problem};

/// Live keys of one name.
pub const LIVE_KEYS: i64 = 2;

const COLUMNS: &str = "id, name, role, created_at, revoked_at, events_per_second, bytes_per_second, burst_seconds,
    identity_secret IS NOT NULL AS identity_verification";

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
    #[sqlx(flatten)]
    limits: Limits,
    /// Reads for a user need `user_hash`.
    identity_verification: bool,
}

/// A key with what is shown once.
#[derive(Serialize, ToSchema)]
#[schema(as = OpenedKey)]
struct Opened {
    #[serde(flatten)]
    shown: Shown,
    /// The only time that it is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// The same.
    #[serde(skip_serializing_if = "Option::is_none")]
    identity_secret: Option<String>,
}

/// It is done.
#[derive(Debug, Serialize, ToSchema)]
pub struct Done {
    /// Always.
    pub ok: bool,
}

/// The keys of the table, newest first; never a key itself or its hash.
#[utoipa::path(
    get, path = "/v1/admin/keys", operation_id = "listKeys", tag = "Keys",
    responses((status = 200, description = "All of them.", body = Listed), AsksDatabase),
)]
pub async fn list(State(app): State<Arc<App>>) -> Response {
    let list = async {
        let read = |pool: PgPool| async move {
            let sql = format!("/* keys.list */ SELECT {COLUMNS} FROM api_keys ORDER BY created_at DESC, id");
            sqlx::query_as::<_, Shown>(&sql).fetch_all(&pool).await
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
    responses((status = 201, description = "The key.", body = Opened), ReadsBody, FaultyKey, AsksDatabase),
)]
pub async fn create(State(app): State<Arc<App>>, request: Request) -> Response {
    let create = async {
        let sent = sent::object(&app, request, SMALL_BODY_BYTES, Kind::InvalidKey).await?;
        let asked = key_request::new_key(&sent)?;
        let key = format!("ec_{}", random_hex()?);
        let identity_secret = if asked.identity_verification == Some(true) { Some(random_hex()?) } else { None };
        let (hash, secret, name) = (keys::hash(&key).to_vec(), identity_secret.clone(), asked.name.clone());
        let shown = app.database.run(|pool| insert(pool, asked, hash, secret)).await?.ok_or_else(|| {
            let message = format!("{name} has {LIVE_KEYS} live keys already: revoke one of them first");
            Problem::new(Kind::Conflict, message)
        })?;
        let mut response = once(&Opened { shown, key: Some(key), identity_secret })?;
        *response.status_mut() = StatusCode::CREATED;
        Ok(response)
    };
    answered(create.await)
}

/// Changes the limits of a key, or its identity verification; what is left out stays as it is.
#[utoipa::path(
    put, path = "/v1/admin/keys/{id}", operation_id = "changeKey", tag = "Keys",
    params(("id" = String, Path, description = "Of the key, not the key itself.", example = "0b7e6a9e-2f0c-4d4e-9a51-6e1d4c8a7f10")),
    request_body(content = ref("#/components/schemas/KeyChange"), content_type = "application/json"),
    responses(
        (status = 200, description = "The key, with a new `identity_secret` where there was none.", body = Opened),
        ReadsBody, FaultyLimits, Missing, AsksDatabase,
    ),
)]
pub async fn change(State(app): State<Arc<App>>, Path(id): Path<String>, request: Request) -> Response {
    let change = async {
        let id: Uuid = id.parse().map_err(|_| not_found())?;
        let sent = sent::object(&app, request, SMALL_BODY_BYTES, Kind::InvalidKey).await?;
        let asked = key_request::change(&sent)?;
        let secret = random_hex()?;
        let fresh = secret.clone();
        let (shown, is_fresh) =
            app.database.run(move |pool| update(pool, id, asked, fresh)).await?.ok_or_else(not_found)?;
        once(&Opened { shown, key: None, identity_secret: is_fresh.then_some(secret) })
    };
    answered(change.await)
}

/// Revokes a key; it opens nothing any more within 30 seconds. Revoking again changes nothing.
#[utoipa::path(
    delete, path = "/v1/admin/keys/{id}", operation_id = "revokeKey", tag = "Keys",
    params(("id" = String, Path, description = "Of the key, not the key itself.", example = "0b7e6a9e-2f0c-4d4e-9a51-6e1d4c8a7f10")),
    responses((status = 200, description = "It is revoked.", body = Done), Missing, AsksDatabase),
)]
pub async fn revoke(State(app): State<Arc<App>>, Path(id): Path<String>) -> Response {
    let revoke = async {
        let id: Uuid = id.parse().map_err(|_| not_found())?;
        let revoke = |pool: PgPool| async move {
            let sql = "/* keys.revoke */ UPDATE api_keys SET revoked_at = coalesce(revoked_at, now()) WHERE id = $1";
            sqlx::query(sql).bind(id).execute(&pool).await
        };
        if app.database.run(revoke).await?.rows_affected() == 0 {
            return Err(not_found());
        }
        ok(&Done { ok: true })
    };
    answered(revoke.await)
}

/// Adds a key; `None` when the name has enough of them.
async fn insert(
    pool: PgPool,
    asked: NewKey,
    hash: Vec<u8>,
    secret: Option<String>,
) -> Result<Option<Shown>, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    // Two at once must not both find room. Reading keys goes on.
    sqlx::query("/* keys.insert.api_keys */ LOCK TABLE api_keys IN SHARE ROW EXCLUSIVE MODE")
        .execute(&mut *transaction)
        .await?;
    let sql = format!(
        "/* keys.insert.api_keys.2 */ INSERT INTO api_keys (name, role, hash, identity_secret, events_per_second, bytes_per_second, burst_seconds)
         SELECT $1, $2, $3, $4, $5, $6, $7
          WHERE (SELECT count(*) FROM api_keys WHERE name = $1 AND revoked_at IS NULL) < $8 RETURNING {COLUMNS}"
    );
    let shown = sqlx::query_as(&sql)
        .bind(asked.name)
        .bind(asked.role.as_str())
        .bind(hash)
        .bind(secret)
        .bind(asked.limits.events_per_second)
        .bind(asked.limits.bytes_per_second)
        .bind(asked.limits.burst_seconds)
        .bind(LIVE_KEYS)
        .fetch_optional(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(shown)
}

/// Changes a key; says whether it now has the fresh secret. `None`: there is no such key.
async fn update(pool: PgPool, id: Uuid, asked: Change, fresh: String) -> Result<Option<(Shown, bool)>, sqlx::Error> {
    #[derive(FromRow)]
    struct Changed {
        #[sqlx(flatten)]
        shown: Shown,
        is_fresh: bool,
    }
    let limits = asked.limits.unwrap_or_default();
    let sql = format!(
        "/* keys.update */ UPDATE api_keys SET
            events_per_second = CASE WHEN $2 THEN $3 ELSE events_per_second END,
            bytes_per_second = CASE WHEN $2 THEN $4 ELSE bytes_per_second END,
            burst_seconds = CASE WHEN $2 THEN $5 ELSE burst_seconds END,
            identity_secret = CASE WHEN $6 AND role = 'client' THEN coalesce(identity_secret, $7)
                                   WHEN $6 IS NULL THEN identity_secret END
          WHERE id = $1 RETURNING {COLUMNS}, coalesce(identity_secret = $7, false) AS is_fresh"
    );
    let changed: Option<Changed> = sqlx::query_as(&sql)
        .bind(id)
        .bind(asked.limits.is_some())
        .bind(limits.events_per_second)
        .bind(limits.bytes_per_second)
        .bind(limits.burst_seconds)
        .bind(asked.identity_verification)
        .bind(fresh)
        .fetch_optional(&pool)
        .await?;
    Ok(changed.map(|changed| (changed.shown, changed.is_fresh)))
}

/// 256 bits that nobody can guess, in letters that survive every header.
fn random_hex() -> Result<String, Problem> {
    let mut bytes = [0; 32];
    let failed = |e| Problem::new(Kind::Internal, "this failed on our side").caused_by(e);
    getrandom::fill(&mut bytes).map_err(failed)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn not_found() -> Problem {
    Problem::new(Kind::NotFound, "there is nothing with this id").with_error("Key not found")
}

/// An answer that no cache may keep.
fn once(opened: &Opened) -> Result<Response, Problem> {
    let mut response = ok(opened)?;
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
