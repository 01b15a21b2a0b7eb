//! The OpenAPI 3.1 document of the API, made from the code, and the page that shows it.
//!
//! Each handler carries its description as an attribute; answers are the types that are really serialised. Bodies that are read
//! field by field have no type: their schemas stand in [`event_bodies`], [`document_bodies`] and [`explain_bodies`]. Then, in this order: [`copies`] adds what is served by the same
//! handlers (segments and flags as campaigns, other spellings of a path), [`around`] what the layers around all handlers do to
//! every operation ([`refusals`], keys, limits), [`components`] what is referred to. [`page`] shows it to people.
//!
//! A route that is not described here is missing in the 404's list too; `tests/tests/openapi.rs` asks the server which methods each
//! path serves, and fails when the document says otherwise.

pub mod around;
pub mod components;
pub mod copies;
pub mod document_bodies;
pub mod event_bodies;
pub mod explain_bodies;
pub mod page;
pub mod parameters;
pub mod refusals;
pub mod twins;
mod zip;

use std::sync::LazyLock;

use axum::body::{Body, Bytes};
use axum::response::Response;
use http::header::{CONTENT_TYPE, HeaderValue};
use serde_json::Value;
use utoipa::OpenApi;

use crate::{admin, analytics, browser_sdk, console, feature_flags, for_user, health, intake, receipts, tail};

/// In the order of the router.
#[derive(OpenApi)]
#[openapi(
    info(title = "EmbeddedCraft event pipeline", description = include_str!("introduction.md"), license(name = "Apache-2.0", identifier = "Apache-2.0")),
    paths(
        intake::calls::track,
        intake::calls::identify,
        intake::calls::page,
        intake::calls::screen,
        intake::calls::group,
        intake::calls::alias,
        intake::calls::batch,
        intake::calls::import,
        intake::calls::leads,
        receipts::show,
        browser_sdk::settings,
        browser_sdk::metrics,
        for_user::list,
        for_user::fetch,
        feature_flags::show,
        feature_flags::value,
        feature_flags::payload,
        analytics::overview::show,
        analytics::campaign::show,
        analytics::daily::list,
        analytics::names::list,
        analytics::dashboard::show,
        analytics::dashboard::of_campaign,
        admin::campaigns::list,
        admin::campaigns::create,
        admin::documents::show,
        admin::documents::change,
        admin::documents::delete,
        admin::campaigns::duplicate,
        admin::campaigns::archive,
        admin::explain::stored,
        admin::explain::draft,
        admin::backtest::backtest,
        admin::history::go_back,
        admin::history::list,
        admin::segments::list,
        admin::segments::create,
        admin::members::list,
        admin::members::one,
        admin::members::count,
        admin::features::list,
        admin::features::put,
        admin::events::list,
        tail::listen::listen,
        admin::users::list,
        admin::profile::show,
        admin::dead_letters::list,
        admin::dead_letters::show,
        admin::letter_actions::redrive,
        admin::letter_actions::discard,
        admin::erasures::list,
        admin::erasure_actions::erase,
        admin::erasure_actions::renew,
        admin::erasures::show,
        admin::user_export::export,
        admin::status::show,
        admin::metadata::events,
        admin::metadata::traits,
        admin::webhooks::list,
        admin::webhook_deliveries::list,
        admin::webhook_deliveries::show,
        admin::webhook_deliveries::resend,
        admin::webhooks::show,
        admin::webhooks::resume,
        admin::webhooks::secret,
        admin::webhooks::test,
        admin::keys::list,
        admin::keys::create,
        admin::keys::change,
        admin::keys::revoke,
        health::old,
        health::live,
        health::ready,
        health::metrics,
        page::show,
        page::asset,
        console::show,
        console::asset,
        json,
    ),
    tags(
        (name = "Events", description = "What SDKs send. Write keys and admin keys open these."),
        (name = "For apps", description = "What apps ask about a user. Write keys and admin keys open these."),
        (name = "Campaigns", description = "Only admin keys open these and all that follow, up to Keys."),
        (name = "Segments", description = "Named groups of users."),
        (name = "Feature flags"),
        (name = "Events and users", description = "What is stored."),
        (name = "Analytics", description = "What became of campaigns, and how much comes in, from daily sums that outlive the events."),
        (name = "Dead letters", description = "Events that could not be stored, why, and what becomes of them."),
        (name = "Erasure and access", description = "What data protection law asks for: everything about a person goes, or is handed out."),
        (name = "Status", description = "How the pipeline is doing."),
        (name = "Webhooks", description = "Receivers that campaigns tell of their matches."),
        (name = "Keys"),
        (name = "Service", description = "No key is needed."),
        (name = "Other spellings", description = "Short paths of SDKs and paths of older apps; each is the same call as another."),
    ),
)]
struct Described;

/// The whole document.
pub static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    let mut document = serde_json::to_value(Described::openapi()).unwrap_or_default();
    components::add(&mut document);
    copies::add(&mut document);
    around::add(&mut document);
    document
});

static JSON: LazyLock<Bytes> = LazyLock::new(|| Bytes::from(DOCUMENT.to_string()));

/// This document.
///
/// Made from the code of the running version. [/docs](docs) shows it as a page.
#[utoipa::path(
    get, path = "/openapi.json", operation_id = "openapi", tag = "Service", security(()),
    responses((status = 200, description = "OpenAPI 3.1.", body = Object)),
)]
pub async fn json() -> Response {
    let mut response = Response::new(Body::from(JSON.clone()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// What a 404 offers: `POST /v1/track` and so on, without other spellings of the same.
pub fn routes() -> &'static [String] {
    static ROUTES: LazyLock<Vec<String>> = LazyLock::new(|| {
        let mut routes = Vec::new();
        for (path, method, operation) in operations(&DOCUMENT) {
            if operation["tags"][0] != copies::SPELLINGS_TAG {
                routes.push(format!("{} {path}", method.to_ascii_uppercase()));
            }
        }
        routes
    });
    &ROUTES
}

/// Every operation with its path and its method in lower case.
pub fn operations(document: &Value) -> impl Iterator<Item = (&str, &str, &Value)> {
    let items = document["paths"].as_object().into_iter().flatten();
    items.flat_map(|(path, item)| {
        let methods = item.as_object().into_iter().flatten();
        methods.map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
    })
}

/// Hands each operation out to be changed.
fn each_operation(document: &mut Value, mut change: impl FnMut(&str, &str, &mut Value)) {
    for (path, item) in document["paths"].as_object_mut().into_iter().flatten() {
        for (method, operation) in item.as_object_mut().into_iter().flatten() {
            change(path, method, operation);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_path_of_the_router_is_described_and_nothing_else() {
        let described: BTreeSet<&str> = operations(&DOCUMENT).map(|(path, ..)| path).collect();
        let served: BTreeSet<&str> = crate::router::paths().collect();
        let missing: Vec<_> = served.difference(&described).collect();
        let invented: Vec<_> = described.difference(&served).collect();
        assert!(
            missing.is_empty() && invented.is_empty(),
            "not described (add #[utoipa::path] to the handler and its name to `paths` in openapi/mod.rs): {missing:?}; \
             described but not served: {invented:?}"
        );
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
            match value {
                Value::Object(fields) => {
                    found.extend(fields.get("$ref").and_then(Value::as_str));
                    fields.values().for_each(|value| references(value, found));
                }
                Value::Array(values) => values.iter().for_each(|value| references(value, found)),
                _ => {}
            }
        }
        let mut found = BTreeSet::new();
        references(&DOCUMENT, &mut found);
        assert!(found.len() > 50, "{found:?}");
        for reference in found {
            let pointer =
                reference.strip_prefix('#').unwrap_or_else(|| panic!("{reference} leads out of the document"));
            assert!(DOCUMENT.pointer(pointer).is_some(), "{reference} leads nowhere");
        }
    }

    #[test]
    fn every_operation_has_its_own_name_and_says_what_it_does() {
        let mut names = BTreeSet::new();
        for (path, method, operation) in operations(&DOCUMENT) {
            let name = operation["operationId"].as_str().unwrap_or_default();
            assert!(names.insert(name), "{method} {path}: the name {name:?} is given twice");
            assert!(operation["summary"].as_str().is_some_and(|text| text.len() > 5), "{method} {path} has no summary");
            assert_eq!(operation["tags"].as_array().map(Vec::len), Some(1), "{method} {path}");
        }
    }

    #[test]
    fn every_status_is_one_that_the_code_knows_and_every_code_is_shown_somewhere() {
        let mut shown = BTreeSet::new();
        for (path, method, operation) in operations(&DOCUMENT) {
            for (status, response) in operation["responses"].as_object().unwrap() {
                let status: u16 = status.parse().unwrap_or_else(|_| panic!("{method} {path}: {status}"));
                let examples = response.pointer("/content/application~1json/examples").and_then(Value::as_object);
                for code in examples.into_iter().flatten().map(|(code, _)| code) {
                    let kind = refusals::kind(code).unwrap();
                    assert_eq!(kind.status().as_u16(), status, "{method} {path}: {code}");
                    shown.insert(kind.code());
                }
            }
        }
        // What no described operation can answer.
        let never = BTreeSet::from(["method_not_allowed"]);
        let all: BTreeSet<_> = crate::problem::Kind::ALL.iter().map(|kind| kind.code()).collect();
        assert_eq!(all.difference(&shown).copied().collect::<BTreeSet<_>>(), never);
    }
}
