//! The campaigns that an app fetches for a user, apart from any event: `GET /v1/campaigns?user_id=`.

use serde_json::{Value, json};
use tests::eventually::eventually;
use tests::http1::Answer;
use tests::matching::{campaign, ids, listed, recorded, replied};
use tests::pipeline::{Pipeline, Setup};
use tests::services::PrivatePostgres;

async fn start(campaigns: impl IntoIterator<Item = (&'static str, Value)>) -> Pipeline {
    campaigns.into_iter().fold(Setup::default(), |setup, (id, more)| setup.campaign(campaign(id, more))).start().await
}

async fn identify(pipeline: &Pipeline, user: &str, traits: Value) {
    pipeline.client().accepted("/v1/identify", &json!({"user_id": user, "traits": traits})).await;
}

/// The list for `u`, unless the client has it already.
async fn fetch(pipeline: &Pipeline, if_none_match: &str) -> Answer {
    let headers = [("if-none-match", if_none_match)];
    pipeline.client().send("GET", "/v1/campaigns?user_id=u", &headers, b"").await.unwrap()
}

#[tokio::test]
async fn only_what_may_be_shown_to_the_user_now_is_listed() {
    let hour = |hours: i64| (chrono::Utc::now() + chrono::TimeDelta::hours(hours)).to_rfc3339();
    let silver = json!([{"type": "attribute", "field": "tier", "operator": "==", "value": "silver"}]);
    let pipeline = start([
        ("always", json!({})),
        ("silver", json!({"rules": silver})),
        ("whatever-the-trigger", json!({"trigger": "never_sent"})),
        ("without-a-trigger", json!({"trigger": null})),
        ("running", json!({"starts_at": hour(-1), "ends_at": hour(1)})),
        ("not-yet", json!({"starts_at": hour(1)})),
        ("over", json!({"ends_at": hour(-1)})),
        ("once", json!({"frequency_cap": {"per_user": 1}})),
        ("one-for-all", json!({"frequency_cap": {"total": 1}})),
        ("not-rolled-out", json!({"rollout_percentage": 0})),
        ("held-out", json!({"hold_out_percentage": 100})),
        ("must-be-shown", json!({"ignore_opt_out": true})),
        ("draft", json!({"status": "draft"})),
        ("previewed", json!({"status": "paused", "test_users": ["u"]})),
    ])
    .await;
    let client = pipeline.client();
    let by_all = ["must-be-shown", "one-for-all", "once", "running", "without-a-trigger", "whatever-the-trigger"];
    let with = |more: &[&'static str]| [more, &by_all[..], &["always"]].concat();

    assert_eq!(listed(&client, "stranger").await, with(&[]));
    let mut silver_too = with(&["previewed"]);
    silver_too.insert(silver_too.len() - 1, "silver");
    identify(&pipeline, "u", json!({"tier": "silver"})).await;
    assert_eq!(listed(&client, "u").await, silver_too);
    // Asking again and again is no match, and uses up no cap.
    assert_eq!(listed(&client, "u").await, silver_too);
    // Being shown it is; the process that answered knows at once, while the worker stands still.
    pipeline.workers[0].pause();
    let shown = replied(&client, &json!({"user_id": "u", "event": "opened", "messageId": "m"})).await;
    assert!(shown.contains(&"once".to_owned()), "{shown:?}");
    silver_too.retain(|id| *id != "once");
    assert_eq!(listed(&client, "u").await, silver_too);
    pipeline.workers[0].resume();
    // What is shown to anybody counts when it is in the record.
    pipeline.drained().await;
    silver_too.retain(|id| *id != "one-for-all");
    assert_eq!(listed(&client, "u").await, silver_too);
    let mut without = with(&[]);
    without.retain(|id| *id != "one-for-all");
    assert_eq!(listed(&client, "stranger").await, without);
    assert!(!listed(&client, "").await.contains(&"one-for-all".to_owned()), "nor to whom nobody knows");
    assert!(recorded(&pipeline, "m").await.contains(&"held-out".into()), "counted in the record, never shown");

    identify(&pipeline, "u", json!({"$campaigns_opt_out": true})).await;
    assert_eq!(listed(&client, "u").await, ["previewed", "must-be-shown"]);
}

#[tokio::test]
async fn rules_on_an_event_leave_a_campaign_out_and_rules_on_what_was_done_do_not() {
    let event = json!({"type": "event", "field": "a", "operator": "not_exists"});
    let vip = json!({"type": "attribute", "field": "vip", "operator": "is_true"});
    let pipeline = start([
        ("event", json!({"rules": [event]})),
        ("context", json!({"rules": [{"type": "context", "field": "os", "operator": "exists"}]})),
        ("not-event", json!({"rules": [{"not": event}]})),
        ("event-or-vip", json!({"rules": [{"any": [event, vip]}]})),
        ("bought", json!({"rules": [{"type": "event_count", "event": "bought", "value": 1}]})),
    ])
    .await;
    let client = pipeline.client();
    assert_eq!(listed(&client, "u").await, Vec::<String>::new());
    identify(&pipeline, "u", json!({"vip": true})).await;
    client.accepted("/v1/track", &json!({"user_id": "u", "event": "bought"})).await;
    assert_eq!(listed(&client, "u").await, ["bought", "event-or-vip"], "where the event decides nothing");
    pipeline.drained().await;
    assert_eq!(listed(&client, "u").await, ["bought", "event-or-vip"]);
}

#[tokio::test]
async fn without_a_user_there_is_what_everybody_sees() {
    let silver = json!([{"not": {"type": "attribute", "field": "tier", "operator": "==", "value": "gold"}}]);
    let pipeline = start([
        ("all", json!({})),
        ("not-gold", json!({"rules": silver})),
        ("half", json!({"rollout_percentage": 99.99})),
        ("variants", json!({"variants": [{"name": "A"}, {"name": "B"}]})),
    ])
    .await;
    // What somebody called the placeholder says of itself is said by nobody.
    identify(&pipeline, "anonymous", json!({"tier": "gold"})).await;
    pipeline.drained().await;
    for path in ["/v1/campaigns", "/v1/campaigns?user_id=", "/v1/campaigns?user_id=anonymous"] {
        let answer = pipeline.client().get(path).await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
        let answer = answer.json();
        assert_eq!(ids(&answer["campaigns"]), ["variants", "not-gold", "all"], "{path}");
        assert_eq!(answer["campaigns"][0]["variant"], "A", "the first, for whom nobody knows");
    }
    let long = format!("/v1/campaigns?user_id={}", "u".repeat(256));
    let refused = pipeline.client().get(&long).await.unwrap();
    assert_eq!((refused.status, &refused.json()["code"]), (400, &json!("invalid_parameter")));
}

#[tokio::test]
async fn the_same_list_again_is_not_sent_again() {
    let gold = json!([{"type": "attribute", "field": "tier", "operator": "==", "value": "gold"}]);
    let pipeline = start([("all", json!({})), ("gold", json!({"rules": gold}))]).await;
    let first = fetch(&pipeline, "\"none\"").await;
    let tag = first.header("etag").unwrap().to_owned();
    assert_eq!((first.status, ids(&first.json()["campaigns"])), (200, vec!["all"]));
    for known in [tag.clone(), format!("W/{tag}"), "*".to_owned(), format!("\"other\", W/{tag}")] {
        let again = fetch(&pipeline, &known).await;
        assert_eq!((again.status, again.header("etag")), (304, Some(tag.as_str())), "{known}");
        assert!(again.body.is_empty());
    }
    assert_eq!(fetch(&pipeline, tag.trim_matches('"')).await.status, 200, "a tag has its quotation marks");

    // What does not change the list does not change the tag; what does, does.
    identify(&pipeline, "u", json!({"tier": "silver"})).await;
    assert_eq!(fetch(&pipeline, &tag).await.status, 304);
    identify(&pipeline, "u", json!({"tier": "gold"})).await;
    let second = fetch(&pipeline, &tag).await;
    assert_eq!((second.status, ids(&second.json()["campaigns"])), (200, vec!["gold", "all"]));
    let tag = second.header("etag").unwrap().to_owned();
    let change = json!({"config": {"text": "new"}});
    assert_eq!(pipeline.admin().put("/v1/admin/campaigns/all", &change).await.unwrap().status, 200);
    pipeline.catalog_known().await;
    let third = fetch(&pipeline, &tag).await;
    assert_eq!((third.status, &third.json()["campaigns"][1]["config"]), (200, &json!({"text": "new"})));
    assert_ne!(third.header("etag"), Some(tag.as_str()));
}

#[tokio::test]
async fn while_the_database_is_away_an_app_is_told_to_keep_its_last_list() {
    let postgres = PrivatePostgres::start();
    let gold = json!([{"type": "attribute", "field": "tier", "operator": "==", "value": "gold"}]);
    let setup = Setup::default().postgres(&postgres).campaign(campaign("gold", json!({"rules": gold})));
    let mut pipeline = setup.start().await;
    identify(&pipeline, "u", json!({"tier": "gold"})).await;
    pipeline.drained().await;
    assert_eq!(listed(&pipeline.client(), "u").await, ["gold"]);

    postgres.kill();
    let away = eventually("the outage is noticed", async || {
        let answer = pipeline.client().get("/v1/campaigns?user_id=u").await.map_err(|e| e.to_string())?;
        if answer.status == 503 { Ok(answer) } else { Err(answer.text()) }
    })
    .await;
    assert_eq!(away.json()["code"], "database_unavailable");
    assert!(away.header("retry-after").is_some_and(|seconds| seconds.parse::<u32>().is_ok_and(|s| s >= 2)));
    assert_eq!(away.header("etag"), None);
    // An event is taken all the same, and its reply says that it may be missing something.
    let body = json!({"user_id": "u", "event": "opened", "messageId": "meanwhile"});
    let tracked = pipeline.client().accepted("/v1/track", &body).await;
    assert_eq!((&tracked["matched"], &tracked["matched_complete"]), (&json!([]), &json!(false)), "{tracked}");
    assert!(tracked["matched_reason"].as_str().is_some_and(|reason| reason.contains("user")), "{tracked}");

    postgres.restart();
    eventually("the list is answered again", async || {
        let answer = pipeline.client().get("/v1/campaigns?user_id=u").await.map_err(|e| e.to_string())?;
        if answer.status == 200 && ids(&answer.json()["campaigns"]) == ["gold"] { Ok(()) } else { Err(answer.text()) }
    })
    .await;
    pipeline.ready().await;
    pipeline.drained().await;
    assert_eq!(recorded(&pipeline, "meanwhile").await, ["gold"], "the record misses nothing");
}

#[tokio::test]
async fn of_many_campaigns_each_user_is_given_their_own_in_order() {
    let pipeline = Setup::default().start().await;
    let insert = r#"INSERT INTO campaigns (id, status, document)
        SELECT 'c' || n, 'active', jsonb_build_object('name', 'c' || n, 'status', 'active', 'trigger', 'e' || n,
               'rules', jsonb_build_array(jsonb_build_object('type', 'attribute', 'field', 'group', 'operator', '==',
                                                             'value', n % 10)))
          FROM generate_series(1, 3000) AS n ORDER BY n"#;
    sqlx::query(insert).execute(&pipeline.database.pool).await.unwrap();
    pipeline.catalog_known().await;
    for group in [3, 7] {
        let user = format!("u{group}");
        identify(&pipeline, &user, json!({"group": group})).await;
        let expected: Vec<_> = (1..=3000).rev().filter(|n| n % 10 == group).map(|n| format!("c{n}")).collect();
        assert_eq!(listed(&pipeline.client(), &user).await, expected);
    }
    assert_eq!(listed(&pipeline.client(), "nobody").await, Vec::<String>::new());
}
