//! `ETag` and `If-Match`: a change that names the version it was made from is refused when that is no longer current.
//!
//! The tag is the version in quotes. Old clients send no `If-Match`: then the last change wins, per top-level key.

use axum::response::Response;
use http::header::{ETAG, HeaderMap, HeaderValue, IF_MATCH};
use serde_json::json;

use crate::problem::{Kind, Problem};

/// The condition of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IfMatch {
    /// No header, or `*`: whatever version there is.
    Any,
    /// Only one of these; what could not be read is none.
    Versions(Vec<i64>),
}

impl IfMatch {
    /// Reads the header. A proxy that compresses answers marks tags as weak (`W/`); they mean the same version here.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        if !headers.contains_key(IF_MATCH) {
            return Self::Any;
        }
        let mut versions = Vec::new();
        for value in headers.get_all(IF_MATCH) {
            for tag in value.to_str().unwrap_or_default().split(',').map(str::trim) {
                if tag == "*" {
                    return Self::Any;
                }
                versions.extend(tag.trim_start_matches("W/").trim_matches('"').parse::<i64>().ok());
            }
        }
        Self::Versions(versions)
    }

    /// Refuses unless `current` is what the client meant.
    pub fn check(&self, current: i64) -> Result<(), Problem> {
        match self {
            Self::Versions(versions) if !versions.contains(&current) => {
                let message =
                    format!("this was changed meanwhile: it is at version {current} now; read it and try again");
                Err(Problem::new(Kind::VersionConflict, message).with("current_version", json!(current)))
            }
            Self::Any | Self::Versions(_) => Ok(()),
        }
    }
}

/// Adds the tag of a version.
#[must_use]
pub fn tagged(mut response: Response, version: i64) -> Response {
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{version}\"")) {
        response.headers_mut().insert(ETAG, tag);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[&str]) -> IfMatch {
        IfMatch::of(&values.iter().map(|value| (IF_MATCH, HeaderValue::from_str(value).unwrap())).collect())
    }

    #[test]
    fn versions_are_read_from_lists_strong_or_weak_and_nonsense_matches_nothing() {
        assert_eq!(of(&[]), IfMatch::Any);
        assert_eq!(of(&["\"1\"", " *"]), IfMatch::Any);
        assert_eq!(of(&["\"1\", W/\"2\"", "3"]), IfMatch::Versions(vec![1, 2, 3]));
        assert!(of(&["\"1\", W/\"2\""]).check(2).is_ok());
        assert_eq!(of(&["\"1\""]).check(2).unwrap_err().kind(), Kind::VersionConflict);
        assert_eq!(of(&["\"abc\""]).check(2).unwrap_err().kind(), Kind::VersionConflict);
    }
}
