//! Version numbers: `2.10.1` is later than `2.9`.
//!
//! Dotted whole numbers of any length, a leading `v` allowed, missing ones 0; a pre-release (`-rc.1`) comes before its release and
//! is ordered as Semantic Versioning says; `+build` is ignored.

use std::cmp::Ordering;

/// A version, borrowed from its text. Nothing is converted, so no number is too large.
#[derive(Debug, Clone, Copy)]
pub struct Version<'a> {
    numbers: &'a str,
    pre_release: Option<&'a str>,
}

impl<'a> Version<'a> {
    /// Reads a version, white space around it ignored; `None` if the text is none.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let text = text.trim();
        let text = text.strip_prefix(['v', 'V']).unwrap_or(text);
        let text = text.split_once('+').map_or(text, |(version, _build)| version);
        let (numbers, pre_release) = match text.split_once('-') {
            Some((numbers, pre_release)) => (numbers, Some(pre_release)),
            None => (text, None),
        };
        let well_formed = numbers.split('.').all(is_number) && pre_release.is_none_or(is_pre_release);
        well_formed.then_some(Self { numbers, pre_release })
    }

    /// Which is the later one? Spellings of one version (`1`, `v1.0`) are equal.
    #[must_use]
    pub fn compare(self, other: Version<'_>) -> Ordering {
        self.compare_numbers(other).then_with(|| match (self.pre_release, other.pre_release) {
            (None, None) => Ordering::Equal,
            (None, Some(_)) => Ordering::Greater,
            (Some(_), None) => Ordering::Less,
            (Some(a), Some(b)) => compare_pre_releases(a, b),
        })
    }

    fn compare_numbers(self, other: Version<'_>) -> Ordering {
        let (mut left, mut right) = (self.numbers.split('.'), other.numbers.split('.'));
        loop {
            let (a, b) = (left.next(), right.next());
            if a.is_none() && b.is_none() {
                return Ordering::Equal;
            }
            match compare_digits(a.unwrap_or("0"), b.unwrap_or("0")) {
                Ordering::Equal => {}
                decided => return decided,
            }
        }
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_pre_release(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    text.split('.').all(|part| !part.is_empty() && part.bytes().all(fits))
}

fn compare_digits(a: &str, b: &str) -> Ordering {
    let (a, b) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

/// Part by part: numbers by value and before words; of two that begin alike the longer is later.
fn compare_pre_releases(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a.split('.'), b.split('.'));
    loop {
        let (a, b) = match (left.next(), right.next()) {
            (Some(a), Some(b)) => (a, b),
            (a, b) => return a.is_some().cmp(&b.is_some()),
        };
        let decided = match (is_number(a), is_number(b)) {
            (true, true) => compare_digits(a, b),
            (false, false) => a.cmp(b),
            (a_is_number, b_is_number) => b_is_number.cmp(&a_is_number),
        };
        if decided != Ordering::Equal {
            return decided;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_by_number_and_pre_releases_come_first() {
        let ascending = [
            "0",
            "0.9.9",
            "1.0.0-1",
            "1.0.0-2",
            "1.0.0-10",
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-rc.2",
            "1.0.0-rc.10",
            "1",
            "1.0.0.1",
            "1.2",
            "1.10",
            "2.0-beta",
            "2",
            "99999999999999999999999999999999999999999999",
        ];
        for (i, a) in ascending.iter().enumerate() {
            for (j, b) in ascending.iter().enumerate() {
                let compared = Version::parse(a).unwrap().compare(Version::parse(b).unwrap());
                assert_eq!(compared, i.cmp(&j), "{a} against {b}");
            }
        }
    }

    #[test]
    fn one_version_has_many_spellings() {
        for text in ["1.2", "v1.2.0", "V1.2", "1.2.0.0", "01.002", "1.2+build.7", "1.2.0+a-b", " 1.2 "] {
            let compared = Version::parse(text).unwrap().compare(Version::parse("1.2").unwrap());
            assert_eq!(compared, Ordering::Equal, "{text}");
        }
    }

    #[test]
    fn what_is_no_version_is_none() {
        for text in ["", "v", "1.", ".1", "1..2", "1.2 (45)", "1.x", "-1", "1-", "1-a..b", "1,2", "vv1", "१", "latest"]
        {
            assert!(Version::parse(text).is_none(), "{text}");
        }
    }
}
