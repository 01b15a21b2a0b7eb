//! Which messages are due, and taking them: a claimed row is out of everybody else's hands until its time runs out.
//!
//! Rows of an endpoint that keeps the order of users are taken only when no earlier one of the same user is pending. Positions of one user
//! come in the order of commits, because a user's rows are written by one owner at a time.

use std::time::Duration;

use chrono::{DateTime, Utc};
use shared::domain::campaign::webhook::Webhook;
use sqlx::{FromRow, PgPool};
use uuid::Uuid;

/// Endpoints that are looked at in one round.
const ENDPOINTS: i64 = 100;

/// Where a campaign's messages go.
#[derive(Clone)]
pub struct Endpoint {
    /// Of the campaign.
    pub campaign_id: String,
    /// What the campaign says of it.
    pub webhook: Webhook,
    /// The secret, and the one before while that still signs.
    pub secrets: Vec<Vec<u8>>,
    /// Failures in a row.
    pub failures: i32,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint").field("campaign_id", &self.campaign_id).finish_non_exhaustive()
    }
}

/// A message that this attempt alone may send, with what is stored of its event.
#[derive(Debug, Clone, Default, FromRow)]
#[expect(missing_docs, reason = "the columns of the tables")]
pub struct Claimed {
    pub position: i64,
    pub id: Uuid,
    pub claim: Option<Uuid>,
    pub campaign_id: String,
    pub campaign_version: Option<i64>,
    pub kind: String,
    pub event_id: Option<Uuid>,
    pub match_event_id: Option<Uuid>,
    pub variant: Option<String>,
    pub occurred_at: DateTime<Utc>,
    pub attempts: i32,
    pub event_type: Option<String>,
    pub event_name: Option<String>,
    pub event_user_id: Option<String>,
    pub event_anonymous_id: Option<String>,
    pub event_timestamp: Option<DateTime<Utc>>,
    pub properties: Option<String>,
}

#[derive(FromRow)]
struct Row {
    campaign_id: String,
    webhook: String,
    secret: Vec<u8>,
    previous_secret: Option<Vec<u8>>,
    failures: i32,
}

/// The columns of a [`Row`], of `e`.
const ENDPOINT: &str = "e.campaign_id, e.webhook::text AS webhook, e.secret,
    CASE WHEN e.previous_until > now() THEN e.previous_secret END AS previous_secret, e.failures";

impl Row {
    /// `None` of one that is malformed; the campaign says so in `_faults`.
    fn endpoint(self) -> Option<Endpoint> {
        Some(Endpoint {
            webhook: Webhook::parse(&self.webhook)?,
            campaign_id: self.campaign_id,
            secrets: std::iter::once(self.secret).chain(self.previous_secret).collect(),
            failures: self.failures,
        })
    }
}

/// Endpoints that may send and have something to send, in no order, so that none is always the last.
pub async fn due(pool: &PgPool) -> Result<Vec<Endpoint>, sqlx::Error> {
    let sql = format!(
        "/* claim.due */ SELECT {ENDPOINT} FROM webhook_endpoints e
          WHERE e.webhook IS NOT NULL AND e.webhook->'enabled' IS DISTINCT FROM 'false' AND e.paused_at IS NULL
            AND (e.not_before IS NULL OR e.not_before <= now())
            AND EXISTS (SELECT FROM webhook_deliveries d WHERE d.campaign_id = e.campaign_id AND d.state = 'pending' AND d.kind <> 'ping'
                           AND d.next_attempt_at <= now())
          ORDER BY random() LIMIT $1"
    );
    let rows: Vec<Row> = sqlx::query_as(&sql).bind(ENDPOINTS).fetch_all(pool).await?;
    Ok(rows.into_iter().filter_map(Row::endpoint).collect())
}

/// What a claimed row is read with, from `claimed`: its event, by primary key.
const READ: &str = r#"SELECT c.position, c.id, c.claim, c.campaign_id, c.campaign_version, c.kind, c.event_id, c.match_event_id, c.variant,
        c.occurred_at, c.attempts, e.type AS event_type, e.event AS event_name, e.user_id AS event_user_id,
        e.anonymous_id AS event_anonymous_id, e."timestamp" AS event_timestamp, e.properties::text AS properties
   FROM claimed c LEFT JOIN LATERAL (SELECT * FROM events e WHERE e.day = c.day AND e.id = c.event_id OFFSET 0) AS e ON true
  ORDER BY c.position"#;

/// Takes up to `most` due messages of an endpoint, for as long as `lease`.
pub async fn take(
    pool: &PgPool,
    endpoint: &Endpoint,
    most: usize,
    lease: Duration,
) -> Result<Vec<Claimed>, sqlx::Error> {
    let sql = format!(
        "/* claim.take */ WITH due AS (
            SELECT d.position FROM webhook_deliveries d
             WHERE d.campaign_id = $1 AND d.state = 'pending' AND d.kind <> 'ping' AND d.next_attempt_at <= now()
               AND (NOT $2 OR d.user_id IS NULL OR NOT EXISTS (
                    SELECT FROM webhook_deliveries o WHERE o.user_id = d.user_id AND o.campaign_id = d.campaign_id AND o.state = 'pending'
                       AND o.position < d.position AND o.user_kind = d.user_kind AND o.kind <> 'ping'))
             ORDER BY d.next_attempt_at, d.position LIMIT $3 FOR UPDATE OF d SKIP LOCKED),
         claimed AS (
            UPDATE webhook_deliveries d SET claim = gen_random_uuid(), attempts = d.attempts + 1, last_attempt_at = clock_timestamp(),
                   next_attempt_at = clock_timestamp() + make_interval(secs => $4)
              FROM due WHERE d.position = due.position RETURNING d.*)
         {READ}"
    );
    sqlx::query_as(&sql)
        .bind(&endpoint.campaign_id)
        .bind(endpoint.webhook.ordered)
        .bind(i64::try_from(most).unwrap_or(i64::MAX))
        .bind(lease.as_secs_f64())
        .fetch_all(pool)
        .await
}

/// Takes up to `most` pings, of whatever endpoint.
pub async fn pings(pool: &PgPool, most: usize, lease: Duration) -> Result<Vec<(Endpoint, Claimed)>, sqlx::Error> {
    let sql = format!(
        "/* claim.pings */ WITH due AS (
            SELECT d.position FROM webhook_deliveries d JOIN webhook_endpoints e ON e.campaign_id = d.campaign_id AND e.webhook IS NOT NULL
             WHERE d.state = 'pending' AND d.kind = 'ping' AND d.next_attempt_at <= now()
             ORDER BY d.next_attempt_at LIMIT $1 FOR UPDATE OF d SKIP LOCKED),
         claimed AS (
            UPDATE webhook_deliveries d SET claim = gen_random_uuid(), attempts = d.attempts + 1, last_attempt_at = clock_timestamp(),
                   next_attempt_at = clock_timestamp() + make_interval(secs => $2)
              FROM due WHERE d.position = due.position RETURNING d.*)
         {READ}"
    );
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let claimed: Vec<Claimed> = sqlx::query_as(&sql).bind(most).bind(lease.as_secs_f64()).fetch_all(pool).await?;
    if claimed.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<&str> = claimed.iter().map(|ping| ping.campaign_id.as_str()).collect();
    let sql = format!(
        "/* claim.pings.webhook_endpoints */ SELECT {ENDPOINT} FROM webhook_endpoints e WHERE e.webhook IS NOT NULL AND e.campaign_id = ANY($1)"
    );
    let rows: Vec<Row> = sqlx::query_as(&sql).bind(ids).fetch_all(pool).await?;
    let endpoints: Vec<Endpoint> = rows.into_iter().filter_map(Row::endpoint).collect();
    let find = |ping: &Claimed| endpoints.iter().find(|endpoint| endpoint.campaign_id == ping.campaign_id).cloned();
    Ok(claimed.into_iter().filter_map(|ping| Some((find(&ping)?, ping))).collect())
}
