//! Which campaigns an event sets off: the one engine that ingest asks for its reply and the worker for the record.
//!
//! A campaign document ([`definition`]) is compiled once ([`compile`]) into a [`Catalog`]; an event then meets only the
//! campaigns that listen to its name. A campaign matches when its status is `active` and all its rules hold
//! ([`crate::domain::rules`]). Triggers are exact and case-sensitive; a campaign listens to `trigger` and to each of `triggers`.
//! Nothing here fails on stored data: a malformed campaign is [`Inert`], says why, and harms no other.

pub mod assignment;
pub mod caps;
mod catalog;
mod client_object;
mod compiled;
pub mod definition;
pub mod delivery;
pub mod goal;
mod option;
pub mod schedule;
#[cfg(test)]
mod tests;

pub use catalog::Catalog;
pub use client_object::client_object;
pub use compiled::{Compiled, Inert, compile};
pub use definition::{Status, Valid, validate};

pub use super::rules::{Facts, Fault, Fields, JsonFields};
