//! Schemas of what is read and kept field by field, and so has no type of its own: events and documents.
//!
//! They say what is surely accepted; more is: see `shared::domain::intake::fields` for the spellings of an event's fields, and
//! `shared/src/domain/campaign/README.md` for campaigns, segments and flags. Numbers come from [`limits`].

use serde_json::{Map, Value, json};
use shared::domain::{document, limits};

/// All of them, by name.
pub fn all() -> Vec<(&'static str, Value)> {
    let mut all = events();
    all.extend(documents());
    all
}

fn events() -> Vec<(&'static str, Value)> {
    let event = json!({"event": {"type": "string", "minLength": 1, "maxLength": limits::EVENT_NAME_CHARS, "pattern": "\\S",
        "description": "What was done; also `action`."}});
    let name = json!({"name": {"type": "string", "maxLength": limits::EVENT_NAME_CHARS, "description": "Of the page or screen."}});
    let properties = json!({"properties": object("Whatever belongs to it; also `metadata`.")});
    let traits = json!({"traits": object("What is known of the user, to be merged per top-level key; in a group call, of the group.")});
    let group = json!({"group_id": id("The group; also `groupId`.")});
    let alias = json!({"previous_id": id("The id before; also `previousId`.")});
    let any = json!({"type": {"enum": ["track", "identify", "page", "screen", "group", "alias"]}});
    vec![
        (
            "TrackCall",
            call(
                &[&event, &properties],
                &[&["event", "action"], WHO],
                json!({
                    "user_id": "ada", "event": "cart_viewed", "properties": {"cart_total": 59}, "messageId": "b1946ac9-2492",
                }),
            ),
        ),
        (
            "IdentifyCall",
            call(&[&traits], &[WHO], json!({"user_id": "ada", "traits": {"plan": "pro", "city": "Pune"}})),
        ),
        (
            "PageCall",
            call(
                &[&name, &properties],
                &[WHO],
                json!({
                    "user_id": "ada", "name": "Checkout", "properties": {"path": "/checkout"},
                }),
            ),
        ),
        (
            "GroupCall",
            call(
                &[&group, &traits],
                &[&["group_id", "groupId"], WHO],
                json!({
                    "user_id": "ada", "group_id": "acme", "traits": {"seats": 12},
                }),
            ),
        ),
        (
            "AliasCall",
            call(
                &[&alias],
                &[&["previous_id", "previousId"], &["user_id", "userId"]],
                json!({
                    "previous_id": "visitor-7", "user_id": "ada",
                }),
            ),
        ),
        (
            "AnyCall",
            call(
                &[&any, &event, &name, &properties, &traits, &group, &alias],
                &[&["type"], WHO],
                json!({
                    "type": "track", "user_id": "ada", "event": "cart_viewed", "messageId": "b1946ac9-2493",
                }),
            ),
        ),
        (
            "BatchCall",
            json!({
                "type": "object", "required": ["batch"],
                "properties": {
                    "batch": {"type": "array", "minItems": 1, "maxItems": limits::BATCH_EVENTS,
                              "items": {"$ref": "#/components/schemas/AnyCall"},
                              "description": "Each as in the call of its `type`."},
                    "sentAt": time("The client's clock when it sent this; corrects the times of the events when it is far off."),
                    "context": object("For events without one of their own."),
                    "writeKey": {"type": "string", "description": "The key, if no header has one."},
                },
                "example": {"batch": [
                    {"type": "identify", "userId": "ada", "traits": {"plan": "pro"}, "messageId": "m-1"},
                    {"type": "track", "userId": "ada", "event": "cart_viewed", "properties": {"cart_total": 59}, "messageId": "m-2"},
                ]},
            }),
        ),
        (
            "LeadsCall",
            json!({
                "type": "object", "required": ["leads"],
                "properties": {
                    "leads": {"type": "array", "minItems": 1, "maxItems": limits::BATCH_EVENTS, "items": object("A lead: the properties of the event.")},
                    "user_id": id("Whose leads, unless a lead has its own `user_id`; also `userId`."),
                },
                "example": {"user_id": "ada", "leads": [{"email": "lin@example.com", "source": "fair"}]},
            }),
        ),
    ]
}

/// One of these must be there.
const WHO: &[&str] = &["user_id", "userId", "anonymous_id", "anonymousId"];

/// The schema of one event: `parts` are the properties of its own, of each list in `needed` one property must be there.
fn call(parts: &[&Value], needed: &[&[&str]], example: Value) -> Value {
    let mut properties: Map<String, Value> =
        parts.iter().filter_map(|part| part.as_object().cloned()).flatten().collect();
    for name in needed.concat() {
        // Another spelling of one that is described.
        let same = match name {
            "userId" | "anonymousId" | "anonymous_id" | "user_id" => id("Who; see the other spellings."),
            _ => id("Another spelling."),
        };
        properties.entry(name).or_insert(same);
    }
    let more = json!({
        "messageId": {"type": "string", "maxLength": limits::MESSAGE_ID_BYTES,
                      "description": "Names the event: sent again under the same id it takes effect once."},
        "timestamp": time("When it happened; without it, when it arrived."),
        "context": object("What the app knows around it."),
    });
    properties.extend(more.as_object().cloned().unwrap_or_default());
    let one_of_each = needed.iter().map(|names| {
        let any: Vec<Value> = names.iter().map(|name| json!({"required": [name]})).collect();
        json!({"anyOf": any})
    });
    let mut schema = json!({"type": "object", "properties": properties});
    schema["allOf"] = one_of_each.collect();
    schema["example"] = example;
    schema
}

fn documents() -> Vec<(&'static str, Value)> {
    let name = json!({"type": "string", "minLength": 1, "maxLength": document::MAX_NAME_CHARS, "pattern": "\\S"});
    let rules = json!({"type": "array", "items": object("A rule, or a group of rules."), "description": "All of them must hold; none at all means everybody."});
    let percentage =
        json!({"type": "number", "minimum": 0, "maximum": 100, "description": "Share of the users, by hash: stable."});
    let campaign = json!({
        "type": "object",
        "properties": {
            "name": name,
            "status": {"enum": ["draft", "active", "paused", "archived"], "description": "Only active ones match."},
            "type": {"type": "string", "description": "How the app shows it, such as `modal` or `bottomsheet`."},
            "trigger": {"type": "string", "description": "Name of the event it listens to."},
            "triggers": {"type": "array", "items": {"type": "string"}},
            "rules": rules,
            "priority": {"type": "integer", "description": "A higher one comes first."},
            "schedule": object("`starts_at`, `ends_at`, `time_zone`, `windows`."),
            "frequency_cap": object("`per_user`, `per_user_per_day`, `min_gap_seconds`, `total`."),
            "rollout_percentage": percentage, "hold_out_percentage": percentage,
            "variants": {"type": "array", "items": object("`name`, `weight`, `config`.")},
            "goal": object("`event`, `within_seconds`."),
            "test_users": {"type": "array", "items": {"type": "string"}},
            "config": object("For the app."),
        },
        "example": {
            "name": "A cart of 40 or more", "status": "active", "type": "modal", "trigger": "cart_viewed",
            "rules": [{"type": "event", "field": "cart_total", "operator": ">=", "value": 40}],
            "frequency_cap": {"per_user": 3}, "config": {"text": "Free delivery, just for you"},
        },
    });
    let segment = json!({
        "type": "object",
        "properties": {"name": name, "rules": rules},
        "example": {"name": "Pro users", "rules": [{"type": "trait", "field": "plan", "operator": "==", "value": "pro"}]},
    });
    let feature = json!({
        "type": "object",
        "properties": {
            "key": {"type": "string", "pattern": "^[A-Za-z0-9_.:-]+$", "minLength": 1, "maxLength": 255},
            "enabled": {"type": "boolean", "description": "Absent: true."},
            "value": {"description": "Any JSON."}, "payload": {"description": "Any JSON."},
            "rules": rules, "rollout_percentage": percentage,
        },
        "example": {"key": "new_checkout", "enabled": true, "value": "blue", "rollout_percentage": 25},
    });
    let mut all = Vec::new();
    for (draft, stored, schema, needed) in [
        ("CampaignDraft", "Campaign", campaign, "name"),
        ("SegmentDraft", "Segment", segment, "name"),
        ("FeatureDraft", "Feature", feature, "key"),
    ] {
        let mut new = schema.clone();
        new["required"] = json!([needed]);
        all.push((draft, new));
        all.push((stored, as_stored(&schema)));
    }
    all.push(("CampaignChange", json!({"type": "object", "description": "The fields to change; the others stay.", "example": {"status": "paused"}})));
    all.push((
        "SegmentChange",
        json!({"type": "object", "description": "The fields to change; the others stay.", "example": {"name": "Pro"}}),
    ));
    all.push(("FeatureChange", json!({"type": "object", "description": "The fields to change; the others stay.", "example": {"enabled": false}})));
    for (list, plural, stored) in [("CampaignList", "campaigns", "Campaign"), ("SegmentList", "segments", "Segment")] {
        let rows = json!({"type": "array", "items": {"$ref": format!("#/components/schemas/{stored}")}});
        all.push((
            list,
            json!({
                "type": "object", "required": [plural, "total", "next_cursor"],
                "properties": {plural: rows, "total": {"type": "integer"}, "next_cursor": {"type": ["string", "null"]}},
            }),
        ));
    }
    all.push((
        "VersionChoice",
        json!({
            "type": "object", "required": ["version"],
            "properties": {"version": {"type": "integer", "description": "Of the history."}}, "example": {"version": 1},
        }),
    ));
    all.extend(keys());
    all
}

fn keys() -> [(&'static str, Value); 2] {
    let limit =
        |least: u32, meaning: &str| json!({"type": ["integer", "null"], "minimum": least, "description": meaning});
    let change = json!({
        "limits": {
            "type": ["object", "null"], "description": "All three of them: what is left out or null is as in the settings.",
            "properties": {
                "events_per_second": limit(0, "Events and reads; 0 is no limit."),
                "bytes_per_second": limit(0, "Of bodies, after decompression; 0 is no limit."),
                "burst_seconds": limit(1, "So many seconds' worth may come at once."),
            },
        },
        "identity_verification": {
            "type": ["boolean", "null"], "description": "Of a write key: reads for a user need `user_hash`; `true` makes a secret for it.",
        },
    });
    let mut draft = json!({
        "type": "object", "required": ["name", "role"], "properties": change,
        "example": {"name": "android", "role": "client"},
    });
    draft["properties"]["name"] =
        json!({"type": "string", "pattern": "^[A-Za-z0-9_.-]{1,64}$", "description": "The source of its events."});
    draft["properties"]["role"] = json!({"enum": ["client", "admin"]});
    let example = json!({"limits": {"events_per_second": 500, "burst_seconds": 60}, "identity_verification": true});
    [("KeyDraft", draft), ("KeyChange", json!({"type": "object", "properties": change, "example": example}))]
}

/// A document as it is answered. What an import brought may be malformed, so its own fields can be anything.
fn as_stored(schema: &Value) -> Value {
    let texts = |meaning: &str, items: Value| json!({"type": "array", "items": items, "description": meaning});
    let mut stored = json!({
        "type": "object", "required": ["id", "_version"],
        "properties": {
            "id": {"type": "string"},
            "_version": {"type": "integer", "description": "Grows with each change; also the `ETag`."},
            "_faults": texts("Only of a malformed one, which does nothing: why.", json!({"$ref": "#/components/schemas/Fault"})),
            "_notes": texts("What was done to it on its way in.", json!({"type": "string"})),
        },
        "description": "The document as it was sent, with what the server knows of it.",
    });
    let mut example = json!({"id": "5259000f-b320-46e5-8b51-f33a89cab7f4"});
    for (key, value) in schema["example"].as_object().into_iter().flatten() {
        example[key] = value.clone();
    }
    example["_version"] = json!(1);
    stored["example"] = example;
    stored
}

fn object(meaning: &str) -> Value {
    json!({"type": "object", "description": meaning})
}

fn id(meaning: &str) -> Value {
    json!({"type": "string", "maxLength": limits::ID_BYTES, "description": meaning})
}

fn time(meaning: &str) -> Value {
    json!({"type": "string", "format": "date-time", "description": meaning})
}
