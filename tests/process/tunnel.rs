//! A proxy on loopback: HTTP's CONNECT with a password, SOCKS5 without one, and either over TLS. It knows names that no
//! DNS knows.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tokio::{
    io::{self, AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufStream},
    net::{TcpListener, TcpStream},
    task::AbortHandle,
};
use tokio_rustls::TlsAcceptor;

const USER: &str = "user:p@ss";

/// Tunnels to the servers it knows, and remembers for whom it was asked; ends when dropped.
pub(crate) struct Tunnel {
    address: SocketAddr,
    asked: Arc<Mutex<BTreeMap<String, usize>>>,
    task: AbortHandle,
}

impl Tunnel {
    /// Knows servers by `host:port`.
    pub(crate) async fn to(servers: &[(&str, SocketAddr)]) -> Self {
        Self::start(servers, None).await
    }

    /// The same over TLS as `localhost`, with its certificate in PEM.
    pub(crate) async fn over_tls(servers: &[(&str, SocketAddr)]) -> (Self, String) {
        let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(own.signing_key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![own.cert.der().clone()], key)
            .unwrap();
        (Self::start(servers, Some(TlsAcceptor::from(Arc::new(config)))).await, own.cert.pem())
    }

    async fn start(servers: &[(&str, SocketAddr)], tls: Option<TlsAcceptor>) -> Self {
        let servers: Arc<BTreeMap<String, SocketAddr>> =
            Arc::new(servers.iter().map(|(name, address)| ((*name).to_owned(), *address)).collect());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(BTreeMap::new()));
        let seen = asked.clone();
        let accepting = async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (servers, seen, tls) = (servers.clone(), seen.clone(), tls.clone());
                tokio::spawn(async move {
                    // Either side may break off.
                    let _ = match tls {
                        None => serve(BufStream::new(stream), &servers, &seen).await,
                        Some(tls) => serve(BufStream::new(tls.accept(stream).await?), &servers, &seen).await,
                    };
                    Ok::<_, io::Error>(())
                });
            }
        };
        Self { address, asked, task: tokio::spawn(accepting).abort_handle() }
    }

    pub(crate) fn http(&self) -> String {
        format!("http://{}@{}", USER.replace('@', "%40"), self.address)
    }

    pub(crate) fn https(&self) -> String {
        format!("https://{}@localhost:{}", USER.replace('@', "%40"), self.address.port())
    }

    pub(crate) fn socks(&self) -> String {
        format!("socks5://{}", self.address)
    }

    /// How often it was asked for `host:port`, in whichever way.
    pub(crate) fn asked_for(&self, server: &str) -> usize {
        self.asked.lock().unwrap().get(server).copied().unwrap_or_default()
    }

    /// All it was asked for.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().keys().cloned().collect()
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    mut client: BufStream<S>,
    servers: &BTreeMap<String, SocketAddr>,
    seen: &Mutex<BTreeMap<String, usize>>,
) -> io::Result<()> {
    let socks = client.fill_buf().await?.first() == Some(&5);
    let target = if socks { socks_target(&mut client).await? } else { connect_target(&mut client).await? };
    *seen.lock().unwrap().entry(target.clone()).or_default() += 1;
    let server = match servers.get(&target) {
        Some(address) => TcpStream::connect(address).await,
        None => Err(io::ErrorKind::NotFound.into()),
    };
    let answer: &[u8] = match (&server, socks) {
        (Ok(_), true) => &[5, 0, 0, 1, 0, 0, 0, 0, 0, 0],
        (Err(_), true) => &[5, 4, 0, 1, 0, 0, 0, 0, 0, 0],
        (Ok(_), false) => b"HTTP/1.1 200 Connection established\r\n\r\n",
        (Err(_), false) => b"HTTP/1.1 502 Bad Gateway\r\n\r\n",
    };
    client.write_all(answer).await?;
    client.flush().await?;
    io::copy_bidirectional(&mut client, &mut server?).await?;
    Ok(())
}

/// RFC 9110, section 9.3.6.
async fn connect_target<S: AsyncRead + AsyncWrite + Unpin>(client: &mut BufStream<S>) -> io::Result<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if client.read_line(&mut head).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let credentials = format!("proxy-authorization: basic {}\r\n", BASE64_STANDARD.encode(USER)).to_lowercase();
    let target = head.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next());
    match target {
        Some(target) if head.to_lowercase().contains(&credentials) => Ok(target.to_owned()),
        Some(_) => {
            client.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n").await?;
            client.flush().await?;
            Err(io::ErrorKind::PermissionDenied.into())
        }
        None => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// RFC 1928: no authentication; addresses and names.
async fn socks_target<S: AsyncRead + AsyncWrite + Unpin>(client: &mut BufStream<S>) -> io::Result<String> {
    let [_, methods] = bytes(client).await?;
    for _ in 0..methods {
        client.read_u8().await?;
    }
    client.write_all(&[5, 0]).await?;
    client.flush().await?;
    let [_, _, _, kind] = bytes(client).await?;
    let host = match kind {
        1 => std::net::Ipv4Addr::from(bytes::<4>(client).await?).to_string(),
        3 => {
            let mut name = vec![0; client.read_u8().await?.into()];
            client.read_exact(&mut name).await?;
            String::from_utf8(name).map_err(|_| io::ErrorKind::InvalidData)?
        }
        _ => return Err(io::ErrorKind::Unsupported.into()),
    };
    Ok(format!("{host}:{}", client.read_u16().await?))
}

async fn bytes<const N: usize>(client: &mut (impl AsyncRead + Unpin)) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    client.read_exact(&mut bytes).await?;
    Ok(bytes)
}
