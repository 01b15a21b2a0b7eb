//! The edge to NATS JetStream: the connection, the streams ("lanes"), and the proof that a PubAck means "on disk".
//!
//! Ingest publishes [`sealed`] messages to [`lanes`], the worker reads them; [`seal`] closes and opens them for a repartition;
//! a [`notice`] beside the streams says that something was committed; both refuse to run on a server that would lose what it
//! acknowledged ([`durability`]).

pub mod connection;
pub mod durability;
pub mod lanes;
pub mod notice;
pub mod seal;
pub mod sealed;

use std::sync::Arc;

/// A failure of the stream edge, named by what the caller does next: nothing but wait and try again.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{doing}: {cause}")]
pub struct StreamError {
    /// What was tried, e.g. `reading stream EVENTS_0`.
    pub doing: String,
    /// What came back.
    pub cause: Arc<dyn std::error::Error + Send + Sync>,
}

impl StreamError {
    /// Wraps a failure with what was tried.
    pub fn new(doing: impl Into<String>, cause: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self { doing: doing.into(), cause: Arc::new(cause) }
    }
}
