//! Reads the table `api_keys` into the snapshot of [`Keys`].

use std::collections::HashMap;
use std::sync::Arc;

use sqlx::postgres::PgPool;

use super::{Caller, KeyHash, Keys, REFRESH, Role};

/// Reads the table again and again; the caller runs it as a task of its own. While the database is away the last snapshot ages.
pub async fn keep_current(pool: PgPool, keys: Arc<Keys>) {
    let mut away = false;
    loop {
        match read(&pool).await {
            Ok(table) => {
                keys.replace_table(table);
                away = false;
            }
            Err(error) if !away => {
                tracing::warn!(%error, "the table of keys cannot be read; known keys stay valid for a while");
                away = true;
            }
            Err(_) => {}
        }
        tokio::time::sleep(REFRESH).await;
    }
}

async fn read(pool: &PgPool) -> Result<HashMap<KeyHash, Caller>, sqlx::Error> {
    let rows: Vec<(String, String, Vec<u8>)> =
        sqlx::query_as("SELECT name, role, hash FROM api_keys WHERE revoked_at IS NULL").fetch_all(pool).await?;
    let mut keys = HashMap::with_capacity(rows.len());
    for (name, role, hash) in rows {
        let role = if role == Role::Admin.as_str() { Role::Admin } else { Role::Client };
        // The schema holds every hash to 32 bytes.
        if let Ok(hash) = KeyHash::try_from(hash) {
            keys.insert(hash, Caller { source: name.into(), role });
        }
    }
    Ok(keys)
}
