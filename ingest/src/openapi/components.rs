//! What operations refer to: headers, keys, the body of every refusal, examples, and the schemas of bodies.

use serde_json::{Value, json};

use super::{document_bodies, event_bodies, explain_bodies, refusals};

/// Adds it.
pub fn add(document: &mut Value) {
    let components = &mut document["components"];
    components["headers"] = headers();
    components["examples"] = Value::Object(refusals::examples());
    components["securitySchemes"] = keys();
    components["schemas"]["Problem"] = problem();
    components["schemas"]["Fault"] = fault();
    for (name, schema) in event_bodies::all().into_iter().chain(document_bodies::all()).chain(explain_bodies::all()) {
        components["schemas"][name] = schema;
    }
}

fn headers() -> Value {
    let header = |meaning: &str, schema: Value| json!({"description": meaning, "schema": schema});
    let number = || json!({"type": "integer", "minimum": 0});
    json!({
        "RequestId": header("Names this answer in the log.", json!({"type": "string", "format": "uuid"})),
        "RetryAfter": header("Seconds to wait before trying again.", number()),
        "ETag": header("The version, to send back as `If-Match` or `If-None-Match`.", json!({"type": "string"})),
        "RateLimitPolicy": header("The limit and its window in seconds: `50;w=900`.", json!({"type": "string"})),
        "RateLimitLimit": header("Requests in one window.", number()),
        "RateLimitRemaining": header("Requests left in this window.", number()),
        "RateLimitReset": header("Seconds until the window ends.", number()),
    })
}

fn keys() -> Value {
    json!({
        "x-api-key": {"type": "apiKey", "in": "header", "name": "x-api-key", "description":
            "A write key or an admin key. Write keys may also come as `writeKey` in the body."},
        "bearer": {"type": "http", "scheme": "bearer", "description": "The key as a bearer token."},
        "basic": {"type": "http", "scheme": "basic", "description": "The key as the user name; the password is not looked at."},
    })
}

fn problem() -> Value {
    let text = |meaning: &str| json!({"type": "string", "description": meaning});
    json!({
        "description": "The body of every refusal.",
        "type": "object",
        "required": ["code", "message", "error", "request_id"],
        "properties": {
            "code": text("Stable, for programs."),
            "message": text("What was wrong and what to do, for people."),
            "error": text("The old server's words, for the clients that show them."),
            "request_id": {"type": "string", "format": "uuid", "description": "Also in `X-Request-Id`, and in the log."},
            "details": {"type": "array", "description": "All that is wrong, field by field.", "items": {
                "type": "object", "required": ["path", "msg"], "properties": {
                    "path": text("The field, such as `rules[0].operator`."), "msg": text("What is wrong with it."),
                    "code": text("Stable, for programs."), "type": {"const": "field"}, "location": {"const": "body"},
                    "value": {"description": "As sent, if it is short."},
                }}},
            "rejected": {"type": "array", "description": "Of a batch: every event, with what is wrong with it.",
                         "items": {"$ref": "#/components/schemas/Rejected"}},
            "accepted": {"type": "integer", "description": "Of a batch: always 0."},
            "current_version": {"type": "integer", "description": "Of a 412: the version that there is now."},
        },
    })
}

fn fault() -> Value {
    json!({
        "description": "What is wrong with a stored document.",
        "type": "object",
        "required": ["field", "code", "message"],
        "properties": {"field": {"type": "string"}, "code": {"type": "string"}, "message": {"type": "string"}},
    })
}
