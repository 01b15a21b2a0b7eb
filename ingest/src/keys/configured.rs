//! Keys that come from the environment: comma lists whose entries are `key` or `name:key`.
//!
//! The name becomes the `source` of the events that come with the key; without one it is `client-1`, `client-2`, … by position.
//! A key holds no colon (it would end early in a Basic header as well).

use shared::runtime::settings::Secret;

use super::Role;

/// One key of the environment.
#[derive(Debug, Clone)]
pub struct ConfiguredKey {
    /// Source of its events.
    pub name: String,
    /// The key itself.
    pub key: Secret,
    /// What it opens.
    pub role: Role,
    /// For identity verification.
    pub identity_secret: Option<Secret>,
}

/// Reads both lists, and the identity secrets of write keys. `mistake` is told what is wrong, never with a key or secret itself.
pub fn read(
    client: &[String],
    admin: &[String],
    identity_secrets: &[String],
    mut mistake: impl FnMut(String),
) -> Vec<ConfiguredKey> {
    let mut keys = Vec::with_capacity(client.len() + admin.len());
    for (list, variable, role) in [(client, "CLIENT_API_KEYS", Role::Client), (admin, "ADMIN_API_KEYS", Role::Admin)] {
        for (position, entry) in (1..).zip(list) {
            match entry_of(entry, role, position) {
                Ok(key) => keys.push(key),
                Err(why) => mistake(format!("{variable}: entry {position} {why}")),
            }
        }
    }
    for (position, entry) in (1..).zip(identity_secrets) {
        let (name, secret) = entry.split_once(':').map_or(("", ""), |(name, secret)| (name.trim(), secret.trim()));
        let mut named = keys.iter_mut().filter(|key| key.role == Role::Client && key.name == name).peekable();
        if secret.is_empty() || named.peek().is_none() {
            let why = "is not `name:secret` with a name that a key in CLIENT_API_KEYS has";
            mistake(format!("IDENTITY_SECRETS: entry {position} {why}"));
        }
        named.for_each(|key| key.identity_secret = Some(Secret::from(secret.to_owned())));
    }
    keys
}

/// May a key be called so? Names go into the source of events, and into logs.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    !name.is_empty() && name.len() <= 64 && name.bytes().all(plain)
}

fn entry_of(entry: &str, role: Role, position: usize) -> Result<ConfiguredKey, &'static str> {
    let (name, key) = match entry.split_once(':') {
        Some((name, key)) => (name.trim().to_owned(), key.trim()),
        None => (format!("{}-{position}", role.as_str()), entry),
    };
    if !is_name(&name) {
        return Err("has a name that is not 1 to 64 letters, digits, `_`, `-` or `.`");
    }
    if key.is_empty() || key.contains(':') || key.len() > super::KEY_BYTES {
        return Err("is not `key` or `name:key` with a key of 1 to 255 bytes and no colon");
    }
    Ok(ConfiguredKey { name, key: Secret::from(key.to_owned()), role, identity_secret: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_may_carry_a_name() {
        let mut said = Vec::new();
        let keys =
            read(&["abc".to_owned(), "web: k2".to_owned(), "bad name:k3".to_owned()], &["root".to_owned()], &[], |m| {
                said.push(m)
            });
        let named: Vec<_> = keys.iter().map(|k| (k.name.as_str(), k.key.expose(), k.role)).collect();
        assert_eq!(
            named,
            [("client-1", "abc", Role::Client), ("web", "k2", Role::Client), ("admin-1", "root", Role::Admin)]
        );
        assert_eq!(said.len(), 1);
        assert!(said[0].contains("entry 3") && !said[0].contains("k3"), "{said:?}");
    }

    #[test]
    fn identity_secrets_go_to_the_write_keys_of_their_name() {
        let list = |entries: &[&str]| entries.iter().map(|e| (*e).to_owned()).collect::<Vec<_>>();
        let mut said = Vec::new();
        let secrets = list(&["web:s3cret", "admin-1:no", "nobody:no", "web"]);
        let keys = read(&list(&["web:k1", "web:k2", "app:k3"]), &list(&["root"]), &secrets, |m| said.push(m));
        let with: Vec<_> = keys.iter().filter(|k| k.identity_secret.is_some()).map(|k| k.key.expose()).collect();
        assert_eq!(with, ["k1", "k2"]);
        assert_eq!(said.len(), 3, "{said:?}");
        assert!(said.iter().all(|m| m.contains("IDENTITY_SECRETS") && !m.contains("s3cret")));
    }
}
