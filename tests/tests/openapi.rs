//! The document of the API says what the server does, and the server does what it says.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use tests::client::{Client, WRITE_KEY};
use tests::http1::Answer;
use tests::pipeline::{Pipeline, Setup};

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
                guarded: path.starts_with("/v1/admin/"),
                open: operation["security"] == serde_json::json!([{}]),
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
