//! A [`Place`] as apps hold it: text that means nothing to them.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use shared::domain::place::Place;

use crate::problem::{Kind, Problem};

/// As text.
#[must_use]
pub fn write(place: Place) -> String {
    let mut bytes = [0; 20];
    let parts = [&place.generation.to_be_bytes()[..], &place.sequence.to_be_bytes(), &place.index.to_be_bytes()];
    for (byte, value) in bytes.iter_mut().zip(parts.concat()) {
        *byte = value;
    }
    URL_SAFE_NO_PAD.encode(bytes)
}

/// From text; `name` is that of the parameter.
pub fn read(text: &str, name: &str) -> Result<Place, Problem> {
    parse(text).ok_or_else(|| {
        let message = format!("{name} must be a cursor as an earlier answer gave it, or be left out");
        Problem::new(Kind::InvalidParameter, message)
    })
}

fn parse(text: &str) -> Option<Place> {
    let bytes: [u8; 20] = URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
    let (generation, rest) = bytes.split_first_chunk()?;
    let (sequence, rest) = rest.split_first_chunk()?;
    let (index, _) = rest.split_first_chunk()?;
    Some(Place {
        generation: i64::from_be_bytes(*generation),
        sequence: i64::from_be_bytes(*sequence),
        index: i32::from_be_bytes(*index),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written_and_nothing_else_is_one() {
        for place in [
            Place { generation: 117_661_018_212_794_368, sequence: 4_711, index: 3 },
            Place { generation: 0, sequence: i64::MAX, index: i32::MAX },
        ] {
            let text = write(place);
            assert_eq!(read(&text, "after").unwrap(), place, "{text}");
            assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'), "{text}");
        }
        for text in ["", "x", "117661018212794368", &"A".repeat(28), &"é".repeat(14)] {
            assert_eq!(read(text, "after").unwrap_err().kind(), Kind::InvalidParameter, "{text}");
        }
    }
}
