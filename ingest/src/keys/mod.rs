//! Who may call: keys of the environment ([`configured`]) and keys of the table `api_keys`, known only by their SHA-256.
//!
//! The whole table is a snapshot, read again every few seconds by [`table::keep_current`]; a request never asks the database.
//! While the database is away the snapshot stays valid for a bounded time. An unknown key is *unauthorised* only while the
//! snapshot is fresh: before that nobody can say, and the answer is "try again".
//! Keys are looked up by digest, so the time a look-up takes says nothing about a key.

pub mod configured;
pub mod table;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use self::configured::ConfiguredKey;

/// Longest key that is looked at.
pub const KEY_BYTES: usize = 255;
/// How often the table is read: a revoked key stops working within this time.
pub const REFRESH: Duration = Duration::from_secs(3);
/// A snapshot this old is stale: the database must be away.
const FRESH: Duration = Duration::from_secs(12);

/// SHA-256 of a key.
pub type KeyHash = [u8; 32];

/// What a key opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Sending events and asking for campaigns.
    Client,
    /// That, and the admin API.
    Admin,
}

impl Role {
    /// The form stored in the table.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Admin => "admin",
        }
    }

    /// Reads that form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Client, Self::Admin].into_iter().find(|role| role.as_str() == text)
    }
}

/// Who calls.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Name of the key: the `source` of its events.
    pub source: Arc<str>,
    /// What it opens.
    pub role: Role,
}

/// What is known about a presented key.
#[derive(Debug)]
pub enum Lookup {
    /// It is this caller's.
    Known(Caller),
    /// It is nobody's.
    Unknown,
    /// The table could not be read lately: nobody can say.
    CannotTell,
}

/// Every key that is known now.
#[derive(Debug)]
pub struct Keys {
    configured: HashMap<KeyHash, Caller>,
    table: RwLock<Arc<Table>>,
    keep_for: Duration,
}

/// The table's keys at one moment; `None` before the first read.
#[derive(Debug, Default)]
struct Table {
    keys: HashMap<KeyHash, Caller>,
    read_at: Option<Instant>,
}

impl Keys {
    /// Keys of the environment, and an empty table. Table keys stay valid for `keep_for` after the last good read.
    #[must_use]
    pub fn new(configured: &[ConfiguredKey], keep_for: Duration) -> Self {
        let caller = |k: &ConfiguredKey| Caller { source: k.name.as_str().into(), role: k.role };
        // Admin keys come last in the list, so a key in both lists opens both.
        let configured = configured.iter().map(|k| (hash(k.key.expose()), caller(k))).collect();
        Self { configured, table: RwLock::default(), keep_for }
    }

    /// Looks a key up.
    #[must_use]
    pub fn look_up(&self, key: &str) -> Lookup {
        if key.len() > KEY_BYTES {
            return Lookup::Unknown;
        }
        let hash = hash(key);
        if let Some(caller) = self.configured.get(&hash) {
            return Lookup::Known(caller.clone());
        }
        let table = Arc::clone(&self.table.read().unwrap_or_else(PoisonError::into_inner));
        let age = table.read_at.map(|at| at.elapsed());
        match (table.keys.get(&hash), age) {
            (Some(caller), Some(age)) if age <= self.keep_for.max(FRESH) => Lookup::Known(caller.clone()),
            (None, Some(age)) if age <= FRESH => Lookup::Unknown,
            _ => Lookup::CannotTell,
        }
    }

    /// Seconds since the table was read; `None` before the first time.
    #[must_use]
    pub fn table_age(&self) -> Option<Duration> {
        self.table.read().unwrap_or_else(PoisonError::into_inner).read_at.map(|at| at.elapsed())
    }

    fn replace_table(&self, keys: HashMap<KeyHash, Caller>) {
        let table = Arc::new(Table { keys, read_at: Some(Instant::now()) });
        *self.table.write().unwrap_or_else(PoisonError::into_inner) = table;
    }
}

/// The form in which keys are kept.
#[must_use]
pub fn hash(key: &str) -> KeyHash {
    Sha256::digest(key.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Keys {
        let configured = configured::read(&["web:k1".to_owned()], &["root:k9".to_owned()], |m| panic!("{m}"));
        Keys::new(&configured, Duration::from_secs(60))
    }

    #[test]
    fn configured_keys_never_need_the_table() {
        let keys = keys();
        assert!(matches!(keys.look_up("k1"), Lookup::Known(c) if &*c.source == "web" && c.role == Role::Client));
        assert!(matches!(keys.look_up("k9"), Lookup::Known(c) if c.role == Role::Admin));
    }

    #[test]
    fn an_unknown_key_is_refused_only_while_the_table_is_known() {
        let keys = keys();
        assert!(matches!(keys.look_up("k2"), Lookup::CannotTell));
        let caller = Caller { source: "app".into(), role: Role::Client };
        keys.replace_table(HashMap::from([(hash("k2"), caller)]));
        assert!(matches!(keys.look_up("k2"), Lookup::Known(c) if &*c.source == "app"));
        assert!(matches!(keys.look_up("k3"), Lookup::Unknown));
        assert!(matches!(keys.look_up(&"k".repeat(300)), Lookup::Unknown));
    }

    #[test]
    fn a_stale_table_still_knows_its_keys_but_no_strangers() {
        let keys = keys();
        let caller = Caller { source: "app".into(), role: Role::Client };
        let read_at = Instant::now().checked_sub(Duration::from_secs(30));
        *keys.table.write().unwrap() = Arc::new(Table { keys: HashMap::from([(hash("k2"), caller)]), read_at });
        assert!(matches!(keys.look_up("k2"), Lookup::Known(_)));
        assert!(matches!(keys.look_up("k3"), Lookup::CannotTell));
    }
}
