//! `/docs`: the document for people, with Swagger UI. Everything it loads comes from this program, so it works without any other
//! network, and the content policy forbids the rest.

use std::sync::LazyLock;

use axum::body::{Body, Bytes};
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue};
use utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED;

use super::refusals::Missing;
use super::zip;
use crate::problem::{Kind, Problem};

/// Swagger UI sets styles on elements and draws its arrows from `data:`; nothing else is needed.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);
const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

static BUNDLE: LazyLock<Option<Bytes>> = LazyLock::new(|| packed("/dist/swagger-ui-bundle.js"));
static STYLES: LazyLock<Option<Bytes>> = LazyLock::new(|| packed("/dist/swagger-ui.css"));

fn packed(path: &str) -> Option<Bytes> {
    zip::gzip_of(SWAGGER_UI_VENDORED, path).map(Bytes::from)
}

/// This document as a page.
#[utoipa::path(
    get, path = "/docs", operation_id = "docs", tag = "Service", security(()),
    responses((status = 200, description = "HTML.", content_type = "text/html", body = String)),
)]
pub async fn show() -> Response {
    let mut response = answer(include_str!("page.html").into(), HTML);
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, POLICY);
    response
}

/// A script or stylesheet of that page.
#[utoipa::path(
    get, path = "/docs/{file}", operation_id = "docsFile", tag = "Service", security(()),
    params(("file" = String, Path, description = "Its name.", example = "page.css")),
    responses((status = 200, description = "The file; large ones always come with `Content-Encoding: gzip`.", content(
        (String = "text/css"), (String = "text/javascript"),
    )), Missing),
)]
pub async fn asset(Path(file): Path<String>) -> Response {
    let (content, kind) = match file.as_str() {
        "page.js" => return answer(include_str!("page.js").into(), SCRIPT),
        "page.css" => return answer(include_str!("page.css").into(), STYLE),
        "swagger-ui-bundle.js" => (&BUNDLE, SCRIPT),
        "swagger-ui.css" => (&STYLES, STYLE),
        _ => return Problem::new(Kind::NotFound, "the page has no such file").into_response(),
    };
    let Some(content) = content.as_ref() else {
        return Problem::new(Kind::Internal, "this failed on our side").caused_by("a damaged archive").into_response();
    };
    let mut response = answer(content.clone().into(), kind);
    response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("max-age=3600"));
    response
}

fn answer(content: Body, kind: &'static str) -> Response {
    let mut response = Response::new(content);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn the_files_of_the_archive_unpack_to_what_the_page_needs() {
        for (file, holds) in [(&BUNDLE, "SwaggerUIBundle"), (&STYLES, ".swagger-ui")] {
            let packed = file.as_ref().unwrap();
            let mut text = String::new();
            // Also compares the checksum and the length.
            flate2::read::GzDecoder::new(packed.as_ref()).read_to_string(&mut text).unwrap();
            assert!(text.contains(holds));
        }
        assert_eq!(packed("/dist/no-such-file"), None);
        assert_eq!(zip::gzip_of(b"not an archive", "x"), None);
    }
}
