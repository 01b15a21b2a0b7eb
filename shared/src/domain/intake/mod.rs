//! From the bytes of a request to normalised events, in three steps, each a file.
//!
//! [`envelope`] splits a body into raw events without looking inside them, so one bad event never costs its neighbours;
//! [`fields`] splits one raw event into its fields, in any of the spellings that clients use; [`normalise`] judges the fields and
//! makes an [`Event`](super::event::Event), or names everything that is wrong. The same parser serves every route.

pub mod envelope;
pub mod fields;
pub mod leads;
pub mod normalise;
mod values;

pub use normalise::{Rejection, Request, normalise};
