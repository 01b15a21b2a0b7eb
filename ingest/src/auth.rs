//! Finds the key of a request and says who calls.
//!
//! Four ways, the strongest first: `x-api-key`, `Authorization: Bearer`, `Authorization: Basic` with the key as user name, and
//! `writeKey` in the body. If a header names a key, the body is not asked. Every missing, unknown, revoked or malformed key gets
//! one and the same answer.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::AUTHORIZATION;

use crate::fair_use::meter::Meter;
use crate::keys::{Caller, KeyHash, Keys, Lookup, Role};
use crate::problem::{Kind, Problem};

/// The source of events that came without a key, where that is allowed.
const KEYLESS: &str = "keyless";
/// No key has this hash.
const KEYLESS_HASH: KeyHash = [0; 32];

/// The door: keys, and whether client calls need one.
#[derive(Debug)]
pub struct Door {
    /// Known keys.
    pub keys: Arc<Keys>,
    /// `AUTH_REQUIRED`.
    required: bool,
    /// Everybody without a key, together.
    keyless: Caller,
}

impl Door {
    /// A door that asks client calls for a key, if `required`.
    #[must_use]
    pub fn new(keys: Arc<Keys>, required: bool) -> Self {
        let meter = Arc::new(Meter::new(keys.allowance()));
        let keyless = Caller { hash: KEYLESS_HASH, source: KEYLESS.into(), role: Role::Client, meter, identity: None };
        Self { keys, required, keyless }
    }

    /// Do client calls need a key?
    #[must_use]
    pub fn required(&self) -> bool {
        self.required
    }

    /// The caller that the headers name; `None` when they name no key, so the body may.
    pub fn caller_in_headers(&self, headers: &HeaderMap) -> Result<Option<Caller>, Problem> {
        match presented(headers) {
            Presented::Nothing => Ok(None),
            Presented::Malformed => Err(Problem::unauthorized()),
            Presented::Key(key) => self.known(&key).map(Some),
        }
    }

    /// The caller of a client route whose headers named none.
    pub fn caller_in_body(&self, write_key: Option<&str>) -> Result<Caller, Problem> {
        match write_key.filter(|key| !key.is_empty()) {
            Some(key) => self.known(key),
            None if self.required => Err(Problem::unauthorized()),
            None => Ok(self.keyless.clone()),
        }
    }

    /// The caller of a client route without a body; counted as one event.
    pub fn client(&self, headers: &HeaderMap) -> Result<Caller, Problem> {
        let caller = match self.caller_in_headers(headers)? {
            Some(caller) => caller,
            None => self.caller_in_body(None)?,
        };
        caller.spend(1, 0)?;
        Ok(caller)
    }

    /// The caller of an admin route.
    pub fn admin(&self, headers: &HeaderMap) -> Result<Caller, Problem> {
        let caller = self.caller_in_headers(headers)?.ok_or_else(Problem::unauthorized)?;
        match caller.role {
            Role::Admin => Ok(caller),
            Role::Client => Err(Problem::new(Kind::Forbidden, "this needs an admin key; the one sent is a write key")),
        }
    }

    /// The callers of this name, by their hashes: keys, and whoever needs none.
    #[must_use]
    pub fn named(&self, name: &str) -> Vec<KeyHash> {
        let mut hashes = self.keys.named(name);
        hashes.extend((!self.required && name == KEYLESS).then_some(KEYLESS_HASH));
        hashes
    }

    /// The caller with this hash, as long as they may come in.
    pub fn by_hash(&self, hash: &KeyHash) -> Result<Caller, Problem> {
        match *hash == KEYLESS_HASH {
            true if self.required => Err(Problem::unauthorized()),
            true => Ok(self.keyless.clone()),
            false => Self::caller(self.keys.look_up_hash(hash)),
        }
    }

    fn known(&self, key: &str) -> Result<Caller, Problem> {
        Self::caller(self.keys.look_up(key))
    }

    fn caller(found: Lookup) -> Result<Caller, Problem> {
        match found {
            Lookup::Known(caller) => Ok(caller),
            Lookup::Unknown => Err(Problem::unauthorized()),
            Lookup::CannotTell => Err(Problem::new(
                Kind::KeysUnavailable,
                "keys cannot be checked just now; send this again after Retry-After",
            )),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Presented {
    Nothing,
    Malformed,
    Key(String),
}

fn presented(headers: &HeaderMap) -> Presented {
    if let Some(value) = headers.get("x-api-key") {
        return text(value.to_str().ok());
    }
    let Some(value) = headers.get(AUTHORIZATION) else { return Presented::Nothing };
    let Some((scheme, rest)) = value.to_str().ok().and_then(|v| v.trim().split_once(' ')) else {
        return Presented::Malformed;
    };
    if scheme.eq_ignore_ascii_case("bearer") {
        return text(Some(rest));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return Presented::Malformed;
    }
    let pair = STANDARD.decode(rest.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    text(pair.as_deref().map(|pair| pair.split_once(':').map_or(pair, |(user, _)| user)))
}

fn text(key: Option<&str>) -> Presented {
    match key.map(str::trim) {
        Some(key) if !key.is_empty() => Presented::Key(key.to_owned()),
        _ => Presented::Malformed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fair_use::meter::Allowance;
    use crate::keys::configured;
    use http::HeaderValue;
    use std::time::Duration;

    fn of(pairs: &[(&'static str, &str)]) -> Presented {
        presented(&pairs.iter().map(|(k, v)| ((*k).parse().unwrap(), HeaderValue::from_str(v).unwrap())).collect())
    }

    fn basic(pair: &str) -> String {
        format!("Basic {}", STANDARD.encode(pair))
    }

    #[test]
    fn a_key_may_come_in_any_header_and_x_api_key_wins() {
        let key = |k: &str| Presented::Key(k.to_owned());
        assert_eq!(of(&[]), Presented::Nothing);
        assert_eq!(of(&[("x-api-key", " k ")]), key("k"));
        assert_eq!(of(&[("authorization", "Bearer k")]), key("k"));
        assert_eq!(of(&[("authorization", "bearer k")]), key("k"));
        assert_eq!(of(&[("authorization", &basic("k:"))]), key("k"));
        assert_eq!(of(&[("authorization", &basic("k:password"))]), key("k"));
        assert_eq!(of(&[("authorization", &basic("k"))]), key("k"));
        assert_eq!(of(&[("authorization", "Bearer weak"), ("x-api-key", "strong")]), key("strong"));
    }

    #[test]
    fn a_header_that_holds_no_key_is_malformed_and_not_asked_again_in_the_body() {
        for pair in
            [("x-api-key", ""), ("authorization", "k"), ("authorization", "Basic !!"), ("authorization", "Digest x")]
        {
            assert_eq!(of(&[pair]), Presented::Malformed, "{pair:?}");
        }
        assert_eq!(of(&[("authorization", &basic(":password"))]), Presented::Malformed);
    }

    #[test]
    fn a_write_key_opens_no_admin_route_and_an_unknown_one_none_at_all() {
        let configured = configured::read(&["k".to_owned()], &["root".to_owned()], &[], |m| panic!("{m}"));
        let door = Door::new(Keys::new(&configured, Duration::ZERO, Allowance::UNLIMITED).into(), true);
        let with =
            |key: &str| HeaderMap::from_iter([("x-api-key".parse().unwrap(), HeaderValue::from_str(key).unwrap())]);
        assert_eq!(door.admin(&with("k")).unwrap_err().kind(), Kind::Forbidden);
        assert_eq!(door.admin(&HeaderMap::new()).unwrap_err().kind(), Kind::Unauthorized);
        assert!(door.admin(&with("root")).is_ok() && door.client(&with("root")).is_ok());
        assert_eq!(door.client(&with("other")).unwrap_err().kind(), Kind::KeysUnavailable);
        assert_eq!(door.client(&HeaderMap::new()).unwrap_err().kind(), Kind::Unauthorized);
        let open = Door { required: false, ..door };
        assert_eq!(&*open.client(&HeaderMap::new()).unwrap().source, KEYLESS);
        assert_eq!(&*open.caller_in_body(Some("k")).unwrap().source, "client-1");
    }
}
