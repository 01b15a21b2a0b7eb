//! The move from the old server's store and back: `worker import-legacy`, its report and comparison, `worker export-legacy`.
//!
//! Commands run as the owner of the database, as they must; workers under their own role.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use chrono::{DateTime, NaiveDate, Utc};
use serde_json::{Value, json};
use tests::books::assert_balanced;
use tests::eventually::eventually;
use tests::folder::Folder;
use tests::legacy::Legacy;
use tests::legacy_store::Shape;
use tests::pipeline::{Pipeline, Setup};
use tests::program::{Output, run, start_command};
use tests::services::root;

const ARRAY_USER: usize = 35;
const TWICE: usize = 39;
const NO_ID: usize = 37;

/// A folder with a copy of the fixture.
fn fixture() -> (Folder, PathBuf) {
    let folder = Folder::new("legacy");
    let path = folder.path().join("data.json");
    fs::copy(root().join("tests/fixtures/legacy-data.json"), &path).unwrap();
    (folder, path)
}

fn made_up(shape: &Shape) -> (Folder, PathBuf) {
    let folder = Folder::new("legacy");
    let path = folder.path().join("data.json");
    shape.write(&mut std::io::BufWriter::new(fs::File::create(&path).unwrap())).unwrap();
    (folder, path)
}

async fn import(pipeline: &Pipeline, file: &Path, options: &[&str]) -> Output {
    let arguments = [&["import-legacy", file.to_str().unwrap()], options].concat();
    run("worker", &arguments, pipeline.environment()).await
}

/// Imports and compares; `code` is the exit code owed.
async fn imported(pipeline: &Pipeline, file: &Path, options: &[&str], code: i32) -> String {
    let output = import(pipeline, file, &[options, &["--verify"]].concat()).await;
    assert_eq!(output.status.code(), Some(code), "{}", output.text);
    assert!(output.text.contains("verified: everything"), "{}", output.text);
    output.text
}

async fn audited(pipeline: &Pipeline) {
    pipeline.drained().await;
    assert_balanced(pipeline).await;
}

/// Everything that an import is for, in an order of its own.
async fn state(pipeline: &Pipeline) -> Vec<String> {
    let query = r#"
        SELECT concat_ws(' ', 'campaign', row_number() OVER (ORDER BY position DESC), id, document, updated_at) FROM campaigns
        UNION ALL SELECT concat_ws(' ', 'segment', row_number() OVER (ORDER BY position DESC), id, document) FROM segments
        UNION ALL SELECT concat_ws(' ', 'flag', id, document) FROM features
        UNION ALL SELECT concat_ws(' ', 'user', kind, id, traits) FROM users
        UNION ALL SELECT concat_ws(' ', 'event', day, id, user_id, event, "timestamp", message_id, event_id, original_timestamp, flags,
                                   properties, extra) FROM events WHERE type = 'track'
         ORDER BY 1"#;
    sqlx::query_scalar(query).fetch_all(&pipeline.database.pool).await.unwrap()
}

#[tokio::test]
async fn a_dry_run_names_every_oddity_and_changes_nothing() {
    let pipeline = Pipeline::start().await;
    let (folder, file) = fixture();
    let output = import(&pipeline, &file, &["--dry-run"]).await;
    assert_eq!(output.status.code(), Some(1), "one event cannot be imported: {}", output.text);
    for line in [
        "campaigns             6          6          0",
        "segments              2          2          0",
        "flags                 2          2          0",
        "users                 8          7          0",
        "events               40         39          1",
        "6 campaigns are not in the database",
        "9  leftover rules of the editor",
        "1  campaigns or segments without an id",
        "1  campaigns without `rules`",
        "campaigns with fields of their own",
        "1  segments without a name",
        "1  flags without a value (",
        "1  users under an id that stands for strangers",
        "1  users with a trait `id`",
        "4  users with `last_seen` as a number",
        "1  events without an id",
        "1  events with the id of an earlier one",
        "1  events without properties",
        "1  events whose time is a text",
        "1  events whose time is in seconds",
        "1  events whose user is a number",
        "1  events with fields of their own",
        "2  events with names that the old server refused later",
        "1  events of strangers",
        "events of users that have no row",
        "events that name a campaign that is not there",
        "5  events whose `properties.timestamp` is a local time",
        "1  texts that were garbled before",
        "event 35 user_id is an array",
        "39  events are older than what is kept: of 1 days, 2025-11-15 to 2025-11-15",
        "--expired keep",
        "--expired skip",
    ] {
        assert!(output.text.replace(": kept so", "").contains(line), "{line:?} is missing:\n{}", output.text);
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "neither copy nor rejects");
    assert_eq!(state(&pipeline).await, [""; 0]);
    let refused = import(&pipeline, &file, &[]).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        refused.text.contains("39 events are older than the 90 days") && refused.text.contains("Nothing was imported")
    );
    assert_eq!((state(&pipeline).await, pipeline.stream.state().await.last_seq), (vec![], 0));
}

#[tokio::test]
async fn the_store_is_imported_as_it_was_and_once() {
    let pipeline = Pipeline::start().await;
    let (folder, file) = fixture();
    let legacy = Legacy::read();
    let until = (Utc::now().date_naive() + chrono::Days::new(200)).to_string();
    let said = imported(&pipeline, &file, &["--expired", "keep", "--keep-until", &until], 2).await;
    assert!(said.contains("46 sent through the stream"), "{said}");

    events_are_as_they_were(&pipeline, &legacy).await;
    documents_are_as_they_were(&pipeline, &legacy).await;
    let query = "SELECT id, traits FROM users WHERE kind = 'user'";
    let rows: Vec<(String, Value)> = sqlx::query_as(query).fetch_all(&pipeline.database.pool).await.unwrap();
    let expected: BTreeMap<String, Value> = legacy.users.iter().filter(|(id, _)| id != "anonymous").cloned().collect();
    assert_eq!(rows.into_iter().collect::<BTreeMap<_, _>>(), expected);
    assert_eq!(pipeline.database.number("SELECT count(*) FROM matches").await, 0);
    assert_eq!(pipeline.database.number("SELECT count(*) FROM dead_letters").await, 0);
    let held: Vec<(NaiveDate, NaiveDate)> =
        sqlx::query_as("SELECT day, until FROM holds").fetch_all(&pipeline.database.pool).await.unwrap();
    assert_eq!(held, [("2025-11-15".parse().unwrap(), until.parse().unwrap())]);

    let rejects = fs::read_to_string(folder.path().join("data.json.rejects.jsonl")).unwrap();
    let rejected: Value = serde_json::from_str(rejects.trim_end()).unwrap();
    assert_eq!((&rejected["kind"], &rejected["index"]), (&json!("event"), &json!(ARRAY_USER)));
    assert_eq!(rejected["element"], legacy.events[ARRAY_USER]);
    assert!(rejected["reason"].as_str().unwrap().contains("user_id is an array"), "{rejected}");
    let copies = fs::read_dir(folder.path())
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("data.json.backup-"));
    let copy = copies.map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect::<Vec<_>>();
    assert_eq!(copy, [fs::read(&file).unwrap()]);
    audited(&pipeline).await;

    let (before, seq) = (state(&pipeline).await, pipeline.stream.state().await.last_seq);
    let again = imported(&pipeline, &file, &["--expired", "keep"], 2).await;
    assert!(again.contains("0 sent through the stream, 46 there already"), "{again}");
    assert!(again.contains("documents: 0 added, 10 there already"), "{again}");
    assert_eq!((state(&pipeline).await, pipeline.stream.state().await.last_seq), (before, seq));
}

async fn events_are_as_they_were(pipeline: &Pipeline, legacy: &Legacy) {
    let query = r#"SELECT to_jsonb(e) FROM events e WHERE type = 'track' ORDER BY "timestamp", id"#;
    let rows: Vec<Value> = sqlx::query_scalar(query).fetch_all(&pipeline.database.pool).await.unwrap();
    assert_eq!(rows.len(), 39);
    for (index, event) in legacy.events.iter().enumerate().filter(|(index, _)| *index != ARRAY_USER) {
        let at = match &event["ts"] {
            Value::String(text) => text.parse::<DateTime<Utc>>().unwrap(),
            number if number.as_i64() < Some(10_000_000_000) => {
                DateTime::from_timestamp(number.as_i64().unwrap(), 0).unwrap()
            }
            number => DateTime::from_timestamp_millis(number.as_i64().unwrap()).unwrap(),
        };
        let mine = |row: &&Value| match index {
            NO_ID => row["event"] == event["event"],
            TWICE => row["message_id"] == event["id"],
            _ => row["id"] == event["id"],
        };
        let found: Vec<&Value> = rows.iter().filter(mine).collect();
        assert_eq!(found.len(), 1, "event {index}");
        let row = found[0];
        let user = event["user_id"].as_str().map_or_else(|| event["user_id"].to_string(), str::to_owned);
        assert_eq!((&row["user_id"], &row["event"]), (&json!(user), &event["event"]), "event {index}");
        assert_eq!(row.get("properties"), Some(event.get("properties").unwrap_or(&Value::Null)), "event {index}");
        for time in ["timestamp", "received_at"] {
            assert_eq!(row[time].as_str().unwrap().parse::<DateTime<Utc>>().unwrap(), at, "event {index}");
        }
        assert_eq!((&row["day"], &row["source"], &row["flags"]), (&json!("2025-11-15"), &json!("import"), &json!(32)));
    }
    let extra = rows.iter().find(|row| row["event"] == "extra_fields").unwrap();
    assert_eq!(extra["original_timestamp"], "2025-11-15T16:33:19.000000");
    assert_eq!(extra["event_id"], "user_377_extra_fields_1763201999000");
    let others =
        json!({"sdk_version": "in_app_ninja_flutter_1.0.0", "page": null, "external_id": "ext-5", "ts": 1_763_201_218});
    assert_eq!(extra["extra"], others);
}

async fn documents_are_as_they_were(pipeline: &Pipeline, legacy: &Legacy) {
    let listed = pipeline.admin().get("/v1/admin/campaigns").await.unwrap().json();
    let listed = listed["campaigns"].as_array().unwrap();
    let names: Vec<&Value> = listed.iter().map(|campaign| &campaign["name"]).collect();
    assert_eq!(
        names,
        legacy.campaigns.iter().map(|campaign| &campaign["name"]).collect::<Vec<_>>(),
        "newest first, as before"
    );
    for (shown, old) in listed.iter().zip(&legacy.campaigns) {
        for (key, value) in old.as_object().unwrap() {
            match key.as_str() {
                "rules" if value[0]["field"] == "unknown" => assert_eq!(shown[key], json!([])),
                _ => assert_eq!(&shown[key], value, "{key} of {}", old["name"]),
            }
        }
        assert_eq!(shown["_version"], 1);
    }
    let segments = pipeline.admin().get("/v1/admin/segments").await.unwrap().json();
    let ids: Vec<&Value> = segments["segments"].as_array().unwrap().iter().map(|segment| &segment["id"]).collect();
    assert_eq!(ids, ["501ad5b4-32f3-4e4f-8e1c-1132a5d2a45b", "ef655ee4-162a-4fb1-9b7c-28effdf62c9c"]);
    assert_eq!(segments["segments"][0]["createdAt"], "2025-11-13T10:00:00.000Z");
    let flag = pipeline.client().get("/v1/features/new_home").await.unwrap().json();
    assert_eq!((&flag["enabled"], &flag["value"]), (&json!(true), &json!({"columns": 2})));
    let history = pipeline
        .admin()
        .get(&format!("/v1/admin/campaigns/{}/history", listed[0]["id"].as_str().unwrap()))
        .await
        .unwrap();
    assert!(history.text().contains("\"import\""), "{}", history.text());
}

#[tokio::test]
async fn old_events_may_be_left_out_by_an_explicit_choice() {
    let pipeline = Pipeline::start().await;
    let (_folder, file) = fixture();
    let said = imported(&pipeline, &file, &["--expired", "skip"], 2).await;
    assert!(said.contains("39  events are older") && said.contains("left out (--expired skip)"), "{said}");
    assert_eq!(pipeline.database.number("SELECT count(*) FROM events WHERE type = 'track'").await, 0);
    assert_eq!(pipeline.database.number("SELECT count(*) FROM users").await, 7);
    assert_eq!(pipeline.database.number("SELECT count(*) FROM holds").await, 0);
}

#[tokio::test]
async fn what_is_newer_here_stays_and_history_moves_no_campaign() {
    let rule = json!({"type": "event_count", "event": "bought", "operator": ">=", "value": 3});
    let campaign = |id: &str, rules: Value| {
        json!({"id": id, "name": id, "status": "active", "trigger": "bought", "rules": rules,
        "frequency_cap": {"per_user": 1}, "goal": {"event": "bought"}})
    };
    let pipeline = Setup::default()
        .campaign(campaign("always", json!([])))
        .campaign(campaign("third", json!([rule])))
        .start()
        .await;
    let client = pipeline.client();
    client.accepted("/v1/identify", &json!({"user_id": "u", "traits": {"tier": "gold", "new": true}})).await;
    let hour_ago = Utc::now().timestamp_millis() - 3_600_000;
    let event = |n: i64| json!({"id": uuid::Uuid::new_v4(), "user_id": "u", "event": "bought", "properties": {}, "ts": hour_ago + n});
    let old =
        json!({"id": "c-1", "name": "Old", "status": "draft", "rules": [], "createdAt": "2025-11-13T06:00:00.000Z"});
    let other = json!({"id": "c-2", "name": "Other", "status": "draft", "rules": []});
    let store = json!({"users": {"u": {"tier": "silver", "city": "Pune"}}, "events": [event(1), event(2)], "campaigns": [old, other]});
    let folder = Folder::new("legacy");
    let file = folder.path().join("data.json");
    fs::write(&file, store.to_string()).unwrap();
    imported(&pipeline, &file, &[], 0).await;
    assert_eq!(pipeline.database.number("SELECT count(*) FROM matches").await, 0);
    let traits: Value =
        sqlx::query_scalar("SELECT traits FROM users").fetch_one(&pipeline.database.pool).await.unwrap();
    assert_eq!(traits, json!({"tier": "gold", "new": true, "city": "Pune"}));

    // A third time, live: it is the third for the rule, and the first that anybody was shown.
    client
        .accepted(
            "/v1/track",
            &json!({"user_id": "u", "event": "bought", "properties": {}, "event_id": "x", "timestamp": Utc::now()}),
        )
        .await;
    pipeline.drained().await;
    let matched: Vec<String> = sqlx::query_scalar("SELECT campaign_id FROM matches ORDER BY 1")
        .fetch_all(&pipeline.database.pool)
        .await
        .unwrap();
    assert_eq!(matched, ["always", "third"]);
    assert_eq!(pipeline.database.number("SELECT count(*) FROM conversions").await, 0);

    // Edited and deleted here: the import writes over neither, and says so.
    let admin = pipeline.admin();
    assert_eq!(admin.put("/v1/admin/campaigns/c-1", &json!({"name": "Edited"})).await.unwrap().status, 200);
    assert_eq!(admin.delete("/v1/admin/campaigns/c-2").await.unwrap().status, 200);
    let said = imported(&pipeline, &file, &[], 0).await;
    assert!(said.contains("0 there already, 1 changed here since and left alone, 1 deleted here"), "{said}");
    assert_eq!(admin.get("/v1/admin/campaigns/c-1").await.unwrap().json()["name"], "Edited");
    assert_eq!(admin.get("/v1/admin/campaigns/c-2").await.unwrap().status, 404);
    let order = admin.get("/v1/admin/campaigns").await.unwrap().json();
    let last = order["campaigns"].as_array().unwrap().last().unwrap()["id"].clone();
    assert_eq!(last, "c-1", "what was made here is newer");
}

#[tokio::test]
async fn killed_in_the_middle_and_run_again_it_ends_in_the_same_state() {
    let shape = Shape::recent(8_000);
    let (_folder, file) = made_up(&shape);
    let (killed, whole) = tokio::join!(Pipeline::start(), Pipeline::start());
    imported(&whole, &file, &[], 2).await;

    let arguments = ["import-legacy", file.to_str().unwrap()];
    for rows in [1, 2_000, 5_000] {
        let mut command = start_command("worker", &arguments, killed.environment());
        eventually("some of it is stored", async || {
            let ended = command.try_wait().unwrap().is_some();
            let stored = killed.rows().await;
            if stored >= rows || ended { Ok(()) } else { Err(format!("{stored} rows")) }
        })
        .await;
        command.kill().await.unwrap();
    }
    let said = imported(&killed, &file, &[], 2).await;
    assert!(!said.contains(" 0 there already"), "{said}");
    let (state, expected) = (state(&killed).await, state(&whole).await);
    assert_eq!(state.len(), expected.len());
    for (found, wanted) in state.iter().zip(&expected) {
        // Without a time of their own, documents have that of the import.
        assert_eq!(found, wanted);
    }
    audited(&killed).await;
}

#[tokio::test]
async fn a_stream_smaller_than_the_file_and_a_worker_that_stops_are_waited_for() {
    let shape = Shape { odd_every: 0, filler_bytes: 2_000, ..Shape::recent(10_000) };
    let (_folder, file) = made_up(&shape);
    let pipeline = Setup::default()
        .set("STREAM_MAX_BYTES", &(16 << 20).to_string())
        .set("TRIM_INTERVAL_SECONDS", "0.5")
        .start()
        .await;
    let pool = pipeline.database.pool.clone();
    let harm = async {
        eventually("some of it is stored", async || {
            let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM events").fetch_one(&pool).await.unwrap();
            if rows > 500 { Ok(()) } else { Err(rows.to_string()) }
        })
        .await;
        pipeline.workers[0].pause();
        eventually("it runs a little ahead of the worker that stands still", async || {
            let processed = "SELECT min(last_seq) FROM partitions";
            let processed: i64 = sqlx::query_scalar(processed).fetch_one(&pool).await.unwrap();
            let ahead = pipeline.stream.state().await.last_seq - processed.unsigned_abs();
            assert!(ahead <= 20, "{ahead} messages");
            if ahead > 0 { Ok(()) } else { Err("nothing came".to_owned()) }
        })
        .await;
        pipeline.workers[0].resume();
    };
    let (said, ()) = tokio::join!(imported(&pipeline, &file, &[], 0), harm);
    assert!(said.contains("verified"), "{said}");
}

#[tokio::test]
async fn a_large_file_takes_no_more_memory_than_a_small_one() {
    let pipeline = Setup::default().workers(0).start().await;
    let peak = async |events: u64| {
        let (_folder, file) = made_up(&Shape { filler_bytes: 600, ..Shape::recent(events) });
        let output = import(&pipeline, &file, &["--dry-run"]).await;
        let line = output.text.lines().find_map(|line| line.strip_prefix("peak memory ")).expect("it says so");
        (line.trim_end_matches(" MiB").parse::<u64>().unwrap(), fs::metadata(&file).unwrap().len() >> 20)
    };
    let ((small, _), (large, size)) = (peak(500).await, peak(30_000).await);
    assert!(size > 20 && large < small + 8, "{size} MiB took {large} MiB, a small file {small} MiB");
}

#[tokio::test]
async fn the_comparison_finds_what_is_lost_or_changed() {
    let pipeline = Pipeline::start().await;
    let (_folder, file) = fixture();
    imported(&pipeline, &file, &["--expired", "keep"], 2).await;
    for statement in [
        "DELETE FROM events WHERE id = '461b6ad4-0fad-4b3f-8426-022485918e85'",
        "UPDATE events SET properties = '{}' WHERE event = 'search_performed'",
        "UPDATE users SET traits = traits - 'email' WHERE id = 'user_1763200055001'",
        "UPDATE users SET traits = traits || '{\"tier\": \"gold\"}' WHERE id = 'user_640'",
        "UPDATE campaigns SET document = document || '{\"name\": \"x\"}' WHERE id = '1762950011223'",
    ] {
        sqlx::query(statement).execute(&pipeline.database.pool).await.unwrap();
    }
    let output = import(&pipeline, &file, &["--dry-run", "--verify", "--expired", "keep"]).await;
    assert_eq!(output.status.code(), Some(1), "{}", output.text);
    for line in [
        "DIFFERENT  event 0 (461b6ad4-0fad-4b3f-8426-022485918e85) is not there under 2025-11-15",
        "(79b0c917-2287-4ac8-9e7b-396b6265ac8e) differs in properties",
        "DIFFERENT  user \"user_1763200055001\" has no profile, or traits are missing",
        "DIFFERENT  campaign \"1762950011223\" is another document",
        "users: 5 the same, 1 changed here since",
        "4 elements differ",
    ] {
        assert!(output.text.contains(line), "{line}:\n{}", output.text);
    }
}

#[tokio::test]
async fn what_is_exported_is_the_old_store_again_but_for_what_was_mended() {
    let (pipeline, other) = tokio::join!(Pipeline::start(), Pipeline::start());
    let (folder, file) = fixture();
    imported(&pipeline, &file, &["--expired", "keep"], 2).await;
    pipeline
        .client()
        .accepted("/v1/track", &json!({"user_id": "user_11", "event": "live", "properties": {"a": 1}}))
        .await;
    pipeline.drained().await;
    let first = exported(&pipeline, &folder.path().join("first.json")).await;

    let mut expected: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    mend(&mut expected);
    let live = first["events"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((&live["event"], &live["properties"]), (&json!("live"), &json!({"a": 1})));
    assert_eq!(live.as_object().unwrap().len(), 5);
    let mut found = first.clone();
    found["events"].as_array_mut().unwrap().retain(|event| event["event"] != "live");
    for event in found["events"].as_array_mut().unwrap() {
        // Ids that were made.
        if event["event"] == "no_id_or_props" || event["event"] == "numeric_user" {
            event["id"].take();
        }
    }
    let made = |campaign: &Value| campaign["name"] == "Imported By Hand";
    for campaign in found["campaigns"].as_array_mut().unwrap().iter_mut().filter(|campaign| made(campaign)) {
        campaign["id"].take();
        campaign["createdAt"].take();
    }
    for part in ["campaigns", "users", "featureFlags", "segments"] {
        assert_eq!(found[part], expected[part], "{part}");
    }
    let sorted = |events: &Value| {
        let mut events = events.as_array().unwrap().clone();
        events.sort_by_key(|event| (event["ts"].as_i64(), event["id"].to_string(), event["event"].to_string()));
        events
    };
    assert_eq!(sorted(&found["events"]), sorted(&expected["events"]));
    let times: Vec<i64> =
        first["events"].as_array().unwrap().iter().map(|event| event["ts"].as_i64().unwrap()).collect();
    assert!(times.is_sorted());

    imported(&other, &folder.path().join("first.json"), &["--expired", "keep"], 0).await;
    assert_eq!(exported(&other, &folder.path().join("second.json")).await, first);
    let (first, second) = (folder.path().join("first.json"), folder.path().join("second.json"));
    assert_eq!(fs::read(&first).unwrap(), fs::read(second).unwrap());
    let again = run("worker", &["export-legacy", first.to_str().unwrap()], pipeline.environment()).await;
    assert!(!again.status.success() && again.text.contains("is there already"), "{}", again.text);
}

async fn exported(pipeline: &Pipeline, file: &Path) -> Value {
    let output = run("worker", &["export-legacy", file.to_str().unwrap()], pipeline.environment()).await;
    assert!(output.status.success(), "{}", output.text);
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

/// What the import says that it does about the oddities of the fixture.
fn mend(store: &mut Value) {
    for campaign in store["campaigns"].as_array_mut().unwrap() {
        if campaign["rules"][0]["field"] == "unknown" {
            campaign["rules"] = json!([]);
        }
        if campaign["name"] == "Imported By Hand" {
            campaign["id"] = Value::Null;
            campaign["createdAt"] = Value::Null;
        }
    }
    store["users"].as_object_mut().unwrap().remove("anonymous");
    let events = store["events"].as_array_mut().unwrap();
    events[NO_ID]["id"] = Value::Null;
    events[NO_ID]["properties"] = json!({});
    events[TWICE]["id"] = Value::Null;
    events[TWICE]["user_id"] = json!("42");
    events[38]["ts"] = json!(1_763_201_218_000_i64);
    events[36]["ts"] = json!("2025-11-15T11:02:03.004Z".parse::<DateTime<Utc>>().unwrap().timestamp_millis());
    events.remove(ARRAY_USER);
}

#[tokio::test]
async fn a_file_that_is_no_store_changes_nothing_and_is_named_with_the_place() {
    let pipeline = Setup::default().workers(0).start().await;
    let (folder, file) = fixture();
    let cut = folder.path().join("cut.json");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&cut, &text[..text.len() / 2]).unwrap();
    let output = import(&pipeline, &cut, &["--expired", "keep"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(
        output.text.contains("is no store of the old server: EOF") && output.text.contains("line "),
        "{}",
        output.text
    );
    let missing = import(&pipeline, &folder.path().join("nothing.json"), &[]).await;
    assert!(missing.text.contains("nothing.json failed"), "{}", missing.text);
    let limited = run(
        "worker",
        &["import-legacy", file.to_str().unwrap(), "--expired", "skip"],
        &pipeline.environment_of("worker"),
    )
    .await;
    assert!(!limited.status.success(), "{}", limited.text);
    assert_eq!(state(&pipeline).await, [""; 0]);
}

#[tokio::test]
async fn an_imported_event_that_is_driven_again_is_still_history() {
    let campaign = json!({"id": "c", "name": "c", "status": "active", "trigger": "screen_viewed", "rules": []});
    let pipeline = Setup::default().campaign(campaign).start().await;
    let folder = Folder::new("legacy");
    let file = folder.path().join("data.json");
    let event = |name: &str| json!({"id": uuid::Uuid::new_v4(), "user_id": "u", "event": name, "properties": {}, "ts": Utc::now().timestamp_millis()});
    fs::write(&file, json!({"events": [event("screen_viewed"), event("other")]}).to_string()).unwrap();
    let execute =
        async |statement: &'static str| sqlx::query(statement).execute(&pipeline.database.pool).await.unwrap();
    execute("ALTER TABLE events ADD CONSTRAINT mistake CHECK (event <> 'screen_viewed')").await;
    let output = import(&pipeline, &file, &["--verify"]).await;
    assert!(output.text.contains("but in dead letter 1"), "{}", output.text);
    execute("ALTER TABLE events DROP CONSTRAINT mistake").await;
    let redriven = run("worker", &["dead-letters", "redrive", "--all"], &pipeline.environment_of("worker")).await;
    assert!(redriven.text.contains("redriven 1 letters"), "{}", redriven.text);
    imported(&pipeline, &file, &[], 0).await;
    assert_eq!(pipeline.database.number("SELECT count(*) FROM matches").await, 0);
    assert_eq!(pipeline.database.number("SELECT count(*) FROM events WHERE flags & 32 = 0").await, 0);
    audited(&pipeline).await;
}

#[tokio::test]
async fn people_who_were_erased_here_stay_away() {
    let pipeline = Pipeline::start().await;
    let erase = pipeline.admin().post("/v1/admin/erasures", &json!({"user_id": "u"})).await.unwrap();
    assert_eq!(erase.status / 100, 2, "{}", erase.text());
    pipeline.drained().await;
    let folder = Folder::new("legacy");
    let file = folder.path().join("data.json");
    let event = |user: &str| json!({"id": uuid::Uuid::new_v4(), "user_id": user, "event": "e", "properties": {}, "ts": Utc::now().timestamp_millis()});
    let store = json!({"users": {"u": {"a": 1}, "v": {"a": 1}}, "events": [event("u"), event("v")]});
    fs::write(&file, store.to_string()).unwrap();
    let said = imported(&pipeline, &file, &[], 0).await;
    assert!(said.contains("2 users and events stay away") && said.contains("events: 1 the same"), "{said}");
    assert_eq!(pipeline.database.number("SELECT count(*) FROM events WHERE user_id = 'u'").await, 0);
    assert_eq!(pipeline.database.number("SELECT count(*) FROM users WHERE id = 'u'").await, 0);
}
