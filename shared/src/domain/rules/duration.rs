//! Lengths of time as rules spell them: `90s`, `30m`, `24h`, `7d`, `2w`, or a number of seconds.

use super::value::Scalar;

/// Longest length of time in a rule: ten years. Nothing is kept so long.
pub const MAX_DURATION_SECONDS: u32 = 3_650 * 24 * 60 * 60;

/// What a length of time may look like, for a fault.
pub const EXPECTED: &str =
    r#"must be a length of time from 1s to 3650d: "90s", "30m", "24h", "7d", "2w", or a whole number of seconds"#;

/// Whole seconds, from 1 to [`MAX_DURATION_SECONDS`].
#[must_use]
pub fn read_seconds(value: &Scalar<'_>) -> Option<u32> {
    let seconds = match value {
        Scalar::Number(number) => number.whole()?,
        Scalar::Text(text) => parse(text.trim())?,
        Scalar::Null | Scalar::Bool(_) => return None,
    };
    u32::try_from(seconds).ok().filter(|seconds| (1..=MAX_DURATION_SECONDS).contains(seconds))
}

fn parse(text: &str) -> Option<i128> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit_seconds = match &text[digits.len()..] {
        "" | "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        "w" => 7 * 24 * 60 * 60,
        _ => return None,
    };
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    i128::from(digits.parse::<u32>().ok()?).checked_mul(unit_seconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::value::RawValue;

    fn seconds(json: &str) -> Option<u32> {
        let raw: &RawValue = serde_json::from_str(json).unwrap();
        read_seconds(&Scalar::decode(raw)?)
    }

    #[test]
    fn every_unit_is_read() {
        for (json, expected) in [
            (r#""90s""#, 90),
            (r#""30m""#, 1_800),
            (r#""24h""#, 86_400),
            (r#""7d""#, 604_800),
            (r#""2w""#, 1_209_600),
            (r#"" 7d ""#, 604_800),
            (r#""90""#, 90),
            ("90", 90),
            ("90.0", 90),
            (r#""3650d""#, MAX_DURATION_SECONDS),
        ] {
            assert_eq!(seconds(json), Some(expected), "{json}");
        }
    }

    #[test]
    fn anything_else_is_none() {
        for json in [
            "0",
            r#""0s""#,
            "-5",
            "1.5",
            r#""1.5h""#,
            r#""7D""#,
            r#""7 d""#,
            r#""7 days""#,
            r#""d""#,
            r#""""#,
            r#""+7d""#,
            r#""3651d""#,
            r#""99999999999w""#,
            "1e30",
            "true",
            "null",
        ] {
            assert_eq!(seconds(json), None, "{json}");
        }
    }
}
