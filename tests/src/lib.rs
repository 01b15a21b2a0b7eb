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
//! | [`cluster`], [`proxy`] | three NATS servers, and a network that fails on request |
//! | [`database`] | a database per test |
//! | [`roles`] | the database roles that the programs work under |
//! | [`program`] | an `ingest` or `worker` process: start, wait, kill, pause, log |
//! | [`pipeline`] | all of it with one call |
//! | [`door`] | bad requests, and the rules that every answer obeys |
//! | [`hostile`] | requests as nobody should send them |
//! | [`http1`], [`client`] | requests as SDKs send them |
//! | [`matching`] | what an event matched, in the reply and in the record |
//! | [`meaning`] | what a JSON text means, without the pipeline's code |
//! | [`metrics`] | what `/metrics` says |
//! | [`books`] | the worker's audit must find nothing |
//! | [`recount`] | the daily sums once more, from the rows |
//! | [`load`], [`oracle`] | many events with a record of each, and the judge |
//! | [`known_set`], [`stored_as_sent`] | what real SDKs are given to send, and the comparison with every row |
//! | [`sdk`], [`browser`], [`answer_dropper`] | real SDKs, a page in a real browser, and a proxy that loses answers |
//! | [`console`], [`demonstration`] | clicks in a real browser, and something to look at |
//! | [`chaos`] | everything fails, on purpose and by a seed |
//! | [`skip`] | saying that a test cannot run here |
//! | [`proxy`], [`image`] | a network and a disk that fail on request |
//! | [`legacy`], [`legacy_store`] | requests as the old SDK sent them; stores of the old server, made up |
//! | [`certificates`] | an authority, and a server's certificate |
//! | [`receiver`] | somebody whom campaigns tell of their matches |
//! | [`schemathesis`] | calls made up from the document of the API |
//! | [`upgrade`] | programs of two versions at once |
//! | [`witness`] | a good client beside harm, and the memory that the harm cost |
//! | [`parsers`] | what the parsers of existing clients need |

pub mod answer_dropper;
pub mod books;
pub mod browser;
pub mod certificates;
pub mod chaos;
pub mod cleanup;
pub mod client;
pub mod cluster;
pub mod console;
pub mod database;
pub mod days;
pub mod demonstration;
pub mod door;
pub mod eventually;
pub mod folder;
pub mod hostile;
pub mod http1;
pub mod image;
pub mod known_set;
pub mod legacy;
pub mod legacy_store;
pub mod load;
pub mod matching;
pub mod meaning;
pub mod metrics;
pub mod migration_rules;
pub mod oracle;
pub mod parsers;
pub mod pipeline;
pub mod plans;
pub mod program;
pub mod proxy;

pub mod receiver;
pub mod recount;
pub mod roles;
pub mod schemathesis;
pub mod sdk;
pub mod services;
pub mod skip;
pub mod stored_as_sent;
pub mod stream;
pub mod upgrade;
pub mod witness;
