//! Segments and feature flags through the admin API.

use serde_json::{Value, json};
use tests::client::Client;
use tests::http1::Answer;
use tests::pipeline::{Pipeline, Setup};

const SEGMENTS: &str = "/v1/admin/segments";
const FEATURES: &str = "/v1/admin/features";

async fn pipeline() -> Pipeline {
    Setup::default().workers(0).start().await
}

async fn send(admin: &Client, method: &str, path: &str, body: &Value) -> Answer {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    admin.send(method, path, &[], body.as_bytes()).await.unwrap()
}

async fn history(admin: &Client, path: &str) -> Vec<String> {
    let answer = admin.get(&format!("{path}/history")).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    let changes = answer.json()["history"].as_array().unwrap().clone();
    changes.iter().map(|change| change["action"].as_str().unwrap().to_owned()).collect()
}

fn gold() -> Value {
    json!({"name": "Gold", "rules": [{"type": "attribute", "field": "tier", "operator": "==", "value": "gold"}], "odd": [1]})
}

#[tokio::test]
async fn a_segment_is_made_listed_changed_deleted_and_brought_back() {
    let pipeline = pipeline().await;
    let admin = pipeline.admin();
    let made = admin.post(SEGMENTS, &gold()).await.unwrap();
    assert_eq!((made.status, made.header("etag")), (201, Some("\"1\"")), "{}", made.text());
    let made = made.json();
    assert_eq!((&made["name"], &made["odd"], &made["rules"]), (&json!("Gold"), &json!([1]), &gold()["rules"]));
    let mut second = gold();
    second["name"] = json!("Second");
    assert_eq!(admin.post(SEGMENTS, &second).await.unwrap().status, 201);
    let list = admin.get(SEGMENTS).await.unwrap().json();
    let names: Vec<_> = list["segments"].as_array().unwrap().iter().map(|s| s["name"].as_str().unwrap()).collect();
    assert_eq!((names, &list["total"]), (vec!["Second", "Gold"], &json!(2)));

    let path = format!("{SEGMENTS}/{}", made["id"].as_str().unwrap());
    let changed = send(&admin, "PUT", &path, &json!({"name": "Golden"})).await;
    assert_eq!((changed.status, changed.header("etag")), (200, Some("\"2\"")), "{}", changed.text());
    let shown = admin.get(&path).await.unwrap().json();
    assert_eq!((&shown["name"], &shown["odd"]), (&json!("Golden"), &json!([1])));
    let deleted = send(&admin, "DELETE", &path, &Value::Null).await;
    assert_eq!((deleted.status, deleted.json()), (200, json!({"ok": true})));
    let missing = admin.get(&path).await.unwrap();
    assert_eq!((missing.status, &missing.json()["error"]), (404, &json!("Segment not found")));
    let restored = send(&admin, "POST", &format!("{path}/restore"), &json!({"version": 1})).await;
    assert_eq!((restored.status, &restored.json()["name"]), (200, &json!("Gold")), "{}", restored.text());
    assert_eq!(history(&admin, &path).await, ["restore", "delete", "change", "create"]);
}

#[tokio::test]
async fn a_segment_with_faults_is_refused_and_a_stored_one_shows_them() {
    let pipeline = pipeline().await;
    let admin = pipeline.admin();
    let refused = admin.post(SEGMENTS, &json!({"name": " ", "rules": gold()["rules"]})).await.unwrap();
    assert_eq!((refused.status, &refused.json()["code"]), (400, &json!("invalid_segment")));
    assert_eq!(
        (&refused.json()["error"], &refused.json()["details"][0]["path"]),
        (&json!("Validation failed"), &json!("name"))
    );
    let event = json!({"name": "n", "rules": [{"type": "event", "field": "a", "operator": "~", "value": 1}]});
    let refused = admin.post(SEGMENTS, &event).await.unwrap();
    assert_eq!(refused.status, 400);
    assert!(refused.json()["details"].to_string().contains("rules[0]"), "{}", refused.text());
    assert_eq!(pipeline.database.number("SELECT count(*) FROM segments").await, 0);

    let import = "INSERT INTO segments (id, document) VALUES ('old', '{\"name\": null, \"rules\": \"text\"}')";
    sqlx::query(import).execute(&pipeline.database.pool).await.unwrap();
    let list = admin.get(SEGMENTS).await.unwrap().json();
    let stored = &list["segments"][0];
    assert_eq!((&stored["id"], &stored["_faults"][0]["field"]), (&json!("old"), &json!("rules")), "{stored}");
    assert_eq!(admin.get(&format!("{SEGMENTS}/old")).await.unwrap().json()["_faults"], stored["_faults"]);
}

#[tokio::test]
async fn a_flag_is_created_or_replaced_by_its_key() {
    let pipeline = pipeline().await;
    let admin = pipeline.admin();
    let first = admin.accepted(FEATURES, &json!({"key": "dark.mode", "value": {"theme": "night"}, "note": "x"})).await;
    assert_eq!(
        (&first["ok"], &first["flag"]["enabled"]),
        (&json!(true), &json!(true)),
        "enabled unless it says otherwise"
    );
    assert_eq!(first["flag"]["value"], json!({"theme": "night"}));
    let second = admin.accepted(FEATURES, &json!({"key": "dark.mode", "enabled": false})).await;
    assert_eq!((&second["flag"]["enabled"], second["flag"].get("value")), (&json!(false), None), "replaced whole");
    admin.accepted(FEATURES, &json!({"key": "beta", "value": 0})).await;
    let list = admin.get(FEATURES).await.unwrap().json();
    assert_eq!(list["total"], 2);
    assert_eq!((&list["flags"]["dark.mode"]["enabled"], &list["flags"]["beta"]["value"]), (&json!(false), &json!(0)));
    for body in [json!({"enabled": true}), json!({"key": ""}), json!({"key": 5})] {
        let refused = admin.post(FEATURES, &body).await.unwrap();
        assert_eq!((refused.status, &refused.json()["error"]), (400, &json!("key required")), "{body}");
    }
    assert_eq!(admin.post(FEATURES, &json!({"key": "with space"})).await.unwrap().status, 400);
}

#[tokio::test]
async fn a_flag_is_shown_changed_and_deleted_under_its_key_and_remembers_its_history() {
    let pipeline = pipeline().await;
    let admin = pipeline.admin();
    admin.accepted(FEATURES, &json!({"key": "beta", "value": "a"})).await;
    let path = format!("{FEATURES}/beta");
    let changed = send(&admin, "PUT", &path, &json!({"enabled": false, "key": "other"})).await;
    assert_eq!(changed.status, 200, "{}", changed.text());
    let shown = admin.get(&path).await.unwrap().json();
    assert_eq!((&shown["key"], &shown["enabled"], &shown["value"]), (&json!("beta"), &json!(false), &json!("a")));
    assert_eq!(send(&admin, "DELETE", &path, &Value::Null).await.json(), json!({"ok": true}));
    assert_eq!(admin.get(&path).await.unwrap().status, 404);
    let again = admin.accepted(FEATURES, &json!({"key": "beta"})).await;
    assert_eq!(again["flag"]["_version"], 4, "a key made anew goes on counting");
    let stale = admin.send("PUT", &path, &[("if-match", "\"1\"")], br#"{"enabled":true}"#).await.unwrap();
    assert_eq!((stale.status, &stale.json()["current_version"]), (412, &json!(4)));
    let body = br#"{"key":"absent"}"#;
    assert_eq!(admin.send("POST", FEATURES, &[("if-match", "\"1\"")], body).await.unwrap().status, 412);
    let restored = send(&admin, "POST", &format!("{path}/restore"), &json!({"version": 2})).await.json();
    assert_eq!((&restored["enabled"], &restored["value"]), (&json!(false), &json!("a")));
    assert_eq!(history(&admin, &path).await, ["restore", "create", "delete", "change", "create"]);
}

#[tokio::test]
async fn a_change_of_any_collection_moves_the_version_that_processes_poll() {
    let pipeline = pipeline().await;
    let admin = pipeline.admin();
    let version = async || pipeline.database.number("SELECT version FROM catalog").await;
    let mut before = version().await;
    for (path, body) in
        [(SEGMENTS, gold()), (FEATURES, json!({"key": "k"})), ("/v1/admin/campaigns", json!({"name": "n"}))]
    {
        let answer = admin.post(path, &body).await.unwrap();
        assert!(answer.status < 300, "{}", answer.text());
        let after = version().await;
        assert!(after > before, "{path}");
        before = after;
    }
}

#[tokio::test]
async fn none_of_it_is_open_to_a_write_key() {
    let pipeline = pipeline().await;
    let client = pipeline.client();
    for (method, path) in [
        ("GET", SEGMENTS),
        ("POST", SEGMENTS),
        ("PUT", "/v1/admin/segments/x"),
        ("POST", "/v1/admin/segments/x/restore"),
        ("GET", FEATURES),
        ("POST", FEATURES),
        ("DELETE", "/v1/admin/features/x"),
        ("GET", "/v1/admin/features/x/history"),
        ("POST", "/v1/admin/campaigns/x/duplicate"),
        ("POST", "/v1/admin/campaigns/x/archive"),
        ("GET", "/v1/admin/users"),
        ("GET", "/v1/admin/users/x"),
        ("GET", "/v1/admin/dead-letters"),
        ("GET", "/v1/admin/dead-letters/1"),
        ("GET", "/v1/admin/keys"),
        ("POST", "/v1/admin/keys"),
        ("DELETE", "/v1/admin/keys/x"),
    ] {
        assert_eq!(client.send(method, path, &[], b"{}").await.unwrap().status, 403, "{method} {path}");
        let keyless = pipeline.ingests[0].client().send(method, path, &[], b"{}").await.unwrap();
        assert_eq!(keyless.status, 401, "{method} {path}");
    }
}
