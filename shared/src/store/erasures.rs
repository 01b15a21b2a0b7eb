//! Requests to erase somebody, and to renew consent, as they lie in the database: what became of each, and what it waits for.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};
use sqlx::FromRow;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use crate::domain::tombstone::KeyHash;

/// One request.
#[derive(Debug, Clone, FromRow)]
pub struct Erasure {
    /// Of the request.
    pub id: Uuid,
    /// In the order in which they took effect.
    pub position: i64,
    /// `erase` or `renew`.
    pub action: String,
    /// `delete` or `anonymise`; absent for a renewal.
    pub mode: Option<String>,
    /// Id space of the key.
    pub kind: String,
    /// Keyed hash of the key.
    pub key_hash: Vec<u8>,
    /// Visitors that were erased with it.
    pub linked_keys: i32,
    /// Properties that anonymised events keep.
    pub keep_properties: Vec<String>,
    /// When it was asked for.
    pub requested_at: DateTime<Utc>,
    /// By whom.
    pub requested_by: String,
    /// Why.
    pub reason: Option<String>,
    /// `sweeping`, `provisional`, `final`; `renewed`.
    pub state: String,
    /// From then on nothing was stored.
    pub erased_at: DateTime<Utc>,
    /// From then on nothing was left in the tables.
    pub swept_at: Option<DateTime<Utc>>,
    /// From then on nothing was left in the stream and in backups.
    pub final_at: Option<DateTime<Utc>>,
    /// Up to which message each stream may hold it.
    pub positions: Value,
    /// Rows by table.
    pub counts: Value,
    /// Documents that name an id, which a person must edit.
    pub mentions: Value,
    /// The signed receipt: a compact JWS.
    pub receipt: Option<String>,
    /// What it waits for, in words; empty when it is final.
    pub waiting_for: Vec<String>,
}

/// Columns of [`Erasure`].
const COLUMNS: &str = "id, position, action, mode, kind, key_hash, linked_keys, keep_properties, requested_at, requested_by, reason,
    state, erased_at, swept_at, final_at, positions, counts, mentions, receipt,
    CASE state WHEN 'sweeping' THEN ARRAY['what was stored before is being swept up']
               WHEN 'provisional' THEN
        ARRAY(SELECT format('stream %s is trimmed up to message %s, and must be up to %s', p.stream, l.trimmed_to, p.sequence)
                FROM jsonb_to_recordset(positions) AS p (lane integer, stream text, generation text, sequence bigint)
                JOIN lanes l USING (lane, generation) WHERE l.trimmed_to < p.sequence ORDER BY p.lane)
        || ARRAY(SELECT format('the backup %s of %s in %s is still there', b.id,
                               to_char(b.taken_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'), b.location)
                   FROM backups b WHERE b.removed_at IS NULL AND b.taken_at <= swept_at ORDER BY b.taken_at)
        || CASE WHEN archives_at IS NULL THEN ARRAY['archived days are being looked through'] ELSE '{}' END
               ELSE '{}'::text[] END AS waiting_for";

/// Requests, latest first: of a key if given, before a position if given.
pub async fn page(
    connection: &mut PgConnection,
    key: Option<KeyHash>,
    before: Option<i64>,
    limit: i64,
) -> Result<Vec<Erasure>, sqlx::Error> {
    let sql = format!(
        "/* erasures.page */ SELECT {COLUMNS} FROM erasures WHERE ($1::bytea IS NULL OR key_hash = $1) AND ($2::bigint IS NULL OR position < $2)
          ORDER BY position DESC LIMIT $3"
    );
    let key = key.map(|hash| hash.0.to_vec());
    sqlx::query_as(&sql).bind(key).bind(before).bind(limit).fetch_all(connection).await
}

/// One request.
pub async fn one(connection: &mut PgConnection, id: Uuid) -> Result<Option<Erasure>, sqlx::Error> {
    let sql = format!("/* erasures.one */ SELECT {COLUMNS} FROM erasures WHERE id = $1");
    sqlx::query_as(&sql).bind(id).fetch_optional(connection).await
}

/// Swept, and not final yet; oldest first.
pub async fn provisional(connection: &mut PgConnection) -> Result<Vec<Erasure>, sqlx::Error> {
    let sql = format!(
        "/* erasures.provisional */ SELECT {COLUMNS} FROM erasures WHERE state = 'provisional' ORDER BY position LIMIT 1000"
    );
    sqlx::query_as(&sql).fetch_all(connection).await
}

/// The key that receipts are verified with; absent before the first one.
pub async fn public_key(connection: &mut PgConnection) -> Result<Option<Vec<u8>>, sqlx::Error> {
    sqlx::query_scalar("/* erasures.public_key */ SELECT public_key FROM erasure_secrets").fetch_one(connection).await
}

impl Erasure {
    /// What is signed about it: what stays as it is. It names nobody: who knows the id can compare the hash.
    #[must_use]
    pub fn statement(&self) -> Value {
        let iso = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Millis, true);
        let key_hash: String = self.key_hash.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut statement = json!({
            "id": self.id,
            "action": self.action,
            "state": self.state,
            "subject": {"kind": self.kind, "key_hash": key_hash, "linked_keys": self.linked_keys},
            "requested_at": iso(self.requested_at),
            "requested_by": self.requested_by,
            "reason": self.reason,
            "effective_at": iso(self.erased_at),
            "counts": self.counts,
        });
        if self.action == "erase" {
            statement["mode"] = json!(self.mode);
            statement["swept_at"] = json!(self.swept_at.map(iso));
            statement["final_at"] = json!(self.final_at.map(iso));
            statement["positions"] = self.positions.clone();
            statement["mentions"] = self.mentions.clone();
        }
        statement
    }

    /// What is shown of it: what is signed, and what it waits for just now.
    #[must_use]
    pub fn shown(&self) -> Value {
        let mut shown = self.statement();
        if self.action == "erase" {
            shown["waiting_for"] = json!(self.waiting_for);
        }
        shown
    }
}
