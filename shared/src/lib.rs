//! The rules and edges that `ingest` and `worker` share.

pub mod domain;
