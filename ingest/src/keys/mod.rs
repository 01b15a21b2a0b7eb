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
use crate::fair_use::meter::{Allowance, Meter, OwnAllowance};
use crate::identity::IdentitySecret;
use crate::problem::Problem;

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
    /// Of the key; all zeros for who comes without one.
    pub hash: KeyHash,
    /// Name of the key: the `source` of its events.
    pub source: Arc<str>,
    /// What it opens.
    pub role: Role,
    /// How much it may send.
    pub meter: Arc<Meter>,
    /// When set, reads for a user must prove which user it is.
    pub identity: Option<Arc<IdentitySecret>>,
}

impl Caller {
    /// Counts what was sent.
    pub fn spend(&self, events: usize, bytes: usize) -> Result<(), Problem> {
        self.meter.spend(events, bytes, &self.source)
    }
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
    /// Of keys without a limit of their own.
    allowance: Allowance,
}

/// A key as the table has it.
#[derive(Debug)]
pub struct StoredKey {
    /// Source of its events.
    pub name: String,
    /// What it opens.
    pub role: Role,
    /// Limits of its own.
    pub allowance: OwnAllowance,
    /// For identity verification.
    pub identity_secret: Option<String>,
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
    pub fn new(configured: &[ConfiguredKey], keep_for: Duration, allowance: Allowance) -> Self {
        let caller = |k: &ConfiguredKey| Caller {
            hash: hash(k.key.expose()),
            source: k.name.as_str().into(),
            role: k.role,
            meter: Arc::new(Meter::new(allowance)),
            identity: k.identity_secret.as_ref().map(|secret| Arc::new(IdentitySecret::new(secret.expose()))),
        };
        // Admin keys come last in the list, so a key in both lists opens both.
        let configured = configured.iter().map(|k| (hash(k.key.expose()), caller(k))).collect();
        Self { configured, table: RwLock::default(), keep_for, allowance }
    }

    /// What a key without limits of its own may send.
    #[must_use]
    pub fn allowance(&self) -> Allowance {
        self.allowance
    }

    /// Looks a key up.
    #[must_use]
    pub fn look_up(&self, key: &str) -> Lookup {
        if key.len() > KEY_BYTES {
            return Lookup::Unknown;
        }
        self.look_up_hash(&hash(key))
    }

    /// The same by what is kept of a key.
    #[must_use]
    pub fn look_up_hash(&self, hash: &KeyHash) -> Lookup {
        if let Some(caller) = self.configured.get(hash) {
            return Lookup::Known(caller.clone());
        }
        let table = self.table();
        let age = table.read_at.map(|at| at.elapsed());
        match (table.keys.get(hash), age) {
            (Some(caller), Some(age)) if age <= self.keep_for.max(FRESH) => Lookup::Known(caller.clone()),
            (None, Some(age)) if age <= FRESH => Lookup::Unknown,
            _ => Lookup::CannotTell,
        }
    }

    /// The keys of this name that are known; whether one may still be used, [`Self::look_up_hash`] tells.
    #[must_use]
    pub fn named(&self, name: &str) -> Vec<KeyHash> {
        let table = self.table();
        let all = self.configured.values().chain(table.keys.values());
        all.filter(|caller| &*caller.source == name).map(|caller| caller.hash).collect()
    }

    fn table(&self) -> Arc<Table> {
        Arc::clone(&self.table.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Seconds since the table was read; `None` before the first time.
    #[must_use]
    pub fn table_age(&self) -> Option<Duration> {
        self.table.read().unwrap_or_else(PoisonError::into_inner).read_at.map(|at| at.elapsed())
    }

    /// Puts what was read in the place of what was known. A meter goes on as it stands, unless its limits have changed.
    fn replace_table(&self, stored: HashMap<KeyHash, StoredKey>) {
        let before = self.table();
        let caller = |hash: &KeyHash, key: StoredKey| {
            let allowance = key.allowance.or(self.allowance);
            let known = before.keys.get(hash).map(|caller| &caller.meter).filter(|m| m.allowance() == allowance);
            Caller {
                hash: *hash,
                source: key.name.into(),
                role: key.role,
                meter: known.map_or_else(|| Arc::new(Meter::new(allowance)), Arc::clone),
                identity: key.identity_secret.map(|secret| Arc::new(IdentitySecret::new(&secret))),
            }
        };
        let keys = stored.into_iter().map(|(hash, key)| (hash, caller(&hash, key))).collect();
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
        let configured = configured::read(&["web:k1".to_owned()], &["root:k9".to_owned()], &[], |m| panic!("{m}"));
        Keys::new(&configured, Duration::from_secs(60), Allowance::UNLIMITED)
    }

    fn stored(allowance: OwnAllowance) -> HashMap<KeyHash, StoredKey> {
        let key = StoredKey { name: "app".to_owned(), role: Role::Client, allowance, identity_secret: None };
        HashMap::from([(hash("k2"), key)])
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
        keys.replace_table(stored(OwnAllowance::default()));
        assert!(matches!(keys.look_up("k2"), Lookup::Known(c) if &*c.source == "app"));
        assert!(matches!(keys.look_up("k3"), Lookup::Unknown));
        assert!(matches!(keys.look_up(&"k".repeat(300)), Lookup::Unknown));
    }

    #[test]
    fn a_stale_table_still_knows_its_keys_but_no_strangers() {
        let keys = keys();
        keys.replace_table(stored(OwnAllowance::default()));
        let known = keys.table.read().unwrap().keys.clone();
        let read_at = Instant::now().checked_sub(Duration::from_secs(30));
        *keys.table.write().unwrap() = Arc::new(Table { keys: known, read_at });
        assert!(matches!(keys.look_up("k2"), Lookup::Known(_)));
        assert!(matches!(keys.look_up("k3"), Lookup::CannotTell));
    }

    #[test]
    fn a_refresh_fills_no_bucket_but_new_limits_count_at_once() {
        let keys = keys();
        let own =
            |events_per_second| OwnAllowance { events_per_second: Some(events_per_second), ..OwnAllowance::default() };
        let admitted = || matches!(keys.look_up("k2"), Lookup::Known(c) if c.spend(5, 0).is_ok());
        keys.replace_table(stored(own(1)));
        assert!(admitted() && !admitted());
        keys.replace_table(stored(own(1)));
        assert!(!admitted());
        keys.replace_table(stored(own(0)));
        assert!(admitted() && admitted());
    }
}
