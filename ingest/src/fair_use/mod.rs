//! No client takes more than its share, and none can drown the others.
//!
//! | limit | counts | before |
//! |---|---|---|
//! | [`address`] | requests per client address | the key is looked at |
//! | [`meter`] | events and bytes per key | events are judged |
//! | [`admin_writes`] | changes through the admin API per address | the change is read |
//!
//! The first two are token [`bucket`]s: `burst_seconds` of their rate may be used at once, and what is used comes back at the rate.
//! Every limit is kept per process: n processes behind a balancer give n times as much. [`client_address`] says whose address
//! counts behind proxies, [`quota`] what the answer tells the client. What is refused here was not accepted: SDKs send it again.

pub mod address;
pub mod admin_writes;
pub mod bucket;
pub mod client_address;
pub mod meter;
pub mod quota;
