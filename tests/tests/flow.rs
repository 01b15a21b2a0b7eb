//! From a request to a row and a match.

use serde_json::{Value, json};
use sqlx::Row;
use tests::client::Client;
use tests::eventually::eventually;
use tests::pipeline::{Pipeline, Setup};

fn silver_campaign() -> Value {
    json!({
        "id": "silver-only", "name": "Silver only", "status": "active", "trigger": "cart_viewed",
        "rules": [{"id": 1, "type": "attribute", "field": "tier", "operator": "==", "value": "silver"}],
        "config": {"type": "modal", "text": "Hello"}
    })
}

fn ids(matched: &Value) -> Vec<&str> {
    matched.as_array().into_iter().flatten().filter_map(|campaign| campaign["id"].as_str()).collect()
}

/// Campaign ids that the worker wrote for a message, in order of id.
async fn matches_of(pipeline: &Pipeline, message_id: &str) -> Vec<String> {
    let query = "SELECT campaign_id FROM matches m JOIN events e ON e.id = m.event_id AND e.day = m.day
                  WHERE e.message_id = $1 ORDER BY campaign_id";
    sqlx::query_scalar(query).bind(message_id).fetch_all(&pipeline.database.pool).await.unwrap()
}

async fn traits_of(pipeline: &Pipeline, user: &str) -> Option<Value> {
    let query = "SELECT traits FROM users WHERE kind = 'user' AND id = $1";
    sqlx::query_scalar(query).bind(user).fetch_optional(&pipeline.database.pool).await.unwrap()
}

#[tokio::test]
async fn a_track_is_stored_and_its_match_is_in_the_reply_and_in_the_table() {
    let pipeline = Pipeline::start().await;
    let campaign = json!({
        "name": "Basket over forty", "status": "active", "type": "modal", "trigger": "cart_viewed",
        "rules": [{"id": 1, "type": "event", "field": "cart_total", "operator": ">=", "value": "40"}],
        "config": {"type": "modal", "text": "You unlocked a discount"}
    });
    let created = pipeline.admin().post("/v1/admin/campaigns", &campaign).await.unwrap();
    assert_eq!(created.status, 201, "{}", created.text());
    let campaign_id = created.json()["id"].as_str().unwrap().to_owned();

    // Both programs learn of a campaign within moments; until then an event may pass it by.
    let client = pipeline.client();
    let mut attempt = 0;
    let message_id = eventually("a match in the reply and in the table", async || {
        attempt += 1;
        let message_id = format!("m-{attempt}");
        let body =
            json!({"user_id": "u-1", "event": "cart_viewed", "messageId": message_id, "properties": {"cart_total": 55}});
        let answer = client.accepted("/v1/track", &body).await;
        pipeline.drained().await;
        let (replied, written) = (ids(&answer["matched"]) == [&campaign_id], matches_of(&pipeline, &message_id).await);
        if replied && written == [campaign_id.as_str()] { Ok(message_id) } else { Err(format!("{answer} {written:?}")) }
    })
    .await;

    let query = "SELECT type, user_id, event, properties, source FROM events WHERE message_id = $1";
    let row = sqlx::query(query).bind(message_id).fetch_one(&pipeline.database.pool).await.unwrap();
    assert_eq!(row.get::<String, _>("type"), "track");
    assert_eq!(row.get::<String, _>("user_id"), "u-1");
    assert_eq!(row.get::<String, _>("event"), "cart_viewed");
    assert_eq!(row.get::<Value, _>("properties"), json!({"cart_total": 55}));
    assert!(!row.get::<String, _>("source").is_empty());

    let below =
        json!({"user_id": "u-1", "event": "cart_viewed", "messageId": "below", "properties": {"cart_total": 39}});
    let answer = client.accepted("/v1/track", &below).await;
    assert_eq!(answer["matched"], json!([]));
    pipeline.drained().await;
    assert!(matches_of(&pipeline, "below").await.is_empty());
}

#[tokio::test]
async fn a_track_is_answered_as_the_old_server_did() {
    let pipeline = Setup::default().campaign(silver_campaign()).start().await;
    let client = pipeline.client();
    let body = json!({"user_id": "u", "traits": {"tier": "silver"}});
    let identified = client.accepted("/v1/identify", &body).await;
    assert_eq!(identified, json!({"ok": true, "user": {"tier": "silver"}}));

    let body = json!({"user_id": "u", "event": "cart_viewed", "properties": {"n": 1}});
    let answer = client.accepted("/v1/track", &body).await;
    assert_eq!(answer["ok"], json!(true));
    assert_eq!(answer["event"]["user_id"], "u");
    assert_eq!(answer["event"]["event"], "cart_viewed");
    assert_eq!(answer["event"]["properties"], json!({"n": 1}));
    assert!(answer["event"]["ts"].is_i64() && answer["event"]["id"].is_string(), "{answer}");
    let campaign = &answer["matched"][0];
    assert_eq!((&campaign["id"], &campaign["type"]), (&json!("silver-only"), &json!("modal")));
    assert!(campaign["config"].is_object() && campaign["rules"].is_array(), "{campaign}");
    assert!(campaign["targeting"].is_null() || campaign["targeting"].is_object(), "{campaign}");
}

#[tokio::test]
async fn identify_then_track_is_matched_with_the_new_traits_every_time() {
    let pipeline = Setup::default().workers(2).campaign(silver_campaign()).start().await;
    let client = pipeline.client();
    for round in 0..30 {
        let tier = if round % 2 == 0 { "silver" } else { "gold" };
        let traits = json!({"user_id": "u", "traits": {"tier": tier}});
        assert_eq!(client.accepted("/v1/identify", &traits).await["user"]["tier"], tier);
        let track = json!({"user_id": "u", "event": "cart_viewed", "messageId": format!("round-{round}")});
        let answer = client.accepted("/v1/track", &track).await;
        let expected: &[&str] = if tier == "silver" { &["silver-only"] } else { &[] };
        assert_eq!(ids(&answer["matched"]), expected, "round {round}: {answer}");
    }
    pipeline.drained().await;
    for round in 0..30 {
        let matched = matches_of(&pipeline, &format!("round-{round}")).await;
        assert_eq!(matched.len(), usize::from(round % 2 == 0), "round {round}");
    }
}

#[tokio::test]
async fn the_same_message_posted_five_times_is_one_row() {
    let pipeline = Setup::default().campaign(silver_campaign()).start().await;
    let client = pipeline.client();
    client.accepted("/v1/identify", &json!({"user_id": "u", "traits": {"tier": "silver"}, "messageId": "i"})).await;
    let now = chrono::Utc::now().to_rfc3339();
    for timed in [true, false] {
        for _ in 0..5 {
            let mut body = json!({"user_id": "u", "event": "cart_viewed", "messageId": format!("timed-{timed}")});
            if timed {
                body["timestamp"] = json!(now);
            }
            client.accepted("/v1/track", &body).await;
        }
    }
    pipeline.drained().await;
    assert_eq!(pipeline.database.number("SELECT count(*) FROM events WHERE type = 'track'").await, 2);
    assert_eq!(pipeline.database.number("SELECT count(*) FROM matches").await, 2);
    let books = "SELECT sum(stored)::bigint * 1000 + sum(duplicate)::bigint FROM ledger";
    assert_eq!(pipeline.database.number(books).await, 3 * 1000 + 8);
}

#[tokio::test]
async fn a_message_repeated_within_one_batch_is_one_row() {
    let pipeline = Pipeline::start().await;
    let event = json!({"type": "track", "userId": "u", "event": "e", "messageId": "m"});
    let answer = pipeline.client().accepted("/v1/batch", &json!({"batch": [event, event, event]})).await;
    assert_eq!(answer["accepted"], 3);
    pipeline.drained().await;
    assert_eq!(pipeline.rows().await, 1);
}

#[tokio::test]
async fn events_that_nobody_named_are_each_their_own() {
    let pipeline = Pipeline::start().await;
    for _ in 0..3 {
        pipeline.client().accepted("/v1/track", &json!({"user_id": "u", "event": "e", "properties": {}})).await;
    }
    pipeline.drained().await;
    assert_eq!(pipeline.rows().await, 3);
}

#[tokio::test]
async fn an_idempotency_key_names_the_events_of_a_request() {
    let pipeline = Pipeline::start().await;
    let client = pipeline.client();
    let track = |event: &str| json!({"type": "track", "userId": "u", "event": event});
    let body = json!({"batch": [track("a"), track("b")]}).to_string();
    for key in ["k1", "k1", "k2"] {
        let answer = client.send("POST", "/v1/batch", &[("idempotency-key", key)], body.as_bytes()).await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    pipeline.drained().await;
    assert_eq!(pipeline.rows().await, 4);
}

#[tokio::test]
async fn both_spellings_are_the_same_event() {
    let pipeline = Pipeline::start().await;
    let client = pipeline.client();
    let now = chrono::Utc::now().to_rfc3339();
    for body in [
        json!({"user_id": "u", "event": "e", "properties": {"a": 1}, "message_id": "m", "timestamp": now}),
        json!({"userId": "u", "action": "e", "metadata": {"a": 1}, "messageId": "m", "timestamp": now}),
    ] {
        client.accepted("/v1/track", &body).await;
    }
    pipeline.drained().await;
    let query = "SELECT user_id, event, properties FROM events";
    let rows = sqlx::query(query).fetch_all(&pipeline.database.pool).await.unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].get::<Value, _>("properties"), json!({"a": 1}));
    assert_eq!((rows[0].get::<&str, _>("user_id"), rows[0].get::<&str, _>("event")), ("u", "e"));
}

/// One event of each type, with its short route, without its type and id.
fn one_of_each() -> [(&'static str, &'static str, Value); 6] {
    [
        ("track", "/v1/t", json!({"userId": "u", "event": "e", "properties": {"p": 1}})),
        ("identify", "/v1/i", json!({"userId": "u", "traits": {"plan": "pro"}})),
        ("page", "/v1/p", json!({"anonymousId": "a", "name": "Home", "properties": {"path": "/"}})),
        ("screen", "/v1/s", json!({"userId": "u", "name": "Main", "properties": {}})),
        ("group", "/v1/g", json!({"userId": "u", "groupId": "g", "traits": {"size": 3}})),
        ("alias", "/v1/a", json!({"userId": "u", "previousId": "a"})),
    ]
}

#[tokio::test]
async fn every_type_of_event_is_a_row_whichever_way_it_came() {
    let pipeline = Pipeline::start().await;
    let client = pipeline.client();
    let with = |body: &Value, name: &str, value: &str| {
        let mut body = body.clone();
        body[name] = json!(value);
        body
    };
    for (kind, short, body) in one_of_each() {
        client.accepted(&format!("/v1/{kind}"), &with(&body, "messageId", "long")).await;
        client.accepted(short, &with(&body, "messageId", "short")).await;
    }
    for path in ["/v1/batch", "/v1/b", "/v1/import"] {
        let events: Vec<Value> = one_of_each().iter().map(|(kind, _, body)| with(body, "type", kind)).collect();
        let answer = client.accepted(path, &json!({"batch": events})).await;
        assert_eq!((&answer["accepted"], &answer["rejected"]), (&json!(6), &json!([])));
    }
    pipeline.drained().await;
    let query = "SELECT type, count(*) FROM events GROUP BY type ORDER BY type";
    let types: Vec<(String, i64)> = sqlx::query_as(query).fetch_all(&pipeline.database.pool).await.unwrap();
    let expected = ["alias", "group", "identify", "page", "screen", "track"].map(|kind| (kind.to_owned(), 5));
    assert_eq!(types, expected);

    assert_eq!(traits_of(&pipeline, "u").await, Some(json!({"plan": "pro"})));
    let links = "SELECT count(*) FROM identity_links WHERE user_id = 'u' AND anonymous_id = 'a'";
    assert_eq!(pipeline.database.number(links).await, 1);
    let named = "SELECT count(*) FROM events WHERE (type, event) IN (('page', 'Home'), ('screen', 'Main'))";
    assert_eq!(pipeline.database.number(named).await, 10);
}

#[tokio::test]
async fn traits_are_merged_per_key_in_order_of_arrival() {
    let pipeline = Pipeline::start().await;
    let client = pipeline.client();
    for traits in [json!({"a": 1, "b": {"x": 1}}), json!({"b": {"y": 2}, "c": null}), json!({"a": "one"})] {
        client.accepted("/v1/identify", &json!({"userId": "u", "traits": traits})).await;
    }
    pipeline.drained().await;
    assert_eq!(traits_of(&pipeline, "u").await, Some(json!({"a": "one", "b": {"y": 2}, "c": null})));
}

#[tokio::test]
async fn one_bad_event_costs_its_neighbours_nothing() {
    let pipeline = Pipeline::start().await;
    let good = |n: u8| {
        format!(r#"{{"type":"track","userId":"u","event":"good","messageId":"good-{n}","properties":{{"n":{n}}}}}"#)
    };
    let deep = format!("{}1{}", r#"{"a":"#.repeat(90), "}".repeat(90));
    let bad = [
        r#"{"type":"track","event":"no user","messageId":"bad-1"}"#.to_owned(),
        r#"{"type":"track","userId":["a"],"event":"array user","messageId":"bad-2"}"#.to_owned(),
        r#"["an","array"]"#.to_owned(),
        r#"{"type":"track","userId":"u","messageId":"bad-4"}"#.to_owned(),
        r#"{"type":"track","userId":"u","event":"big","messageId":"bad-5","properties":{"n":1e400}}"#.to_owned(),
        format!(r#"{{"type":"track","userId":"u","event":"deep","messageId":"bad-6","properties":{deep}}}"#),
        r#"{"type":"nonsense","userId":"u","messageId":"bad-7"}"#.to_owned(),
        format!(r#"{{"type":"track","userId":"{}","event":"long","messageId":"bad-8"}}"#, "u".repeat(256)),
    ];
    let mut events = vec![good(0)];
    for (n, bad) in (1u8..).zip(&bad) {
        events.extend([bad.clone(), good(n)]);
    }
    let body = format!(r#"{{"batch":[{}]}}"#, events.join(","));
    let answer = pipeline.client().send("POST", "/v1/batch", &[], body.as_bytes()).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = answer.json();
    assert_eq!((&answer["ok"], &answer["accepted"]), (&json!(true), &json!(9)));
    let rejected = answer["rejected"].as_array().unwrap();
    let codes: Vec<_> = rejected.iter().map(|r| (r["index"].as_u64().unwrap(), r["code"].as_str().unwrap())).collect();
    let expected = [
        (1, "missing_field"),
        (3, "wrong_type"),
        (5, "invalid_json"),
        (7, "missing_field"),
        (9, "number_out_of_range"),
        (11, "too_deep"),
        (13, "unknown_type"),
        (15, "too_long"),
    ];
    assert_eq!(codes, expected);
    assert_eq!(rejected[0]["messageId"], "bad-1");
    assert!(rejected.iter().all(|r| r["message"].as_str().is_some_and(|m| !m.is_empty())), "{rejected:?}");
    pipeline.drained().await;
    assert_eq!(pipeline.database.number("SELECT count(*) FROM events WHERE event = 'good'").await, 9);
    assert_eq!(pipeline.rows().await, 9);
}

#[tokio::test]
async fn whatever_is_accepted_is_stored_as_it_was_sent() {
    let pipeline = Pipeline::start().await;
    let client = pipeline.client();
    let properties = json!({
        "text": "‘quotes’ \"'; DROP TABLE events; -- ${jndi:ldap://x} %s \r\n \u{1b}[31m", "emoji": "🧵",
        "__proto__": {"a": 1}, "integer": 9_007_199_254_740_993_i64, "float": 0.1, "null": null,
        "nested": {"list": [1, [2, {"x": []}]]}, "": "empty key"
    });
    let names = ["/_Viewed", "DialogRoute<dynamic>_Viewed", "a.b.*.>", "имя с пробелами"];
    for name in names {
        client.accepted("/v1/track", &json!({"user_id": "u", "event": name, "properties": properties})).await;
    }
    pipeline.drained().await;
    let query = "SELECT event, properties FROM events ORDER BY event COLLATE \"C\"";
    let rows = sqlx::query(query).fetch_all(&pipeline.database.pool).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.get::<&str, _>("event")).collect::<Vec<_>>(), names);
    for row in &rows {
        assert_eq!(row.get::<Value, _>("properties"), properties);
    }
}

#[tokio::test]
async fn what_no_database_can_hold_is_repaired_and_flagged() {
    const TEXT_REPAIRED: i16 = 16;
    let pipeline = Pipeline::start().await;
    let body =
        br#"{"user_id":"u","event":"cut \ud83d","messageId":"m","properties":{"zero":"a\u0000b","cut":"\ud83d"}}"#;
    let answer = pipeline.client().send("POST", "/v1/track", &[], body).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    pipeline.drained().await;
    let query = "SELECT event, properties, flags FROM events";
    let row = sqlx::query(query).fetch_one(&pipeline.database.pool).await.unwrap();
    assert_eq!(row.get::<&str, _>("event"), "cut \u{fffd}");
    assert_eq!(row.get::<Value, _>("properties"), json!({"zero": "a\u{fffd}b", "cut": "\u{fffd}"}));
    assert_eq!(row.get::<i16, _>("flags") & TEXT_REPAIRED, TEXT_REPAIRED);
}

#[tokio::test]
async fn the_dashboard_lists_events_newest_first_by_user_and_by_name() {
    let pipeline = Pipeline::start().await;
    let client = pipeline.client();
    for (n, user) in ["a", "b", "a", "b"].iter().enumerate() {
        let time = format!("{}T00:00:{n:02}Z", chrono::Utc::now().date_naive());
        let body = json!({"user_id": user, "event": format!("e{}", n % 3), "properties": {"n": n}, "timestamp": time});
        client.accepted("/v1/track", &body).await;
    }
    client.accepted("/v1/identify", &json!({"user_id": "a", "traits": {}})).await;
    pipeline.drained().await;
    let admin = pipeline.admin();
    assert_eq!(listed(&admin, "?user_id=b").await, [3, 1]);
    assert_eq!(listed(&admin, "?event=e0").await, [3, 0]);
    assert_eq!(listed(&admin, "?user_id=a&event=e2").await, [2]);
    assert_eq!(listed(&admin, "?user_id=b&limit=1&offset=1").await, [1]);
    let all = admin.get("/v1/admin/events").await.unwrap().json();
    let events = all["events"].as_array().unwrap();
    assert_eq!(events.len(), 5);
    let readable = |e: &Value| e["event"].is_string() && e["user_id"].is_string() && e["id"].is_string();
    assert!(events.iter().all(readable), "{all}");
}

async fn listed(admin: &Client, query: &str) -> Vec<i64> {
    let answer = admin.get(&format!("/v1/admin/events{query}")).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["events"].as_array().unwrap().iter().filter_map(|e| e["properties"]["n"].as_i64()).collect()
}

#[tokio::test]
async fn campaigns_for_a_user_follow_the_traits() {
    let pipeline = Setup::default().campaign(silver_campaign()).start().await;
    let client = pipeline.client();
    assert_eq!(client.get("/v1/campaigns?user_id=u").await.unwrap().json()["campaigns"], json!([]));
    client.accepted("/v1/identify", &json!({"user_id": "u", "traits": {"tier": "silver"}})).await;
    let answer = client.get("/v1/campaigns?user_id=u").await.unwrap().json();
    assert_eq!(ids(&answer["campaigns"]), ["silver-only"]);
}

#[tokio::test]
async fn a_campaign_is_made_read_changed_and_deleted() {
    let pipeline = Pipeline::start().await;
    let admin = pipeline.admin();
    let one = json!({"name": "One", "status": "draft", "odd_field": [1], "config": {"type": "banner"}});
    let made = admin.post("/v1/admin/campaigns", &one).await.unwrap();
    assert_eq!(made.status, 201, "{}", made.text());
    let made = made.json();
    let id = made["id"].as_str().unwrap();
    assert_eq!((&made["name"], &made["type"], &made["odd_field"]), (&json!("One"), &json!("banner"), &json!([1])));
    admin.post("/v1/admin/campaigns", &json!({"name": "Two", "status": "active"})).await.unwrap();

    let path = format!("/v1/admin/campaigns/{id}");
    let changed = admin.send("PUT", &path, &[], br#"{"status":"active"}"#).await.unwrap();
    assert_eq!(changed.status, 200, "{}", changed.text());
    let read = admin.get(&path).await.unwrap().json();
    assert_eq!((&read["name"], &read["status"], &read["odd_field"]), (&json!("One"), &json!("active"), &json!([1])));
    let list = admin.get("/v1/admin/campaigns").await.unwrap().json();
    let names: Vec<_> = list["campaigns"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["Two", "One"], "newest made first, whatever was changed since");
    assert_eq!(list["total"], 2);

    let deleted = admin.send("DELETE", &path, &[], b"").await.unwrap();
    assert_eq!((deleted.status, &deleted.json()["ok"]), (200, &json!(true)));
    assert_eq!(admin.get(&path).await.unwrap().status, 404);
    assert_eq!(admin.send("DELETE", &path, &[], b"").await.unwrap().status, 404);
}

#[tokio::test]
async fn a_campaign_with_faults_is_refused_and_each_is_named() {
    let pipeline = Pipeline::start().await;
    let rules = json!([
        {"type": "event", "field": "a", "operator": "~", "value": 1}, null, {"type": "event", "operator": "=="}
    ]);
    let body = json!({"status": "active", "rules": rules});
    let answer = pipeline.admin().post("/v1/admin/campaigns", &body).await.unwrap();
    assert_eq!(answer.status, 400);
    let text = answer.text();
    for field in ["name", "rules[0].operator", "rules[1]", "rules[2].field"] {
        assert!(text.contains(field), "{field} is not named in {text}");
    }
    assert_eq!(pipeline.database.number("SELECT count(*) FROM campaigns").await, 0);
}
