//! How many requests one client address may make, whatever key it holds.
//!
//! Generous: behind one address there may be a whole carrier. An address that no client of the open network has is more likely a
//! proxy that nobody named in `TRUSTED_PROXIES`: then the log says so. IPv6 clients are told apart by their first 56 bits, which is what
//! one of them usually holds. At most [`MOST_CLIENTS`] addresses are remembered (some 10 MB); while all of those are busy, further
//! ones go unlimited: a flood from everywhere must not shut out the clients of every day.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::bucket::{Bucket, Rate};
use super::client_address::ClientAddress;
use super::quota::Quota;
use crate::problem::{Kind, Problem};

/// Addresses remembered at once.
const MOST_CLIENTS: usize = 100_000;
/// Between looks for addresses that need not be remembered any more.
const SWEEP: Duration = Duration::from_secs(1);
/// The log speaks of a proxy this often at most.
const QUIET: Duration = Duration::from_secs(60);

/// The limit, and what each address has left.
#[derive(Debug)]
pub struct Addresses {
    rate: Option<Rate>,
    clients: Mutex<Clients>,
}

#[derive(Debug, Default)]
struct Clients {
    buckets: HashMap<IpAddr, Bucket>,
    swept_at: Option<Instant>,
    warned_at: Option<Instant>,
}

impl Addresses {
    /// So many requests a second; 0 is no limit.
    #[must_use]
    pub fn new(per_second: u64, burst_seconds: u32) -> Self {
        Self { rate: Rate::new(per_second, burst_seconds), clients: Mutex::default() }
    }

    /// Counts a request.
    pub fn admit(&self, client: ClientAddress, now: Instant) -> Result<(), Problem> {
        let Some(rate) = self.rate else { return Ok(()) };
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let network = network(client.0);
        if !clients.buckets.contains_key(&network) && !clients.has_room(now) {
            return Ok(());
        }
        let bucket = clients.buckets.entry(network).or_insert_with(|| Bucket::full(rate, now));
        if bucket.level(now) > 0.0 {
            bucket.take(1.0);
            return Ok(());
        }
        let quota = Quota::dry(bucket);
        clients.suspect_proxy(network, now);
        let message = "too many requests from this address; try again after Retry-After";
        Err(Problem::new(Kind::RateLimited, message).with_quota(quota))
    }
}

impl Clients {
    fn suspect_proxy(&mut self, address: IpAddr, now: Instant) {
        let is_inside = match address {
            IpAddr::V4(v4) => v4.is_private() || v4.is_loopback(),
            IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local(),
        };
        if is_inside && self.warned_at.is_none_or(|at| now.duration_since(at) >= QUIET) {
            self.warned_at = Some(now);
            tracing::warn!(%address, "an inside address is over ADDRESS_REQUESTS_PER_SECOND: if it is a proxy, name it in TRUSTED_PROXIES");
        }
    }

    /// Forgets full buckets when there are too many: a fresh one is full as well.
    fn has_room(&mut self, now: Instant) -> bool {
        if self.buckets.len() < MOST_CLIENTS {
            return true;
        }
        if self.swept_at.is_none_or(|at| now.duration_since(at) >= SWEEP) {
            self.swept_at = Some(now);
            self.buckets.retain(|_, bucket| bucket.level(now) < bucket.rate().burst());
        }
        self.buckets.len() < MOST_CLIENTS
    }
}

/// What counts as one client.
#[must_use]
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << (128 - 56)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(n: u32) -> ClientAddress {
        ClientAddress(IpAddr::V4(n.into()))
    }

    #[test]
    fn each_address_has_its_own_burst_and_one_ipv6_network_is_one_client() {
        let limit = Addresses::new(1, 2);
        let now = Instant::now();
        let admitted = |address: &str| limit.admit(ClientAddress(address.parse().unwrap()), now).is_ok();
        assert_eq!(["10.0.0.1", "::ffff:10.0.0.1", "10.0.0.1", "10.0.0.2"].map(admitted), [true, true, false, true]);
        let six = ["2001:db8:0:1::1", "2001:db8:0:2::9", "2001:db8::3", "2001:db8:1::1"];
        assert_eq!(six.map(admitted), [true, true, false, true]);
        assert!(limit.admit("10.0.0.1".parse().map(ClientAddress).unwrap(), now + Duration::from_secs(1)).is_ok());
    }

    #[test]
    fn memory_is_bounded_and_those_already_known_stay_limited() {
        let limit = Addresses::new(1, 1);
        let now = Instant::now();
        for n in 0..=u32::try_from(MOST_CLIENTS).unwrap() {
            assert!(limit.admit(v4(n), now).is_ok());
        }
        assert_eq!(limit.clients.lock().unwrap().buckets.len(), MOST_CLIENTS);
        assert!(limit.admit(v4(7), now).is_err());
        assert!(limit.admit(v4(u32::MAX), now + Duration::from_secs(2)).is_ok());
        assert_eq!(limit.clients.lock().unwrap().buckets.len(), 1, "the others were full again");
    }
}
