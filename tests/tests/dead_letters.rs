//! What cannot be stored is put aside with its payload and the reason, and costs nothing else.
//!
//! The door checks everything that PostgreSQL refuses, so the poison here is written into the stream by hand, past the door.

use serde_json::json;
use shared::domain::message::FORMAT_VERSION;
use shared::domain::user_key::UserKey;
use sqlx::Row;
use tests::eventually::{equal, eventually};
use tests::pipeline::Pipeline;

const PARTITIONS: u16 = 16;

/// A line of a stream message, as ingest would write it, with properties that it would not.
fn line(number: usize, user: &str, properties: &str) -> (u16, Vec<u8>) {
    let now = chrono::Utc::now();
    let event = json!({
        "id": uuid::Uuid::new_v4(), "day": now.date_naive(), "type": "track", "user_id": user, "event": "e",
        "message_id": format!("m-{number}"), "timestamp": now, "received_at": now, "source": "by hand"
    });
    let text = event.to_string();
    let text = format!("{},\"properties\":{properties}}}", &text[..text.len() - 1]);
    (UserKey::user(user).partition(PARTITIONS), text.into_bytes())
}

async fn publish(pipeline: &Pipeline, lines: &[(u16, Vec<u8>)]) -> u64 {
    let borrowed: Vec<(u16, &[u8])> = lines.iter().map(|(partition, line)| (*partition, line.as_slice())).collect();
    pipeline.stream.publish_lines(&borrowed).await
}

/// Read, stored and dead of the ledger.
async fn books(pipeline: &Pipeline) -> (i64, i64, i64) {
    let query = "SELECT sum(read)::bigint, sum(stored)::bigint, sum(dead)::bigint FROM ledger";
    sqlx::query_as(query).fetch_one(&pipeline.database.pool).await.unwrap()
}

#[tokio::test]
async fn one_poison_row_in_a_batch_of_500_leaves_499_stored() {
    let pipeline = Pipeline::start().await;
    let poison = r#"{"text":"PostgreSQL has no \u0000"}"#;
    for (round, position) in [0, 250, 499].into_iter().enumerate() {
        let mut lines: Vec<_> = (0..499).map(|n| line(round * 1000 + n, "u", r#"{"fine":true}"#)).collect();
        lines.insert(position, line(round * 1000 + 499, "u", poison));
        let seq = publish(&pipeline, &lines).await;
        pipeline.drained().await;
        let query =
            "SELECT sqlstate, reason, payload, events, position, event_id FROM dead_letters WHERE stream_seq = $1";
        let row =
            sqlx::query(query).bind(i64::try_from(seq).unwrap()).fetch_one(&pipeline.database.pool).await.unwrap();
        assert_eq!(row.get::<&str, _>("sqlstate"), "22P05");
        assert!(!row.get::<&str, _>("reason").is_empty());
        assert_eq!(row.get::<Vec<u8>, _>("payload"), lines[position].1, "the payload is kept as it lay in the stream");
        assert_eq!((row.get::<i32, _>("events"), row.get::<i32, _>("position")), (1, i32::try_from(position).unwrap()));
        assert!(row.get::<Option<uuid::Uuid>, _>("event_id").is_some());
    }
    assert_eq!(books(&pipeline).await, (1_500, 1_497, 3));
    assert_eq!(pipeline.rows().await, 1_497);
}

#[tokio::test]
async fn traits_and_matches_keep_their_order_around_a_poison_row() {
    let silver = json!({"id": "silver", "name": "s", "status": "active", "trigger": "e",
        "rules": [{"id": 1, "type": "attribute", "field": "tier", "operator": "==", "value": "silver"}]});
    let pipeline = tests::pipeline::Setup::default().campaign(silver).start().await;
    let now = chrono::Utc::now();
    let identify = |tier: &str| {
        let event = json!({"id": uuid::Uuid::new_v4(), "day": now.date_naive(), "type": "identify", "user_id": "u",
            "timestamp": now, "received_at": now, "source": "by hand", "traits": {"tier": tier}});
        (UserKey::user("u").partition(PARTITIONS), event.to_string().into_bytes())
    };
    let lines = [
        line(1, "u", "{}"),
        identify("silver"),
        line(2, "u", "{}"),
        line(3, "u", r#"{"poison":"\u0000"}"#),
        line(4, "u", "{}"),
        identify("gold"),
        line(5, "u", "{}"),
    ];
    publish(&pipeline, &lines).await;
    pipeline.drained().await;
    let query = "SELECT message_id FROM events e JOIN matches m ON m.event_id = e.id AND m.day = e.day ORDER BY 1";
    let matched: Vec<String> = sqlx::query_scalar(query).fetch_all(&pipeline.database.pool).await.unwrap();
    assert_eq!(matched, ["m-2", "m-4"]);
    let traits: serde_json::Value =
        sqlx::query_scalar("SELECT traits FROM users").fetch_one(&pipeline.database.pool).await.unwrap();
    assert_eq!(traits, json!({"tier": "gold"}));
}

#[tokio::test]
async fn a_line_that_is_no_event_is_put_aside_alone() {
    let pipeline = Pipeline::start().await;
    let partition = UserKey::user("u").partition(PARTITIONS);
    let rubbish = b"\xff not an event \x01".to_vec();
    publish(&pipeline, &[line(1, "u", "{}"), (partition, rubbish.clone()), line(2, "u", "{}")]).await;
    pipeline.drained().await;
    assert_eq!(pipeline.rows().await, 2);
    let query = "SELECT payload, sqlstate FROM dead_letters";
    let row = sqlx::query(query).fetch_one(&pipeline.database.pool).await.unwrap();
    assert_eq!(row.get::<Vec<u8>, _>("payload"), rubbish);
    assert_eq!(row.get::<Option<&str>, _>("sqlstate"), None);
    assert_eq!(books(&pipeline).await, (3, 2, 1));
}

#[tokio::test]
async fn a_message_that_cannot_be_read_is_put_aside_whole_and_once() {
    let pipeline = tests::pipeline::Setup::default().workers(3).start().await;
    let rubbish = &b"\x00\xfe not a message of ours"[..];
    pipeline.stream.publish(bytes::Bytes::from_static(rubbish), 7, FORMAT_VERSION).await;
    publish(&pipeline, &[line(1, "u", "{}")]).await;
    pipeline.drained().await;
    let rows: Vec<(Vec<u8>, i32)> =
        sqlx::query_as("SELECT payload, events FROM dead_letters").fetch_all(&pipeline.database.pool).await.unwrap();
    assert_eq!(rows, [(rubbish.to_vec(), 7)]);
    assert_eq!(books(&pipeline).await, (8, 1, 7));
}

#[tokio::test]
async fn a_newer_format_waits_for_an_upgrade() {
    let pipeline = Pipeline::start().await;
    publish(&pipeline, &[line(1, "u", "{}")]).await;
    pipeline.drained().await;
    let newer = format!("{{\"v\":{},\"shape\":\"unknown\"}}\n…", FORMAT_VERSION + 1);
    let seq = pipeline.stream.publish(newer.into(), 1, FORMAT_VERSION + 1).await;
    let said = pipeline.workers[0].unready().await;
    assert!(said.contains("version 2") || said.contains("upgrade"), "it does not say why: {said}");
    let query = "SELECT count(*) FROM partitions WHERE last_seq >= $1";
    let passed: i64 =
        sqlx::query_scalar(query).bind(i64::try_from(seq).unwrap()).fetch_one(&pipeline.database.pool).await.unwrap();
    assert_eq!(passed, 0, "a partition went past a message that nobody could read");
    assert_eq!(pipeline.database.number("SELECT count(*) FROM dead_letters").await, 0);
    // Released, so that an upgraded worker may take them at once.
    eventually("the partitions are released", async || {
        equal(pipeline.database.number("SELECT count(*) FROM partitions WHERE owner IS NOT NULL").await, 0)
    })
    .await;
}

#[tokio::test]
async fn when_most_rows_of_many_users_fail_alike_nothing_is_put_aside() {
    let pipeline = Pipeline::start().await;
    let poison = r#"{"text":"\u0000"}"#;
    let lines: Vec<_> = (0..400).map(|n| line(n, &format!("user-{}", n % 50), poison)).collect();
    publish(&pipeline, &lines).await;
    let said = pipeline.workers[0].unready().await;
    assert!(said.contains("22P05"), "it does not say why: {said}");
    assert_eq!(pipeline.database.number("SELECT count(*) FROM dead_letters").await, 0);
    assert_eq!(pipeline.rows().await, 0);
}

#[tokio::test]
async fn the_same_place_of_a_stream_that_was_made_anew_hides_no_letter() {
    let mut pipeline = Pipeline::start().await;
    let poison = |n| line(n, "u", r#"{"text":"\u0000"}"#);
    publish(&pipeline, &[poison(1)]).await;
    pipeline.drained().await;
    pipeline.stream.delete().await;
    pipeline.workers[0].unready_with("does not exist").await;
    let adopted = tests::program::run("worker", &["adopt-stream"], &pipeline.environment_of("worker")).await;
    assert!(adopted.status.success(), "{}", adopted.text);
    pipeline.ready().await;
    assert_eq!(publish(&pipeline, &[poison(2)]).await, 1);
    pipeline.drained().await;
    assert_eq!(books(&pipeline).await, (2, 0, 2));
    assert_eq!(pipeline.database.number("SELECT count(*) FROM dead_letters WHERE stream_seq = 1").await, 2);
}

/// What a wrong schema does to all events: the SQLSTATE, the mistake, its repair.
const MISTAKES: [(&str, &str, &str); 3] = [
    ("23514", "ADD CONSTRAINT mistake CHECK (event <> 'e')", "DROP CONSTRAINT mistake"),
    ("23502", "ALTER COLUMN group_id SET NOT NULL", "ALTER COLUMN group_id DROP NOT NULL"),
    ("22001", "ALTER COLUMN message_id TYPE varchar(2)", "ALTER COLUMN message_id TYPE text"),
];

#[tokio::test]
async fn after_a_mass_failure_was_mended_everything_is_stored_by_itself_and_nothing_was_put_aside() {
    let pipeline = Pipeline::start().await;
    let alter = async |what: &str| {
        sqlx::query(&format!("ALTER TABLE events {what}")).execute(&pipeline.database.pool).await.unwrap();
    };
    for (round, (state, mistake, repair)) in MISTAKES.into_iter().enumerate() {
        // What is there already would keep the mistake from being made.
        sqlx::query("TRUNCATE events").execute(&pipeline.database.pool).await.unwrap();
        alter(mistake).await;
        let lines: Vec<_> = (0..300).map(|n| line(round * 300 + n, &format!("user-{}", n % 30), "{}")).collect();
        publish(&pipeline, &lines).await;
        pipeline.workers[0].unready_with(state).await;
        assert_eq!(pipeline.rows().await, 0, "{state}");
        alter(repair).await;
        pipeline.drained().await;
        assert_eq!(pipeline.rows().await, 300, "{state}");
        assert_eq!(pipeline.database.number("SELECT count(*) FROM dead_letters").await, 0, "{state}");
    }
    assert_eq!(books(&pipeline).await, (900, 900, 0));
}

#[tokio::test]
async fn what_fails_below_the_threshold_of_a_mass_failure_is_put_aside_and_at_it_nothing() {
    let pipeline = Pipeline::start().await;
    let poison = r#"{"text":"\u0000"}"#;
    // Rows, of these poison, users.
    let below = [(100, 50, 20), (99, 99, 20), (200, 200, 9)];
    let (mut stored, mut dead) = (0, 0);
    let lines = |rows: usize, bad: usize, users: usize| -> Vec<_> {
        let at = |n: usize| line(n, &format!("user-{}", n % users), if n < bad { poison } else { "{}" });
        (0..rows).map(at).collect()
    };
    for (rows, bad, users) in below {
        publish(&pipeline, &lines(rows, bad, users)).await;
        pipeline.drained().await;
        (stored, dead) = (stored + rows - bad, dead + bad);
        let (read, all) =
            (i64::try_from(stored + dead).unwrap(), (i64::try_from(stored).unwrap(), i64::try_from(dead).unwrap()));
        assert_eq!(books(&pipeline).await, (read, all.0, all.1), "{rows} rows, {bad} of them poison, {users} users");
    }
    publish(&pipeline, &lines(100, 51, 10)).await;
    pipeline.workers[0].unready_with("51 of 100").await;
    let letters = pipeline.database.number("SELECT count(*) FROM dead_letters").await;
    assert_eq!((letters, pipeline.rows().await), (i64::try_from(dead).unwrap(), i64::try_from(stored).unwrap()));
}

#[tokio::test]
async fn an_event_whose_day_has_no_partition_gets_one() {
    let pipeline = Pipeline::start().await;
    let day = chrono::Utc::now().date_naive() - chrono::Days::new(30);
    for (table, _) in pipeline.database.event_partitions().await.iter().filter(|(_, of)| *of == day) {
        sqlx::query(&format!("DROP TABLE {table}")).execute(&pipeline.database.pool).await.unwrap();
    }
    let body = json!({"user_id": "u", "event": "late", "messageId": "m", "timestamp": format!("{day}T12:00:00Z")});
    for _ in 0..2 {
        pipeline.client().accepted("/v1/track", &body).await;
    }
    pipeline.drained().await;
    let query = format!("SELECT count(*) FROM events WHERE day = '{day}'");
    assert_eq!(pipeline.database.number(&query).await, 1);
    assert!(pipeline.database.event_partitions().await.iter().any(|(_, of)| *of == day));
    assert_eq!(pipeline.database.number("SELECT count(*) FROM dead_letters").await, 0);
}
