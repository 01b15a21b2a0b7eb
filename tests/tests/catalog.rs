//! A change of a campaign, a segment or a flag takes effect in every process, whoever made it and however.

use std::time::Instant;

use serde_json::{Value, json};
use tests::client::{ADMIN_KEY, WRITE_KEY};
use tests::eventually::{equal, eventually};
use tests::matching::{campaign, listed, recorded, replied};
use tests::pipeline::{Pipeline, Setup};

/// Enough that each worker owns the partitions of some.
const USERS: usize = 12;

/// Two ingest and two worker processes that have divided the partitions among them.
async fn two_of_each(setup: Setup) -> Pipeline {
    let pipeline = setup.ingests(2).workers(2).start().await;
    eventually("each worker owns a share", async || {
        let owners = "SELECT count(DISTINCT owner) FROM partitions WHERE lease_until > clock_timestamp()";
        equal(pipeline.database.number(owners).await, 2)
    })
    .await;
    pipeline
}

/// Every process must go by these campaigns on `opened`: each ingest in its replies and lists, each worker in the record.
async fn everywhere(pipeline: &Pipeline, expected: &[&str]) {
    let round = uuid::Uuid::new_v4().simple().to_string();
    for ingest in &pipeline.ingests {
        let client = ingest.client().with_key(WRITE_KEY);
        for user in 0..USERS {
            let message_id = format!("{round} {} {user}", ingest.name);
            let event = json!({"user_id": format!("u{user}"), "event": "opened", "messageId": message_id});
            assert_eq!(replied(&client, &event).await, expected, "reply of {}", ingest.name);
        }
        assert_eq!(listed(&client, "u0").await, expected, "list of {}", ingest.name);
    }
    pipeline.drained().await;
    let mut expected = expected.to_vec();
    expected.sort_unstable();
    for ingest in &pipeline.ingests {
        for user in 0..USERS {
            let found = recorded(pipeline, &format!("{round} {} {user}", ingest.name)).await;
            assert_eq!(found, expected, "record of u{user}");
        }
    }
}

/// A change through the second ingest; how long it took until every process knew of it.
async fn change(pipeline: &Pipeline, method: &str, path: &str, body: &Value) -> String {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let admin = pipeline.ingests[1].client().with_key(ADMIN_KEY);
    let answer = admin.send(method, path, &[], body.as_bytes()).await.unwrap();
    assert!((200..300).contains(&answer.status), "{method} {path}: {}", answer.text());
    let changed = Instant::now();
    pipeline.catalog_known().await;
    eprintln!("{method} {path} was known to all after {} ms", changed.elapsed().as_millis());
    answer.text()
}

#[tokio::test]
async fn every_kind_of_change_takes_effect_in_all_processes() {
    let pipeline = two_of_each(Setup::default().set("CATALOG_POLL_MILLISECONDS", "500")).await;
    everywhere(&pipeline, &[]).await;
    let made = change(&pipeline, "POST", "/v1/admin/campaigns", &campaign("ignored", json!({}))).await;
    let made: Value = serde_json::from_str(&made).unwrap();
    let id = made["id"].as_str().unwrap();
    let path = format!("/v1/admin/campaigns/{id}");
    everywhere(&pipeline, &[id]).await;
    for (changed, shown) in [
        (json!({"status": "paused"}), vec![]),
        (json!({"status": "active"}), vec![id]),
        (json!({"rules": [{"type": "attribute", "field": "never", "operator": "exists"}]}), vec![]),
        (json!({"rules": []}), vec![id]),
        (json!({"trigger": "closed", "triggers": ["opened"]}), vec![id]),
    ] {
        change(&pipeline, "PUT", &path, &changed).await;
        everywhere(&pipeline, &shown).await;
    }
    change(&pipeline, "DELETE", &path, &Value::Null).await;
    everywhere(&pipeline, &[]).await;
    change(&pipeline, "POST", &format!("{path}/restore"), &json!({"version": 1})).await;
    everywhere(&pipeline, &[id]).await;
    change(&pipeline, "POST", &format!("{path}/archive"), &Value::Null).await;
    everywhere(&pipeline, &[]).await;
}

#[tokio::test]
async fn a_changed_segment_or_flag_takes_effect_in_all_processes() {
    let rules = |tier: &str| json!([{"type": "attribute", "field": "tier", "operator": "!=", "value": tier}]);
    let in_segment = json!([{"type": "segment", "segment": "s"}]);
    let pipeline = two_of_each(Setup::default().campaign(campaign("c", json!({"rules": in_segment})))).await;
    let insert = "INSERT INTO segments (id, document) VALUES ('s', $1)";
    let document = json!({"name": "not gold", "rules": rules("gold")});
    sqlx::query(insert).bind(document).execute(&pipeline.database.pool).await.unwrap();
    change(&pipeline, "POST", "/v1/admin/features", &json!({"key": "f", "rules": in_segment})).await;
    for user in 0..USERS {
        let body = json!({"user_id": format!("u{user}"), "traits": {"tier": "silver"}});
        pipeline.client().accepted("/v1/identify", &body).await;
    }
    pipeline.drained().await;
    let flag = async |expected: bool| {
        for ingest in &pipeline.ingests {
            let client = ingest.client().with_key(WRITE_KEY);
            let told = client.get("/v1/features/f?user_id=u1").await.unwrap().json();
            assert_eq!(told["enabled"], expected, "{}", ingest.name);
        }
    };
    everywhere(&pipeline, &["c"]).await;
    flag(true).await;
    change(&pipeline, "PUT", "/v1/admin/segments/s", &json!({"rules": rules("silver")})).await;
    everywhere(&pipeline, &[]).await;
    flag(false).await;
    change(&pipeline, "PUT", "/v1/admin/features/f", &json!({"rules": []})).await;
    flag(true).await;
    change(&pipeline, "PUT", "/v1/admin/features/f", &json!({"enabled": false})).await;
    flag(false).await;
}

#[tokio::test]
async fn of_many_campaigns_only_those_that_changed_are_compiled_again() {
    let pipeline = two_of_each(Setup::default().set("CATALOG_POLL_MILLISECONDS", "500")).await;
    let insert = "INSERT INTO campaigns (id, status, document)
        SELECT 'c' || n, 'active', jsonb_build_object('name', 'c' || n, 'status', 'active', 'trigger', 'e' || n)
          FROM generate_series(1, 2000) AS n";
    sqlx::query(insert).execute(&pipeline.database.pool).await.unwrap();
    pipeline.catalog_known().await;
    /// How many campaigns each process compiled the last time.
    fn compiled(pipeline: &Pipeline) -> Vec<String> {
        let programs = pipeline.ingests.iter().chain(&pipeline.workers);
        let last = |log: &str| log.lines().rfind(|line| line.contains("campaigns loaded")).unwrap().to_owned();
        programs.map(|program| last(&program.log()).rsplit_once("compiled=").unwrap().1.to_owned()).collect()
    }
    assert_eq!(compiled(&pipeline), ["2000"; 4]);
    change(&pipeline, "PUT", "/v1/admin/campaigns/c1000", &json!({"trigger": "opened"})).await;
    assert_eq!(compiled(&pipeline), ["1"; 4]);
    for ingest in &pipeline.ingests {
        let client = ingest.client().with_key(WRITE_KEY);
        let event = json!({"user_id": "u", "event": "opened", "messageId": ingest.name});
        assert_eq!(replied(&client, &event).await, ["c1000"]);
        pipeline.drained().await;
        assert_eq!(recorded(&pipeline, &ingest.name).await, ["c1000"]);
        assert_eq!(listed(&client, "u").await.len(), 2000, "the others are still there");
    }
    change(&pipeline, "POST", "/v1/admin/features", &json!({"key": "f"})).await;
    assert_eq!(compiled(&pipeline), ["0"; 4]);
    change(&pipeline, "DELETE", "/v1/admin/campaigns/c1000", &Value::Null).await;
    assert_eq!(compiled(&pipeline), ["0"; 4]);
    assert_eq!(listed(&pipeline.client(), "u").await.len(), 1999);
}

#[tokio::test]
async fn what_somebody_changes_in_the_database_itself_is_noticed_too() {
    let pipeline = two_of_each(Setup::default().campaign(campaign("c", json!({})))).await;
    everywhere(&pipeline, &["c"]).await;
    for (statement, expected) in [
        // Without a new version: it is the row that counts.
        (r#"UPDATE campaigns SET document = jsonb_set(document, '{status}', '"paused"')"#, &[][..]),
        (r#"UPDATE campaigns SET document = jsonb_set(document, '{status}', '"active"')"#, &["c"]),
        ("INSERT INTO campaigns (id, document) SELECT 'd', document FROM campaigns", &["d", "c"]),
        ("DELETE FROM campaigns WHERE id = 'c'", &["d"]),
        ("UPDATE campaigns SET id = 'e'", &["e"]),
        ("TRUNCATE campaigns", &[]),
    ] {
        sqlx::query(statement).execute(&pipeline.database.pool).await.unwrap();
        pipeline.catalog_known().await;
        everywhere(&pipeline, expected).await;
    }
}

#[tokio::test]
async fn a_worker_handles_no_event_before_it_knows_the_campaigns() {
    let mut pipeline = Setup::default().campaign(campaign("c", json!({}))).start().await;
    pipeline.workers[0].kill();
    let mut lock = pipeline.database.pool.begin().await.unwrap();
    sqlx::query("LOCK TABLE campaigns IN ACCESS EXCLUSIVE MODE").execute(&mut *lock).await.unwrap();
    let event = json!({"user_id": "u", "event": "opened", "messageId": "m"});
    assert_eq!(replied(&pipeline.client(), &event).await, ["c"]);
    pipeline.workers[0].start_again();
    pipeline.workers[0].unready_with("the campaigns are not loaded yet").await;
    assert_eq!(pipeline.rows().await, 0);
    lock.rollback().await.unwrap();
    pipeline.drained().await;
    assert_eq!(recorded(&pipeline, "m").await, ["c"]);
}
