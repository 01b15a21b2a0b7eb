//! What an attempt leaves behind: of its row, only while it has its claim, and of the endpoint.

use std::time::Duration;

use sqlx::PgPool;

use super::Rules;
use super::claim::Claimed;
use super::outcome::Failure;

/// What a failure did to the endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Noted {
    /// This very failure paused it.
    pub paused: bool,
    /// Failures in a row.
    pub failures: i32,
}

/// The receiver took it.
pub async fn delivered(pool: &PgPool, delivery: &Claimed, status: u16) -> Result<(), sqlx::Error> {
    sqlx::query(
        "/* finish.delivered */ WITH done AS (
            UPDATE webhook_deliveries SET state = 'delivered', claim = NULL, last_status = $3, last_error = NULL, finished_at = clock_timestamp()
             WHERE position = $1 AND claim = $2 AND state = 'pending')
         UPDATE webhook_endpoints SET failures = 0, failing_since = NULL, not_before = NULL
          WHERE campaign_id = $4 AND failures > 0 AND $5 <> 'ping'",
    )
    .bind(delivery.position)
    .bind(delivery.claim)
    .bind(i32::from(status))
    .bind(&delivery.campaign_id)
    .bind(&delivery.kind)
    .execute(pool)
    .await?;
    Ok(())
}

/// It was not taken, and is tried again after `wait`, or never. Notes it for the endpoint as well.
pub async fn failed(
    pool: &PgPool,
    delivery: &Claimed,
    failure: &Failure,
    wait: Option<Duration>,
    rules: &Rules,
) -> Result<Option<Noted>, sqlx::Error> {
    let noted: Option<(bool, i32)> = sqlx::query_as(
        "/* finish.failed */ WITH tried AS (
            UPDATE webhook_deliveries SET state = CASE WHEN $3 THEN 'failed' ELSE 'pending' END, claim = NULL, last_status = $5, last_error = $6,
                   next_attempt_at = clock_timestamp() + make_interval(secs => $4), finished_at = CASE WHEN $3 THEN clock_timestamp() END
             WHERE position = $1 AND claim = $2 AND state = 'pending'),
         before AS (SELECT campaign_id, paused_at FROM webhook_endpoints WHERE campaign_id = $7 AND NOT $8 FOR UPDATE)
         UPDATE webhook_endpoints e SET failures = e.failures + 1, failing_since = coalesce(e.failing_since, now()), last_error = $6,
                last_failed_at = clock_timestamp(),
                not_before = CASE WHEN $9 > 0 THEN greatest(e.not_before, clock_timestamp() + make_interval(secs => $9)) ELSE e.not_before END,
                paused_at = CASE WHEN e.paused_at IS NULL AND ($10 OR e.failures + 1 >= $11
                                      AND now() - coalesce(e.failing_since, now()) >= make_interval(secs => $12))
                                 THEN clock_timestamp() ELSE e.paused_at END
           FROM before b WHERE e.campaign_id = b.campaign_id
         RETURNING b.paused_at IS NULL AND e.paused_at IS NOT NULL, e.failures",
    )
    .bind(delivery.position)
    .bind(delivery.claim)
    .bind(wait.is_none())
    .bind(wait.unwrap_or_default().as_secs_f64())
    .bind(failure.status.map(i32::from))
    .bind(&failure.error)
    .bind(&delivery.campaign_id)
    .bind(delivery.kind == "ping")
    .bind(failure.retry_after.unwrap_or_default().as_secs_f64())
    .bind(failure.is_gone())
    .bind(i32::try_from(rules.pause_after_failures).unwrap_or(i32::MAX))
    .bind(rules.pause_after.as_secs_f64())
    .fetch_optional(pool)
    .await?;
    Ok(noted.map(|(paused, failures)| Noted { paused, failures }))
}

/// Its event is gone: there is nothing to tell.
pub async fn cancelled(pool: &PgPool, delivery: &Claimed) -> Result<(), sqlx::Error> {
    sqlx::query(
        "/* finish.cancelled */ UPDATE webhook_deliveries SET state = 'cancelled', claim = NULL, last_error = 'the event is not stored any more',
                finished_at = clock_timestamp()
          WHERE position = $1 AND claim = $2 AND state = 'pending'",
    )
    .bind(delivery.position)
    .bind(delivery.claim)
    .execute(pool)
    .await?;
    Ok(())
}

/// Nobody knows whether it arrived: the next worker sends it again, at once.
pub async fn released(pool: &PgPool, delivery: &Claimed) -> Result<(), sqlx::Error> {
    sqlx::query(
        "/* finish.released */ UPDATE webhook_deliveries SET claim = NULL, attempts = attempts - 1, next_attempt_at = clock_timestamp()
          WHERE position = $1 AND claim = $2 AND state = 'pending'",
    )
    .bind(delivery.position)
    .bind(delivery.claim)
    .execute(pool)
    .await?;
    Ok(())
}
