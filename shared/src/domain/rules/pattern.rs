//! Regular expressions of rules: linear in the length of the field, and limited in size.

use regex::{Regex, RegexBuilder};

/// Longest pattern, in bytes.
pub const MAX_PATTERN_BYTES: usize = 1024;
/// Largest compiled pattern, in bytes. Each `\w` takes about 50 KiB, being all letters of Unicode, and each `\d` 5 KiB:
/// `^\w+\s\w+$` has 99 KiB, `^\+?\d{10,15}$` 76.
const MAX_COMPILED_BYTES: usize = 128 * 1024;
/// Longest text that is searched, in bytes: the cost is at worst the product of text and pattern.
pub const MAX_SEARCHED_BYTES: usize = 16 * 1024;
/// Most memory that matching may use to be fast, in bytes per pattern; beyond it is slower, not wrong.
const MAX_CACHE_BYTES: usize = 256 * 1024;
/// Deepest nesting of groups and repetitions.
const MAX_NESTING: u32 = 50;

/// Compiles a pattern, which may match anywhere in a text; the error says what is wrong.
pub fn compile(pattern: &str, ignore_case: bool) -> Result<Regex, String> {
    if pattern.len() > MAX_PATTERN_BYTES {
        return Err(format!("is {} bytes long; at most {MAX_PATTERN_BYTES} are allowed", pattern.len()));
    }
    let built = RegexBuilder::new(pattern)
        .case_insensitive(ignore_case)
        .size_limit(MAX_COMPILED_BYTES)
        .dfa_size_limit(MAX_CACHE_BYTES)
        .nest_limit(MAX_NESTING)
        .build();
    built.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => String::from(
            r"is too large a regular expression: use fewer or shorter repetitions, or [a-z] and [0-9] in place of \w and \d",
        ),
        other => format!("is no regular expression: {}", one_line(&other.to_string())),
    })
}

/// Is the pattern found in the text? Never in one longer than [`MAX_SEARCHED_BYTES`].
pub fn is_found(pattern: &Regex, text: &str) -> bool {
    text.len() <= MAX_SEARCHED_BYTES && pattern.is_match(text)
}

/// The parser draws the place of a mistake over several lines; its last one says what it is.
fn one_line(drawn: &str) -> &str {
    drawn.lines().last().unwrap_or_default().trim_start_matches("error: ").trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_patterns_are_small_enough() {
        for pattern in [
            r"^[\w.+-]+@example\.com$",
            r"^\+?\d{10,15}$",
            r"^(gold|silver|bronze)$",
            r"(?i)\bvip\b",
            r"^\w+\s\w+$",
            r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
        ] {
            assert!(compile(pattern, true).is_ok(), "{pattern}: {:?}", compile(pattern, true).unwrap_err());
        }
    }

    #[test]
    fn a_very_long_text_is_not_searched() {
        let pattern = compile("a", false).unwrap();
        assert!(is_found(&pattern, &"a".repeat(MAX_SEARCHED_BYTES)));
        assert!(!is_found(&pattern, &"a".repeat(MAX_SEARCHED_BYTES + 1)));
    }

    #[test]
    fn what_is_refused_says_why() {
        let why = |pattern: &str| compile(pattern, false).unwrap_err();
        assert_eq!(why("a("), "is no regular expression: unclosed group");
        assert!(why(r"(\w{100}){100}").starts_with("is too large"));
        assert!(why(&"a".repeat(1025)).starts_with("is 1025 bytes long"));
        assert!(why(&format!("{}a{}", "(".repeat(60), ")".repeat(60))).contains("nest"), "{}", why(&"(".repeat(60)));
        assert!(compile(&"a".repeat(1024), false).is_ok());
    }
}
