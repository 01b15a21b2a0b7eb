//! What an event matched: in the reply of ingest and in the record of the worker, which must agree.

use serde_json::{Value, json};

use crate::client::Client;
use crate::pipeline::Pipeline;

/// An active campaign on the event `opened`, with what `more` has besides.
///
/// # Panics
/// When `more` is no object.
#[must_use]
pub fn campaign(id: &str, more: Value) -> Value {
    let mut document = json!({"id": id, "name": id, "status": "active", "trigger": "opened", "config": {"text": id}});
    let Value::Object(more) = more else { panic!("{more} is no object") };
    for (key, value) in more {
        document[key] = value;
    }
    document
}

/// The ids of a list of campaigns, in its order.
#[must_use]
pub fn ids(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(|campaign| campaign["id"].as_str()).collect()
}

/// Sends a track; the ids of the campaigns in the reply, in its order.
///
/// # Panics
/// When it is refused, or the reply says that it is incomplete.
pub async fn replied(client: &Client, event: &Value) -> Vec<String> {
    let answer = client.accepted("/v1/track", event).await;
    assert_eq!(answer.get("matched_complete"), None, "{answer}");
    ids(&answer["matched"]).into_iter().map(str::to_owned).collect()
}

/// The ids of the campaigns that the worker has recorded for a message so far, by id.
///
/// # Panics
/// When the database cannot be asked.
pub async fn recorded(pipeline: &Pipeline, message_id: &str) -> Vec<String> {
    let query = "SELECT campaign_id FROM matches m JOIN events e ON e.id = m.event_id AND e.day = m.day
                  WHERE e.message_id = $1 ORDER BY campaign_id COLLATE \"C\"";
    let asked = sqlx::query_scalar(query).bind(message_id);
    asked.fetch_all(&pipeline.database.pool).await.expect("the matches can be read")
}

/// Sends a track through the first ingest and waits for the worker: the ids of the matched campaigns, by id.
///
/// # Panics
/// When the reply and the record differ.
pub async fn matched(pipeline: &Pipeline, mut event: Value) -> Vec<String> {
    if event.get("messageId").is_none() {
        event["messageId"] = json!(uuid::Uuid::new_v4().to_string());
    }
    let mut replied = replied(&pipeline.client(), &event).await;
    replied.sort();
    pipeline.drained().await;
    let recorded = recorded(pipeline, event["messageId"].as_str().unwrap_or_default()).await;
    assert_eq!(replied, recorded, "the reply (left) and the record of {event}");
    recorded
}

/// The ids of the campaigns that an app is given for a user apart from any event, in order.
///
/// # Panics
/// When the list is not answered.
pub async fn listed(client: &Client, user: &str) -> Vec<String> {
    let answer = client.get(&format!("/v1/campaigns?user_id={user}")).await.expect("the list is answered");
    assert_eq!(answer.status, 200, "{}", answer.text());
    ids(&answer.json()["campaigns"]).into_iter().map(str::to_owned).collect()
}
