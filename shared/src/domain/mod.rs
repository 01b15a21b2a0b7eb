//! The rules of the pipeline: no I/O, no clock, no environment.

pub mod campaign;
pub mod raw_object;
pub mod traits;
