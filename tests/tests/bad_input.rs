//! Bodies that are bad in every way known, each against the rules of [`tests::door`]. `tests/README.md` has the table of all rows;
//! what is wrong with a request before its body is in `bad_requests`, what with its connection in `hostile_sockets`.

use serde_json::{Value, json};
use tests::door::Door;
use tests::hostile::{deflate, gzip, head, zstd};
use tests::pipeline::{Pipeline, Setup};

const GOOD: &str = r#"{"type":"track","userId":"u","event":"good"}"#;

fn batch_of(events: &[&str]) -> Vec<u8> {
    format!("{{\"batch\":[{}]}}", events.join(",")).into_bytes()
}

#[tokio::test]
async fn a_body_that_is_no_json_object_is_refused_with_the_position() {
    let pipeline = Setup::default().workers(0).start().await;
    let mut door = Door::of(&pipeline).await;
    let utf16: Vec<u8> = GOOD.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let deep = [b"{\"batch\":".to_vec(), b"[".repeat(1 << 20)].concat();
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("empty", b"".to_vec(), "empty"),
        ("blank", b" \r\n\t ".to_vec(), "empty"),
        ("a byte order mark alone", "\u{feff}".into(), "empty"),
        ("truncated", GOOD.as_bytes()[..20].to_vec(), "column"),
        ("one character", b"{".to_vec(), "column"),
        ("trailing data", [GOOD, "x"].concat().into(), "column"),
        ("two bodies", [GOOD, GOOD].concat().into(), "column"),
        ("NaN", br#"{"userId":"u","event":"e","n":NaN}"#.to_vec(), "column"),
        ("Infinity", br#"{"userId":"u","event":"e","n":-Infinity}"#.to_vec(), "column"),
        ("a comment", br#"{"userId":"u",/* c */"event":"e"}"#.to_vec(), "column"),
        ("a comma too many", br#"{"userId":"u","event":"e",}"#.to_vec(), "column"),
        ("single quotes", b"{'userId':'u'}".to_vec(), "column"),
        ("a bare key", b"{userId:1}".to_vec(), "column"),
        ("a raw line break in a string", b"{\"userId\":\"a\nb\"}".to_vec(), "column"),
        ("a raw zero byte", b"{\"userId\":\"a\0b\"}".to_vec(), "column"),
        ("a hexadecimal number", b"{\"n\":0x10}".to_vec(), "column"),
        ("a leading zero", b"{\"n\":012}".to_vec(), "column"),
        ("a bad escape", br#"{"n":"\x41"}"#.to_vec(), "column"),
        ("UTF-16", utf16.clone(), "column"),
        ("UTF-16 with a mark", [&b"\xff\xfe"[..], &utf16].concat(), "position 0"),
        ("bad UTF-8", b"{\"userId\":\"\xc3\x28\"}".to_vec(), "position 11"),
        ("an overlong form", b"{\"userId\":\"\xc0\xaf\"}".to_vec(), "position"),
        ("half a surrogate in UTF-8", b"{\"userId\":\"\xed\xa0\x80\"}".to_vec(), "position"),
        ("an array", b"[1]".to_vec(), "an array"),
        ("a string", b"\"text\"".to_vec(), "a string"),
        ("a number", b"7".to_vec(), "a number"),
        ("null", b"null".to_vec(), "null"),
        ("true", b"true".to_vec(), "a boolean"),
        ("form data", b"userId=u&event=e".to_vec(), "column"),
        ("XML", b"<track/>".to_vec(), "column"),
        ("a million open brackets", deep, "column"),
        ("noise", (0..=255).cycle().take(4096).collect(), "position"),
    ];
    for (what, body, says) in &cases {
        for path in ["/v1/track", "/v1/identify", "/v1/batch", "/v1/import", "/v1/leads"] {
            let answer = door.refused(what, path, &[], body, 400).await;
            let message = answer["message"].as_str().unwrap();
            assert!(path == "/v1/leads" || message.contains(says), "{what} to {path}: {message}");
        }
    }
    door.close().await;
}

#[tokio::test]
async fn an_envelope_without_events_or_with_too_many_is_refused() {
    let pipeline = Setup::default().workers(0).start().await;
    let mut door = Door::of(&pipeline).await;
    let one_too_many = batch_of(&vec![GOOD; 10_001]);
    for (what, body, status, code) in [
        ("no batch", b"{}".to_vec(), 400, "invalid_json"),
        ("an empty batch", batch_of(&[]), 400, "empty_batch"),
        ("a batch that is null", br#"{"batch":null}"#.to_vec(), 400, "invalid_json"),
        ("a batch that is an object", br#"{"batch":{}}"#.to_vec(), 400, "invalid_json"),
        ("a batch that is a string", br#"{"batch":"[]"}"#.to_vec(), 400, "invalid_json"),
        (
            "the last of two batches is empty",
            [&br#"{"batch":["#[..], GOOD.as_bytes(), br#"],"batch":[]}"#].concat(),
            400,
            "empty_batch",
        ),
        ("events that are none", batch_of(&["7", "null", "\"x\"", "[]", "{}"]), 400, "no_valid_event"),
        ("10,001 events", one_too_many, 413, "batch_too_large"),
    ] {
        for path in ["/v1/batch", "/v1/b", "/v1/import"] {
            assert_eq!(door.refused(what, path, &[], &body, status).await["code"], code, "{what}");
        }
    }
    for body in ["{}", r#"{"leads":[]}"#, r#"{"leads":{}}"#, r#"{"leads":null}"#, r#"{"leads":[],"leads":[]}"#] {
        door.refused(body, "/v1/leads", &[], body.as_bytes(), 400).await;
    }
    door.close().await;
}

#[tokio::test]
async fn a_body_that_is_not_compressed_as_it_says_is_refused() {
    let pipeline = Setup::default().workers(0).start().await;
    let mut door = Door::of(&pipeline).await;
    let body = batch_of(&[GOOD]);
    let damaged = |mut bytes: Vec<u8>, from_end: usize| {
        let at = bytes.len() - from_end;
        bytes[at] ^= 0xff;
        bytes
    };
    let cut = |bytes: Vec<u8>, off: usize| bytes[..bytes.len() - off].to_vec();
    let blanks = vec![b' '; 32 << 20];
    let skippable = b"\x50\x2a\x4d\x18\x04\0\0\0skip".repeat(50_000);
    for (what, encoding, bytes, status) in [
        ("not gzip", "gzip", body.clone(), 400),
        ("not deflate", "deflate", body.clone(), 400),
        ("not zstd", "zstd", body.clone(), 400),
        ("nothing as gzip", "gzip", vec![], 400),
        ("nothing as zstd", "zstd", vec![], 400),
        ("gzip cut off", "gzip", cut(gzip(&body), 9), 400),
        ("gzip without its end", "gzip", cut(gzip(&body), 1), 400),
        ("a wrong checksum", "gzip", damaged(gzip(&body), 6), 400),
        ("a wrong length", "gzip", damaged(gzip(&body), 1), 400),
        ("bytes after gzip", "gzip", [gzip(&body), b"more".to_vec()].concat(), 400),
        ("deflate cut off", "deflate", cut(deflate(&body), 5), 400),
        ("a wrong checksum of zlib", "deflate", damaged(deflate(&body), 1), 400),
        ("zstd cut off", "zstd", cut(zstd(&body, 17), 4), 400),
        ("gzip in zlib's name", "deflate", gzip(&body), 400),
        ("gzip of no JSON", "gzip", gzip(b"hello"), 400),
        ("gzip of nothing", "gzip", gzip(b""), 400),
        ("frames to skip and nothing else", "zstd", skippable, 400),
        ("a gzip bomb", "gzip", gzip(&blanks), 413),
        ("a gzip bomb in many members", "gzip", gzip(&blanks[..1 << 20]).repeat(40), 413),
        ("a deflate bomb", "deflate", deflate(&blanks), 413),
        ("a zstd bomb", "zstd", zstd(&blanks, 20), 413),
        ("a zstd window of 128 MiB", "zstd", zstd(&blanks, 27), 413),
        ("gzip twice", "gzip, gzip", gzip(&gzip(&body)), 415),
        ("brotli", "br", body.clone(), 415),
        ("compress", "compress", body.clone(), 415),
        ("an unknown encoding", "\"gzip\"", gzip(&body), 415),
    ] {
        door.refused(what, "/v1/batch", &[("content-encoding", encoding)], &bytes, status).await;
    }
    let twice = [("content-encoding", "gzip"), ("content-encoding", "gzip")];
    door.refused("two headers", "/v1/batch", &twice, &gzip(&gzip(&body)), 415).await;
    door.close().await;
}

#[tokio::test]
async fn a_body_over_the_cap_is_refused_announced_or_not() {
    let pipeline = Setup::default().workers(0).start().await;
    let mut door = Door::of(&pipeline).await;
    for (path, limit) in [("/v1/track", 2 << 20), ("/v1/batch", 16 << 20), ("/v1/leads", 16 << 20)] {
        let line = format!("POST {path}");
        for length in [limit + 1, 1 << 40, usize::MAX >> 1] {
            // Only the head is sent: the answer does not wait for the body.
            let bytes = head(&line, &[&format!("content-length: {length}")]);
            assert_eq!(door.knock(path, &bytes).await.status, 413, "{length}");
        }
        let chunk = [b"100000\r\n".to_vec(), vec![b' '; 1 << 20], b"\r\n".to_vec()].concat();
        let chunks = chunk.repeat((limit >> 20) + 1);
        let bytes = [head(&line, &["transfer-encoding: chunked"]), chunks, b"0\r\n\r\n".to_vec()].concat();
        let answer = door.knock("chunks past the cap", &bytes).await;
        assert_eq!((answer.status, answer.json()["code"].as_str()), (413, Some("body_too_large")), "{path}");
    }
    door.close().await;
}

#[tokio::test]
async fn an_odd_event_of_a_batch_is_refused_alone_or_repaired_and_its_neighbours_are_stored() {
    let pipeline = Pipeline::start().await;
    let mut door = Door::of(&pipeline).await;
    let with = |fields: &str| format!(r#"{{"type":"track","userId":"u","event":"e",{fields}}}"#);
    let without = |fields: &str| format!("{{{fields}}}");
    let long = |length: usize| "x".repeat(length);
    let keys = (0..2_001).map(|n| format!(r#""k{n}":0"#)).collect::<Vec<_>>().join(",");
    let levels = |n: usize| format!(r#""properties":{{"a":{}{}}}"#, "[".repeat(n - 1), "]".repeat(n - 1));
    let cases: Vec<(&str, String, Option<&str>)> = vec![
        ("half an emoji", with(r#""properties":{"a":"\ud83d"}"#), None),
        ("the other half", with(r#""properties":{"\udc00":1}"#), None),
        ("a zero character", with(r#""properties":{"a":"\u0000"}"#), None),
        ("64 levels", with(&levels(64)), None),
        ("65 levels", with(&levels(65)), Some("too_deep")),
        ("200,000 levels", with(&levels(200_000)), Some("too_deep")),
        ("1e400", with(r#""properties":{"n":1e400}"#), Some("number_out_of_range")),
        ("1e-400", with(r#""properties":{"n":1e-400}"#), Some("number_out_of_range")),
        (
            "a number as long as a page",
            with(&format!(r#""properties":{{"n":{}}}"#, "9".repeat(400))),
            Some("number_out_of_range"),
        ),
        ("2^64", with(r#""properties":{"n":18446744073709551616}"#), Some("number_out_of_range")),
        ("a zero with an endless exponent", with(r#""properties":{"n":0e99999999999}"#), Some("number_out_of_range")),
        ("just beyond f64", with(r#""traits":{"n":1.7976931348623159e308}"#), Some("number_out_of_range")),
        ("a number too large in an unknown field", with(r#""x":1e999"#), Some("number_out_of_range")),
        ("no user", without(r#""type":"track","event":"e""#), Some("missing_field")),
        (
            "a user that is null",
            without(r#""type":"track","userId":null,"anonymousId":null,"event":"e""#),
            Some("missing_field"),
        ),
        ("no event", without(r#""type":"track","userId":"u""#), Some("missing_field")),
        ("a blank event", without(r#""type":"track","userId":"u","event":" \t""#), Some("missing_field")),
        ("no type", without(r#""userId":"u""#), Some("missing_field")),
        ("an unknown type", without(r#""type":"Track","userId":"u","event":"e""#), Some("unknown_type")),
        ("a type that is a number", without(r#""type":1,"userId":"u","event":"e""#), Some("unknown_type")),
        ("a user that is an object", without(r#""type":"track","userId":{},"event":"e""#), Some("wrong_type")),
        ("a user that is true", without(r#""type":"track","userId":true,"event":"e""#), Some("wrong_type")),
        ("an event that is a list", without(r#""type":"track","userId":"u","event":["e"]"#), Some("wrong_type")),
        ("properties in a string", with(r#""properties":"{}""#), Some("wrong_type")),
        ("a context that is a list", with(r#""context":[]"#), Some("wrong_type")),
        ("a message id that is a list", with(r#""messageId":[]"#), Some("wrong_type")),
        ("a group without its id", without(r#""type":"group","userId":"u""#), Some("missing_field")),
        ("an alias of nobody", without(r#""type":"alias","userId":"u""#), Some("missing_field")),
        (
            "a long user id",
            without(&format!(r#""type":"track","userId":"{}","event":"e""#, long(256))),
            Some("too_long"),
        ),
        (
            "a user id of 128 é",
            without(&format!(r#""type":"track","userId":"{}","event":"e""#, "é".repeat(128))),
            Some("too_long"),
        ),
        ("a long anonymous id", with(&format!(r#""anonymousId":"{}""#, long(256))), Some("too_long")),
        ("a long event", without(&format!(r#""type":"track","userId":"u","event":"{}""#, long(201))), Some("too_long")),
        ("a long message id", with(&format!(r#""messageId":"{}""#, long(1_025))), Some("too_long")),
        ("a long key", with(&format!(r#""properties":{{"{}":1}}"#, long(256))), Some("too_long")),
        ("a long key of an unknown field", with(&format!(r#""{}":1"#, long(256))), Some("too_long")),
        ("2,001 properties", with(&format!(r#""properties":{{{keys}}}"#)), Some("too_many_keys")),
        ("more than 1 MiB", with(&format!(r#""properties":{{"a":"{}"}}"#, long(1 << 20))), Some("too_long")),
        ("an event that is a list", r#"["track","u","e"]"#.to_owned(), Some("invalid_json")),
        ("an event that is null", "null".to_owned(), Some("invalid_json")),
        ("a field named by half an emoji", with(r#""\ud83d":1"#), Some("invalid_json")),
    ];
    for (what, odd, code) in &cases {
        let accepted = if code.is_some() { 2 } else { 3 };
        let answer = door.accepted(what, "/v1/batch", &[], &batch_of(&[GOOD, odd, GOOD]), accepted).await;
        let expected = code.map(|code| (1, code));
        let found = answer["rejected"]
            .as_array()
            .unwrap()
            .first()
            .map(|r| (r["index"].as_u64().unwrap(), r["code"].as_str().unwrap()));
        assert_eq!(found, expected, "{what}: {answer}");
        if code.is_some() {
            door.refused(what, "/v1/batch", &[], &batch_of(&[odd]), 400).await;
        }
    }
    let three = without(r#""type":"track","properties":[],"messageId":true"#);
    let answer = door.accepted("three faults", "/v1/batch", &[], &batch_of(&[&three, GOOD]), 1).await;
    let named: Vec<&str> =
        answer["rejected"][0]["violations"].as_array().unwrap().iter().map(|v| v["field"].as_str().unwrap()).collect();
    assert_eq!(named, ["messageId", "user_id", "event", "properties"]);
    door.close().await;
}

#[tokio::test]
async fn any_characters_are_stored_verbatim_and_logs_stay_one_line_each() {
    let pipeline = Setup::default().set("LOG_LEVEL", "debug,async_nats=warn,sqlx=warn,hyper=warn").start().await;
    let mut door = Door::of(&pipeline).await;
    let texts = [
        "/_Viewed",
        "DialogRoute<dynamic>_Viewed",
        "a b",
        "a.b.*.>",
        "$SYS.>",
        "имя",
        "事件",
        "🧵🏳️‍🌈",
        "\u{202e}reversed",
        "\u{feff}",
        "'; DROP TABLE events; --",
        "\" OR 1=1",
        "%s%n%x",
        "${jndi:ldap://x/a}",
        "{{7*7}}",
        "__proto__",
        "constructor",
        "null",
        "NaN",
        "a\r\nset-cookie: b",
        "\u{1b}[31mred\u{1b}[0m",
        "\\u0041",
        "\\",
        "../../etc/passwd",
        "<script>alert(1)</script>",
        "\u{7f}\u{80}",
    ];
    for text in texts {
        let event =
            json!({"type": "track", "userId": text, "event": text, "messageId": text, "properties": {text: text}});
        door.accepted(text, "/v1/batch", &[], &batch_of(&[&event.to_string()]), 1).await;
        // Refused, so that its words could come into a log.
        door.refused(text, "/v1/track", &[], json!({"event": [text], "x": text}).to_string().as_bytes(), 400).await;
    }
    door.close().await;
    let query = "SELECT event, user_id, message_id, properties FROM events";
    let rows: Vec<(String, String, String, Value)> =
        sqlx::query_as(query).fetch_all(&pipeline.database.pool).await.unwrap();
    let mut found: Vec<&str> = rows.iter().map(|row| row.0.as_str()).collect();
    let mut sent = texts.to_vec();
    found.sort_unstable();
    sent.sort_unstable();
    assert_eq!(found, sent);
    for (event, user, message, properties) in &rows {
        assert_eq!((user, message, properties), (event, event, &json!({event: event})));
    }
    for program in pipeline.ingests.iter().chain(&pipeline.workers) {
        let log = program.log();
        let lines =
            log.lines().filter(|line| !line.starts_with("  ") && !line.is_empty() && !line.starts_with(" version="));
        for line in lines {
            assert!(line.starts_with("20") && !line.contains('\u{1b}'), "no line of {}: {line:?}", program.name);
        }
    }
}
