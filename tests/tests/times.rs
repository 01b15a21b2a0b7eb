//! Client clocks: right, wrong, without a zone, or no clock at all. Never a reason to refuse an event.

use chrono::{DateTime, Days, NaiveDate, SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};
use sqlx::Row;
use tests::pipeline::Pipeline;

const CLOCK_CLAMPED: i16 = 1;
const TIME_UNREADABLE: i16 = 2;
const TIME_ZONELESS: i16 = 4;
const SKEW_CORRECTED: i16 = 8;

struct Times {
    day: NaiveDate,
    shown: DateTime<Utc>,
    original: Option<String>,
    received: DateTime<Utc>,
    flags: i16,
}

async fn times(pipeline: &Pipeline, message_id: &str) -> Times {
    let query = "SELECT day, \"timestamp\", original_timestamp, received_at, flags FROM events WHERE message_id = $1";
    let row = sqlx::query(query).bind(message_id).fetch_one(&pipeline.database.pool).await.unwrap();
    Times { day: row.get(0), shown: row.get(1), original: row.get(2), received: row.get(3), flags: row.get(4) }
}

fn track(id: &str, timestamp: &Value) -> Value {
    json!({"type": "track", "userId": "u", "event": "e", "messageId": id, "timestamp": timestamp})
}

fn iso(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

#[tokio::test]
async fn a_time_within_the_window_is_the_events_day_in_every_form_that_sdks_send() {
    let pipeline = Pipeline::start().await;
    let day = Utc::now().date_naive() - Days::new(3);
    let expected: DateTime<Utc> = format!("{day}T10:00:00.123Z").parse().unwrap();
    let forms = [
        json!(format!("{day}T10:00:00.123Z")),
        json!(format!("{day}T10:00:00.123000+00:00")),
        json!(format!("{day}T15:30:00.123+05:30")),
        json!(format!("{day}T15:30:00.123+0530")),
        json!(expected.timestamp_millis()),
    ];
    for (number, form) in forms.iter().enumerate() {
        pipeline.client().accepted("/v1/track", &track(&number.to_string(), form)).await;
    }
    pipeline.drained().await;
    for (number, form) in forms.iter().enumerate() {
        let times = times(&pipeline, &number.to_string()).await;
        assert_eq!((times.day, times.shown, times.flags), (day, expected, 0), "{form}");
        let sent = form.as_str().map_or_else(|| form.to_string(), str::to_owned);
        assert_eq!(times.original.as_deref(), Some(sent.as_str()), "the time is kept as sent");
    }
}

#[tokio::test]
async fn a_time_that_cannot_be_believed_is_kept_flagged_and_filed_under_the_day_of_receipt() {
    let pipeline = Pipeline::start().await;
    let now = Utc::now();
    let forms = [
        ("garbage", json!("the day before yesterday"), CLOCK_CLAMPED | TIME_UNREADABLE),
        ("empty", json!(""), CLOCK_CLAMPED | TIME_UNREADABLE),
        ("object", json!({"seconds": 1}), CLOCK_CLAMPED | TIME_UNREADABLE),
        ("boolean", json!(true), CLOCK_CLAMPED | TIME_UNREADABLE),
        ("node", json!("+275760-09-13T00:00:00.000Z"), CLOCK_CLAMPED | TIME_UNREADABLE),
        ("before", json!("-005000-01-01T00:00:00.000Z"), CLOCK_CLAMPED | TIME_UNREADABLE),
        ("epoch", json!("1970-01-01T00:00:00Z"), CLOCK_CLAMPED),
        ("old", json!(iso(now - TimeDelta::days(200))), CLOCK_CLAMPED),
        ("future", json!(iso(now + TimeDelta::days(400))), CLOCK_CLAMPED),
    ];
    let events: Vec<Value> = forms.iter().map(|(id, form, _)| track(id, form)).collect();
    let answer = pipeline.client().accepted("/v1/batch", &json!({"batch": events})).await;
    assert_eq!(answer["accepted"], forms.len(), "{answer}");
    pipeline.drained().await;
    for (id, form, flags) in forms {
        let times = times(&pipeline, id).await;
        assert_eq!(times.flags, flags, "{form}");
        assert_eq!(times.day, times.received.date_naive(), "{form}");
        if id != "old" {
            assert_eq!(times.shown, times.received, "{form} is shown by the time of receipt");
        }
    }
}

#[tokio::test]
async fn a_time_without_a_zone_is_never_read_as_utc() {
    let pipeline = Pipeline::start().await;
    let day = Utc::now().date_naive() - Days::new(2);
    pipeline.client().accepted("/v1/track", &track("m", &json!(format!("{day}T23:59:59.999999")))).await;
    pipeline.drained().await;
    let times = times(&pipeline, "m").await;
    assert_eq!((times.day, times.flags), (day, TIME_ZONELESS), "it is filed under the date as written");
    assert_eq!(times.shown, times.received);
}

#[tokio::test]
async fn a_clock_that_is_off_is_corrected_by_one_offset_for_the_whole_batch() {
    let pipeline = Pipeline::start().await;
    let (off, apart) = (TimeDelta::hours(2), TimeDelta::minutes(10));
    let sent = Utc::now() - off;
    let events = [track("first", &json!(iso(sent - apart))), track("second", &json!(iso(sent)))];
    pipeline.client().accepted("/v1/batch", &json!({"batch": events, "sentAt": iso(sent)})).await;
    let near = Utc::now() - TimeDelta::seconds(20);
    let body = json!({"batch": [track("near", &json!(iso(near)))], "sentAt": iso(near)});
    pipeline.client().accepted("/v1/batch", &body).await;
    pipeline.drained().await;

    let (first, second) = (times(&pipeline, "first").await, times(&pipeline, "second").await);
    assert_eq!(second.shown - first.shown, apart);
    assert!((second.received - second.shown).abs() < TimeDelta::seconds(1), "{} {}", second.received, second.shown);
    assert_eq!((first.flags, second.flags), (SKEW_CORRECTED, SKEW_CORRECTED));
    // The identity and the day follow from what was sent, whatever is shown: a resend must agree.
    assert_eq!(second.original, Some(iso(sent)));

    let near_times = times(&pipeline, "near").await;
    assert_eq!((iso(near_times.shown), near_times.flags), (iso(near), 0), "network delay is no skew");
}

#[tokio::test]
async fn a_resend_that_restamps_its_time_within_the_hour_is_the_same_event() {
    let pipeline = Pipeline::start().await;
    // rudder-sdk-node keeps originalTimestamp and stamps sentAt anew; others stamp `timestamp` anew.
    let hour = format!("{}T05", Utc::now().date_naive() - Days::new(1));
    for minute in ["00:00.000", "31:07.250", "59:59.999"] {
        let body = track("restamped", &json!(format!("{hour}:{minute}Z")));
        pipeline.client().accepted("/v1/track", &body).await;
        let body = json!({"type": "track", "userId": "u", "event": "e", "messageId": "original",
            "originalTimestamp": format!("{hour}:00:00Z"), "sentAt": iso(Utc::now())});
        pipeline.client().accepted("/v1/track", &body).await;
    }
    pipeline.drained().await;
    assert_eq!(pipeline.rows().await, 2);
}

/// A line as ingest writes it, of an event that carries a message id.
fn line(id: uuid::Uuid, day: chrono::NaiveDate, late: bool) -> String {
    let now = chrono::Utc::now();
    json!({
        "id": id, "day": day, "late": late, "type": "track", "user_id": "u", "event": "e", "message_id": "m",
        "timestamp": now, "received_at": now, "source": "by hand"
    })
    .to_string()
}

/// The id of an event whose client time lies in the first hour of a day.
fn id_on(day: chrono::NaiveDate) -> uuid::Uuid {
    let time = day.and_time(chrono::NaiveTime::MIN);
    let name = shared::domain::event_id::Name::MessageId("m");
    let key = Some(shared::domain::user_key::UserKey::user("u"));
    shared::domain::event_id::event_id(shared::domain::event::EventType::Track, key, name, Some(time))
}

async fn rows_after(lines: &[String]) -> i64 {
    let pipeline = tests::pipeline::Pipeline::start().await;
    let partition = shared::domain::user_key::UserKey::user("u").partition(16);
    for line in lines {
        pipeline.stream.publish_lines(&[(partition, line.as_bytes())]).await;
    }
    pipeline.drained().await;
    pipeline.rows().await
}

#[tokio::test]
async fn an_event_from_the_future_is_still_a_duplicate_when_its_day_has_come() {
    let today = chrono::Utc::now().date_naive();
    let tomorrow = today + chrono::Days::new(1);
    // First more than a day ahead, so filed under the day of receipt; its resend is believed.
    let id = id_on(tomorrow);
    assert_eq!(rows_after(&[line(id, today, true), line(id, tomorrow, false)]).await, 1);
}

#[tokio::test]
async fn an_event_stored_under_its_own_day_is_still_a_duplicate_when_that_day_is_no_longer_believed() {
    let today = chrono::Utc::now().date_naive();
    let old = today - chrono::Days::new(89);
    // First in time, so filed under its own day; its resend comes at the end of the retention.
    let id = id_on(old);
    assert_eq!(rows_after(&[line(id, old, false), line(id, today, true)]).await, 1);
}
