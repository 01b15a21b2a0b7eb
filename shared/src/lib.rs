//! The rules and the edges that `ingest` and `worker` have in common.
//!
//! The promise in one line: **an event answered with success is fsynced in the stream; an offset advances in the same
//! transaction as its effects; every event ends in exactly one named outcome.**

pub mod domain;
