//! `POST /v1/matches/token`: a token that opens the stream of one user for a while, in the place of a key.
//!
//! Browsers send no headers when they open a stream, and a key in an address would end up in logs and histories. A token is
//! `1~<until>~<key name>~<mac>`: nothing of it is stored. The MAC holds the key's hash and the user, under a secret that all processes
//! derive from the deployment's salt; so a token is worth nothing with another user, later, or without its key.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, SecondsFormat, Utc};
use hmac::{Hmac, KeyInit, Mac};
use http::header::{CACHE_CONTROL, HeaderValue};
use serde::Serialize;
use sha2::Sha256;
use shared::domain::tombstone::Salt;
use shared::domain::user_key::UserKey;
use sqlx::postgres::PgPool;
use tokio::time::sleep;
use utoipa::ToSchema;

use super::Feed;
use super::ack::{Sent, sent};
use crate::app::App;
use crate::intake::ok;
use crate::keys::{Caller, KeyHash};
use crate::openapi::refusals::{AboutUser, AsksDatabase, ReadsBody, ReadsParameters};
use crate::problem::{Kind, Problem};
use shared::store::tombstones;

/// What the secret is derived for.
const PURPOSE: &str = "match tokens 1";
/// How often the salt is read: a database may be replaced by another.
const REFRESH: std::time::Duration = std::time::Duration::from_secs(60);
/// Between attempts.
const RETRY: std::time::Duration = std::time::Duration::from_secs(1);

#[derive(Serialize, ToSchema)]
#[schema(as = MatchToken)]
struct Issued {
    /// For `GET /v1/matches/stream?user_id=…&token=…` of the same user.
    token: String,
    /// It opens no stream from then on; what is open stays open.
    #[schema(format = DateTime)]
    expires_at: String,
}

/// A token for a stream of matches.
///
/// For browsers, which send no headers when they open one. It is good for a quarter of an hour, for this user, and as long as its key is.
#[utoipa::path(
    post, path = "/v1/matches/token", operation_id = "matchToken", tag = "For apps",
    request_body(content = ref("#/components/schemas/MatchTokenRequest"), content_type = "application/json"),
    responses((status = 200, description = "The token.", body = Issued), ReadsBody, ReadsParameters, AboutUser, AsksDatabase),
)]
pub async fn issue(State(app): State<Arc<App>>, request: Request) -> Response {
    answer(&app, request).await.unwrap_or_else(IntoResponse::into_response)
}

async fn answer(app: &App, request: Request) -> Result<Response, Problem> {
    let Sent { caller, receiver, .. } = sent(app, request).await?;
    let until = Utc::now() + app.settings.matches.token;
    let token = Token { until: until.timestamp(), key: &caller.hash, user: receiver.key() };
    let token = token.write(&caller.source, &app.feed.salt()?);
    let expires_at = until.to_rfc3339_opts(SecondsFormat::Secs, true);
    let mut response = ok(&Issued { token, expires_at })?;
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// The caller whose token it is, if it opens this user's stream now.
pub fn admit(app: &App, text: &str, user: Option<UserKey<'_>>, now: DateTime<Utc>) -> Result<Caller, Problem> {
    let refused = || {
        let message =
            "the token has expired, or is of another user or key, or is none: get one with POST /v1/matches/token";
        Problem::new(Kind::Unauthorized, message)
    };
    let salt = app.feed.salt()?;
    let (name, until, mac) = parts(text).ok_or_else(refused)?;
    let user = user.filter(|_| now.timestamp() < until).ok_or_else(refused)?;
    let keys = app.door.named(name);
    let key = keys.iter().find(|key| Token { until, key, user }.is(&mac, &salt)).ok_or_else(refused)?;
    app.door.by_hash(key)
}

/// What a token says.
struct Token<'a> {
    /// Seconds since 1970.
    until: i64,
    key: &'a KeyHash,
    user: UserKey<'a>,
}

impl Token<'_> {
    fn write(&self, name: &str, salt: &Salt) -> String {
        let mac = self.mac(salt).map(|mac| URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())).unwrap_or_default();
        format!("1~{}~{name}~{mac}", self.until)
    }

    /// Compared in constant time.
    fn is(&self, mac: &[u8], salt: &Salt) -> bool {
        self.mac(salt).is_some_and(|own| own.verify_slice(mac).is_ok())
    }

    fn mac(&self, salt: &Salt) -> Option<Hmac<Sha256>> {
        // It takes secrets of any length.
        let mut mac = Hmac::<Sha256>::new_from_slice(&salt.secret_for(PURPOSE)).ok()?;
        mac.update(&self.until.to_be_bytes());
        mac.update(self.key);
        for part in [self.user.kind.as_str(), self.user.id] {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
        Some(mac)
    }
}

/// The key's name, until when, and the MAC.
fn parts(text: &str) -> Option<(&str, i64, Vec<u8>)> {
    let mut parts = text.strip_prefix("1~")?.split('~');
    let (until, name, mac) = (parts.next()?.parse().ok()?, parts.next()?, parts.next()?);
    let mac = URL_SAFE_NO_PAD.decode(mac).ok()?;
    (parts.next().is_none() && mac.len() == 32).then_some((name, until, mac))
}

/// Keeps the deployment's salt at hand.
pub async fn keep_salt(pool: PgPool, feed: Arc<Feed>) {
    loop {
        // While the database is away nothing can be read either way.
        let read = async { tombstones::salt(&mut *pool.acquire().await?).await };
        match read.await {
            Ok(salt) => {
                feed.set_salt(salt);
                sleep(REFRESH).await;
            }
            Err(_) => sleep(RETRY).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_of_one_user_one_key_one_time_and_one_deployment() {
        let (salt, other) = (Salt::new(vec![1; 32]), Salt::new(vec![2; 32]));
        let (key, user) = ([7; 32], UserKey::user("ada"));
        let token = Token { until: 1_000, key: &key, user };
        let text = token.write("web", &salt);
        let (name, until, mac) = parts(&text).unwrap();
        assert_eq!((name, until), ("web", 1_000));
        assert!(token.is(&mac, &salt) && !token.is(&mac, &other));
        assert!(!Token { until: 1_001, ..token }.is(&mac, &salt));
        assert!(!Token { until, key: &[8; 32], user }.is(&mac, &salt));
        for user in [UserKey::user("bob"), UserKey::anonymous("ada")] {
            assert!(!Token { until, key: &key, user }.is(&mac, &salt));
        }
        assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b"~-_.".contains(&b)), "{text}");
        for wrong in ["", "1~", "1~x~web~AA", "2~1000~web~", &text[..text.len() - 1], &format!("{text}~x")] {
            assert!(parts(wrong).is_none(), "{wrong}");
        }
    }
}
