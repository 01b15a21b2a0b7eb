//! Whatever ingest accepts, PostgreSQL stores, and it reads back equal in meaning.
//!
//! Thousands of random events go through a real pipeline: any JSON, any text, every type, both dialects, odd times and ids, keys given
//! twice, bytes changed at random. What a row must hold is worked out here, from the text that was sent, with a reader of our own
//! ([`tests::meaning`]); a dead letter would be something that the door let through and the database refused.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};
use sqlx::Row as _;
use tests::meaning::{self, Entry, Meaning};
use tests::pipeline::Pipeline;

const EVENTS: usize = 5_000;
const EVENTS_PER_BATCH: usize = 200;
const CHANGED_BODIES: usize = 1_500;

/// A JSON string: any characters, any escapes, and what hurt others before.
fn text() -> impl Strategy<Value = String> {
    let quoted = |text: String| serde_json::to_string(&text).unwrap();
    prop_oneof![
        4 => any::<String>().prop_map(quoted),
        2 => "[a-z_ ]{0,12}".prop_map(quoted),
        2 => vec(any::<u16>(), 0..6).prop_map(|units| {
            format!("\"{}\"", units.iter().map(|unit| format!("\\u{unit:04x}")).collect::<String>())
        }),
        1 => select(vec![
            r#""""#, r#""\u0000""#, r#""\ud83d""#, r#""\udc00\ud83d""#, r#""\ud83d\ude00""#, r#""__proto__""#, r#""'; DROP TABLE events; --""#,
            r#""${jndi:ldap://x}""#, r#""%s%n""#, r#""a\r\nb: c""#, r#""\u001b[31m""#, r#""\/\b\f\\\"""#, "\"\u{feff}\u{202e}\u{10ffff}\"", r#""null""#,
        ]).prop_map(str::to_owned),
    ]
}

/// A JSON number in any spelling.
fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<i64>().prop_map(|n| n.to_string()),
        any::<u64>().prop_map(|n| n.to_string()),
        any::<f64>().prop_filter("JSON has no others", |n| n.is_finite()).prop_map(|n| format!("{n:e}")),
        "-?(0|[1-9][0-9]{0,25})(\\.[0-9]{1,25})?([eE][+-]?[0-9]{1,3})?",
        "-?0(\\.0{1,5})?[eE][+-]?[0-9]{1,12}",
        select(vec!["0", "-0", "-0.0", "1E+2", "5e-324", "1.7976931348623157e308", "1.7976931348623158e308", "1e400"])
            .prop_map(str::to_owned),
    ]
}

/// Any JSON value, with white space of any kind and keys given twice.
fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![text(), number(), select(vec!["null", "true", "false"]).prop_map(str::to_owned)];
    leaf.prop_recursive(6, 40, 6, |inner| {
        let blank = select(vec!["", "", " ", "\n", "\t", "\r\n"]);
        prop_oneof![
            (vec(inner.clone(), 0..6), blank.clone())
                .prop_map(|(values, blank)| format!("[{blank}{}{blank}]", values.join(&format!("{blank},")))),
            object(inner).prop_map(|text| text),
        ]
    })
}

fn object(value: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    let key = prop_oneof![text(), select(vec![r#""a""#, r#""\u0061""#, r#""b""#]).prop_map(str::to_owned)];
    let entry = (key, select(vec![":", " : ", ":\n"]), value).prop_map(|(key, colon, value)| key + colon + &value);
    vec(entry, 0..6).prop_map(|entries| format!("{{{}}}", entries.join(",")))
}

fn nested() -> impl Strategy<Value = String> {
    (0_usize..70, any::<bool>()).prop_map(|(levels, lists)| {
        let (open, close) = if lists { ("[", "]") } else { (r#"{"a":"#, "}") };
        format!(r#"{{"deep":{}0{}}}"#, open.repeat(levels), close.repeat(levels))
    })
}

fn id() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "\"[a-z0-9]{1,8}\"",
        2 => text(),
        1 => number(),
        1 => select(vec!["null", r#""anonymous""#, r#""""#]).prop_map(str::to_owned),
    ]
}

fn time() -> impl Strategy<Value = String> {
    let forms = select(vec![
        r#""+275760-09-13T00:00:00.000Z""#,
        r#""-005000-01-01T00:00:00Z""#,
        r#""0000-00-00""#,
        r#""2026-11-18""#,
        r#""2026-11-18 10:00:00.5+0530""#,
        r#""2026-12-31T23:59:60Z""#,
        r#""9999-12-31T23:59:59.999999999Z""#,
        r#""1970-01-01T00:00:00Z""#,
        r#""\ud83d""#,
        r#""yesterday""#,
        "1e300",
        "1763201218",
        "true",
        "[]",
        "null",
    ]);
    let recent = (0_i64..100_000_000_000).prop_map(|ago_milliseconds| {
        let time = chrono::Utc::now() - chrono::TimeDelta::milliseconds(ago_milliseconds - 100_000_000);
        format!("\"{}\"", time.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true))
    });
    prop_oneof![recent, forms.prop_map(str::to_owned), text(), number()]
}

/// An event, but for its closing brace: fields of both dialects, in any order, some twice.
fn event() -> impl Strategy<Value = String> {
    let properties = || prop_oneof![6 => object(value()), 1 => nested(), 1 => value()];
    let field = |names: &[&'static str], value: BoxedStrategy<String>| {
        (select(names.to_vec()), value).prop_map(|(name, value)| format!("\"{name}\":{value}"))
    };
    let some = prop_oneof![
        field(&["anonymousId", "anonymous_id", "userId"], id().boxed()),
        field(&["groupId", "group_id", "previousId", "previous_id", "event_id"], id().boxed()),
        field(&["properties", "metadata", "traits", "context"], properties().boxed()),
        field(&["properties", "metadata", "traits", "context"], object(value()).boxed()),
        field(&["timestamp", "originalTimestamp", "original_timestamp", "sentAt"], time().boxed()),
        field(&["channel", "integrations", "x", "name", "sdk_version", "writeKey"], value().boxed()),
        (text(), value()).prop_map(|(name, value)| format!("{name}:{value}")),
    ];
    let kind = select(vec!["track", "track", "identify", "page", "screen", "group", "alias"]);
    let user = (select(vec!["userId", "user_id"]), prop_oneof![6 => "\"[a-z0-9]{1,8}\"", 1 => id()]);
    let name = (select(vec!["event", "action"]), prop_oneof![6 => "\"[a-zA-Z /_.*>]{1,20}\"", 2 => text()]);
    (kind, user, name, vec(some, 0..6), any::<prop::sample::Index>()).prop_map(
        |(kind, (user_name, user), (event_name, event), mut fields, turn)| {
            fields.extend([
                format!("\"type\":\"{kind}\""),
                format!("\"{user_name}\":{user}"),
                format!("\"{event_name}\":{event}"),
            ]);
            let length = fields.len();
            fields.rotate_left(turn.index(length));
            format!("{{{}", fields.join(","))
        },
    )
}

/// What the row of an event must hold, by column; JSON columns as what they mean.
type Expected = BTreeMap<&'static str, Meaning>;

/// Works it out from the text of an event that was accepted. `route` is the type that the path names.
fn expected(event: &str, route: Option<&str>) -> Expected {
    let entries = meaning::entries(event).unwrap_or_else(|| panic!("accepted, and no JSON object: {event}"));
    let last = |names: &[&str]| {
        entries.iter().rfind(|(name, _, value)| names.contains(&name.as_str()) && *value != Meaning::Null)
    };
    let meaning_of = |names: &[&str]| last(names).map(|(_, _, value)| value.clone());
    let mut row = Expected::new();
    let mut set = |column, value: Option<Meaning>| row.insert(column, value.unwrap_or(Meaning::Null));

    let kind = route.map(|kind| Meaning::Text(kind.to_owned())).or_else(|| meaning_of(&["type"]));
    let guess = if last(&["event", "action"]).is_some() { "track" } else { "identify" };
    let kind = match kind {
        Some(Meaning::Text(kind)) => kind,
        _ => guess.to_owned(),
    };
    let blank_is_none = |id: Option<Meaning>| id.filter(|id| *id != Meaning::Text(String::new()));
    let id = |names: &[&str]| last(names).map(|(_, text, value)| id_of(text, value));
    set("user_id", id(&["user_id", "userId"]));
    set("anonymous_id", id(&["anonymous_id", "anonymousId"]));
    set("message_id", blank_is_none(id(&["message_id", "messageId"])));
    set("event_id", blank_is_none(id(&["event_id"])));
    set("group_id", id(&["group_id", "groupId"]));
    set("previous_id", id(&["previous_id", "previousId"]));

    let (event_field, name_field) = (last(&["event", "action"]), last(&["name"]));
    let shown = matches!(kind.as_str(), "page" | "screen");
    let name = match kind.as_str() {
        "track" => event_field,
        _ if shown => name_field.or(event_field),
        _ => None,
    };
    set("event", name.map(|(_, _, value)| value.clone()));

    let context = meaning_of(&["context"]);
    let of_context = match &context {
        Some(Meaning::Object(fields)) if kind == "identify" => {
            fields.get("traits").filter(|traits| matches!(traits, Meaning::Object(_))).cloned()
        }
        _ => None,
    };
    set("properties", meaning_of(&["properties", "metadata"]));
    set("traits", meaning_of(&["traits"]).or(of_context));
    set("context", context);

    let (original, timestamp) = (last(&["originalTimestamp", "original_timestamp"]), last(&["timestamp"]));
    if let Some((_, _, Meaning::Text(text))) = original.or(timestamp)
        && text.len() <= 64
        && !text.contains('\u{fffd}')
    {
        set("original_timestamp", Some(Meaning::Text(text.clone())));
    }
    let mut extra: BTreeMap<String, Meaning> = BTreeMap::new();
    let mut keep = |entry: Option<&Entry<'_>>| {
        if let Some((name, _, value)) = entry {
            extra.insert(name.clone(), value.clone());
        }
    };
    keep(name_field.filter(|_| !shown));
    keep(event_field.filter(|_| kind != "track" && !(shown && name_field.is_none())));
    keep(timestamp.filter(|_| original.is_some()));
    entries.iter().filter(|(name, ..)| !KNOWN.contains(&name.as_str())).for_each(|entry| keep(Some(entry)));
    set("extra", (!extra.is_empty()).then_some(Meaning::Object(extra)));
    row.insert("type", Meaning::Text(kind));
    row
}

/// Fields that have a column, and the keys, which have none on purpose.
const KNOWN: [&str; 26] = [
    "type",
    "user_id",
    "userId",
    "anonymous_id",
    "anonymousId",
    "event",
    "action",
    "name",
    "message_id",
    "messageId",
    "event_id",
    "group_id",
    "groupId",
    "previous_id",
    "previousId",
    "timestamp",
    "original_timestamp",
    "originalTimestamp",
    "sent_at",
    "sentAt",
    "properties",
    "metadata",
    "traits",
    "context",
    "writeKey",
    "write_key",
];

/// A number as an id is its text; a whole one without the point.
fn id_of(text: &str, value: &Meaning) -> Meaning {
    if !matches!(value, Meaning::Number(..)) {
        return value.clone();
    }
    let whole = text
        .contains(['.', 'e', 'E'])
        .then(|| text.parse::<f64>().unwrap())
        .filter(|n| n.fract() == 0.0 && n.abs() < 1e15);
    Meaning::Text(whole.map_or_else(|| text.to_owned(), |n| format!("{}", if n == 0.0 { 0.0 } else { n })))
}

/// The rows, by `key`.
async fn stored(pipeline: &Pipeline, key: &str) -> BTreeMap<String, Expected> {
    let plain = [
        "type",
        "user_id",
        "anonymous_id",
        "event",
        "message_id",
        "event_id",
        "group_id",
        "previous_id",
        "original_timestamp",
    ];
    let json = ["properties", "traits", "context", "extra"];
    let json_columns: String = json.iter().map(|column| format!(", {column}::text AS {column}")).collect();
    let query = format!("SELECT {key}::text AS row_key, {}{json_columns} FROM events", plain.join(", "));
    let rows = sqlx::query(&query).fetch_all(&pipeline.database.pool).await.unwrap();
    let read = |row: &sqlx::postgres::PgRow| {
        let text = |column: &str| row.get::<Option<String>, _>(column);
        let plain = plain.map(|column| (column, text(column).map_or(Meaning::Null, Meaning::Text)));
        let json =
            json.map(|column| (column, text(column).map_or(Meaning::Null, |text| meaning::read(&text).unwrap())));
        (row.get("row_key"), plain.into_iter().chain(json).collect())
    };
    rows.iter().map(read).collect()
}

fn assert_stored(rows: &BTreeMap<String, Expected>, key: &str, expected: &Expected, sent: &str, seed: u64) {
    let row = rows.get(key).unwrap_or_else(|| panic!("accepted, and not stored (EC_TEST_SEED={seed}): {sent}"));
    for (column, value) in expected {
        assert_eq!(&row[column], value, "{column} (EC_TEST_SEED={seed}) of {sent}");
    }
}

async fn assert_no_dead_letters(pipeline: &Pipeline, seed: u64) {
    let query = "SELECT reason || ': ' || encode(payload, 'escape') FROM dead_letters LIMIT 3";
    let dead: Vec<String> = sqlx::query_scalar(query).fetch_all(&pipeline.database.pool).await.unwrap();
    assert!(dead.is_empty(), "let through and refused by PostgreSQL (EC_TEST_SEED={seed}): {dead:#?}");
}

fn runner(seed: u64) -> TestRunner {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    TestRunner::new_with_rng(Config::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}

fn some<T: std::fmt::Debug>(strategy: &impl Strategy<Value = T>, runner: &mut TestRunner) -> T {
    strategy.new_tree(runner).unwrap().current()
}

#[tokio::test]
async fn every_random_event_of_a_batch_is_stored_as_sent_or_refused_by_its_index() {
    let pipeline = Pipeline::start().await;
    let seed = tests::load::seed();
    eprintln!("seed {seed} (EC_TEST_SEED)");
    let mut runner = runner(seed);
    let strategy = event();
    let sent: Vec<String> =
        (0..EVENTS).map(|n| format!("{},\"messageId\":\"random {n}\"}}", some(&strategy, &mut runner))).collect();
    let mut accepted = Vec::new();
    for batch in sent.chunks(EVENTS_PER_BATCH) {
        let body = format!("{{\"batch\":[{}]}}", batch.join(","));
        let answer = pipeline.client().send("POST", "/v1/batch", &[], body.as_bytes()).await.unwrap();
        assert_eq!(answer.status, 200, "(EC_TEST_SEED={seed}): {}", answer.text());
        let answer = answer.json();
        let rejected: Vec<usize> = answer["rejected"].as_array().unwrap().iter().map(index).collect();
        let good = batch.iter().enumerate().filter(|(n, _)| !rejected.contains(n)).map(|(_, event)| event);
        let before = accepted.len();
        accepted.extend(good);
        assert_eq!(answer["accepted"], accepted.len() - before, "accepted and rejected are all (EC_TEST_SEED={seed})");
    }
    pipeline.drained().await;
    assert_no_dead_letters(&pipeline, seed).await;
    let rows = stored(&pipeline, "message_id").await;
    for event in &accepted {
        let expected = expected(event, None);
        let Meaning::Text(key) = &expected["message_id"] else { panic!("no message id: {event}") };
        assert_stored(&rows, key, &expected, event, seed);
    }
    assert_eq!(rows.len(), accepted.len(), "as many rows as accepted events (EC_TEST_SEED={seed})");
    eprintln!("random events: {} of {EVENTS} accepted, all stored as sent", accepted.len());
    assert!(accepted.len() > EVENTS / 3, "more of them should be good, or this shows little: {}", accepted.len());
}

fn index(rejected: &Value) -> usize {
    assert!(rejected["code"].is_string() && rejected["message"].is_string(), "{rejected}");
    usize::try_from(rejected["index"].as_u64().unwrap()).unwrap()
}

/// Changes some bytes: others in their place, some away, some twice.
fn changed(body: &str, changes: &[(prop::sample::Index, u8, u8)]) -> Vec<u8> {
    let mut bytes = body.as_bytes().to_vec();
    for (place, how, byte) in changes {
        let at = place.index(bytes.len());
        match how % 4 {
            0 => bytes[at] = *byte,
            1 => drop(bytes.remove(at)),
            2 => bytes.insert(at, b"\"{}[]:,\\0-e "[usize::from(*byte) % 12]),
            _ => bytes.insert(at, bytes[at]),
        }
        if bytes.is_empty() {
            break;
        }
    }
    bytes
}

#[tokio::test]
async fn bodies_with_bytes_changed_at_random_are_stored_as_they_then_read_or_refused() {
    let pipeline = Pipeline::start().await;
    let seed = tests::load::seed();
    eprintln!("seed {seed} (EC_TEST_SEED)");
    let mut runner = runner(seed);
    // By the id of the row: a change may make one event a resend of another, and then the first one counts.
    let mut accepted = BTreeMap::new();
    let strategy = (event(), vec((any::<prop::sample::Index>(), any::<u8>(), any::<u8>()), 1..4));
    for n in 0..CHANGED_BODIES {
        let (event, changes) = some(&strategy, &mut runner);
        let body = changed(&format!("{event},\"messageId\":\"changed {n}\"}}"), &changes);
        let sent = String::from_utf8_lossy(&body).into_owned();
        let answer = pipeline.client().send("POST", "/v1/track", &[], &body).await.unwrap();
        match answer.status {
            200 => drop(accepted.entry(answer.json()["event"]["id"].as_str().unwrap().to_owned()).or_insert(sent)),
            400 => assert!(answer.json()["code"].is_string(), "{}", answer.text()),
            status => panic!("{status} (EC_TEST_SEED={seed}) to {sent}: {}", answer.text()),
        }
    }
    pipeline.drained().await;
    assert_no_dead_letters(&pipeline, seed).await;
    let rows = stored(&pipeline, "id").await;
    for (id, sent) in &accepted {
        assert_stored(&rows, id, &expected(sent, Some("track")), sent, seed);
    }
    eprintln!("changed bodies: {} of {CHANGED_BODIES} accepted, all stored as they read", accepted.len());
    assert!(accepted.len() > CHANGED_BODIES / 20, "{} were accepted", accepted.len());
    pipeline.client().accepted("/v1/track", &json!({"user_id": "u", "event": "alive"})).await;
}
