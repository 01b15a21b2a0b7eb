//! What the published SDKs need of the service, point by point. Each point was seen on their wire or read in their source; each
//! test breaks when a change would make one of them lose events. The SDKs themselves run in `sdk_clients`.

use std::io::Write;

use chrono::{DateTime, Days, SecondsFormat, Utc};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use sqlx::Row;
use tests::client::{Client, WRITE_KEY};
use tests::eventually::{equal, eventually};
use tests::http1::{Answer, Connection};
use tests::pipeline::{Pipeline, Setup};
use tests::services::PrivateNats;

/// "test-write-key:" in base64, as every SDK with Basic sends it.
const BASIC: (&str, &str) = ("authorization", "Basic dGVzdC13cml0ZS1rZXk6");

fn track(id: &str) -> Value {
    json!({"type": "track", "userId": "u", "event": "e", "messageId": id})
}

async fn post(client: &Client, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    client.send("POST", path, headers, body).await.unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Waits until the table of keys has been read: before that nobody can say of a strange key that it is unknown.
async fn keys_known(pipeline: &Pipeline) {
    let stranger = pipeline.ingests[0].client().with_key("unknown");
    eventually("keys are known", async || equal(stranger.post("/v1/t", &json!({})).await.unwrap().status, 401)).await;
}

/// An error as every SDK and dashboard can read it: one of them resends for ever without `code`, one shows `message || error`.
fn assert_readable_error(answer: &Answer, status: u16) {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/json"), "{status}");
    let body = answer.json();
    for field in ["code", "message", "error"] {
        assert!(body[field].as_str().is_some_and(|text| !text.is_empty()), "{status}: {field} in {body}");
    }
}

#[tokio::test]
async fn point_01_batch_answers_exactly_200_with_an_object() {
    let pipeline = Setup::default().workers(0).start().await;
    let client = pipeline.client();
    let half_bad = json!({"batch": [track("good"), {"type": "track", "userId": "u"}], "sentAt": Utc::now()});
    for path in ["/v1/batch", "/v1/b", "/v1/import"] {
        for body in [json!({"batch": [track("m")]}), half_bad.clone()] {
            let answer = client.post(path, &body).await.unwrap();
            assert_eq!(answer.status, 200, "not 202, not 204: {path}");
            assert!(answer.json().is_object(), "{path}");
        }
    }
    let event = json!({"userId": "u", "event": "e", "name": "n", "groupId": "g", "previousId": "p", "traits": {}});
    for path in ["track", "t", "identify", "i", "page", "p", "screen", "s", "group", "g", "alias", "a"] {
        let answer = client.post(&format!("/v1/{path}"), &event).await.unwrap();
        assert_eq!((answer.status, &answer.json()["ok"]), (200, &json!(true)), "{path}");
    }
}

#[tokio::test]
async fn point_02_every_error_is_an_object_with_code_message_and_error() {
    let pipeline = Setup::default().workers(0).set("ADMIN_WRITE_LIMIT", "1").start().await;
    keys_known(&pipeline).await;
    let (client, admin) = (pipeline.client(), pipeline.admin());
    let keyless = pipeline.ingests[0].client();
    let too_many = json!({"batch": vec![track("m"); 10_001]}).to_string();
    for (status, path, headers, body) in [
        (400, "/v1/batch", &[][..], "nonsense"),
        (400, "/v1/batch", &[], "{}"),
        (400, "/v1/batch", &[], r#"{"batch":[]}"#),
        (400, "/v1/batch", &[], r#"{"batch":[{"type":"track"}]}"#),
        (400, "/v1/track", &[], r#"{"event":"e"}"#),
        (400, "/v1/batch", &[("content-encoding", "gzip")], "not gzip"),
        (401, "/v1/batch", &[("x-api-key", "unknown")], r#"{"batch":[{}]}"#),
        (403, "/v1/admin/campaigns", &[], "{}"),
        (404, "/v2/batch", &[], "{}"),
        (405, "/v1/campaigns", &[], "{}"),
        (413, "/v1/batch", &[], &too_many),
        (415, "/v1/batch", &[("content-encoding", "br")], "{}"),
    ] {
        let client = if headers.iter().any(|(name, _)| *name == "x-api-key") { &keyless } else { &client };
        assert_readable_error(&post(client, path, headers, body.as_bytes()).await, status);
    }
    assert_readable_error(&client.get("/v1/projects/unknown/settings").await.unwrap(), 404);
    assert_readable_error(&client.get("/v1/features/%ff").await.unwrap(), 400);
    assert_readable_error(&client.get(&format!("/v1/t?{}", "x".repeat(20_000))).await.unwrap(), 414);
    assert_eq!(admin.post("/v1/admin/campaigns", &json!({"name": "first"})).await.unwrap().status, 201);
    assert_readable_error(&admin.post("/v1/admin/campaigns", &json!({"name": "second"})).await.unwrap(), 429);
}

#[tokio::test]
async fn point_03_no_content_type_is_a_reason_to_refuse() {
    let pipeline = Setup::default().workers(0).start().await;
    let (client, batch, single) =
        (pipeline.client(), json!({"batch": [track("m")]}).to_string(), track("m").to_string());
    for kind in
        ["application/x-www-form-urlencoded", "text/plain", "text/plain;charset=UTF-8", "multipart/x", "\u{1f9f5}"]
    {
        for (path, body) in [("/v1/batch", &batch), ("/v1/b", &batch), ("/v1/t", &single)] {
            let plain = post(&client, path, &[("content-type", kind)], body.as_bytes()).await;
            assert_eq!(plain.status, 200, "{kind}: {}", plain.text());
            let headers = [("content-type", kind), ("content-encoding", "gzip")];
            let compressed = post(&client, path, &headers, &gzip(body.as_bytes())).await;
            assert_eq!(compressed.status, 200, "{kind} with gzip: {}", compressed.text());
        }
    }
    let mut bare = Connection::open(pipeline.ingests[0].address).await.unwrap();
    let head =
        format!("POST /v1/t HTTP/1.1\r\nhost: x\r\nx-api-key: {WRITE_KEY}\r\ncontent-length: {}\r\n\r\n", single.len());
    bare.send(head.as_bytes()).await.unwrap();
    bare.send(single.as_bytes()).await.unwrap();
    assert_eq!(bare.receive(false).await.unwrap().status, 200, "none at all");
}

#[tokio::test]
async fn point_04_gzip_is_read_up_to_what_sdks_send_and_no_bomb_is_unpacked() {
    let pipeline = Pipeline::start().await;
    // rudder-python stops adding events when it has four megabytes, and the last one may have four more.
    let filler: String = (0..165_000).map(|n| format!("{n:x} ")).collect();
    let event = |n: usize| {
        let mut event = track(&format!("m-{n}"));
        event["properties"] = json!({"filler": filler});
        event
    };
    let body = json!({"batch": (0..9).map(event).collect::<Vec<_>>()}).to_string();
    assert!(body.len() > 8_000_000);
    let answer = post(&pipeline.client(), "/v1/batch", &[("content-encoding", "gzip")], &gzip(body.as_bytes())).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let bomb = gzip(&vec![b' '; 64 << 20]);
    assert!(bomb.len() < 100_000);
    assert_readable_error(&post(&pipeline.client(), "/v1/batch", &[("content-encoding", "gzip")], &bomb).await, 413);
    pipeline.drained().await;
    assert_eq!(pipeline.rows().await, 9);
}

#[tokio::test]
async fn point_05_a_key_comes_as_basic_bearer_x_api_key_or_write_key() {
    let pipeline = Setup::default().workers(0).start().await;
    keys_known(&pipeline).await;
    let client = pipeline.ingests[0].client();
    let batch = json!({"batch": [track("m")]});
    let with = |mut body: Value| {
        body["writeKey"] = json!(WRITE_KEY);
        body
    };
    let bearer = format!("Bearer {WRITE_KEY}");
    for (who, headers, body) in [
        ("rudder SDKs", vec![BASIC], batch.clone()),
        ("segment server SDKs", vec![BASIC], with(batch.clone())),
        ("no password and no colon", vec![("authorization", "Basic dGVzdC13cml0ZS1rZXk=")], batch.clone()),
        ("the dashboard", vec![("authorization", bearer.as_str()), ("x-api-key", WRITE_KEY)], batch.clone()),
        ("apps", vec![("x-api-key", WRITE_KEY)], batch.clone()),
        ("a beacon, in its envelope", vec![], with(batch.clone())),
        ("a beacon, in its event", vec![], json!({"batch": [with(track("m"))]})),
    ] {
        let answer = post(&client, "/v1/batch", &headers, body.to_string().as_bytes()).await;
        assert_eq!(answer.status, 200, "{who}: {}", answer.text());
    }
    for (who, headers, body) in [
        ("the browser SDK", vec![BASIC], with(track("m"))),
        ("a beacon", vec![], with(track("m"))),
        (
            "a wrong key in the body beside a good one",
            vec![BASIC],
            json!({"userId": "u", "event": "e", "writeKey": "wrong"}),
        ),
    ] {
        let answer = post(&client, "/v1/t", &headers, body.to_string().as_bytes()).await;
        assert_eq!(answer.status, 200, "{who}: {}", answer.text());
    }
    for headers in [vec![], vec![("authorization", "Basic Og==")], vec![("authorization", "Basic dGVzdA==")]] {
        assert_readable_error(&post(&client, "/v1/batch", &headers, batch.to_string().as_bytes()).await, 401);
    }
}

#[tokio::test]
async fn point_06_pages_of_other_origins_may_call_and_read_errors_and_retry_after() {
    let pipeline = Setup::default().workers(0).start().await;
    keys_known(&pipeline).await;
    let client = pipeline.ingests[0].client();
    let origin = ("origin", "https://shop.example");
    for path in
        ["/v1/t", "/v1/b", "/v1/m", "/v1/track", "/v1/campaigns", "/v1/admin/campaigns", "/v1/projects/k/settings"]
    {
        let asked = "authorization, content-type, x-api-key";
        let headers = [origin, ("access-control-request-method", "POST"), ("access-control-request-headers", asked)];
        let answer = client.send("OPTIONS", path, &headers, b"").await.unwrap();
        assert_eq!(answer.status, 204, "a browser cannot send a key when it asks: {path}");
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "{path}");
        let allowed = answer.header("access-control-allow-headers").unwrap();
        assert!(asked.split(", ").all(|name| allowed.contains(name)), "{path}: {allowed}");
        assert!(answer.header("access-control-allow-methods").unwrap().contains("POST"), "{path}");
        assert!(answer.header("access-control-max-age").unwrap().parse::<u32>().unwrap() >= 600, "{path}");
    }
    let settings = format!("/v1/projects/{WRITE_KEY}/settings");
    for (method, path, status) in [
        ("POST", "/v1/t", 401),
        ("POST", "/v1/nothing", 404),
        ("GET", "/v1/t", 405),
        ("GET", "/v1/projects/unknown/settings", 404),
        ("GET", settings.as_str(), 200),
        ("POST", "/v1/m", 200),
    ] {
        let body: &[u8] = if method == "POST" { b"{}" } else { b"" };
        let answer = client.send(method, path, &[origin], body).await.unwrap();
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "{path}");
        let exposed = answer.header("access-control-expose-headers").unwrap().to_lowercase();
        assert!(exposed.contains("retry-after"), "{path}: {exposed}");
    }
}

#[tokio::test]
async fn point_07_resends_are_recognised_by_their_message_ids() {
    let pipeline = Pipeline::start().await;
    let client = pipeline.client();
    let now = Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true);
    let batch = |ids: &[&str]| -> Vec<Value> {
        let timed = |id: &&str| {
            let mut event = track(id);
            event["timestamp"] = json!(now);
            event
        };
        ids.iter().map(timed).collect()
    };
    // The answer to the first was lost; it comes again after the second, with another sentAt, and once more among others.
    for (number, ids) in [&["a", "b"][..], &["c"], &["a", "b"], &["b", "d", "a"]].iter().enumerate() {
        let sent_at = format!("2026-01-0{}T00:00:00Z", number + 1);
        let headers = [("x-retry-count", "1")];
        let body = json!({"batch": batch(ids), "sentAt": sent_at, "writeKey": WRITE_KEY}).to_string();
        assert_eq!(post(&client, "/v1/batch", &headers, body.as_bytes()).await.status, 200);
    }
    pipeline.drained().await;
    assert_eq!(pipeline.rows().await, 4);
    assert_eq!(pipeline.database.number("SELECT sum(duplicate)::bigint FROM ledger").await, 4);
}

#[tokio::test]
async fn point_07_a_browsers_event_that_is_resent_after_a_login_is_the_same_event() {
    let pipeline = Pipeline::start().await;
    // The SDK adds the visitor's user id when it sends, not when the event happened.
    let id = "ajs-next-1763201218000-6f1f7c2e-7d6e-4b8c-9d0a-1b2c3d4e5f60";
    let mut event = json!({"name": "Home", "anonymousId": "visitor", "messageId": id, "timestamp": Utc::now()});
    pipeline.client().accepted("/v1/p", &event).await;
    event["userId"] = json!("ada");
    pipeline.client().accepted("/v1/p", &event).await;
    pipeline.drained().await;
    let rows: Vec<(Option<String>, String)> =
        sqlx::query_as("SELECT user_id, anonymous_id FROM events").fetch_all(&pipeline.database.pool).await.unwrap();
    assert_eq!(rows, [(None, "visitor".to_owned())]);
}

/// What real SDKs do emit, with its outcome: what is stored, or the code it is refused with.
fn oddities() -> Vec<(&'static str, String, Result<&'static str, &'static str>)> {
    let event = |id: &str, rest: &str| format!(r#"{{"type":"track","userId":"u","messageId":"{id}",{rest}}}"#);
    let properties = |id: &str, value: &str| event(id, &format!(r#""event":"e","properties":{{"v":{value}}}"#));
    let timed =
        |id: &str, time: &str| event(id, &format!(r#""event":"e","properties":{{"v":0}},"timestamp":"{time}""#));
    let deep = format!("{}1{}", r#"{"a":"#.repeat(150), "}".repeat(150));
    vec![
        ("cut emoji", properties("cut emoji", r#""\ud83d""#), Ok("\u{fffd}")),
        ("other half", properties("other half", r#""\udc00 x""#), Ok("\u{fffd} x")),
        ("zero", properties("zero", r#""a\u0000b""#), Ok("a\u{fffd}b")),
        ("cut name", event("cut name", r#""event":"\ud83d","properties":{"v":0}"#), Ok("0")),
        ("far future", timed("far future", "+275760-09-13T00:00:00.000Z"), Ok("0")),
        ("far past", timed("far past", "-005000-01-01T00:00:00.000Z"), Ok("0")),
        ("double", properties("double", "123456789012345680000"), Ok("123456789012345680000")),
        ("no name", event("no name", r#""event":"""#), Err("missing_field")),
        ("long name", event("long name", &format!(r#""event":"{}""#, "e".repeat(10_240))), Err("too_long")),
        ("deep", properties("deep", &deep), Err("too_deep")),
        ("huge integer", properties("huge integer", &"9".repeat(400)), Err("number_out_of_range")),
        ("huge exponent", properties("huge exponent", "1e400"), Err("number_out_of_range")),
        ("a number", "7".to_owned(), Err("invalid_json")),
        ("null", "null".to_owned(), Err("invalid_json")),
    ]
}

#[tokio::test]
async fn point_08_bad_events_cost_their_neighbours_nothing() {
    let pipeline = Pipeline::start().await;
    let mut events = vec![track("good 0").to_string()];
    for (number, (_, event, _)) in oddities().into_iter().enumerate() {
        events.extend([event, track(&format!("good {}", number + 1)).to_string()]);
    }
    let body = format!(r#"{{"batch":[{}]}}"#, events.join(","));
    let answer = post(&pipeline.client(), "/v1/batch", &[BASIC], body.as_bytes()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = answer.json();
    let rejected = answer["rejected"].as_array().unwrap();
    pipeline.drained().await;
    let rows: Vec<(String, Option<String>)> =
        sqlx::query_as("SELECT message_id, properties ->> 'v' FROM events WHERE message_id NOT LIKE 'good %'")
            .fetch_all(&pipeline.database.pool)
            .await
            .unwrap();
    for (number, (name, _, outcome)) in oddities().into_iter().enumerate() {
        let index = 2 * number + 1;
        let refused =
            rejected.iter().find(|entry| entry["index"] == index).map(|entry| entry["code"].as_str().unwrap());
        let stored = rows.iter().find(|(id, _)| id == name).and_then(|(_, value)| value.as_deref());
        match outcome {
            Ok(value) => assert_eq!((stored, refused), (Some(value), None), "{name}"),
            Err(code) => assert_eq!((stored, refused), (None, Some(code)), "{name}"),
        }
    }
    let good = "SELECT count(*) FROM events WHERE message_id LIKE 'good %'";
    assert_eq!(pipeline.database.number(good).await, i64::try_from(oddities().len()).unwrap() + 1);

    // Python's bare NaN is no JSON at all: the whole body is refused, and not resent.
    for word in ["NaN", "Infinity", "-Infinity"] {
        let body = format!(
            r#"{{"batch":[{},{{"type":"track","userId":"u","event":"e","properties":{{"v":{word}}}}}]}}"#,
            track("m")
        );
        assert_readable_error(&post(&pipeline.client(), "/v1/batch", &[], body.as_bytes()).await, 400);
    }
}

#[tokio::test]
async fn point_09_every_form_of_time_is_read() {
    let pipeline = Pipeline::start().await;
    let day = Utc::now().date_naive() - Days::new(2);
    let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
    let forms = [
        ("Node and browsers", format!("{day}T10:00:00.123Z"), Some(at(&format!("{day}T10:00:00.123Z")))),
        ("segment-python", format!("{day}T10:00:00.123+00:00"), Some(at(&format!("{day}T10:00:00.123Z")))),
        ("rudder-python", format!("{day}T10:00:00.123456+00:00"), Some(at(&format!("{day}T10:00:00.123456Z")))),
        ("Python at full seconds", format!("{day}T10:00:00+00:00"), Some(at(&format!("{day}T10:00:00Z")))),
        ("a zone", format!("{day}T15:30:00.5+05:30"), Some(at(&format!("{day}T10:00:00.5Z")))),
        ("a device without a zone", format!("{day}T10:00:00.123456"), None),
    ];
    let events: Vec<Value> = forms
        .iter()
        .map(|(name, text, _)| json!({"type": "track", "userId": "u", "event": "e", "messageId": name, "timestamp": text}))
        .collect();
    for sent_at in [
        Utc::now().to_rfc3339_opts(SecondsFormat::Micros, false),
        Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true),
    ] {
        pipeline.client().accepted("/v1/batch", &json!({"batch": events, "sentAt": sent_at})).await;
    }
    pipeline.drained().await;
    for (name, text, expected) in forms {
        let query = "SELECT original_timestamp, \"timestamp\", received_at, day FROM events WHERE message_id = $1";
        let row = sqlx::query(query).bind(name).fetch_one(&pipeline.database.pool).await.unwrap();
        assert_eq!(row.get::<String, _>(0), text, "{name}: kept as sent");
        let shown: DateTime<Utc> = row.get(1);
        assert_eq!(shown, expected.unwrap_or_else(|| row.get(2)), "{name}");
        assert_eq!(row.get::<chrono::NaiveDate, _>(3), day, "{name}");
    }
}

/// The one way to slow SDKs down that all of them understand: whole seconds. Some give up within two seconds without it.
fn assert_backpressure(answer: &Answer, status: u16) {
    assert_readable_error(answer, status);
    let seconds = answer.header("retry-after").unwrap_or_else(|| panic!("{status} without Retry-After"));
    assert!(seconds.parse::<u32>().is_ok_and(|seconds| (2..=3_600).contains(&seconds)), "{status}: {seconds}");
}

#[tokio::test]
async fn point_10_backpressure_is_503_with_whole_seconds_and_never_413() {
    let nats = PrivateNats::start();
    let pipeline = Setup::default().nats(&nats).set("PUBLISH_DEADLINE_SECONDS", "1").workers(0).start().await;
    let client = pipeline.client();
    nats.kill();
    // First the stream does not answer in time; then ingest knows that it is away.
    for _ in 0..2 {
        assert_backpressure(&client.post("/v1/batch", &json!({"batch": [track("m")]})).await.unwrap(), 503);
        assert_backpressure(&client.post("/v1/t", &track("m")).await.unwrap(), 503);
    }
    pipeline.ingests[0].unready().await;
    assert_backpressure(&client.post("/v1/import", &json!({"batch": [track("m")]})).await.unwrap(), 503);
}

#[tokio::test]
async fn point_10_too_many_events_are_429_with_whole_seconds() {
    let setup = Setup::default().workers(0).set("KEY_EVENTS_PER_SECOND", "1").set("BURST_SECONDS", "3000");
    let pipeline = setup.start().await;
    let client = pipeline.client();
    let all_at_once = json!({"batch": vec![track("m"); 6_000]});
    assert_eq!(client.post("/v1/batch", &all_at_once).await.unwrap().status, 200);
    for path in ["/v1/batch", "/v1/b", "/v1/import"] {
        assert_backpressure(&client.post(path, &json!({"batch": [track("m")]})).await.unwrap(), 429);
    }
    for path in ["/v1/t", "/v1/track", "/v1/identify", "/api/v1/nudge/track"] {
        assert_backpressure(&client.post(path, &track("m")).await.unwrap(), 429);
    }
}

#[tokio::test]
async fn point_11_ids_are_text_and_null_is_absence() {
    let pipeline = Pipeline::start().await;
    let events = json!([
        {"type": "track", "event": "e", "messageId": "anonymous", "userId": null, "anonymousId": "a", "properties": {}},
        {"type": "page", "name": "n", "category": null, "messageId": "known", "userId": "u", "anonymousId": null},
        {"type": "track", "event": "e", "messageId": "number", "userId": 42, "anonymousId": null, "context": null},
        {"type": "identify", "messageId": "traits", "userId": "9007199254740993", "anonymousId": null, "traits": null}
    ]);
    let answer = pipeline.client().accepted("/v1/batch", &json!({"batch": events})).await;
    assert_eq!((&answer["accepted"], &answer["rejected"]), (&json!(4), &json!([])));
    pipeline.drained().await;
    let query = "SELECT message_id, user_id, anonymous_id, extra FROM events ORDER BY message_id";
    let rows = sqlx::query(query).fetch_all(&pipeline.database.pool).await.unwrap();
    let rows: Vec<Value> = rows
        .iter()
        .map(|row| {
            let text = |column: usize| row.get::<Option<String>, _>(column);
            json!([text(0), text(1), text(2), row.get::<Option<Value>, _>(3)])
        })
        .collect();
    let expected = [
        json!(["anonymous", null, "a", null]),
        json!(["known", "u", null, {"category": null}]),
        json!(["number", "42", null, null]),
        json!(["traits", "9007199254740993", null, null]),
    ];
    assert_eq!(rows, expected);
}
