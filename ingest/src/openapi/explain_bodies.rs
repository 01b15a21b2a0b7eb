//! Schemas of explanations and backtests: what is asked, and what is answered by types of `shared`, which knows nothing of HTTP.

use serde_json::{Value, json};
use shared::store::backtest::{DEFAULT_SECONDS, MOST_SECONDS};

/// All of them, by name.
pub fn all() -> Vec<(&'static str, Value)> {
    vec![
        ("CampaignQuestion", question(false)),
        ("CampaignDraftQuestion", question(true)),
        ("CampaignExplanation", explanation()),
        ("CampaignBacktest", backtest()),
        ("CampaignBacktestResult", backtest_result()),
    ]
}

fn described() -> Value {
    let object = |what: &str| json!({"type": "object", "description": what});
    json!({
        "type": "object", "required": ["event"], "additionalProperties": false,
        "description": "An event as if it came now.",
        "properties": {
            "event": {"type": "string", "minLength": 1}, "properties": object("Of the event."), "context": object("Of the event."),
            "traits": object("That the user would have by then, over those that are stored."),
            "timestamp": {"type": "string", "format": "date-time", "description": "When it would come, for schedules; absent: now."},
        },
    })
}

fn question(is_draft: bool) -> Value {
    let id = |what: &str| json!({"type": "string", "minLength": 1, "maxLength": 255, "description": what});
    let mut schema = json!({
        "type": "object", "additionalProperties": false,
        "properties": {
            "user_id": id("Whose event it is. Neither this nor the next: a stranger's."),
            "anonymous_id": id("A visitor that nobody logged in as."),
            "event_id": {"type": "string", "description": "A stored event: its id or its `messageId`."},
            "event": described(),
        },
        "oneOf": [{"required": ["event_id"]}, {"required": ["event"]}],
        "example": {"user_id": "ada", "event": {"event": "cart_viewed", "properties": {"cart_total": 41}}},
    });
    if is_draft {
        schema["properties"]["campaign"] = json!({"$ref": "#/components/schemas/CampaignDraft"});
        schema["required"] = json!(["campaign"]);
        schema["example"]["campaign"] =
            json!({"name": "A cart of 40 or more", "status": "active", "trigger": "cart_viewed"});
    }
    schema
}

fn explanation() -> Value {
    let text = |what: &str| json!({"type": "string", "description": what});
    let time = || json!({"type": "string", "format": "date-time"});
    let object =
        |required: Value, properties: Value| json!({"type": "object", "required": required, "properties": properties});
    let named = object(json!(["id", "name"]), json!({"id": {"type": "string"}, "name": {"type": "string"}}));
    json!({
        "type": "object",
        "required": ["campaign", "event", "as_of", "decision", "summary", "trigger", "rules", "checks", "priority"],
        "properties": {
            "campaign": object(json!(["id", "name", "version", "status"]), json!({
                "id": {"type": ["string", "null"]}, "name": {"type": "string"},
                "version": {"type": ["integer", "null"], "description": "The one that is explained."}, "status": {"type": ["string", "null"]},
            })),
            "event": object(json!(["event", "type", "timestamp", "received_at"]), json!({
                "id": {"type": "string", "format": "uuid"}, "event": {"type": ["string", "null"]}, "type": {"type": "string"},
                "timestamp": time(), "received_at": time(),
            })),
            "as_of": time(),
            "decision": {"enum": ["show", "hold_out", "preview", "suppressed"]},
            "reason": {"enum": ["trigger", "not_active", "rules", "schedule", "opted_out", "roll_out", "capped"],
                       "description": "Why it is suppressed: the first, in the order of the checks."},
            "variant": text("Of an A/B test."),
            "summary": text("One sentence."),
            "trigger": object(json!(["expected", "seen", "pass"]), json!({
                "expected": {"type": "array", "items": {"type": "string"}}, "loose": {"type": "boolean"},
                "seen": {"type": ["string", "null"]}, "pass": {"type": "boolean"},
            })),
            "rules": {"type": "object", "required": ["pass"], "description":
                "A group (`all`, `any` or `not`: an array) or a rule: `text`, `source`, `field`, `operator`, `expected`, `seen`; of a \
                 segment its `rules`. `pass` is null where that is not known."},
            "checks": {"type": "array", "items": object(json!(["check", "pass", "detail"]), json!({
                "check": {"enum": ["trigger", "status", "rules", "schedule", "opt_out", "roll_out", "caps", "total_cap", "hold_out", "variant"]},
                "pass": {"type": "boolean"}, "detail": {"type": "string"},
            }))},
            "priority": object(json!(["value", "place", "of", "before"]), json!({
                "value": {"type": "integer"}, "place": {"type": ["integer", "null"], "description": "Null where it is not shown."},
                "of": {"type": "integer", "description": "How many the event shows."},
                "before": {"type": "array", "items": named, "description": "Those that come before it, or would."},
            })),
            "recorded": object(json!(["version", "disposition", "variant", "matched_at", "agrees"]), json!({
                "version": {"type": "integer"}, "disposition": {"enum": ["show", "hold_out", "preview"]},
                "variant": {"type": ["string", "null"]}, "matched_at": time(),
                "agrees": {"type": "boolean", "description": "Does the explanation come to the same?"},
            })),
            "notes": {"type": "array", "items": {"type": "string"}, "description": "What is not exactly as it was then."},
        },
    })
}

fn backtest() -> Value {
    json!({
        "type": "object", "required": ["days"], "additionalProperties": false,
        "properties": {
            "campaign": {"$ref": "#/components/schemas/CampaignDraft"},
            "campaign_id": {"type": "string", "description": "A stored one, in its place."},
            "days": {"type": "integer", "minimum": 1, "description": "How many days back, today included; at most the retention."},
            "time_limit_seconds": {"type": "integer", "minimum": 1, "maximum": MOST_SECONDS, "default": DEFAULT_SECONDS},
        },
        "oneOf": [{"required": ["campaign"]}, {"required": ["campaign_id"]}],
        "example": {"days": 7, "campaign": {"name": "A cart of 40 or more", "trigger": "cart_viewed"}},
    })
}

fn backtest_result() -> Value {
    let count = |what: &str| json!({"type": "integer", "minimum": 0, "description": what});
    let day = || json!({"type": "string", "format": "date"});
    json!({
        "type": "object",
        "required": ["campaign", "complete", "from", "to", "events", "matched_events", "held_out_events", "matched_users", "daily",
                     "suppressed", "elapsed_seconds", "notes"],
        "properties": {
            "campaign": {"type": "object"},
            "complete": {"type": "boolean", "description": "Everything was looked at in time."},
            "complete_until": {"type": "string", "format": "date", "description": "Up to and with this day everything was."},
            "from": day(), "to": day(),
            "events": count("Events that triggered."),
            "matched_events": count("Of these, those that would have matched: shown or held out."),
            "held_out_events": count("Of the matched ones, held out."),
            "matched_users": count("Users of the matched events; strangers are not counted."),
            "daily": {"type": "array", "items": {"type": "object", "required": ["date", "events", "matched_events", "matched_users"],
                "properties": {"date": day(), "events": count(""), "matched_events": count(""), "matched_users": count("")}}},
            "suppressed": {"type": "object", "additionalProperties": {"type": "integer"},
                           "description": "Events that triggered and would not have matched, by the reason that explanations give."},
            "elapsed_seconds": {"type": "number"},
            "notes": {"type": "array", "items": {"type": "string"}, "description": "What is not exact."},
        },
    })
}
