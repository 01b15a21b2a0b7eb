//! The real SDKs, unmodified: what each sends is what is stored, field by field, and an answer that is lost costs nothing.
//!
//! Each run: an SDK, an option or two, a set of events, and a proxy before the service that notes what passes. The second kind of
//! run loses the first answer to each batch, so that the SDK sends it again: still one row per event, and the books show the rest
//! as duplicates.

use std::collections::HashMap;
use std::time::Duration;

use chrono::Utc;
use serde_json::{Value, json};
use tests::answer_dropper::{AnswerDropper, Passed};
use tests::browser::Browser;
use tests::client::WRITE_KEY;
use tests::eventually::{equal, eventually, within};
use tests::known_set::{file, make};
use tests::load::seed;
use tests::pipeline::Pipeline;
use tests::sdk::{self, Sdk};
use tests::skip::skip;
use tests::stored_as_sent::compare;

/// Events of a run in the SDK's default mode.
const MANY: usize = 3_000;
/// Events of the other runs.
const SOME: usize = 500;
/// For a browser to send again what it has lost, with pauses that double.
const RESENDS: Duration = Duration::from_secs(90);

/// One run.
struct Run {
    sdk: Sdk,
    options: Value,
    events: usize,
    loses_answers: bool,
    /// The browser SDK's own metrics are switched on.
    metrics: bool,
}

impl Run {
    fn of(sdk: Sdk, options: Value, events: usize) -> Self {
        Self { sdk, options, events, loses_answers: false, metrics: false }
    }

    fn losing_answers(self) -> Self {
        Self { loses_answers: true, ..self }
    }

    fn with_metrics(self) -> Self {
        Self { metrics: true, ..self }
    }

    /// Does it all, and returns what passed the proxy.
    async fn go(self) -> Vec<Passed> {
        let seed = seed();
        let what = format!("{:?} {} seed {seed} (EC_TEST_SEED)", self.sdk, self.options);
        eprintln!("{what}");
        let pipeline = Pipeline::start().await;
        let proxy = AnswerDropper::start(pipeline.ingests[0].address, self.loses_answers).await;
        let set = make(self.sdk.dialect(), self.events, &mut fastrand::Rng::with_seed(seed));
        let mut task = file(&set, &format!("http://{}", proxy.address), WRITE_KEY, &self.options);

        let started = Utc::now();
        let message_ids = if self.sdk == Sdk::SegmentBrowser {
            task.insert_str(1, &format!("\"metrics\":{},", self.metrics));
            let mut browser = Browser::open(task).await;
            let ids = reported(&browser.report().await);
            // The SDK says that an event is done when it lies in its own buffer: it is sent later, and again after an error.
            within(RESENDS, "every event is stored", async || {
                equal(usize::try_from(pipeline.rows().await), Ok(self.events))
            })
            .await;
            if self.metrics {
                let sent = || proxy.passed().iter().filter(|passed| passed.line == "POST /v1/m").count();
                eventually("the SDK sends its metrics", async || equal(sent() > 0, true)).await;
            }
            ids
        } else {
            sdk::send(self.sdk, &task).await
        };
        pipeline.drained().await;
        let compared = compare(&pipeline.database, &set, &self.sdk.additions(), &message_ids, started).await;

        let passed = proxy.passed();
        let taken: usize = passed.iter().filter(|passed| passed.status == 200).map(|passed| passed.events).sum();
        let books =
            "SELECT sum(read)::bigint, sum(stored)::bigint, sum(duplicate)::bigint, sum(dead)::bigint FROM ledger";
        let books: (i64, i64, i64, i64) = sqlx::query_as(books).fetch_one(&pipeline.database.pool).await.unwrap();
        let number = |count: usize| i64::try_from(count).unwrap();
        assert_eq!(books, (number(taken), number(set.len()), number(taken - set.len()), 0), "{what}");
        // Without losses there may be resends too, on a machine that is slower than an SDK is patient.
        assert!(taken > set.len() || !self.loses_answers, "{what}: no answer was lost");
        eprintln!("{what}: runs 1, events sent {taken}, rows compared {}", compared.rows);
        passed
    }
}

fn reported(report: &Value) -> HashMap<usize, String> {
    assert_eq!(report["problems"], json!([]), "what the page says went wrong");
    sdk::message_ids(report["sent"].as_array().unwrap().iter().cloned())
}

/// Can it be run here? If not, the test is noted as skipped.
fn can_run(sdk: Sdk, test: &str) -> bool {
    match sdk::available(sdk) {
        Ok(()) => true,
        Err(reason) => {
            skip(test, &reason);
            false
        }
    }
}

fn posts<'a>(passed: &'a [Passed], path: &str) -> Vec<&'a Passed> {
    passed.iter().filter(|passed| passed.line == format!("POST {path}")).collect()
}

fn all_gzip(passed: &[Passed]) -> bool {
    passed.iter().all(|passed| passed.header("content-encoding") == Some("gzip"))
}

#[tokio::test(flavor = "multi_thread")]
async fn segment_python_is_stored_as_sent() {
    if can_run(Sdk::SegmentPython, "segment_python_is_stored_as_sent") {
        let passed = Run::of(Sdk::SegmentPython, json!({}), MANY).go().await;
        assert!(passed.iter().all(|passed| passed.header("content-encoding").is_none()));
        let passed = Run::of(Sdk::SegmentPython, json!({"gzip": true, "upload_size": 37}), SOME).go().await;
        assert!(all_gzip(&passed));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn segment_python_resends_after_lost_answers_and_nothing_is_stored_twice() {
    if can_run(Sdk::SegmentPython, "segment_python_resends_after_lost_answers_and_nothing_is_stored_twice") {
        Run::of(Sdk::SegmentPython, json!({}), SOME).losing_answers().go().await;
        Run::of(Sdk::SegmentPython, json!({"gzip": true}), SOME).losing_answers().go().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rudder_python_is_stored_as_sent() {
    if can_run(Sdk::RudderPython, "rudder_python_is_stored_as_sent") {
        let passed = Run::of(Sdk::RudderPython, json!({}), MANY).go().await;
        assert!(all_gzip(&passed));
        Run::of(Sdk::RudderPython, json!({"gzip": false, "upload_size": 37}), SOME).go().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rudder_python_resends_after_lost_answers_and_nothing_is_stored_twice() {
    if can_run(Sdk::RudderPython, "rudder_python_resends_after_lost_answers_and_nothing_is_stored_twice") {
        Run::of(Sdk::RudderPython, json!({}), SOME).losing_answers().go().await;
        Run::of(Sdk::RudderPython, json!({"gzip": false}), SOME).losing_answers().go().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn segment_node_is_stored_as_sent() {
    if can_run(Sdk::SegmentNode, "segment_node_is_stored_as_sent") {
        Run::of(Sdk::SegmentNode, json!({}), MANY).go().await;
        let passed = Run::of(Sdk::SegmentNode, json!({"flushAt": 250}), SOME).go().await;
        assert!(passed.iter().any(|passed| passed.events > 100), "larger batches than by default");
        let passed = Run::of(Sdk::SegmentNode, json!({"maxEventsInBatch": 1}), SOME).go().await;
        assert!(passed.iter().all(|passed| passed.events == 1), "each event by itself");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn segment_node_resends_after_lost_answers_and_nothing_is_stored_twice() {
    if can_run(Sdk::SegmentNode, "segment_node_resends_after_lost_answers_and_nothing_is_stored_twice") {
        Run::of(Sdk::SegmentNode, json!({}), SOME).losing_answers().go().await;
        Run::of(Sdk::SegmentNode, json!({"flushAt": 250}), SOME).losing_answers().go().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rudder_node_is_stored_as_sent() {
    if can_run(Sdk::RudderNode, "rudder_node_is_stored_as_sent") {
        let passed = Run::of(Sdk::RudderNode, json!({}), MANY).go().await;
        assert!(all_gzip(&passed));
        assert_eq!(passed[0].header("content-type"), Some("application/x-www-form-urlencoded"));
        Run::of(Sdk::RudderNode, json!({"gzip": false, "flushAt": 100}), SOME).go().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rudder_node_resends_after_lost_answers_and_nothing_is_stored_twice() {
    if can_run(Sdk::RudderNode, "rudder_node_resends_after_lost_answers_and_nothing_is_stored_twice") {
        Run::of(Sdk::RudderNode, json!({}), SOME).losing_answers().go().await;
        Run::of(Sdk::RudderNode, json!({"gzip": false, "flushAt": 100}), SOME).losing_answers().go().await;
    }
}

/// What a browser does before it lets a page of another origin send: it asks, and reads the answer.
fn assert_preflight(passed: &[Passed], path: &str) {
    let line = format!("OPTIONS {path}");
    let preflight = passed.iter().find(|passed| passed.line == line).unwrap_or_else(|| panic!("no {line}"));
    assert_eq!(preflight.header("access-control-request-headers"), Some("authorization"));
    assert!(passed.iter().all(|passed| passed.header("origin").is_some()), "the page is of another origin");
}

#[tokio::test(flavor = "multi_thread")]
async fn segment_browser_is_stored_as_sent() {
    if can_run(Sdk::SegmentBrowser, "segment_browser_is_stored_as_sent") {
        let passed = Run::of(Sdk::SegmentBrowser, json!({}), MANY).go().await;
        assert_eq!(passed[0].line, format!("GET /v1/projects/{WRITE_KEY}/settings"));
        for path in ["/v1/t", "/v1/i", "/v1/p", "/v1/s", "/v1/g", "/v1/a"] {
            assert_preflight(&passed, path);
            let posts = posts(&passed, path);
            assert!(!posts.is_empty() && posts.iter().all(|passed| passed.events == 1), "{path}");
            assert_eq!(posts[0].header("content-type"), Some("text/plain"));
        }
        assert!(posts(&passed, "/v1/m").is_empty(), "the settings ask for no metrics");

        let batching = json!({"deliveryStrategy": {"strategy": "batching", "config": {"timeout": 300}}});
        let passed = Run::of(Sdk::SegmentBrowser, batching, SOME).with_metrics().go().await;
        assert_preflight(&passed, "/v1/b");
        assert!(posts(&passed, "/v1/b").iter().any(|passed| passed.events == 10), "batches of ten");
        let metrics = posts(&passed, "/v1/m");
        assert!(metrics.iter().all(|passed| passed.status == 200 && passed.answer == r#"{"ok":true}"#), "{metrics:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn segment_browser_resends_after_lost_answers_and_nothing_is_stored_twice() {
    if can_run(Sdk::SegmentBrowser, "segment_browser_resends_after_lost_answers_and_nothing_is_stored_twice") {
        Run::of(Sdk::SegmentBrowser, json!({}), SOME).losing_answers().go().await;
        let batching = json!({"deliveryStrategy": {"strategy": "batching", "config": {"timeout": 300}}});
        Run::of(Sdk::SegmentBrowser, batching, SOME).losing_answers().go().await;
    }
}
