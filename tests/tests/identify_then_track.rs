//! Identify, then track, through several processes: what the reply promises, and what the record does.
//!
//! - Through the same ingest process the reply knows the new traits at once.
//! - Through another one it knows them once the worker has committed them, so usually some ten milliseconds later; until then it
//!   goes by the traits before.
//! - The record is right in any case: it goes by the order in which the events of a user arrived, through whichever process.

use serde_json::{Value, json};
use tests::client::{Client, WRITE_KEY};
use tests::eventually::{equal, eventually};
use tests::matching::{campaign, listed, recorded, replied};
use tests::pipeline::{Pipeline, Setup};

async fn two_ingests() -> (Pipeline, Client, Client) {
    let rules = json!([{"type": "attribute", "field": "tier", "operator": "==", "value": "silver"}]);
    let setup = Setup::default().ingests(2).campaign(campaign("silver", json!({"rules": rules})));
    let pipeline = setup.start().await;
    let [one, other] = [0, 1].map(|at: usize| pipeline.ingests[at].client().with_key(WRITE_KEY));
    (pipeline, one, other)
}

async fn identify(client: &Client, tier: &str) -> Value {
    client.accepted("/v1/identify", &json!({"user_id": "u", "traits": {"tier": tier}})).await["user"].clone()
}

fn opened(message_id: &str) -> Value {
    json!({"user_id": "u", "event": "opened", "messageId": message_id})
}

#[tokio::test]
async fn the_process_that_took_the_identify_knows_at_once_and_another_once_it_is_committed() {
    let (pipeline, one, other) = two_ingests().await;
    let none = Vec::<String>::new();
    // Nothing is committed while the worker stands still.
    pipeline.workers[0].pause();
    assert_eq!(identify(&one, "silver").await, json!({"tier": "silver"}));
    assert_eq!(replied(&one, &opened("same process")).await, ["silver"]);
    assert_eq!(listed(&one, "u").await, ["silver"]);
    assert_eq!(replied(&other, &opened("other process")).await, none);
    assert_eq!(listed(&other, "u").await, none);
    pipeline.workers[0].resume();

    pipeline.drained().await;
    assert_eq!(replied(&other, &opened("committed")).await, ["silver"]);
    assert_eq!(listed(&other, "u").await, ["silver"]);
    pipeline.drained().await;
    for message_id in ["same process", "other process", "committed"] {
        assert_eq!(recorded(&pipeline, message_id).await, ["silver"], "{message_id}");
    }
}

#[tokio::test]
async fn the_record_follows_the_order_of_arrival_whichever_process_an_event_came_through() {
    let (mut pipeline, one, other) = two_ingests().await;
    pipeline.add_worker();
    pipeline.ready().await;
    for round in 0..20 {
        // In turn: the identify through one process and the track through the other.
        let (first, second) = if round % 4 < 2 { (&one, &other) } else { (&other, &one) };
        let tier = if round % 2 == 0 { "silver" } else { "gold" };
        identify(first, tier).await;
        second.accepted("/v1/track", &opened(&format!("round {round}"))).await;
    }
    pipeline.drained().await;
    for round in 0..20 {
        let expected: &[&str] = if round % 2 == 0 { &["silver"] } else { &[] };
        assert_eq!(recorded(&pipeline, &format!("round {round}")).await, expected, "round {round}");
    }
}

#[tokio::test]
async fn the_reply_to_an_identify_shows_all_that_is_known_by_then() {
    let (pipeline, one, other) = two_ingests().await;
    one.accepted("/v1/identify", &json!({"user_id": "u", "traits": {"name": "Ada", "tier": "gold"}})).await;
    pipeline.drained().await;
    assert_eq!(identify(&other, "silver").await, json!({"name": "Ada", "tier": "silver"}));
    // The first learns of it from the database.
    eventually("the change of the other process", async || {
        let user = one.accepted("/v1/identify", &json!({"user_id": "u", "traits": {}})).await["user"].clone();
        equal(user, json!({"name": "Ada", "tier": "silver"}))
    })
    .await;
}
