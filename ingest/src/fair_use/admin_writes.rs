//! How many writes the admin API takes from one address, as the old server counted: a fixed window that begins with the first.
//!
//! Only calls with a valid admin key are counted, all paths together. Counts are kept for at most [`MOST_CLIENTS`] addresses.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::address::network;
use super::client_address::ClientAddress;
use super::quota::{Quota, whole_seconds};

/// Beyond it the address whose window ends first is forgotten.
const MOST_CLIENTS: usize = 10_000;

/// The counts.
#[derive(Debug)]
pub struct AdminWrites {
    limit: u32,
    window: Duration,
    clients: Mutex<HashMap<IpAddr, Window>>,
}

#[derive(Debug)]
struct Window {
    ends: Instant,
    used: u32,
}

impl AdminWrites {
    /// At most `limit` calls per window; 0 is no limit.
    #[must_use]
    pub fn new(limit: u32, window: Duration) -> Self {
        Self { limit, window, clients: Mutex::default() }
    }

    /// Counts a call; `None` when there is no limit.
    pub fn count(&self, client: ClientAddress, now: Instant) -> Option<Quota> {
        if self.limit == 0 {
            return None;
        }
        let client = network(client.0);
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
            limit: self.limit.into(),
            window_seconds: self.window.as_secs(),
            remaining: self.limit.saturating_sub(window.used).into(),
            reset_seconds: whole_seconds(left),
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

#[cfg(test)]
mod tests {
    use super::*;

    const A: ClientAddress = ClientAddress(IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1)));

    #[test]
    fn a_window_begins_with_the_first_call_and_gives_the_limit_again_when_it_ends() {
        let limit = AdminWrites::new(2, Duration::from_secs(10));
        let start = Instant::now();
        let at = |seconds| limit.count(A, start + Duration::from_secs(seconds)).unwrap();
        let seen: Vec<_> = [0, 3, 9].map(at).iter().map(|q| (q.exceeded, q.remaining, q.reset_seconds)).collect();
        assert_eq!(seen, [(false, 1, 10), (false, 0, 7), (true, 0, 1)]);
        assert!(!at(10).exceeded);
        assert_eq!(AdminWrites::new(0, Duration::from_secs(1)).count(A, start), None);
    }

    #[test]
    fn addresses_are_counted_apart_and_one_ipv6_network_is_one_client() {
        let limit = AdminWrites::new(1, Duration::from_secs(10));
        let now = Instant::now();
        let exceeded = |peer: &str| limit.count(ClientAddress(peer.parse().unwrap()), now).unwrap().exceeded;
        assert_eq!(["10.0.0.1", "10.0.0.2", "::ffff:10.0.0.1"].map(exceeded), [false, false, true]);
        assert_eq!(["2001:db8:0:1::1", "2001:db8:0:2::9", "2001:db8:1::1"].map(exceeded), [false, true, false]);
    }

    #[test]
    fn memory_is_bounded_and_the_newest_clients_are_the_ones_known() {
        let limit = AdminWrites::new(1, Duration::from_secs(10));
        let start = Instant::now();
        for n in 0..=u32::try_from(MOST_CLIENTS).unwrap() {
            limit.count(ClientAddress(IpAddr::V4(n.into())), start + Duration::from_micros(n.into()));
        }
        assert_eq!(limit.clients.lock().unwrap().len(), MOST_CLIENTS);
        assert!(!limit.count(ClientAddress(IpAddr::V4(0.into())), start + Duration::from_secs(1)).unwrap().exceeded);
        assert!(limit.count(ClientAddress(IpAddr::V4(9_999.into())), start + Duration::from_secs(1)).unwrap().exceeded);
    }
}
