//! Sends what the outbox holds to the receivers of campaigns: at least once, signed, in the order of each user where that is asked for.
//!
//! [`dispatch`] runs in every worker. It [`claim`]s due rows for a while, so that several workers share them and those of a dead one
//! come again, makes the [`payload`], [`sign`]s it, [`send`]s it to an address within [`reach`], and writes down what the [`outcome`]
//! makes of the row ([`finish`]). [`measure`] tells how much waits. Receivers: deploy/WEBHOOKS.md.
//!
//! Invariants: a row is `delivered` only after a 2xx; an attempt that loses its claim (its time ran out, or somebody sent the row again
//! by hand) changes nothing; no secret, no address beyond the host, and nothing of an answer but its status is stored or logged.

pub mod claim;
pub mod dispatch;
pub mod finish;
pub mod measure;
pub mod outcome;
pub mod payload;
pub mod reach;
pub mod send;
pub mod sign;

use std::time::Duration;

use reach::Reach;

/// How messages are sent.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Which addresses may be connected to.
    pub reach: Reach,
    /// Longest attempt, from the name's resolution to the head of the answer.
    pub timeout: Duration,
    /// Until the second attempt; each further wait is longer.
    pub first_retry: Duration,
    /// So many failures in a row, …
    pub pause_after_failures: u32,
    /// … over so long a time, pause an endpoint.
    pub pause_after: Duration,
    /// How long beyond its timeout an attempt keeps its row.
    pub lease: Duration,
}
