//! Schemas of the bodies that bring events. They are read field by field and kept as they are, so no type has their shape.
//!
//! They say just what `shared::domain::intake` takes, with its spellings and [`limits`]; only lengths of ids, which count bytes there,
//! count characters here.

use serde_json::{Map, Value, json};
use shared::domain::event::EventType;
use shared::domain::limits;

/// Who did it: one of these must be there.
const WHO: &[&str] = &["user_id", "userId", "anonymous_id", "anonymousId"];

/// All of them, by name.
pub fn all() -> Vec<(&'static str, Value)> {
    vec![
        ("TrackCall", track()),
        ("IdentifyCall", identify()),
        ("PageCall", page()),
        ("GroupCall", group()),
        ("AliasCall", alias()),
        ("AnyCall", any()),
        ("BatchCall", batch()),
        ("LeadsCall", leads()),
    ]
}

fn track() -> Value {
    let needed = [&["event", "action"][..], WHO];
    let example = json!({
        "user_id": "ada", "event": "cart_viewed", "properties": {"cart_total": 59}, "messageId": "b1946ac9-2492",
    });
    call(&["properties", "metadata"], &needed, example)
}

fn identify() -> Value {
    let example = json!({"user_id": "ada", "traits": {"plan": "pro", "city": "Pune"}, "messageId": "b1946ac9-2493"});
    call(&["traits"], &[WHO], example)
}

fn page() -> Value {
    let example = json!({"user_id": "ada", "name": "Checkout", "properties": {"path": "/checkout"}});
    call(&["name", "properties", "metadata"], &[WHO], example)
}

fn group() -> Value {
    let needed = [&["group_id", "groupId"][..], WHO];
    call(&["traits"], &needed, json!({"user_id": "ada", "group_id": "acme", "traits": {"seats": 12}}))
}

fn alias() -> Value {
    let needed = [&["previous_id", "previousId"][..], &["user_id", "userId"]];
    call(&["anonymous_id", "anonymousId"], &needed, json!({"previous_id": "visitor-7", "user_id": "ada"}))
}

/// One event of a batch: the fields of all calls, and the type that says which of them it is.
fn any() -> Value {
    let fields = ["event", "action", "name", "properties", "metadata", "traits", "group_id", "previous_id"];
    let example = json!({"type": "track", "user_id": "ada", "event": "cart_viewed", "messageId": "b1946ac9-2494"});
    let mut call = call(&fields, &[WHO], example);
    call["properties"]["type"] = json!({"enum": EventType::ALL.map(EventType::as_str)});
    call["required"] = json!(["type"]);
    call["description"] = json!("As in the call of its `type`, with the fields that are needed there.");
    call
}

fn batch() -> Value {
    json!({
        "type": "object", "required": ["batch"],
        "properties": {
            "batch": list("#/components/schemas/AnyCall"),
            "sentAt": time("The client's clock when it sent this; corrects the times of the events when it is far off."),
            "context": object("For events without one of their own."),
            "writeKey": {"type": ["string", "null"], "description": "The key, if no header has one."},
        },
        "example": {"batch": [
            {"type": "identify", "userId": "ada", "traits": {"plan": "pro"}, "messageId": "m-1"},
            {"type": "track", "userId": "ada", "event": "cart_viewed", "properties": {"cart_total": 59}, "messageId": "m-2"},
        ]},
    })
}

fn leads() -> Value {
    json!({
        "type": "object", "required": ["leads"],
        "properties": {
            "leads": {"type": "array", "minItems": 1, "maxItems": limits::BATCH_EVENTS,
                      "items": {"type": "object", "description": "The properties of the event."}},
            "user_id": field("user_id"),
        },
        "example": {"user_id": "ada", "leads": [{"email": "lin@example.com", "source": "fair"}]},
    })
}

fn list(items: &str) -> Value {
    json!({"type": "array", "minItems": 1, "maxItems": limits::BATCH_EVENTS, "items": {"$ref": items}})
}

/// The schema of one event with these fields beside the common ones; of each list in `needed` one must be there and not null.
fn call(fields: &[&str], needed: &[&[&str]], example: Value) -> Value {
    let common = ["messageId", "timestamp", "context"];
    let needed_fields = needed.iter().copied().flatten();
    let names = needed_fields.chain(fields).chain(&common);
    let properties: Map<String, Value> = names.map(|name| ((*name).to_owned(), field(name))).collect();
    let one_of = |names: &&[&str]| {
        let there = |name: &&str| json!({"required": [name], "properties": {*name: {"not": {"type": "null"}}}});
        json!({"anyOf": names.iter().map(there).collect::<Vec<_>>()})
    };
    let mut schema = json!({"type": "object", "properties": properties});
    schema["allOf"] = needed.iter().map(one_of).collect();
    schema["example"] = example;
    schema
}

/// A field of an event. Null is the same as absence everywhere.
fn field(name: &str) -> Value {
    match name {
        "user_id" => id("Who: the id that your own systems use. Numbers are taken as their text.", 0),
        "anonymous_id" => id("Who, before they log in.", 0),
        "group_id" => id("The group.", 1),
        "previous_id" => id("The id before.", 1),
        "event" => json!({
            "type": ["string", "null"], "minLength": 1, "maxLength": limits::EVENT_NAME_CHARS, "pattern": "\\S",
            "description": "What was done.",
        }),
        "name" => json!({
            "type": ["string", "null"], "maxLength": limits::EVENT_NAME_CHARS, "description": "Of the page or screen.",
        }),
        "messageId" => json!({
            "type": ["string", "number", "null"], "maxLength": limits::MESSAGE_ID_BYTES,
            "description": "Names the event: sent again under the same id it takes effect once.",
        }),
        "timestamp" => time("When it happened; without it, when it arrived."),
        "properties" => object("Whatever belongs to it."),
        "traits" => object("What is known of the user, or of the group; merged per top-level key."),
        "context" => object("What the app knows around it."),
        "userId" => same_as("user_id"),
        "anonymousId" => same_as("anonymous_id"),
        "groupId" => same_as("group_id"),
        "previousId" => same_as("previous_id"),
        "action" => same_as("event"),
        "metadata" => same_as("properties"),
        _ => Value::Bool(true),
    }
}

fn same_as(name: &str) -> Value {
    let mut same = field(name);
    same["description"] = json!(format!("The same as `{name}`."));
    same
}

fn id(meaning: &str, least: usize) -> Value {
    json!({"type": ["string", "number", "null"], "minLength": least, "maxLength": limits::ID_BYTES, "description": meaning})
}

fn object(meaning: &str) -> Value {
    json!({"type": ["object", "null"], "maxProperties": limits::TOP_LEVEL_KEYS, "description": meaning})
}

/// Never a reason to refuse: what cannot be read is kept as it is, and the time of arrival counts.
fn time(meaning: &str) -> Value {
    json!({"description": format!("{meaning} ISO 8601, or epoch milliseconds."), "examples": ["2026-03-01T09:00:00.000Z"]})
}
