//! Whom an admin wants erased, or whose consent is renewed, read from the body. The shapes are in [`super::erasure_actions`].

use axum::extract::Request;
use serde::{Deserialize, Deserializer};
use shared::domain::control::Mode;
use shared::domain::limits::{ID_BYTES, KEY_BYTES};
use shared::domain::user_key::{KeyKind, Placeholders};

use super::sent::{self, SMALL_BODY_BYTES};
use crate::app::App;
use crate::problem::{Kind, Problem};

/// People of one call.
pub const MOST_PEOPLE: usize = 100;
/// Longest reason, in bytes.
pub const REASON_BYTES: usize = 500;
/// Most properties that anonymised events keep.
const MOST_PROPERTIES: usize = 50;

/// As sent.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Body {
    #[serde(deserialize_with = "given")]
    user_id: Option<String>,
    #[serde(deserialize_with = "given")]
    anonymous_id: Option<String>,
    #[serde(deserialize_with = "given")]
    users: Option<Vec<String>>,
    #[serde(deserialize_with = "given")]
    mode: Option<Mode>,
    #[serde(deserialize_with = "given")]
    keep_properties: Option<Vec<String>>,
    #[serde(deserialize_with = "given")]
    reason: Option<String>,
}

/// A null is no value: who sends one means somebody, and would hit nobody.
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Whom, and how.
#[derive(Debug, PartialEq, Eq)]
pub struct Wanted {
    /// All of one id space; each once.
    pub kind: KeyKind,
    /// Their ids.
    pub ids: Vec<String>,
    /// What becomes of the events.
    pub mode: Mode,
    /// Properties that anonymised events keep.
    pub keep_properties: Vec<String>,
    /// A ticket number, for example.
    pub reason: Option<String>,
}

/// Reads a request. A renewal has neither `mode` nor `keep_properties`.
pub async fn read(app: &App, request: Request, is_renewal: bool) -> Result<Wanted, Problem> {
    let sent = sent::object(app, request, SMALL_BODY_BYTES, Kind::InvalidParameter).await?;
    let body = serde_json::from_str(&sent.to_json()).map_err(|error| format!("the body cannot be used: {error}"));
    let wanted = body.and_then(|body| check(body, is_renewal, &app.settings.pipeline.placeholders));
    wanted.map_err(|what| Problem::new(Kind::InvalidParameter, what))
}

fn check(body: Body, is_renewal: bool, placeholders: &Placeholders) -> Result<Wanted, String> {
    let (kind, mut ids) = match (body.user_id, body.anonymous_id, body.users) {
        (Some(id), None, None) => (KeyKind::User, vec![id]),
        (None, Some(id), None) => (KeyKind::Anonymous, vec![id]),
        (None, None, Some(ids)) => (KeyKind::User, ids),
        _ => return Err("say who is meant: user_id, or anonymous_id, or a list of user ids as users".to_owned()),
    };
    ids.sort_unstable();
    ids.dedup();
    if ids.is_empty() || ids.len() > MOST_PEOPLE {
        return Err(format!("users must name 1 to {MOST_PEOPLE} people: send a longer list in several calls"));
    }
    for id in &ids {
        if placeholders.contains(id) {
            return Err(format!("{id:?} stands for strangers, not for a person"));
        }
        if id.len() > ID_BYTES || id.contains('\0') {
            return Err(format!("an id has at most {ID_BYTES} bytes, without a zero byte: no event has {id:.40?}"));
        }
    }
    if is_renewal && (body.mode.is_some() || body.keep_properties.is_some()) {
        return Err("mode and keep_properties are of an erasure: leave them out".to_owned());
    }
    let mode = body.mode.unwrap_or_default();
    let keep_properties = body.keep_properties.unwrap_or_default();
    if mode == Mode::Delete && !keep_properties.is_empty() {
        return Err("keep_properties needs \"mode\": \"anonymise\"".to_owned());
    }
    let is_name = |name: &String| !name.is_empty() && name.len() <= KEY_BYTES && !name.contains('\0');
    if keep_properties.len() > MOST_PROPERTIES || !keep_properties.iter().all(is_name) {
        return Err(format!("keep_properties must be at most {MOST_PROPERTIES} names of at most {KEY_BYTES} bytes"));
    }
    if body.reason.as_ref().is_some_and(|reason| reason.len() > REASON_BYTES || reason.contains('\0')) {
        return Err(format!("reason must be at most {REASON_BYTES} bytes, without a zero byte"));
    }
    Ok(Wanted { kind, ids, mode, keep_properties, reason: body.reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_text(text: &str, is_renewal: bool) -> Result<Wanted, String> {
        check(serde_json::from_str(text).map_err(|e| e.to_string())?, is_renewal, &Placeholders::default())
    }

    #[test]
    fn people_are_named_in_one_way_and_each_once() {
        let wanted =
            check_text(r#"{"users":["b","a","b"],"mode":"anonymise","keep_properties":["price"]}"#, false).unwrap();
        assert_eq!(
            (wanted.kind, wanted.ids, wanted.mode),
            (KeyKind::User, vec!["a".into(), "b".into()], Mode::Anonymise)
        );
        assert_eq!(check_text(r#"{"anonymous_id":"v"}"#, true).unwrap().kind, KeyKind::Anonymous);
    }

    #[test]
    fn what_could_hit_nobody_or_too_many_is_refused() {
        for wrong in [
            "{}",
            r#"{"user_id":"a","anonymous_id":"b"}"#,
            r#"{"user_id":null}"#,
            r#"{"user_id":""}"#,
            r#"{"user_id":"anonymous"}"#,
            r#"{"users":[]}"#,
            r#"{"user_id":"a","mode":"forget"}"#,
            r#"{"user_id":"a","keep_properties":["p"]}"#,
            r#"{"user_id":"a","mode":"anonymise","keep_properties":[""]}"#,
            r#"{"user_id":"a","all":true}"#,
        ] {
            assert!(check_text(wrong, false).is_err(), "{wrong}");
        }
        assert!(check_text(r#"{"user_id":"a","mode":"delete"}"#, true).is_err());
        let long = format!(r#"{{"user_id":"{}"}}"#, "x".repeat(ID_BYTES + 1));
        assert!(check_text(&long, false).is_err());
    }
}
