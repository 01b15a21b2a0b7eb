//! Which addresses a message may be sent to: public ones, and the networks of `WEBHOOK_ALLOW_NETWORKS`.
//!
//! Whoever edits campaigns chooses the address, so without this rule they could make the worker call what only the worker's network
//! can see. Judged is the address that is then connected to, whatever the name said before or says after. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// IANA's special-purpose blocks (<https://www.iana.org/assignments/iana-ipv4-special-registry>), multicast and reserved ones, and the
/// host service of Azure's virtual machines, which is a public address that is answered by the machine's own host.
const NOT_PUBLIC_V4: [(Ipv4Addr, u8); 17] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(168, 63, 129, 16), 32),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 31, 196, 0), 24),
    (Ipv4Addr::new(192, 52, 193, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 3),
];
/// Only global unicast (2000::/3) is public, but for these: protocol assignments with Teredo, documentation, 6to4, which leads to an
/// IPv4 address inside it, documentation again.
const NOT_PUBLIC_V6: [(Ipv6Addr, u8); 4] = [
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];

/// The networks that may be reached although they are not public.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reach(Vec<IpNet>);

impl Reach {
    /// Reads the setting; the error is the entry that is neither an address nor a network.
    pub fn parse(entries: &[String]) -> Result<Self, String> {
        let network = |entry: &String| {
            let address = || entry.parse::<IpAddr>().map(IpNet::from);
            entry.parse::<IpNet>().or_else(|_| address()).map_err(|_| entry.clone())
        };
        entries.iter().map(network).collect::<Result<_, _>>().map(Self)
    }

    /// May a message go there? In clear (`http`) only to networks that are named.
    #[must_use]
    pub fn permits(&self, address: IpAddr, encrypted: bool) -> bool {
        // An IPv4 address in the clothes of IPv6 leads to that IPv4 address.
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address)) || (encrypted && is_public(address))
    }
}

/// Is it an address of the public internet?
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let is_in = |(network, bits): &(Ipv4Addr, u8)| Ipv4Net::new(*network, *bits).is_ok_and(|n| n.contains(&v4));
            !NOT_PUBLIC_V4.iter().any(is_in)
        }
        IpAddr::V6(v6) => {
            let is_in = |(network, bits): &(Ipv6Addr, u8)| Ipv6Net::new(*network, *bits).is_ok_and(|n| n.contains(&v6));
            v6.segments()[0] & 0xe000 == 0x2000 && !NOT_PUBLIC_V6.iter().any(is_in)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach(entries: &[&str]) -> Reach {
        Reach::parse(&entries.iter().map(|entry| (*entry).to_owned()).collect::<Vec<_>>()).unwrap()
    }

    fn permits(reach: &Reach, address: &str) -> bool {
        reach.permits(address.parse().unwrap(), true)
    }

    #[test]
    fn only_public_addresses_are_reached() {
        for address in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "100.100.100.200",
            "127.0.0.1",
            "127.255.255.255",
            "168.63.129.16",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.0.2.1",
            "192.168.0.1",
            "198.19.0.1",
            "203.0.113.9",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!permits(&Reach::default(), address), "{address} must not be reached");
        }
        for address in [
            "1.1.1.1",
            "9.255.255.255",
            "100.63.255.255",
            "172.32.0.1",
            "223.255.255.255",
            "168.63.129.17",
            "2606:4700::1111",
            "2a00:1450::1",
            "::ffff:8.8.8.8",
        ] {
            assert!(permits(&Reach::default(), address), "{address} is public");
        }
    }

    #[test]
    fn networks_that_are_named_are_reached_also_in_clear() {
        let reach = reach(&["127.0.0.0/8", "fd00::7"]);
        for address in ["127.0.0.1", "::ffff:127.1.2.3", "fd00::7"] {
            assert!(reach.permits(address.parse().unwrap(), false), "{address}");
        }
        assert!(!permits(&reach, "10.0.0.1") && !permits(&reach, "fd00::8"));
        assert!(permits(&reach, "1.1.1.1"), "what is public stays so");
        assert!(!reach.permits("1.1.1.1".parse().unwrap(), false), "but not in clear");
        assert_eq!(Reach::parse(&["10.0.0.0/33".to_owned()]), Err("10.0.0.0/33".to_owned()));
    }
}
