//! The edge to PostgreSQL that both programs share: connecting, the schema's version, the documents that admins own
//! with their history, dead letters, erasures and tombstones, webhooks, and the snapshot of the campaigns; why a campaign matched, and
//! what a draft would have matched; and counting what fails.
//!
//! What only one program does with the database lives in that program.

pub mod backtest;
pub mod campaigns;
pub mod catalog;
pub mod changes;
pub mod connection;
pub mod dead_letters;
pub mod documents;
pub mod durability;
pub mod erasures;
pub mod explain;
pub mod failure;
pub mod occurrences;
pub mod schema;
pub mod shown;
pub mod subject_access;
pub mod tombstones;
pub mod webhooks;
