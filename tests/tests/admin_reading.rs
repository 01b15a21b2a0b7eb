//! What admins see of events, users and dead letters.

use serde_json::{Value, json};
use tests::client::Client;
use tests::pipeline::{Pipeline, Setup};

async fn get(admin: &Client, path: &str) -> Value {
    let answer = admin.get(path).await.unwrap();
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.json()
}

/// The property `n` of the listed events.
async fn numbers(admin: &Client, query: &str) -> Vec<i64> {
    let list = get(admin, &format!("/v1/admin/events{query}")).await;
    list["events"].as_array().unwrap().iter().map(|e| e["properties"]["n"].as_i64().unwrap_or(-1)).collect()
}

fn at_second(second: u32) -> String {
    format!("{}T00:00:{second:02}Z", chrono::Utc::now().date_naive())
}

async fn track(client: &Client, user: &str, n: u32) {
    let body = json!({"user_id": user, "event": "e", "properties": {"n": n}, "timestamp": at_second(n)});
    client.accepted("/v1/track", &body).await;
}

#[tokio::test]
async fn events_are_narrowed_by_time_type_and_source() {
    let pipeline = Setup::default().set("CLIENT_API_KEYS", "test-write-key,app:app-key").start().await;
    let client = pipeline.client();
    let app = pipeline.ingests[0].client().with_key("app-key");
    for n in 0..4 {
        track(if n == 2 { &app } else { &client }, "u", n).await;
    }
    let page = json!({"user_id": "u", "name": "Home", "properties": {"n": 9}, "timestamp": at_second(9)});
    client.accepted("/v1/page", &page).await;
    pipeline.drained().await;
    let admin = pipeline.admin();
    let (from, to) = (at_second(1), at_second(3));
    assert_eq!(numbers(&admin, &format!("?from={from}&to={to}")).await, [2, 1], "from is in, to is not");
    let from_ms = chrono::DateTime::parse_from_rfc3339(&from).unwrap().timestamp_millis();
    assert_eq!(numbers(&admin, &format!("?from={from_ms}&type=track")).await, [3, 2, 1]);
    assert_eq!(numbers(&admin, "?type=page").await, [9]);
    assert_eq!(numbers(&admin, "?source=app").await, [2]);
    assert_eq!(get(&admin, "/v1/admin/events?type=track").await["total"], 4);
    for bad in ["from=yesterday", "type=nonsense", "cursor=x", "source=%00"] {
        let refused = admin.get(&format!("/v1/admin/events?{bad}")).await.unwrap();
        assert_eq!((refused.status, &refused.json()["code"]), (400, &json!("invalid_parameter")), "{bad}");
    }
}

#[tokio::test]
async fn a_cursor_walks_all_events_once_although_some_have_the_same_time_and_others_arrive() {
    let pipeline = Pipeline::start().await;
    let client = pipeline.client();
    for n in 0..10 {
        let body = json!({"user_id": "u", "event": "e", "properties": {"n": n}, "timestamp": at_second(n / 4)});
        client.accepted("/v1/track", &body).await;
    }
    pipeline.drained().await;
    let admin = pipeline.admin();
    let (mut walked, mut query) = (Vec::new(), "?limit=3".to_owned());
    loop {
        let page = get(&admin, &format!("/v1/admin/events{query}")).await;
        walked.extend(page["events"].as_array().unwrap().iter().map(|e| e["properties"]["n"].as_i64().unwrap()));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        query = format!("?limit=3&cursor={cursor}");
        track(&client, "later", 30).await;
        pipeline.drained().await;
    }
    assert_eq!(walked.iter().map(|n| n / 4).collect::<Vec<_>>(), [2, 2, 1, 1, 1, 1, 0, 0, 0, 0]);
    walked.sort_unstable();
    assert_eq!(walked, (0..10).collect::<Vec<_>>());
}

/// `v` is a visitor who became `u`, `w` another; `other` is somebody else.
async fn linked_pipeline() -> Pipeline {
    let pipeline = Pipeline::start().await;
    let client = pipeline.client();
    let visit = json!({"anonymousId": "v", "event": "e", "properties": {"n": 1}, "timestamp": at_second(1)});
    client.accepted("/v1/track", &visit).await;
    client.accepted("/v1/identify", &json!({"userId": "u", "anonymousId": "v", "traits": {"tier": "gold"}})).await;
    client.accepted("/v1/alias", &json!({"userId": "u", "previousId": "w"})).await;
    track(&client, "u", 2).await;
    track(&client, "other", 3).await;
    pipeline.drained().await;
    pipeline
}

#[tokio::test]
async fn linked_events_are_those_of_the_visitor_that_the_user_was() {
    let pipeline = linked_pipeline().await;
    let admin = pipeline.admin();
    assert_eq!(numbers(&admin, "?user_id=u&type=track").await, [2]);
    assert_eq!(numbers(&admin, "?user_id=u&type=track&linked=true").await, [2, 1]);
    assert_eq!(numbers(&admin, "?user_id=v&type=track&linked=true").await, [2, 1]);
    assert_eq!(numbers(&admin, "?user_id=other&linked=true").await, [3]);
}

#[tokio::test]
async fn users_are_listed_in_order_of_id_by_prefix_and_page_with_their_traits_flattened() {
    let pipeline = Pipeline::start().await;
    let client = pipeline.client();
    for id in ["ada", "b_1", "b_2", "bx1", "zoe"] {
        let body = json!({"userId": id, "traits": {"tier": "gold", "id": "shadow", "kind": "human"}});
        client.accepted("/v1/identify", &body).await;
    }
    client.accepted("/v1/identify", &json!({"anonymousId": "visitor", "traits": {"a": 1}})).await;
    pipeline.drained().await;
    let admin = pipeline.admin();
    let list = async |query: &str| get(&admin, &format!("/v1/admin/users{query}")).await;
    let ids = |list: &Value| {
        let users = list["users"].as_array().unwrap();
        users.iter().map(|user| user["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let all = list("").await;
    assert_eq!((ids(&all).join(" "), &all["total"]), ("ada b_1 b_2 bx1 zoe".to_owned(), &json!(5)));
    let ada = &all["users"][0];
    assert_eq!((&ada["tier"], &ada["kind"]), (&json!("gold"), &json!("user")), "no trait hides the server's fields");
    assert_eq!(ada["traits"], json!({"tier": "gold", "id": "shadow", "kind": "human"}));
    assert!(ada["created_at"].is_string() && ada["updated_at"].is_string(), "{ada}");

    let begin = list("?q=b_").await;
    assert_eq!((ids(&begin).join(" "), &begin["total"]), ("b_1 b_2".to_owned(), &json!(2)));
    assert_eq!(ids(&list("?limit=2&offset=3").await), ["bx1", "zoe"]);
    let first = list("?limit=3").await;
    let second = list(&format!("?limit=3&cursor={}", first["next_cursor"].as_str().unwrap())).await;
    assert_eq!(
        (ids(&first).len(), ids(&second), &second["next_cursor"]),
        (3, vec!["bx1".into(), "zoe".into()], &Value::Null)
    );
    assert_eq!(ids(&list("?kind=anonymous").await), ["visitor"]);
    assert_eq!(admin.get("/v1/admin/users?kind=robot").await.unwrap().status, 400);
}

#[tokio::test]
async fn one_user_is_shown_with_traits_links_timeline_and_matches() {
    let campaign = json!({"id": "c1", "name": "Gold only", "status": "active", "trigger": "e",
        "rules": [{"type": "attribute", "field": "tier", "operator": "==", "value": "gold"}]});
    let pipeline = Setup::default().campaign(campaign).start().await;
    let client = pipeline.client();
    let visit = json!({"anonymousId": "v", "event": "e", "properties": {"n": 1}, "timestamp": at_second(1)});
    client.accepted("/v1/track", &visit).await;
    let traits = json!({"tier": "gold", "$campaigns_opt_out": false});
    client.accepted("/v1/identify", &json!({"userId": "u", "anonymousId": "v", "traits": traits})).await;
    track(&client, "u", 2).await;
    track(&client, "stranger", 3).await;
    pipeline.drained().await;

    let admin = pipeline.admin();
    let user = get(&admin, "/v1/admin/users/u").await;
    assert_eq!((&user["id"], &user["kind"], &user["traits"]), (&json!("u"), &json!("user"), &traits));
    assert_eq!(user["links"], json!({"anonymous_ids": ["v"], "user_ids": []}));
    let timeline = user["timeline"]["events"].as_array().unwrap();
    let types: Vec<_> = timeline.iter().map(|e| e["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["identify", "track", "track"], "the visitor's events are there");
    assert_eq!(user["timeline"]["next_cursor"], Value::Null);
    assert_eq!(
        (&user["matches"][0]["campaign_id"], &user["matches"][0]["campaign_name"]),
        (&json!("c1"), &json!("Gold only"))
    );
    assert_eq!((user["matches"].as_array().unwrap().len(), &user["opted_out"]), (1, &json!(false)));

    let visitor = get(&admin, "/v1/admin/users/v?kind=anonymous").await;
    assert_eq!(visitor["links"], json!({"anonymous_ids": [], "user_ids": ["u"]}));
    let stranger = get(&admin, "/v1/admin/users/stranger").await;
    assert_eq!((&stranger["traits"], &stranger["created_at"]), (&json!({}), &Value::Null), "never identified");
    let missing = admin.get("/v1/admin/users/nobody").await.unwrap();
    assert_eq!((missing.status, &missing.json()["error"]), (404, &json!("User not found")));

    client.accepted("/v1/identify", &json!({"userId": "u", "traits": {"$campaigns_opt_out": true}})).await;
    pipeline.drained().await;
    assert_eq!(get(&admin, "/v1/admin/users/u").await["opted_out"], true);
}

#[tokio::test]
async fn a_timeline_longer_than_a_page_goes_on_in_the_list_of_events() {
    let pipeline = Pipeline::start().await;
    let events: Vec<Value> = (0..60)
        .map(|n| json!({"type": "track", "userId": "u", "event": "e", "properties": {"n": n}, "timestamp": at_second(n)}))
        .collect();
    pipeline.client().accepted("/v1/batch", &json!({"batch": events})).await;
    pipeline.drained().await;
    let admin = pipeline.admin();
    let user = get(&admin, "/v1/admin/users/u").await;
    assert_eq!(user["timeline"]["events"].as_array().unwrap().len(), 50);
    let cursor = user["timeline"]["next_cursor"].as_str().unwrap();
    let rest = numbers(&admin, &format!("?user_id=u&linked=true&cursor={cursor}")).await;
    assert_eq!(rest, (0..10).rev().collect::<Vec<_>>());
}

#[tokio::test]
async fn dead_letters_are_listed_by_pages_narrowed_and_opened() {
    let pipeline = Setup::default().workers(0).start().await;
    let insert = "INSERT INTO dead_letters (event_id, lane, stream_seq, partition, position, sqlstate, reason, payload,
                                            received_at, created_at)
                  SELECT CASE n WHEN 2 THEN '00000000-0000-8000-8000-000000000002'::uuid END, 0, n, 0, 0,
                         CASE n WHEN 3 THEN NULL ELSE '22P05' END, 'reason ' || n,
                         CASE n WHEN 3 THEN '\\xff00'::bytea ELSE convert_to('{\"n\":' || n || '}', 'UTF8') END,
                         now(), timestamptz '2026-01-01' + n * interval '1 hour'
                    FROM generate_series(1, 4) AS n ORDER BY n";
    sqlx::query(insert).execute(&pipeline.database.pool).await.unwrap();
    let admin = pipeline.admin();
    let reasons = async |query: &str| {
        let list = get(&admin, &format!("/v1/admin/dead-letters{query}")).await;
        let letters = list["dead_letters"].as_array().unwrap();
        assert!(letters.iter().all(|letter| letter.get("payload").is_none()), "{list}");
        letters.iter().map(|l| l["reason"].as_str().unwrap().replace("reason ", "")).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(reasons("").await, "4 3 2 1");
    assert_eq!(reasons("?sqlstate=22P05").await, "4 2 1");
    assert_eq!(reasons("?event_id=00000000-0000-8000-8000-000000000002").await, "2");
    assert_eq!(reasons("?from=2026-01-01T02:00:00Z&to=2026-01-01T04:00:00Z").await, "3 2");
    let first = get(&admin, "/v1/admin/dead-letters?limit=3").await;
    let cursor = first["next_cursor"].as_str().unwrap();
    assert_eq!(
        (first["total"].as_i64(), reasons(&format!("?limit=3&cursor={cursor}")).await),
        (Some(4), "1".to_owned())
    );
    assert_eq!(admin.get("/v1/admin/dead-letters?event_id=x").await.unwrap().status, 400);

    let opened = async |place: usize| {
        let id = &first["dead_letters"][place]["id"];
        get(&admin, &format!("/v1/admin/dead-letters/{id}")).await
    };
    let text = opened(0).await;
    assert_eq!((&text["payload"], &text["payload_encoding"]), (&json!("{\"n\":4}"), &json!("text")));
    assert_eq!(
        (&text["reason"], &text["sqlstate"], &text["payload_bytes"]),
        (&json!("reason 4"), &json!("22P05"), &json!(7))
    );
    let bytes = opened(1).await;
    assert_eq!((&bytes["payload"], &bytes["payload_encoding"]), (&json!("/wA="), &json!("base64")));
    for missing in ["999999", "x"] {
        assert_eq!(admin.get(&format!("/v1/admin/dead-letters/{missing}")).await.unwrap().status, 404);
    }
}
