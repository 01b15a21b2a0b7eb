//! Identity verification: a write key sits in every app, so it alone must not open what is known of a user.
//!
//! A key may have a secret, which its owner's server knows and no app. Whoever then reads something about a user with that key sends
//! `user_hash`, the HMAC-SHA256 of the user id under the secret in hexadecimal, as query parameter `user_hash` or header
//! `X-User-Hash`; the app gets it from its own server after its login. Sending events needs none.
//!
//! | without it | what happens |
//! |---|---|
//! | campaigns, flags, receipts and matches of a user | 403 `user_not_verified` |
//! | `matched` in the reply to a track | empty, and says so |
//! | `user` in the reply to an identify | only what was sent, and says so |
//!
//! Admin keys, strangers (placeholder ids, no id), visitors known only by their device's anonymous id, and keys without a secret are
//! asked for nothing.

use hmac::{Hmac, KeyInit, Mac};
use http::HeaderMap;
use sha2::Sha256;
use shared::domain::user_key::{KeyKind, UserKey};

use crate::app::App;
use crate::keys::{Caller, Role};
use crate::problem::{Kind, Problem};
use crate::query::Query;

/// Why a reply leaves out what is known of a user.
pub const NOT_VERIFIED: &str = "the user is not verified: this key needs user_hash";

/// The secret of a key.
pub struct IdentitySecret(Box<str>);

impl std::fmt::Debug for IdentitySecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("IdentitySecret(***)")
    }
}

impl IdentitySecret {
    /// From its text.
    #[must_use]
    pub fn new(secret: &str) -> Self {
        Self(secret.into())
    }

    /// Is this the hash of that user? Compared in constant time.
    fn verifies(&self, user_id: &str, hash: &str) -> bool {
        let mut sent = [0; 32];
        if hash.len() != 64 || !unhex(hash, &mut sent) {
            return false;
        }
        // It takes secrets of any length.
        let Ok(mut hmac) = Hmac::<Sha256>::new_from_slice(self.0.as_bytes()) else { return false };
        hmac.update(user_id.as_bytes());
        hmac.verify_slice(&sent).is_ok()
    }
}

/// May this caller read about this user? `query` is that of the request's address.
#[must_use]
pub fn is_verified(caller: &Caller, user: Option<UserKey<'_>>, headers: &HeaderMap, query: &Query<'_>) -> bool {
    let known = user.filter(|user| user.kind == KeyKind::User);
    let Some((secret, user)) = caller.identity.as_ref().filter(|_| caller.role == Role::Client).zip(known) else {
        return true;
    };
    let header = || headers.get("x-user-hash").and_then(|value| value.to_str().ok()).map(str::trim);
    query.text("user_hash").or_else(header).is_some_and(|hash| secret.verifies(user.id, hash))
}

/// The same, as a gate.
pub fn verify(
    caller: &Caller,
    user: Option<UserKey<'_>>,
    headers: &HeaderMap,
    query: &Query<'_>,
) -> Result<(), Problem> {
    if is_verified(caller, user, headers, query) {
        return Ok(());
    }
    let message = "this key reads about a user only with user_hash, the hexadecimal HMAC-SHA256 of the user id under the key's \
                   identity secret; get it from your own server";
    Err(Problem::new(Kind::UserNotVerified, message))
}

/// Opens a client route that reads about `user_id` (or `userId`), if that is a known user.
pub fn asked_about<'q>(app: &App, headers: &HeaderMap, query: &'q Query<'_>) -> Result<Option<UserKey<'q>>, Problem> {
    let caller = app.door.client(headers)?;
    let user_id = query.id("user_id")?.or(query.id("userId")?);
    let user = user_id.and_then(|id| UserKey::of(Some(id), None, &app.settings.pipeline.placeholders));
    verify(&caller, user, headers, query)?;
    Ok(user)
}

fn unhex(text: &str, bytes: &mut [u8; 32]) -> bool {
    let digits = |pair: &[u8]| pair.iter().try_fold(0, |n, digit| Some(n << 4 | char::from(*digit).to_digit(16)?));
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        let Some(read) = digits(pair).and_then(|n: u32| u8::try_from(n).ok()) else { return false };
        *byte = read;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, test case 2.
    const HASH: &str = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";

    #[test]
    fn the_hash_is_the_standard_one_of_exactly_this_user() {
        let secret = IdentitySecret::new("Jefe");
        let user = "what do ya want for nothing?";
        assert!(secret.verifies(user, HASH) && secret.verifies(user, &HASH.to_uppercase()));
        for wrong in ["", &HASH[..62], &HASH.replace('5', "6"), &HASH.replace('5', "g"), &"é".repeat(32)] {
            assert!(!secret.verifies(user, wrong), "{wrong}");
        }
        assert!(!secret.verifies("another", HASH) && !IdentitySecret::new("x").verifies(user, HASH));
    }
}
