//! Numbers compared without rounding: whole ones exactly, others as the double they are nearest to.

use std::cmp::Ordering;
use std::fmt;

/// 2^127, the first double that no `i128` reaches.
const I128_END: f64 = 170_141_183_460_469_231_731_687_303_715_884_105_728.0;

/// A finite number.
#[derive(Debug, Clone, Copy)]
pub enum Number {
    /// Written without point and exponent, within 128 bits.
    Whole(i128),
    /// Any other; finite.
    Double(f64),
}

impl Number {
    /// Reads decimal text with optional sign, point and exponent, white space around it ignored.
    /// Empty text, hexadecimal, `Infinity` and what overflows a double are no numbers.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if !text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E')) {
            return None;
        }
        if let Ok(whole) = text.parse() {
            return Some(Self::Whole(whole));
        }
        let double: f64 = text.parse().ok()?;
        double.is_finite().then_some(Self::Double(double))
    }

    /// The value, if it has no fraction: `5.0` has none.
    #[must_use]
    pub fn whole(self) -> Option<i128> {
        match self {
            Self::Whole(whole) => Some(whole),
            Self::Double(double) if double.fract() == 0.0 && double.abs() < I128_END => Some(double as i128),
            Self::Double(_) => None,
        }
    }

    /// The nearest double.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        match self {
            Self::Whole(whole) => whole as f64,
            Self::Double(double) => double,
        }
    }

    /// Order by value, whatever the spelling.
    #[must_use]
    pub fn compare(self, other: Self) -> Ordering {
        match (self, other) {
            (Self::Whole(a), Self::Whole(b)) => a.cmp(&b),
            (Self::Double(a), Self::Double(b)) => compare_finite(a, b),
            (Self::Whole(a), Self::Double(b)) => compare_mixed(a, b),
            (Self::Double(a), Self::Whole(b)) => compare_mixed(b, a).reverse(),
        }
    }
}

/// Plain decimal digits, without needless zeros: `5.0` is `5`.
impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(whole) => write!(f, "{whole}"),
            // Adding zero turns -0 into 0.
            Self::Double(double) => write!(f, "{}", double + 0.0),
        }
    }
}

fn compare_finite(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or(Ordering::Equal)
}

fn compare_mixed(whole: i128, double: f64) -> Ordering {
    if double >= I128_END {
        return Ordering::Less;
    }
    if double < -I128_END {
        return Ordering::Greater;
    }
    whole.cmp(&(double.trunc() as i128)).then_with(|| compare_finite(0.0, double.fract()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compare(a: &str, b: &str) -> Ordering {
        Number::parse(a).unwrap().compare(Number::parse(b).unwrap())
    }

    #[test]
    fn order_is_by_value_and_whole_numbers_are_exact() {
        let ascending = [
            "-1e300",
            "-170141183460469231731687303715884105729",
            "-170141183460469231731687303715884105727",
            "-2.5",
            "-2",
            "-1.5",
            "0",
            "0.5",
            "2",
            "2.5",
            "9007199254740992",
            "9007199254740993",
            "18446744073709551615",
            "1.8446744073709552e19",
            "1e300",
        ];
        for (i, a) in ascending.iter().enumerate() {
            for (j, b) in ascending.iter().enumerate() {
                assert_eq!(compare(a, b), i.cmp(&j), "{a} against {b}");
            }
        }
    }

    #[test]
    fn one_value_has_many_spellings_and_one_text() {
        for text in ["5", "5.0", "+5", "05", "5.", "0.5e1", "50e-1", " 5\n"] {
            assert_eq!(compare(text, "5"), Ordering::Equal, "{text}");
            assert_eq!(Number::parse(text).unwrap().to_string(), "5", "{text}");
        }
        assert_eq!(compare("-0.0", "0"), Ordering::Equal);
        assert_eq!(Number::parse("-0.0").unwrap().to_string(), "0");
        assert_eq!(Number::parse("1e21").unwrap().to_string(), "1000000000000000000000");
    }

    #[test]
    fn whole_numbers_are_told_from_fractions() {
        for (text, whole) in [("5", Some(5)), ("5.0", Some(5)), ("-1e2", Some(-100)), ("5.5", None), ("1e300", None)] {
            assert_eq!(Number::parse(text).unwrap().whole(), whole, "{text}");
        }
    }

    #[test]
    fn what_is_no_decimal_number_is_none() {
        for text in ["", " ", "-", ".", "e5", "1e", "0x10", "1_000", "1,5", "Infinity", "nan", "1e400", "१", "5 5"] {
            assert!(Number::parse(text).is_none(), "{text}");
        }
    }
}
