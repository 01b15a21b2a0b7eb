//! Words for what is wrong with an event, in the shapes that clients read.

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use shared::domain::intake::{Rejection, envelope};
use shared::domain::violation::Violation;
use utoipa::ToSchema;

use crate::problem::{Kind, Problem};

/// A sent value longer than this is not sent back.
const ECHO_BYTES: usize = 256;

/// The answer to a single event that was refused: the old server's `details`, one for each violation.
#[must_use]
pub fn of_single(raw: &RawValue, rejection: &Rejection) -> Problem {
    let sent = envelope::entries(raw.get()).unwrap_or_default();
    let value_of = |field: &str| {
        let value = sent.iter().rfind(|(name, _)| name == field).map(|(_, value)| value.get());
        value.filter(|text| text.len() <= ECHO_BYTES).and_then(|text| serde_json::from_str(text).ok())
    };
    let details: Vec<Value> = rejection
        .violations
        .iter()
        .map(|v| {
            json!({
                "type": "field",
                "value": value_of(&v.field).unwrap_or_else(|| Value::from("")),
                "msg": v.message,
                "path": v.field,
                "location": "body",
                "code": v.code,
            })
        })
        .collect();
    Problem::new(Kind::InvalidEvent, sentence(&rejection.violations)).with("details", Value::Array(details))
}

/// One refused event of a batch.
#[derive(Debug, Serialize, ToSchema)]
pub struct Rejected {
    /// Position in the batch.
    pub index: usize,
    /// As sent, if it could be read.
    #[serde(rename = "messageId")]
    #[schema(required)]
    pub message_id: Option<String>,
    /// The first violation's.
    pub code: &'static str,
    /// All violations in one sentence.
    pub message: String,
    /// All violations.
    #[schema(value_type = Vec<crate::openapi::twins::Violation>)]
    pub violations: Vec<Violation>,
}

impl Rejected {
    /// The entry for the event at `index`.
    #[must_use]
    pub fn new(index: usize, rejection: Rejection) -> Self {
        Self {
            index,
            message_id: rejection.message_id,
            code: reason(&rejection.violations),
            message: sentence(&rejection.violations),
            violations: rejection.violations,
        }
    }
}

/// The first violation's code: what a refused event is counted under.
#[must_use]
pub fn reason(violations: &[Violation]) -> &'static str {
    violations.first().map_or(Kind::InvalidEvent.code(), |v| v.code.as_str())
}

fn sentence(violations: &[Violation]) -> String {
    violations.iter().map(|v| format!("{}: {}", v.field, v.message)).collect::<Vec<_>>().join("; ")
}
