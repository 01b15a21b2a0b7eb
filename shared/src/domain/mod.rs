//! The rules of the pipeline, and nothing else: no I/O, no clock, no environment, no randomness of its own.
//!
//! What varies from outside (the time of receipt, random bits, settings) comes in as a value, so every rule here can be
//! tested with plain calls. Neighbours: [`crate::stream`] and [`crate::store`] are the edges that carry these types.

pub mod campaign;
pub mod control;
pub mod day;
pub mod document;
pub mod event;
pub mod event_id;
pub mod feature;
pub mod intake;
pub mod json_text;
pub mod layout;
pub mod legacy;
pub mod limits;
pub mod message;
pub mod outcome;
pub mod raw_object;
pub mod redrive;
pub mod reported;
pub mod retention;
pub mod rollup;
pub mod rules;
pub mod segment;
pub mod timestamp;
pub mod tombstone;
pub mod traits;
pub mod user_key;
pub mod violation;
pub mod webhook;
