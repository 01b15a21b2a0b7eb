//! Checks and repairs a JSON value without decoding it.
//!
//! Works on text that serde_json has already found well-formed (a `RawValue`), and looks for what would hurt later: nesting,
//! numbers that some reader would round or overflow, keys too many or too long, and the two escapes that PostgreSQL's `jsonb`
//! refuses (`\u0000` and half a surrogate pair; real SDKs cut emoji in half). Those escapes are replaced with `\ufffd`, which
//! has the same length, and raw line breaks between tokens with spaces, so the result is one line. Nothing else changes.

use std::borrow::Cow;

use super::limits;
use super::violation::Code;

/// A value that may be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked<'a> {
    /// The text, on one line.
    pub text: Cow<'a, str>,
    /// An escape was replaced.
    pub repaired: bool,
}

/// Why a value may not be stored: the reason, and a sentence about it.
pub type Fault = (Code, String);

/// Checks one well-formed JSON value.
pub fn check(raw: &str) -> Result<Checked<'_>, Fault> {
    let bytes = raw.as_bytes();
    let mut scan =
        Scan { bytes, at: 0, objects: 0, depth: 0, top_level_keys: 0, broken: Vec::new(), line_breaks: false };
    scan.run()?;
    if scan.broken.is_empty() && !scan.line_breaks {
        return Ok(Checked { text: Cow::Borrowed(raw), repaired: false });
    }
    let repaired = !scan.broken.is_empty();
    let mut text = raw.to_owned();
    for at in scan.broken.into_iter().rev() {
        text.replace_range(at..at + 6, r"\ufffd");
    }
    // A raw line break in well-formed JSON can only stand between tokens.
    Ok(Checked { text: Cow::Owned(text.replace(['\n', '\r'], " ")), repaired })
}

struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
    /// One bit per open container, the innermost lowest: is it an object? `DEPTH` is 64, so the bits fit.
    objects: u64,
    depth: usize,
    top_level_keys: usize,
    /// Where a six-byte escape stands that cannot be stored.
    broken: Vec<usize>,
    line_breaks: bool,
}

impl Scan<'_> {
    fn run(&mut self) -> Result<(), Fault> {
        // A string is a key when it opens an object or follows its comma.
        let mut key_next = false;
        while let Some(&byte) = self.bytes.get(self.at) {
            match byte {
                b'{' | b'[' => {
                    if self.depth == limits::DEPTH {
                        return Err((Code::TooDeep, format!("is nested deeper than {} levels", limits::DEPTH)));
                    }
                    self.depth += 1;
                    self.objects = (self.objects << 1) | u64::from(byte == b'{');
                    key_next = byte == b'{';
                    self.at += 1;
                }
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    self.objects >>= 1;
                    self.at += 1;
                }
                b',' => {
                    key_next = self.objects & 1 == 1;
                    self.at += 1;
                }
                b'"' => {
                    let start = self.at + 1;
                    self.string();
                    if key_next {
                        self.key(self.at - 1 - start)?;
                        key_next = false;
                    }
                }
                b'-' | b'0'..=b'9' => self.number()?,
                b'\n' | b'\r' => {
                    self.line_breaks = true;
                    self.at += 1;
                }
                _ => self.at += 1,
            }
        }
        Ok(())
    }

    fn key(&mut self, length: usize) -> Result<(), Fault> {
        if length > limits::KEY_BYTES {
            return Err((
                Code::TooLong,
                format!("has a key of {length} bytes; at most {} are allowed", limits::KEY_BYTES),
            ));
        }
        if self.depth == 1 {
            self.top_level_keys += 1;
            if self.top_level_keys > limits::TOP_LEVEL_KEYS {
                return Err((Code::TooManyKeys, format!("has more than {} keys", limits::TOP_LEVEL_KEYS)));
            }
        }
        Ok(())
    }

    /// Steps over a string, noting escapes that cannot be stored.
    fn string(&mut self) {
        self.at += 1;
        while let Some(&byte) = self.bytes.get(self.at) {
            match byte {
                b'"' => {
                    self.at += 1;
                    return;
                }
                b'\\' if self.bytes.get(self.at + 1) == Some(&b'u') => match self.unit(self.at) {
                    Some(0xD800..=0xDBFF) if matches!(self.unit(self.at + 6), Some(0xDC00..=0xDFFF)) => self.at += 12,
                    Some(0 | 0xD800..=0xDFFF) => {
                        self.broken.push(self.at);
                        self.at += 6;
                    }
                    _ => self.at += 6,
                },
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
    }

    /// The UTF-16 unit of the `\uXXXX` escape at `at`, if one stands there.
    fn unit(&self, at: usize) -> Option<u16> {
        let escape = self.bytes.get(at..at + 6)?;
        if !escape.starts_with(br"\u") {
            return None;
        }
        u16::from_str_radix(std::str::from_utf8(&escape[2..]).ok()?, 16).ok()
    }

    fn number(&mut self) -> Result<(), Fault> {
        let start = self.at;
        while matches!(self.bytes.get(self.at), Some(b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9')) {
            self.at += 1;
        }
        let token = &self.bytes[start..self.at];
        // Short tokens are nearly all there is: at most 18 digits always fit.
        if token.len() <= 18 && !token.iter().any(|b| matches!(b, b'e' | b'E')) {
            return Ok(());
        }
        let text = std::str::from_utf8(token).unwrap_or_default();
        if token.len() > limits::NUMBER_CHARS {
            let message =
                format!("has a number of {} characters; at most {} are allowed", token.len(), limits::NUMBER_CHARS);
            return Err((Code::NumberOutOfRange, message));
        }
        let fits = if token.iter().any(|b| matches!(b, b'.' | b'e' | b'E')) {
            let mantissa_is_zero =
                !text.split(['e', 'E']).next().unwrap_or_default().bytes().any(|b| matches!(b, b'1'..=b'9'));
            let exponent = text.split(['e', 'E']).nth(1).map_or(Ok(0), str::parse::<i32>);
            exponent.is_ok_and(|e| e.abs() <= limits::NUMBER_EXPONENT)
                && text.parse::<f64>().is_ok_and(|n| n.is_finite() && (n != 0.0 || mantissa_is_zero))
                // Its quick reading is a little off and so ends a little earlier; the engine of rules reads with it.
                && serde_json::from_str::<f64>(text).is_ok()
        } else {
            text.parse::<i64>().is_ok() || text.parse::<u64>().is_ok() || is_written_double(text)
        };
        if fits {
            return Ok(());
        }
        Err((
            Code::NumberOutOfRange,
            format!("has the number {text}, which does not fit in 64 bits; send it as a string"),
        ))
    }
}

/// Is it an integer beyond 64 bits as JavaScript writes a double below 1e21, the shortest digits and then zeros? A reader that
/// makes a double of it loses nothing.
fn is_written_double(integer: &str) -> bool {
    integer.parse::<f64>().is_ok_and(|double| double.to_string() == integer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn code(raw: &str) -> Option<Code> {
        check(raw).err().map(|(code, _)| code)
    }

    #[test]
    fn ordinary_values_pass_untouched() {
        for raw in [
            "{}",
            "null",
            r#"{"a":[1,-2.5,1e10,18446744073709551615,-9223372036854775808],"b":"\u00e9\n\ud83d\ude00"}"#,
        ] {
            assert_eq!(check(raw), Ok(Checked { text: Cow::Borrowed(raw), repaired: false }), "{raw}");
        }
    }

    #[test]
    fn escapes_that_no_database_holds_are_replaced() {
        for (raw, stored) in [
            (r#""cut \ud83d""#, r#""cut \ufffd""#),
            (r#""\ud83d\ud83d\ude00""#, r#""\ufffd\ud83d\ude00""#),
            (r#"{"\u0000":"\udc00x"}"#, r#"{"\ufffd":"\ufffdx"}"#),
        ] {
            assert_eq!(check(raw), Ok(Checked { text: Cow::Owned(stored.to_owned()), repaired: true }));
        }
        assert!(!check(r#""\\u0000 is text""#).unwrap().repaired);
    }

    #[test]
    fn the_result_is_one_line() {
        assert_eq!(check("{\n \"a\":\r\n 1}").unwrap().text, "{  \"a\":   1}");
    }

    #[test]
    fn depth_keys_and_numbers_have_limits() {
        assert_eq!(code(&("[".repeat(64) + &"]".repeat(64))), None);
        assert_eq!(code(&("[".repeat(65) + &"]".repeat(65))), Some(Code::TooDeep));
        assert_eq!(code(&format!(r#"{{"{}":1}}"#, "k".repeat(256))), Some(Code::TooLong));
        assert_eq!(code(&format!(r#"["{}"]"#, "v".repeat(256))), None);
        let keys = |n| format!("{{{}}}", (0..n).map(|i| format!(r#""k{i}":0"#)).collect::<Vec<_>>().join(","));
        assert_eq!(code(&keys(2_000)), None);
        assert_eq!(code(&keys(2_001)), Some(Code::TooManyKeys));
        for number in ["18446744073709551616", "-9223372036854775809", "1e400", "1e100000", "1e-400", &"9".repeat(400)]
        {
            assert_eq!(code(number), Some(Code::NumberOutOfRange), "{number}");
        }
        assert_eq!(code("0e999"), None);
        for number in ["100000000000000000000", "-123456789012345680000", "18446744073709552000"] {
            assert_eq!(code(number), None, "{number} is what JavaScript writes for a double");
        }
        assert_eq!(code("123456789012345678901"), Some(Code::NumberOutOfRange));
        assert_eq!(code("0.1234567890123456789"), None);
        // PostgreSQL's numeric has no such exponents, not even for a zero.
        for number in ["0e99999999999", "0e-99999", "0e1000", "-0.0E-1000"] {
            assert_eq!(code(number), Some(Code::NumberOutOfRange), "{number}");
        }
    }

    #[test]
    fn what_passes_is_a_number_to_our_own_readers_too() {
        // Correctly rounded this is the largest f64; serde_json's quick reading of it overflows.
        assert_eq!(code("1.7976931348623158e308"), Some(Code::NumberOutOfRange));
        for number in ["1.7976931348623157e308", "5e-324", "-0.0", "18446744073709551615"] {
            assert_eq!(code(number), None, "{number}");
            assert!(serde_json::from_str::<serde_json::Value>(number).is_ok(), "{number}");
        }
    }

    proptest! {
        #[test]
        fn whatever_passes_decodes_to_one_line_of_json(text in any::<String>(), units in proptest::collection::vec(any::<u16>(), 0..8)) {
            let escapes: String = units.iter().map(|u| format!("\\u{u:04x}")).collect();
            let raw = format!("{{{}:\"{escapes}\"}}", serde_json::to_string(&text).unwrap());
            if let Ok(checked) = check(&raw) {
                let value: serde_json::Value = serde_json::from_str(&checked.text).unwrap();
                prop_assert!(!checked.text.contains('\n'));
                prop_assert!(value.as_object().unwrap().values().all(|v| !v.as_str().unwrap().contains('\0')));
            }
        }
    }
}
