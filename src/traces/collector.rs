//! The way to the collector: one that doesn't take spans costs nothing but them, and is told of once in a while.

use std::{
    error::Error,
    iter,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use async_trait::async_trait;
use http::{Request, Response, Uri};
use opentelemetry_http::{Bytes, HttpClient, HttpError};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{self, SpanData},
};
use reqwest::redirect;
use tokio::runtime::Handle;

use super::settings::Settings;
use crate::{core::vocabulary::labels::Sent, metrics::Metrics, proxy::Proxies, shopify};

/// Pause between two lines about a collector that doesn't take spans.
const AGAIN: Duration = Duration::from_mins(10);

/// What sends spans to the collector of `settings`. Needs a runtime.
pub(super) fn exporter(
    settings: &Settings,
    proxies: &Proxies,
    metrics: &Arc<Metrics>,
) -> Result<impl trace::SpanExporter + use<>> {
    let wire = Wire {
        client: client(settings, proxies)?,
        runtime: Handle::try_current().context("there is no runtime")?,
        silence: Mutex::default(),
    };
    let exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(settings.endpoint.as_str())
        .with_timeout(settings.timeout)
        .with_http_client(wire)
        .build()
        .context("traces can't be sent")?;
    Ok(Counted { exporter, metrics: Arc::clone(metrics) })
}

fn client(settings: &Settings, proxies: &Proxies) -> Result<reqwest::Client> {
    let mut builder = reqwest::Client::builder()
        .no_proxy()
        // The headers may hold a credential, which is the collector's and nobody else's.
        .redirect(redirect::Policy::none())
        .timeout(settings.timeout);
    let server = settings.endpoint.as_str().parse::<Uri>().context("the collector's address can't be used")?;
    if let Some(proxy) = proxies.toward(&server) {
        builder = builder.proxy(reqwest::Proxy::all(proxy.as_str()).context("the proxy can't be used")?);
    }
    if let Some(path) = &settings.ca_file {
        let named = || format!("OTEL_EXPORTER_OTLP_CERTIFICATE {}", path.display());
        let pem = std::fs::read(path).with_context(named)?;
        builder = builder.tls_certs_merge(shopify::authorities(&pem).with_context(named)?);
    }
    builder.build().context("TLS can't be set up")
}

/// Counts the spans that were sent, and those that are lost.
#[derive(Debug)]
struct Counted {
    exporter: SpanExporter,
    metrics: Arc<Metrics>,
}

impl trace::SpanExporter for Counted {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let ended = self.exporter.export(batch).await;
        self.metrics.spans_sent(if ended.is_ok() { Sent::Success } else { Sent::Failed }, spans);
        ended
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

/// The client of the collector, for the SDK's own thread, on which there is no runtime.
#[derive(Debug)]
struct Wire {
    client: reqwest::Client,
    runtime: Handle,
    silence: Mutex<Silence>,
}

#[async_trait]
impl HttpClient for Wire {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = self.client.clone();
        let answer = self.runtime.spawn(async move { client.send_bytes(request).await }).await?;
        let trouble = match &answer {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(format!("it answers {}", answer.status().as_u16())),
            Err(error) => Some(root_cause(&**error)),
        };
        let told = self.silence.lock().unwrap_or_else(PoisonError::into_inner).tell(trouble.is_some(), Instant::now());
        match (told, trouble) {
            (true, Some(error)) => tracing::warn!(error, "the collector takes no traces: they are lost"),
            (true, None) => tracing::info!("the collector takes traces again"),
            (false, _) => {}
        }
        answer
    }
}

/// When it was said last that the collector takes nothing; `None` while it does.
#[derive(Debug, Default)]
struct Silence(Option<Instant>);

impl Silence {
    /// Whether the end of a request is worth a line.
    fn tell(&mut self, failed: bool, now: Instant) -> bool {
        let news = match self.0 {
            Some(told) => !failed || now.duration_since(told) >= AGAIN,
            None => failed,
        };
        if news {
            self.0 = failed.then_some(now);
        }
        news
    }
}

/// The innermost cause: the operating system's or the TLS library's words, never an address or a body.
fn root_cause(error: &(dyn Error + 'static)) -> String {
    let innermost = iter::successors(Some(error), |&error| error.source()).last().unwrap_or(error);
    innermost.to_string().chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use std::{io::Write, path::Path};

    use opentelemetry::trace::{Span, Tracer, TracerProvider};
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use rustls::{ServerConfig, crypto::aws_lc_rs, pki_types::PrivateKeyDer};
    use tokio::{
        io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream},
        net::TcpListener,
    };
    use tokio_rustls::TlsAcceptor;

    use super::*;

    /// A collector at `localhost` that takes everything: its address, and its certificate.
    async fn over_tls() -> (String, String) {
        let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![own.cert.der().clone()], key)
            .unwrap();
        let (acceptor, listener) =
            (TlsAcceptor::from(Arc::new(config)), TcpListener::bind("127.0.0.1:0").await.unwrap());
        let address = format!("https://localhost:{}/v1/traces", listener.local_addr().unwrap().port());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // Who doesn't trust it goes away.
                let Ok(stream) = acceptor.accept(stream).await else { continue };
                let (mut stream, mut length) = (BufStream::new(stream), 0);
                loop {
                    let mut line = String::new();
                    stream.read_line(&mut line).await.unwrap();
                    match line.to_lowercase().split_once("content-length: ") {
                        Some((_, number)) => length = number.trim().parse().unwrap(),
                        None if line == "\r\n" => break,
                        None => {}
                    }
                }
                stream.read_exact(&mut vec![0; length]).await.unwrap();
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
                stream.flush().await.unwrap();
            }
        });
        (address, own.cert.pem())
    }

    fn settings(endpoint: &str, ca_file: Option<&Path>) -> Settings {
        let ca_file = ca_file.map(Path::to_path_buf);
        Settings { endpoint: endpoint.parse().unwrap(), timeout: Duration::from_secs(10), ca_file }
    }

    /// What is counted after one span.
    async fn counted(settings: Settings) -> String {
        let metrics = Arc::new(Metrics::new());
        let exporter = exporter(&settings, &Proxies::default(), &metrics).unwrap();
        let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).build();
        provider.tracer("test").start("one").end();
        tokio::task::spawn_blocking(move || provider.shutdown()).await.unwrap().unwrap();
        let page = metrics.encode().unwrap();
        page.lines().filter_map(|line| line.strip_prefix("otlp_spans_total")).collect()
    }

    #[tokio::test]
    async fn an_https_collector_is_trusted_by_its_authority() {
        let (address, certificate) = over_tls().await;
        let mut ca_file = tempfile::NamedTempFile::new().unwrap();
        ca_file.write_all(certificate.as_bytes()).unwrap();
        let trusting = settings(&address, Some(ca_file.path()));
        assert_eq!(counted(trusting).await, r#"{result="success"} 1"#);
        assert_eq!(counted(settings(&address, None)).await, r#"{result="failed"} 1"#);
    }

    #[test]
    fn a_file_of_authorities_that_isnt_there_is_named() {
        let error = client(&settings("https://localhost", Some(Path::new("/nowhere/ca.pem"))), &Proxies::default());
        let told = format!("{:#}", error.unwrap_err());
        assert!(told.contains("OTEL_EXPORTER_OTLP_CERTIFICATE /nowhere/ca.pem"), "{told}");
    }

    #[test]
    fn a_collector_that_is_down_is_told_of_once_in_a_while() {
        let (mut silence, start) = (Silence::default(), Instant::now());
        let mut tell = |failed, after: Duration| silence.tell(failed, start + after);
        assert!(!tell(false, Duration::ZERO), "nothing is wrong");
        assert!(tell(true, Duration::from_secs(5)));
        assert!(!tell(true, Duration::from_secs(10)));
        assert!(tell(true, Duration::from_secs(5) + AGAIN));
        assert!(tell(false, Duration::from_secs(10) + AGAIN), "it is back");
        assert!(!tell(false, Duration::from_secs(15) + AGAIN));
        assert!(tell(true, Duration::from_secs(20) + AGAIN), "gone anew");
    }
}
