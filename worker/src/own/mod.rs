//! Owning partitions: who may write what, and the loop that does it.
//!
//! [`owner`] is the loop of one owner (one connection, one lane); [`leases`] are its statements about ownership; [`session_lock`] tells
//! peers at once when this process dies; [`buffer`] holds what was read and not yet flushed; [`share`] is the arithmetic of fairness.

pub mod buffer;
pub mod leases;
pub mod owner;
pub mod session_lock;
pub mod share;
