//! Support for the behaviour tests: the real programs against real PostgreSQL and real NATS.
//!
//! A test asks [`pipeline::Setup`] for a pipeline of its own (a database cloned from a migrated template, a stream prefix,
//! some ingest and worker processes), speaks to it through [`client`], does harm to it through [`program`] and
//! [`services`], and lets the [`oracle`] judge what is left. Nothing here sleeps a fixed time: [`eventually`](eventually::eventually)
//! waits for a condition. Nothing survives a test: programs, streams, databases and folders go when their values are dropped.
//!
//! | room | what it is for |
//! |---|---|
//! | [`services`] | the shared services, and private ones that may be killed |
//! | [`database`] | a database per test |
//! | [`program`] | an `ingest` or `worker` process: start, wait, kill, pause, log |
//! | [`pipeline`] | all of it with one call |
//! | [`door`] | bad requests, and the rules that every answer obeys |
//! | [`hostile`] | requests as nobody should send them |
//! | [`http1`], [`client`] | requests as SDKs send them |
//! | [`matching`] | what an event matched, in the reply and in the record |
//! | [`meaning`] | what a JSON text means, without the pipeline's code |
//! | [`metrics`] | what `/metrics` says |
//! | [`load`], [`oracle`] | many events with a record of each, and the judge |
//! | [`legacy`] | requests as the old SDK sent them |
//! | [`witness`] | a good client beside harm, and the memory that the harm cost |
//! | [`parsers`] | what the parsers of existing clients need |

pub mod cleanup;
pub mod client;
pub mod database;
pub mod door;
pub mod eventually;
pub mod folder;
pub mod hostile;
pub mod http1;
pub mod legacy;
pub mod load;
pub mod matching;
pub mod meaning;
pub mod metrics;
pub mod oracle;
pub mod parsers;
pub mod pipeline;
pub mod program;
pub mod services;
pub mod stream;
pub mod witness;
