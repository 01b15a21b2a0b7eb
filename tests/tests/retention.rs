//! What is kept, and for how long.

use chrono::{Days, NaiveDate, Utc};
use serde_json::json;
use tests::eventually::eventually;
use tests::pipeline::{Pipeline, Setup};

fn today() -> NaiveDate {
    Utc::now().date_naive()
}

/// Publishes a track of a day as old as that, as history from elsewhere comes in.
async fn publish_old(pipeline: &Pipeline, day: NaiveDate) {
    let at = day.and_hms_opt(12, 0, 0).unwrap().and_utc();
    let line = json!({
        "id": uuid::Uuid::new_v4(), "day": day, "type": "track", "user_id": "u", "event": "e", "late": true,
        "timestamp": at, "received_at": Utc::now(), "source": "history",
    });
    pipeline.stream.publish_lines(&[(3, line.to_string().as_bytes())]).await;
}

async fn filed(pipeline: &Pipeline) -> Vec<NaiveDate> {
    sqlx::query_scalar("SELECT day FROM events ORDER BY day").fetch_all(&pipeline.database.pool).await.unwrap()
}

#[tokio::test]
async fn an_old_event_is_filed_under_its_own_day_while_that_day_is_held() {
    let pipeline = Setup::default().set("RETENTION_DAYS", "30").set("JOB_INTERVAL_SECONDS", "0.5").start().await;
    let (held, passed, unheld) = (today() - Days::new(400), today() - Days::new(401), today() - Days::new(402));
    for (day, until) in [(held, today()), (passed, today() - Days::new(1))] {
        sqlx::query("INSERT INTO holds VALUES ($1, $2, 'a test')")
            .bind(day)
            .bind(until)
            .execute(&pipeline.database.pool)
            .await
            .unwrap();
    }
    for day in [held, passed, unheld] {
        publish_old(&pipeline, day).await;
    }
    pipeline.drained().await;
    assert_eq!(filed(&pipeline).await, [held, today(), today()]);

    let dropped = format!("UPDATE holds SET until = '{}' WHERE day = '{held}'", today() - Days::new(1));
    sqlx::query(&dropped).execute(&pipeline.database.pool).await.unwrap();
    eventually("it goes when the hold has passed", async || match filed(&pipeline).await {
        days if days == [today(), today()] => Ok(()),
        days => Err(format!("{days:?}")),
    })
    .await;
}
