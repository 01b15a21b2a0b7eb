//! What a JSON text means, read by a reader of our own.
//!
//! It shares no code with the pipeline, keeps every digit of a number, and knows the two rules by which texts may differ and mean the
//! same: of a key given twice the last counts, and what no database holds (a zero character, half of a surrogate pair) is U+FFFD.

use std::collections::BTreeMap;
use std::str::Chars;

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meaning {
    /// `null`
    Null,
    /// `true`, `false`
    Flag(bool),
    /// Sign, digits without zeros at their ends, and the power of ten of the last digit.
    Number(bool, String, i64),
    /// Decoded and repaired.
    Text(String),
    /// In order.
    List(Vec<Meaning>),
    /// The last value of each key.
    Object(BTreeMap<String, Meaning>),
}

/// Reads a whole text; `None` if it is not JSON.
#[must_use]
pub fn read(text: &str) -> Option<Meaning> {
    let mut reader = Reader { rest: text.chars() };
    let (_, meaning) = reader.value()?;
    reader.blank();
    reader.rest.as_str().is_empty().then_some(meaning)
}

/// A key, and its value as a text and as what it means.
pub type Entry<'a> = (String, &'a str, Meaning);

/// The entries of an object in order, each value with its own text; `None` if the text is no object.
#[must_use]
pub fn entries(text: &str) -> Option<Vec<Entry<'_>>> {
    let mut reader = Reader { rest: text.chars() };
    reader.blank();
    let entries = reader.entries()?;
    reader.blank();
    reader.rest.as_str().is_empty().then_some(entries)
}

struct Reader<'a> {
    rest: Chars<'a>,
}

impl<'a> Reader<'a> {
    fn next_if(&mut self, wanted: impl Fn(char) -> bool) -> Option<char> {
        let next = self.rest.clone().next().filter(|c| wanted(*c))?;
        self.rest.next();
        Some(next)
    }

    fn blank(&mut self) {
        while self.next_if(|c| matches!(c, ' ' | '\t' | '\n' | '\r')).is_some() {}
    }

    fn word(&mut self, word: &str) -> Option<()> {
        self.rest = self.rest.as_str().strip_prefix(word)?.chars();
        Some(())
    }

    /// A value with its own text.
    fn value(&mut self) -> Option<(&'a str, Meaning)> {
        self.blank();
        let before = self.rest.as_str();
        let meaning = match before.chars().next()? {
            'n' => self.word("null").map(|()| Meaning::Null),
            't' => self.word("true").map(|()| Meaning::Flag(true)),
            'f' => self.word("false").map(|()| Meaning::Flag(false)),
            '"' => self.text().map(Meaning::Text),
            '[' => self.list(),
            '{' => self
                .entries()
                .map(|entries| Meaning::Object(entries.into_iter().map(|(key, _, value)| (key, value)).collect())),
            _ => self.number(),
        }?;
        Some((&before[..before.len() - self.rest.as_str().len()], meaning))
    }

    fn list(&mut self) -> Option<Meaning> {
        self.word("[")?;
        let mut values = Vec::new();
        self.blank();
        if self.word("]").is_some() {
            return Some(Meaning::List(values));
        }
        loop {
            values.push(self.value()?.1);
            self.blank();
            match self.rest.next()? {
                ',' => {}
                ']' => return Some(Meaning::List(values)),
                _ => return None,
            }
        }
    }

    fn entries(&mut self) -> Option<Vec<Entry<'a>>> {
        self.word("{")?;
        let mut entries = Vec::new();
        self.blank();
        if self.word("}").is_some() {
            return Some(entries);
        }
        loop {
            self.blank();
            let key = self.text()?;
            self.blank();
            self.word(":")?;
            let (text, value) = self.value()?;
            entries.push((key, text, value));
            self.blank();
            match self.rest.next()? {
                ',' => {}
                '}' => return Some(entries),
                _ => return None,
            }
        }
    }

    fn text(&mut self) -> Option<String> {
        self.word("\"")?;
        let mut units = Vec::new();
        loop {
            match self.rest.next()? {
                '"' => break,
                '\\' => units.push(self.escape()?),
                c if c < ' ' => return None,
                c => units.extend_from_slice(c.encode_utf16(&mut [0; 2])),
            }
        }
        Some(String::from_utf16_lossy(&units).replace('\0', "\u{fffd}"))
    }

    fn escape(&mut self) -> Option<u16> {
        Some(match self.rest.next()? {
            'b' => 8,
            't' => 9,
            'n' => 10,
            'f' => 12,
            'r' => 13,
            'u' => {
                let mut unit = 0;
                for _ in 0..4 {
                    unit = unit * 16 + self.rest.next()?.to_digit(16)?;
                }
                u16::try_from(unit).ok()?
            }
            c @ ('"' | '\\' | '/') => u16::try_from(u32::from(c)).ok()?,
            _ => return None,
        })
    }

    fn digits(&mut self) -> String {
        std::iter::from_fn(|| self.next_if(|c| c.is_ascii_digit())).collect()
    }

    fn number(&mut self) -> Option<Meaning> {
        let negative = self.word("-").is_some();
        let whole = self.digits();
        if whole.is_empty() || (whole.len() > 1 && whole.starts_with('0')) {
            return None;
        }
        let mut part = String::new();
        if self.word(".").is_some() {
            part = self.digits();
            if part.is_empty() {
                return None;
            }
        }
        let mut power: i64 = 0;
        if self.next_if(|c| matches!(c, 'e' | 'E')).is_some() {
            let down = self.next_if(|c| matches!(c, '+' | '-')) == Some('-');
            let digits = self.digits();
            power = digits.parse().unwrap_or(if digits.is_empty() { return None } else { i64::MAX / 2 });
            power = if down { -power } else { power };
        }
        power -= i64::try_from(part.len()).ok()?;
        let digits = format!("{whole}{part}");
        let digits = digits.trim_start_matches('0');
        let significant = digits.trim_end_matches('0');
        if significant.is_empty() {
            return Some(Meaning::Number(false, String::new(), 0));
        }
        power += i64::try_from(digits.len() - significant.len()).ok()?;
        Some(Meaning::Number(negative, significant.to_owned(), power))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_mean_the_same_are_equal_and_others_are_not() {
        for (one, other) in [
            ("100", "1e2"),
            ("-0.0", "0"),
            ("1.50", "15e-1"),
            (r#"{"a":1,"a":2}"#, r#" { "a" : 2 } "#),
            (r#""\ud83d""#, r#""\u0000""#),
            (r#""\ud83d\ude00\/""#, "\"😀/\""),
        ] {
            assert_eq!(read(one), read(other), "{one} {other}");
            assert!(read(one).is_some(), "{one}");
        }
        for (one, other) in [
            ("9007199254740993", "9007199254740992"),
            ("1", "-1"),
            ("1", "10"),
            ("0.1", "0.10000000000000001"),
            ("\"a\"", "\"b\""),
            ("null", "false"),
            ("[1,2]", "[2,1]"),
            ("{}", "[]"),
        ] {
            assert_ne!(read(one), read(other), "{one} {other}");
        }
    }

    #[test]
    fn what_is_no_json_means_nothing() {
        for text in
            ["", "01", "1.", "+1", "NaN", "[1,]", "{\"a\"}", "{,}", "\"\n\"", "\"\\x\"", "1 2", "tru", "\"\\u12\""]
        {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn entries_keep_their_texts_and_their_order() {
        let found = entries(r#" {"b": 1.0 ,"a":[ 1],"b":null}"#).unwrap();
        let texts: Vec<_> = found.iter().map(|(key, text, _)| (key.as_str(), *text)).collect();
        assert_eq!(texts, [("b", "1.0"), ("a", "[ 1]"), ("b", "null")]);
    }
}
