//! How names are looked up: one that an answer gave, only to public addresses.
//!
//! The check is here, and not before the request, because these are the addresses that are connected to: a second lookup
//! could bring others.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::Shop;

/// The system's lookup. Shops' own names, and that of the environment's proxy, may have any address: a gateway or a
/// resolver of the cluster may stand for them. What goes through a proxy is looked up there, by the proxy's rules.
#[derive(Clone, Debug, Default)]
pub(super) struct Lookup {
    /// The proxy's host.
    pub(super) proxy: Option<String>,
}

/// A name has an address that isn't public.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the name has an address that isn't public")]
pub(super) struct NotPublic;

impl Resolve for Lookup {
    fn resolve(&self, name: Name) -> Resolving {
        let known = self.proxy.as_deref() == Some(name.as_str()) || name.as_str().parse::<Shop>().is_ok();
        Box::pin(async move {
            // The port is the URL's.
            let addresses: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            if addresses.is_empty() {
                return Err(io::Error::from(io::ErrorKind::NotFound).into());
            }
            // One among others is as bad: which of them is taken isn't ours to say.
            if !known && !addresses.iter().all(|address| is_public(address.ip())) {
                return Err(NotPublic.into());
            }
            Ok::<Addrs, _>(Box::new(addresses.into_iter()))
        })
    }
}

/// Whether an address is a host's on the internet, by IANA's registries of special-purpose addresses
/// (<https://www.iana.org/assignments/iana-ipv4-special-registry>,
/// <https://www.iana.org/assignments/iana-ipv6-special-registry>).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        // "This network".
        || a == 0
        // Carriers' translators (RFC 6598).
        || (a == 100 && b & 0xc0 == 64)
        // Protocol assignments.
        || (a == 192 && b == 0 && c == 0)
        // Benchmarks (RFC 2544).
        || (a == 198 && b & 0xfe == 18)
        // Multicast, reserved, broadcast.
        || a >= 224)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    if let [0x64, 0xff9b, 0, 0, 0, 0, high, low] = segments {
        // What a cluster with IPv6 alone makes of an IPv4 address (RFC 6052).
        return is_public_v4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
    }
    // Global unicast is 2000::/3; loopback, mapped, unique and link-local addresses, multicast and all others lie outside.
    let global = segments[0] & 0xe000 == 0x2000;
    // Protocol assignments such as Teredo (2001::/23), documentation, 6to4 around any IPv4 address.
    let special = (segments[0] == 0x2001 && (segments[1] < 0x200 || segments[1] == 0xdb8))
        || segments[0] == 0x2002
        || (segments[0] == 0x3fff && segments[1] < 0x1000);
    global && !special
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_addresses_and_all_others() {
        for public in ["23.227.38.65", "1.1.1.1", "100.63.255.255", "100.128.0.1", "172.32.0.1", "198.20.0.1"] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
        for public in ["2620:127:f00f::1", "2606:4700::6810:1", "64:ff9b::17e3:2641"] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
        #[rustfmt::skip]
        let others = [
            "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.9.9.9",
            "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.170", "192.0.2.1", "192.168.1.1", "198.18.0.1",
            "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
            "::", "::1", "::7f00:1", "::ffff:10.0.0.1", "::ffff:127.0.0.1", "::ffff:1.1.1.1", "64:ff9b::a00:1",
            "64:ff9b::7f00:1", "64:ff9b:1::1", "100::1", "2001::1", "2001:db8::1", "2002:7f00:1::1", "3fff::1",
            "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1",
        ];
        for other in others {
            assert!(!is_public(other.parse().unwrap()), "{other}");
        }
    }

    async fn lookup(lookup: Lookup, name: &str) -> Result<usize, bool> {
        let outcome = lookup.resolve(name.parse().unwrap()).await;
        outcome.map(Iterator::count).map_err(|error| error.downcast_ref::<NotPublic>().is_some())
    }

    #[tokio::test]
    async fn a_name_of_this_machine_is_refused_unless_it_is_the_proxy_s() {
        assert_eq!(lookup(Lookup::default(), "localhost").await, Err(true));
        let proxy = Lookup { proxy: Some("localhost".to_owned()) };
        assert!(lookup(proxy, "localhost").await.is_ok());
    }
}
