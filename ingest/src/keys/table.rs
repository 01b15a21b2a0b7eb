//! Reads the table `api_keys` into the snapshot of [`Keys`].

use std::collections::HashMap;
use std::sync::Arc;

use serde::Serialize;
use shared::store::failure;
use sqlx::FromRow;
use sqlx::postgres::PgPool;
use utoipa::ToSchema;

use super::{KeyHash, Keys, REFRESH, Role, StoredKey};
use crate::fair_use::meter::OwnAllowance;

/// Reads the table again and again; the caller runs it as a task of its own. While the database is away the last snapshot ages.
pub async fn keep_current(pool: PgPool, keys: Arc<Keys>) {
    let mut away = false;
    loop {
        match read(&pool).await {
            Ok(table) => {
                keys.replace_table(table);
                away = false;
            }
            Err(error) => {
                failure::count(&error);
                if !away {
                    tracing::warn!(%error, "the table of keys cannot be read; known keys stay valid for a while");
                }
                away = true;
            }
        }
        tokio::time::sleep(REFRESH).await;
    }
}

#[derive(FromRow)]
struct Row {
    name: String,
    role: String,
    hash: Vec<u8>,
    #[sqlx(flatten)]
    limits: Limits,
    identity_secret: Option<String>,
}

/// The limits of a key, as columns and as the admin API shows them; absent ones are as in the settings.
#[derive(Debug, Clone, Copy, Default, FromRow, Serialize, ToSchema)]
#[schema(as = KeyLimits)]
pub struct Limits {
    /// 0: no limit.
    #[schema(required)]
    pub events_per_second: Option<i64>,
    /// 0: no limit.
    #[schema(required)]
    pub bytes_per_second: Option<i64>,
    /// At least 1.
    #[schema(required)]
    pub burst_seconds: Option<i32>,
}

impl From<Limits> for OwnAllowance {
    fn from(row: Limits) -> Self {
        let whole = |limit: Option<i64>| limit.and_then(|limit| u64::try_from(limit).ok());
        Self {
            events_per_second: whole(row.events_per_second),
            bytes_per_second: whole(row.bytes_per_second),
            burst_seconds: row.burst_seconds.and_then(|seconds| u32::try_from(seconds).ok()),
        }
    }
}

async fn read(pool: &PgPool) -> Result<HashMap<KeyHash, StoredKey>, sqlx::Error> {
    let rows: Vec<Row> = sqlx::query_as(
        "/* table.read */ SELECT name, role, hash, events_per_second, bytes_per_second, burst_seconds, identity_secret
           FROM api_keys WHERE revoked_at IS NULL",
    )
    .fetch_all(pool)
    .await?;
    let mut keys = HashMap::with_capacity(rows.len());
    for row in rows {
        let role = if row.role == Role::Admin.as_str() { Role::Admin } else { Role::Client };
        // The schema holds every hash to 32 bytes.
        if let Ok(hash) = KeyHash::try_from(row.hash) {
            let (name, identity_secret) = (row.name, row.identity_secret);
            keys.insert(hash, StoredKey { name, role, allowance: row.limits.into(), identity_secret });
        }
    }
    Ok(keys)
}
