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
}

/// Reads both lists. `mistake` is told what is wrong, never with the key itself.
pub fn read(client: &[String], admin: &[String], mut mistake: impl FnMut(String)) -> Vec<ConfiguredKey> {
    let mut keys = Vec::with_capacity(client.len() + admin.len());
    for (list, variable, role) in [(client, "CLIENT_API_KEYS", Role::Client), (admin, "ADMIN_API_KEYS", Role::Admin)] {
        for (position, entry) in (1..).zip(list) {
            match entry_of(entry, role, position) {
                Ok(key) => keys.push(key),
                Err(why) => mistake(format!("{variable}: entry {position} {why}")),
            }
        }
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
    Ok(ConfiguredKey { name, key: Secret::from(key.to_owned()), role })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_may_carry_a_name() {
        let mut said = Vec::new();
        let keys =
            read(&["abc".to_owned(), "web: k2".to_owned(), "bad name:k3".to_owned()], &["root".to_owned()], |m| {
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
}
