//! The worker: from the stream to PostgreSQL, with each event's effects and the position in one transaction.
//!
//! The path of an event: [`reader`] pulls messages of one lane in sequence → [`own::buffer`] keeps the segments of owned partitions
//! → [`flush`] locks and advances the positions, inserts the events, applies traits, matches and books, commits → the next.
//! [`own`] decides what this process owns; [`attach`] proves before each start that no message was skipped, [`audit`] that the books balance; [`jobs`] keep partitions
//! and streams in shape, one leader each; [`erasure`] sweeps up what was stored of a person before the flush met their erasure;
//! [`webhooks`] tells receivers what campaigns matched;
//! [`layout`] says into how many partitions and lanes all of it is cut; [`archive`] is where days go that are kept no longer.
//!
//! Invariants: a position advances only in the transaction that holds the effects of everything up to it; an owner that lost its
//! partition cannot commit; after any failure the state is read from the database again, never assumed.

pub mod archive;
pub mod attach;
pub mod audit;
pub mod commands;
pub mod erasure;
pub mod flush;
pub mod http;
pub mod jobs;
pub mod layout;
pub mod legacy;
pub mod listener;
pub mod metrics;
pub mod own;
pub mod reader;
pub mod run;
pub mod settings;
pub mod status;
pub mod webhooks;

/// A failure to start or to run a command, told to a person.
pub type Problem = Box<dyn std::error::Error + Send + Sync>;
