//! The old plan's own checklist, from top to bottom: what a person at the dashboard and the published SDKs do, with the requests
//! they really send and the fields they really read. Each line in depth: the suites beside this one.

use serde_json::{Value, json};
use tests::client::{ADMIN_KEY, Client};
use tests::matching::{campaign, ids, recorded};
use tests::parsers::{first_dashboard, first_flutter_sdk, second_flutter_sdk};
use tests::pipeline::{Pipeline, Setup};

const CAMPAIGNS: &str = "/v1/admin/campaigns";

async fn get(client: &Client, path: &str) -> Value {
    let answer = client.get(path).await.unwrap();
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.json()
}

fn keys(object: &Value) -> Vec<&str> {
    object.as_object().unwrap().keys().map(String::as_str).collect()
}

// --- Campaigns ---------------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_campaign_is_created_updated_and_deleted() {
    let pipeline = Setup::default().workers(0).start().await;
    let admin = pipeline.admin();
    let body = json!({"name": " Sale ", "config": {"type": "bottomsheet", "text": "Hello"}, "id": "mine"});
    let created = admin.post(CAMPAIGNS, &body).await.unwrap();
    assert_eq!(created.status, 201, "{}", created.text());
    let created = created.json();
    first_dashboard(&created);
    let id = created["id"].as_str().unwrap();
    assert!(uuid::Uuid::parse_str(id).is_ok(), "an id of the server's own: {id}");
    assert_eq!((&created["name"], &created["type"]), (&json!("Sale"), &json!("bottomsheet")));

    let path = format!("{CAMPAIGNS}/{id}");
    let changed = admin.put(&path, &json!({"status": "active", "type": "hologram"})).await.unwrap();
    assert_eq!(changed.status, 200, "any type is taken: {}", changed.text());
    let changed = changed.json();
    assert_eq!((&changed["status"], &changed["config"]), (&json!("active"), &created["config"]));
    assert_eq!(get(&admin, &path).await, changed);

    let deleted = admin.delete(&path).await.unwrap();
    assert_eq!(
        (deleted.status, &deleted.json()["ok"], &deleted.json()["deleted"]["id"]),
        (200, &json!(true), &json!(id))
    );
    for (method, body) in [("GET", ""), ("PUT", "{}"), ("DELETE", "")] {
        let gone = admin.send(method, &path, &[], body.as_bytes()).await.unwrap();
        assert_eq!((gone.status, &gone.json()["error"]), (404, &json!("Campaign not found")), "{method}");
    }
    let refused = admin.post(CAMPAIGNS, &json!({"name": "", "status": "on"})).await.unwrap();
    assert_eq!((refused.status, &refused.json()["error"]), (400, &json!("Validation failed")));
    let details = refused.json()["details"].clone();
    assert_eq!((&details[0]["path"], &details[1]["path"]), (&json!("name"), &json!("status")), "{details}");
}

#[tokio::test]
async fn campaigns_are_listed_by_pages_and_by_status() {
    let pipeline = Setup::default().workers(0).start().await;
    let admin = pipeline.admin();
    for number in 0..25 {
        let status = if number % 5 == 0 { "active" } else { "draft" };
        let made = admin.post(CAMPAIGNS, &json!({"name": format!("{number}"), "status": status})).await.unwrap();
        assert_eq!(made.status, 201);
    }
    let names = |list: &Value| -> Vec<u32> {
        list["campaigns"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap().parse().unwrap()).collect()
    };
    let all: Vec<u32> = (0..25).rev().collect();
    assert_eq!(names(&get(&admin, CAMPAIGNS).await), all, "newest first");
    let mut paged = Vec::new();
    for offset in [0, 10, 20] {
        let page = get(&admin, &format!("{CAMPAIGNS}?limit=10&offset={offset}")).await;
        assert_eq!(page["total"], 25);
        paged.extend(names(&page));
    }
    assert_eq!(paged, all);
    let active = get(&admin, &format!("{CAMPAIGNS}?status=active")).await;
    assert_eq!((names(&active), &active["total"]), (vec![20, 15, 10, 5, 0], &json!(5)));
}

// --- Events and users --------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn events_are_tracked_users_identified_and_campaigns_fetched_and_matched_by_rules() {
    let silver = json!([{"id": 1, "type": "attribute", "field": "tier", "operator": "==", "value": "silver"}]);
    let large = json!([{"id": 1, "type": "event", "field": "total", "operator": ">=", "value": "40"}]);
    let pipeline = Setup::default()
        .campaign(campaign("for-silver", json!({"rules": silver, "type": "modal"})))
        .campaign(campaign("for-large", json!({"rules": large})))
        .campaign(campaign("other-trigger", json!({"trigger": "closed", "rules": silver})))
        .campaign(campaign("paused", json!({"status": "paused"})))
        .start()
        .await;
    let client = pipeline.client();
    let identified = client.accepted("/v1/identify", &json!({"user_id": "u", "traits": {"tier": "silver"}})).await;
    assert_eq!(identified, json!({"ok": true, "user": {"tier": "silver"}}));

    let body = json!({"user_id": "u", "event": "opened", "properties": {"total": 55}, "messageId": "m"});
    let tracked = client.accepted("/v1/track", &body).await;
    assert_eq!(keys(&tracked), ["ok", "matched", "event"]);
    assert_eq!(keys(&tracked["event"]), ["id", "user_id", "event", "properties", "ts"]);
    assert_eq!((&tracked["event"]["user_id"], &tracked["event"]["event"]), (&json!("u"), &json!("opened")));
    assert!(tracked["event"]["id"].is_string() && tracked["event"]["ts"].is_i64(), "{tracked}");
    assert_eq!(ids(&tracked["matched"]), ["for-large", "for-silver"]);
    tracked["matched"].as_array().unwrap().iter().for_each(first_flutter_sdk);
    pipeline.drained().await;
    assert_eq!(recorded(&pipeline, "m").await, ["for-large", "for-silver"]);

    let fetched = get(&client, "/v1/campaigns?user_id=u").await;
    assert_eq!(ids(&fetched["campaigns"]), ["other-trigger", "for-silver"], "by traits alone, whatever the trigger");
    assert_eq!(get(&client, "/v1/campaigns?user_id=v").await, json!({"campaigns": []}));
}

// --- The dashboard -----------------------------------------------------------------------------------------------------------

/// What the editor sends when it saves: its own nine fields, with a leftover rule for the trigger that it added on loading.
fn saved_by_the_editor(loaded: &Value) -> Value {
    let mut body = json!({});
    for key in ["id", "name", "type", "status", "trigger", "rules", "config", "createdAt", "updatedAt"] {
        body[key] = loaded[key].clone();
    }
    let leftover = json!({"id": 1, "type": "event", "field": "unknown", "operator": "==", "value": ""});
    body["rules"].as_array_mut().unwrap().insert(0, leftover);
    body
}

#[tokio::test]
async fn a_campaign_that_the_editor_loads_and_saves_goes_on_matching() {
    let pipeline = Pipeline::start().await;
    // It sends both headers.
    let admin = pipeline.ingests[0].client().with_key(ADMIN_KEY);
    let bearer = format!("Bearer {ADMIN_KEY}");
    let headers = [("authorization", bearer.as_str())];
    let rule = json!({"id": 7, "type": "attribute", "field": "tier", "operator": "!=", "value": "gold"});
    let mut editing = json!({
        "id": "campaign_1763201218000", "name": "Welcome", "type": "bottomsheet", "status": "active", "trigger": "page_view",
        "rules": [rule], "config": {"image": format!("data:image/png;base64,{}", "QUJD".repeat(10_000))},
        "createdAt": "2025-11-15T10:06:58.000Z", "updatedAt": "2025-11-15T10:06:58.000Z"
    });
    let made = admin.send("POST", CAMPAIGNS, &headers, saved_by_the_editor(&editing).to_string().as_bytes()).await;
    let made = made.unwrap();
    assert_eq!(made.status, 201, "{}", made.text());
    let made = made.json();
    assert_ne!(made["id"], editing["id"], "it goes on under the id it is given");
    let path = format!("{CAMPAIGNS}/{}", made["id"].as_str().unwrap());
    for _ in 0..3 {
        editing = get(&admin, &path).await;
        first_dashboard(&editing);
        let saved = admin.send("PUT", &path, &headers, saved_by_the_editor(&editing).to_string().as_bytes()).await;
        let saved = saved.unwrap();
        assert_eq!((saved.status, &saved.json()["rules"]), (200, &json!([rule])), "{}", saved.text());
        assert_eq!(saved.json()["createdAt"], made["createdAt"]);
        assert!(saved.json()["_notes"][0].as_str().is_some_and(|note| note.contains("leftover rule")));
    }
    pipeline.catalog_known().await;
    let body = json!({"user_id": "u", "event": "page_view", "properties": {"page": "/"}});
    pipeline.client().accepted("/v1/identify", &json!({"user_id": "u", "traits": {"tier": "silver"}})).await;
    let tracked = pipeline.client().accepted("/v1/track", &body).await;
    assert_eq!(tracked["matched"][0]["id"], made["id"], "{tracked}");
}

#[tokio::test]
async fn every_page_of_the_dashboard_finds_what_it_reads() {
    let leftover = json!({"type": "event", "field": "unknown", "operator": "==", "value": ""});
    let pipeline = Setup::default()
        // As an import of the old store brings them.
        .campaign(json!({"id": "bare"}))
        .campaign(json!({"id": "odd", "name": null, "status": "gone", "rules": null, "config": "{}", "targeting": []}))
        .campaign(campaign("live", json!({"rules": vec![leftover; 37], "trigger": "page_view"})))
        .start()
        .await;
    let (admin, client) = (pipeline.admin(), pipeline.client());
    let list = get(&admin, &format!("{CAMPAIGNS}?limit=100&offset=0")).await;
    assert_eq!((ids(&list["campaigns"]), &list["total"]), (vec!["live", "odd", "bare"], &json!(3)));
    list["campaigns"].as_array().unwrap().iter().for_each(first_dashboard);

    // Its simulator has paths of its own.
    let tracked = client
        .accepted("/v1/analytics/track", &json!({"user_id": "u", "event": "page_view", "properties": {"page": "/"}}))
        .await;
    assert_eq!(ids(&tracked["matched"]), ["live"], "the 37 leftover rules are no rules");
    let identified = client.accepted("/v1/analytics/identify", &json!({"user_id": "u", "traits": {"a": 1}})).await;
    assert_eq!(identified["user"], json!({"a": 1}));

    pipeline.drained().await;
    let list = get(&admin, "/v1/admin/events?limit=100").await;
    assert_eq!(list["total"], 2);
    let events = list["events"].as_array().unwrap();
    for event in events {
        assert!(["id", "event", "user_id"].iter().all(|key| event[key].is_string()) && event["ts"].is_i64(), "{event}");
        assert!(event["properties"].is_object(), "{event}");
    }
    let tracked = events.iter().find(|event| event["type"] == "track").unwrap();
    assert_eq!((&tracked["event"], &tracked["properties"]), (&json!("page_view"), &json!({"page": "/"})));
    let users = get(&admin, "/v1/admin/users").await;
    assert_eq!((&users["users"][0]["id"], &users["users"][0]["a"]), (&json!("u"), &json!(1)));

    let refused = client.get(CAMPAIGNS).await.unwrap();
    assert_eq!((refused.status, &refused.json()["error"]), (403, &json!("Forbidden")));
}

// --- The SDKs ----------------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn the_first_flutter_sdk_finds_what_it_reads() {
    let pipeline = Setup::default()
        .campaign(campaign("banner", json!({"type": "banner", "trigger": "page_view", "targeting": [{"page": "/"}]})))
        .campaign(campaign("modal", json!({"type": "modal", "trigger": "page_view", "targeting": {"a": 1}})))
        .start()
        .await;
    let client = pipeline.client();
    // The device's clock, without a zone.
    let now = chrono::Utc::now().naive_utc().format("%Y-%m-%dT%H:%M:%S%.6f").to_string();
    let traits = json!({"user_id": "u", "name": "Ada", "email": null});
    client.accepted("/v1/identify", &json!({"user_id": "u", "traits": traits, "timestamp": now})).await;
    let named = json!({"external_id": null, "user_id": "u", "traits": {"phone_number": "1"}, "timestamp": now});
    let identified = client.accepted("/v1/identify", &named).await;
    assert_eq!(identified["user"], json!({"user_id": "u", "name": "Ada", "email": null, "phone_number": "1"}));
    let body = json!({
        "event_id": "u_page_view_1763201187097", "timestamp": now, "user_id": "u", "event": "page_view",
        "properties": {"page": "/"}, "sdk_version": "in_app_ninja_flutter_1.0.0", "page": null
    });
    let tracked = client.accepted("/v1/track", &body).await;
    assert_eq!(ids(&tracked["matched"]), ["modal", "banner"], "the order is the priority");
    let fetched = get(&client, "/v1/campaigns?user_id=u").await;
    assert_eq!(fetched["campaigns"], tracked["matched"]);
    fetched["campaigns"].as_array().unwrap().iter().for_each(first_flutter_sdk);
    assert_eq!(fetched["campaigns"][0]["targeting"], json!({"a": 1}));

    let flag = json!({"key": "dark", "value": "night", "payload": {"a": [1]}});
    pipeline.admin().accepted("/v1/admin/features", &flag).await;
    pipeline.catalog_known().await;
    assert_eq!(get(&client, "/v1/features/dark").await["enabled"], true);
    assert_eq!(get(&client, "/v1/features/dark/value").await["value"], "night");
    assert_eq!(get(&client, "/v1/features/dark/payload").await, json!({"a": [1]}));
    assert_eq!(get(&client, "/v1/features/unknown").await, json!({"key": "unknown", "enabled": false}));

    client.accepted("/v1/leads", &json!({"leads": [{"email": "a@b.example"}, {"user_id": "u", "n": 1}]})).await;
    pipeline.drained().await;
    let leads = "SELECT count(*) FROM events WHERE event = 'lead_added'";
    assert_eq!(pipeline.database.number(leads).await, 2);
}

#[tokio::test]
async fn the_second_generation_finds_what_it_reads() {
    let pages = json!([{"type": "page", "value": "/home"}]);
    let events = json!([{"type": "event", "field": "total", "operator": "greater_than", "value": 10}]);
    let pipeline = Setup::default()
        .campaign(campaign("plain", json!({})))
        .campaign(campaign("with-pages", json!({"targeting": pages, "layers": [{"id": "l"}], "priority": 5})))
        .campaign(campaign("by-event", json!({"rules": events, "triggers": [{"event": "closed"}]})))
        .campaign(campaign("draft", json!({"status": "draft"})))
        .campaign(campaign("previewed", json!({"status": "draft", "test_users": ["u"]})))
        .start()
        .await;
    let client = pipeline.client();
    let body = json!({"userId": "u", "action": "opened", "metadata": {"total": 11}});
    let tracked = client.accepted("/api/v1/nudge/track", &body).await;
    let all = ["with-pages", "previewed", "by-event", "plain"];
    assert_eq!((&tracked["success"], ids(&tracked["matched"])), (&json!(true), all.to_vec()));
    let identified = client.accepted("/api/v1/nudge/identify", &json!({"userId": "u", "traits": {"a": 1}})).await;
    assert_eq!((&identified["success"], &identified["user"]), (&json!(true), &json!({"a": 1})));

    // It matches events itself, so it is given what some event could match.
    let fetched = get(&client, "/api/v1/nudge/fetch?userId=u&screenName=Home&platform=android").await;
    assert_eq!((&fetched["success"], ids(&fetched["campaigns"])), (&json!(true), all.to_vec()));
    fetched["campaigns"].as_array().unwrap().iter().for_each(second_flutter_sdk);
    let first = &fetched["campaigns"][0];
    assert_eq!((&first["targeting"], &first["layers"][0]["id"], &first["priority"]), (&pages, &json!("l"), &json!(5)));

    // After an upgrade of the app its queue still holds bodies of the first generation, and the other way about.
    let queued = json!({"user_id": "u", "event": "opened", "properties": {"total": 1}, "messageId": "queued"});
    assert_eq!(
        ids(&client.accepted("/api/v1/nudge/track", &queued).await["matched"]),
        ["with-pages", "previewed", "plain"]
    );
    client.accepted("/v1/identify", &json!({"userId": "u", "traits": {"b": 2}})).await;
    pipeline.drained().await;
    assert_eq!(pipeline.database.number("SELECT count(*) FROM events WHERE user_id = 'u'").await, 4);
}

#[tokio::test]
async fn the_javascript_sdk_which_sends_no_key_is_served_where_that_is_allowed() {
    let pipeline = Setup::default().set("AUTH_REQUIRED", "false").campaign(campaign("c", json!({}))).start().await;
    let keyless = pipeline.ingests[0].client();
    assert_eq!(keyless.accepted("/v1/identify", &json!({"user_id": "u", "traits": {"a": 1}})).await["user"]["a"], 1);
    let tracked = keyless.accepted("/v1/track", &json!({"user_id": "u", "event": "opened", "properties": {}})).await;
    assert_eq!(ids(&tracked["matched"]), ["c"]);
    assert_eq!(ids(&get(&keyless, "/v1/campaigns?user_id=u").await["campaigns"]), ["c"]);
    let refused = keyless.get(CAMPAIGNS).await.unwrap();
    assert_eq!(
        (refused.status, &refused.json()["error"]),
        (401, &json!("Unauthorized")),
        "the admin side stays closed"
    );
}
