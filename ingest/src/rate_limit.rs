//! How many writes the admin API takes from one address, as the old server counted: a fixed window that begins with the first.
//!
//! Only calls with a valid admin key are counted, all paths together. The address is the connection's: behind a proxy all clients
//! share one. IPv6 clients are told apart by their first 56 bits, which is what one of them usually holds. Counts are kept per
//! process, for at most [`MOST_CLIENTS`] addresses.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};

/// Beyond it the address whose window ends first is forgotten.
const MOST_CLIENTS: usize = 10_000;

/// Where a connection comes from; an extension of each of its requests.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// The counts.
#[derive(Debug)]
pub struct RateLimit {
    limit: u32,
    window: Duration,
    clients: Mutex<HashMap<IpAddr, Window>>,
}

#[derive(Debug)]
struct Window {
    ends: Instant,
    used: u32,
}

/// How a client stands after a call; goes into the headers of its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quota {
    /// The call is one too many.
    pub exceeded: bool,
    limit: u32,
    window_seconds: u64,
    remaining: u32,
    reset_seconds: u64,
}

impl RateLimit {
    /// At most `limit` calls per window; 0 is no limit.
    #[must_use]
    pub fn new(limit: u32, window: Duration) -> Self {
        Self { limit, window, clients: Mutex::default() }
    }

    /// Counts a call; `None` when there is no limit.
    pub fn count(&self, peer: IpAddr, now: Instant) -> Option<Quota> {
        if self.limit == 0 {
            return None;
        }
        let client = client(peer);
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if clients.get(&client).is_none_or(|window| window.ends <= now) {
            make_room(&mut clients, now);
            clients.insert(client, Window { ends: now + self.window, used: 0 });
        }
        let window = clients.get_mut(&client)?;
        let exceeded = window.used >= self.limit;
        window.used = window.used.saturating_add(1);
        let left = window.ends.saturating_duration_since(now);
        Some(Quota {
            exceeded,
            limit: self.limit,
            window_seconds: self.window.as_secs(),
            remaining: self.limit.saturating_sub(window.used),
            reset_seconds: left.as_secs() + u64::from(left.subsec_nanos() > 0),
        })
    }
}

fn make_room(clients: &mut HashMap<IpAddr, Window>, now: Instant) {
    if clients.len() < MOST_CLIENTS {
        return;
    }
    clients.retain(|_, window| window.ends > now);
    if clients.len() < MOST_CLIENTS {
        return;
    }
    if let Some(first) = clients.iter().min_by_key(|(_, window)| window.ends).map(|(client, _)| *client) {
        clients.remove(&first);
    }
}

fn client(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << (128 - 56)))),
    }
}

impl Quota {
    /// Adds the headers that the old server sent; `Retry-After` only where the call is refused.
    pub fn mark(&self, headers: &mut HeaderMap) {
        let policy = format!("{};w={}", self.limit, self.window_seconds);
        if let Ok(policy) = HeaderValue::from_str(&policy) {
            headers.insert(HeaderName::from_static("ratelimit-policy"), policy);
        }
        headers.insert(HeaderName::from_static("ratelimit-limit"), self.limit.into());
        headers.insert(HeaderName::from_static("ratelimit-remaining"), self.remaining.into());
        headers.insert(HeaderName::from_static("ratelimit-reset"), self.reset_seconds.into());
        if self.exceeded {
            headers.insert(RETRY_AFTER, self.reset_seconds.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));

    #[test]
    fn a_window_begins_with_the_first_call_and_gives_the_limit_again_when_it_ends() {
        let limit = RateLimit::new(2, Duration::from_secs(10));
        let start = Instant::now();
        let at = |seconds| limit.count(A, start + Duration::from_secs(seconds)).unwrap();
        let seen: Vec<_> = [0, 3, 9].map(at).iter().map(|q| (q.exceeded, q.remaining, q.reset_seconds)).collect();
        assert_eq!(seen, [(false, 1, 10), (false, 0, 7), (true, 0, 1)]);
        assert!(!at(10).exceeded);
        assert_eq!(RateLimit::new(0, Duration::from_secs(1)).count(A, start), None);
    }

    #[test]
    fn addresses_are_counted_apart_and_one_ipv6_network_is_one_client() {
        let limit = RateLimit::new(1, Duration::from_secs(10));
        let now = Instant::now();
        let exceeded = |peer: &str| limit.count(peer.parse().unwrap(), now).unwrap().exceeded;
        assert_eq!(["10.0.0.1", "10.0.0.2", "::ffff:10.0.0.1"].map(exceeded), [false, false, true]);
        assert_eq!(["2001:db8:0:1::1", "2001:db8:0:2::9", "2001:db8:1::1"].map(exceeded), [false, true, false]);
    }

    #[test]
    fn memory_is_bounded_and_the_newest_clients_are_the_ones_known() {
        let limit = RateLimit::new(1, Duration::from_secs(10));
        let start = Instant::now();
        for n in 0..=u32::try_from(MOST_CLIENTS).unwrap() {
            limit.count(IpAddr::V4(n.into()), start + Duration::from_micros(n.into()));
        }
        assert_eq!(limit.clients.lock().unwrap().len(), MOST_CLIENTS);
        assert!(!limit.count(IpAddr::V4(0.into()), start + Duration::from_secs(1)).unwrap().exceeded);
        assert!(limit.count(IpAddr::V4(9_999.into()), start + Duration::from_secs(1)).unwrap().exceeded);
    }
}
