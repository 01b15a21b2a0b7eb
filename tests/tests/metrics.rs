//! The numbers that the programs report must add up, and agree with what is stored.

use serde_json::json;
use tests::eventually::eventually;
use tests::metrics::Metrics;
use tests::pipeline::{Pipeline, Setup};

#[tokio::test]
async fn received_is_accepted_and_rejected_and_read_is_stored_duplicate_and_dead() {
    let pipeline = Pipeline::start().await;
    let client = pipeline.client();
    let good = |id: &str| json!({"type": "track", "userId": "u", "event": "e", "messageId": id});
    client.accepted("/v1/track", &good("a")).await;
    client.accepted("/v1/batch", &json!({"batch": [good("a"), good("b"), {"type": "track"}, 7]})).await;
    client.post("/v1/track", &json!({"event": "nobody's"})).await.unwrap();
    client.post("/v1/batch", &json!({"batch": [{"type": "track"}]})).await.unwrap();
    pipeline.drained().await;

    let ingest = Metrics::of(&pipeline.ingests[0]).await;
    let [received, accepted, rejected] =
        ["received", "accepted", "rejected"].map(|what| ingest.sum(&format!("ingest_events_{what}_total"), &[]));
    assert_eq!((received, accepted, rejected), (7.0, 3.0, 4.0));
    assert!((received - accepted - rejected).abs() < f64::EPSILON);

    let of =
        async |what: &str| Metrics::of(&pipeline.workers[0]).await.sum(&format!("worker_events_{what}_total"), &[]);
    eventually("the worker has counted", async || match of("read").await {
        3.0 => Ok(()),
        other => Err(other.to_string()),
    })
    .await;
    let counts = [of("stored").await, of("duplicate").await, of("dead_lettered").await, of("suppressed").await];
    assert_eq!(counts, [2.0, 1.0, 0.0, 0.0]);
}

#[tokio::test]
async fn every_counter_is_there_from_the_start_at_zero() {
    let pipeline = Setup::default().start().await;
    let ingest = Metrics::of(&pipeline.ingests[0]).await;
    for name in ["ingest_events_received_total", "ingest_events_accepted_total", "ingest_events_rejected_total"] {
        assert!(ingest.has(name), "{name} is missing among {:?}", ingest.names());
        assert!(ingest.sum(name, &[]).abs() < f64::EPSILON);
    }
    let worker = Metrics::of(&pipeline.workers[0]).await;
    for what in ["read", "stored", "duplicate", "dead_lettered", "suppressed"] {
        let name = format!("worker_events_{what}_total");
        assert!(worker.has(&name), "{name} is missing among {:?}", worker.names());
    }
}

#[tokio::test]
async fn the_lag_grows_without_workers_and_is_zero_again_after_them() {
    let mut pipeline = Pipeline::start().await;
    pipeline.client().accepted("/v1/track", &json!({"user_id": "u", "event": "e"})).await;
    pipeline.drained().await;
    // A partition that somebody else holds and does not process is lag, for every worker that looks.
    pipeline.workers[0].kill();
    sqlx::query("UPDATE partitions SET owner = gen_random_uuid(), lease_until = 'infinity' WHERE partition = 0")
        .execute(&pipeline.database.pool)
        .await
        .unwrap();
    pipeline.workers[0].start_again();
    pipeline.ready().await;
    for _ in 0..50 {
        pipeline.client().accepted("/v1/track", &json!({"user_id": "u", "event": "e"})).await;
    }
    let lag = async |name: &str| Metrics::of(&pipeline.workers[0]).await.sum(name, &[]);
    eventually("there is lag", async || match (lag("pipeline_lag_events").await, lag("pipeline_lag_seconds").await) {
        (events, seconds) if events >= 1.0 && seconds > 0.0 => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    sqlx::query("UPDATE partitions SET owner = NULL, lease_until = '-infinity' WHERE partition = 0")
        .execute(&pipeline.database.pool)
        .await
        .unwrap();
    eventually("there is no lag", async || {
        match (lag("pipeline_lag_events").await, lag("pipeline_lag_seconds").await) {
            (0.0, 0.0) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}

#[tokio::test]
async fn no_value_from_a_client_becomes_a_label() {
    let pipeline = Pipeline::start().await;
    for number in 0..20 {
        let body = json!({"user_id": format!("secret-user-{number}"), "event": format!("secret-event-{number}")});
        pipeline.client().accepted("/v1/track", &body).await;
        pipeline.client().get(&format!("/v1/secret-path-{number}")).await.unwrap();
    }
    pipeline.drained().await;
    for program in pipeline.ingests.iter().chain(&pipeline.workers) {
        let text = program.client().get("/metrics").await.unwrap().text();
        assert!(!text.contains("secret-"), "{text}");
        assert!(!program.log().contains("secret-"), "a log names a user, an event or a path:\n{}", program.log());
    }
}
