//! The document of the API says what the server does, and the server does what it says.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tests::client::{ADMIN_KEY, Client, WRITE_KEY};
use tests::http1::Answer;
use tests::metrics::Metrics;
use tests::pipeline::{Pipeline, Setup};
use tests::schemathesis;

/// One operation of the document.
#[derive(Debug)]
struct Operation {
    method: String,
    /// With something in the place of each parameter.
    path: String,
    /// The first example of its body.
    body: Vec<u8>,
    guarded: bool,
    open: bool,
    /// Content types by status; none where there is no body.
    answers: BTreeMap<u16, BTreeSet<String>>,
}

impl Operation {
    /// Panics unless the answer is one of the documented.
    fn assert_documented(&self, answer: &Answer) {
        let name = format!("{} {}", self.method, self.path);
        let Some(types) = self.answers.get(&answer.status) else {
            panic!(
                "{name}: the answer {} is not documented, only {:?}: {}",
                answer.status,
                self.answers.keys(),
                answer.text()
            );
        };
        let sent = answer.header("content-type").map(|kind| kind.split(';').next().unwrap_or_default().to_owned());
        match sent {
            Some(sent) => {
                assert!(types.contains(&sent), "{name}: {} as {sent}, documented as {types:?}", answer.status)
            }
            None => {
                assert!(types.is_empty(), "{name}: {} without a content type, documented as {types:?}", answer.status)
            }
        }
    }

    async fn call(&self, client: &Client) -> Answer {
        client.send(&self.method, &self.path, &[], &self.body).await.unwrap_or_else(|e| panic!("{self:?}: {e}"))
    }
}

/// The ids that `tests/openapi/schemathesis.toml` names, and those of the document's examples.
async fn store_something(pipeline: &Pipeline) {
    let admin = pipeline.admin();
    for n in 1..=6 {
        for (table, more) in
            [("campaigns", r#""status": "active", "trigger": "cart_viewed""#), ("segments", r#""rules": []"#)]
        {
            let insert = format!(r#"INSERT INTO {table} (id, document) VALUES ('d-{n}', '{{"name": "{n}", {more}}}')"#);
            sqlx::query(&insert).execute(&pipeline.database.pool).await.unwrap();
        }
    }
    let webhooks = [
        r#"UPDATE campaigns SET document = document || '{"webhook": {"url": "https://127.0.0.1:9/"}}'"#,
        "INSERT INTO webhook_deliveries (id, campaign_id, kind, occurred_at) VALUES ('0b7e6a9e-2f0c-4d4e-9a51-6e1d4c8a7f10', 'd-1', 'ping', now())",
    ];
    for statement in webhooks {
        sqlx::query(statement).execute(&pipeline.database.pool).await.unwrap();
    }
    for key in ["new_checkout", "f-1", "f-2"] {
        let flag = json!({"key": key, "value": {"color": "blue"}});
        assert_eq!(admin.post("/v1/admin/features", &flag).await.unwrap().status, 200);
    }
    let letter =
        "INSERT INTO dead_letters (id, lane, stream_seq, partition, position, sqlstate, reason, payload, received_at)
                  OVERRIDING SYSTEM VALUE VALUES (12, 0, 1, 0, 0, '22P05', 'a test', '{}', now())";
    sqlx::query(letter).execute(&pipeline.database.pool).await.unwrap();
    let client = pipeline.client();
    client.accepted("/v1/identify", &json!({"user_id": "ada", "anonymous_id": "d-1", "traits": {"plan": "pro"}})).await;
    client.accepted("/v1/track", &json!({"user_id": "ada", "event": "cart_viewed", "messageId": "d-1"})).await;
    pipeline.catalog_known().await;
    pipeline.drained().await;
}

async fn document(client: &Client) -> Value {
    let answer = client.get("/openapi.json").await.unwrap();
    assert_eq!(answer.status, 200);
    answer.json()
}

fn operations(document: &Value) -> Vec<Operation> {
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let answers = operation["responses"].as_object().unwrap().iter().map(|(status, response)| {
                let types = response["content"].as_object().into_iter().flatten().map(|(kind, _)| kind.clone());
                (status.parse().unwrap(), types.collect())
            });
            let body =
                operation.pointer("/requestBody/content/application~1json/schema/$ref").map_or(vec![], |schema| {
                    let schema = document.pointer(&schema.as_str().unwrap()[1..]).unwrap();
                    schema["example"].to_string().into_bytes()
                });
            operations.push(Operation {
                method: method.to_ascii_uppercase(),
                path: filled(path),
                body,
                guarded: path.starts_with("/v1/admin/") || method == "get" && path.starts_with("/v1/analytics/"),
                open: operation["security"] == json!([{}]),
                answers: answers.collect(),
            });
        }
    }
    assert!(operations.len() > 60, "{} operations", operations.len());
    operations
}

/// `{id}` as `x`.
fn filled(path: &str) -> String {
    path.split('/').map(|part| if part.starts_with('{') { "x" } else { part }).collect::<Vec<_>>().join("/")
}

#[tokio::test]
async fn every_path_and_method_that_is_served_is_documented_and_the_reverse() {
    let pipeline = Pipeline::start().await;
    let client = pipeline.ingests[0].client();
    let document = document(&client).await;
    let described: BTreeSet<String> = document["paths"].as_object().unwrap().keys().cloned().collect();
    let served: BTreeSet<String> = ingest::router::paths().map(str::to_owned).collect();
    for path in described.union(&served) {
        // The server says which methods it has, in upper case and with HEAD wherever there is GET.
        let refused = client.send("BREW", &filled(path), &[], b"").await.unwrap();
        let allowed = refused.header("allow").unwrap_or_default().to_ascii_lowercase();
        let served: BTreeSet<&str> = allowed.split(',').filter(|method| !matches!(*method, "" | "head")).collect();
        let item = document["paths"][path].as_object();
        let described: BTreeSet<&str> = item.into_iter().flatten().map(|(method, _)| method.as_str()).collect();
        assert_eq!(described, served, "{path}: documented on the left, served on the right");
        assert!(!served.is_empty(), "{path} is documented and not served");
    }
}

#[tokio::test]
async fn without_a_key_and_with_a_wrong_one_every_operation_answers_as_documented() {
    let pipeline = Pipeline::start().await;
    let nobody = pipeline.ingests[0].client();
    let document = document(&nobody).await;
    for operation in operations(&document) {
        for client in [nobody.clone(), nobody.with_key("wrong")] {
            let answer = operation.call(&client).await;
            operation.assert_documented(&answer);
            assert_eq!(answer.status == 401, !operation.open, "{operation:?}: {}", answer.text());
        }
        let answer = operation.call(&nobody.with_key(WRITE_KEY)).await;
        operation.assert_documented(&answer);
        assert_eq!(answer.status == 403, operation.guarded, "{operation:?}: {}", answer.text());
    }
}

#[tokio::test]
async fn the_example_of_every_call_is_accepted() {
    let pipeline = Setup::default().workers(0).start().await;
    let (client, admin) = (pipeline.client(), pipeline.admin());
    let document = document(&client).await;
    for operation in operations(&document).iter().filter(|o| o.method == "POST" && !o.path.contains("/x")) {
        let answer = operation.call(if operation.guarded { &admin } else { &client }).await;
        operation.assert_documented(&answer);
        assert!(answer.status < 300, "{operation:?}: {}", answer.text());
    }
}

#[tokio::test]
async fn the_page_loads_nothing_from_elsewhere() {
    let pipeline = Setup::default().workers(0).start().await;
    let client = pipeline.ingests[0].client();
    let page = client.get("/docs").await.unwrap();
    let policy = page.header("content-security-policy").unwrap_or_default();
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("http"), "{policy}");
    let html = page.text();
    let loaded: Vec<&str> = html.split("src=\"").chain(html.split("<link rel=\"stylesheet\" href=\"")).collect();
    let loaded: BTreeSet<&str> =
        loaded.iter().filter_map(|rest| rest.split('"').next()).filter(|f| f.starts_with("docs/")).collect();
    assert_eq!(loaded.len(), 4, "{loaded:?} of {html}");
    assert!(!html.contains("//"), "{html}");
    for file in loaded {
        let answer = client.get(&format!("/{file}")).await.unwrap();
        assert_eq!(answer.status, 200, "{file}");
        assert!(!answer.body.is_empty(), "{file}");
    }
    assert!(client.get("/docs/page.js").await.unwrap().text().contains("\"openapi.json\""));
}

#[tokio::test]
async fn the_document_is_valid_openapi() {
    let pipeline = Setup::default().workers(0).start().await;
    schemathesis::is_valid(&document(&pipeline.client()).await).await;
}

/// What a request that keeps the schema is answered with depends on what is stored, and on what no schema can say (rules, cursors);
/// and much that breaks it is accepted on purpose (a limit that is no number is none; see the next test for events).
const NOT_PROMISED: &str = "positive_data_acceptance,negative_data_rejection";
/// It never ends; `live_tail` tests it.
const ENDLESS: &str = "/v1/admin/events/stream";
const ANSWERS: &str = "ingest_http_requests_total";

#[tokio::test]
async fn calls_that_nobody_thought_of_get_documented_answers() {
    let pipeline = Pipeline::start().await;
    store_something(&pipeline).await;
    let ingest = &pipeline.ingests[0];
    let document = document(&pipeline.client()).await;
    let checks = ["--exclude-checks", NOT_PROMISED, "--exclude-path", ENDLESS];
    // Other spellings are the same handlers, so they come with the write key alone; what admins do is refused to it in one place.
    let of_admins = [&checks[..], &["--max-examples", "10", "--exclude-tag", "Other spellings"]].concat();
    let of_apps = [&checks[..], &["--max-examples", "3", "--exclude-path-regex", "^/v1/admin/"]].concat();
    let of_nobody = [&checks[..], &["--max-examples", "3", "--phases", "examples,fuzzing"]].concat();
    let mut calls = schemathesis::conforms(ingest, &document, Some(ADMIN_KEY), &of_admins).await;
    calls += schemathesis::conforms(ingest, &document, Some(WRITE_KEY), &of_apps).await;
    calls += schemathesis::conforms(ingest, &document, None, &of_nobody).await;
    eprintln!("{calls} calls");
    assert!(calls > 2_000, "only {calls} calls were made");
    let metrics = Metrics::of(ingest).await;
    let paths = document["paths"].as_object().unwrap().keys().filter(|path| *path != ENDLESS);
    let never: Vec<_> =
        paths.filter(|path| metrics.sum(ANSWERS, &[&format!("route=\"{path}\""), "class=\"2xx\""]) == 0.0).collect();
    assert!(never.is_empty(), "only refusals were seen of {never:?}");
    pipeline.drained().await;
    let dead = pipeline.database.number("SELECT count(*) FROM dead_letters WHERE reason <> 'a test'").await;
    assert_eq!(dead, 0, "something was accepted that cannot be stored");
}

/// The calls of one event, as JSON and in one spelling: of a text, and of two spellings that are both there, a schema cannot say what
/// counts.
fn single_events(mut document: Value) -> Value {
    let calls = ["/v1/track", "/v1/identify", "/v1/page", "/v1/screen", "/v1/group", "/v1/alias"];
    document["paths"].as_object_mut().unwrap().retain(|path, _| calls.contains(&path.as_str()));
    for path in calls {
        let content = &mut document["paths"][path]["post"]["requestBody"]["content"];
        content.as_object_mut().unwrap().retain(|kind, _| kind == "application/json");
    }
    let other =
        |name: &str| matches!(name, "userId" | "anonymousId" | "groupId" | "previousId" | "action" | "metadata");
    for (_, schema) in
        document["components"]["schemas"].as_object_mut().unwrap().iter_mut().filter(|(n, _)| n.ends_with("Call"))
    {
        schema["properties"].as_object_mut().unwrap().retain(|name, _| !other(name));
        for part in schema.get_mut("allOf").and_then(Value::as_array_mut).into_iter().flatten() {
            part["anyOf"].as_array_mut().unwrap().retain(|one| !other(one["required"][0].as_str().unwrap()));
        }
    }
    document
}

/// Free-form objects hold no numbers that are refused at any depth because a double would round them.
fn with_small_numbers(mut document: Value) -> Value {
    let plain = json!({
        "type": ["string", "boolean", "integer", "null"], "minimum": -(1_i64 << 53), "maximum": 1_i64 << 53,
    });
    for (_, schema) in
        document["components"]["schemas"].as_object_mut().unwrap().iter_mut().filter(|(n, _)| n.ends_with("Call"))
    {
        for name in ["properties", "traits", "context"] {
            if let Some(field) = schema["properties"].get_mut(name) {
                field["additionalProperties"] = plain.clone();
            }
        }
        schema["additionalProperties"] = plain.clone();
    }
    document
}

#[tokio::test]
async fn an_event_is_accepted_just_when_it_keeps_the_schema() {
    let pipeline = Pipeline::start().await;
    let ingest = &pipeline.ingests[0];
    let document = single_events(document(&pipeline.client()).await);
    // ASCII, in which bytes are characters; see `openapi::event_bodies`.
    let arguments = ["--max-examples", "30", "--generation-codec", "ascii", "--mode"];
    let good = with_small_numbers(document.clone());
    let mut calls =
        schemathesis::conforms(ingest, &good, Some(WRITE_KEY), &[&arguments[..], &["positive"]].concat()).await;
    let broken = [&arguments[..], &["negative", "--exclude-checks", "positive_data_acceptance"]].concat();
    calls += schemathesis::conforms(ingest, &document, Some(WRITE_KEY), &broken).await;
    eprintln!("{calls} calls");
    assert!(calls > 500, "only {calls} calls were made");
    pipeline.drained().await;
    assert_eq!(pipeline.database.number("SELECT count(*) FROM dead_letters").await, 0);
}
