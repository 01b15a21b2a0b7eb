//! Identity verification: with a secret set, a write key reads about a user only with that user's hash.

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use tests::client::Client;
use tests::eventually::{equal, eventually};
use tests::pipeline::{Pipeline, Setup};

const KEYS: &str = "/v1/admin/keys";

fn hash(secret: &str, user_id: &str) -> String {
    let mut hmac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    hmac.update(user_id.as_bytes());
    hmac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A pipeline with a campaign for users on the plan `pro`, of whom `ada` is one.
async fn pipeline(setup: Setup) -> Pipeline {
    let pipeline = setup.start().await;
    let campaign = json!({"name": "For pros", "status": "active", "trigger": "opened",
        "rules": [{"type": "attribute", "field": "plan", "operator": "==", "value": "pro"}]});
    let made = pipeline.admin().post("/v1/admin/campaigns", &campaign).await.unwrap();
    assert_eq!(made.status, 201, "{}", made.text());
    pipeline.admin().accepted("/v1/identify", &json!({"user_id": "ada", "traits": {"plan": "pro"}})).await;
    pipeline.catalog_known().await;
    pipeline.drained().await;
    pipeline
}

/// What this client learns about `ada`, with this in the address: campaigns, a flag's status, the reply to a track, to an identify.
async fn learns(client: &Client, query: &str) -> (u16, u16, Value, Value) {
    let list = client.get(&format!("/v1/campaigns?user_id=ada{query}")).await.unwrap();
    if list.status == 403 {
        assert_eq!(list.json()["code"], "user_not_verified");
        assert!(list.json()["message"].as_str().unwrap().contains("user_hash"));
        assert_eq!(client.get(&format!("/api/v1/nudge/fetch?userId=ada{query}")).await.unwrap().status, 403);
    } else {
        assert_eq!(list.json()["campaigns"].as_array().unwrap().len(), 1, "{}", list.text());
    }
    let flag = client.get(&format!("/v1/features/x?user_id=ada{query}")).await.unwrap();
    let path = |path: &str| format!("{path}?{}", query.trim_start_matches('&'));
    let tracked = client.accepted(&path("/v1/track"), &json!({"user_id": "ada", "event": "opened"})).await;
    let identified = client.accepted(&path("/v1/identify"), &json!({"user_id": "ada", "traits": {"seen": 1}})).await;
    let matched = json!([tracked["matched"].as_array().unwrap().len(), tracked["matched_complete"]]);
    (list.status, flag.status, matched, json!([identified["user"], identified["user_complete"]]))
}

#[tokio::test]
async fn a_write_key_with_a_secret_reads_about_a_user_only_with_the_users_hash() {
    let pipeline = pipeline(Setup::default()).await;
    let body = json!({"name": "app", "role": "client", "identity_verification": true});
    let made = pipeline.admin().post(KEYS, &body).await.unwrap();
    assert_eq!((made.status, &made.json()["identity_verification"]), (201, &json!(true)), "{}", made.text());
    let made = made.json();
    let secret = made["identity_secret"].as_str().unwrap();
    assert_eq!(secret.len(), 64, "256 bits");
    let client = pipeline.client().with_key(made["key"].as_str().unwrap());
    eventually("the key works", async || equal(client.get("/v1/campaigns").await.unwrap().status, 200)).await;

    let verified = (200, 200, json!([1, null]), json!([{"plan": "pro", "seen": 1}, null]));
    let refused = (403, 403, json!([0, false]), json!([{"seen": 1}, false]));
    assert_eq!(learns(&client, "").await, refused);
    for wrong in [hash(secret, "bob"), hash("other", "ada"), String::new(), "x".repeat(64)] {
        assert_eq!(learns(&client, &format!("&user_hash={wrong}")).await, refused, "{wrong}");
    }
    let right = hash(secret, "ada");
    assert_eq!(learns(&client, &format!("&user_hash={right}")).await, verified);
    let in_header = [("x-user-hash", right.as_str())];
    assert_eq!(client.send("GET", "/v1/campaigns?user_id=ada", &in_header, b"").await.unwrap().status, 200);
    assert_eq!(client.send("GET", "/v1/campaigns?user_id=bob", &in_header, b"").await.unwrap().status, 403);

    // Strangers, other keys and admins are asked for nothing.
    assert_eq!(client.get("/v1/campaigns?user_id=anonymous").await.unwrap().status, 200);
    assert_eq!(learns(&pipeline.client(), "").await, verified);
    assert_eq!(learns(&pipeline.admin(), "").await, verified);
    // What was sent without a hash is stored and matched all the same.
    pipeline.drained().await;
    let tracks =
        "SELECT count(*) FROM events e JOIN matches m ON m.event_id = e.id WHERE e.source = 'app' AND e.type = 'track'";
    assert_eq!(pipeline.database.number(tracks).await, 6);
}

#[tokio::test]
async fn verification_can_be_switched_and_the_secret_is_shown_once() {
    let pipeline = pipeline(Setup::default()).await;
    let admin = pipeline.admin();
    let made = admin.post(KEYS, &json!({"name": "app", "role": "client"})).await.unwrap().json();
    assert_eq!((&made["identity_verification"], made.get("identity_secret")), (&json!(false), None));
    let client = pipeline.client().with_key(made["key"].as_str().unwrap());
    let status = async || client.get("/v1/campaigns?user_id=ada").await.unwrap().status;
    eventually("the key works", async || equal(status().await, 200)).await;

    let path = format!("{KEYS}/{}", made["id"].as_str().unwrap());
    let change = async |body: Value| admin.put(&path, &body).await.unwrap();
    let on = change(json!({"identity_verification": true})).await;
    assert_eq!((on.status, on.header("cache-control")), (200, Some("no-store")), "{}", on.text());
    let secret = on.json()["identity_secret"].as_str().unwrap().to_owned();
    eventually("the secret is known", async || equal(status().await, 403)).await;
    let again = change(json!({"identity_verification": true, "limits": {"events_per_second": 7}})).await.json();
    assert_eq!((again.get("identity_secret"), &again["limits"]["events_per_second"]), (None, &json!(7)));
    assert!(!admin.get(KEYS).await.unwrap().text().contains(&secret));
    let with_hash = format!("/v1/campaigns?user_id=ada&user_hash={}", hash(&secret, "ada"));
    assert_eq!(client.get(&with_hash).await.unwrap().status, 200);
    let off = change(json!({"identity_verification": false})).await.json();
    assert_eq!((&off["identity_verification"], &off["limits"]["events_per_second"]), (&json!(false), &json!(7)));
    eventually("no hash is needed any more", async || equal(status().await, 200)).await;

    let refused =
        admin.post(KEYS, &json!({"name": "ops", "role": "admin", "identity_verification": true})).await.unwrap();
    assert_eq!((refused.status, &refused.json()["details"][0]["path"]), (400, &json!("identity_verification")));
    assert_eq!(admin.put(&format!("{KEYS}/x"), &json!({})).await.unwrap().status, 404);
}

#[tokio::test]
async fn keys_of_the_environment_may_have_a_secret_too() {
    let setup = Setup::default().set("CLIENT_API_KEYS", "app:k1, test-write-key").set("IDENTITY_SECRETS", "app:s3cret");
    let pipeline = pipeline(setup).await;
    let client = pipeline.client().with_key("k1");
    assert_eq!(client.get("/v1/campaigns?user_id=ada").await.unwrap().status, 403);
    let with_hash = format!("/v1/campaigns?user_id=ada&user_hash={}", hash("s3cret", "ada"));
    assert_eq!(client.get(&with_hash).await.unwrap().status, 200);
    assert_eq!(pipeline.client().get("/v1/campaigns?user_id=ada").await.unwrap().status, 200);
}
