//! Undoing the compression of a body.
//!
//! The first byte says the encoding: `g` gzip, `d` deflate, `z` zstd, anything else none.

use std::io::Write;
use std::sync::OnceLock;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use ingest::budget::{Budget, Importance};
use ingest::decode::{Encoding, decode};
use tokio::runtime::{Builder, Runtime};

/// Small, so that the engine meets it.
const LIMIT_BYTES: usize = 256 << 10;
/// What a request costs besides its body.
const FLOOR_BYTES: usize = 4 << 10;

/// Takes the bytes for compressed ones, and then for ones to compress.
pub fn check(data: &[u8]) {
    let Some((&encoding, body)) = data.split_first() else { return };
    let encoding = match encoding {
        b'g' => Encoding::Gzip,
        b'd' => Encoding::Deflate,
        b'z' => Encoding::Zstd,
        _ => Encoding::Identity,
    };
    let _ = decoded(encoding, body);
    for whole in compressed(encoding, body) {
        let back = decoded(encoding, &whole);
        assert!(back.as_deref() == Some(body) || (back.is_none() && body.len() > LIMIT_BYTES), "{encoding:?} {body:?}");
    }
}

fn decoded(encoding: Encoding, body: &[u8]) -> Option<Vec<u8>> {
    let budget = Budget::new(64 << 20);
    let mut share = budget.take(Importance::Event, body.len()).expect("the budget is large enough");
    let result = runtime().block_on(decode(encoding, body, LIMIT_BYTES, &mut share)).ok();
    let length = result.as_ref().map_or(LIMIT_BYTES, Vec::len);
    assert!(length <= LIMIT_BYTES, "{length} bytes came out");
    assert!(budget.used_bytes() <= FLOOR_BYTES + body.len() + length, "more was charged than kept");
    drop(share);
    assert_eq!(budget.used_bytes(), 0);
    result
}

/// The same bytes in every form that the encoding has.
fn compressed(encoding: Encoding, body: &[u8]) -> Vec<Vec<u8>> {
    let fast = Compression::fast();
    match encoding {
        Encoding::Identity => vec![body.to_vec()],
        Encoding::Gzip => {
            let mut encoder = GzEncoder::new(Vec::new(), fast);
            encoder.write_all(body).expect("memory takes all");
            vec![encoder.finish().expect("memory takes all")]
        }
        Encoding::Deflate => {
            let (mut raw, mut zlib) = (DeflateEncoder::new(Vec::new(), fast), ZlibEncoder::new(Vec::new(), fast));
            raw.write_all(body).expect("memory takes all");
            zlib.write_all(body).expect("memory takes all");
            vec![raw.finish().expect("memory takes all"), zlib.finish().expect("memory takes all")]
        }
        Encoding::Zstd => vec![zstd::stream::encode_all(body, 1).expect("memory takes all")],
    }
}

fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Builder::new_current_thread().build().expect("a runtime"))
}
