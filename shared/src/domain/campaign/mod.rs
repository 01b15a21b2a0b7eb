//! Which campaigns an event sets off: the one engine that ingest asks for its reply and the worker for the record.
//!
//! A campaign document ([`definition`]) is compiled once ([`compile`]) into a [`Catalog`]; an event then meets only the
//! campaigns that listen to its name: `trigger` and each of `triggers`, exactly as spelt, or with `trigger_match: "loose"` without
//! case and with `_` as a blank. Then [`delivery`] decides: status or preview, rules ([`crate::domain::rules`]), [`schedule`],
//! opt-out, roll-out ([`assignment`]), [`caps`], hold-out and variant. A [`goal`] tells what a match was worth, a [`webhook`] whom to tell of it.
//! [`explain`] tells people how it came to that, [`backtest`] what would have come of the past; a [`person`] is what is known of a user while their past is gone through again.
//! Nothing here fails on stored data: a malformed campaign is [`Inert`], says why, and harms no other.

pub mod assignment;
pub mod backtest;
pub mod caps;
mod catalog;
mod client_object;
mod compiled;
pub mod definition;
pub mod delivery;
pub mod explain;
pub mod goal;
mod option;
pub mod person;
pub mod schedule;
#[cfg(test)]
mod tests;
pub mod webhook;
mod window;

pub use catalog::{Catalog, Contents, Listeners, Triggered, Wants, folded};
pub use client_object::client_object;
pub use compiled::{Compiled, Inert, compile};
pub use definition::{Status, Valid, validate};

pub use super::rules::{Facts, Fault, Fields, JsonFields};
