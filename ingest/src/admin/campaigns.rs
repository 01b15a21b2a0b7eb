//! `/v1/admin/campaigns`: what campaigns have beyond [`super::documents`].
//!
//! | route | answer |
//! |---|---|
//! | `GET /v1/admin/campaigns` | `{campaigns, total, next_cursor}`, newest created first, archived ones too |
//! | `POST …/{id}/duplicate` | 201, a draft with the same content and ` (copy)` behind its name |
//! | `POST …/{id}/archive` | the campaign, archived; honours `If-Match` |
//!
//! The list takes, beside the paging parameters (no `limit`: all), `status` (several with commas) and `q`: words that all must
//! begin a word of the name, a trigger or a short string of the config, in any case (of letters beyond ASCII as far as the
//! database's locale folds them). `total` counts what the filters leave.
//! Archiving and duplicating do not ask whether the campaign would be accepted today: what is wrong stays visible as `_faults`.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, RawQuery, Request, State};
use axum::response::Response;
use http::HeaderMap;
use serde::Deserialize;
use shared::domain::campaign::{Fault, Status, validate};
use shared::domain::document::MAX_NAME_CHARS;
use shared::domain::raw_object::RawObject;
use shared::store::documents::{CAMPAIGNS, Stored, Wanted};

use super::documents::{self, answered};
use super::edit::Edit;
use super::if_match::IfMatch;
use super::resource::{Checked, Resource, internal};
use crate::app::App;
use crate::keys::Caller;
use crate::openapi::parameters::{FromVersion, Paging};
use crate::openapi::refusals::{AsksDatabase, FaultyCampaign, Missing, ReadsBody, ReadsParameters, Versioned};
use crate::problem::{Kind, Problem};
use crate::query::Query;

/// Configurations hold images as base64; the old server took so much.
pub const BODY_BYTES: usize = 50 << 20;
/// Longest `q`, in bytes.
const SEARCH_BYTES: usize = 500;

/// Campaigns, as the admin API serves them.
pub static RESOURCE: Resource = Resource {
    collection: &CAMPAIGNS,
    missing: "Campaign not found",
    plural: "campaigns",
    invalid: Kind::InvalidCampaign,
    body_bytes: BODY_BYTES,
    fixed: &[],
    shows_deleted: true,
    check,
    faults,
    shape: |row| RawObject::parse(shared::store::campaigns::client_object(row)?.get()),
};

/// Creates a campaign under an id of the server's own.
///
/// An `id` in the body is ignored. Every process works with the campaign after its next look at the catalog, within a second.
#[utoipa::path(
    post, path = "/v1/admin/campaigns", operation_id = "createCampaign", tag = "Campaigns",
    request_body(content = ref("#/components/schemas/CampaignDraft"), content_type = "application/json"),
    responses(
        (status = 201, description = "The campaign.", body = ref("#/components/schemas/Campaign"), headers(("ETag" = String))),
        ReadsBody, FaultyCampaign, AsksDatabase,
    ),
)]
pub async fn create(State(app): State<Arc<App>>, caller: Extension<Caller>, request: Request) -> Response {
    answered(documents::create(&RESOURCE, &app, &caller, request).await)
}

/// All campaigns, newest created first, archived ones too.
#[utoipa::path(
    get, path = "/v1/admin/campaigns", operation_id = "listCampaigns", tag = "Campaigns",
    params(
        Paging,
        ("status" = Option<String>, Query, description = "Only of this status; several with commas: `active,paused`."),
        ("q" = Option<String>, Query, description = "Words that all must begin a word of the name, a trigger or a short text of the config."),
    ),
    responses((status = 200, description = "A page; without `limit` all of them.", body = ref("#/components/schemas/CampaignList")),
        ReadsParameters, AsksDatabase),
)]
pub async fn list(State(app): State<Arc<App>>, RawQuery(query): RawQuery) -> Response {
    let list = async {
        let query = Query::parse(query.as_deref());
        let wanted = Wanted { statuses: statuses(&query)?, words: words(&query)?, ..Wanted::default() };
        documents::list(&RESOURCE, &app, &query, wanted).await
    };
    answered(list.await)
}

/// Makes a draft with the same content, and ` (copy)` behind its name.
#[utoipa::path(
    post, path = "/v1/admin/campaigns/{id}/duplicate", operation_id = "duplicateCampaign", tag = "Campaigns",
    params(("id" = String, Path, description = "Of the campaign.", example = "5259000f-b320-46e5-8b51-f33a89cab7f4")),
    responses(
        (status = 201, description = "The draft.", body = ref("#/components/schemas/Campaign"), headers(("ETag" = String))),
        Missing, AsksDatabase,
    ),
)]
pub async fn duplicate(State(app): State<Arc<App>>, Path(id): Path<String>, caller: Extension<Caller>) -> Response {
    let duplicate = async {
        let id = RESOURCE.storable(id)?;
        let edit = Edit { app: &app, resource: &RESOURCE, caller: &caller, id: &id, condition: IfMatch::Any };
        let mut document = edit.read().await?.document();
        document.set("name", &copy_name(&document)).map_err(internal)?;
        document.set("status", Status::Draft.as_str()).map_err(internal)?;
        documents::add(&RESOURCE, &app, &caller, Checked::new(document, 0)).await
    };
    answered(duplicate.await)
}

/// Puts a campaign away.
#[utoipa::path(
    post, path = "/v1/admin/campaigns/{id}/archive", operation_id = "archiveCampaign", tag = "Campaigns",
    params(FromVersion, ("id" = String, Path, description = "Of the campaign.", example = "5259000f-b320-46e5-8b51-f33a89cab7f4")),
    responses(
        (status = 200, description = "The campaign, archived.", body = ref("#/components/schemas/Campaign"), headers(("ETag" = String))),
        Missing, Versioned, AsksDatabase,
    ),
)]
pub async fn archive(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    caller: Extension<Caller>,
    headers: HeaderMap,
) -> Response {
    let archive = async {
        let id = RESOURCE.storable(id)?;
        let condition = IfMatch::of(&headers);
        let edit = Edit { app: &app, resource: &RESOURCE, caller: &caller, id: &id, condition };
        let archived = edit.change(|before| {
            let mut document = before.document();
            document.set("status", Status::Archived.as_str()).map_err(internal)?;
            Ok(Checked::new(document, 0))
        });
        RESOURCE.reply(&archived.await?.row, &[])
    };
    answered(archive.await)
}

fn check(document: &RawObject) -> Result<Checked, Vec<Fault>> {
    let valid = validate(document)?;
    Ok(Checked::new(valid.document, valid.dropped_artefact_rules))
}

fn faults(row: &Stored) -> Vec<Fault> {
    shared::store::campaigns::compile(row).err().map(|inert| inert.faults).unwrap_or_default()
}

/// The name with ` (copy)`, within the longest that is allowed.
fn copy_name(document: &RawObject) -> String {
    const SUFFIX: &str = " (copy)";
    let name = document.get("name").and_then(|raw| String::deserialize(raw).ok()).unwrap_or_default();
    name.chars().take(MAX_NAME_CHARS - SUFFIX.len()).chain(SUFFIX.chars()).collect()
}

fn statuses(query: &Query<'_>) -> Result<Vec<String>, Problem> {
    let mut statuses = Vec::new();
    for status in query.text("status").unwrap_or_default().split(',').map(str::trim).filter(|s| !s.is_empty()) {
        if Status::parse(status).is_none() {
            let known = Status::ALL.map(Status::as_str).join(", ");
            let message = format!("status must be of {known}, several with commas");
            return Err(Problem::new(Kind::InvalidParameter, message));
        }
        statuses.push(status.to_owned());
    }
    Ok(statuses)
}

/// The `tsquery` of `q`: each word as a prefix, all of them. Words end where they end in the index.
fn words(query: &Query<'_>) -> Result<Option<String>, Problem> {
    let Some(text) = query.text("q") else { return Ok(None) };
    if text.len() > SEARCH_BYTES {
        return Err(Problem::new(Kind::InvalidParameter, format!("q must be at most {SEARCH_BYTES} bytes")));
    }
    let ends = |c: char| c.is_whitespace() || c.is_control() || c.is_ascii_punctuation();
    let words: Vec<String> = text.split(ends).filter(|word| !word.is_empty()).map(|w| format!("'{w}':*")).collect();
    Ok((!words.is_empty()).then(|| words.join(" & ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_of_a_search_is_a_prefix_and_no_sign_of_it_is_syntax() {
        let of = |q: &str| words(&Query::parse(Some(&format!("q={q}")))).unwrap();
        assert_eq!(of("free+del"), Some("'free':* & 'del':*".to_owned()));
        assert_eq!(of("a'b%5Cc|!d:*%00e"), Some("'a':* & 'b':* & 'c':* & 'd':* & 'e':*".to_owned()));
        assert_eq!((of(""), of("%26+!")), (None, None));
        assert!(words(&Query::parse(Some(&format!("q={}", "a".repeat(501))))).is_err());
    }

    #[test]
    fn a_copy_is_named_so_within_the_limit() {
        let named = |name: &str| copy_name(&RawObject::parse(&format!(r#"{{"name":"{name}"}}"#)).unwrap());
        assert_eq!(named("Sale"), "Sale (copy)");
        assert_eq!(named(&"ä".repeat(255)).chars().count(), MAX_NAME_CHARS);
    }
}
