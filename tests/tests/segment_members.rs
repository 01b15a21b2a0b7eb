//! Who is in a segment: asked for one user, listed and counted by paging.

use serde_json::{Value, json};
use tests::client::Client;
use tests::pipeline::Pipeline;

async fn get(admin: &Client, path: &str) -> Value {
    let answer = admin.get(path).await.unwrap();
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.json()
}

/// A new segment's path.
async fn segment(admin: &Client, rules: Value) -> String {
    let created = admin.post("/v1/admin/segments", &json!({"name": "s", "rules": rules})).await.unwrap();
    assert_eq!(created.status, 201, "{}", created.text());
    format!("/v1/admin/segments/{}", created.json()["id"].as_str().unwrap())
}

fn events(make: impl Iterator<Item = Value>) -> Value {
    json!({"batch": make.collect::<Vec<_>>()})
}

fn ids(list: &Value) -> Vec<&str> {
    list["users"].as_array().unwrap().iter().map(|user| user["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn members_by_traits_are_told_listed_and_counted() {
    let pipeline = Pipeline::start().await;
    let (client, admin) = (pipeline.client(), pipeline.admin());
    let identify = |n: u32| json!({"type": "identify", "userId": format!("u{n:04}"), "traits": {"tier": if n.is_multiple_of(3) { "gold" } else { "silver" }}});
    client.accepted("/v1/batch", &events((0..2_500).map(identify))).await;
    let visitor = json!({"type": "identify", "anonymousId": "visitor", "traits": {"tier": "gold"}});
    client.accepted("/v1/batch", &events([visitor].into_iter())).await;
    pipeline.drained().await;
    let gold = segment(&admin, json!([{"type": "trait", "field": "tier", "operator": "==", "value": "gold"}])).await;

    assert_eq!(
        get(&admin, &format!("{gold}/count")).await,
        json!({"count": 834, "scanned": 2500, "next_cursor": null})
    );
    assert_eq!(get(&admin, &format!("{gold}/count?kind=anonymous")).await["count"], 1);
    for (user, member) in [("u0003", true), ("u0004", false), ("nobody", false)] {
        let told = get(&admin, &format!("{gold}/users/{user}")).await;
        assert_eq!(told, json!({"id": user, "kind": "user", "member": member}));
    }

    let first = get(&admin, &format!("{gold}/users?limit=3")).await;
    assert_eq!(ids(&first), ["u0000", "u0003", "u0006"]);
    assert_eq!(first["users"][1]["traits"], json!({"tier": "gold"}));
    let cursor = first["next_cursor"].as_str().unwrap();
    assert_eq!(ids(&get(&admin, &format!("{gold}/users?limit=2&cursor={cursor}")).await), ["u0009", "u0012"]);
    let (mut all, mut path) = (Vec::new(), format!("{gold}/users?limit=400"));
    loop {
        let page = get(&admin, &path).await;
        all.extend(ids(&page).into_iter().map(str::to_owned));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("{gold}/users?limit=400&cursor={cursor}");
    }
    assert_eq!(all.len(), 834);
    assert!(all.is_sorted());

    // The next moment somebody becomes a member, before any worker has seen it.
    client.accepted("/v1/identify", &json!({"user_id": "u0004", "traits": {"tier": "gold"}})).await;
    assert_eq!(get(&admin, &format!("{gold}/users/u0004")).await["member"], true);
}

#[tokio::test]
async fn members_by_what_they_did_are_told_listed_and_counted() {
    let pipeline = Pipeline::start().await;
    let (client, admin) = (pipeline.client(), pipeline.admin());
    let of = |user: u32| {
        let identify = json!({"type": "identify", "userId": format!("u{user}"), "traits": {"n": user}});
        let bought = json!({"type": "track", "userId": format!("u{user}"), "event": "bought"});
        std::iter::once(identify).chain(std::iter::repeat_n(bought, user as usize))
    };
    client.accepted("/v1/batch", &events((0..6).flat_map(of))).await;
    pipeline.drained().await;
    let rules = json!([
        {"type": "event_count", "event": "bought", "operator": ">=", "value": 3, "within": "7d"},
        {"not": {"type": "trait", "field": "n", "operator": "==", "value": 5}}
    ]);
    let buyers = segment(&admin, rules).await;
    assert_eq!(get(&admin, &format!("{buyers}/count")).await["count"], 2);
    assert_eq!(ids(&get(&admin, &format!("{buyers}/users")).await), ["u3", "u4"]);
    assert_eq!(get(&admin, &format!("{buyers}/users/u3")).await["member"], true);
    assert_eq!(get(&admin, &format!("{buyers}/users/u2")).await["member"], false);
    pipeline.catalog_known().await;
    // Known now: what is accepted counts at once.
    client.accepted("/v1/track", &json!({"user_id": "u2", "event": "bought"})).await;
    assert_eq!(get(&admin, &format!("{buyers}/users/u2")).await["member"], true);
}

#[tokio::test]
async fn a_profile_says_where_the_user_stands_just_now() {
    let pipeline = Pipeline::start().await;
    let (client, admin) = (pipeline.client(), pipeline.admin());
    let vip = segment(&admin, json!([{"type": "trait", "field": "vip", "operator": "is_true"}])).await;
    let vip = vip.rsplit('/').next().unwrap().to_owned();
    let member = json!([{"type": "segment", "segment": vip}]);
    for (name, rules) in
        [("for all", json!([])), ("for vips", member.clone()), ("for others", json!([{"not": member[0]}]))]
    {
        let campaign =
            json!({"name": name, "status": "active", "trigger": "x", "rules": rules, "variants": [{"name": "A"}]});
        assert_eq!(admin.post("/v1/admin/campaigns", &campaign).await.unwrap().status, 201);
    }
    pipeline.catalog_known().await;
    client.accepted("/v1/identify", &json!({"user_id": "u", "traits": {"vip": true}})).await;
    pipeline.drained().await;
    let standing = get(&admin, "/v1/admin/users/u").await["standing"].clone();
    assert_eq!(standing["segments"], json!([vip]));
    let listed = client.get("/v1/campaigns?user_id=u").await.unwrap().json();
    let names: Vec<&str> =
        listed["campaigns"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["for vips", "for all"]);
    assert_eq!(standing["campaigns"][0], json!({"id": listed["campaigns"][0]["id"], "variant": "A"}));
    assert_eq!(standing["campaigns"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_segment_that_is_not_there_or_malformed_is_named() {
    let pipeline = Pipeline::start().await;
    let admin = pipeline.admin();
    for path in ["users", "count", "users/u"] {
        let answer = admin.get(&format!("/v1/admin/segments/none/{path}")).await.unwrap();
        assert_eq!((answer.status, &answer.json()["error"]), (404, &json!("Segment not found")));
    }
    let import = r#"INSERT INTO segments (id, document) VALUES ('old', '{"name": "old", "rules": "tier == gold"}')"#;
    sqlx::query(import).execute(&pipeline.database.pool).await.unwrap();
    let answer = admin.get("/v1/admin/segments/old/count").await.unwrap();
    assert_eq!((answer.status, &answer.json()["code"]), (400, &json!("invalid_segment")));
    let answer = admin.get("/v1/admin/segments/old/users?cursor=x").await.unwrap();
    assert_eq!((answer.status, &answer.json()["code"]), (400, &json!("invalid_parameter")));
}
