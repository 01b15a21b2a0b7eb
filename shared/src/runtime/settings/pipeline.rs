//! The settings that both programs must agree on: where the stream and the database are, and how they are cut.

use std::time::Duration;

use super::{Reader, Secret, Setting};
use crate::domain::layout::Layout;
use crate::domain::user_key::Placeholders;

static PROFILE: Setting = Setting::new(
    "PROFILE",
    "development",
    "`production` refuses development keys, keyless calls and anything that risks data",
);
static DATABASE_URL: Setting =
    Setting::required("DATABASE_URL", "PostgreSQL (15 or newer), postgres://user:password@host:port/database").secret();
static NATS_URL: Setting = Setting::required(
    "NATS_URL",
    "NATS with JetStream (2.15.1 or newer), nats://[user:password@]host:port, several with commas",
)
.secret();
static NATS_MONITOR_URLS: Setting = Setting::new(
    "NATS_MONITOR_URLS",
    "",
    "monitoring address of every NATS node, http://host:port with commas; only there one can see whether writes are synced",
);
static STREAM_PREFIX: Setting = Setting::new("STREAM_PREFIX", "EVENTS", "streams are named `<prefix>_<lane>`");
static STREAM_MAX_BYTES: Setting = Setting::new(
    "STREAM_MAX_BYTES",
    "10737418240",
    "size of each lane's stream; a full stream refuses events. Below 70 % of the volume",
);
static STREAM_REPLICAS: Setting =
    Setting::new("STREAM_REPLICAS", "1", "copies of the stream: 3 on a cluster of three. Used at creation");
static PARTITIONS: Setting =
    Setting::new("PARTITIONS", "16", "units of ownership. Used at creation; `worker repartition` changes it later");
static LANES: Setting =
    Setting::new("LANES", "1", "streams to spread over. Used at creation; `worker repartition` changes it later");
static RETENTION_DAYS: Setting =
    Setting::new("RETENTION_DAYS", "90", "how long events are kept; the same for all programs");
static PLACEHOLDER_USER_IDS: Setting = Setting::new(
    "PLACEHOLDER_USER_IDS",
    "anonymous",
    "user ids that stand for strangers, with commas; the empty one always does",
);
static ACCEPT_DATA_LOSS: Setting = Setting::new(
    "ACCEPT_DATA_LOSS_ON_POWER_CUT",
    "false",
    "`true` runs on a NATS or PostgreSQL that is not proven to sync each write. Never in production",
);
static CATALOG_POLL: Setting =
    Setting::new("CATALOG_POLL_MILLISECONDS", "500", "how often each process looks whether campaigns changed");
static SLOW_STATEMENT: Setting = Setting::new(
    "SLOW_STATEMENT_SECONDS",
    "1",
    "statements that take longer are logged, with their names and without values",
);
static LOG_FORMAT: Setting = Setting::new("LOG_FORMAT", "json", "`json` or `pretty`");
static LOG_LEVEL: Setting =
    Setting::new("LOG_LEVEL", "info,async_nats=warn", "a level, or directives such as `info,worker=debug`");

/// Every setting of this group, for the table and `.env.example`.
pub static ALL: [&Setting; 16] = [
    &PROFILE,
    &DATABASE_URL,
    &NATS_URL,
    &NATS_MONITOR_URLS,
    &STREAM_PREFIX,
    &STREAM_MAX_BYTES,
    &STREAM_REPLICAS,
    &PARTITIONS,
    &LANES,
    &RETENTION_DAYS,
    &PLACEHOLDER_USER_IDS,
    &ACCEPT_DATA_LOSS,
    &CATALOG_POLL,
    &SLOW_STATEMENT,
    &LOG_FORMAT,
    &LOG_LEVEL,
];

/// How log lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    #[default]
    Json,
    /// For people.
    Pretty,
}

/// The values of this group.
#[derive(Debug, Clone)]
pub struct Pipeline {
    /// Refuse everything that is only for development.
    pub production: bool,
    /// PostgreSQL.
    pub database_url: Secret,
    /// NATS, comma list.
    pub nats_url: Secret,
    /// Monitoring addresses, one per node.
    pub nats_monitor_urls: Vec<String>,
    /// Streams are `<prefix>_<lane>`.
    pub stream_prefix: String,
    /// Per lane.
    pub stream_max_bytes: i64,
    /// Used at creation.
    pub stream_replicas: usize,
    /// Used at creation; afterwards the streams say what is in force.
    pub first_layout: Layout,
    /// Days.
    pub retention_days: u16,
    /// Ids of strangers.
    pub placeholders: Placeholders,
    /// Run although durability is not proven.
    pub accept_data_loss: bool,
    /// Poll interval of the catalog.
    pub catalog_poll: Duration,
    /// A statement that takes longer is logged.
    pub slow_statement: Duration,
    /// How log lines look.
    pub log_format: LogFormat,
    /// What is logged.
    pub log_level: String,
}

impl Pipeline {
    /// Reads the group; mistakes go to the reader.
    pub fn read(reader: &mut Reader) -> Self {
        let production = reader.one_of(&PROFILE, &[("development", false), ("production", true)]);
        let accept_data_loss = reader.flag(&ACCEPT_DATA_LOSS);
        if production && accept_data_loss {
            reader.mistake("ACCEPT_DATA_LOSS_ON_POWER_CUT=true is refused by PROFILE=production");
        }
        let stream_prefix = reader.text(&STREAM_PREFIX);
        if !stream_prefix.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-') {
            reader.mistake(format!("STREAM_PREFIX={stream_prefix} may hold only letters, digits, _ and -"));
        }
        let (partitions, lanes) = (reader.number(&PARTITIONS, 1..=1_024), reader.number(&LANES, 1..=64));
        if lanes > partitions {
            reader.mistake(format!("LANES={lanes} is more than PARTITIONS={partitions}: some lanes would stay empty"));
        }
        let narrow = |n: u64| u16::try_from(n).unwrap_or(u16::MAX);
        Self {
            production,
            database_url: reader.text(&DATABASE_URL).into(),
            nats_url: reader.text(&NATS_URL).into(),
            nats_monitor_urls: reader.list(&NATS_MONITOR_URLS),
            stream_prefix,
            stream_max_bytes: i64::try_from(reader.number(&STREAM_MAX_BYTES, 16 << 20..=1 << 50)).unwrap_or(i64::MAX),
            stream_replicas: usize::from(narrow(reader.number(&STREAM_REPLICAS, 1..=5))),
            first_layout: Layout::first(narrow(partitions), narrow(lanes)),
            retention_days: narrow(reader.number(&RETENTION_DAYS, 3..=3_650)),
            placeholders: Placeholders::new(reader.list(&PLACEHOLDER_USER_IDS)),
            accept_data_loss,
            catalog_poll: reader.duration(&CATALOG_POLL),
            slow_statement: reader.duration(&SLOW_STATEMENT),
            log_format: reader.one_of(&LOG_FORMAT, &[("json", LogFormat::Json), ("pretty", LogFormat::Pretty)]),
            log_level: reader.text(&LOG_LEVEL),
        }
    }
}
