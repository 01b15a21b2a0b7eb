//! Lanes: the streams that hold the events, one stream each, never another subject of one stream (streams sync in parallel).
//!
//! The [`Layout`] is part of a stream's metadata: it decides where a user's events lie, so it is what the programs work with,
//! whatever their settings say. Its epoch is part of the subject. A stream's *generation* is our id in its metadata and its creation
//! time: a stream that was deleted and made anew has another one, whatever its name.

use std::collections::HashMap;
use std::time::Duration;

use async_nats::jetstream::{
    self, Context,
    context::GetStreamErrorKind,
    stream::{Config, DiscardPolicy, Info, RetentionPolicy, StorageType},
};
use chrono::{DateTime, SecondsFormat, Utc};
use uuid::Uuid;

use super::StreamError;
use crate::domain::layout::Layout;
use crate::runtime::settings::pipeline::Pipeline;

const STREAM_ID: &str = "ec-stream-id";
const PARTITIONS: &str = "ec-partitions";
const LANES: &str = "ec-lanes";
const EPOCH: &str = "ec-epoch";
/// The last message of the layout before.
const BARRIER: &str = "ec-barrier";
/// When an operator adopted the stream after a gap, which makes ingest trust it again. Values grow: one that does not is no adoption
/// but another stream or an older copy, which know less of it. (The letter in front sorts after the bare UUIDs of earlier releases.)
const ADOPTED: &str = "ec-adopted";

/// Names of one lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lane {
    /// From 0.
    pub number: u16,
    /// Stream name, `<prefix>_<lane>`.
    pub stream: String,
    /// Its one subject: `<prefix>.<lane>`, and from the first repartition on `<prefix>.<epoch>.<lane>`.
    pub subject: String,
    /// Its one subject while the pipeline is being repartitioned. Only `worker repartition` publishes there.
    pub sealed_subject: String,
}

impl Lane {
    /// Lane `number` under a prefix, as it is created.
    #[must_use]
    pub fn new(prefix: &str, number: u16) -> Self {
        Self::of_epoch(prefix, 0, number)
    }

    fn of_epoch(prefix: &str, epoch: u32, number: u16) -> Self {
        let subject = match epoch {
            0 => format!("{prefix}.{number}"),
            epoch => format!("{prefix}.{epoch}.{number}"),
        };
        let sealed_subject = format!("{prefix}.sealed.{number}");
        Self { number, stream: format!("{prefix}_{number}"), subject, sealed_subject }
    }

    /// All lanes of a layout.
    #[must_use]
    pub fn all(prefix: &str, layout: Layout) -> Vec<Self> {
        (0..layout.lanes).map(|number| Self::of_epoch(prefix, layout.epoch, number)).collect()
    }

    /// Does a message under this subject belong here? Barriers do.
    #[must_use]
    pub fn takes(&self, subject: &str) -> bool {
        subject == self.subject || subject == self.sealed_subject
    }

    /// The same lane under a layout with this epoch.
    #[must_use]
    pub fn at_epoch(&self, epoch: u32) -> Self {
        Self::of_epoch(self.prefix(), epoch, self.number)
    }

    /// What the names of all lanes begin with.
    #[must_use]
    pub fn prefix(&self) -> &str {
        self.stream.strip_suffix(&format!("_{}", self.number)).unwrap_or(&self.stream)
    }
}

/// What a stream says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamState {
    /// Identity of this very stream; see the module.
    pub generation: String,
    /// Grows with each adoption, in the order of texts; empty before the first.
    pub adopted: String,
    /// When it was created or last adopted, in milliseconds since 1970: sequences from before do not compare with those from then on.
    pub since: i64,
    /// Lowest sequence still there, or the next one to come when it is empty.
    pub first_seq: u64,
    /// Highest sequence ever.
    pub last_seq: u64,
    /// Bytes held.
    pub bytes: u64,
    /// Bytes it may hold.
    pub max_bytes: i64,
    /// Messages held.
    pub messages: u64,
    /// The layout that its messages are cut by.
    pub layout: Layout,
    /// Closed for events while the pipeline is being repartitioned.
    pub sealed: bool,
    /// Messages up to here are of the layout before, and processed.
    pub barrier: u64,
    /// Kept on how many nodes.
    pub replicas: usize,
    /// Everything about its configuration that would break the promise; empty when it is fine.
    pub problems: Vec<String>,
}

/// A handle on JetStream whose calls give up after five seconds.
#[must_use]
pub fn jetstream(client: async_nats::Client) -> Context {
    let mut context = jetstream::new(client);
    context.set_timeout(Duration::from_secs(5));
    context
}

/// Reads a stream's state. `None`: there is no such stream.
pub async fn state(context: &Context, lane: &Lane) -> Result<Option<StreamState>, StreamError> {
    let doing = || format!("reading stream {}", lane.stream);
    match context.get_stream(&lane.stream).await {
        Ok(stream) => Ok(Some(describe(stream.cached_info(), lane))),
        Err(e) => match e.kind() {
            GetStreamErrorKind::JetStream(answer) if answer.error_code() == jetstream::ErrorCode::STREAM_NOT_FOUND => {
                Ok(None)
            }
            _ => Err(StreamError::new(doing(), e)),
        },
    }
}

/// Creates the stream of a lane, with everything the promise needs. Fails when one of that name exists with another configuration.
pub async fn create(
    context: &Context,
    lane: &Lane,
    settings: &Pipeline,
    layout: Layout,
) -> Result<StreamState, StreamError> {
    create_under(context, lane, settings, layout, lane.at_epoch(layout.epoch).subject).await
}

/// The same, closed for events until it is opened ([`super::seal::open`]).
pub async fn create_sealed(
    context: &Context,
    lane: &Lane,
    settings: &Pipeline,
    layout: Layout,
) -> Result<StreamState, StreamError> {
    create_under(context, lane, settings, layout, lane.sealed_subject.clone()).await
}

async fn create_under(
    context: &Context,
    lane: &Lane,
    settings: &Pipeline,
    layout: Layout,
    subject: String,
) -> Result<StreamState, StreamError> {
    let mut metadata = HashMap::from([(STREAM_ID.to_owned(), Uuid::new_v4().to_string())]);
    describe_layout(&mut metadata, layout);
    let config = Config {
        name: lane.stream.clone(),
        subjects: vec![subject],
        description: Some("EmbeddedCraft events; see the project's README before changing anything".to_owned()),
        storage: StorageType::File,
        retention: RetentionPolicy::Limits,
        discard: DiscardPolicy::New,
        max_bytes: settings.stream_max_bytes,
        max_age: Duration::ZERO,
        duplicate_window: Duration::from_secs(120),
        num_replicas: settings.stream_replicas,
        allow_direct: true,
        deny_delete: true,
        metadata,
        ..Config::default()
    };
    match context.create_stream(config).await {
        Ok(stream) => Ok(describe(stream.cached_info(), lane)),
        // Another process was quicker; its stream is as good.
        Err(error) => match state(context, lane).await? {
            Some(state) => Ok(state),
            None => Err(StreamError::new(format!("creating stream {}", lane.stream), error)),
        },
    }
}

/// Changes a stream's one subject, and its layout and barrier if they are given. Says what came of it.
pub(super) async fn change(
    context: &Context,
    lane: &Lane,
    subject: &str,
    layout: Option<(Layout, u64)>,
) -> Result<StreamState, StreamError> {
    let doing = || format!("changing the subject of stream {} to {subject}", lane.stream);
    let stream = context.get_stream(&lane.stream).await.map_err(|e| StreamError::new(doing(), e))?;
    let mut config = stream.cached_info().config.clone();
    config.subjects = vec![subject.to_owned()];
    if let Some((layout, barrier)) = layout {
        describe_layout(&mut config.metadata, layout);
        config.metadata.insert(BARRIER.to_owned(), barrier.to_string());
    }
    let info = context.update_stream(config).await.map_err(|e| StreamError::new(doing(), e))?;
    Ok(describe(&info, lane))
}

fn describe_layout(metadata: &mut HashMap<String, String>, layout: Layout) {
    metadata.insert(PARTITIONS.to_owned(), layout.partitions.to_string());
    metadata.insert(LANES.to_owned(), layout.lanes.to_string());
    if layout.epoch > 0 {
        metadata.insert(EPOCH.to_owned(), layout.epoch.to_string());
    }
}

/// Marks a stream as adopted, so that every ingest process trusts it again.
pub async fn mark_adopted(context: &Context, lane: &Lane) -> Result<(), StreamError> {
    let doing = || format!("marking stream {} as adopted", lane.stream);
    let stream = context.get_stream(&lane.stream).await.map_err(|e| StreamError::new(doing(), e))?;
    // Later than whatever was before, also by a clock that is behind.
    let since = describe(stream.cached_info(), lane).since;
    let now = DateTime::from_timestamp_millis(since + 1).map_or_else(Utc::now, |next| next.max(Utc::now()));
    let mut config = stream.cached_info().config.clone();
    let now = now.to_rfc3339_opts(SecondsFormat::Millis, true);
    config.metadata.insert(ADOPTED.to_owned(), format!("t{now}-{}", Uuid::new_v4()));
    context.update_stream(config).await.map_err(|e| StreamError::new(doing(), e))?;
    Ok(())
}

/// Reads one message whole. `None`: it is not there (any more, or yet).
pub async fn message(
    context: &Context,
    lane: &Lane,
    seq: u64,
) -> Result<Option<async_nats::jetstream::message::StreamMessage>, StreamError> {
    let doing = || format!("reading message {seq} of stream {}", lane.stream);
    let stream = context.get_stream_no_info(&lane.stream).await.map_err(|e| StreamError::new(doing(), e))?;
    match stream.get_raw_message(seq).await {
        Ok(message) => Ok(Some(message)),
        Err(e) => match e.kind() {
            async_nats::jetstream::stream::RawMessageErrorKind::NoMessageFound => Ok(None),
            _ => Err(StreamError::new(doing(), e)),
        },
    }
}

/// The time in the mark of an adoption, in milliseconds.
fn adopted_at(mark: &str) -> Option<i64> {
    let (time, _) = mark.strip_prefix('t')?.split_once("Z-")?;
    DateTime::parse_from_rfc3339(&format!("{time}Z")).ok().map(|time| time.timestamp_millis())
}

fn describe(info: &Info, lane: &Lane) -> StreamState {
    let config = &info.config;
    let metadata = |key: &str| config.metadata.get(key).map_or("", String::as_str);
    let number = |key: &str| metadata(key).parse().unwrap_or(0);
    let layout =
        Layout { epoch: metadata(EPOCH).parse().unwrap_or(0), partitions: number(PARTITIONS), lanes: number(LANES) };
    let sealed = config.subjects == [lane.sealed_subject.clone()];
    let mut problems = Vec::new();
    let mut expect = |holds: bool, what: &str| {
        if !holds {
            problems.push(format!("stream {}: {what}", lane.stream));
        }
    };
    expect(!metadata(STREAM_ID).is_empty(), "it was not created by this product (no id in its metadata)");
    expect(config.storage == StorageType::File, "its storage must be file");
    expect(config.retention == RetentionPolicy::Limits, "its retention must be limits");
    expect(
        config.discard == DiscardPolicy::New,
        "its discard policy must be new: the old one drops unprocessed events",
    );
    expect(config.max_age.is_zero(), "it must have no max_age: events may wait longer");
    expect(config.max_messages <= 0, "it must have no max_msgs");
    expect(!config.no_ack, "it must acknowledge");
    expect(sealed || config.subjects == [lane.at_epoch(layout.epoch).subject], "it must have exactly its own subject");
    expect(
        !matches!(config.persist_mode, Some(async_nats::jetstream::stream::PersistenceMode::Async)),
        "its persist mode must not be async: it switches sync_interval off",
    );
    StreamState {
        generation: format!("{}@{}", metadata(STREAM_ID), info.created.to_rfc3339()),
        adopted: metadata(ADOPTED).to_owned(),
        since: adopted_at(metadata(ADOPTED)).unwrap_or(i64::MIN).max(info.created.timestamp_millis()),
        // A stream that never held a message says 0.
        first_seq: info.state.first_sequence.max(1),
        last_seq: info.state.last_sequence,
        bytes: info.state.bytes,
        max_bytes: config.max_bytes,
        messages: info.state.messages,
        layout,
        sealed,
        barrier: metadata(BARRIER).parse().unwrap_or(0),
        replicas: config.num_replicas,
        problems,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_of_an_adoption_tells_its_time() {
        assert_eq!(adopted_at(&format!("t2026-03-01T00:00:00.007Z-{}", Uuid::nil())), Some(1_772_323_200_007));
        // Of earlier releases, and of none.
        assert_eq!((adopted_at(&Uuid::nil().to_string()), adopted_at("")), (None, None));
    }

    #[test]
    fn subjects_of_different_layouts_never_meet() {
        let first = Lane::new("EVENTS", 2);
        assert_eq!((first.stream.as_str(), first.subject.as_str()), ("EVENTS_2", "EVENTS.2"));
        let later = Lane::all("EVENTS", Layout { epoch: 7, partitions: 16, lanes: 3 }).remove(2);
        assert_eq!((later.stream.as_str(), later.subject.as_str()), ("EVENTS_2", "EVENTS.7.2"));
        assert_eq!((first.at_epoch(7), later.at_epoch(0)), (later, first));
    }
}
