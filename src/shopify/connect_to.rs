//! Where connections go instead of to the name in their URL, like curl's `--connect-to`.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// An address every connection to Shopify goes to. URLs, `Host` and the TLS name check stay those of the shop.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ConnectTo {
    /// A loopback address.
    Address(SocketAddr),
    /// A name inside the cluster and a port; looked up at each connect.
    Host(String, u16),
}

/// Parses `host:port`: a loopback address, `localhost`, or a name under `.svc` or `.svc.cluster.local`.
///
/// # Errors
/// Says what is allowed: anything else would send credentials to another place than Shopify.
pub fn parse_connect_to(text: &str) -> Result<ConnectTo, String> {
    let refused = |what: &str| {
        Err(format!(
            "{what}; write host:port, where host is a loopback address, localhost, \
             or a name under .svc or .svc.cluster.local"
        ))
    };
    if let Ok(address) = text.parse::<SocketAddr>() {
        return if !address.ip().is_loopback() {
            refused("not a loopback address")
        } else if address.port() == 0 {
            refused("port 0")
        } else {
            Ok(ConnectTo::Address(address))
        };
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        return refused("no port");
    };
    let Some(port) = port.parse::<u16>().ok().filter(|p| *p > 0) else {
        return refused("not a port");
    };
    let in_cluster = host
        .strip_suffix(".svc.cluster.local")
        .or_else(|| host.strip_suffix(".svc"))
        .is_some_and(|name| name.split('.').all(is_label));
    if host == "localhost" || in_cluster {
        Ok(ConnectTo::Host(host.to_owned(), port))
    } else {
        refused("not a name of this machine or this cluster")
    }
}

/// A DNS label as Kubernetes names things (RFC 1123).
fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-')
}

impl fmt::Display for ConnectTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Host(host, port) => write!(f, "{host}:{port}"),
        }
    }
}

/// Answers every name with the one address, port included.
impl Resolve for ConnectTo {
    fn resolve(&self, _: Name) -> Resolving {
        let target = self.clone();
        Box::pin(async move {
            let addresses: Vec<SocketAddr> = match target {
                Self::Address(address) => vec![address],
                // Always this machine (RFC 6761, section 6.3), whatever a resolver says.
                Self::Host(host, port) if host == "localhost" => vec![
                    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port),
                    SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), port),
                ],
                Self::Host(host, port) => tokio::net::lookup_host((host, port)).await?.collect(),
            };
            Ok::<Addrs, _>(Box::new(addresses.into_iter()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_or_this_cluster() {
        for text in [
            "127.0.0.1:8443",
            "127.9.9.9:1",
            "[::1]:8443",
            "localhost:443",
            "sim.demo.svc:443",
            "sim.demo.svc.cluster.local:8443",
        ] {
            assert_eq!(parse_connect_to(text).unwrap().to_string(), text);
        }
        for text in [
            "",
            "localhost",
            "127.0.0.1",
            "127.0.0.1:0",
            "localhost:0",
            "localhost:99999",
            "localhost:x",
            "10.0.0.1:443",
            "0.0.0.0:443",
            "[::]:443",
            "[::ffff:10.0.0.1]:443",
            "evil.com:443",
            "localhost.evil.com:443",
            "127.0.0.1.evil.com:443",
            "sim.demo.svc.evil.com:443",
            "svc:443",
            ".svc:443",
            "a..svc:443",
            "evil.com/x.svc:443",
            "u@sim.demo.svc:443",
            "sim.demo.svc.:443",
            "https://sim.demo.svc:443",
            "SIM.demo.svc:443",
            "2130706433:443",
        ] {
            let refusal = parse_connect_to(text).unwrap_err();
            assert!(refusal.contains("loopback"), "{text}: {refusal}");
        }
    }
}
