//! `GET …/{id}/history`, `POST …/{id}/restore`: what changed, who did it, and the way back.
//!
//! The history is `{history: [{version, action, by, at, before, after, changed}], next_cursor}`, newest first, `limit` 20, at most
//! 100 (documents can be large). `action` is `create`, `change`, `restore` or `delete`; `before` and `after` are documents as
//! stored; `changed` names the top-level keys that differ. It outlives the document.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, RawQuery, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use chrono::SecondsFormat;
use serde::Serialize;
use serde_json::value::RawValue;
use shared::domain::raw_object::RawObject;
use shared::store::changes::{self, Change};
use utoipa::ToSchema;

use super::edit::Edit;
use super::if_match::IfMatch;
use super::paging::Page;
use super::resource::Resource;
use super::sent::{self, SMALL_BODY_BYTES};
use crate::app::App;
use crate::intake::ok;
use crate::keys::Caller;
use crate::openapi::parameters::{FromVersion, Paging};
use crate::openapi::refusals::{AsksDatabase, Missing, ReadsBody, ReadsParameters, Versioned};
use crate::problem::{Kind, Problem};
use crate::query::Query;

const DEFAULT_LIMIT: i64 = 20;
const LARGEST_LIMIT: i64 = 100;

#[derive(Serialize, ToSchema)]
#[schema(as = History)]
struct Listed {
    history: Vec<Shown>,
    #[schema(required)]
    next_cursor: Option<String>,
}

/// A change.
#[derive(Serialize, ToSchema)]
#[schema(as = Change)]
struct Shown {
    version: i64,
    /// `create`, `change`, `restore` or `delete`.
    action: String,
    /// Name of the key.
    by: String,
    #[schema(format = DateTime)]
    at: String,
    /// As it was stored.
    #[schema(value_type = Option<Object>, required)]
    before: Option<Box<RawValue>>,
    #[schema(value_type = Option<Object>, required)]
    after: Option<Box<RawValue>>,
    /// The top-level keys that differ.
    changed: Vec<String>,
}

/// The history of one document.
pub fn history(resource: &'static Resource) -> MethodRouter<Arc<App>> {
    get(async move |State(app): State<Arc<App>>, Path(id): Path<String>, RawQuery(query): RawQuery| {
        list(resource, &app, id, query.as_deref()).await.unwrap_or_else(IntoResponse::into_response)
    })
}

/// The way back to a version.
pub fn restore(resource: &'static Resource) -> MethodRouter<Arc<App>> {
    post(
        async move |State(app): State<Arc<App>>,
                    Path(id): Path<String>,
                    Extension(caller): Extension<Caller>,
                    request: Request| {
            go_back(resource, &app, id, &caller, request).await.unwrap_or_else(IntoResponse::into_response)
        },
    )
}

/// What changed, and who did it.
///
/// Newest first; it outlives the campaign. `limit` is 20, at most 100.
#[utoipa::path(
    get, path = "/v1/admin/campaigns/{id}/history", operation_id = "campaignHistory", tag = "Campaigns", params(Paging, ("id" = String, Path, description = "Of the campaign.", example = "5259000f-b320-46e5-8b51-f33a89cab7f4")),
    responses((status = 200, description = "A page.", body = Listed), ReadsParameters, Missing, AsksDatabase),
)]
async fn list(resource: &'static Resource, app: &App, id: String, query: Option<&str>) -> Result<Response, Problem> {
    let id = resource.storable(id)?;
    let page = Page::<i64>::read(&Query::parse(query), Some(DEFAULT_LIMIT), LARGEST_LIMIT)?;
    let (before, rows) = (page.after, page.rows_to_read().unwrap_or(LARGEST_LIMIT));
    let collection = resource.collection;
    let read = |pool| async move {
        let known = collection.read(&pool, &id).await?.is_some();
        let changes = changes::list(&pool, collection, &id, before, rows).await?;
        Ok((known, changes))
    };
    let (known, mut changes) = app.database.run(read).await?;
    if changes.is_empty() && !known && before.is_none() {
        return Err(resource.not_found());
    }
    let next_cursor = page.cut(&mut changes, |change| change.version);
    ok(&Listed { history: changes.into_iter().map(shown).collect(), next_cursor })
}

/// Makes a campaign what it was in a version; one that was deleted comes back.
#[utoipa::path(
    post, path = "/v1/admin/campaigns/{id}/restore", operation_id = "restoreCampaign", tag = "Campaigns", params(FromVersion, ("id" = String, Path, description = "Of the campaign.", example = "5259000f-b320-46e5-8b51-f33a89cab7f4")),
    request_body(content = ref("#/components/schemas/VersionChoice"), content_type = "application/json"),
    responses(
        (status = 200, description = "The campaign.", body = ref("#/components/schemas/Campaign"), headers(("ETag" = String))),
        ReadsBody, ReadsParameters, Missing, Versioned, AsksDatabase,
    ),
)]
async fn go_back(
    resource: &'static Resource,
    app: &App,
    id: String,
    caller: &Caller,
    request: Request,
) -> Result<Response, Problem> {
    let id = resource.storable(id)?;
    let condition = IfMatch::of(request.headers());
    let sent = sent::object(app, request, SMALL_BODY_BYTES, Kind::InvalidParameter).await?;
    let version = sent.get("version").and_then(|raw| raw.get().parse::<i64>().ok());
    let version = version.ok_or_else(|| {
        Problem::new(Kind::InvalidParameter, r#"the body must be {"version": n}, with a version of the history"#)
    })?;
    let row = Edit { app, resource, caller, id: &id, condition }.restore(version).await?;
    resource.reply(&row, &[])
}

fn shown(change: Change) -> Shown {
    let changed = changed(change.before.as_deref(), change.after.as_deref());
    let raw = |text: Option<String>| text.and_then(|text| RawValue::from_string(text).ok());
    Shown {
        version: change.version,
        action: change.action,
        by: change.changed_by,
        at: change.changed_at.to_rfc3339_opts(SecondsFormat::Millis, true),
        before: raw(change.before),
        after: raw(change.after),
        changed,
    }
}

/// The database writes equal values as equal text.
fn changed(before: Option<&str>, after: Option<&str>) -> Vec<String> {
    let object = |text: Option<&str>| text.and_then(|text| RawObject::parse(text).ok()).unwrap_or_default();
    let (before, after) = (object(before), object(after));
    let text = |object: &RawObject, key: &str| object.get(key).map(|value| value.get().to_owned());
    let mut keys: Vec<&str> = before.iter().chain(after.iter()).map(|(key, _)| key).collect();
    keys.sort_unstable();
    keys.dedup();
    keys.into_iter().filter(|key| text(&before, key) != text(&after, key)).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_keys_whose_value_differs_are_named() {
        let before = r#"{"a": 1, "b": {"x": 1}, "gone": null}"#;
        let after = r#"{"a": 1, "b": {"x": 2}, "new": null}"#;
        assert_eq!(changed(Some(before), Some(after)), ["b", "gone", "new"]);
        assert_eq!(changed(None, Some(r#"{"a": 1}"#)), ["a"]);
        assert!(changed(Some(before), Some(before)).is_empty());
    }
}
