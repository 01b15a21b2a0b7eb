//! The move from the old server's `data.json` to here, and back.
//!
//! A file is read as a stream of elements ([`source`]), never as a whole: what it takes in memory is its largest element, and two
//! filters whose size is bounded ([`filter`]). It is read once to see what stands twice ([`survey`]), once to find everything that is
//! odd ([`plan`], [`report`]), and once more to be imported ([`import`]): documents by [`documents`], users and events through the
//! stream by [`publish`]. What cannot be imported goes to the [`rejects`]; [`verify`] compares the file with the database afterwards.
//! The import reads a [`backup`] copy that was compared with the original. [`export`] is the way back.
//!
//! What each element becomes is decided by [`shared::domain::legacy`]. Invariants: every element of the file is imported, rejected with
//! a reason, left out by an explicit choice, or there already; running an import again, also one that was killed, adds only what is
//! not there yet and overwrites nothing.

pub mod backup;
pub mod documents;
pub mod erased;
pub mod export;
pub mod filter;
pub mod hold;
pub mod import;
pub mod memory;
pub mod plan;
pub mod progress;
pub mod publish;
pub mod rejects;
pub mod report;
pub mod source;
pub mod stored;
pub mod survey;
pub mod verify;
pub mod verify_rows;
