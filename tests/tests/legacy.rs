//! The store of the old server, posted as its SDK would post it: one request each, and once more as one batch.
//!
//! How an event of the fixture becomes a body is documented in `tests::legacy`. What is expected of each oddity:
//!
//! | event | oddity | outcome |
//! |---|---|---|
//! | 35 | `user_id` is an array | refused, `user_id` named; its neighbours in the batch are not touched |
//! | 39 | `user_id` is a number | stored as the text `42`; the `id` it shares with event 0 was the server's, and means nothing |
//! | 23, 24 | differ only in the server's `id` | one row: what the SDK sent is the same bytes, as in a resend |
//! | 30, 31 | same `event_id`, other content | two rows |
//! | 19, 21 | `/_Viewed`, `DialogRoute<dynamic>_Viewed` | stored verbatim |
//! | 18–22, 38 | the device's time has no zone | kept as sent, shown by the time of receipt, flagged |
//! | all with a time | of 2025, older than what is kept | filed under the day of receipt, flagged, never refused |
//! | 36 | `ts` is a text | read as the time it is |
//! | 38 | `ts` in seconds, fields of its own | its own `event_id` and `timestamp` count; unknown fields are in `extra` |
//! | 37 | no properties, and no `id` of the server's | properties are `{}`, as the SDK sends them; the `id` is not missed |
//! | 32 | user `anonymous` | stored, matched, and nobody's profile |
//! | 22–25, 0–17 | campaigns that do not exist, null values | stored verbatim |
//! | users | one identify each | not named by the SDK: stored per posting; traits merged, so the same |

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sqlx::Row;
use tests::legacy::{Legacy, identify, track};
use tests::pipeline::{Pipeline, Setup};

const CLOCK_CLAMPED: i16 = 1;
const TIME_ZONELESS: i16 = 4;
const ARRAY_USER: usize = 35;
const TWINS: [usize; 2] = [23, 24];
const ZONELESS: [usize; 6] = [18, 19, 20, 21, 22, 38];

/// The fixture and everything about it that was posted.
struct Posted {
    legacy: Legacy,
    /// Bodies of the identifies, then of the tracks, as bytes that are the same in every posting.
    identifies: Vec<String>,
    tracks: Vec<String>,
    /// `matched` of each track, by name.
    matched: BTreeMap<usize, Vec<String>>,
}

async fn pipeline_of(legacy: &Legacy) -> Pipeline {
    legacy.campaigns.iter().fold(Setup::default(), |setup, campaign| setup.campaign(campaign.clone())).start().await
}

async fn post_one_by_one(pipeline: &Pipeline, legacy: Legacy) -> Posted {
    let client = pipeline.client();
    let identifies: Vec<String> = legacy.users.iter().map(|(id, traits)| identify(id, traits).to_string()).collect();
    let tracks: Vec<String> = legacy.events.iter().map(|event| track(event).to_string()).collect();
    for body in &identifies {
        let answer = client.send("POST", "/v1/identify", &[], body.as_bytes()).await.unwrap();
        assert_eq!(answer.status, 200, "{body}: {}", answer.text());
    }
    let mut matched = BTreeMap::new();
    for (index, body) in tracks.iter().enumerate() {
        let answer = client.send("POST", "/v1/track", &[], body.as_bytes()).await.unwrap();
        if index == ARRAY_USER {
            assert_eq!(answer.status, 400, "{}", answer.text());
            assert_eq!(answer.json()["details"][0]["path"], "user_id");
            continue;
        }
        assert_eq!(answer.status, 200, "{body}: {}", answer.text());
        let names: Vec<String> = answer.json()["matched"]
            .as_array()
            .unwrap()
            .iter()
            .map(|campaign| campaign["name"].as_str().unwrap().to_owned())
            .collect();
        if !names.is_empty() {
            matched.insert(index, names);
        }
    }
    pipeline.drained().await;
    Posted { legacy, identifies, tracks, matched }
}

#[derive(Debug)]
struct StoredRow {
    user_id: String,
    properties: Value,
    flags: i16,
    original_timestamp: Option<String>,
    shown: DateTime<Utc>,
    received: DateTime<Utc>,
    filed_by_receipt: bool,
    event_id: Option<String>,
    extra: Value,
}

/// The rows of one event name, in the order of what is shown.
async fn rows_of(pipeline: &Pipeline, event: &str) -> Vec<StoredRow> {
    let query = "SELECT *, day = (received_at AT TIME ZONE 'UTC')::date AS filed_by_receipt
                   FROM events WHERE type = 'track' AND event = $1 ORDER BY \"timestamp\", id";
    let rows = sqlx::query(query).bind(event).fetch_all(&pipeline.database.pool).await.unwrap();
    let read = |row: &sqlx::postgres::PgRow| StoredRow {
        user_id: row.get("user_id"),
        properties: row.get("properties"),
        flags: row.get("flags"),
        original_timestamp: row.get("original_timestamp"),
        shown: row.get("timestamp"),
        received: row.get("received_at"),
        filed_by_receipt: row.get("filed_by_receipt"),
        event_id: row.get("event_id"),
        extra: row.get("extra"),
    };
    rows.iter().map(read).collect()
}

#[tokio::test]
async fn every_event_of_the_old_store_is_stored_as_the_rules_say() {
    let legacy = Legacy::read();
    let pipeline = pipeline_of(&legacy).await;
    let posted = post_one_by_one(&pipeline, legacy).await;
    let events = &posted.legacy.events;

    // 40 events, one refused, two that are one; 8 identifies.
    assert_eq!(pipeline.database.number("SELECT count(*) FROM events WHERE type = 'track'").await, 38);
    assert_eq!(pipeline.database.number("SELECT count(*) FROM events WHERE type = 'identify'").await, 8);
    assert_eq!(pipeline.database.number("SELECT count(*) FROM dead_letters").await, 0);

    for (index, event) in events.iter().enumerate().filter(|(index, _)| *index != ARRAY_USER) {
        let name = event["event"].as_str().unwrap();
        let properties = event.get("properties").cloned().unwrap_or_else(|| json!({}));
        let body: Value = serde_json::from_str(&posted.tracks[index]).unwrap();
        let rows = rows_of(&pipeline, name).await;
        let event_id = body["event_id"].as_str().map(str::to_owned);
        let mine: Vec<_> = rows.iter().filter(|row| row.event_id == event_id && row.properties == properties).collect();
        assert_eq!(mine.len(), 1, "event {index}, {event}: {rows:#?}");
        let row = mine[0];

        let user = event["user_id"].as_str().map_or_else(|| event["user_id"].to_string(), str::to_owned);
        assert_eq!(row.user_id, user, "event {index}");
        assert!(row.filed_by_receipt, "event {index} is filed under a day of 2025");
        let zone = if ZONELESS.contains(&index) { TIME_ZONELESS } else { 0 };
        assert_eq!(row.flags, CLOCK_CLAMPED | zone, "event {index}");
        let sent = match &body["timestamp"] {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            number => Some(number.to_string()),
        };
        assert_eq!(row.original_timestamp, sent, "event {index}");
        let shown = match &body["timestamp"] {
            Value::Number(ms) => DateTime::from_timestamp_millis(ms.as_i64().unwrap()).unwrap(),
            Value::String(text) if text.ends_with('Z') => text.parse().unwrap(),
            _ => row.received,
        };
        assert_eq!(row.shown, shown, "event {index}");
    }
}

#[tokio::test]
async fn each_oddity_of_the_old_store_has_its_outcome() {
    let legacy = Legacy::read();
    let pipeline = pipeline_of(&legacy).await;
    let posted = post_one_by_one(&pipeline, legacy).await;

    assert_eq!(posted.tracks[TWINS[0]], posted.tracks[TWINS[1]], "without the server's id they are the same bytes");
    assert_eq!(rows_of(&pipeline, "campaign_dismissed").await.len(), 1);

    let widgets = rows_of(&pipeline, "widget_viewed").await;
    assert_eq!(widgets.len(), 2);
    assert_eq!(widgets[0].event_id, widgets[1].event_id);
    assert_ne!(widgets[0].properties, widgets[1].properties);

    assert_eq!(rows_of(&pipeline, "/_Viewed").await.len(), 1);
    assert_eq!(rows_of(&pipeline, "DialogRoute<dynamic>_Viewed").await.len(), 1);
    assert!(rows_of(&pipeline, "ev_array_user").await.is_empty());
    assert_eq!(rows_of(&pipeline, "numeric_user").await[0].user_id, "42");
    assert_eq!(rows_of(&pipeline, "no_id_or_props").await[0].properties, json!({}));
    let clicked = &rows_of(&pipeline, "campaign_clicked").await[0];
    assert_eq!(clicked.properties.get("button_text"), Some(&Value::Null), "a null value is kept");

    let extra = &rows_of(&pipeline, "extra_fields").await[0];
    assert_eq!(extra.event_id.as_deref(), Some("user_377_extra_fields_1763201999000"));
    let others = json!({"sdk_version": "in_app_ninja_flutter_1.0.0", "page": null, "external_id": "ext-5"});
    assert_eq!(extra.extra, others);

    // Named and with a day that is not their own: a resend on another day must be found again.
    assert_eq!(pipeline.database.number("SELECT count(*) FROM late_ids").await, 38);
}

#[tokio::test]
async fn profiles_are_the_old_stores_and_strangers_have_none() {
    let legacy = Legacy::read();
    let pipeline = pipeline_of(&legacy).await;
    let posted = post_one_by_one(&pipeline, legacy).await;
    let query = "SELECT id, traits FROM users WHERE kind = 'user'";
    let rows: Vec<(String, Value)> = sqlx::query_as(query).fetch_all(&pipeline.database.pool).await.unwrap();
    let profiles: BTreeMap<String, Value> = rows.into_iter().filter(|(_, traits)| *traits != json!({})).collect();
    let expected = posted.legacy.users.iter().filter(|(id, _)| id != "anonymous").cloned().collect();
    assert_eq!(profiles, expected);
    assert_eq!(pipeline.database.number("SELECT count(*) FROM users WHERE id = 'anonymous'").await, 0);
}

#[tokio::test]
async fn the_old_campaigns_match_in_the_reply_and_in_the_table() {
    let legacy = Legacy::read();
    let pipeline = pipeline_of(&legacy).await;
    let posted = post_one_by_one(&pipeline, legacy).await;
    // The editor's nine `unknown` rules mean nothing; "Silver" is not "silver"; drafts and paused campaigns never match.
    let expected = [(20, "Monsoon Delivery Banner"), (26, "Basket Over Forty"), (32, "Imported By Hand")];
    let expected: BTreeMap<usize, Vec<String>> = expected.map(|(index, name)| (index, vec![name.to_owned()])).into();
    assert_eq!(posted.matched, expected);

    let query = "SELECT e.event, c.document ->> 'name' FROM matches m JOIN campaigns c ON c.id = m.campaign_id
                   JOIN events e ON e.id = m.event_id AND e.day = m.day ORDER BY 1";
    let written: Vec<(String, String)> = sqlx::query_as(query).fetch_all(&pipeline.database.pool).await.unwrap();
    let expected = [
        ("cart_viewed", "Basket Over Forty"),
        ("page_view", "Imported By Hand"),
        ("screen_viewed", "Monsoon Delivery Banner"),
    ];
    assert_eq!(written, expected.map(|(event, name)| (event.to_owned(), name.to_owned())));
}

#[tokio::test]
async fn the_same_bytes_once_more_as_one_batch_add_only_what_nobody_named() {
    let legacy = Legacy::read();
    let pipeline = pipeline_of(&legacy).await;
    let posted = post_one_by_one(&pipeline, legacy).await;
    let before = pipeline.rows().await;

    let events: Vec<&str> = posted.identifies.iter().chain(&posted.tracks).map(String::as_str).collect();
    let body = format!("{{\"batch\":[{}]}}", events.join(","));
    let answer = pipeline.client().send("POST", "/v1/batch", &[], body.as_bytes()).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = answer.json();
    assert_eq!(answer["accepted"], 47);
    let rejected = answer["rejected"].as_array().unwrap();
    assert_eq!(rejected.len(), 1, "{answer}");
    assert_eq!(rejected[0]["index"], posted.identifies.len() + ARRAY_USER);
    assert!(rejected[0].to_string().contains("user_id"), "{answer}");

    pipeline.drained().await;
    assert_eq!(pipeline.rows().await - before, 8, "identifies, which the SDK does not name");
    assert_eq!(pipeline.database.number("SELECT sum(duplicate)::bigint FROM ledger").await, 1 + 39);
    assert_eq!(pipeline.database.number("SELECT count(*) FROM matches").await, 3);
}
