//! Owning partitions: who may write what, and the loop that does it.
//!
//! [`crew`] are all owners of this process; [`owner`] is the loop around the sessions of one owner (one lane); `session` is one of them, with its connection, its partitions and
//! its reader; `heartbeat` keeps its leases and its fair share; [`leases`] are its statements about ownership; [`session_lock`] tells peers at once when this process dies; [`buffer`] holds what was read and not
//! yet flushed; [`behind`] estimates what was not read; [`doubt`] tells a gap from a node that is
//! behind; [`share`] is the arithmetic of fairness.

pub mod behind;
pub mod buffer;
pub mod crew;
pub mod doubt;
mod heartbeat;
pub mod leases;
pub mod owner;
mod session;
pub mod session_lock;
pub mod share;
