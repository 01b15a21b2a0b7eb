//! The settings that only ingest has; what it shares with the worker is in [`shared::runtime::settings::pipeline`].

use std::net::SocketAddr;
use std::time::Duration;

use shared::runtime::settings::pipeline::Pipeline;
use shared::runtime::settings::{Reader, Secret, Setting};

use crate::cors::Origins;
use crate::fair_use::client_address::TrustedProxies;
use crate::fair_use::meter::{Allowance, MOST_PER_SECOND};
use crate::keys::configured::{self, ConfiguredKey};

static LISTEN: Setting = Setting::new("INGEST_LISTEN", "127.0.0.1:4000", "address and port of the HTTP API");
static CLIENT_API_KEYS: Setting = Setting::new(
    "CLIENT_API_KEYS",
    "",
    "write keys, with commas; an entry may be `name:key`, and the name becomes the source of its events",
)
.secret();
static ADMIN_API_KEYS: Setting =
    Setting::new("ADMIN_API_KEYS", "", "admin keys, with commas, written like CLIENT_API_KEYS").secret();
static AUTH_REQUIRED: Setting = Setting::new(
    "AUTH_REQUIRED",
    "true",
    "`false` admits calls without a key on client routes (the old browser SDK never sends one); admin routes always ask",
);
static KEY_CACHE: Setting =
    Setting::new("KEY_CACHE_SECONDS", "3600", "how long keys of the table stay valid while the database is away");
static ALLOWED_ORIGINS: Setting =
    Setting::new("ALLOWED_ORIGINS", "*", "origins whose pages may call the API, with commas, or `*`");
static MAX_BODY: Setting = Setting::new("MAX_BODY_BYTES", "16777216", "largest body, as sent and after decompression");
static MAX_IN_FLIGHT: Setting = Setting::new(
    "MAX_IN_FLIGHT_BYTES",
    "268435456",
    "most bytes of requests that wait for an answer; beyond it requests are refused at once with 503",
);
static MAX_CONNECTIONS: Setting =
    Setting::new("MAX_CONNECTIONS", "10000", "most open connections; further ones wait to be accepted");
static PUBLISH_DEADLINE: Setting = Setting::new(
    "PUBLISH_DEADLINE_SECONDS",
    "5",
    "longest wait for the stream's acknowledgement; then the answer is 503",
);
static MATCH_DEADLINE: Setting = Setting::new(
    "MATCH_DEADLINE_MILLISECONDS",
    "500",
    "longest wait for what is known of a user; then the answer says that it is incomplete",
);
static DATABASE_CONNECTIONS: Setting =
    Setting::new("INGEST_DATABASE_CONNECTIONS", "8", "most connections of one ingest process to PostgreSQL");
static DATABASE_READ_URL: Setting = Setting::new(
    "DATABASE_READ_URL",
    "",
    "a standby of the database, for what people read through the admin API; while it is away or behind, the database itself is read",
)
.secret();
static DATABASE_READ_MAX_LAG: Setting =
    Setting::new("DATABASE_READ_MAX_LAG_SECONDS", "5", "how far behind that standby may be");
static ADMIN_WRITE_LIMIT: Setting = Setting::new(
    "ADMIN_WRITE_LIMIT",
    "50",
    "most changes through the admin API from one address within the window, then 429; 0 is no limit",
);
static ADMIN_WRITE_WINDOW: Setting =
    Setting::new("ADMIN_WRITE_WINDOW_SECONDS", "900", "length of that window; it begins with the first change");
static KEY_EVENTS: Setting = Setting::new(
    "KEY_EVENTS_PER_SECOND",
    "50000",
    "events (and reads) that one key may send to one process per second, unless the key has its own limit; 0 is no limit",
);
static KEY_BYTES: Setting =
    Setting::new("KEY_BYTES_PER_SECOND", "67108864", "the same for the bytes of its bodies, after decompression");
static ADDRESS_REQUESTS: Setting = Setting::new(
    "ADDRESS_REQUESTS_PER_SECOND",
    "5000",
    "requests that one client address may send to one process per second, before its key is looked at; 0 is no limit",
);
static BURST: Setting = Setting::new("BURST_SECONDS", "10", "so many seconds' worth of these limits may come at once");
static TRUSTED_PROXIES: Setting = Setting::new(
    "TRUSTED_PROXIES",
    "",
    "addresses or networks of proxies in front, with commas; the client's address is then read from X-Forwarded-For",
);
static IDENTITY_SECRETS: Setting = Setting::new(
    "IDENTITY_SECRETS",
    "",
    "`name:secret`, with commas, for names in CLIENT_API_KEYS: reads for a user with such a key need a user_hash",
)
.secret();
static DRAIN: Setting = Setting::new(
    "DRAIN_SECONDS",
    "1",
    "how long a stopping ingest says it is unready before it stops accepting, so that load balancers notice",
);

static MATCH_CLAIM: Setting = Setting::new(
    "MATCH_CLAIM_SECONDS",
    "60",
    "how long a match that one device has fetched is kept from the user's other devices, unless it is acknowledged",
);
static MATCH_TOKEN: Setting = Setting::new("MATCH_TOKEN_SECONDS", "900", "how long a token opens a stream of matches");
static MATCH_STREAMS: Setting =
    Setting::new("MATCH_STREAMS", "8000", "most open streams of matches; further ones are refused with 503");
static MATCH_REREAD: Setting = Setting::new(
    "MATCH_REREAD_SECONDS",
    "30",
    "how often a stream of matches looks into the database although nothing woke it",
);
static MATCH_HEARTBEAT: Setting =
    Setting::new("MATCH_HEARTBEAT_SECONDS", "15", "how often a quiet stream of matches shows that it lives");

/// Every setting of ingest, for the table and `.env.example`.
pub static ALL: [&Setting; 28] = [
    &LISTEN,
    &CLIENT_API_KEYS,
    &ADMIN_API_KEYS,
    &AUTH_REQUIRED,
    &KEY_CACHE,
    &ALLOWED_ORIGINS,
    &MAX_BODY,
    &MAX_IN_FLIGHT,
    &MAX_CONNECTIONS,
    &PUBLISH_DEADLINE,
    &MATCH_DEADLINE,
    &DATABASE_CONNECTIONS,
    &DATABASE_READ_URL,
    &DATABASE_READ_MAX_LAG,
    &ADMIN_WRITE_LIMIT,
    &ADMIN_WRITE_WINDOW,
    &KEY_EVENTS,
    &KEY_BYTES,
    &ADDRESS_REQUESTS,
    &BURST,
    &TRUSTED_PROXIES,
    &IDENTITY_SECRETS,
    &DRAIN,
    &MATCH_CLAIM,
    &MATCH_TOKEN,
    &MATCH_STREAMS,
    &MATCH_REREAD,
    &MATCH_HEARTBEAT,
];

/// Keys that `deploy/up` uses on a developer's machine.
const DEVELOPMENT_KEYS: [&str; 2] = ["dev-write-key", "dev-admin-key"];

/// The values.
#[derive(Debug)]
pub struct Settings {
    /// What the worker must agree on.
    pub pipeline: Pipeline,
    /// Where to listen.
    pub listen: SocketAddr,
    /// Write and admin keys of the environment.
    pub keys: Vec<ConfiguredKey>,
    /// Refuse client calls without a key.
    pub auth_required: bool,
    /// How long keys of the table outlive the database.
    pub key_cache: Duration,
    /// Who may call from a browser.
    pub origins: Origins,
    /// Largest body, encoded and decoded.
    pub max_body_bytes: usize,
    /// Budget of all requests in flight.
    pub max_in_flight_bytes: usize,
    /// Open connections.
    pub max_connections: usize,
    /// Longest wait for a PubAck.
    pub publish_deadline: Duration,
    /// Longest wait for traits.
    pub match_deadline: Duration,
    /// Pool size.
    pub database_connections: u32,
    /// A standby for people's reads.
    pub database_read_url: Option<Secret>,
    /// How far behind it may be.
    pub database_read_max_lag: Duration,
    /// Changes of one address through the admin API per window; 0: any number.
    pub admin_write_limit: u32,
    /// That window.
    pub admin_write_window: Duration,
    /// What a key may send that has no limit of its own.
    pub allowance: Allowance,
    /// Requests of one client address; 0: any number.
    pub address_requests_per_second: u64,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: TrustedProxies,
    /// Unready but accepting, when stopping.
    pub drain: Duration,
    /// Matches for apps.
    pub matches: MatchSettings,
}

/// How matches are given to apps.
#[derive(Debug, Clone, Copy)]
pub struct MatchSettings {
    /// A device keeps what it has fetched from others so long.
    pub claim: Duration,
    /// Life of a token.
    pub token: Duration,
    /// Open streams.
    pub streams: usize,
    /// Between looks of a stream that nothing wakes.
    pub reread: Duration,
    /// Between signs of life of a stream.
    pub heartbeat: Duration,
}

impl Settings {
    /// Reads both groups; mistakes go to the reader.
    pub fn read(reader: &mut Reader) -> Self {
        let pipeline = Pipeline::read(reader);
        let listen_text = reader.text(&LISTEN);
        let listen = listen_text.parse().unwrap_or_else(|_| {
            reader.mistake(format!("INGEST_LISTEN={listen_text} is not an address and a port, such as 127.0.0.1:4000"));
            SocketAddr::from(([127, 0, 0, 1], 0))
        });
        let (client, admin) = (reader.list(&CLIENT_API_KEYS), reader.list(&ADMIN_API_KEYS));
        let secrets = reader.list(&IDENTITY_SECRETS);
        let keys = configured::read(&client, &admin, &secrets, |mistake| reader.mistake(mistake));
        let auth_required = reader.flag(&AUTH_REQUIRED);
        if pipeline.production {
            if !auth_required {
                reader.mistake("AUTH_REQUIRED=false is refused by PROFILE=production");
            }
            if keys.iter().any(|k| DEVELOPMENT_KEYS.contains(&k.key.expose())) {
                reader.mistake(
                    "a development key is among CLIENT_API_KEYS or ADMIN_API_KEYS: PROFILE=production refuses it",
                );
            }
        }
        let origins = Origins::parse(&reader.list(&ALLOWED_ORIGINS)).unwrap_or_else(|bad| {
            reader.mistake(format!("ALLOWED_ORIGINS={bad} is not an origin, such as https://app.example.com"));
            Origins::Any
        });
        let trusted_proxies = TrustedProxies::parse(&reader.list(&TRUSTED_PROXIES)).unwrap_or_else(|bad| {
            reader.mistake(format!("TRUSTED_PROXIES={bad} is neither an address nor a network, such as 10.0.0.0/8"));
            TrustedProxies::default()
        });
        let bytes = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        let max_body_bytes = bytes(reader.number(&MAX_BODY, 1 << 20..=1 << 30));
        let max_in_flight_bytes = bytes(reader.number(&MAX_IN_FLIGHT, 1 << 20..=1 << 40));
        if max_in_flight_bytes / 4 < max_body_bytes {
            reader.mistake(format!(
                "MAX_IN_FLIGHT_BYTES={max_in_flight_bytes} is less than four times MAX_BODY_BYTES={max_body_bytes}: the largest body would never fit"
            ));
        }
        Self {
            pipeline,
            listen,
            keys,
            auth_required,
            key_cache: reader.duration(&KEY_CACHE),
            origins,
            max_body_bytes,
            max_in_flight_bytes,
            max_connections: bytes(reader.number(&MAX_CONNECTIONS, 1..=1_000_000)),
            publish_deadline: reader.duration(&PUBLISH_DEADLINE),
            match_deadline: reader.duration(&MATCH_DEADLINE),
            database_connections: u32::try_from(reader.number(&DATABASE_CONNECTIONS, 1..=1_000)).unwrap_or(1),
            database_read_url: Some(reader.text(&DATABASE_READ_URL)).filter(|url| !url.is_empty()).map(Secret::from),
            database_read_max_lag: reader.duration(&DATABASE_READ_MAX_LAG),
            admin_write_limit: u32::try_from(reader.number(&ADMIN_WRITE_LIMIT, 0..=1_000_000)).unwrap_or(0),
            admin_write_window: Duration::from_secs(reader.number(&ADMIN_WRITE_WINDOW, 1..=86_400)),
            allowance: Allowance {
                events_per_second: reader.number(&KEY_EVENTS, 0..=MOST_PER_SECOND),
                bytes_per_second: reader.number(&KEY_BYTES, 0..=MOST_PER_SECOND),
                burst_seconds: u32::try_from(reader.number(&BURST, 1..=3_600)).unwrap_or(1),
            },
            address_requests_per_second: reader.number(&ADDRESS_REQUESTS, 0..=MOST_PER_SECOND),
            trusted_proxies,
            drain: reader.duration(&DRAIN),
            matches: MatchSettings {
                claim: Duration::from_secs(reader.number(&MATCH_CLAIM, 1..=3_600)),
                token: Duration::from_secs(reader.number(&MATCH_TOKEN, 1..=86_400)),
                streams: bytes(reader.number(&MATCH_STREAMS, 0..=1_000_000)),
                reread: Duration::from_secs(reader.number(&MATCH_REREAD, 1..=3_600)),
                heartbeat: Duration::from_secs(reader.number(&MATCH_HEARTBEAT, 1..=3_600)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(given: &[(&str, &str)]) -> String {
        let base = [("DATABASE_URL", "postgres://h/d"), ("NATS_URL", "nats://h")];
        let given = base.iter().chain(given).map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        let mut reader = Reader::from_map(given);
        Settings::read(&mut reader);
        reader.finish().map_or_else(|m| m.to_string(), |_| String::new())
    }

    #[test]
    fn the_defaults_hold_together() {
        assert_eq!(mistakes(&[]), "");
    }

    #[test]
    fn production_refuses_what_is_only_for_development() {
        let said = mistakes(&[
            ("PROFILE", "production"),
            ("AUTH_REQUIRED", "false"),
            ("CLIENT_API_KEYS", "web:dev-write-key"),
        ]);
        assert!(said.contains("AUTH_REQUIRED=false") && said.contains("development key"), "{said}");
        assert_eq!(mistakes(&[("CLIENT_API_KEYS", "dev-write-key"), ("AUTH_REQUIRED", "false")]), "");
    }

    #[test]
    fn a_budget_must_hold_the_largest_body() {
        assert!(mistakes(&[("MAX_IN_FLIGHT_BYTES", "2000000")]).contains("four times"));
        assert!(mistakes(&[("INGEST_LISTEN", "4000")]).contains("address and a port"));
    }
}
