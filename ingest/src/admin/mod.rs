//! The admin API, with admin keys only: [`campaigns`], and the [`events`] that are stored.

pub mod campaigns;
pub mod events;
