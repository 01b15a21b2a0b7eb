//! The HTTP side of the pipeline: takes events in, answers when they are on disk.
//!
//! The path of an event: [`server`] (connections, each with the limits of [`connection`]) → [`router`] (routes) → [`observe`] (CORS, counting) → [`intake`]
//! ([`budget`], [`auth`], [`body`], [`decode`], the parser of `shared`) → [`publish`] (group commit, one fsync for all who wait) →
//! answer. Meanwhile [`inline`] matches campaigns for the reply, with what is known of the user from [`profile`] and [`overlay`].
//!
//! Beside it: [`admin`] edits campaigns, segments, flags and keys and shows what is stored; [`for_user`] and [`feature_flags`]
//! answer apps about a user (whom [`identity`] verifies), [`matches`] give them what the worker decided, [`analytics`] plots what became
//! of campaigns, [`browser_sdk`] what one SDK asks for itself; [`readiness`] decides whether
//! events may be taken at all; [`keys`] knows who may send them, and [`fair_use`] how many. [`receipts`] tell what became of an
//! event, the live [`tail`] what comes just now. Every failure is a [`problem`], every number a method of [`metrics`];
//! [`openapi`] describes all of it from the code, and the [`console`] shows it to people.
//!
//! Invariants: no success answer before the acknowledgement of the message that carries the event; nothing is buffered beyond
//! its answer; accepting an event never needs the database.

pub mod admin;
pub mod analytics;
pub mod app;
pub mod auth;
pub mod body;
pub mod browser_sdk;
pub mod budget;
pub mod connection;
pub mod console;
pub mod cors;
pub mod database;
pub mod decode;
pub mod fair_use;
pub mod feature_flags;
pub mod for_user;
pub mod health;
pub mod identity;
pub mod inline;
pub mod intake;
pub mod keys;
pub mod matches;
pub mod metrics;
pub mod observe;
pub mod openapi;
pub mod overlay;
pub mod problem;
pub mod profile;
pub mod profile_query;
pub mod publish;
pub mod query;
pub mod readiness;
pub mod receipts;
pub mod router;
pub mod run;
pub mod server;
pub mod settings;
pub mod standby;
pub mod tail;
pub mod upkeep;
pub mod verify;
