//! Everything fails, on purpose and by a seed: the pipeline runs under load while one fault after the other strikes it, and in the end
//! the [`oracle`](crate::oracle) and `worker audit` say whether anything acknowledged was lost, doubled or put out of order.
//!
//! [`fault`] is the catalogue, [`schedule`] decides from a seed what strikes when, [`world`] builds the servers and programs that a
//! fault needs, [`strikes`] do the harm and heal it, [`run`] drives one fault from the load to the verdict, [`controls`] are
//! pipelines that are broken on purpose and must be caught, [`report`] is what people and machines read.

pub mod controls;
pub mod fault;
pub mod report;
pub mod run;
pub mod schedule;
pub mod strikes;
pub mod world;
