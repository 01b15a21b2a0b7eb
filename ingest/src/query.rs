//! Query parameters, read leniently as the old server did: what is no number counts as absent.

use std::borrow::Cow;

use shared::domain::limits;

use crate::problem::{Kind, Problem};

/// The parameters of one request, decoded.
#[derive(Debug)]
pub struct Query<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Query<'a> {
    /// Reads a query string.
    #[must_use]
    pub fn parse(query: Option<&'a str>) -> Self {
        Self(form_urlencoded::parse(query.unwrap_or_default().as_bytes()).collect())
    }

    /// A text; blank is absent.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
    }

    /// An id that could be one of ours.
    pub fn id(&self, name: &str) -> Result<Option<&str>, Problem> {
        let text = self.text(name);
        if text.is_some_and(|text| text.len() > limits::ID_BYTES || text.contains('\0')) {
            let message = format!("{name} must be at most {} bytes, without a zero byte", limits::ID_BYTES);
            return Err(Problem::new(Kind::InvalidParameter, message));
        }
        Ok(text)
    }

    /// A whole number, zero or more.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<i64> {
        self.text(name)?.parse().ok().filter(|number| *number >= 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_absent() {
        let query = Query::parse(Some("user_id=a%20b&limit=ten&offset=-1&event=&x=3"));
        assert_eq!((query.text("user_id"), query.text("event"), query.text("nothing")), (Some("a b"), None, None));
        assert_eq!((query.number("limit"), query.number("offset"), query.number("x")), (None, None, Some(3)));
        assert!(Query::parse(Some("user_id=%00")).id("user_id").is_err());
    }
}
