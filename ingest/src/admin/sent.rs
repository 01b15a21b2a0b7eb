//! The JSON object that an admin sends.

use axum::body::Body;
use axum::extract::Request;
use http::HeaderMap;
use shared::domain::intake::envelope;
use shared::domain::json_text;
use shared::domain::raw_object::RawObject;

use crate::app::App;
use crate::body;
use crate::budget::Importance;
use crate::problem::{Kind, Problem};

/// Largest body that holds no images.
pub const SMALL_BODY_BYTES: usize = 1 << 20;

/// Reads a body as an object whose text may be stored. Of a refused one a little more is read, so that the client sees the
/// answer. `invalid` is what an object is that no database could hold.
pub async fn object(app: &App, request: Request, limit_bytes: usize, invalid: Kind) -> Result<RawObject, Problem> {
    let (parts, mut body) = request.into_parts();
    let result = read(app, &parts.headers, &mut body, limit_bytes, invalid).await;
    if result.is_err() {
        body::discard(&parts.headers, body).await;
    }
    result
}

async fn read(
    app: &App,
    headers: &HeaderMap,
    body: &mut Body,
    limit_bytes: usize,
    invalid: Kind,
) -> Result<RawObject, Problem> {
    let announced = body::announced_bytes(headers, limit_bytes)?;
    let mut share = app.budget.take(Importance::Profile, announced)?;
    let bytes = body::read(headers, body, limit_bytes, &mut share).await?;
    parse(&bytes, invalid)
}

fn parse(bytes: &[u8], invalid: Kind) -> Result<RawObject, Problem> {
    let unreadable = |e: envelope::Unreadable| Problem::new(Kind::InvalidJson, e.0);
    let raw = envelope::single(envelope::text(bytes).map_err(unreadable)?).map_err(unreadable)?;
    let checked = json_text::check(raw.get()).map_err(|(_, why)| Problem::new(invalid, format!("the body {why}")))?;
    RawObject::parse(&checked.text)
        .map_err(|e| Problem::new(Kind::InvalidJson, format!("the body is not valid JSON: {e}")))
}
