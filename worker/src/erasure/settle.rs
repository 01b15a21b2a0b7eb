//! Signs receipts: a provisional one when the sweep is done, and the final one when nothing holds the erased data any more.

use chrono::Utc;
use shared::store::erasures::{self, Erasure};
use sqlx::PgPool;

use super::receipt::Signer;
use crate::Problem;

/// Looks at all provisional erasures. `signing_key` is the setting.
pub async fn settle(pool: &PgPool, signing_key: &str) -> Result<(), Problem> {
    let open = erasures::provisional(&mut *pool.acquire().await?).await?;
    let due: Vec<Erasure> = open.into_iter().filter(|e| e.receipt.is_none() || e.waiting_for.is_empty()).collect();
    if due.is_empty() {
        return Ok(());
    }
    let signer = Signer::open(pool, signing_key).await?;
    for mut erasure in due {
        if erasure.waiting_for.is_empty() {
            (erasure.state, erasure.final_at) = ("final".to_owned(), Some(Utc::now()));
        }
        let receipt = signer.sign(&erasure.statement())?;
        sqlx::query(
            "/* settle */ UPDATE erasures SET state = $2, final_at = $3, receipt = $4 WHERE id = $1 AND state = 'provisional'",
        )
        .bind(erasure.id)
        .bind(&erasure.state)
        .bind(erasure.final_at)
        .bind(receipt)
        .execute(pool)
        .await?;
        tracing::info!(erasure = %erasure.id, state = erasure.state, "a receipt is signed");
    }
    Ok(())
}
