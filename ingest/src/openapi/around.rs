//! What the layers around all handlers add to every operation: the gate of the admin API, keys, limits, the server's own failures;
//! and, of every JSON body, that its content type is never a reason to refuse it.

use serde_json::{Value, json};

use super::{each_operation, refusals};
use crate::admin::gate::is_question;
use crate::observe::is_limited;
use crate::problem::Kind;
use crate::router::is_for_admins;

const OF_ALL: [Kind; 4] = [Kind::MalformedRequest, Kind::UriTooLong, Kind::HeadersTooLarge, Kind::Internal];
const WITH_A_KEY: [Kind; 2] = [Kind::Unauthorized, Kind::KeysUnavailable];

/// Adds it.
pub fn add(document: &mut Value) {
    each_operation(document, |path, method, operation| {
        let guarded = is_for_admins(path);
        let counted = guarded && method != "get" && !is_question(path);
        let open = operation["security"] == json!([{}]);
        let mut kinds = OF_ALL.to_vec();
        if !open {
            kinds.extend(WITH_A_KEY);
            operation["security"] = keys(guarded);
        }
        if guarded {
            kinds.push(Kind::Forbidden);
        }
        if is_limited(path) {
            kinds.push(Kind::RateLimited);
        }
        refuse(operation, kinds);
        if counted {
            count(operation);
        }
        any_content_type(operation);
        never_null(operation);
    });
}

/// One of the three headers; `admin` is the role of the key.
fn keys(guarded: bool) -> Value {
    let role = if guarded { json!(["admin"]) } else { json!([]) };
    json!([{"x-api-key": role}, {"bearer": role}, {"basic": role}])
}

/// Puts responses by status in the place of the codes that a handler's sets gave.
fn refuse(operation: &mut Value, mut kinds: Vec<Kind>) {
    let Some(responses) = operation["responses"].as_object_mut() else { return };
    kinds.extend(responses.keys().filter_map(|code| refusals::kind(code)));
    responses.retain(|code, _| refusals::kind(code).is_none());
    // In the order in which all kinds stand.
    let kinds: Vec<Kind> = Kind::ALL.into_iter().filter(|kind| kinds.contains(kind)).collect();
    for (status, response) in refusals::responses(&kinds) {
        responses.entry(status).or_insert(response);
    }
}

/// Successes tell how much of the limit is left.
fn count(operation: &mut Value) {
    for (status, response) in operation["responses"].as_object_mut().into_iter().flatten() {
        if status.starts_with('2') {
            refusals::add_quota(&mut response["headers"]);
        }
    }
}

/// A parameter is there or not: unlike fields of a body it cannot be null.
fn never_null(operation: &mut Value) {
    let parameters = operation.get_mut("parameters").and_then(Value::as_array_mut);
    for parameter in parameters.into_iter().flatten() {
        if let Some(first) = parameter.pointer("/schema/type/0").cloned() {
            parameter["schema"]["type"] = first;
        }
    }
}

fn any_content_type(operation: &mut Value) {
    let Some(body) = operation.get_mut("requestBody") else { return };
    let json = body["content"]["application/json"].clone();
    let text = json!({"schema": {
        "type": "string", "contentMediaType": "application/json", "contentSchema": json["schema"],
        "description": "The same JSON, as browsers send it that must not ask first.",
    }});
    body["required"] = json!(true);
    body["content"]["text/plain"] = text.clone();
    body["content"]["application/x-www-form-urlencoded"] = text;
    body["description"] =
        json!("JSON, whatever the content type says; it may come with `Content-Encoding: gzip`, `deflate` or `zstd`.");
}
