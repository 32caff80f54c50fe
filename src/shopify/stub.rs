//! For tests: a Shopify of canned answers, over real TLS on loopback.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::{ServerConfig, crypto::aws_lc_rs, pki_types::PrivatePkcs8KeyDer};
use secrecy::SecretString;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::{AdminAccess, ApiCall, Client, ConnectTo, Observer, Options, Shop};
use crate::api::app::AdminApi;

/// What the stub does with a request.
pub(super) enum Reply {
    /// Sends these bytes and closes.
    Raw(Vec<u8>),
    /// Sends the first bytes, then the second again and again.
    Endless(Vec<u8>, Vec<u8>),
    /// Says nothing.
    Silence,
}

/// An HTTP answer of status, extra header lines and body.
pub(super) fn reply(status: u16, headers: &str, body: &str) -> Reply {
    let length = body.len();
    Reply::Raw(
        format!(
            "HTTP/1.1 {status} X\r\nx-request-id: ab-1\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n{body}"
        )
        .into_bytes(),
    )
}

type Script = dyn Fn(usize, &str) -> Reply + Send + Sync;

/// The listener, and what it saw.
pub(super) struct Stub {
    pub(super) address: SocketAddr,
    pub(super) ca_pem: String,
    /// Each request, head and body.
    pub(super) requests: Arc<Mutex<Vec<String>>>,
    pub(super) calls: Arc<Mutex<Vec<ApiCall>>>,
    pub(super) waits: Arc<Mutex<Vec<Duration>>>,
}

pub(super) fn shop() -> Shop {
    "acme.myshopify.com".parse().unwrap()
}

pub(super) fn access(api: AdminApi) -> AdminAccess {
    AdminAccess { shop: shop(), token: SecretString::from("shpat_canary"), api, version: "2026-10".to_owned() }
}

impl Stub {
    /// Answers the n-th request (from 0) as the script says, for every shop.
    pub(super) async fn start(script: impl Fn(usize, &str) -> Reply + Send + Sync + 'static) -> Self {
        Self::with_names(&["*.myshopify.com", "*.acme.example", "shopify.com"], script).await
    }

    /// As [`Stub::start`], with a certificate for these names.
    pub(super) async fn with_names(
        names: &[&str],
        script: impl Fn(usize, &str) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let (config, ca_pem) = identity(names);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests: Arc<Mutex<Vec<String>>> = Arc::default();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let (seen, script): (_, Arc<Script>) = (requests.clone(), Arc::new(script));
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                tokio::spawn(serve(acceptor.clone(), tcp, seen.clone(), script.clone()));
            }
        });
        Self { address, ca_pem, requests, calls: Arc::default(), waits: Arc::default() }
    }

    /// Answers every request in the same way.
    pub(super) async fn always(status: u16, headers: &str, body: &str) -> Self {
        let (headers, body) = (headers.to_owned(), body.to_owned());
        Self::start(move |_, _| reply(status, &headers, &body)).await
    }

    pub(super) fn options(&self) -> Options {
        Options {
            connect_to: Some(ConnectTo::Address(self.address)),
            ca_pem: Some(self.ca_pem.clone().into_bytes()),
            ..Options::default()
        }
    }

    pub(super) fn client_with(&self, options: Options) -> Client {
        let (calls, waits) = (self.calls.clone(), self.waits.clone());
        let observer = Observer {
            on_call: Box::new(move |call| calls.lock().unwrap().push(call)),
            on_throttled: Box::new(move |wait| waits.lock().unwrap().push(wait)),
        };
        Client::new(options, Arc::new(observer)).unwrap()
    }

    pub(super) fn client(&self) -> Client {
        self.client_with(self.options())
    }

    pub(super) fn request(&self, n: usize) -> String {
        self.requests.lock().unwrap()[n].clone()
    }

    pub(super) fn count(&self) -> usize {
        self.requests.lock().unwrap().len()
    }

    /// Operation and code of the calls that the observer was told of.
    pub(super) fn codes(&self) -> Vec<String> {
        let calls = self.calls.lock().unwrap();
        calls.iter().map(|call| format!("{} {}", call.operation, call.code)).collect()
    }
}

fn identity(names: &[&str]) -> (ServerConfig, String) {
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.distinguished_name.push(DnType::CommonName, "stub CA");
    let ca_key = KeyPair::generate().unwrap();
    let pem = ca.self_signed(&ca_key).unwrap().pem();
    let issuer = Issuer::new(ca, ca_key);
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>()).unwrap();
    let leaf = leaf.signed_by(&key, &issuer).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], PrivatePkcs8KeyDer::from(key.serialize_der()).into())
        .unwrap();
    (config, pem)
}

async fn serve(acceptor: TlsAcceptor, tcp: TcpStream, seen: Arc<Mutex<Vec<String>>>, script: Arc<Script>) {
    let Ok(mut stream) = acceptor.accept(tcp).await else {
        return;
    };
    let Some(request) = read(&mut stream).await else {
        return;
    };
    let n = {
        let mut seen = seen.lock().unwrap();
        seen.push(request.clone());
        seen.len() - 1
    };
    match script(n, &request) {
        Reply::Raw(bytes) => {
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
        }
        Reply::Endless(head, again) => endless(&mut stream, &head, &again).await,
        Reply::Silence => tokio::time::sleep(Duration::from_mins(1)).await,
    }
}

async fn endless(stream: &mut TlsStream<TcpStream>, head: &[u8], again: &[u8]) {
    if stream.write_all(head).await.is_ok() {
        while stream.write_all(again).await.is_ok() {
            tokio::task::yield_now().await;
        }
    }
}

/// A request with `content-length`, or without a body.
async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let mut chunk = [0; 4096];
        let n = stream.read(&mut chunk).await.ok().filter(|n| *n > 0)?;
        bytes.extend_from_slice(&chunk[..n]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok())
                .unwrap_or(0);
            if body.len() >= length {
                return Some(text);
            }
        }
    }
}
