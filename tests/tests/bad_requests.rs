//! Requests that are bad before anybody looks at their body: routes, methods, keys, queries, headers, documents of editors; each against
//! the rules of [`tests::door`].

use serde_json::{Value, json};
use tests::client::{ADMIN_KEY, WRITE_KEY};
use tests::door::Door;
use tests::http1::request;
use tests::pipeline::{Pipeline, Setup};

/// What is put where an id, a key or a parameter is expected.
const NASTY: [&str; 16] = [
    "%00",
    "%ff%fe",
    "%c3%28",
    "..%2f..%2fetc%2fpasswd",
    "'%20OR%201=1--",
    "%25s%25n",
    "%f0%9f%a7%b5",
    "-1",
    "999999999999999999999999",
    "NaN",
    "null",
    "%5b%5d",
    "%7b%7d",
    "%0d%0ax:y",
    "*",
    "00000000-0000-0000-0000-00000000000g",
];

/// Every route with a value in place of each parameter, but for the stream, whose answer has no end.
fn paths_with(value: &str) -> Vec<String> {
    let fill = |path: &&str| {
        ["{id}", "{key}", "{user_id}"].iter().fold((*path).to_owned(), |path, name| path.replace(name, value))
    };
    ingest::router::PATHS.iter().filter(|path| !path.ends_with("/stream")).map(fill).collect()
}

#[tokio::test]
async fn a_wrong_method_is_answered_405_with_allow_and_an_unknown_path_404() {
    let pipeline = Setup::default().workers(0).start().await;
    let mut door = Door::of(&pipeline).await;
    let headers = [("x-api-key", ADMIN_KEY)];
    for path in paths_with("x") {
        for method in ["PATCH", "TRACE", "CONNECT", "PROPFIND", "get", "X"] {
            let what = format!("{method} {path}");
            let answer = door.knock(&what, &request(method, &path, &headers, b"")).await;
            // CONNECT names a host, not a path.
            let expected: &[u16] = if method == "CONNECT" { &[400, 404, 405] } else { &[405] };
            assert!(expected.contains(&answer.status), "{what}: {} {}", answer.status, answer.text());
            assert_eq!(answer.status == 405, answer.header("allow").is_some(), "{what}");
        }
    }
    for path in [
        "/",
        "//",
        "/v1",
        "/v1/",
        "/v2/track",
        "/v1/track/",
        "//v1/track",
        "/v1//track",
        "/V1/TRACK",
        "/v1/track%2f",
        "/v1/%74rack%00",
        "/v1/../v1/track",
        "/v1/./track",
        "/v1/track;x=1",
        "/.env",
        "/admin",
        "/v1/admin",
        "/v1/features",
        "/v1/features/a/b/c",
        "/%",
        "/%zz",
        "/v1/track%00",
        "/index.php?a=b",
        "/v1/\u{e9}",
    ] {
        for method in ["GET", "POST", "DELETE"] {
            let answer = door.knock(path, &request(method, path, &headers, b"{}")).await;
            assert!([400, 404].contains(&answer.status), "{method} {path}: {} {}", answer.status, answer.text());
            assert_eq!(answer.status == 404, answer.json()["availableRoutes"].is_array(), "{method} {path}");
        }
    }
    door.close().await;
}

#[tokio::test]
async fn every_bad_key_is_answered_401_alike_and_a_write_key_never_opens_an_admin_route() {
    let pipeline = Setup::default().workers(0).start().await;
    let mut door = Door::of(&pipeline).await;
    let long = "k".repeat(10_000);
    let wide = format!("Bearer {}", "é".repeat(300));
    let half = &WRITE_KEY[..WRITE_KEY.len() - 1];
    let headers: Vec<Vec<(&str, &str)>> = vec![
        vec![],
        vec![("x-api-key", "")],
        vec![("x-api-key", " ")],
        vec![("x-api-key", "unknown")],
        vec![("x-api-key", half)],
        vec![("x-api-key", &long)],
        vec![("x-api-key", "\u{e9}")],
        vec![("x-api-key", "' OR '1'='1")],
        vec![("x-api-key", "unknown"), ("authorization", "Bearer test-write-key")],
        vec![("authorization", "")],
        vec![("authorization", "Bearer")],
        vec![("authorization", "Bearer ")],
        vec![("authorization", &wide)],
        vec![("authorization", "test-write-key")],
        vec![("authorization", "Basic")],
        vec![("authorization", "Basic ====")],
        vec![("authorization", "Basic Og==")],
        vec![("authorization", "Basic /////w==")],
        vec![("authorization", "Digest username=\"test-write-key\"")],
    ];
    let calls = [
        ("POST", "/v1/track", &br#"{"user_id":"u","event":"e"}"#[..]),
        ("POST", "/v1/track", br#"{"user_id":"u","event":"e","writeKey":"unknown"}"#),
        ("POST", "/v1/track", br#"{"user_id":"u","event":"e","writeKey":7}"#),
        ("POST", "/v1/batch", br#"{"batch":[{"type":"track","userId":"u","event":"e"}],"writeKey":null}"#),
        ("POST", "/v1/leads", br#"{"leads":[{}]}"#),
        ("GET", "/v1/campaigns?user_id=u", b""),
        ("GET", "/v1/features/f?user_id=u", b""),
    ];
    let mut bodies = Vec::new();
    for headers in &headers {
        for (method, path, body) in calls {
            let what = format!("{method} {path} with {headers:?}");
            let answer = door.knock(&what, &request(method, path, headers, body)).await;
            assert_eq!(answer.status, 401, "{what}: {}", answer.text());
            let mut body = answer.json();
            body["request_id"] = Value::Null;
            bodies.push(body);
        }
    }
    assert!(bodies.iter().all(|body| *body == bodies[0]), "not all alike: {bodies:#?}");
    for path in paths_with("x").iter().filter(|path| path.starts_with("/v1/admin/")) {
        for method in ["GET", "POST", "PUT", "DELETE"] {
            for (key, statuses) in [(WRITE_KEY, [403, 405]), ("unknown", [401, 405]), (half, [401, 405])] {
                let what = format!("{method} {path} with {key}");
                let answer = door.knock(&what, &request(method, path, &[("x-api-key", key)], b"{}")).await;
                assert!(statuses.contains(&answer.status), "{what}: {} {}", answer.status, answer.text());
            }
        }
    }
    door.close().await;
}

#[tokio::test]
async fn no_path_parameter_query_or_header_is_a_reason_to_fail() {
    let pipeline = Setup::default().workers(0).set("ADMIN_WRITE_LIMIT", "0").start().await;
    let mut door = Door::of(&pipeline).await;
    let admin = ("x-api-key", ADMIN_KEY);
    for value in NASTY {
        for path in paths_with(value) {
            for method in ["GET", "DELETE"] {
                door.knock(&format!("{method} {path}"), &request(method, &path, &[admin], b"")).await;
            }
            let query: Vec<String> = QUERY.iter().map(|name| format!("{name}={value}")).collect();
            let path = format!("{path}?{}", query.join("&"));
            door.knock(&path, &request("GET", &path, &[admin], b"")).await;
        }
        for name in QUERY {
            for path in [
                "/v1/admin/events",
                "/v1/admin/users",
                "/v1/admin/campaigns",
                "/v1/admin/dead-letters",
                "/v1/campaigns",
            ] {
                let path = format!("{path}?{name}={value}&{name}=");
                door.knock(&path, &request("GET", &path, &[admin], b"")).await;
            }
        }
    }
    for (name, value) in [
        ("if-match", "\"\""),
        ("if-match", "*"),
        ("if-match", "\"99999999999999999999\""),
        ("if-match", "W/\"x\""),
        ("if-match", "\u{e9}"),
        ("if-none-match", "\"\u{e9}\""),
        ("range", "bytes=0-"),
        ("accept", "\u{e9}"),
        ("accept-encoding", "zip, *;q=9"),
        ("cookie", "\u{1}"),
        ("content-type", "multipart/form-data"),
        ("origin", "null"),
        ("origin", "\u{e9}"),
        ("upgrade", "websocket"),
        ("te", "trailers"),
        ("x-forwarded-for", "' OR 1=1"),
        ("idempotency-key", "\u{e9}"),
        ("x-http-method-override", "DELETE"),
        ("host", "evil"),
    ] {
        for (method, path) in
            [("GET", "/v1/admin/campaigns"), ("PUT", "/v1/admin/campaigns/x"), ("GET", "/v1/campaigns?user_id=u")]
        {
            let what = format!("{method} {path} with {name}: {value}");
            door.knock(&what, &request(method, path, &[admin, (name, value)], b"{}")).await;
        }
    }
    let long = "k".repeat(256);
    for key in ["\u{e9}", "a\u{1}b", &long] {
        let body = br#"{"user_id":"u","event":"e"}"#;
        let answer = door.refused("an idempotency key", "/v1/track", &[("idempotency-key", key)], body, 400).await;
        assert!(["invalid_parameter", "malformed_request"].contains(&answer["code"].as_str().unwrap()), "{answer}");
    }
    door.close().await;
}

/// Every name that some route reads, and some that none does.
const QUERY: [&str; 16] = [
    "user_id", "limit", "offset", "cursor", "after", "before", "since", "until", "from", "to", "event", "type",
    "source", "q", "status", "linked",
];

#[tokio::test]
async fn a_document_that_no_program_could_use_is_refused_with_its_faults() {
    let pipeline = Pipeline::start().await;
    let mut door = Door::of(&pipeline).await;
    let admin = ("x-api-key", ADMIN_KEY);
    let rule = |value: Value| json!({"name": "n", "key": "k", "rules": [value]}).to_string();
    let pattern = |text: &str| rule(json!({"type": "attribute", "field": "a", "operator": "matches", "value": text}));
    let many: Vec<Value> =
        (0..10_000).map(|n| json!({"type": "attribute", "field": format!("f{n}"), "operator": "exists"})).collect();
    let mut group = json!({"type": "attribute", "field": "a", "operator": "exists"});
    for _ in 0..100 {
        group = json!({"all": [group]});
    }
    for (what, body) in [
        ("nothing", String::new()),
        ("null", "null".to_owned()),
        ("a list", "[]".to_owned()),
        ("a string", "\"{}\"".to_owned()),
        ("no JSON", "{name:n}".to_owned()),
        ("rules in a string", json!({"name": "n", "key": "k", "rules": "[{}]"}).to_string()),
        ("a rule that is null", rule(Value::Null)),
        ("a rule that is a list", rule(json!([]))),
        ("an unknown operator", rule(json!({"type": "attribute", "field": "f", "operator": "~", "value": 1}))),
        ("10,000 rules", json!({"name": "n", "key": "k", "rules": many}).to_string()),
        ("groups 100 deep", rule(group)),
        ("a pattern that is none", pattern("([")),
        ("a pattern that explodes", pattern(&format!("{}x{}", "(".repeat(30), "{1,100})".repeat(30)))),
        ("a pattern of a million states", pattern("(a{1000}){1000}")),
        ("a number that no reader holds", r#"{"name":"n","key":"k","rules":[],"x":1e400}"#.to_owned()),
        ("200 levels", format!(r#"{{"name":"n","key":"k","rules":[],"x":{}{}}}"#, "[".repeat(200), "]".repeat(200))),
    ] {
        for path in ["/v1/admin/campaigns", "/v1/admin/segments", "/v1/admin/features"] {
            let answer =
                door.knock(&format!("{what} to {path}"), &request("POST", path, &[admin], body.as_bytes())).await;
            assert_eq!(answer.status, 400, "{what} to {path}: {}", answer.text());
        }
    }
    let large = format!(r#"{{"name":"{}"}}"#, "x".repeat(ingest::admin::campaigns::BODY_BYTES));
    let answer = door.knock("too large", &request("POST", "/v1/admin/campaigns", &[admin], large.as_bytes())).await;
    assert_eq!(answer.status, 413, "{}", answer.text());
    for table in ["campaigns", "segments", "features"] {
        assert_eq!(pipeline.database.number(&format!("SELECT count(*) FROM {table}")).await, 0, "{table}");
    }
    door.close().await;
}
