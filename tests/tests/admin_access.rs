//! Keys made and revoked through the admin API, and the limit on writes.

use serde_json::{Value, json};
use tests::client::{ADMIN_KEY, Client};
use tests::eventually::{equal, eventually};
use tests::pipeline::{Pipeline, Setup};

const KEYS: &str = "/v1/admin/keys";

async fn made(admin: &Client, name: &str, role: &str) -> Value {
    let answer = admin.post(KEYS, &json!({"name": name, "role": role})).await.unwrap();
    assert_eq!(answer.status, 201, "{}", answer.text());
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    answer.json()
}

async fn status(client: &Client) -> u16 {
    client.post("/v1/track", &json!({"user_id": "u", "event": "e"})).await.unwrap().status
}

async fn revoke(admin: &Client, key: &Value) {
    let answer = admin.send("DELETE", &format!("{KEYS}/{}", key["id"].as_str().unwrap()), &[], b"").await.unwrap();
    assert_eq!((answer.status, answer.json()), (200, json!({"ok": true})));
}

#[tokio::test]
async fn a_key_is_shown_once_opens_what_its_role_says_and_is_kept_only_as_a_hash() {
    let pipeline = Pipeline::start().await;
    let admin = pipeline.admin();
    let (client, second_admin) = (made(&admin, "app", "client").await, made(&admin, "ops", "admin").await);
    let key = client["key"].as_str().unwrap();
    let with = |key: &Value| pipeline.ingests[0].client().with_key(key["key"].as_str().unwrap());
    eventually("the new key works", async || equal(status(&with(&client)).await, 200)).await;
    assert_eq!(with(&client).get(KEYS).await.unwrap().status, 403);
    eventually("the new admin key works", async || equal(with(&second_admin).get(KEYS).await.unwrap().status, 200))
        .await;

    let list = admin.get(KEYS).await.unwrap();
    assert!(!list.text().contains(key) && !list.text().contains("hash"), "{}", list.text());
    let list = list.json();
    let names: Vec<_> = list["keys"].as_array().unwrap().iter().map(|k| k["name"].as_str().unwrap()).collect();
    assert_eq!((names, &list["total"]), (vec!["ops", "app"], &json!(2)));
    assert_eq!((&list["keys"][1]["role"], &list["keys"][1]["revoked_at"]), (&json!("client"), &Value::Null));
    let stored = format!("SELECT count(*) FROM api_keys WHERE api_keys::text LIKE '%{key}%'");
    assert_eq!(pipeline.database.number(&stored).await, 0);
    pipeline.drained().await;
    assert_eq!(pipeline.database.number("SELECT count(*) FROM events WHERE source = 'app'").await, 1);
}

#[tokio::test]
async fn a_name_has_at_most_two_live_keys_so_that_one_can_follow_the_other() {
    let pipeline = Setup::default().workers(0).start().await;
    let admin = pipeline.admin();
    let first = made(&admin, "app", "client").await;
    made(&admin, "app", "client").await;
    let refused = admin.post(KEYS, &json!({"name": "app", "role": "client"})).await.unwrap();
    assert_eq!((refused.status, &refused.json()["code"]), (409, &json!("conflict")));
    revoke(&admin, &first).await;
    made(&admin, "app", "client").await;
    assert_eq!(pipeline.database.number("SELECT count(*) FROM api_keys WHERE revoked_at IS NULL").await, 2);
}

#[tokio::test]
async fn two_at_once_do_not_both_get_the_last_place() {
    let pipeline = Setup::default().workers(0).start().await;
    let mut tries = Vec::new();
    for _ in 0..8 {
        let admin = pipeline.ingests[0].client().with_key(ADMIN_KEY);
        tries.push(tokio::spawn(async move {
            admin.post(KEYS, &json!({"name": "app", "role": "client"})).await.unwrap().status
        }));
    }
    let mut statuses = Vec::new();
    for one in tries {
        statuses.push(one.await.unwrap());
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 201, 409, 409, 409, 409, 409, 409]);
}

#[tokio::test]
async fn a_revoked_key_stops_working_and_revoking_it_again_changes_nothing() {
    let pipeline = Pipeline::start().await;
    let admin = pipeline.admin();
    let key = made(&admin, "app", "client").await;
    let client = pipeline.ingests[0].client().with_key(key["key"].as_str().unwrap());
    eventually("the new key works", async || equal(status(&client).await, 200)).await;
    revoke(&admin, &key).await;
    let revoked_at = async || admin.get(KEYS).await.unwrap().json()["keys"][0]["revoked_at"].clone();
    let first = revoked_at().await;
    revoke(&admin, &key).await;
    assert_eq!((first.is_string(), revoked_at().await), (true, first));
    eventually("the revoked key is refused", async || equal(status(&client).await, 401)).await;
    for missing in ["x", "00000000-0000-4000-8000-000000000000"] {
        assert_eq!(admin.send("DELETE", &format!("{KEYS}/{missing}"), &[], b"").await.unwrap().status, 404);
    }
}

#[tokio::test]
async fn a_key_needs_a_plain_name_and_a_known_role() {
    let pipeline = Setup::default().workers(0).start().await;
    let admin = pipeline.admin();
    for (body, fields) in [
        (json!({"name": "a b", "role": "client"}), vec!["name"]),
        (json!({"name": "n".repeat(65), "role": "admin"}), vec!["name"]),
        (json!({"name": "app", "role": "root"}), vec!["role"]),
        (json!({}), vec!["name", "role"]),
    ] {
        let refused = admin.post(KEYS, &body).await.unwrap();
        assert_eq!((refused.status, &refused.json()["code"]), (400, &json!("invalid_key")), "{body}");
        let details = refused.json()["details"].clone();
        let named: Vec<_> = details.as_array().unwrap().iter().map(|d| d["path"].as_str().unwrap()).collect();
        assert_eq!(named, fields);
    }
    assert_eq!(pipeline.database.number("SELECT count(*) FROM api_keys").await, 0);
}

#[tokio::test]
async fn writes_of_one_address_are_limited_together_and_reads_and_strangers_are_not_counted() {
    let pipeline = Setup::default().workers(0).set("ADMIN_WRITE_LIMIT", "3").start().await;
    let admin = pipeline.admin();
    for _ in 0..5 {
        assert_eq!(admin.get("/v1/admin/campaigns").await.unwrap().header("ratelimit-limit"), None);
        assert_eq!(pipeline.client().post("/v1/admin/campaigns", &json!({})).await.unwrap().status, 403);
    }
    let mut remaining = Vec::new();
    for (method, path, status) in [
        ("POST", "/v1/admin/campaigns", 201),
        ("POST", "/v1/admin/features", 400),
        ("DELETE", "/v1/admin/segments/x", 404),
    ] {
        let answer = admin.send(method, path, &[], br#"{"name":"n"}"#).await.unwrap();
        assert_eq!(answer.status, status, "{}", answer.text());
        assert_eq!((answer.header("ratelimit-limit"), answer.header("retry-after")), (Some("3"), None));
        assert_eq!(answer.header("ratelimit-policy"), Some("3;w=900"));
        remaining.push(answer.header("ratelimit-remaining").unwrap().to_owned());
    }
    assert_eq!(remaining, ["2", "1", "0"], "refused ones count too");
    let refused = admin.post("/v1/admin/keys", &json!({"name": "k", "role": "client"})).await.unwrap();
    assert_eq!(refused.status, 429);
    let body = refused.json();
    assert_eq!(body["error"], "Too many admin requests, please try again later.");
    assert_eq!(body["code"], "rate_limited");
    let seconds = |name: &str| refused.header(name).unwrap().parse::<u64>().unwrap();
    assert!((1..=900).contains(&seconds("retry-after")) && seconds("ratelimit-reset") == seconds("retry-after"));
    assert_eq!(refused.header("ratelimit-remaining"), Some("0"));
    assert_eq!(admin.get("/v1/admin/campaigns").await.unwrap().status, 200, "reading goes on");
    assert_eq!(pipeline.database.number("SELECT count(*) FROM api_keys").await, 0);
}

#[tokio::test]
async fn a_new_window_gives_the_limit_again() {
    let setup = Setup::default().workers(0).set("ADMIN_WRITE_LIMIT", "1").set("ADMIN_WRITE_WINDOW_SECONDS", "1");
    let pipeline = setup.start().await;
    let admin = pipeline.admin();
    let status = async || admin.post("/v1/admin/campaigns", &json!({"name": "n"})).await.unwrap().status;
    assert_eq!(status().await, 201);
    eventually("a refusal, then room again", async || equal(status().await, 429)).await;
    eventually("the window ends", async || equal(status().await, 201)).await;
}
