//! `/v1/admin`: what people do with an admin key, in the old server's shapes.
//!
//! Every route here passes [`gate`] first: key, then the limit on writes. [`documents`] serves campaigns, segments and feature
//! flags alike, from a [`resource`] that says what is special about each ([`campaigns`], [`segments`], [`features`]);
//! [`edit`] writes them, [`if_match`] guards against lost changes, [`history`] lists changes and goes back. The others show
//! what the pipeline made: why a campaign matched ([`explain`]) and what a draft would have matched ([`backtest`]), [`events`], [`users`], one [`profile`], the [`members`] of a segment ([`scan`]), [`dead_letters`];
//! [`letter_actions`] drive these again or discard them; [`erasure_actions`] erase people, [`erasures`] are the receipts, and [`user_export`] hands out
//! all that is stored of somebody;
//! [`webhooks`] and their [`webhook_deliveries`] tell whether receivers were told;
//! and [`keys`] makes and revokes keys. [`status`] tells how the pipeline is doing, [`metadata`] which names were seen; both answers are
//! [`recent`] ones.
//!
//! Lists take `limit`, `offset` and `cursor` ([`paging`]); what else they take stands in the doc of each.

pub mod backtest;
pub mod campaigns;
pub mod days;
pub mod dead_letters;
pub mod documents;
pub mod edit;
pub mod erasure_actions;
pub mod erasure_request;
pub mod erasures;
pub mod events;
pub mod explain;
pub mod features;
pub mod gate;
pub mod history;
pub mod if_match;
pub mod key_request;
pub mod keys;
pub mod letter_actions;
pub mod letter_request;
pub mod members;
pub mod metadata;
pub mod paging;
pub mod profile;
pub mod recent;
pub mod resource;
pub mod scan;
pub mod segments;
pub mod sent;
pub mod standing;
pub mod status;
pub mod stored_events;
pub mod user_export;
pub mod users;
pub mod webhook_deliveries;
pub mod webhooks;
