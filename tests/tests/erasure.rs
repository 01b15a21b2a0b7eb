//! Everything about a person goes, and stays away: through the real programs, under their own database roles.

use serde_json::{Value, json};
use shared::domain::user_key::UserKey;
use tests::books::assert_balanced;
use tests::eventually::{equal, eventually};
use tests::folder::Folder;
use tests::metrics::Metrics;
use tests::pipeline::{Pipeline, Setup};
use tests::program::{Output, run};

const ERASE: &str = "/v1/admin/erasures";
const RENEW: &str = "/v1/admin/erasures/renew";

async fn command(pipeline: &Pipeline, arguments: &[&str]) -> Output {
    run("worker", arguments, &pipeline.environment_of("worker")).await
}

/// Runs a command of the worker that must succeed.
async fn done(pipeline: &Pipeline, arguments: &[&str]) -> String {
    let output = command(pipeline, arguments).await;
    assert!(output.status.success(), "{arguments:?}: {}", output.text);
    output.text
}

/// The JSON object that a command printed; its log comes behind it.
fn printed(output: &str) -> String {
    let (object, _) = output.split_once("\n}").unwrap();
    format!("{object}\n}}")
}

async fn execute(pipeline: &Pipeline, statement: &str) -> u64 {
    let done = sqlx::query(statement).execute(&pipeline.database.pool).await;
    done.unwrap_or_else(|e| panic!("{statement}: {e}")).rows_affected()
}

/// Asks for an erasure or a renewal, and gives back the id of the request.
async fn ask(pipeline: &Pipeline, path: &str, body: &Value) -> String {
    let answer = pipeline.admin().post(path, body).await.unwrap();
    assert_eq!(answer.status, 202, "{}", answer.text());
    answer.json()["requests"][0]["id"].as_str().unwrap().to_owned()
}

async fn receipt(pipeline: &Pipeline, id: &str) -> Value {
    let answer = pipeline.admin().get(&format!("{ERASE}/{id}")).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

/// Waits until nothing of what was stored is left in the tables.
async fn swept(pipeline: &Pipeline, id: &str) -> Value {
    eventually("the erasure is swept, and its receipt signed", async || {
        let answer = pipeline.admin().get(&format!("{ERASE}/{id}")).await.map_err(|e| e.to_string())?;
        let said = answer.json();
        match (said["state"].as_str(), said["receipt"].as_str()) {
            (Some("provisional" | "final"), Some(_)) => Ok(said),
            _ => Err(answer.text()),
        }
    })
    .await
}

async fn erased(pipeline: &Pipeline, body: &Value) -> Value {
    let id = ask(pipeline, ERASE, body).await;
    swept(pipeline, &id).await
}

/// Every table in which a text occurs anywhere, however the column is called.
async fn tables_with(pipeline: &Pipeline, text: &str) -> Vec<String> {
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
            AND NOT relispartition ORDER BY 1",
    )
    .fetch_all(&pipeline.database.pool)
    .await
    .unwrap();
    assert!(tables.len() > 20, "{tables:?}");
    let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    let mut found = Vec::new();
    for table in tables {
        let count =
            format!("SELECT count(*) FROM {table} t WHERE position($1 IN t::text) + position($2 IN t::text) > 0");
        let rows: i64 =
            sqlx::query_scalar(&count).bind(text).bind(&hex).fetch_one(&pipeline.database.pool).await.unwrap();
        if rows > 0 {
            found.push(format!("{table}: {rows}"));
        }
    }
    found
}

fn track(user: &str, n: usize) -> Value {
    json!({"type": "track", "userId": user, "event": "bought", "messageId": format!("{user}-{n}"), "timestamp": chrono::Utc::now(),
           "properties": {"price": n, "email": format!("{user}@example.com")}})
}

async fn send(pipeline: &Pipeline, batch: &[Value]) {
    pipeline.client().accepted("/v1/batch", &json!({"batch": batch})).await;
}

fn campaign() -> Value {
    json!({"id": "c", "name": "c", "status": "active", "trigger": "bought", "rules": [], "goal": {"event": "paid", "within_seconds": 3600},
           "frequency_cap": {"per_user": 1000},
           // Nobody is there, so messages wait.
           "webhook": {"url": "https://127.0.0.1:9/", "events": ["match", "conversion"]}})
}

/// A person who has been a visitor, is known by another name too, and left traces everywhere.
async fn live(pipeline: &Pipeline, user: &str, visitor: &str) {
    let mut batch: Vec<Value> = (0..5).map(|n| track(user, n)).collect();
    batch.push(json!({"type": "page", "anonymousId": visitor, "name": "home", "messageId": format!("{visitor}-p")}));
    batch.push(json!({"type": "identify", "anonymousId": visitor, "traits": {"seen": visitor}, "messageId": format!("{visitor}-i")}));
    batch.push(json!({"type": "identify", "userId": user, "anonymousId": visitor, "traits": {"email": format!("{user}@example.com")},
                      "messageId": format!("{user}-i")}));
    batch.push(json!({"type": "track", "userId": "anonymous", "anonymousId": visitor, "event": "bought", "messageId": format!("{visitor}-t")}));
    batch.push(json!({"type": "track", "userId": user, "event": "paid", "messageId": format!("{user}-paid")}));
    // A resend, and one without a time: both leave ids behind.
    batch.push(batch[0].clone());
    send(pipeline, &batch).await;
}

#[tokio::test]
async fn everything_about_a_person_goes_and_nothing_of_others() {
    let pipeline = Setup::default().campaign(campaign()).start().await;
    // What no table takes, of both.
    execute(&pipeline, "ALTER TABLE events ADD CONSTRAINT mistake CHECK (coalesce(message_id, '') NOT LIKE 'bad-%')")
        .await;
    live(&pipeline, "ada-lovelace", "visitor-of-ada").await;
    live(&pipeline, "bob-the-other", "visitor-of-bob").await;
    for user in ["ada-lovelace", "bob-the-other"] {
        send(&pipeline, &[json!({"type": "track", "userId": user, "event": "e", "messageId": format!("bad-{user}")})])
            .await;
    }
    // An id in an event's name, which daily sums are named after.
    for user in ["ada-lovelace", "bob-the-other"] {
        let page = json!({"type": "page", "userId": user, "name": format!("Profile/{user}"), "messageId": format!("{user}-n")});
        send(&pipeline, &[page]).await;
    }
    // Somebody else says that they were ada before.
    send(
        &pipeline,
        &[json!({"type": "alias", "userId": "bob-the-other", "previousId": "ada-lovelace", "messageId": "al"})],
    )
    .await;
    pipeline.drained().await;
    let of = async |table: &str, user: &str| {
        pipeline
            .database
            .number(&format!("SELECT count(*) FROM {table} t WHERE position('{user}' IN t::text) > 0"))
            .await
    };
    for table in
        ["users", "events", "matches", "conversions", "identity_links", "dead_letters", "rollups", "webhook_deliveries"]
    {
        assert!(of(table, "ada-lovelace").await > 0, "the test leaves nothing in {table}");
    }
    let bob = async || {
        let mut counts = Vec::new();
        for table in ["users", "events", "matches", "conversions", "dead_letters", "rollups", "webhook_deliveries"] {
            counts.push(of(table, "bob-the-other").await + of(table, "visitor-of-bob").await);
        }
        counts
    };
    let before = bob().await;

    let said = erased(&pipeline, &json!({"user_id": "ada-lovelace", "reason": "ticket 7"})).await;
    assert_eq!(tables_with(&pipeline, "ada-lovelace").await, Vec::<String>::new(), "{said}");
    assert_eq!(tables_with(&pipeline, "visitor-of-ada").await, Vec::<String>::new(), "{said}");
    assert_eq!(bob().await, before);
    let counts = &said["counts"];
    assert_eq!((&counts["events"], &counts["dead_letters"]), (&json!(11), &json!(1)), "{said}");
    assert_eq!(
        (&counts["matches"], &counts["conversions"], &counts["events_that_named_it"]),
        (&json!(6), &json!(1), &json!(1))
    );
    assert_eq!(
        (&said["state"], &said["mode"], &said["reason"]),
        (&json!("provisional"), &json!("delete"), &json!("ticket 7"))
    );
    assert_eq!((&said["subject"]["linked_keys"], &said["requested_by"]), (&json!(1), &json!("admin-1")), "{said}");
    assert!(said["waiting_for"][0].as_str().unwrap().contains("is trimmed up to message"), "{said}");
    assert_balanced(&pipeline).await;
    eventually("nothing is left to sweep", async || {
        let metrics = Metrics::of(&pipeline.workers[0]).await;
        equal((metrics.sum("erasures_sweeping", &[]), metrics.sum("erasures_provisional", &[])), (0.0, 1.0))
    })
    .await;

    // Late ones, of the user and of the visitor, are dropped and counted.
    let suppressed = "SELECT coalesce(sum(suppressed), 0)::bigint FROM ledger";
    assert_eq!(pipeline.database.number(suppressed).await, 1, "the request itself");
    live(&pipeline, "ada-lovelace", "visitor-of-ada").await;
    pipeline.drained().await;
    assert_eq!(tables_with(&pipeline, "ada-lovelace").await, Vec::<String>::new());
    assert_eq!(tables_with(&pipeline, "visitor-of-ada").await, Vec::<String>::new());
    assert_eq!(pipeline.database.number(suppressed).await, 12);
    assert_balanced(&pipeline).await;
}

#[tokio::test]
async fn a_replay_brings_nothing_back_also_of_what_could_not_be_read() {
    let mut pipeline = Setup::default().campaign(campaign()).start().await;
    live(&pipeline, "ada-lovelace", "visitor-of-ada").await;
    let partition = UserKey::user("ada-lovelace").partition(16);
    let broken = br#"{"id":"?","user_id":"ada-lovelace","half":1}"#;
    let message = shared::domain::message::encode(1, chrono::Utc::now(), [(partition, &broken[..])].into_iter());
    pipeline.stream.publish(message.into(), 1, 1).await;
    pipeline.drained().await;
    assert_eq!(pipeline.database.number("SELECT count(*) FROM dead_letters").await, 1);
    let said = erased(&pipeline, &json!({"user_id": "ada-lovelace"})).await;
    assert_eq!(said["counts"]["dead_letters"], 1, "{said}");
    assert_balanced(&pipeline).await;

    pipeline.workers[0].stop().await;
    done(&pipeline, &["adopt-stream"]).await;
    pipeline.workers[0].start_again();
    pipeline.ready().await;
    pipeline.drained().await;
    assert_eq!(tables_with(&pipeline, "ada-lovelace").await, Vec::<String>::new());
    assert_eq!(tables_with(&pipeline, "visitor-of-ada").await, Vec::<String>::new());
    assert_eq!(pipeline.database.number("SELECT count(*) FROM erasures").await, 1);
    assert_balanced(&pipeline).await;
}

#[tokio::test]
async fn consent_that_is_renewed_lets_new_events_in_and_nothing_old() {
    let mut pipeline = Setup::default().start().await;
    live(&pipeline, "ada", "visitor-a").await;
    send(&pipeline, &[track("eve", 1)]).await;
    let old = track("ada", 77);
    erased(&pipeline, &json!({"users": ["ada", "eve"]})).await;
    let renewal = ask(&pipeline, RENEW, &json!({"user_id": "ada"})).await;
    let new = [
        track("ada", 100),
        json!({"type": "page", "anonymousId": "visitor-a", "name": "back", "messageId": "visitor-a-back"}),
        json!({"type": "identify", "userId": "ada", "traits": {"new": true}, "messageId": "ada-new"}),
        // From before, and only sent now.
        old,
        track("eve", 2),
    ];
    send(&pipeline, &new).await;
    pipeline.drained().await;
    let rows = "SELECT string_agg(message_id, ' ' ORDER BY message_id) FROM events";
    let stored =
        async || -> Option<String> { sqlx::query_scalar(rows).fetch_one(&pipeline.database.pool).await.unwrap() };
    assert_eq!(stored().await.as_deref(), Some("ada-100 ada-new visitor-a-back"));
    assert_eq!(receipt(&pipeline, &renewal).await["state"], "renewed");
    assert_balanced(&pipeline).await;

    // Replayed: the same.
    pipeline.workers[0].stop().await;
    done(&pipeline, &["adopt-stream"]).await;
    pipeline.workers[0].start_again();
    pipeline.ready().await;
    pipeline.drained().await;
    let again: Option<String> = sqlx::query_scalar(rows).fetch_one(&pipeline.database.pool).await.unwrap();
    assert_eq!(again.as_deref(), Some("ada-100 ada-new visitor-a-back"));
    let traits: Value = sqlx::query_scalar("SELECT traits FROM users WHERE id = 'ada'")
        .fetch_one(&pipeline.database.pool)
        .await
        .unwrap();
    assert_eq!(traits, json!({"new": true}));
    assert_balanced(&pipeline).await;

    // And erased once more.
    erased(&pipeline, &json!({"user_id": "ada"})).await;
    send(&pipeline, &[track("ada", 200)]).await;
    pipeline.drained().await;
    let left = pipeline.database.number("SELECT count(*) FROM events WHERE user_id = 'ada'").await;
    assert_eq!(left, 0);
    assert_balanced(&pipeline).await;
}

#[tokio::test]
async fn an_erasure_holds_under_load_while_workers_die() {
    let mut pipeline = Setup::default().workers(3).set("LANES", "2").start().await;
    let client = pipeline.client();
    // Visitors too, of other partitions than their users', and known to be theirs from the first event on.
    let round = |n: usize| -> Vec<Value> {
        (0..40)
            .flat_map(|u| {
                let user = format!("person-{u:02}");
                let visitor = json!({"type": "page", "anonymousId": format!("device-{u:02}"), "name": "p", "messageId": format!("d-{u}-{n}")});
                let login = json!({"type": "identify", "userId": user, "anonymousId": format!("device-{u:02}"), "messageId": format!("i-{u}-{n}")});
                [login, track(&user, n), visitor]
            })
            .collect()
    };
    let rounds = 60;
    client.accepted("/v1/batch", &json!({"batch": round(0)})).await;
    let load = tokio::spawn(async move {
        for n in 1..rounds {
            client.accepted("/v1/batch", &json!({"batch": round(n)})).await;
        }
    });
    let erased_people: Vec<String> = (0..10).map(|u| format!("person-{u:02}")).collect();
    let answer = pipeline.admin().post(ERASE, &json!({"users": erased_people})).await.unwrap();
    pipeline.workers[0].kill();
    assert_eq!(answer.status, 202, "{}", answer.text());
    let requests: Vec<String> = answer.json()["requests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|request| request["id"].as_str().unwrap().to_owned())
        .collect();
    pipeline.workers[1].kill();
    pipeline.workers[0].start_again();
    pipeline.workers[1].start_again();
    load.await.unwrap();
    for id in &requests {
        swept(&pipeline, id).await;
    }
    pipeline.drained().await;
    let others = "SELECT count(*) FROM events WHERE right(coalesce(user_id, anonymous_id), 2)::int >= 10";
    assert_eq!(pipeline.database.number(others).await, i64::from(30 * 3 * rounds as u16));
    assert_eq!(pipeline.database.number("SELECT count(*) FROM users").await, 30);
    assert_eq!(pipeline.rows().await, i64::from(30 * 3 * rounds as u16), "rows of erased people are left");
    let links = pipeline.database.number("SELECT count(*) FROM identity_links").await;
    assert_eq!(links, 30);
    assert_balanced(&pipeline).await;
}

#[tokio::test]
async fn anonymised_events_stay_without_what_identifies() {
    let pipeline = Setup::default().campaign(campaign()).start().await;
    live(&pipeline, "ada-lovelace", "visitor-of-ada").await;
    pipeline.drained().await;
    let before: Vec<(String, String)> = sqlx::query_as(r#"SELECT type, "timestamp"::text FROM events ORDER BY 1, 2"#)
        .fetch_all(&pipeline.database.pool)
        .await
        .unwrap();
    let ids = "SELECT string_agg(id::text, ' ' ORDER BY id) FROM events";
    let old_ids: String = sqlx::query_scalar(ids).fetch_one(&pipeline.database.pool).await.unwrap();

    let said =
        erased(&pipeline, &json!({"user_id": "ada-lovelace", "mode": "anonymise", "keep_properties": ["price"]})).await;
    assert_eq!(said["mode"], "anonymise");
    assert_eq!(tables_with(&pipeline, "ada-lovelace").await, Vec::<String>::new(), "{said}");
    assert_eq!(tables_with(&pipeline, "visitor-of-ada").await, Vec::<String>::new(), "{said}");
    let after: Vec<(String, String)> = sqlx::query_as(r#"SELECT type, "timestamp"::text FROM events ORDER BY 1, 2"#)
        .fetch_all(&pipeline.database.pool)
        .await
        .unwrap();
    assert_eq!(after, before);
    for id in old_ids.split(' ') {
        assert_eq!(tables_with(&pipeline, id).await, Vec::<String>::new(), "an id that can be computed is left");
    }
    let number = async |query: &str| pipeline.database.number(query).await;
    let names =
        "SELECT count(DISTINCT coalesce(CASE WHEN user_id <> 'anonymous' THEN user_id END, anonymous_id)) FROM events";
    assert_eq!(number(names).await, 1);
    assert_eq!(number("SELECT count(*) FROM events WHERE properties ? 'price'").await, 5);
    assert_eq!(
        number("SELECT count(*) FROM events WHERE properties ? 'email' OR context IS NOT NULL OR traits IS NOT NULL")
            .await,
        0
    );
    assert_eq!(number("SELECT count(*) FROM matches m JOIN events e ON e.id = m.event_id").await, 6);
    let converted = "SELECT count(*) FROM conversions c JOIN matches m ON m.event_id = c.match_event_id JOIN events e ON e.id = c.event_id";
    assert_eq!(number(converted).await, 1);
    assert_eq!(number("SELECT count(*) FROM users").await, 0);
    assert_balanced(&pipeline).await;
}

#[tokio::test]
async fn a_shared_device_is_kept_away_only_up_to_the_request() {
    let pipeline = Pipeline::start().await;
    let login = |user: &str| json!({"type": "identify", "userId": user, "anonymousId": "tablet", "messageId": format!("{user}-i")});
    let page =
        |n: usize| json!({"type": "page", "anonymousId": "tablet", "name": "p", "messageId": format!("tablet-{n}")});
    send(&pipeline, &[page(1), login("ada"), login("bob"), track("bob", 1)]).await;
    pipeline.drained().await;
    erased(&pipeline, &json!({"user_id": "ada"})).await;
    send(&pipeline, &[page(2), track("bob", 2), track("ada", 2)]).await;
    pipeline.drained().await;
    let left: String = sqlx::query_scalar("SELECT string_agg(message_id, ' ' ORDER BY message_id) FROM events")
        .fetch_one(&pipeline.database.pool)
        .await
        .unwrap();
    assert_eq!(left, "bob-1 bob-2 bob-i tablet-2");
    assert_eq!(pipeline.database.number("SELECT count(*) FROM identity_links WHERE user_id = 'bob'").await, 1);

    // The visitor alone: what bob did stays, without the name of the device.
    erased(&pipeline, &json!({"anonymous_id": "tablet"})).await;
    send(&pipeline, &[page(3)]).await;
    pipeline.drained().await;
    assert_eq!(tables_with(&pipeline, "tablet").await, Vec::<String>::new());
    assert_eq!(pipeline.rows().await, 3);
    assert_balanced(&pipeline).await;
}

#[tokio::test]
async fn history_that_is_imported_and_letters_that_are_redriven_are_suppressed_too() {
    let pipeline = Pipeline::start().await;
    live(&pipeline, "ada", "visitor").await;
    pipeline.drained().await;
    erased(&pipeline, &json!({"user_id": "ada"})).await;
    let (at, now) = (chrono::Utc::now() - chrono::TimeDelta::days(3), chrono::Utc::now());
    let line =
        json!({"id": uuid::Uuid::new_v4(), "day": at.date_naive(), "type": "track", "user_id": "ada", "event": "e",
                      "timestamp": at, "received_at": now, "source": "import", "flags": 32})
        .to_string();
    let partition = UserKey::user("ada").partition(16);
    let version = shared::domain::message::SPECIAL_VERSION;
    let message = shared::domain::message::encode(version, now, [(partition, line.as_bytes())].into_iter());
    pipeline.stream.publish(message.into(), 1, version).await;
    pipeline.drained().await;
    let insert = "INSERT INTO dead_letters (lane, stream_seq, partition, position, reason, payload, received_at)
                  VALUES (0, 0, $1, 99, 'by hand', $2, now())";
    // As if it had been put aside after the sweep.
    sqlx::query(insert)
        .bind(i32::from(partition))
        .bind(line.as_bytes())
        .execute(&pipeline.database.pool)
        .await
        .unwrap();
    done(&pipeline, &["dead-letters", "redrive", "--all"]).await;
    pipeline.drained().await;
    assert_eq!(pipeline.rows().await, 0);
    assert_eq!(pipeline.database.number("SELECT suppressed FROM tombstones WHERE suppressed > 0").await, 2);
}

#[tokio::test]
async fn a_receipt_is_provisional_until_stream_and_backups_are_past_it_and_a_forged_one_is_found() {
    let mut pipeline = Setup::default().set("TRIM_INTERVAL_SECONDS", "0.5").start().await;
    live(&pipeline, "ada", "visitor").await;
    pipeline.drained().await;
    execute(&pipeline, "INSERT INTO backups (kind, location) VALUES ('dump', 'host:/somewhere')").await;
    let said = erased(&pipeline, &json!({"user_id": "ada"})).await;
    let id = said["id"].as_str().unwrap();
    let waiting = said["waiting_for"].to_string();
    assert!(waiting.contains("is trimmed up to message") && waiting.contains("host:/somewhere"), "{said}");

    let folder = Folder::new("receipts");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_string_lossy().into_owned()
    };
    let shown = printed(&done(&pipeline, &["erasures", "show", id]).await);
    let said = done(&pipeline, &["erasures", "verify", &file("provisional", &shown)]).await;
    assert!(said.contains("genuine") && said.contains("is provisional"), "{said}");
    let api = pipeline.admin().get(&format!("{ERASE}/{id}")).await.unwrap().text();
    done(&pipeline, &["erasures", "verify", &file("api", &api)]).await;
    let forged = shown.replace("\"state\": \"provisional\"", "\"state\": \"final\"");
    assert_ne!(forged, shown);
    let refused = command(&pipeline, &["erasures", "verify", &file("forged", &forged)]).await;
    assert!(!refused.status.success() && refused.text.contains("`state` is not what was signed"), "{}", refused.text);

    // The stream is trimmed beyond it; the backup still holds it.
    pipeline.workers[0].set("REPLAY_WINDOW_SECONDS", "0");
    pipeline.workers[0].start_again();
    pipeline.ready().await;
    eventually("only the backup is waited for", async || {
        let said = receipt(&pipeline, id).await;
        equal(
            (said["waiting_for"].as_array().unwrap().len(), said["waiting_for"].to_string().contains("host:")),
            (1, true),
        )
    })
    .await;
    assert_eq!(receipt(&pipeline, id).await["state"], "provisional");
    execute(&pipeline, "UPDATE backups SET removed_at = now()").await;
    eventually("the receipt is final", async || {
        let said = receipt(&pipeline, id).await;
        equal((said["state"].clone(), said["waiting_for"].clone()), (json!("final"), json!([])))
    })
    .await;
    let shown = printed(&done(&pipeline, &["erasures", "show", id]).await);
    let list = pipeline.admin().get(&format!("{ERASE}?user_id=ada")).await.unwrap().json();
    assert_eq!((list["erasures"].as_array().unwrap().len(), &list["erasures"][0]["id"]), (1, &json!(id)), "{list}");
    let key = list["public_key"].as_str().unwrap();
    let said = done(&pipeline, &["erasures", "verify", &file("final", &shown), "--public-key", key]).await;
    assert!(said.contains("is final"), "{said}");
    assert_eq!(pipeline.admin().get(&format!("{ERASE}?user_id=eve")).await.unwrap().json()["erasures"], json!([]));
    assert!(!tables_with(&pipeline, "ada").await.iter().any(|table| table.starts_with("erasures")));
    let listed = done(&pipeline, &["erasures", "list", "--user", "ada"]).await;
    assert!(listed.contains(id) && listed.contains("final"), "{listed}");
}

#[tokio::test]
async fn an_export_holds_everything_about_somebody_and_nothing_of_others() {
    let pipeline = Setup::default().campaign(campaign()).start().await;
    execute(&pipeline, "ALTER TABLE events ADD CONSTRAINT mistake CHECK (coalesce(message_id, '') NOT LIKE 'bad-%')")
        .await;
    live(&pipeline, "ada-lovelace", "visitor-of-ada").await;
    live(&pipeline, "bob-the-other", "visitor-of-bob").await;
    send(&pipeline, &[json!({"type": "track", "userId": "ada-lovelace", "event": "e", "messageId": "bad-1"})]).await;
    // More than a page of them.
    let many: Vec<Value> = (100..1_300).map(|n| track("ada-lovelace", n)).collect();
    send(&pipeline, &many).await;
    pipeline.drained().await;

    let answer = pipeline.admin().get("/v1/admin/users/ada-lovelace/export").await.unwrap();
    assert_eq!((answer.status, answer.header("content-disposition").is_some()), (200, true));
    let all = answer.json();
    let count = |what: &str| all[what].as_array().unwrap_or_else(|| panic!("no {what}")).len();
    assert_eq!((count("profiles"), count("events"), count("dead_letters")), (2, 1_210, 1));
    // The cap of the campaign, and the visitor's own.
    assert_eq!((count("matches"), count("conversions"), count("erasures")), (1_001, 1, 0));
    assert_eq!(count("webhook_deliveries"), 1_002);
    assert_eq!(all["linked_anonymous_ids"], json!(["visitor-of-ada"]));
    let mut ids: Vec<&str> =
        all["events"].as_array().unwrap().iter().map(|e| e["message_id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 1_210);
    assert_eq!(all["events"][0]["properties"]["email"], "ada-lovelace@example.com", "{}", all["events"][0]);
    assert!(!answer.text().contains("bob"), "it holds data of somebody else");
    let visitor = pipeline.admin().get("/v1/admin/users/visitor-of-ada/export?kind=anonymous").await.unwrap().json();
    assert_eq!(visitor["events"].as_array().unwrap().len(), 3, "{visitor}");

    let folder = Folder::new("export");
    let file = folder.path().join("ada.json");
    done(&pipeline, &["export-user", "ada-lovelace", "--output", &file.to_string_lossy()]).await;
    let written: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!((&written["events"], &written["matches"]), (&all["events"], &all["matches"]));

    erased(&pipeline, &json!({"user_id": "ada-lovelace"})).await;
    let after = pipeline.admin().get("/v1/admin/users/ada-lovelace/export").await.unwrap().json();
    assert_eq!(
        (&after["events"], &after["profiles"], &after["linked_anonymous_ids"]),
        (&json!([]), &json!([]), &json!([]))
    );
    assert_eq!(after["erasures"][0]["action"], "erase");
    let receipt = pipeline.client().get("/v1/events/ada-lovelace-1?user_id=ada-lovelace").await.unwrap().json();
    assert_eq!(
        (&receipt["status"], receipt["suppressed"]["since"].is_string()),
        (&json!("suppressed"), true),
        "{receipt}"
    );
}

#[tokio::test]
async fn a_restored_database_learns_again_who_was_erased() {
    let mut pipeline = Setup::default().campaign(campaign()).start().await;
    live(&pipeline, "ada-lovelace", "visitor-of-ada").await;
    live(&pipeline, "bob-the-other", "visitor-of-bob").await;
    pipeline.drained().await;
    // An older backup: what the tables hold now. (The stream begins after it.)
    pipeline.workers[0].stop().await;
    for table in ["users", "identity_links", "events", "matches", "conversions", "ledger"] {
        execute(&pipeline, &format!("CREATE TABLE backup_of_{table} AS SELECT * FROM {table}")).await;
    }
    pipeline.workers[0].start_again();
    pipeline.ready().await;
    erased(&pipeline, &json!({"user_id": "ada-lovelace"})).await;
    let folder = Folder::new("tombstones");
    let file = folder.path().join("tombstones").to_string_lossy().into_owned();
    let said = done(&pipeline, &["erasures", "tombstones", "export", &file]).await;
    assert!(said.contains("3 tombstones and receipts"), "{said}");

    pipeline.workers[0].stop().await;
    for table in ["users", "identity_links", "events", "matches", "conversions", "ledger"] {
        let identity = if table == "matches" { "OVERRIDING SYSTEM VALUE" } else { "" };
        execute(&pipeline, &format!("DELETE FROM {table}")).await;
        execute(&pipeline, &format!("INSERT INTO {table} {identity} SELECT * FROM backup_of_{table}")).await;
        execute(&pipeline, &format!("DROP TABLE backup_of_{table}")).await;
    }
    for emptied in ["tombstones", "erasures", "removals"] {
        execute(&pipeline, &format!("DELETE FROM {emptied}")).await;
    }
    execute(&pipeline, "UPDATE erasure_secrets SET salt = sha256('another')").await;
    assert!(!tables_with(&pipeline, "ada-lovelace").await.is_empty());

    let cut = folder.path().join("cut");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&cut, text.lines().take(3).collect::<Vec<_>>().join("\n")).unwrap();
    let refused = command(&pipeline, &["erasures", "tombstones", "import", &cut.to_string_lossy()]).await;
    assert!(!refused.status.success() && refused.text.contains("cut off"), "{}", refused.text);
    assert_eq!(pipeline.database.number("SELECT count(*) FROM tombstones").await, 0);

    let said = done(&pipeline, &["erasures", "tombstones", "import", &file]).await;
    assert!(said.contains("events 10"), "{said}");
    assert_eq!(tables_with(&pipeline, "ada-lovelace").await, Vec::<String>::new());
    assert_eq!(tables_with(&pipeline, "visitor-of-ada").await, Vec::<String>::new());
    done(&pipeline, &["erasures", "tombstones", "import", &file]).await;
    pipeline.workers[0].start_again();
    pipeline.ready().await;
    send(&pipeline, &[track("ada-lovelace", 9), track("bob-the-other", 9)]).await;
    pipeline.drained().await;
    assert_eq!(tables_with(&pipeline, "ada-lovelace").await, Vec::<String>::new());
    assert_eq!(pipeline.rows().await, 11);
    // Of another deployment.
    execute(&pipeline, "UPDATE erasure_secrets SET salt = sha256('a third')").await;
    let refused = command(&pipeline, &["erasures", "tombstones", "import", &file]).await;
    assert!(!refused.status.success() && refused.text.contains("another deployment"), "{}", refused.text);
}

#[tokio::test]
async fn the_command_erases_a_list_and_what_is_asked_wrongly_is_refused() {
    let pipeline = Pipeline::start().await;
    let people: Vec<String> = (0..130).map(|n| format!("person-{n}")).collect();
    let batch: Vec<Value> = people.iter().map(|user| track(user, 1)).chain([track("other", 1)]).collect();
    send(&pipeline, &batch).await;
    let folder = Folder::new("erase");
    let file = folder.path().join("list");
    std::fs::write(&file, people.join("\n")).unwrap();
    let said =
        done(&pipeline, &["erase", "--file", &file.to_string_lossy(), "--wait", "--reason", "closed accounts"]).await;
    assert!(said.contains("130 erasures are in the stream") && said.contains("is gone"), "{said}");
    assert_eq!(pipeline.rows().await, 1);
    let said = done(&pipeline, &["erase", "person-7", "--renew", "--wait", "--by", "ops"]).await;
    assert!(said.contains("1 renewals of consent"), "{said}");
    send(&pipeline, &[track("person-7", 2), track("person-8", 2)]).await;
    pipeline.drained().await;
    assert_eq!(pipeline.rows().await, 2);
    assert_balanced(&pipeline).await;

    for wrong in [
        &["erase"][..],
        &["erase", "anonymous"],
        &["erase", "a", "--keep-property", "p"],
        &["erase", "a", "--renew", "--anonymise"],
    ] {
        let refused = command(&pipeline, wrong).await;
        assert!(!refused.status.success(), "{wrong:?}: {}", refused.text);
    }
    for wrong in [
        json!({}),
        json!({"user_id": "a", "users": ["b"]}),
        json!({"user_id": ""}),
        json!({"user_id": "anonymous"}),
        json!({"user_id": 7}),
        json!({"user_id": "a", "mode": "hide"}),
        json!({"users": []}),
        json!({"user_id": "a", "everything": true}),
    ] {
        let answer = pipeline.admin().post(ERASE, &wrong).await.unwrap();
        assert_eq!(
            (answer.status, &answer.json()["code"]),
            (400, &json!("invalid_parameter")),
            "{wrong}: {}",
            answer.text()
        );
    }
    assert_eq!(pipeline.client().post(ERASE, &json!({"user_id": "a"})).await.unwrap().status, 403);
    for missing in ["7", "00000000-0000-4000-8000-000000000000"] {
        assert_eq!(pipeline.admin().get(&format!("{ERASE}/{missing}")).await.unwrap().status, 404);
    }
}
