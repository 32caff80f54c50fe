//! Listening at an address, `[::]` for both families of addresses.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

/// Connections that wait to be accepted; the system may allow fewer.
const BACKLOG: i32 = 1024;

/// Listens at `address`. At `[::]` IPv4 is served too, whatever the system's default is, and IPv4 alone where the
/// system has no IPv6. Needs a runtime.
///
/// # Errors
/// Of the system: the address isn't this machine's, or somebody else listens there.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    listen_by(address, |domain| Socket::new(domain, Type::STREAM, Some(Protocol::TCP)))
}

fn listen_by(address: SocketAddr, socket: impl Fn(Domain) -> io::Result<Socket>) -> io::Result<TcpListener> {
    let error = match bound(address, &socket) {
        Ok(listener) => return Ok(listener),
        Err(error) => error,
    };
    if !(address.is_ipv6() && address.ip().is_unspecified() && is_want_of_ipv6(&error)) {
        return Err(error);
    }
    tracing::info!(%error, "this system has no IPv6: listens at IPv4 addresses only");
    bound((Ipv4Addr::UNSPECIFIED, address.port()).into(), &socket)
}

fn bound(address: SocketAddr, socket: impl Fn(Domain) -> io::Result<Socket>) -> io::Result<TcpListener> {
    let socket = socket(Domain::for_address(address))?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    // A restart doesn't wait for the connections of the process before it.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// A kernel without IPv6 knows no such socket; one where it is switched off has no such address.
fn is_want_of_ipv6(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error())
        || error.kind() == io::ErrorKind::AddrNotAvailable
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpStream;

    use super::*;

    const ANY: &str = "[::]:0";

    fn has_ipv6() -> bool {
        let has = std::net::TcpListener::bind("[::1]:0").is_ok();
        if !has {
            dev::skipped("this machine has no IPv6, so nothing is said about [::1]");
        }
        has
    }

    async fn answers(listener: &TcpListener, host: &str) -> bool {
        let port = listener.local_addr().unwrap().port();
        TcpStream::connect(format!("{host}:{port}")).await.is_ok()
    }

    #[tokio::test]
    async fn any_address_is_one_of_either_family() {
        let listener = listen(ANY.parse().unwrap()).unwrap();
        assert!(answers(&listener, "127.0.0.1").await);
        assert!(!has_ipv6() || answers(&listener, "[::1]").await);
    }

    #[tokio::test]
    async fn a_family_that_was_asked_for_is_the_only_one() {
        let listener = listen("0.0.0.0:0".parse().unwrap()).unwrap();
        assert!(answers(&listener, "127.0.0.1").await);
        assert!(!answers(&listener, "[::1]").await);
        if has_ipv6() {
            let listener = listen("[::1]:0".parse().unwrap()).unwrap();
            assert!(answers(&listener, "[::1]").await);
            assert!(!answers(&listener, "127.0.0.1").await);
        }
    }

    #[tokio::test]
    async fn a_system_without_ipv6_serves_ipv4() {
        for errno in [rustix::io::Errno::AFNOSUPPORT, rustix::io::Errno::ADDRNOTAVAIL] {
            let old = |domain| match domain {
                Domain::IPV6 => Err(errno.into()),
                _ => Socket::new(domain, Type::STREAM, None),
            };
            let listener = listen_by(ANY.parse().unwrap(), old).unwrap();
            assert!(answers(&listener, "127.0.0.1").await);
            assert!(listen_by("[::1]:0".parse().unwrap(), old).is_err(), "asked for by name");
        }
    }

    #[tokio::test]
    async fn a_port_in_use_stays_an_error() {
        let listener = listen(ANY.parse().unwrap()).unwrap();
        let error = listen(listener.local_addr().unwrap()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }
}
