//! The rules and the edges that `ingest` and `worker` have in common.
//!
//! The promise in one line: **an event answered with success is fsynced in the stream; an offset advances in the same
//! transaction as its effects; every event ends in exactly one named outcome.**
//!
//! [`domain`] is pure; [`stream`] and [`store`] are the edges to NATS JetStream and PostgreSQL; [`runtime`] is what any long-running
//! program needs: settings, logs, metrics, a way to stop. [`redrive`] takes dead letters from the one edge to the other.

pub mod domain;
pub mod redrive;
pub mod runtime;
pub mod store;
pub mod stream;
