//! Schemas of what people edit: campaigns, segments, flags and keys. Documents are kept as they are sent, so no type has their shape.
//!
//! What a document may hold is told in `shared/src/domain/campaign/README.md`; rules are not spelt out here.

use serde_json::{Value, json};
use shared::domain::document;

use crate::admin::erasure_request::{MOST_PEOPLE, REASON_BYTES};
use crate::admin::letter_request::{DEFAULT_LETTERS, MOST_LETTERS};
use crate::fair_use::meter::MOST_PER_SECOND;

/// All of them, by name. Names begin with what they are of: [`super::copies`] tells collections apart by that.
pub fn all() -> Vec<(&'static str, Value)> {
    let (campaign, segment, feature) = (campaign(), segment(), feature());
    vec![
        ("CampaignDraft", draft(&campaign, "name")),
        ("CampaignChange", change(&json!({"status": "paused"}))),
        ("Campaign", stored(&campaign)),
        ("CampaignList", list("campaigns", "Campaign")),
        ("SegmentDraft", draft(&segment, "name")),
        ("SegmentChange", change(&json!({"name": "Pro users of Pune"}))),
        ("Segment", stored(&segment)),
        ("SegmentList", list("segments", "Segment")),
        ("FeatureDraft", draft(&feature, "key")),
        ("FeatureChange", change(&json!({"enabled": false}))),
        ("Feature", stored(&feature)),
        ("VersionChoice", version_choice()),
        ("WebhookSecret", webhook_secret()),
        ("KeyDraft", key_draft()),
        ("KeyChange", key_change()),
        (
            "DeadLetterRedrive",
            dead_letters(
                "overwrite_traits",
                &json!({"type": "boolean", "description":
            "Identifies too of whose user a later one is stored: their traits overwrite newer ones."}),
            ),
        ),
        (
            "DeadLetterDiscard",
            dead_letters("why", &json!({"type": "string", "description": "For the mark on the letters."})),
        ),
        ("ErasureRequest", people(true)),
        ("ConsentRenewal", people(false)),
    ]
}

/// Who is meant, in one of three ways.
fn people(is_erasure: bool) -> Value {
    let mut properties = json!({
        "user_id": {"type": "string", "minLength": 1, "maxLength": 255},
        "anonymous_id": {"type": "string", "minLength": 1, "maxLength": 255, "description": "A visitor that nobody logged in as."},
        "users": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": MOST_PEOPLE, "description": "Several user ids."},
        "reason": {"type": "string", "maxLength": REASON_BYTES, "description": "A ticket number, for example; kept in the receipt."},
    });
    if is_erasure {
        properties["mode"] = json!({"enum": ["delete", "anonymise"], "default": "delete"});
        properties["keep_properties"] = json!({"type": "array", "items": {"type": "string"},
            "description": "Properties that anonymised events keep; none without it."});
    }
    let one_of: Vec<Value> = ["user_id", "anonymous_id", "users"].map(|name| json!({"required": [name]})).to_vec();
    json!({"type": "object", "properties": properties, "oneOf": one_of, "additionalProperties": false, "example": {"user_id": "ada"}})
}

fn campaign() -> Value {
    json!({
        "type": "object",
        "properties": {
            "name": name(),
            "status": {"enum": ["draft", "active", "paused", "archived"], "description": "Only active ones match."},
            "type": {"type": "string", "description": "How the app shows it, such as `modal` or `bottomsheet`."},
            "trigger": {"type": "string", "description": "Name of the event it listens to."},
            "triggers": {"type": "array", "items": {"type": "string"}, "description": "Further ones."},
            "rules": rules(),
            "priority": {"type": "integer", "description": "A higher one comes first."},
            "schedule": {"type": "object", "description": "`starts_at`, `ends_at`, `time_zone`, `windows`."},
            "frequency_cap": {"type": "object", "description": "`per_user`, `per_user_per_day`, `min_gap_seconds`, `total`."},
            "rollout_percentage": percentage("who may see it"),
            "hold_out_percentage": percentage("who are recorded and shown nothing"),
            "variants": {"type": "array", "items": {"type": "object"}, "description": "`name`, `weight`, `config`."},
            "goal": {"type": "object", "description": "`event`, `within_seconds`: what counts as a conversion."},
            "webhook": {"type": "object", "description": "`url`, `events`, `ordered`, `headers`, `enabled`: who is told of matches. Apps are not shown it."},
            "test_users": {"type": "array", "items": {"type": "string"}, "description": "Who see a draft."},
            "config": {"type": "object", "description": "For the app."},
        },
        "example": {
            "name": "A cart of 40 or more", "status": "active", "type": "modal", "trigger": "cart_viewed",
            "rules": [{"type": "event", "field": "cart_total", "operator": ">=", "value": 40}],
            "frequency_cap": {"per_user": 3}, "config": {"text": "Free delivery, just for you"},
        },
    })
}

fn segment() -> Value {
    json!({
        "type": "object",
        "properties": {"name": name(), "rules": rules()},
        "example": {"name": "Pro users", "rules": [{"type": "trait", "field": "plan", "operator": "==", "value": "pro"}]},
    })
}

fn feature() -> Value {
    json!({
        "type": "object",
        "properties": {
            "key": {"type": "string", "pattern": "^[A-Za-z0-9_.:-]+$", "minLength": 1, "maxLength": 255},
            "enabled": {"type": "boolean", "description": "Absent: true."},
            "value": {"description": "Any JSON."},
            "payload": {"description": "Any JSON; absent: the value."},
            "rules": rules(),
            "rollout_percentage": percentage("for whom it is on"),
        },
        "example": {"key": "new_checkout", "enabled": true, "value": "blue", "rollout_percentage": 25},
    })
}

fn name() -> Value {
    json!({"type": "string", "minLength": 1, "maxLength": document::MAX_NAME_CHARS, "pattern": "\\S"})
}

fn rules() -> Value {
    let meaning =
        "Rules and groups of rules (`all`, `any`, `not`), all of which must hold; without any it is for everybody.";
    json!({"type": "array", "items": {"type": "object"}, "description": meaning})
}

fn percentage(whose: &str) -> Value {
    let meaning = format!("Share of the users {whose}: by hash, so it is stable.");
    json!({"type": "number", "minimum": 0, "maximum": 100, "description": meaning})
}

fn draft(schema: &Value, needed: &str) -> Value {
    let mut draft = schema.clone();
    draft["required"] = json!([needed]);
    draft
}

fn change(example: &Value) -> Value {
    json!({"type": "object", "description": "The fields to change; the others stay.", "example": example})
}

/// As it is answered. What an import brought may be malformed, so its own fields can be anything.
fn stored(schema: &Value) -> Value {
    let mut example = json!({"id": "5259000f-b320-46e5-8b51-f33a89cab7f4"});
    for (key, value) in schema["example"].as_object().into_iter().flatten() {
        example[key] = value.clone();
    }
    example["_version"] = json!(1);
    json!({
        "type": "object", "required": ["id", "_version"],
        "description": "The document as it was sent, with what the server knows of it.",
        "properties": {
            "id": {"type": "string"},
            "_version": {"type": "integer", "description": "Grows with each change; also the `ETag`."},
            "_faults": {"type": "array", "items": {"$ref": "#/components/schemas/Fault"},
                        "description": "Only of a malformed one, which does nothing: why."},
            "_notes": {"type": "array", "items": {"type": "string"}, "description": "What was done to it on its way in."},
        },
        "example": example,
    })
}

fn list(plural: &str, stored: &str) -> Value {
    json!({
        "type": "object", "required": [plural, "total", "next_cursor"],
        "properties": {
            plural: {"type": "array", "items": {"$ref": format!("#/components/schemas/{stored}")}},
            "total": {"type": "integer", "description": "What the filters leave."},
            "next_cursor": {"type": ["string", "null"]},
        },
    })
}

fn version_choice() -> Value {
    json!({
        "type": "object", "required": ["version"],
        "properties": {"version": {"type": "integer", "description": "Of the history."}}, "example": {"version": 1},
    })
}

/// Letters to do something with; `more` is what only one call takes.
fn dead_letters(more: &str, schema: &Value) -> Value {
    let text = |meaning: &str| json!({"type": "string", "minLength": 1, "description": meaning});
    let time = |meaning: &str| json!({"type": "string", "format": "date-time", "description": meaning});
    let filters = json!({
        "ids": {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": i64::MAX}, "minItems": 1, "maxItems": MOST_LETTERS,
                "description": "These; those that are not open are named in the answer."},
        "event_id": {"type": "string", "format": "uuid", "description": "Of this event."},
        "sqlstate": text("Refused by the database with this code."),
        "reason": text("With this text in the reason, in capitals or not."),
        "user_id": text("Of this user id, or of this anonymous id where the event has no user id."),
        "from": time("Put aside then or later."),
        "to": time("Put aside before."),
    });
    let filters = filters.as_object().cloned().unwrap_or_default();
    let any: Vec<Value> = filters.keys().map(|name| json!({"required": [name]})).collect();
    let mut properties = filters;
    properties.extend([
        ("all".to_owned(), json!({"const": true, "description": "All open letters; without any of the above."})),
        ("dry_run".to_owned(), json!({"type": "boolean", "description": "Only say what would be done."})),
        (
            "limit".to_owned(),
            json!({"type": "integer", "minimum": 1, "maximum": MOST_LETTERS, "default": DEFAULT_LETTERS,
                                    "description": "Letters of this call."}),
        ),
        (
            "cursor".to_owned(),
            json!({"type": "string", "pattern": "^[0-9]{1,18}-[0-9]{1,18}$",
                                     "description": "`next_cursor` of the call before, with the same body otherwise."}),
        ),
        (more.to_owned(), schema.clone()),
    ]);
    json!({
        "type": "object", "additionalProperties": false, "properties": properties,
        "oneOf": [{"required": ["all"]}, {"anyOf": any}],
        "example": {"sqlstate": "22P05", "dry_run": true},
    })
}

fn webhook_secret() -> Value {
    json!({
        "type": "object",
        "properties": {"secret": {"type": ["string", "null"], "pattern": "^whsec_[A-Za-z0-9+/]{32,86}={0,2}$",
                                  "description": "Base64 of 24 to 64 bytes; absent: a random one."}},
        "example": {},
    })
}

fn key_draft() -> Value {
    let mut draft = key_change();
    draft["required"] = json!(["name", "role"]);
    draft["properties"]["name"] =
        json!({"type": "string", "pattern": "^[A-Za-z0-9_.-]{1,64}$", "description": "The source of its events."});
    draft["properties"]["role"] = json!({"enum": ["client", "admin"]});
    draft["example"] = json!({"name": "android", "role": "client"});
    draft
}

fn key_change() -> Value {
    let limit = |meaning: &str, least: u64, most: u64| json!({"type": ["integer", "null"], "minimum": least, "maximum": most, "description": meaning});
    json!({
        "type": "object",
        "properties": {
            "limits": {
                "type": ["object", "null"], "description": "Absent or null ones are as in the settings.",
                "properties": {
                    "events_per_second": limit("0: no limit.", 0, MOST_PER_SECOND),
                    "bytes_per_second": limit("0: no limit.", 0, MOST_PER_SECOND),
                    "burst_seconds": limit("How long it may go on at once what it may do in a second.", 1, 3_600),
                },
            },
            "identity_verification": {"type": ["boolean", "null"],
                "description": "Of a write key: it reads about a user only with `user_hash`."},
        },
        "example": {"limits": {"events_per_second": 500}},
    })
}
