//! Webhooks as people handle them: looking at endpoints and deliveries, resuming, sending again, changing secrets. The worker's flush
//! writes deliveries, and its `webhooks` sends them.
//!
//! A delivery that is under way (it has a claim that has not run out) is left to its sender: nothing here makes two attempts of one.

use sqlx::postgres::{PgConnection, PgPool, PgRow};
use sqlx::{FromRow, QueryBuilder};
use uuid::Uuid;

use crate::domain::webhook::Kind;

/// What an endpoint is shown with. `state` says whether anything is sent.
const ENDPOINT: &str = "e.campaign_id, e.webhook->>'url' AS url, e.webhook,
    CASE WHEN e.paused_at IS NOT NULL THEN 'paused' WHEN e.webhook->'enabled' = 'false' THEN 'disabled' ELSE 'active' END AS state,
    e.paused_at, e.failures, e.failing_since, e.last_error, e.last_failed_at, e.not_before,
    CASE WHEN e.previous_until > now() THEN e.previous_until END AS previous_secret_until,
    d.pending, d.oldest_pending_at";
/// Counted for each endpoint.
const COUNTED: &str =
    "CROSS JOIN LATERAL (SELECT count(*) AS pending, min(d.created_at) AS oldest_pending_at FROM webhook_deliveries d
    WHERE d.campaign_id = e.campaign_id AND d.state = 'pending' AND d.kind <> 'ping') AS d";
/// What a delivery is shown with.
const DELIVERY: &str = "position, id, campaign_id, campaign_version, kind, event_id, match_event_id, user_kind, user_id, variant,
    occurred_at, created_at, state, attempts, CASE WHEN state = 'pending' THEN next_attempt_at END AS next_attempt_at, last_attempt_at,
    last_status, last_error, finished_at, resent_at, resent_by";
/// Deliveries that one statement makes due again.
const ROWS_PER_STATEMENT: i64 = 5_000;
/// How long the secret before signs beside a new one.
const OVERLAP_HOURS: i32 = 24;

/// What became of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It is still to be sent.
    Pending,
    /// The receiver took it.
    Delivered,
    /// It was tried often enough.
    Failed,
    /// There is nothing to tell any more.
    Cancelled,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Pending, Self::Delivered, Self::Failed, Self::Cancelled];

    /// As it is stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Which deliveries are meant; everything that is given must hold.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of this campaign.
    pub campaign_id: Option<String>,
    /// In this state.
    pub state: Option<State>,
    /// Of this user or anonymous id.
    pub user_id: Option<String>,
}

/// Signs the messages of one endpoint.
#[derive(Clone, FromRow)]
pub struct Secret {
    /// The bytes themselves.
    pub secret: Vec<u8>,
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Every campaign's endpoint, by campaign.
pub async fn endpoints<T>(connection: &mut PgConnection) -> Result<Vec<T>, sqlx::Error>
where
    T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
{
    let sql = format!(
        "/* webhooks.endpoints */ SELECT {ENDPOINT} FROM webhook_endpoints e {COUNTED} WHERE e.webhook IS NOT NULL ORDER BY e.campaign_id"
    );
    sqlx::query_as(&sql).fetch_all(connection).await
}

/// One of them.
pub async fn endpoint<T>(connection: &mut PgConnection, campaign_id: &str) -> Result<Option<T>, sqlx::Error>
where
    T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
{
    let sql = format!(
        "/* webhooks.endpoint */ SELECT {ENDPOINT} FROM webhook_endpoints e {COUNTED} WHERE e.webhook IS NOT NULL AND e.campaign_id = $1"
    );
    sqlx::query_as(&sql).bind(campaign_id).fetch_optional(connection).await
}

/// What signs its messages.
pub async fn secret(connection: &mut PgConnection, campaign_id: &str) -> Result<Option<Secret>, sqlx::Error> {
    let sql =
        "/* webhooks.secret */ SELECT secret FROM webhook_endpoints WHERE webhook IS NOT NULL AND campaign_id = $1";
    sqlx::query_as(sql).bind(campaign_id).fetch_optional(connection).await
}

/// Changes the secret, to `given` or to a random one; the one before signs too for a day. False: there is no such endpoint.
pub async fn change_secret(pool: &PgPool, campaign_id: &str, given: Option<&[u8]>) -> Result<bool, sqlx::Error> {
    let sql = "/* webhooks.change_secret */ UPDATE webhook_endpoints
                  SET secret = coalesce($2, sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()))),
                      previous_secret = secret, previous_until = clock_timestamp() + make_interval(hours => $3)
                WHERE webhook IS NOT NULL AND campaign_id = $1";
    let changed = sqlx::query(sql).bind(campaign_id).bind(given).bind(OVERLAP_HOURS).execute(pool).await?;
    Ok(changed.rows_affected() > 0)
}

/// A page of deliveries, latest first: those before the position `before`, `offset` of them left out.
pub async fn deliveries<T>(
    connection: &mut PgConnection,
    filter: &Filter,
    (before, offset, limit): (Option<i64>, i64, Option<i64>),
) -> Result<Vec<T>, sqlx::Error>
where
    T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
{
    let mut query =
        QueryBuilder::new(format!("/* webhooks.deliveries */ SELECT {DELIVERY} FROM webhook_deliveries WHERE true"));
    if let Some(campaign_id) = &filter.campaign_id {
        query.push(" AND campaign_id = ").push_bind(campaign_id.clone());
    }
    if let Some(state) = filter.state {
        query.push(" AND state = ").push_bind(state.as_str());
    }
    if let Some(user_id) = &filter.user_id {
        query.push(" AND user_id = ").push_bind(user_id.clone());
    }
    if let Some(position) = before {
        query.push(" AND position < ").push_bind(position);
    }
    query.push(" ORDER BY position DESC LIMIT ").push_bind(limit).push(" OFFSET ").push_bind(offset);
    query.build_query_as().fetch_all(connection).await
}

/// One delivery.
pub async fn delivery<T>(connection: &mut PgConnection, id: Uuid) -> Result<Option<T>, sqlx::Error>
where
    T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
{
    let sql = format!("/* webhooks.delivery */ SELECT {DELIVERY} FROM webhook_deliveries WHERE id = $1");
    sqlx::query_as(&sql).bind(id).fetch_optional(connection).await
}

/// Lets an endpoint send again, what waits at once and with all its attempts; with `failed` also what was given up. Says how many
/// deliveries are due now. `None`: there is no such endpoint.
pub async fn resume(pool: &PgPool, campaign_id: &str, failed: bool) -> Result<Option<u64>, sqlx::Error> {
    let mut due = 0;
    loop {
        let sql = "/* webhooks.resume.webhook_deliveries */ UPDATE webhook_deliveries SET state = 'pending', attempts = 0, next_attempt_at = now(), finished_at = NULL
                    WHERE position IN (SELECT position FROM webhook_deliveries WHERE campaign_id = $1 AND kind <> 'ping' AND claim IS NULL
                                          AND (state = 'pending' AND (attempts > 0 OR next_attempt_at > now()) OR $2 AND state = 'failed')
                                        LIMIT $3 FOR UPDATE SKIP LOCKED)";
        let done = sqlx::query(sql).bind(campaign_id).bind(failed).bind(ROWS_PER_STATEMENT).execute(pool).await?;
        due += done.rows_affected();
        if done.rows_affected() < ROWS_PER_STATEMENT.unsigned_abs() {
            break;
        }
    }
    let sql = "/* webhooks.resume.webhook_endpoints */ UPDATE webhook_endpoints
                  SET paused_at = NULL, failures = 0, failing_since = NULL, not_before = NULL
                WHERE webhook IS NOT NULL AND campaign_id = $1";
    let resumed = sqlx::query(sql).bind(campaign_id).execute(pool).await?;
    Ok((resumed.rows_affected() > 0).then_some(due))
}

/// Makes one delivery due again, whatever became of it; `by` is who wants that. False: there is none, or it is being sent just now.
pub async fn resend(pool: &PgPool, id: Uuid, by: &str) -> Result<bool, sqlx::Error> {
    let sql = "/* webhooks.resend */ UPDATE webhook_deliveries
                  SET state = 'pending', attempts = 0, next_attempt_at = now(), claim = NULL, finished_at = NULL, resent_at = clock_timestamp(),
                      resent_by = $2
                WHERE id = $1 AND (claim IS NULL OR next_attempt_at < now())";
    Ok(sqlx::query(sql).bind(id).bind(by).execute(pool).await?.rows_affected() > 0)
}

/// Adds a ping, which is sent once, also by an endpoint that is paused. `None`: there is no such endpoint.
pub async fn ping(pool: &PgPool, campaign_id: &str, by: &str) -> Result<Option<Uuid>, sqlx::Error> {
    let sql = "/* webhooks.ping */ INSERT INTO webhook_deliveries (id, campaign_id, kind, occurred_at, resent_by)
               SELECT $1, campaign_id, $3, clock_timestamp(), $4 FROM webhook_endpoints WHERE webhook IS NOT NULL AND campaign_id = $2
               RETURNING id";
    sqlx::query_scalar(sql)
        .bind(Uuid::new_v4())
        .bind(campaign_id)
        .bind(Kind::Ping.as_str())
        .bind(by)
        .fetch_optional(pool)
        .await
}
