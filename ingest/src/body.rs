//! Reads a request's body: within its byte limit, within its time, within the budget.

use std::time::Duration;

use axum::body::{Body, Bytes};
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, EXPECT};
use http_body_util::BodyExt;
use tokio::time::{Instant, timeout_at};

use crate::budget::Share;
use crate::decode::{Encoding, decode, too_large};
use crate::problem::{Kind, Problem};

/// Longest time for a whole body.
const READ_DEADLINE: Duration = Duration::from_secs(30);
/// Of a refused request, so much is read and thrown away: a client that is still sending would otherwise see a broken
/// connection instead of the answer, and try again.
const POLITE_BYTES: usize = 1 << 20;
const POLITE_DEADLINE: Duration = Duration::from_secs(1);

/// The size that `Content-Length` announces, 0 without one; refused when over the limit.
pub fn announced_bytes(headers: &HeaderMap, limit_bytes: usize) -> Result<usize, Problem> {
    let announced = headers.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok()).unwrap_or(0);
    if announced > limit_bytes { Err(too_large(limit_bytes)) } else { Ok(announced) }
}

/// Reads and decodes a body. `share` already holds the announced bytes and grows by what goes beyond them.
pub async fn read(
    headers: &HeaderMap,
    body: &mut Body,
    limit_bytes: usize,
    share: &mut Share,
) -> Result<Bytes, Problem> {
    let encoding = Encoding::of(headers)?;
    let announced = announced_bytes(headers, limit_bytes)?;
    let encoded = collect(body, announced, limit_bytes, share).await?;
    if encoding == Encoding::Identity {
        return Ok(encoded);
    }
    let decoded = decode(encoding, &encoded, limit_bytes, share).await?;
    share.shrink(encoded.len());
    Ok(decoded.into())
}

async fn collect(body: &mut Body, announced: usize, limit_bytes: usize, share: &mut Share) -> Result<Bytes, Problem> {
    let deadline = Instant::now() + READ_DEADLINE;
    let mut first = Bytes::new();
    let mut all: Option<Vec<u8>> = None;
    let mut length = 0;
    loop {
        let Ok(frame) = timeout_at(deadline, body.frame()).await else {
            let seconds = READ_DEADLINE.as_secs();
            return Err(Problem::new(Kind::BodyTimeout, format!("the body did not arrive within {seconds} s")));
        };
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|e| Problem::new(Kind::UndecodableBody, "the body ended early").caused_by(e))?;
        let Ok(chunk) = frame.into_data() else { continue };
        let before = length.max(announced);
        length += chunk.len();
        if length > limit_bytes {
            return Err(too_large(limit_bytes));
        }
        share.grow(length.saturating_sub(before))?;
        // Nearly every body is one chunk, and then it is not copied.
        match &mut all {
            Some(all) => all.extend_from_slice(&chunk),
            None if first.is_empty() => first = chunk,
            None => {
                let mut joined = Vec::with_capacity(announced.max(length));
                joined.extend_from_slice(&first);
                joined.extend_from_slice(&chunk);
                all = Some(joined);
            }
        }
    }
    Ok(all.map_or(first, Bytes::from))
}

/// Reads on, for a moment, what a refused client is still sending.
pub async fn discard(headers: &HeaderMap, mut body: Body) {
    if headers.contains_key(EXPECT) {
        return;
    }
    let deadline = Instant::now() + POLITE_DEADLINE;
    let mut length = 0;
    while let Ok(Some(Ok(frame))) = timeout_at(deadline, body.frame()).await {
        length += frame.data_ref().map_or(0, Bytes::len);
        if length > POLITE_BYTES {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::{Budget, Importance};
    use futures_util::stream;

    async fn read_chunks(chunks: &[&'static str], limit: usize) -> Result<Bytes, Kind> {
        let parts: Vec<_> = chunks.iter().map(|c| Ok::<_, std::io::Error>(Bytes::from_static(c.as_bytes()))).collect();
        let mut body = Body::from_stream(stream::iter(parts));
        let mut share = Budget::new(1 << 20).take(Importance::Event, 0).unwrap();
        read(&HeaderMap::new(), &mut body, limit, &mut share).await.map_err(|p| p.kind())
    }

    #[tokio::test]
    async fn chunks_are_joined() {
        assert_eq!(read_chunks(&["a", "", "bc", "d"], 10).await.as_deref(), Ok(&b"abcd"[..]));
        assert_eq!(read_chunks(&[], 10).await.as_deref(), Ok(&b""[..]));
    }

    #[tokio::test]
    async fn a_body_past_its_limit_is_refused_announced_or_not() {
        assert_eq!(read_chunks(&["abcd", "efgh"], 7).await, Err(Kind::BodyTooLarge));
        let headers = HeaderMap::from_iter([(CONTENT_LENGTH, http::HeaderValue::from_static("8"))]);
        assert_eq!(announced_bytes(&headers, 7).map_err(|p| p.kind()), Err(Kind::BodyTooLarge));
        assert_eq!(announced_bytes(&headers, 8).unwrap(), 8);
    }
}
