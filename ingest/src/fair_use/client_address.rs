//! Whose address a request counts for.
//!
//! That of the connection, unless it is one of `TRUSTED_PROXIES`: then the last address in `X-Forwarded-For` that is not. What
//! stands before it was written by the client, who may write anything.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::extract::Request;
use http::HeaderMap;
use ipnet::IpNet;

/// Where a connection comes from; an extension of each of its requests.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// Who sent the request, as far as can be known; an extension of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);

/// Of a request that passed the [observer](crate::observe); others would all count as one client.
#[must_use]
pub fn client_of(request: &Request) -> ClientAddress {
    request.extensions().get().copied().unwrap_or(ClientAddress(IpAddr::V4(Ipv4Addr::UNSPECIFIED)))
}

/// The setting `TRUSTED_PROXIES`.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// Reads the list; the error is the entry that is neither an address nor a network.
    pub fn parse(entries: &[String]) -> Result<Self, String> {
        let network = |entry: &String| {
            let address = || entry.parse::<IpAddr>().map(IpNet::from);
            entry.parse::<IpNet>().or_else(|_| address()).map_err(|_| entry.clone())
        };
        entries.iter().map(network).collect::<Result<_, _>>().map(Self)
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The client behind a connection.
    #[must_use]
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> ClientAddress {
        let mut client = peer.to_canonical();
        if !self.trusts(client) {
            return ClientAddress(client);
        }
        let hops = headers.get_all("x-forwarded-for").iter().rev().filter_map(|value| value.to_str().ok());
        for hop in hops.flat_map(|value| value.rsplit(',')) {
            let Some(address) = address_of(hop.trim()) else { break };
            client = address;
            if !self.trusts(client) {
                break;
            }
        }
        ClientAddress(client)
    }
}

/// Some proxies add a port, and then brackets around IPv6.
fn address_of(hop: &str) -> Option<IpAddr> {
    let address = hop.parse().or_else(|_| hop.parse::<SocketAddr>().map(|socket| socket.ip()));
    address.ok().map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn client(peer: &str, forwarded: &[&'static str]) -> String {
        let trusted = TrustedProxies::parse(&["10.0.0.0/8".to_owned(), "::1".to_owned()]).unwrap();
        let headers =
            forwarded.iter().map(|v| ("x-forwarded-for".parse().unwrap(), HeaderValue::from_static(v))).collect();
        trusted.client(peer.parse().unwrap(), &headers).0.to_string()
    }

    #[test]
    fn only_a_trusted_proxy_is_believed_and_only_its_own_hop() {
        assert_eq!(client("203.0.113.9", &["198.51.100.1"]), "203.0.113.9", "anybody can write the header");
        assert_eq!(client("10.0.0.1", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(client("::ffff:10.0.0.1", &["1.2.3.4, 198.51.100.1, 10.9.9.9"]), "198.51.100.1");
        assert_eq!(client("10.0.0.1", &["1.2.3.4", "198.51.100.1:4711"]), "198.51.100.1");
        assert_eq!(client("::1", &["[2001:db8::1]:80"]), "2001:db8::1");
    }

    #[test]
    fn without_a_readable_hop_it_is_the_proxy() {
        assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &["198.51.100.1, unknown"]), "10.0.0.1");
        assert!(TrustedProxies::parse(&["10.0.0.0/33".to_owned()]).is_err());
    }
}
