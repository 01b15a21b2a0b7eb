//! Whose matches are asked for, and by whom.

use http::HeaderMap;
use shared::domain::user_key::{KeyKind, Placeholders, UserKey};

use crate::app::App;
use crate::identity;
use crate::keys::Caller;
use crate::problem::{Kind, Problem};
use crate::query::Query;

/// Whose matches.
#[derive(Debug, Clone)]
pub struct Receiver {
    kind: KeyKind,
    id: Box<str>,
}

impl Receiver {
    /// Of this key.
    #[must_use]
    pub fn of(key: UserKey<'_>) -> Self {
        Self { kind: key.kind, id: key.id.into() }
    }

    /// As the rest of the program names people.
    #[must_use]
    pub fn key(&self) -> UserKey<'_> {
        UserKey { kind: self.kind, id: &self.id }
    }
}

/// `user_id`, or `anonymous_id` of a visitor, in the address; nobody for strangers.
pub fn in_query<'q>(query: &'q Query<'_>, placeholders: &Placeholders) -> Result<Option<UserKey<'q>>, Problem> {
    let user_id = query.id("user_id")?.or(query.id("userId")?);
    let anonymous_id = query.id("anonymous_id")?.or(query.id("anonymousId")?);
    Ok(UserKey::of(user_id, anonymous_id, placeholders))
}

/// The caller with a key in a header, who may ask about the user.
pub fn with_key(
    app: &App,
    headers: &HeaderMap,
    query: &Query<'_>,
    user: Option<UserKey<'_>>,
) -> Result<Caller, Problem> {
    let caller = app.door.client(headers)?;
    identity::verify(&caller, user, headers, query)?;
    Ok(caller)
}

/// Strangers have no matches that wait.
pub fn must_be_known(user: Option<UserKey<'_>>) -> Result<UserKey<'_>, Problem> {
    let message = "user_id must name a user, or anonymous_id a visitor: nothing waits for strangers";
    user.ok_or_else(|| Problem::new(Kind::InvalidParameter, message))
}

/// The device that asks: `device_id`, or one of its own for each request.
pub fn device(query: &Query<'_>) -> Result<String, Problem> {
    Ok(query.id("device_id")?.map_or_else(|| uuid::Uuid::new_v4().to_string(), str::to_owned))
}
