//! Receipts: the statement about an erasure, signed with Ed25519 as a compact JWS (RFC 7515, RFC 8037), so that any JOSE library can
//! verify one with the public key alone.
//!
//! The key is the setting `ERASURE_SIGNING_KEY`, else one that is made at the first receipt and kept in the database, where ingest and
//! the reading role cannot see it.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::Problem;

/// Bytes of an Ed25519 seed.
const SEED_BYTES: usize = 32;

/// Signs receipts.
pub struct Signer {
    pair: Ed25519KeyPair,
}

impl Signer {
    /// With the key of the setting (Base64 of 32 bytes), or else the database's, made now if there is none.
    pub async fn open(pool: &PgPool, setting: &str) -> Result<Self, Problem> {
        let seed = match seed_of(setting)? {
            Some(seed) => seed,
            None => stored_seed(pool).await?,
        };
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|e| format!("the signing key is none: {e}"))?;
        sqlx::query(
            "/* receipt.open */ UPDATE erasure_secrets SET public_key = $1 WHERE public_key IS DISTINCT FROM $1",
        )
        .bind(pair.public_key().as_ref().to_vec())
        .execute(pool)
        .await?;
        Ok(Self { pair })
    }

    /// Signs a statement.
    pub fn sign(&self, statement: &Value) -> Result<String, Problem> {
        let header =
            json!({"alg": "EdDSA", "typ": "erasure-receipt+jwt", "kid": key_id(self.pair.public_key().as_ref())});
        let text = format!("{}.{}", encoded(&header)?, encoded(statement)?);
        let signature = self.pair.sign(text.as_bytes());
        Ok(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref())))
    }
}

/// Reads the setting: nothing, or a seed.
pub fn seed_of(setting: &str) -> Result<Option<Vec<u8>>, Problem> {
    if setting.is_empty() {
        return Ok(None);
    }
    let seed = STANDARD.decode(setting).ok().filter(|seed| seed.len() == SEED_BYTES);
    seed.map(Some).ok_or_else(|| "ERASURE_SIGNING_KEY is not the Base64 of 32 bytes (openssl rand -base64 32)".into())
}

async fn stored_seed(pool: &PgPool) -> Result<Vec<u8>, Problem> {
    let mut seed = vec![0; SEED_BYTES];
    SystemRandom::new().fill(&mut seed).map_err(|_| "the system gives no random bytes")?;
    // Whoever comes first makes it.
    sqlx::query("/* receipt.stored_seed.erasure_secrets */ UPDATE erasure_secrets SET signing_key = $1 WHERE signing_key IS NULL")
        .bind(seed)
        .execute(pool)
        .await?;
    Ok(sqlx::query_scalar("/* receipt.stored_seed.erasure_secrets.2 */ SELECT signing_key FROM erasure_secrets")
        .fetch_one(pool)
        .await?)
}

fn encoded(value: &Value) -> Result<String, Problem> {
    Ok(URL_SAFE_NO_PAD.encode(serde_json::to_vec(value)?))
}

/// How a key is called: the beginning of its SHA-256.
#[must_use]
pub fn key_id(public_key: &[u8]) -> String {
    digest(&SHA256, public_key).as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// Verifies a receipt with a public key. Takes the JWS, or a JSON object with it as `receipt`, whose other fields must then say
/// the same. Gives back the statement; the error says what is wrong.
pub fn verify(text: &str, public_key: &[u8]) -> Result<Value, Problem> {
    let file: Option<Value> = serde_json::from_str(text.trim()).ok();
    let jws = match &file {
        Some(file) => file["receipt"].as_str().ok_or("the file has no field `receipt`: it is not signed")?,
        None => text.trim(),
    };
    let parts: Vec<&str> = jws.split('.').collect();
    let [header, payload, signature] = parts[..] else {
        return Err("this is no receipt: a compact JWS has three parts".into());
    };
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| "a part of the receipt is no Base64");
    let said: Value = serde_json::from_slice(&decode(header)?).map_err(|_| "the receipt's header is no JSON")?;
    if said["alg"] != "EdDSA" {
        return Err(format!("the receipt is signed with {}, not EdDSA", said["alg"]).into());
    }
    let signed = format!("{header}.{payload}");
    UnparsedPublicKey::new(&ED25519, public_key).verify(signed.as_bytes(), &decode(signature)?).map_err(|_| {
        format!("the signature is not of this receipt and the key {} (it names {})", key_id(public_key), said["kid"])
    })?;
    let statement: Value = serde_json::from_slice(&decode(payload)?).map_err(|_| "the receipt's content is no JSON")?;
    let told = file.as_ref().and_then(Value::as_object).into_iter().flatten().filter(|(name, _)| *name != "receipt");
    for (name, value) in told {
        if statement.get(name).is_some_and(|signed| signed != value) {
            return Err(format!("`{name}` is not what was signed").into());
        }
    }
    Ok(statement)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer() -> Signer {
        Signer { pair: Ed25519KeyPair::from_seed_unchecked(&[7; SEED_BYTES]).unwrap() }
    }

    #[test]
    fn a_receipt_is_verified_and_a_changed_one_is_not() {
        let signer = signer();
        let statement = json!({"id": "7", "counts": {"events": 3}});
        let jws = signer.sign(&statement).unwrap();
        let key = signer.pair.public_key().as_ref().to_vec();
        assert_eq!(verify(&jws, &key).unwrap(), statement);
        let file = json!({"id": "7", "counts": {"events": 3}, "receipt": jws, "public_key": "whatever"});
        assert_eq!(verify(&file.to_string(), &key).unwrap(), statement);

        let mut forged = file;
        forged["counts"]["events"] = json!(4);
        assert!(verify(&forged.to_string(), &key).unwrap_err().to_string().contains("`counts`"));
        let parts: Vec<&str> = jws.split('.').collect();
        let other = encoded(&json!({"id": "8"})).unwrap();
        let none = encoded(&json!({"alg": "none"})).unwrap();
        for forged in [
            format!("{}.{other}.{}", parts[0], parts[2]),
            format!("{none}.{}.{}", parts[1], parts[2]),
            format!("{}.{}", parts[0], parts[1]),
            "{}".to_owned(),
            String::new(),
        ] {
            assert!(verify(&forged, &key).is_err(), "{forged}");
        }
        let stranger = Ed25519KeyPair::from_seed_unchecked(&[8; SEED_BYTES]).unwrap();
        assert!(verify(&jws, stranger.public_key().as_ref()).is_err());
    }

    #[test]
    fn a_key_of_the_settings_is_32_bytes_of_base64_or_nothing() {
        assert_eq!(seed_of("").unwrap(), None);
        assert_eq!(seed_of(&STANDARD.encode([1; 32])).unwrap(), Some(vec![1; 32]));
        assert!(seed_of("secret").is_err() && seed_of(&STANDARD.encode([1; 31])).is_err());
    }
}
