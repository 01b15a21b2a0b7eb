//! The worker's own settings; what it shares with ingest is in [`shared::runtime::settings::pipeline`].

use std::time::Duration;

use shared::domain::retention::Limits;
use shared::runtime::settings::pipeline::{self, Pipeline};
use shared::runtime::settings::{InForce, Mistakes, Reader, Secret, Setting};

use crate::erasure::receipt;

use crate::archive::folder::Folder;
use crate::jobs::retention::Rules;
use crate::jobs::retention::sweep::Periods;
use crate::webhooks;
use crate::webhooks::reach::Reach;

static WORKER_LISTEN: Setting =
    Setting::new("WORKER_LISTEN", "127.0.0.1:4101", "address of /livez, /readyz and /metrics; port 0 takes a free one");
static WORKER_NAME: Setting = Setting::new("WORKER_NAME", "worker", "how this process is called in tables and logs");
static FLUSHERS: Setting = Setting::new(
    "FLUSHERS",
    "1",
    "owners in this process, each with its own connection; two fill two cores, four only contend",
);
static FLUSH_EVENTS: Setting = Setting::new("FLUSH_EVENTS", "4000", "a flush begins at this many events");
static FLUSH_BYTES: Setting = Setting::new("FLUSH_BYTES", "8388608", "… or at this many bytes of events");
static FLUSH_AGE: Setting =
    Setting::new("FLUSH_AGE_MILLISECONDS", "10", "… or when the oldest event has waited this long");
static LEASE: Setting =
    Setting::new("LEASE_SECONDS", "10", "how long a silent worker keeps its partitions; the same for all workers");
static SESSION_LOCK: Setting = Setting::new(
    "SESSION_LOCK",
    "true",
    "hold a lock by which peers see at once that this process died; `false` behind a transaction pooler",
);
static REPLAY_WINDOW: Setting = Setting::new(
    "REPLAY_WINDOW_SECONDS",
    "86400",
    "processed messages stay in the stream this long, or until half of it is full",
);
static JOB_INTERVAL: Setting =
    Setting::new("JOB_INTERVAL_SECONDS", "3600", "how often event partitions are made ahead and expired ones dropped");
static RETENTION_BYTES: Setting = Setting::new(
    "RETENTION_BYTES",
    "0",
    "the oldest days of events go until all are smaller than this, with indexes, but never the last 8; 0: no limit",
);
static MATCHES_DAYS: Setting = Setting::new(
    "MATCHES_DAYS",
    "400",
    "how long matches and conversions are kept of campaigns without a frequency cap; with one, all are",
);
static DEAD_LETTERS_DAYS: Setting = Setting::new(
    "DEAD_LETTERS_DAYS",
    "90",
    "how long dead letters are kept after they were driven again or discarded; open ones stay",
);
static CHANGES_DAYS: Setting = Setting::new(
    "CHANGES_DAYS",
    "1100",
    "how long the history of campaigns, segments and flags is kept; the last change of each stays",
);
static ARCHIVE_DIR: Setting = Setting::new(
    "ARCHIVE_DIR",
    "",
    "folder that each day is exported to before it is dropped; one that all workers share; empty: no export",
);
static TRIM_INTERVAL: Setting =
    Setting::new("TRIM_INTERVAL_SECONDS", "10", "how often processed messages are trimmed from the stream");
static AUDIT_INTERVAL: Setting = Setting::new(
    "AUDIT_INTERVAL_SECONDS",
    "30",
    "how often the continuous audit compares the stream with the books (`pipeline_audit_imbalance`)",
);

static WEBHOOK_ALLOW_NETWORKS: Setting = Setting::new(
    "WEBHOOK_ALLOW_NETWORKS",
    "",
    "addresses or networks that webhooks may be sent to although they are not public, also without TLS, with commas, such as 10.20.0.0/16",
);
static WEBHOOK_TIMEOUT: Setting =
    Setting::new("WEBHOOK_TIMEOUT_SECONDS", "10", "longest wait for the answer of a webhook's receiver");
static WEBHOOK_RETRY: Setting = Setting::new(
    "WEBHOOK_RETRY_SECONDS",
    "5",
    "a message that was not taken is sent again after so long, then four times as long, and so on up to a day; 11 times in all",
);
static WEBHOOK_PAUSE_FAILURES: Setting =
    Setting::new("WEBHOOK_PAUSE_FAILURES", "10", "a webhook is paused after so many failures in a row, …");
static WEBHOOK_PAUSE: Setting = Setting::new("WEBHOOK_PAUSE_SECONDS", "3600", "… when they began so long ago");
static WEBHOOK_DAYS: Setting = Setting::new(
    "WEBHOOK_DAYS",
    "30",
    "how long messages to receivers are listed after they were taken or given up; others stay as long as their event",
);

static ERASURE_SIGNING_KEY: Setting = Setting::new(
    "ERASURE_SIGNING_KEY",
    "",
    "Ed25519 key that receipts of erasures are signed with (`openssl rand -base64 32`), the same for all workers; without it one is made and kept in the database",
)
.secret();

/// Every setting of this group, for the table and `.env.example`.
pub static ALL: [&Setting; 24] = [
    &WORKER_LISTEN,
    &WORKER_NAME,
    &FLUSHERS,
    &FLUSH_EVENTS,
    &FLUSH_BYTES,
    &FLUSH_AGE,
    &LEASE,
    &SESSION_LOCK,
    &REPLAY_WINDOW,
    &JOB_INTERVAL,
    &RETENTION_BYTES,
    &MATCHES_DAYS,
    &DEAD_LETTERS_DAYS,
    &CHANGES_DAYS,
    &ARCHIVE_DIR,
    &TRIM_INTERVAL,
    &AUDIT_INTERVAL,
    &WEBHOOK_ALLOW_NETWORKS,
    &WEBHOOK_TIMEOUT,
    &WEBHOOK_RETRY,
    &WEBHOOK_PAUSE_FAILURES,
    &WEBHOOK_PAUSE,
    &WEBHOOK_DAYS,
    &ERASURE_SIGNING_KEY,
];

/// Everything the worker is told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Shared with ingest.
    pub pipeline: Pipeline,
    /// Address of the HTTP server.
    pub listen: std::net::SocketAddr,
    /// Name in tables and logs.
    pub name: String,
    /// Owners per lane in this process.
    pub flushers: u64,
    /// Flush at this many events.
    pub flush_events: usize,
    /// Flush at this many bytes.
    pub flush_bytes: usize,
    /// Flush when the oldest event is this old.
    pub flush_age: Duration,
    /// How long a silent owner keeps its partitions.
    pub lease: Duration,
    /// Hold a session lock.
    pub session_lock: bool,
    /// How long processed messages stay.
    pub replay_window: Duration,
    /// Interval of the partition jobs.
    pub job_interval: Duration,
    /// What is kept, and what becomes of the rest.
    pub retention: Rules,
    /// Interval of the trimming job.
    pub trim_interval: Duration,
    /// Interval of the continuous audit.
    pub audit_interval: Duration,
    /// How webhooks are sent.
    pub webhooks: webhooks::Rules,
    /// Signs receipts of erasures; empty: the database's own.
    pub erasure_signing_key: Secret,
}

impl Settings {
    /// Reads everything; either all values or all mistakes.
    pub fn read(mut reader: Reader) -> Result<(Self, InForce), Mistakes> {
        let size = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        let pipeline = Pipeline::read(&mut reader);
        let listen = reader.text(&WORKER_LISTEN);
        let retention = rules(&mut reader, pipeline.retention_days);
        let lease = reader.duration(&LEASE);
        let webhooks = webhooks(&mut reader, lease);
        let settings = Self {
            pipeline,
            listen: listen.parse().unwrap_or_else(|_| {
                reader.mistake(format!("WORKER_LISTEN={listen} is not an address such as 127.0.0.1:4101"));
                std::net::SocketAddr::from(([127, 0, 0, 1], 0))
            }),
            name: reader.text(&WORKER_NAME),
            flushers: reader.number(&FLUSHERS, 1..=16),
            flush_events: size(reader.number(&FLUSH_EVENTS, 1..=100_000)),
            flush_bytes: size(reader.number(&FLUSH_BYTES, 1_024..=256 << 20)),
            flush_age: reader.duration(&FLUSH_AGE),
            lease,
            session_lock: reader.flag(&SESSION_LOCK),
            replay_window: reader.duration(&REPLAY_WINDOW),
            job_interval: reader.duration(&JOB_INTERVAL),
            retention,
            trim_interval: reader.duration(&TRIM_INTERVAL),
            audit_interval: reader.duration(&AUDIT_INTERVAL),
            webhooks,
            erasure_signing_key: reader.text(&ERASURE_SIGNING_KEY).into(),
        };
        if let Err(wrong) = receipt::seed_of(settings.erasure_signing_key.expose()) {
            reader.mistake(wrong.to_string());
        }
        for (setting, value) in [
            (&LEASE, settings.lease),
            (&JOB_INTERVAL, settings.job_interval),
            (&TRIM_INTERVAL, settings.trim_interval),
            (&AUDIT_INTERVAL, settings.audit_interval),
        ] {
            if value < Duration::from_millis(500) {
                reader.mistake(format!("{} must be at least 0.5", setting.name));
            }
        }
        if settings.job_interval > Duration::from_secs(86_400) {
            reader.mistake(
                "JOB_INTERVAL_SECONDS must be at most 86400: partitions are made a week ahead, and dropped by the day",
            );
        }
        if settings.flush_age > settings.lease / 2 {
            reader.mistake("FLUSH_AGE_MILLISECONDS must be below half of LEASE_SECONDS");
        }
        reader.finish().map(|in_force| (settings, in_force))
    }

    /// Reads the environment, and starts logging when that succeeds.
    pub fn from_environment() -> Result<Self, Mistakes> {
        let (settings, in_force) = Self::read(Reader::from_environment())?;
        shared::runtime::logging::start(&settings.pipeline);
        in_force.log();
        Ok(settings)
    }
}

fn webhooks(reader: &mut Reader, lease: Duration) -> webhooks::Rules {
    let reach = Reach::parse(&reader.list(&WEBHOOK_ALLOW_NETWORKS)).unwrap_or_else(|bad| {
        reader
            .mistake(format!("WEBHOOK_ALLOW_NETWORKS={bad} is neither an address nor a network, such as 10.20.0.0/16"));
        Reach::default()
    });
    let timeout = reader.duration(&WEBHOOK_TIMEOUT);
    if timeout < Duration::from_millis(100) || timeout > Duration::from_secs(60) {
        reader.mistake("WEBHOOK_TIMEOUT_SECONDS must be from 0.1 to 60");
    }
    let first_retry = reader.duration(&WEBHOOK_RETRY);
    if first_retry < Duration::from_millis(10) {
        reader.mistake("WEBHOOK_RETRY_SECONDS must be at least 0.01: a receiver that fails needs a pause");
    }
    webhooks::Rules {
        reach,
        timeout,
        first_retry,
        pause_after_failures: u32::try_from(reader.number(&WEBHOOK_PAUSE_FAILURES, 1..=10_000)).unwrap_or(u32::MAX),
        pause_after: reader.duration(&WEBHOOK_PAUSE),
        lease,
    }
}

fn rules(reader: &mut Reader, days: u16) -> Rules {
    let bytes = reader.number(&RETENTION_BYTES, 0..=1 << 60);
    let mut period = |setting, least| u16::try_from(reader.number(setting, least..=3_650)).unwrap_or(u16::MAX);
    let periods = Periods {
        // No goal looks back further.
        matches: period(&MATCHES_DAYS, 90),
        dead_letters: period(&DEAD_LETTERS_DAYS, 1),
        changes: period(&CHANGES_DAYS, 1),
        webhooks: period(&WEBHOOK_DAYS, 1),
    };
    let archive = Some(reader.text(&ARCHIVE_DIR)).filter(|path| !path.is_empty()).map(Folder::new);
    Rules { limits: Limits { days, bytes }, periods, archive }
}

/// All settings of the program, shared ones first.
pub fn all() -> impl Iterator<Item = &'static Setting> {
    pipeline::ALL.into_iter().chain(ALL)
}
