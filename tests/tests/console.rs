//! The console as people use it: a real browser clicks through every flow, what it typed is in the database, and axe finds nothing on
//! any page, in any look. And what the page asks that nobody else does: `/v1/admin/status`, `/v1/admin/metadata`.

use serde_json::{Value, json};
use tests::console;
use tests::demonstration::{self, USER};
use tests::eventually::{equal, eventually};
use tests::http1::Answer;
use tests::pipeline::{Pipeline, Setup};
use tests::services::PrivatePostgres;
use tests::skip::skip;

/// Can a browser be driven here? If not, the test is noted as skipped.
fn can_run(test: &str) -> bool {
    console::available().map_err(|reason| skip(test, &reason)).is_ok()
}

/// Letters as a worker would write them: one that can be stored by now, and one that cannot be read.
async fn put_letters_aside(pipeline: &Pipeline) {
    let at = chrono::Utc::now();
    let event = json!({"id": uuid::Uuid::new_v4(), "day": at.date_naive(), "type": "track", "user_id": USER,
        "event": "letter_event", "message_id": "letter-1", "timestamp": at, "received_at": at, "source": "by hand"});
    for (position, reason, payload) in [(0, "to be mended", event.to_string()), (1, "beyond help", "{".to_owned())] {
        sqlx::query(
            "INSERT INTO dead_letters (lane, stream_seq, partition, position, reason, payload, received_at)
             VALUES (0, 0, 0, $1, $2, $3, now())",
        )
        .bind(position)
        .bind(reason)
        .bind(payload.into_bytes())
        .execute(&pipeline.database.pool)
        .await
        .unwrap();
    }
}

/// The document of the one campaign of this name.
async fn document(pipeline: &Pipeline, name: &str) -> (String, Value) {
    let query = "SELECT status, document FROM campaigns WHERE document ->> 'name' = $1";
    sqlx::query_as(query).bind(name).fetch_one(&pipeline.database.pool).await.unwrap_or_else(|e| panic!("{name}: {e}"))
}

#[tokio::test]
async fn people_do_everything_by_clicks_and_what_they_type_is_stored() {
    if !can_run("people_do_everything_by_clicks_and_what_they_type_is_stored") {
        return;
    }
    let pipeline = Pipeline::start().await;
    demonstration::store(&pipeline).await;
    put_letters_aside(&pipeline).await;
    console::run(&pipeline, "flows.mjs", &[]).await;

    let (status, made) = document(&pipeline, "Made by clicks").await;
    assert_eq!(status, "active");
    assert_eq!(made["trigger"], "cart_viewed");
    let rules = json!([
        {"type": "trait", "field": "plan", "operator": "in", "value": ["free", "trial"]},
        {"any": [
            {"type": "event", "field": "cart_total", "operator": ">=", "value": 40},
            {"type": "event_count", "event": "order_placed", "operator": ">=", "value": 2, "within": "30d"},
        ]},
    ]);
    assert_eq!(made["rules"], rules);
    assert_eq!((&made["frequency_cap"], &made["goal"]), (&json!({"per_user": 3}), &json!({"event": "order_placed"})));
    assert_eq!(made["config"], json!({"text": "Free delivery"}));

    // Everything that the form does not know, what somebody else changed, and what was typed.
    let (_, rich) = document(&pipeline, "Rich, renamed").await;
    assert_eq!(rich["experience"], json!({"layers": [{"deep": [1, null, "x"]}]}));
    assert_eq!(rich["rules"][0]["note"], "kept");
    assert_eq!((&rich["big"], &rich["priority"], &rich["added"]), (&json!(1.5), &json!(5), &json!({"by": "hand"})));

    assert_eq!(document(&pipeline, "First words").await.1["config"]["text"], "old");
    assert_eq!(document(&pipeline, "To be put away (copy)").await.0, "draft");
    assert_eq!(document(&pipeline, "To be put away").await.0, "archived", "it was deleted, and brought back");

    let driven = "SELECT count(*) FROM dead_letters WHERE reason = 'to be mended' AND redriven_at IS NOT NULL";
    let discarded = "SELECT count(*) FROM dead_letters WHERE reason = 'beyond help' AND discard_reason IS NOT NULL";
    assert_eq!((pipeline.database.number(driven).await, pipeline.database.number(discarded).await), (1, 1));
    pipeline.drained().await;
    let stored = "SELECT count(*) FROM events WHERE event = 'letter_event'";
    assert_eq!(pipeline.database.number(stored).await, 1);

    let keys = "SELECT name, events_per_second, burst_seconds, revoked_at IS NOT NULL FROM api_keys
                 WHERE name LIKE '%-shop' ORDER BY name";
    let keys: Vec<(String, Option<i64>, Option<i32>, bool)> =
        sqlx::query_as(keys).fetch_all(&pipeline.database.pool).await.unwrap();
    assert_eq!(keys, [("old-shop".to_owned(), None, None, true), ("web-shop".to_owned(), Some(250), Some(30), false)]);
}

/// With `PICTURES` (`./deploy/console --screenshots`) it also takes the README's pictures.
#[tokio::test]
async fn every_page_is_accessible_in_light_and_dark_and_on_a_phone() {
    if !can_run("every_page_is_accessible_in_light_and_dark_and_on_a_phone") {
        return;
    }
    let pipeline = Pipeline::start().await;
    let campaign = demonstration::store(&pipeline).await;
    put_letters_aside(&pipeline).await;
    let key = json!({"name": "web-shop", "role": "client", "limits": {"events_per_second": 250}});
    assert_eq!(pipeline.admin().post("/v1/admin/keys", &key).await.unwrap().status, 201);
    console::run(&pipeline, "walk.mjs", &[&campaign, USER]).await;
}

#[tokio::test]
async fn its_files_come_from_the_program_with_a_strict_policy_and_are_sent_once() {
    let pipeline = Setup::default().workers(0).start().await;
    let client = pipeline.ingests[0].client();
    for (path, kind) in [
        ("/console", "text/html; charset=utf-8"),
        ("/console/console.js", "text/javascript; charset=utf-8"),
        ("/console/console.css", "text/css; charset=utf-8"),
        ("/console/icon.svg", "image/svg+xml"),
    ] {
        let first = client.get(path).await.unwrap();
        assert_eq!((first.status, first.header("content-type")), (200, Some(kind)), "{path}");
        let policy = first.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(first.header("x-content-type-options"), Some("nosniff"));
        let tag = first.header("etag").unwrap();
        let again = client.send("GET", path, &[("if-none-match", tag)], b"").await.unwrap();
        assert_eq!((again.status, again.text().as_str(), again.header("etag")), (304, "", Some(tag)), "{path}");
    }
    let missing = client.get("/console/no-such-file").await.unwrap();
    assert_eq!((missing.status, &missing.json()["code"]), (404, &json!("not_found")));
}

async fn status(pipeline: &Pipeline) -> Value {
    let answer: Answer = pipeline.admin().get("/v1/admin/status").await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

#[tokio::test]
async fn the_status_counts_what_is_processed_accepted_waiting_and_dead() {
    let mut pipeline = Pipeline::start().await;
    let client = pipeline.client();
    for n in 0..5 {
        client
            .accepted("/v1/track", &json!({"user_id": "u", "event": "e", "messageId": format!("m-{}", n.min(3))}))
            .await;
    }
    put_letters_aside(&pipeline).await;
    let seen = eventually("all of it is counted", async || {
        let status = status(&pipeline).await;
        let counted = ["read", "stored", "duplicate", "dead"].map(|name| status["events"][name].as_i64());
        equal(counted, [5, 4, 1, 0].map(Some))?;
        equal(&status["dead_letters"]["open"], &json!(2))?;
        Ok(status)
    })
    .await;
    assert_eq!((&seen["process"]["accepted"], &seen["process"]["ready"]), (&json!(5), &json!(true)), "{seen}");
    assert_eq!((&seen["lanes"][0]["lag_messages"], &seen["lanes"][0]["lag_events"]), (&json!(0), &json!(0)));
    assert!(seen["lanes"][0]["bytes"].as_u64() > Some(0) && seen["lanes"][0]["max_bytes"] == 256 << 20, "{seen}");
    assert_eq!((seen["workers"].as_array().unwrap().len(), &seen["workers"][0]["partitions"]), (1, &json!(16)));
    assert_eq!(seen["unanswered"], json!([]));

    // Without a worker what comes waits, and that is seen.
    assert!(pipeline.workers[0].stop().await.success());
    let batch: Vec<Value> =
        (0..3).map(|n| json!({"type": "track", "userId": "u", "event": "e", "messageId": n.to_string()})).collect();
    client.accepted("/v1/batch", &json!({"batch": batch})).await;
    eventually("the lag is seen", async || {
        let status = status(&pipeline).await;
        let lane = &status["lanes"][0];
        equal((&lane["lag_messages"], &lane["lag_events"], &status["workers"]), (&json!(1), &json!(3), &json!([])))?;
        if lane["lag_seconds"].as_f64() > Some(0.0) { Ok(()) } else { Err(lane.to_string()) }
    })
    .await;
}

#[tokio::test]
async fn the_status_says_what_it_could_not_ask() {
    let postgres = PrivatePostgres::start();
    let pipeline = Setup::default().postgres(&postgres).start().await;
    assert_eq!(status(&pipeline).await["unanswered"], json!([]));
    postgres.stop_immediately();
    let blind = eventually("the database is missed", async || {
        let status = status(&pipeline).await;
        if status["unanswered"] == json!([]) { Err(status.to_string()) } else { Ok(status) }
    })
    .await;
    for part in ["events", "dead_letters", "workers"] {
        assert_eq!(blind[part], Value::Null, "{blind}");
    }
    assert_eq!((&blind["process"]["ready"], &blind["lanes"][0]["lag_events"]), (&json!(true), &Value::Null), "{blind}");
    assert!(blind["lanes"][0]["bytes"].is_u64(), "the stream is known all the same: {blind}");
}

#[tokio::test]
async fn names_that_were_seen_are_told_with_their_types_and_without_values() {
    let pipeline = Pipeline::start().await;
    let admin = pipeline.admin();
    for route in ["events", "traits"] {
        let empty = admin.get(&format!("/v1/admin/metadata/{route}")).await.unwrap();
        assert_eq!((empty.status, &empty.json()[route]), (200, &json!([])), "{}", empty.text());
    }
    demonstration::store(&pipeline).await;
    let listed = async |route: &'static str| {
        // An answer is given again for some seconds.
        eventually(&format!("{route} are listed"), async || {
            let answer = admin.get(&format!("/v1/admin/metadata/{route}")).await.unwrap().json();
            if answer[route] == json!([]) { Err(answer.to_string()) } else { Ok(answer) }
        })
        .await
    };
    let events = listed("events").await;
    let count = "SELECT count(*) FROM events WHERE event = 'product_viewed'";
    let top = json!({"name": "product_viewed", "count": pipeline.database.number(count).await});
    assert_eq!(events["events"][0], top);
    let names: Vec<&str> = events["events"].as_array().unwrap().iter().filter_map(|e| e["name"].as_str()).collect();
    assert!(names.contains(&"cart_viewed") && names.contains(&"order_placed"), "{names:?}");

    let traits = listed("traits").await;
    assert_eq!(traits["sampled"], 40);
    let types = |name: &str| {
        let found = traits["traits"].as_array().unwrap().iter().find(|t| t["name"] == name).cloned();
        found.unwrap_or_else(|| panic!("{name}: {traits}"))
    };
    assert_eq!(types("plan"), json!({"name": "plan", "users": 40, "types": ["string"]}));
    assert_eq!((&types("orders")["types"], &types("newsletter")["types"]), (&json!(["number"]), &json!(["boolean"])));
    assert!(!traits.to_string().contains("Pune"), "{traits}");
}
