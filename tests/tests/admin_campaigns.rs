//! Campaigns as an editor handles them: lists, search, copies, versions, history, and the way back.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tests::client::Client;
use tests::http1::Answer;
use tests::pipeline::Setup;

const CAMPAIGNS: &str = "/v1/admin/campaigns";

async fn send(admin: &Client, method: &str, path: &str, if_match: Option<&str>, body: &Value) -> Answer {
    let headers: Vec<_> = if_match.map(|tag| ("if-match", tag)).into_iter().collect();
    let body = if body.is_null() { String::new() } else { body.to_string() };
    admin.send(method, path, &headers, body.as_bytes()).await.unwrap()
}

async fn created(admin: &Client, body: &Value) -> Value {
    let answer = admin.post(CAMPAIGNS, body).await.unwrap();
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()
}

async fn listed(admin: &Client, query: &str) -> Value {
    let answer = admin.get(&format!("{CAMPAIGNS}{query}")).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

fn names(list: &Value) -> Vec<&str> {
    list["campaigns"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect()
}

fn path(campaign: &Value) -> String {
    format!("{CAMPAIGNS}/{}", campaign["id"].as_str().unwrap())
}

async fn history(admin: &Client, campaign: &Value) -> Vec<Value> {
    let answer = admin.get(&format!("{}/history", path(campaign))).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["history"].as_array().unwrap().clone()
}

async fn five(admin: &Client) -> Vec<Value> {
    let mut made = Vec::new();
    for (name, status) in [("A", "draft"), ("B", "active"), ("C", "paused"), ("D", "active"), ("E", "draft")] {
        made.push(created(admin, &json!({"name": name, "status": status})).await);
    }
    made
}

#[tokio::test]
async fn the_list_is_newest_first_whole_by_default_and_pages_by_offset_or_cursor() {
    let pipeline = Setup::default().workers(0).start().await;
    let admin = pipeline.admin();
    five(&admin).await;
    let all = listed(&admin, "").await;
    assert_eq!(names(&all), ["E", "D", "C", "B", "A"]);
    assert_eq!((&all["total"], &all["next_cursor"]), (&json!(5), &Value::Null));
    assert_eq!(names(&listed(&admin, "?limit=0").await).len(), 5);
    assert_eq!(names(&listed(&admin, "?limit=2&offset=1").await), ["D", "C"]);

    let first = listed(&admin, "?limit=2").await;
    let next = |page: &Value| format!("?limit=2&cursor={}", page["next_cursor"].as_str().unwrap());
    let second_query = next(&first);
    // A page that begins behind a row is not shifted by what is made meanwhile.
    created(&admin, &json!({"name": "F"})).await;
    let second = listed(&admin, &second_query).await;
    let third = listed(&admin, &next(&second)).await;
    assert_eq!((names(&first), names(&second), names(&third)), (vec!["E", "D"], vec!["C", "B"], vec!["A"]));
    assert_eq!((&third["next_cursor"], &third["total"]), (&Value::Null, &json!(6)));

    let refused = admin.get(&format!("{CAMPAIGNS}?cursor=nonsense")).await.unwrap();
    assert_eq!((refused.status, &refused.json()["code"]), (400, &json!("invalid_parameter")));
}

#[tokio::test]
async fn the_list_is_filtered_by_status_and_a_campaign_without_one_is_a_draft() {
    let pipeline = Setup::default().workers(0).start().await;
    let admin = pipeline.admin();
    let made = five(&admin).await;
    created(&admin, &json!({"name": "no status"})).await;
    let archived = send(&admin, "POST", &format!("{}/archive", path(&made[1])), None, &Value::Null).await;
    assert_eq!((archived.status, &archived.json()["status"]), (200, &json!("archived")));
    let drafts = listed(&admin, "?status=draft").await;
    assert_eq!((names(&drafts), &drafts["total"]), (vec!["no status", "E", "A"], &json!(3)));
    assert_eq!(names(&listed(&admin, "?status=active,%20paused").await), ["D", "C"]);
    assert_eq!(names(&listed(&admin, "?status=archived").await), ["B"]);
    assert_eq!(names(&listed(&admin, "").await).len(), 6, "archived ones are listed too");
    let refused = admin.get(&format!("{CAMPAIGNS}?status=gone")).await.unwrap();
    assert_eq!(refused.status, 400);
    assert!(refused.text().contains("archived"), "{}", refused.text());
}

#[tokio::test]
async fn a_search_finds_every_word_as_a_prefix_in_name_triggers_and_config() {
    let pipeline = Setup::default().workers(0).start().await;
    let admin = pipeline.admin();
    let image = format!("data:image/png;base64,{}", "QUJD".repeat(5_000));
    for body in [
        json!({"name": "Monsoon Delivery", "trigger": "cart_viewed", "config": {"image": image, "text": "Free today"}}),
        json!({"name": "Spring sale v1.2", "triggers": ["screen_viewed"], "config": {"a": [{"deep": "example.com/offer"}]}}),
        json!({"name": "Лето", "status": "active", "config": {"n": 5}}),
    ] {
        created(&admin, &body).await;
    }
    let found = async |q: &str| {
        let list = listed(&admin, &format!("?q={q}")).await;
        assert_eq!(list["total"], names(&list).len());
        names(&list).join(", ")
    };
    assert_eq!(found("monsoon").await, "Monsoon Delivery");
    assert_eq!(found("deliv%20MON").await, "Monsoon Delivery", "in any order and case");
    assert_eq!(found("monsoon%20sale").await, "", "all words must occur");
    assert_eq!(found("cart_viewed").await, "Monsoon Delivery");
    assert_eq!(found("viewed").await, "Spring sale v1.2, Monsoon Delivery");
    assert_eq!(found("free").await, "Monsoon Delivery");
    assert_eq!(found("QUJDQUJD").await, "", "images are not words");
    assert_eq!(found("v1.2").await, "Spring sale v1.2");
    assert_eq!(found("example.com/of").await, "Spring sale v1.2");
    assert_eq!(found("%D0%9B%D0%B5%D1%82").await, "Лето");
    for hostile in ["'", "%5C", "a%26%26", "!", "%28", "%3A*", "a%00b", "%22%27%3B--"] {
        assert_eq!(admin.get(&format!("{CAMPAIGNS}?q={hostile}")).await.unwrap().status, 200, "{hostile}");
    }
    assert_eq!(names(&listed(&admin, "?q=viewed&status=draft&limit=1").await), ["Spring sale v1.2"]);
}

#[tokio::test]
async fn a_change_is_a_shallow_merge_that_answers_with_the_whole_and_keeps_unknown_fields() {
    let pipeline = Setup::default().workers(0).start().await;
    let admin = pipeline.admin();
    let made = created(&admin, &json!({"name": "One", "odd": {"a": 1}, "config": {"a": 1, "b": 2}})).await;
    let body = json!({"config": {"c": 3}, "id": "other", "_version": 99, "_notes": ["x"], "createdAt": "never"});
    let changed = send(&admin, "PUT", &path(&made), None, &body).await;
    assert_eq!(changed.status, 200, "{}", changed.text());
    let changed = changed.json();
    assert_eq!(
        (&changed["name"], &changed["odd"], &changed["config"]),
        (&json!("One"), &json!({"a": 1}), &json!({"c": 3}))
    );
    assert_eq!((&changed["id"], &changed["createdAt"]), (&made["id"], &made["createdAt"]));
    assert_eq!((&made["_version"], &changed["_version"], changed.get("_notes")), (&json!(1), &json!(2), None));
    let stored = "SELECT count(*) FROM campaigns WHERE document ?| ARRAY['id', '_version', '_notes', 'createdAt']";
    assert_eq!(pipeline.database.number(stored).await, 0);
}

#[tokio::test]
async fn rules_that_an_old_editor_cannot_show_survive_its_saves() {
    let pipeline = Setup::default().workers(0).start().await;
    let admin = pipeline.admin();
    let group = json!({"any": [{"field": "a", "operator": "==", "value": 1}, {"field": "b", "operator": "exists"}]});
    let plain = json!({"type": "attribute", "field": "plan", "operator": "==", "value": "pro"});
    let made = created(&admin, &json!({"name": "n", "rules": [group, plain]})).await;
    // It makes a leftover of what has no field.
    let leftover = json!({"type": "event", "field": "unknown", "operator": "==", "value": ""});
    let saved = send(&admin, "PUT", &path(&made), None, &json!({"rules": [leftover, leftover, plain]})).await.json();
    assert_eq!(saved["rules"], json!([plain, group]));
    let notes = json!(["2 leftover rules of an editor were dropped", "1 rules that this editor cannot show were kept"]);
    assert_eq!(saved["_notes"], notes);
    // Who leaves nothing behind means what is sent.
    let saved = send(&admin, "PUT", &path(&made), None, &json!({"rules": [plain]})).await.json();
    assert_eq!(saved["rules"], json!([plain]));
}

#[tokio::test]
async fn leftover_rules_of_an_editor_are_dropped_with_a_note() {
    let pipeline = Setup::default().workers(0).start().await;
    let admin = pipeline.admin();
    let leftover = json!({"type": "event", "field": "unknown", "operator": "==", "value": ""});
    let rule = json!({"type": "event", "field": "a", "operator": "==", "value": "1"});
    let made = created(&admin, &json!({"name": "n", "rules": [leftover, rule, leftover]})).await;
    assert_eq!(made["rules"], json!([rule]));
    assert_eq!(made["_notes"], json!(["2 leftover rules of an editor were dropped"]));
    let changed = send(&admin, "PUT", &path(&made), None, &json!({"rules": [leftover]})).await.json();
    assert_eq!(
        (&changed["rules"], &changed["_notes"]),
        (&json!([]), &json!(["1 leftover rule of an editor was dropped"]))
    );
    assert_eq!(admin.get(&path(&made)).await.unwrap().json().get("_notes"), None);
}

#[tokio::test]
async fn a_stored_campaign_without_effect_shows_its_faults_and_can_still_be_stopped() {
    let broken = json!({"id": "broken", "name": "b", "status": "active", "trigger": "e", "rules": [null]});
    let pipeline = Setup::default().workers(0).campaign(broken).start().await;
    let admin = pipeline.admin();
    let shown = admin.get(&format!("{CAMPAIGNS}/broken")).await.unwrap().json();
    assert_eq!(shown["_faults"][0]["field"], "rules[0]", "{shown}");
    assert_eq!(listed(&admin, "").await["campaigns"][0]["_faults"], shown["_faults"]);
    let refused = send(&admin, "PUT", &format!("{CAMPAIGNS}/broken"), None, &json!({"name": "c"})).await;
    assert_eq!((refused.status, &refused.json()["code"]), (400, &json!("invalid_campaign")));
    let paused = send(&admin, "PUT", &format!("{CAMPAIGNS}/broken"), None, &json!({"status": "paused"})).await;
    assert_eq!((paused.status, &paused.json()["status"]), (200, &json!("paused")), "{}", paused.text());
    let archived = send(&admin, "POST", &format!("{CAMPAIGNS}/broken/archive"), None, &Value::Null).await;
    assert_eq!((archived.status, &archived.json()["status"]), (200, &json!("archived")), "{}", archived.text());
    let mended = send(&admin, "PUT", &format!("{CAMPAIGNS}/broken"), None, &json!({"rules": []})).await;
    assert_eq!((mended.status, mended.json().get("_faults")), (200, None));
}

#[tokio::test]
async fn a_duplicate_is_a_draft_with_a_name_and_an_id_of_its_own() {
    let pipeline = Setup::default().workers(0).start().await;
    let admin = pipeline.admin();
    let made =
        created(&admin, &json!({"name": "Sale", "status": "active", "trigger": "e", "config": {"a": 1}, "odd": 2}))
            .await;
    let answer = send(&admin, "POST", &format!("{}/duplicate", path(&made)), None, &Value::Null).await;
    assert_eq!((answer.status, answer.header("etag")), (201, Some("\"1\"")), "{}", answer.text());
    let copy = answer.json();
    assert_ne!(copy["id"], made["id"]);
    assert_eq!((&copy["name"], &copy["status"]), (&json!("Sale (copy)"), &json!("draft")));
    assert_eq!((&copy["trigger"], &copy["config"], &copy["odd"]), (&json!("e"), &json!({"a": 1}), &json!(2)));
    assert_eq!(names(&listed(&admin, "").await), ["Sale (copy)", "Sale"]);
    let missing = send(&admin, "POST", &format!("{CAMPAIGNS}/none/duplicate"), None, &Value::Null).await;
    assert_eq!((missing.status, &missing.json()["error"]), (404, &json!("Campaign not found")));
}

#[tokio::test]
async fn a_change_that_names_an_old_version_is_refused_and_old_clients_need_not_name_one() {
    let pipeline = Setup::default().workers(0).start().await;
    let admin = pipeline.admin();
    let answer = admin.post(CAMPAIGNS, &json!({"name": "a"})).await.unwrap();
    assert_eq!(answer.header("etag"), Some("\"1\""));
    let path = path(&answer.json());
    let changed = send(&admin, "PUT", &path, Some("\"1\""), &json!({"name": "b"})).await;
    assert_eq!((changed.status, changed.header("etag")), (200, Some("\"2\"")));
    assert_eq!(admin.get(&path).await.unwrap().header("etag"), Some("\"2\""));
    for (method, end, body) in [
        ("PUT", "", json!({"name": "c"})),
        ("DELETE", "", Value::Null),
        ("POST", "/archive", Value::Null),
        ("POST", "/restore", json!({"version": 1})),
    ] {
        let refused = send(&admin, method, &format!("{path}{end}"), Some("\"1\""), &body).await;
        assert_eq!(refused.status, 412, "{method} {end}: {}", refused.text());
        let refused = refused.json();
        assert_eq!((&refused["code"], &refused["current_version"]), (&json!("version_conflict"), &json!(2)));
        assert!(refused["error"].is_string() && refused["message"].is_string(), "{refused}");
    }
    assert_eq!(admin.get(&path).await.unwrap().json()["name"], "b");
    for if_match in [Some("*"), None, Some("\"9\", \"4\"")] {
        assert_eq!(send(&admin, "PUT", &path, if_match, &json!({"name": "d"})).await.status, 200, "{if_match:?}");
    }
    assert_eq!(send(&admin, "DELETE", &path, Some("\"5\""), &Value::Null).await.status, 200);
}

#[tokio::test]
async fn of_many_changes_at_once_none_is_lost_and_each_is_in_the_history() {
    let pipeline = Setup::default().ingests(2).workers(0).start().await;
    let admin = pipeline.admin();
    let made = created(&admin, &json!({"name": "n"})).await;
    let path = path(&made);
    let mut changes = Vec::new();
    for number in 0..20 {
        let ingest = &pipeline.ingests[number % 2];
        let (client, path) = (ingest.client().with_key(tests::client::ADMIN_KEY), path.clone());
        changes.push(tokio::spawn(async move {
            let body = json!({format!("field_{number}"): number}).to_string();
            client.send("PUT", &path, &[], body.as_bytes()).await.unwrap().status
        }));
    }
    for change in changes {
        assert_eq!(change.await.unwrap(), 200);
    }
    let campaign = admin.get(&path).await.unwrap().json();
    assert_eq!(campaign["_version"], 21);
    assert!((0..20).all(|n| campaign[format!("field_{n}")] == n), "{campaign}");
    let query = "SELECT count(DISTINCT version) FROM changes WHERE before IS DISTINCT FROM after";
    assert_eq!(pipeline.database.number(query).await, 21);
}

#[tokio::test]
async fn the_history_tells_who_changed_what_when_newest_first_by_pages() {
    let pipeline = Setup::default().workers(0).set("ADMIN_API_KEYS", "test-admin-key,grace:grace-key").start().await;
    let admin = pipeline.admin();
    let grace = pipeline.ingests[0].client().with_key("grace-key");
    let made = created(&admin, &json!({"name": "one", "config": {"a": 1}})).await;
    send(&grace, "PUT", &path(&made), None, &json!({"name": "two", "config": {"a": 1}})).await;
    send(&grace, "POST", &format!("{}/archive", path(&made)), None, &Value::Null).await;
    send(&admin, "DELETE", &path(&made), None, &Value::Null).await;

    let history = history(&admin, &made).await;
    let told: Vec<_> = history
        .iter()
        .map(|c| (c["version"].as_i64().unwrap(), c["action"].as_str().unwrap(), c["by"].as_str().unwrap()))
        .collect();
    assert_eq!(
        told,
        [(4, "delete", "admin-1"), (3, "change", "grace"), (2, "change", "grace"), (1, "create", "admin-1")]
    );
    assert_eq!((&history[2]["before"]["name"], &history[2]["after"]["name"]), (&json!("one"), &json!("two")));
    assert_eq!(history[2]["changed"], json!(["name"]), "the config is the same");
    assert_eq!(history[1]["changed"], json!(["status"]));
    assert_eq!((&history[0]["after"], &history[3]["before"]), (&Value::Null, &Value::Null));
    assert!(history.iter().all(|c| c["at"].as_str().is_some_and(|at| at.ends_with('Z'))), "{history:?}");

    let page = admin.get(&format!("{}/history?limit=3", path(&made))).await.unwrap().json();
    let next = format!("{}/history?limit=3&cursor={}", path(&made), page["next_cursor"].as_str().unwrap());
    let rest = admin.get(&next).await.unwrap().json();
    assert_eq!((&rest["history"][0]["version"], &rest["next_cursor"]), (&json!(1), &Value::Null));
    assert_eq!(admin.get(&format!("{CAMPAIGNS}/none/history")).await.unwrap().status, 404);
}

#[tokio::test]
async fn a_restore_brings_a_version_back_as_a_new_one() {
    let pipeline = Setup::default().workers(0).start().await;
    let admin = pipeline.admin();
    let made = created(&admin, &json!({"name": "one", "status": "active", "odd": 1})).await;
    send(&admin, "PUT", &path(&made), None, &json!({"name": "two", "status": "paused", "odd": 2})).await;
    let restore = format!("{}/restore", path(&made));
    let restored = send(&admin, "POST", &restore, Some("\"2\""), &json!({"version": 1})).await;
    assert_eq!((restored.status, restored.header("etag")), (200, Some("\"3\"")), "{}", restored.text());
    let restored = restored.json();
    assert_eq!(
        (&restored["name"], &restored["status"], &restored["odd"]),
        (&json!("one"), &json!("active"), &json!(1))
    );
    assert_eq!(history(&admin, &made).await[0]["action"], "restore");
    assert_eq!(names(&listed(&admin, "?status=active").await), ["one"]);
    assert_eq!(send(&admin, "POST", &restore, None, &json!({"version": 7})).await.status, 404);
    assert_eq!(send(&admin, "POST", &restore, None, &json!({"version": "1"})).await.status, 400);
    let unknown = format!("{CAMPAIGNS}/none/restore");
    assert_eq!(send(&admin, "POST", &unknown, None, &json!({"version": 1})).await.status, 404);
}

#[tokio::test]
async fn a_deleted_campaign_comes_back_to_its_place_and_its_versions_go_on_growing() {
    let pipeline = Setup::default().workers(0).start().await;
    let admin = pipeline.admin();
    let made = five(&admin).await;
    let mut seen = BTreeSet::new();
    for round in 0..3 {
        let deleted = send(&admin, "DELETE", &path(&made[2]), None, &Value::Null).await;
        assert_eq!((deleted.status, &deleted.json()["deleted"]["name"]), (200, &json!("C")));
        let again = send(&admin, "DELETE", &path(&made[2]), None, &Value::Null).await;
        assert_eq!(again.status, 404);
        let restore = format!("{}/restore", path(&made[2]));
        let refused = send(&admin, "POST", &restore, Some("\"1\""), &json!({"version": 1})).await;
        assert_eq!(refused.status, 412, "deleting made a version too");
        let restored = send(&admin, "POST", &restore, None, &json!({"version": 1})).await;
        assert_eq!(restored.status, 200, "{}", restored.text());
        let restored = restored.json();
        assert_eq!((&restored["id"], &restored["createdAt"]), (&made[2]["id"], &made[2]["createdAt"]));
        assert_eq!(names(&listed(&admin, "").await), ["E", "D", "C", "B", "A"]);
        assert_eq!(restored["_version"], 3 + 2 * round);
        seen.extend(history(&admin, &made[2]).await.iter().map(|change| change["version"].as_i64().unwrap()));
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6, 7]);
}

#[tokio::test]
async fn an_imported_campaign_can_go_back_to_what_it_was_before_its_first_change() {
    let imported = json!({"id": "imported", "name": "old"});
    let pipeline = Setup::default().workers(0).campaign(imported).start().await;
    let admin = pipeline.admin();
    let path = format!("{CAMPAIGNS}/imported");
    assert_eq!(admin.get(&format!("{path}/history")).await.unwrap().json()["history"], json!([]));
    send(&admin, "PUT", &path, None, &json!({"name": "new"})).await;
    let restored = send(&admin, "POST", &format!("{path}/restore"), None, &json!({"version": 1})).await.json();
    assert_eq!((&restored["name"], &restored["_version"]), (&json!("old"), &json!(3)));
}
