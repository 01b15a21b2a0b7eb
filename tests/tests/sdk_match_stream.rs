//! Matches in a page of a real browser, from another origin: a token, the browser's own stream, and its own way back after a break.

use serde_json::{Value, json};
use tests::browser::Browser;
use tests::client::WRITE_KEY;
use tests::matching::campaign;
use tests::pipeline::Setup;
use tests::skip::skip;

/// The next report that is about a match.
async fn shown(browser: &mut Browser) -> Value {
    loop {
        let said = browser.report().await;
        assert!(said["problem"].is_null(), "{said}");
        if said["id"].is_string() {
            return said;
        }
    }
}

#[tokio::test]
async fn a_page_shows_matches_as_they_come_and_after_ingest_was_restarted() {
    if std::env::var_os("EC_SDK_CHROMIUM").is_none() {
        let why = std::env::var("EC_SDK_WHY_NOT").unwrap_or_else(|_| "run it with ./deploy/test".to_owned());
        return skip("a_page_shows_matches_as_they_come_and_after_ingest_was_restarted", &why);
    }
    let mut pipeline = Setup::default().campaign(campaign("c", json!({}))).start().await;
    let track = async |id: &str| {
        let event = json!({"user_id": "ada", "event": "opened", "messageId": id});
        let reply = pipeline.client().accepted("/v1/track", &event).await;
        format!("{}.c", reply["event"]["id"].as_str().unwrap())
    };
    let waiting = track("m0").await;
    let task = json!({"url": format!("http://{}", pipeline.ingests[0].address), "key": WRITE_KEY, "user": "ada"});
    let mut browser = Browser::open_page("matches.html", task.to_string()).await;
    let said = shown(&mut browser).await;
    assert_eq!(said, json!({"id": waiting, "text": "c", "acknowledged": [waiting], "opened": 1}));
    let next = track("m1").await;
    assert_eq!(shown(&mut browser).await["id"], json!(next));

    assert!(pipeline.ingests[0].stop().await.success());
    pipeline.ingests[0].start_again();
    pipeline.ready().await;
    let event = json!({"user_id": "ada", "event": "opened", "messageId": "m2"});
    let reply = pipeline.client().accepted("/v1/track", &event).await;
    let said = shown(&mut browser).await;
    let id = format!("{}.c", reply["event"]["id"].as_str().unwrap());
    assert_eq!(said, json!({"id": id, "text": "c", "acknowledged": [id], "opened": 2}), "by itself, and nothing twice");
}
