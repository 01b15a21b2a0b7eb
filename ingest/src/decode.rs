//! Undoes the compression of a body, in bounded memory.
//!
//! Output is produced in chunks; each is charged to the request's share of the budget before it is kept, and the cap on decoded
//! bytes ends a bomb long before it unfolds, the one on their ratio to the encoded ones even earlier. Everything that is not
//! exactly what the header promises (not gzip at all, cut off, a wrong checksum) is refused, never half accepted.

use std::io::Read;

use flate2::{Decompress, FlushDecompress, Status};
use http::HeaderMap;
use http::header::CONTENT_ENCODING;

use crate::budget::Share;
use crate::problem::{Kind, Problem};

const CHUNK_BYTES: usize = 64 << 10;
/// Beyond [`RATIO_FREE_BYTES`] a body that unfolds more than so many times is a bomb: real batches, whose events differ in their ids,
/// come to 5 to 50. (The most that gzip can do is 1,032.)
const RATIO: usize = 250;
const RATIO_FREE_BYTES: usize = 1 << 20;
/// 8 MiB: what a zstd decoder may need to remember.
const ZSTD_WINDOW_LOG: u32 = 23;
/// 128 KiB: what it takes in any case.
const ZSTD_LEAST_WINDOW_LOG: u32 = 17;

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Not at all.
    Identity,
    /// One or more gzip members.
    Gzip,
    /// zlib, or raw deflate as some clients understand the word.
    Deflate,
    /// One or more zstd frames.
    Zstd,
}

impl Encoding {
    /// Reads `Content-Encoding`.
    pub fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let mut values = headers.get_all(CONTENT_ENCODING).iter();
        let Some(first) = values.next() else { return Ok(Self::Identity) };
        let name = first.to_str().unwrap_or_default().trim().to_ascii_lowercase();
        let encoding = match name.as_str() {
            "" | "identity" => Some(Self::Identity),
            "gzip" | "x-gzip" => Some(Self::Gzip),
            "deflate" => Some(Self::Deflate),
            "zstd" => Some(Self::Zstd),
            _ => None,
        };
        encoding.filter(|_| values.next().is_none()).ok_or_else(|| {
            Problem::new(Kind::UnsupportedEncoding, "Content-Encoding must be one of gzip, deflate, zstd, or absent")
        })
    }
}

/// Decodes a body into at most `limit_bytes`. The decoded bytes are added to `share`.
pub async fn decode(
    encoding: Encoding,
    body: &[u8],
    limit_bytes: usize,
    share: &mut Share,
) -> Result<Vec<u8>, Problem> {
    let limit_bytes = limit_bytes.min(RATIO_FREE_BYTES.max(body.len().saturating_mul(RATIO)));
    let expected_bytes = announced_bytes(encoding, body).min(limit_bytes);
    let mut output = Output { bytes: Vec::with_capacity(expected_bytes), limit_bytes, share };
    match encoding {
        Encoding::Identity => output.push(body)?,
        Encoding::Gzip => drain(flate2::read::MultiGzDecoder::new(body), "gzip", &mut output).await?,
        Encoding::Zstd => {
            let window_log = zstd_window_log(body).clamp(ZSTD_LEAST_WINDOW_LOG, ZSTD_WINDOW_LOG);
            let window_bytes = 1 << window_log;
            output.share.grow(window_bytes)?;
            let mut decoder = zstd::stream::read::Decoder::with_buffer(body).map_err(|e| undecodable("zstd", &e))?;
            decoder.window_log_max(window_log).map_err(|e| undecodable("zstd", &e))?;
            let drained = drain(decoder, "zstd", &mut output).await;
            output.share.shrink(window_bytes);
            drained?;
        }
        Encoding::Deflate => inflate(body, &mut output).await?,
    }
    Ok(output.bytes)
}

/// What the compressed bytes say of the length of the others; 0 if nothing. A lie costs address space, no memory.
fn announced_bytes(encoding: Encoding, body: &[u8]) -> usize {
    match encoding {
        Encoding::Gzip => body.last_chunk().map_or(0, |length| u32::from_le_bytes(*length) as usize),
        Encoding::Zstd | Encoding::Deflate | Encoding::Identity => 0,
    }
}

/// How much the first frame asks its reader to remember, as a power of two, rounded up (RFC 8878, 3.1.1.1). The others may ask for
/// no more: that much is charged while the body is decoded.
fn zstd_window_log(body: &[u8]) -> u32 {
    let Some(([0x28, 0xb5, 0x2f, 0xfd, descriptor], rest)) = body.split_first_chunk() else { return 0 };
    let in_one_segment = descriptor & 0x20 != 0;
    if !in_one_segment {
        return rest.first().map_or(0, |window| 10 + u32::from(window >> 3) + u32::from(window & 7 != 0));
    }
    // Its window is its length, which stands behind the id of a dictionary.
    let dictionary_bytes = [0, 1, 2, 4][usize::from(descriptor & 3)];
    let length_bytes = [1, 2, 4, 8][usize::from(descriptor >> 6)];
    let Some(length) = rest.get(dictionary_bytes..dictionary_bytes + length_bytes) else { return 0 };
    let length = length.iter().rfold(0_u64, |length, byte| length << 8 | u64::from(*byte));
    let length = if length_bytes == 2 { length + 256 } else { length };
    u64::BITS - length.leading_zeros()
}

struct Output<'a> {
    bytes: Vec<u8>,
    limit_bytes: usize,
    share: &'a mut Share,
}

impl Output<'_> {
    fn push(&mut self, chunk: &[u8]) -> Result<(), Problem> {
        if self.bytes.len() + chunk.len() > self.limit_bytes {
            return Err(too_large(self.limit_bytes));
        }
        self.share.grow(chunk.len())?;
        self.bytes.extend_from_slice(chunk);
        Ok(())
    }
}

/// The refusal of a body over the limit.
pub fn too_large(limit_bytes: usize) -> Problem {
    let message = format!(
        "the body has more than {limit_bytes} bytes (after decompression, which may unfold it {RATIO} times); send smaller batches"
    );
    Problem::new(Kind::BodyTooLarge, message)
}

fn undecodable(name: &str, error: &std::io::Error) -> Problem {
    if error.to_string().contains("too much memory") {
        return Problem::new(
            Kind::BodyTooLarge,
            "a zstd window is larger than 8 MiB, or than that of the first frame; compress with a smaller one",
        );
    }
    Problem::new(Kind::UndecodableBody, format!("the body is not well-formed {name}: {error}"))
}

async fn drain(mut decoder: impl Read, name: &str, output: &mut Output<'_>) -> Result<(), Problem> {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        match decoder.read(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(read) => output.push(&chunk[..read])?,
            Err(error) => return Err(undecodable(name, &error)),
        }
        // A large body is decoded in turns with everyone else's requests.
        tokio::task::yield_now().await;
    }
}

/// zlib or raw deflate. (The reader types of flate2 take a cut-off stream for a complete one, so this asks for its end.)
async fn inflate(body: &[u8], output: &mut Output<'_>) -> Result<(), Problem> {
    let mut decoder = Decompress::new(is_zlib(body));
    let mut chunk = vec![0; CHUNK_BYTES];
    let position = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
    loop {
        let (read, written) = (decoder.total_in(), decoder.total_out());
        let rest = body.get(position(read)..).unwrap_or_default();
        let bad =
            |why: &str| Problem::new(Kind::UndecodableBody, format!("the body is not well-formed deflate: {why}"));
        let status = decoder.decompress(rest, &mut chunk, FlushDecompress::None).map_err(|e| bad(&e.to_string()))?;
        let produced = position(decoder.total_out() - written);
        output.push(&chunk[..produced])?;
        if status == Status::StreamEnd {
            let trailing = body.len() - position(decoder.total_in()).min(body.len());
            return if trailing == 0 { Ok(()) } else { Err(bad("bytes follow its end")) };
        }
        if produced == 0 && decoder.total_in() == read {
            return Err(bad("it is cut off"));
        }
        tokio::task::yield_now().await;
    }
}

fn is_zlib(body: &[u8]) -> bool {
    matches!(body, [method, flags, ..] if method & 0x0f == 8 && (u16::from(*method) << 8 | u16::from(*flags)) % 31 == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::{Budget, Importance};
    use flate2::Compression;
    use std::io::Write;

    const TEXT: &[u8] = br#"{"batch":[{"type":"track","event":"e","userId":"u"}]}"#;
    const LIMIT: usize = 1 << 20;

    async fn decoded(encoding: Encoding, body: &[u8]) -> Result<Vec<u8>, Kind> {
        let budget = Budget::new(64 << 20);
        let mut share = budget.take(Importance::Event, body.len()).unwrap();
        let result = decode(encoding, body, LIMIT, &mut share).await.map_err(|p| p.kind());
        assert!(budget.used_bytes() <= body.len() + LIMIT + (8 << 10));
        result
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn raw(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        zstd::stream::encode_all(bytes, 3).unwrap()
    }

    #[tokio::test]
    async fn every_encoding_comes_back() {
        for (encoding, body) in [
            (Encoding::Identity, TEXT.to_vec()),
            (Encoding::Gzip, gzip(TEXT)),
            (Encoding::Gzip, [gzip(&TEXT[..10]), gzip(&TEXT[10..])].concat()),
            (Encoding::Deflate, zlib(TEXT)),
            (Encoding::Deflate, raw(TEXT)),
            (Encoding::Zstd, zstd(TEXT)),
            (Encoding::Zstd, [zstd(&TEXT[..10]), zstd(&TEXT[10..])].concat()),
        ] {
            assert_eq!(decoded(encoding, &body).await.as_deref(), Ok(TEXT), "{encoding:?}");
        }
    }

    #[tokio::test]
    async fn what_is_cut_off_or_not_what_it_says_is_refused() {
        for (encoding, body) in [
            (Encoding::Gzip, gzip(TEXT)),
            (Encoding::Deflate, zlib(TEXT)),
            (Encoding::Deflate, raw(TEXT)),
            (Encoding::Zstd, zstd(TEXT)),
        ] {
            for cut in 1..body.len() {
                assert_eq!(decoded(encoding, &body[..cut]).await, Err(Kind::UndecodableBody), "{encoding:?} {cut}");
            }
            assert_eq!(decoded(encoding, TEXT).await, Err(Kind::UndecodableBody), "{encoding:?}");
            assert!(decoded(encoding, &[body, b"trailing".to_vec()].concat()).await.is_err(), "{encoding:?}");
        }
        let mut wrong_sum = gzip(TEXT);
        let last = wrong_sum.len() - 5;
        wrong_sum[last] ^= 1;
        assert_eq!(decoded(Encoding::Gzip, &wrong_sum).await, Err(Kind::UndecodableBody));
    }

    #[tokio::test]
    async fn a_bomb_stops_at_the_limit() {
        let zeros = vec![0; 8 << 20];
        for (encoding, body) in
            [(Encoding::Gzip, gzip(&zeros)), (Encoding::Deflate, zlib(&zeros)), (Encoding::Zstd, zstd(&zeros))]
        {
            assert_eq!(decoded(encoding, &body).await, Err(Kind::BodyTooLarge), "{encoding:?}");
        }
        assert_eq!(decoded(Encoding::Zstd, &wide_window()).await, Err(Kind::BodyTooLarge));
    }

    #[tokio::test]
    async fn a_bomb_that_would_fit_is_known_by_its_ratio() {
        let budget = Budget::new(64 << 20);
        for (length, result) in
            [(RATIO_FREE_BYTES, Ok(RATIO_FREE_BYTES)), (2 * RATIO_FREE_BYTES, Err(Kind::BodyTooLarge))]
        {
            let body = gzip(&vec![b' '; length]);
            let mut share = budget.take(Importance::Event, body.len()).unwrap();
            let decoded = decode(Encoding::Gzip, &body, 16 << 20, &mut share).await;
            assert_eq!(decoded.map(|bytes| bytes.len()).map_err(|p| p.kind()), result);
        }
    }

    /// A frame that asks its reader to remember 16 MiB.
    fn wide_window() -> Vec<u8> {
        with_window(24)
    }

    fn with_window(log: u32) -> Vec<u8> {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
        encoder.window_log(log).unwrap();
        encoder.include_contentsize(false).unwrap();
        encoder.write_all(TEXT).unwrap();
        encoder.finish().unwrap()
    }

    /// The bytes in a single segment, with their length in front.
    fn in_one_segment(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
        encoder.set_pledged_src_size(Some(bytes.len() as u64)).unwrap();
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[tokio::test]
    async fn what_a_zstd_reader_must_remember_is_known_before_and_charged() {
        for log in [10, 17, 20, 23] {
            assert_eq!(zstd_window_log(&with_window(log)), log);
        }
        for (length, log) in [(200, 8), (300, 9), (70_000, 17), (1 << 18, 19)] {
            let body = in_one_segment(&vec![b' '; length]);
            assert_eq!(zstd_window_log(&body), log, "{length}");
            assert_eq!(decoded(Encoding::Zstd, &body).await.map(|bytes| bytes.len()), Ok(length));
        }
        assert_eq!(zstd_window_log(b""), 0);
        // A later frame may not ask for more than the first.
        let larger_later = [with_window(18), with_window(22)].concat();
        assert_eq!(decoded(Encoding::Zstd, &larger_later).await, Err(Kind::BodyTooLarge));
        let small = Budget::new(4 << 20);
        let mut share = small.take(Importance::Profile, 0).unwrap();
        let refused = decode(Encoding::Zstd, &with_window(23), LIMIT, &mut share).await.unwrap_err();
        assert_eq!(refused.kind(), Kind::Overloaded);
    }

    #[test]
    fn stacked_and_unknown_encodings_are_not_served() {
        let of = |values: &[&'static str]| {
            let headers: HeaderMap =
                values.iter().map(|v| (CONTENT_ENCODING, http::HeaderValue::from_static(v))).collect();
            Encoding::of(&headers).map_err(|p| p.kind())
        };
        assert_eq!(of(&[]), Ok(Encoding::Identity));
        assert_eq!(of(&["GZIP"]), Ok(Encoding::Gzip));
        for values in [&["br"][..], &["gzip, gzip"], &["gzip", "zstd"]] {
            assert_eq!(of(values), Err(Kind::UnsupportedEncoding), "{values:?}");
        }
    }
}
