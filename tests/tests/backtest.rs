//! What a campaign would have matched is what it did match, as far as a backtest promises.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use fastrand::Rng;
use serde_json::{Value, json};
use shared::domain::user_key::Placeholders;
use shared::store::backtest::{Asked, backtest};
use shared::store::explain::Subject;
use tests::eventually::eventually;
use tests::matching::campaign;
use tests::pipeline::{Pipeline, Setup};
use tests::program::run;
use tokio::sync::mpsc;

const BACKTEST: &str = "/v1/admin/campaigns/backtest";
const USERS: usize = 60;
const EVENTS: usize = 3_000;
const DAYS: u64 = 4;

/// With every kind of rule and cap; shown to many and kept from many for each reason.
fn demanding() -> Value {
    let rules = json!([
        {"any": [{"field": "cart.total", "operator": ">=", "value": 40}, {"type": "context", "field": "os", "operator": "==", "value": "iOS"}]},
        {"type": "attribute", "field": "plan.tier", "operator": "in", "value": ["silver", "gold"]},
        {"not": {"type": "segment", "segment": "heavy"}},
        {"type": "event_count", "event": "viewed", "operator": ">=", "value": 2, "within": "3d"},
        {"type": "event_count", "event": "opened", "operator": "<=", "value": 30},
    ]);
    campaign(
        "demanding",
        json!({"rules": rules, "rollout_percentage": 75, "hold_out_percentage": 20,
               "frequency_cap": {"per_user": 9, "per_user_per_day": 7}, "variants": [{"name": "A"}, {"name": "B"}]}),
    )
}

/// Batches of random events of random users over the last days, for the most part in order.
fn batches(random: &mut Rng) -> Vec<Value> {
    let now = Utc::now();
    let mut batches = Vec::new();
    let mut number = 0;
    while number < EVENTS {
        let mut batch: Vec<Value> = (0..random.usize(1..80)).map(|_| event(random, now, &mut number)).collect();
        // As SDKs send them: nobody knows afterwards in which order those of one request stood.
        batch.sort_by_key(|event| event["timestamp"].as_str().map(str::to_owned));
        batches.push(json!({"batch": batch}));
    }
    batches
}

fn event(random: &mut Rng, now: DateTime<Utc>, number: &mut usize) -> Value {
    *number += 1;
    let back = i64::try_from(*number * 60 * 24 * 3 / EVENTS).unwrap() - random.i64(0..180);
    let at = now - TimeDelta::days(3) + TimeDelta::minutes(back);
    let at = if random.u8(0..20) == 0 { at - TimeDelta::hours(random.i64(0..48)) } else { at };
    let user = random.usize(0..USERS);
    let (tier, os) = (["silver", "gold", "none"][random.usize(0..3)], ["iOS", "Android"][random.usize(0..2)]);
    // Whom an app calls "anonymous" is counted within a flush and not beyond it, so these do nothing that decides.
    let kinds = if user % 10 == 1 { 6..10 } else { 0..10 };
    let mut event = match random.u8(kinds) {
        0 => json!({"type": "identify", "traits": {"plan": {"tier": tier}}}),
        1 if random.u8(0..4) == 0 => json!({"type": "identify", "traits": {"$campaigns_opt_out": random.bool()}}),
        1 => json!({"type": "identify", "traits": {"sessions": random.u32(0..12), "other": "é".repeat(9)}}),
        2..=4 => json!({"type": "track", "event": "viewed"}),
        5 => json!({"type": "screen", "name": "home"}),
        _ => json!({"type": "track", "event": "opened", "properties": {"cart": {"total": random.u32(0..80)}},
                    "context": {"os": os}}),
    };
    event["messageId"] = json!(format!("m{number}"));
    event["timestamp"] = json!(at.min(now).to_rfc3339());
    match user % 10 {
        0 => event["anonymousId"] = json!(format!("visitor{user}")),
        1 => (event["userId"], event["anonymousId"]) = (json!("anonymous"), json!(format!("guest{user}"))),
        2 if user == 2 => event["userId"] = json!("anonymous"),
        _ => event["userId"] = json!(format!("user{user}")),
    }
    event
}

/// By day: matches, users.
async fn recorded(pipeline: &Pipeline, from: NaiveDate) -> BTreeMap<NaiveDate, (i64, i64)> {
    let sql = "SELECT day, count(*), count(DISTINCT (user_kind, user_id)) FILTER (WHERE user_id IS NOT NULL)
                 FROM matches WHERE campaign_id = 'demanding' AND day >= $1 GROUP BY day";
    let rows: Vec<(NaiveDate, i64, i64)> =
        sqlx::query_as(sql).bind(from).fetch_all(&pipeline.database.pool).await.unwrap();
    rows.into_iter().map(|(day, matches, users)| (day, (matches, users))).collect()
}

fn daily(outcome: &Value) -> BTreeMap<NaiveDate, (i64, i64)> {
    let days = outcome["daily"].as_array().unwrap().iter().map(|day| {
        let count = |name: &str| day[name].as_i64().unwrap();
        (day["date"].as_str().unwrap().parse().unwrap(), (count("matched_events"), count("matched_users")))
    });
    days.filter(|(_, counts)| *counts != (0, 0)).collect()
}

async fn number(pipeline: &Pipeline, sql: &str) -> i64 {
    pipeline.database.number(sql).await
}

#[tokio::test]
async fn a_backtest_finds_exactly_what_was_recorded_and_so_does_each_explanation() {
    let heavy =
        json!({"name": "heavy", "rules": [{"type": "attribute", "field": "sessions", "operator": ">", "value": 8}]});
    let pipeline = Setup::default().workers(2).campaign(demanding()).start().await;
    let insert = "INSERT INTO segments (id, document) VALUES ('heavy', $1)";
    sqlx::query(insert).bind(&heavy).execute(&pipeline.database.pool).await.unwrap();
    pipeline.catalog_known().await;
    let seed = tests::load::seed();
    eprintln!("EC_TEST_SEED={seed}");
    let mut random = Rng::with_seed(seed);
    let client = pipeline.client();
    for batch in batches(&mut random) {
        client.accepted("/v1/batch", &batch).await;
    }
    pipeline.drained().await;

    // All days, so that nothing is from before them.
    let question = json!({"campaign_id": "demanding", "days": DAYS + 3});
    let outcome = pipeline.admin().accepted(BACKTEST, &question).await;
    assert_eq!(outcome["complete"], json!(true), "{outcome}");
    let from: NaiveDate = outcome["from"].as_str().unwrap().parse().unwrap();
    assert_eq!(
        daily(&outcome),
        recorded(&pipeline, from).await,
        "backtest on the left, record on the right: {outcome}"
    );
    let count = |name: &str| outcome[name].as_i64().unwrap();
    assert!(count("matched_events") > 50, "too few to prove anything: {outcome}");
    assert_eq!(count("events"), number(&pipeline, "SELECT count(*) FROM events WHERE event = 'opened'").await);
    assert_eq!(
        count("held_out_events"),
        number(&pipeline, "SELECT count(*) FROM matches WHERE disposition = 'hold_out'").await
    );
    let users = "SELECT count(DISTINCT (user_kind, user_id)) FROM matches WHERE user_id IS NOT NULL";
    assert_eq!(count("matched_users"), number(&pipeline, users).await);
    for reason in ["rules", "opted_out", "roll_out", "capped"] {
        assert!(outcome["suppressed"][reason].as_i64() > Some(0), "nothing was suppressed by {reason}: {outcome}");
    }
    let suppressed: i64 = outcome["suppressed"].as_object().unwrap().values().filter_map(Value::as_i64).sum();
    assert_eq!(count("events"), count("matched_events") + suppressed);

    // As a document, for a part of the days: what came before counts.
    let document = json!({"campaign": demanding(), "days": 2});
    let partly = pipeline.admin().accepted(BACKTEST, &document).await;
    assert_eq!(partly["daily"].as_array().map(Vec::len), Some(2), "{partly}");
    assert!(partly["notes"].to_string().contains("what it was really shown before"), "{partly}");

    // With so little memory that users are done in parts.
    let mut asked = asked(7);
    asked.state_bytes = 8_000;
    let (progress, _reports) = mpsc::channel(1);
    let parted = backtest(&pipeline.database.pool, &asked, &progress).await.unwrap().unwrap().unwrap();
    let parted = serde_json::to_value(parted).unwrap();
    assert!(parted["notes"].to_string().contains("looked at in parts"), "{parted}");
    for name in ["events", "matched_events", "matched_users", "held_out_events", "suppressed", "daily"] {
        assert_eq!(parted[name], outcome[name], "{name}");
    }

    // Each by itself.
    let sql = "SELECT e.id::text, e.user_id, e.anonymous_id, m.disposition FROM events e
                 LEFT JOIN matches m ON m.event_id = e.id WHERE e.event = 'opened' AND e.user_id IS DISTINCT FROM 'anonymous' ORDER BY md5(e.message_id || $1)";
    type Row = (String, Option<String>, Option<String>, Option<String>);
    let rows: Vec<Row> = sqlx::query_as(sql).bind(seed.to_string()).fetch_all(&pipeline.database.pool).await.unwrap();
    let (matched, not): (Vec<_>, Vec<_>) = rows.into_iter().partition(|(.., disposition)| disposition.is_some());
    for (id, user, visitor, disposition) in matched.iter().take(25).chain(not.iter().take(25)) {
        let question = json!({"event_id": id});
        let answer = pipeline.admin().accepted("/v1/admin/campaigns/demanding/explain", &question).await;
        let decided = answer["decision"].as_str().filter(|decision| *decision != "suppressed");
        assert_eq!(decided, disposition.as_deref(), "{user:?} {visitor:?}: {answer}");
        assert_eq!(answer["recorded"]["agrees"].as_bool(), disposition.as_ref().map(|_| true), "{answer}");
    }
}

fn asked(days: u16) -> Asked {
    Asked {
        campaign: Subject::Stored("demanding".to_owned()),
        days,
        limit: Duration::from_secs(60),
        placeholders: Placeholders::default(),
        state_bytes: 64 << 20,
    }
}

async fn some_events(pipeline: &Pipeline) {
    let client = pipeline.client();
    client.accepted("/v1/identify", &json!({"user_id": "u1", "traits": {"tier": "gold"}})).await;
    let yesterday = (Utc::now() - TimeDelta::days(1)).to_rfc3339();
    for (user, n, at) in [("u1", 1, None), ("u1", 2, Some(&yesterday)), ("u2", 3, None), ("u2", 4, Some(&yesterday))] {
        let mut event = json!({"user_id": user, "event": "Opened_It", "messageId": format!("m{n}")});
        if let Some(at) = at {
            event["timestamp"] = json!(at);
        }
        client.accepted("/v1/track", &event).await;
    }
    client.accepted("/v1/track", &json!({"user_id": "u2", "event": "other"})).await;
    pipeline.drained().await;
}

/// The result; the log comes after it.
fn first_json(text: &str) -> Value {
    let first = serde_json::Deserializer::from_str(text).into_iter().next();
    first.and_then(Result::ok).unwrap_or_else(|| panic!("no JSON: {text}"))
}

#[tokio::test]
async fn a_draft_is_tried_line_by_line_or_at_once_and_in_a_terminal() {
    let pipeline = Setup::default().start().await;
    some_events(&pipeline).await;
    let admin = pipeline.admin();
    let draft = json!({"name": "draft", "status": "draft", "trigger": "opened it", "trigger_match": "loose",
        "rules": [{"type": "attribute", "field": "tier", "operator": "==", "value": "gold"}], "rollout_percentage": 100});
    let question = json!({"campaign": draft, "days": 3});
    let outcome = admin.accepted(BACKTEST, &question).await;
    let today = Utc::now().date_naive();
    let day = |date: NaiveDate, events: i64, matched: i64| json!({"date": date.to_string(), "events": events, "matched_events": matched, "matched_users": matched});
    let expected = [day(today - Days::new(2), 0, 0), day(today - Days::new(1), 2, 1), day(today, 2, 1)];
    assert_eq!(outcome["daily"], json!(expected), "{outcome}");
    assert_eq!((&outcome["matched_users"], &outcome["suppressed"]), (&json!(1), &json!({"rules": 2})));
    assert_eq!(outcome["campaign"], json!({"id": null, "name": "draft", "version": null, "status": "draft"}));

    let body = question.to_string();
    let answer = admin.send("POST", BACKTEST, &[("accept", "application/x-ndjson")], body.as_bytes()).await.unwrap();
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/x-ndjson")));
    let last: Value = serde_json::from_str(answer.text().lines().last().unwrap()).unwrap();
    assert_eq!(last["result"]["daily"], outcome["daily"], "{last}");

    let file = std::env::temp_dir().join(format!("draft-{}.json", uuid::Uuid::new_v4()));
    std::fs::write(&file, draft.to_string()).unwrap();
    let path = file.to_str().unwrap();
    let worker = pipeline.environment_of("worker");
    let printed = run("worker", &["backtest", path, "--days", "3"], &worker).await;
    assert!(printed.status.success() && printed.text.contains(", after 0."), "{}", printed.text);
    let row = printed.text.lines().find(|line| line.starts_with("all")).unwrap_or_default().to_owned();
    assert_eq!(row.split_whitespace().collect::<Vec<_>>(), ["all", "4", "2", "1"], "{}", printed.text);
    let printed = run("worker", &["backtest", path, "--days", "3", "--json"], &worker).await;
    let json = first_json(&printed.text);
    assert_eq!(json["daily"], outcome["daily"]);

    let explain = ["explain", path, "--user", "u1", "--event-id", "m2"];
    let printed = run("worker", &explain, &worker).await;
    assert!(printed.status.success(), "{}", printed.text);
    for part in ["pass    trait tier == \"gold\": it is \"gold\"", "pass    trigger", "pass    opt_out"] {
        assert!(printed.text.contains(part), "{part} is missing: {}", printed.text);
    }
    let explain =
        ["explain", path, "--user", "u2", "--event", "OPENED IT", "--traits", r#"{"tier":"silver"}"#, "--json"];
    let printed = run("worker", &explain, &worker).await;
    let json = first_json(&printed.text);
    assert_eq!(json["rules"]["all"][0]["seen"], "silver", "{json}");
    std::fs::write(&file, r#"{"name": "", "rules": [{"field": "a"}]}"#).unwrap();
    let printed = run("worker", &["backtest", path], &worker).await;
    assert!(!printed.status.success() && printed.text.contains("rules[0].operator"), "{}", printed.text);
    std::fs::remove_file(&file).unwrap();
    let printed = run("worker", &["backtest", path], &worker).await;
    assert!(
        !printed.status.success() && printed.text.contains("no such campaign, and no such file"),
        "{}",
        printed.text
    );
}

#[tokio::test]
async fn what_cannot_be_tried_is_refused_with_the_reason() {
    let pipeline = Setup::default().start().await;
    let admin = pipeline.admin();
    let draft = json!({"name": "draft", "trigger": "e"});
    let cases = [
        (json!({"campaign": draft, "days": 0}), 400, "invalid_parameter"),
        (json!({"campaign": draft}), 400, "invalid_parameter"),
        (json!({"campaign": draft, "days": 91}), 400, "invalid_parameter"),
        (json!({"campaign": draft, "days": 1, "time_limit_seconds": 301}), 400, "invalid_parameter"),
        (json!({"campaign": draft, "campaign_id": "c", "days": 1}), 400, "invalid_parameter"),
        (json!({"days": 1}), 400, "invalid_parameter"),
        (json!({"campaign": draft, "days": 1, "more": 1}), 400, "invalid_parameter"),
        (json!({"campaign": {"name": "", "rules": [{"field": "a"}]}, "days": 1}), 400, "invalid_campaign"),
        (json!({"campaign_id": "none", "days": 1}), 404, "not_found"),
    ];
    for (question, status, code) in cases {
        for accept in ["application/json", "application/x-ndjson"] {
            let body = question.to_string();
            let answer = admin.send("POST", BACKTEST, &[("accept", accept)], body.as_bytes()).await.unwrap();
            assert_eq!(
                (answer.status, &answer.json()["code"]),
                (status, &json!(code)),
                "{question}: {}",
                answer.text()
            );
        }
    }
}

#[tokio::test]
async fn at_the_time_limit_it_tells_what_there_is_and_there_is_one_at_a_time() {
    let pipeline = Setup::default().start().await;
    some_events(&pipeline).await;
    let admin = pipeline.admin();
    let campaign = json!({"name": "draft", "trigger": "Opened_It", "ignore_opt_out": true});
    // Today's events cannot be read; those before can.
    let mut lock = pipeline.database.pool.begin().await.unwrap();
    let table = format!("LOCK TABLE events_{} IN ACCESS EXCLUSIVE MODE", Utc::now().format("%Y%m%d"));
    sqlx::query(&table).execute(&mut *lock).await.unwrap();
    let question = json!({"campaign": campaign, "days": 3, "time_limit_seconds": 4});
    let other = pipeline.admin();
    let (first, second) = tokio::join!(admin.post(BACKTEST, &question), async {
        eventually("the first waits for the lock", async || {
            let waiting = "SELECT count(*) FROM pg_stat_activity
                            WHERE datname = current_database() AND query LIKE '/* days.declare */%'";
            if number(&pipeline, waiting).await > 0 { Ok(()) } else { Err("not yet".to_owned()) }
        })
        .await;
        other.post(BACKTEST, &question).await.unwrap()
    });
    assert_eq!((second.status, &second.json()["code"]), (503, &json!("overloaded")), "{}", second.text());
    let outcome = first.unwrap().json();
    assert_eq!(outcome["complete"], json!(false), "{outcome}");
    assert!(outcome["notes"].to_string().contains("Time was up"), "{outcome}");
    lock.rollback().await.unwrap();
    eventually("it runs again", async || {
        let answer = admin.post(BACKTEST, &question).await.unwrap();
        if answer.status == 200 && answer.json()["complete"] == true { Ok(()) } else { Err(answer.text()) }
    })
    .await;
}

#[tokio::test]
async fn it_ends_when_nobody_listens_any_more() {
    let pipeline = Setup::default().campaign(demanding()).start().await;
    let (progress, reports) = mpsc::channel(1);
    drop(reports);
    let outcome = backtest(&pipeline.database.pool, &asked(3), &progress).await.unwrap().unwrap();
    assert!(outcome.is_none(), "{outcome:?}");
}
