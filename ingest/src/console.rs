//! `/console`: the page for people who would rather look. Its sources and its built files are in `ingest/console`, built by
//! `./deploy/console`; all of it is in this program, so it works without any other network, and the content policy forbids the rest.
//!
//! The page holds nothing that is secret: it asks for an admin key and calls the admin API with it. Browsers ask for the files again
//! each time, by their tags: a new version is seen at once, and an unchanged one costs an answer without a body.

use std::io::Write;
use std::sync::LazyLock;

use axum::body::{Body, Bytes};
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use flate2::{Compression, write::GzEncoder};
use http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderName, HeaderValue,
    IF_NONE_MATCH, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, StatusCode};
use sha2::{Digest, Sha256};

use crate::openapi::refusals::Missing;
use crate::problem::{Kind, Problem};

/// Nothing from elsewhere, nothing inline, and no text that becomes markup or code.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
);
const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const ICON: &str = "image/svg+xml";

/// A built file.
struct File {
    kind: &'static str,
    tag: HeaderValue,
    gzip: Bytes,
}

static PAGE: LazyLock<Option<File>> = LazyLock::new(|| file(HTML, include_bytes!("../console/dist/index.html")));
static CODE: LazyLock<Option<File>> = LazyLock::new(|| file(SCRIPT, include_bytes!("../console/dist/console.js")));
static LOOK: LazyLock<Option<File>> = LazyLock::new(|| file(STYLE, include_bytes!("../console/dist/console.css")));
static SIGN: LazyLock<Option<File>> = LazyLock::new(|| file(ICON, include_bytes!("../console/dist/icon.svg")));

fn file(kind: &'static str, content: &[u8]) -> Option<File> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(content).ok()?;
    let digest = Sha256::digest(content);
    let tag: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let tag = HeaderValue::from_str(&format!("\"{tag}\"")).ok()?;
    Some(File { kind, tag, gzip: encoder.finish().ok()?.into() })
}

/// The console: the pipeline for people.
///
/// It asks for an admin key.
#[utoipa::path(
    get, path = "/console", operation_id = "console", tag = "Service", security(()),
    responses(
        (status = 200, description = "HTML; always with `Content-Encoding: gzip`.", content_type = "text/html", body = String),
        (status = 304, description = "`If-None-Match` names the present version."),
    ),
)]
pub async fn show(headers: HeaderMap) -> Response {
    answer(PAGE.as_ref(), &headers)
}

/// A script, stylesheet or picture of that page.
#[utoipa::path(
    get, path = "/console/{file}", operation_id = "consoleFile", tag = "Service", security(()),
    params(("file" = String, Path, description = "Its name.", example = "console.css")),
    responses(
        (status = 200, description = "The file; always with `Content-Encoding: gzip`.", content(
            (String = "text/css"), (String = "text/javascript"), (String = "image/svg+xml"),
        )),
        (status = 304, description = "`If-None-Match` names the present version."),
        Missing,
    ),
)]
pub async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Response {
    let file = match name.as_str() {
        "console.js" => &CODE,
        "console.css" => &LOOK,
        "icon.svg" => &SIGN,
        _ => return Problem::new(Kind::NotFound, "the console has no such file").into_response(),
    };
    answer(file.as_ref(), &headers)
}

fn answer(file: Option<&File>, asked: &HeaderMap) -> Response {
    let Some(file) = file else {
        return Problem::new(Kind::Internal, "this failed on our side")
            .caused_by("a file of the console")
            .into_response();
    };
    let is_known = asked.get_all(IF_NONE_MATCH).iter().any(|tags| names(tags, &file.tag));
    let mut response = Response::new(if is_known { Body::empty() } else { file.gzip.clone().into() });
    let headers = response.headers_mut();
    headers.insert(ETAG, file.tag.clone());
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(CONTENT_SECURITY_POLICY, POLICY);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin"));
    if is_known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(file.kind));
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

/// Does a list of tags name this one? A proxy that compresses marks tags as weak.
fn names(tags: &HeaderValue, tag: &HeaderValue) -> bool {
    let (Ok(tags), Ok(tag)) = (tags.to_str(), tag.to_str()) else { return false };
    tags.split(',').map(str::trim).any(|named| named == "*" || named.trim_start_matches("W/") == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The page must open at once on a slow line.
    const MOST_BYTES: usize = 100 << 10;

    #[test]
    fn the_page_loads_its_own_files_and_all_are_small() {
        let page = include_str!("../console/dist/index.html");
        let files = [("", &PAGE), ("console.js", &CODE), ("console.css", &LOOK), ("icon.svg", &SIGN)];
        let mut bytes = 0;
        for (name, file) in files {
            assert!(page.contains(name), "{name}");
            bytes += file.as_ref().unwrap().gzip.len();
        }
        assert!(bytes < MOST_BYTES, "{bytes} bytes with gzip");
        assert!(!page.contains("://"), "something comes from elsewhere");
        assert!(!page.contains("style=") && !page.contains("<style"), "the policy forbids what is inline");
    }

    #[test]
    fn a_known_version_is_not_sent_again() {
        let tag = PAGE.as_ref().unwrap().tag.clone();
        let weak = HeaderValue::from_str(&format!("\"other\", W/{}", tag.to_str().unwrap())).unwrap();
        for (asked, status) in
            [(tag, 304), (weak, 304), (HeaderValue::from_static("*"), 304), (HeaderValue::from_static("\"x\""), 200)]
        {
            let response = answer(PAGE.as_ref(), &HeaderMap::from_iter([(IF_NONE_MATCH, asked.clone())]));
            assert_eq!(response.status().as_u16(), status, "{asked:?}");
        }
    }
}
