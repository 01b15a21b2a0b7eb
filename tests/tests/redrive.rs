//! Dead letters to their end: listed, driven through the stream again, discarded, from the command line and by the admin API.
//!
//! What makes them dead here is a constraint that somebody added to `events` by mistake, and takes away again.

use serde_json::{Value, json};
use shared::domain::user_key::UserKey;
use sqlx::Connection;
use tests::eventually::{equal, eventually};
use tests::metrics::Metrics;
use tests::pipeline::{Pipeline, Setup};
use tests::program::{run, start_command};

const REDRIVE: &str = "/v1/admin/dead-letters/redrive";
const DISCARD: &str = "/v1/admin/dead-letters/discard";
const OPEN: &str = "SELECT count(*) FROM dead_letters WHERE redriven_at IS NULL AND discarded_at IS NULL";

/// Runs `worker dead-letters …` under the worker's role; it must succeed.
async fn command(pipeline: &Pipeline, arguments: &[&str]) -> String {
    let arguments = [&["dead-letters"], arguments].concat();
    let output = run("worker", &arguments, &pipeline.environment_of("worker")).await;
    assert!(output.status.success(), "{arguments:?}: {}", output.text);
    output.text
}

async fn execute(pipeline: &Pipeline, statement: &str) {
    sqlx::query(statement).execute(&pipeline.database.pool).await.unwrap();
}

/// From now on events of this name are refused.
async fn make_a_mistake(pipeline: &Pipeline) {
    execute(pipeline, "ALTER TABLE events ADD CONSTRAINT mistake CHECK (coalesce(message_id, '') NOT LIKE 'bad-%')")
        .await;
}

async fn mend(pipeline: &Pipeline) {
    execute(pipeline, "ALTER TABLE events DROP CONSTRAINT mistake").await;
}

/// Events that are refused, of three users.
async fn send_bad(pipeline: &Pipeline, numbers: std::ops::Range<usize>) {
    let event = |n: usize| json!({"type": "track", "userId": format!("user-{}", n % 3), "event": "e", "messageId": format!("bad-{n}")});
    let batch: Vec<Value> = numbers.map(event).collect();
    pipeline.client().accepted("/v1/batch", &json!({"batch": batch})).await;
    pipeline.drained().await;
}

/// Letters as a worker would write them, without waiting for one to do it.
async fn insert_letters(pipeline: &Pipeline, count: i64) {
    let at = chrono::Utc::now();
    let payloads: Vec<Vec<u8>> = (0..count)
        .map(|n| {
            let event = json!({"id": uuid::Uuid::new_v4(), "day": at.date_naive(), "type": "track", "user_id": format!("u-{}", n % 50),
                "event": "e", "message_id": format!("m-{n}"), "timestamp": at, "received_at": at, "source": "by hand"});
            event.to_string().into_bytes()
        })
        .collect();
    let insert = "INSERT INTO dead_letters (lane, stream_seq, partition, position, reason, payload, received_at)
                  SELECT 0, 0, 0, n, 'by hand', payload, now() FROM unnest($1::bytea[]) WITH ORDINALITY AS p (payload, n)";
    sqlx::query(insert).bind(payloads).execute(&pipeline.database.pool).await.unwrap();
}

/// Every event is a row once, every letter is marked, and the books balance with the stream.
async fn all_is_stored_once(pipeline: &Pipeline, events: i64) {
    pipeline.drained().await;
    let ids = pipeline.database.number("SELECT count(DISTINCT message_id) FROM events").await;
    assert_eq!((pipeline.rows().await, ids), (events, events));
    assert_eq!(pipeline.database.number(OPEN).await, 0);
    let unmarked =
        "SELECT count(*) FROM dead_letters WHERE redriven_by IS NULL OR redriven_seq IS NULL OR event_id IS NULL";
    assert_eq!(pipeline.database.number(unmarked).await, 0);
    let found = tests::oracle::Found::of(pipeline).await;
    let [read, stored, duplicate, dead, suppressed] = found.books;
    assert_eq!((read, stored), (stored + duplicate + dead + suppressed, events));
    assert_eq!(found.published_by_partition, Some(found.read_by_partition));
}

#[tokio::test]
async fn after_the_cause_is_mended_letters_are_redriven_once_and_stay_with_their_marks() {
    let pipeline = Pipeline::start().await;
    make_a_mistake(&pipeline).await;
    send_bad(&pipeline, 0..30).await;
    assert_eq!(pipeline.database.number(OPEN).await, 30);
    let listed = command(&pipeline, &["list", "--user", "user-1", "--sqlstate", "23514", "--limit", "3"]).await;
    assert!(listed.contains("3 of 10 letters") && listed.contains("user-1") && !listed.contains("user-2"), "{listed}");
    let shown = command(&pipeline, &["show", "1"]).await;
    assert!(shown.contains("\"message_id\":\"bad-") && shown.contains("open"), "{shown}");
    eventually("open letters are counted, with their age", async || {
        let metrics = Metrics::of(&pipeline.workers[0]).await;
        let (open, age) = ("dead_letters_open", "dead_letters_oldest_open_seconds");
        equal((metrics.sum(open, &[]).to_string(), metrics.sum(age, &[]) > 0.0), ("30".to_owned(), true))
    })
    .await;

    mend(&pipeline).await;
    let before = pipeline.stream.state().await.last_seq;
    let dry = command(&pipeline, &["redrive", "--all", "--dry-run"]).await;
    assert!(dry.contains("30 open letters") && dry.contains("would redrive 30 letters (30 events)"), "{dry}");
    assert!(dry.contains("23514") && dry.contains("mistake"), "{dry}");
    assert_eq!((pipeline.database.number(OPEN).await, pipeline.stream.state().await.last_seq), (30, before));
    let nothing_said = run("worker", &["dead-letters", "redrive"], &pipeline.environment_of("worker")).await;
    assert!(!nothing_said.status.success() && nothing_said.text.contains("--all"), "{}", nothing_said.text);

    let done = command(&pipeline, &["redrive", "--all", "--by", "ada"]).await;
    assert!(done.contains("redriven 30 letters (30 events), passed over 0"), "{done}");
    let again = command(&pipeline, &["redrive", "1", "2", "99"]).await;
    assert!(
        again.contains("letter 1 is passed over: it was redriven at") && again.contains("letter 99 is passed over"),
        "{again}"
    );
    all_is_stored_once(&pipeline, 30).await;
    let shown = command(&pipeline, &["show", "1"]).await;
    assert!(shown.contains("redriven") && shown.contains("by ada"), "{shown}");
    let receipt = pipeline.client().get("/v1/events/bad-4?user_id=user-1").await.unwrap().json();
    assert_eq!((&receipt["status"], &receipt["dead"][0]["state"]), (&json!("stored"), &json!("redriven")), "{receipt}");
}

#[tokio::test]
async fn the_api_redrives_and_discards_what_is_meant_and_says_what_it_did() {
    let pipeline = Setup::default().ingests(2).start().await;
    make_a_mistake(&pipeline).await;
    send_bad(&pipeline, 0..30).await;
    mend(&pipeline).await;
    let admin = pipeline.admin();

    let dry = admin.accepted(REDRIVE, &json!({"reason": "MISTAKE", "dry_run": true, "limit": 20})).await;
    assert_eq!((&dry["matched"], &dry["letters"], &dry["dry_run"]), (&json!(30), &json!(20), &json!(true)), "{dry}");
    assert_eq!((&dry["reasons"][0]["sqlstate"], &dry["reasons"][0]["letters"]), (&json!("23514"), &json!(30)));
    assert_eq!(pipeline.database.number(OPEN).await, 30);

    let discarded = admin.accepted(DISCARD, &json!({"user_id": "user-2", "limit": 6, "why": "a test user"})).await;
    assert_eq!(discarded["letters"], 6, "{discarded}");
    let body = json!({"user_id": "user-2", "limit": 6, "cursor": discarded["next_cursor"]});
    let rest = admin.accepted(DISCARD, &body).await;
    assert_eq!((&rest["letters"], &rest["next_cursor"]), (&json!(4), &Value::Null), "{rest}");
    let list = admin.get("/v1/admin/dead-letters?state=discarded&user_id=user-2").await.unwrap().json();
    assert_eq!(
        (&list["total"], &list["dead_letters"][9]["discard_reason"]),
        (&json!(10), &json!("a test user")),
        "{list}"
    );
    let id = &list["dead_letters"][0]["id"];

    let ids = admin.accepted(REDRIVE, &json!({"ids": [id, 999], "sqlstate": "23514"})).await;
    let why: Vec<&str> = ids["passed_over"].as_array().unwrap().iter().map(|p| p["why"].as_str().unwrap()).collect();
    assert!(why[0].starts_with("it was discarded") && why[1] == "there is no such letter", "{ids}");
    for nothing in [json!({"user_id": "nobody"}), json!({"to": "2020-01-01T00:00:00Z"}), json!({"sqlstate": "22P05"})] {
        assert_eq!(admin.accepted(REDRIVE, &nothing).await["matched"], 0, "{nothing}");
    }
    for wrong in [
        json!({}),
        json!({"all": true, "ids": [1]}),
        json!({"ids": []}),
        json!({"user": "u"}),
        json!({"all": true, "why": "w"}),
    ] {
        let answer = admin.post(REDRIVE, &wrong).await.unwrap();
        assert_eq!((answer.status, &answer.json()["code"]), (400, &json!("invalid_parameter")), "{wrong}");
    }

    // Two people and the command at once, a page at a time.
    let other = pipeline.ingests[1].client().with_key(tests::client::ADMIN_KEY);
    let all = async |client: &tests::client::Client| {
        let (mut letters, mut cursor) = (0, Value::Null);
        loop {
            let mut body = json!({"all": true, "limit": 3});
            if cursor.is_string() {
                body["cursor"] = cursor;
            }
            let done = client.accepted(REDRIVE, &body).await;
            letters += done["letters"].as_i64().unwrap();
            cursor = done["next_cursor"].clone();
            if cursor.is_null() {
                return letters;
            }
        }
    };
    let (one, two, _) =
        tokio::join!(all(&admin), all(&other), command(&pipeline, &["redrive", "--all", "--rate", "50"]));
    assert!(one + two <= 20, "{one} and {two}");
    pipeline.drained().await;
    assert_eq!((pipeline.rows().await, pipeline.database.number(OPEN).await), (20, 0));
    let counted =
        async |at: usize| Metrics::of(&pipeline.ingests[at]).await.sum("ingest_dead_letters_redriven_total", &[]);
    assert_eq!((counted(0).await + counted(1).await).to_string(), (one + two).to_string());
    let marked = "SELECT count(*) FROM dead_letters WHERE redriven_at IS NOT NULL AND discarded_at IS NULL";
    assert_eq!(pipeline.database.number(marked).await, 20);
}

#[tokio::test]
async fn what_fails_again_is_a_new_letter_that_names_the_one_before() {
    let pipeline = Pipeline::start().await;
    make_a_mistake(&pipeline).await;
    send_bad(&pipeline, 0..6).await;
    // Nothing is mended. Slowly, so that the new letters are there before the run ends.
    let done = command(&pipeline, &["redrive", "--all", "--rate", "3"]).await;
    assert!(done.contains("redriven 6 letters"), "in circles: {done}");
    pipeline.drained().await;
    let named =
        "SELECT count(*) FROM dead_letters n JOIN dead_letters o ON o.id = n.previous_id AND o.event_id = n.event_id
                  WHERE n.redriven_at IS NULL AND o.redriven_seq = n.stream_seq AND o.payload = n.payload";
    assert_eq!((pipeline.database.number(named).await, pipeline.database.number(OPEN).await), (6, 6));
    mend(&pipeline).await;
    command(&pipeline, &["redrive", "--user", "user-0"]).await;
    command(&pipeline, &["redrive", "--all"]).await;
    all_is_stored_once(&pipeline, 6).await;
}

#[tokio::test]
async fn a_run_killed_in_the_middle_goes_on_and_stores_and_marks_everything_once() {
    let pipeline = Pipeline::start().await;
    insert_letters(&pipeline, 2_000).await;
    let arguments = ["dead-letters", "redrive", "--reason", "by hand", "--rate", "1000"];
    let mut slow = start_command("worker", &arguments, &pipeline.environment_of("worker"));
    eventually("some are marked", async || match pipeline.database.number(OPEN).await {
        ..1_900 => Ok(()),
        open => Err(format!("{open} are open")),
    })
    .await;
    slow.kill().await.unwrap();
    assert!(pipeline.database.number(OPEN).await > 0, "it was over before it was killed");
    command(&pipeline, &["redrive", "--all", "--rate", "100000"]).await;
    all_is_stored_once(&pipeline, 2_000).await;
}

#[tokio::test]
async fn who_dies_between_the_acknowledgement_and_the_mark_loses_and_doubles_nothing() {
    let mut pipeline = Pipeline::start().await;
    insert_letters(&pipeline, 100).await;
    // Letters can be read and locked, and not marked.
    let mut blocker = sqlx::PgConnection::connect(&pipeline.database.url).await.unwrap();
    let mut block = blocker.begin().await.unwrap();
    sqlx::query("LOCK TABLE dead_letters IN SHARE MODE").execute(&mut *block).await.unwrap();
    let stored = async |rows| eventually("they are stored", async || equal(pipeline.rows().await, rows)).await;

    let arguments = ["dead-letters", "redrive", "--to", "2999-01-01", "--rate", "400"];
    let mut command_line = start_command("worker", &arguments, &pipeline.environment_of("worker"));
    stored(40).await;
    command_line.kill().await.unwrap();
    let asked = tokio::spawn({
        let admin = pipeline.admin();
        async move { admin.post(REDRIVE, &json!({"all": true})).await }
    });
    // The killed one still holds what it published, so these are the next.
    stored(90).await;
    pipeline.ingests[0].kill();
    assert!(asked.await.unwrap().is_err());
    block.rollback().await.unwrap();

    pipeline.ingests[0].start_again();
    pipeline.ready().await;
    eventually("nobody holds the letters any more", async || {
        let free = "SELECT count(*) FROM (SELECT FROM dead_letters FOR UPDATE SKIP LOCKED) AS free";
        equal(pipeline.database.number(free).await, 100)
    })
    .await;
    assert_eq!(pipeline.database.number(OPEN).await, 100);
    assert_eq!(pipeline.admin().accepted(REDRIVE, &json!({"all": true})).await["letters"], 100);
    all_is_stored_once(&pipeline, 100).await;
}

#[tokio::test]
async fn the_rate_is_kept() {
    let pipeline = Pipeline::start().await;
    insert_letters(&pipeline, 200).await;
    command(&pipeline, &["redrive", "--all", "--rate", "100"]).await;
    let most_in_a_second = "SELECT max(n) FROM (SELECT count(*) OVER (ORDER BY redriven_at RANGE BETWEEN CURRENT ROW AND '1 second' FOLLOWING) AS n
                              FROM dead_letters) AS w";
    let most = pipeline.database.number(most_in_a_second).await;
    // A piece of a tenth of a second at either end.
    assert!(most <= 130, "{most} in one second");
}

#[tokio::test]
async fn an_identify_is_passed_over_when_a_later_one_is_stored_unless_told_otherwise() {
    let pipeline = Pipeline::start().await;
    make_a_mistake(&pipeline).await;
    let client = pipeline.client();
    for (user, message, plan) in
        [("bob", "bad-2", "first"), ("ada", "bad-1", "old"), ("bob", "bad-3", "second"), ("bob", "bad-4", "last")]
    {
        client
            .accepted(
                "/v1/identify",
                &json!({"userId": user, "messageId": message, "traits": {"plan": plan, "from": message}}),
            )
            .await;
    }
    pipeline.drained().await;
    client.accepted("/v1/identify", &json!({"userId": "ada", "messageId": "fine", "traits": {"plan": "new"}})).await;
    pipeline.drained().await;
    mend(&pipeline).await;
    let traits = async |user: &str| -> Value {
        let query = "SELECT traits FROM users WHERE id = $1";
        sqlx::query_scalar(query).bind(user).fetch_one(&pipeline.database.pool).await.unwrap()
    };
    // Those of one user in order, also one by one.
    command(&pipeline, &["redrive", "1", "2", "3", "--rate", "1"]).await;
    let done = pipeline.admin().accepted(REDRIVE, &json!({"all": true})).await;
    assert_eq!((&done["letters"], &done["passed_over_total"]), (&json!(1), &json!(1)), "{done}");
    assert!(done["passed_over"][0]["why"].as_str().unwrap().contains("a later one of its user"), "{done}");
    pipeline.drained().await;
    assert_eq!(
        (traits("ada").await, traits("bob").await),
        (json!({"plan": "new"}), json!({"plan": "last", "from": "bad-4"}))
    );
    command(&pipeline, &["redrive", "--all", "--overwrite-traits"]).await;
    pipeline.drained().await;
    assert_eq!(traits("ada").await, json!({"plan": "old", "from": "bad-1"}));
}

#[tokio::test]
async fn what_still_cannot_be_read_is_passed_over_and_a_whole_message_that_can_is_driven() {
    let pipeline = Pipeline::start().await;
    let partition = UserKey::user("u").partition(16);
    pipeline.stream.publish_lines(&[(partition, b"\xff no event")]).await;
    pipeline.stream.publish(bytes::Bytes::from_static(b"no message of ours\n"), 7, 1).await;
    pipeline.drained().await;
    // As if a release before had not been able to read it.
    let at = chrono::Utc::now();
    let event =
        json!({"id": uuid::Uuid::new_v4(), "day": at.date_naive(), "type": "track", "user_id": "u", "event": "e",
        "message_id": "m", "timestamp": at, "received_at": at, "source": "by hand"})
        .to_string();
    let message = shared::domain::message::encode(1, at, [(partition, event.as_bytes())].into_iter());
    let insert = "INSERT INTO dead_letters (lane, stream_seq, partition, position, reason, payload, received_at) VALUES (0, 99, 0, 0, 'r', $1, now())";
    sqlx::query(insert).bind(message).execute(&pipeline.database.pool).await.unwrap();

    let dry = command(&pipeline, &["redrive", "--all", "--dry-run"]).await;
    assert!(dry.contains("would redrive 1 letters (1 events)") && dry.contains("pass over 2"), "{dry}");
    let done = command(&pipeline, &["redrive", "--all"]).await;
    assert!(done.contains("it still is no event") && done.contains("it still cannot be read"), "{done}");
    pipeline.drained().await;
    assert_eq!((pipeline.rows().await, pipeline.database.number(OPEN).await), (1, 2));
    command(&pipeline, &["discard", "--all", "--why", "rubbish", "--dry-run"]).await;
    assert_eq!(pipeline.database.number(OPEN).await, 2);
    assert!(command(&pipeline, &["discard", "--all", "--why", "rubbish"]).await.contains("discarded 2 letters"));
    assert_eq!(pipeline.database.number(OPEN).await, 0);
}
