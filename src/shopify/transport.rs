//! The one way to Shopify: https, real host names, no redirects, bounded time and size.

use std::{
    error::Error as _,
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use reqwest::{
    Method, RequestBuilder, Response, StatusCode,
    header::{ACCEPT, HeaderMap, HeaderValue},
    redirect,
};
use secrecy::{ExposeSecret, SecretString};
use tracing::Instrument;
use url::Url;

use super::{
    ConnectTo, Heard, Shop, Surface, Word,
    answer::{self, Answer},
    authorities::authorities,
    encoding, failure,
    limits::Budgets,
    resolver::{Lookup, NotPublic},
};
use crate::{
    core::{
        cause::{CANT_CONNECT, CONNECTION, NO_CONNECTION, NO_WHOLE_ANSWER},
        failure::Failure,
        vocabulary::{Reason, labels::ShopifyCall},
    },
    proxy::Proxies,
    spans,
    workers::waiting,
};

/// The largest answer that is read; the largest real one, 100 tokens, is about 60 KiB.
const LARGEST_BODY: usize = 1024 * 1024;
/// How long a shop's connection is kept after a call, or at most twice as long: while work for the shop is due the next call
/// comes sooner, and where each of thousands of tokens has a shop of its own, each has a connection of fifty kilobytes. One
/// that calls share (HTTP/2) counts from the last one's beginning: who answers later than that is connected to anew.
const IDLE: Duration = Duration::from_secs(1);

/// How to reach Shopify.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where connections go instead of to the name in their URL.
    pub connect_to: Option<ConnectTo>,
    /// The environment's proxy; not taken with `connect_to`.
    pub proxies: Proxies,
    /// PEM certificates that are trusted in addition to the system's.
    pub ca_pem: Option<Vec<u8>>,
    /// For one call, from connecting to the last byte of the answer.
    pub timeout: Duration,
    /// For connecting, the TLS handshake included.
    pub connect_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connect_to: None,
            proxies: Proxies::default(),
            ca_pem: None,
            timeout: Duration::from_secs(15),
            connect_timeout: Duration::from_secs(5),
        }
    }
}

/// One call to Shopify, for the metrics.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ApiCall {
    /// What was called.
    pub operation: ShopifyCall,
    /// The HTTP status, `timeout`, or `error`.
    pub code: String,
    /// From the call to the last byte of the answer.
    pub took: Duration,
}

/// Who is told of calls and waits. The default tells nobody.
pub struct Observer {
    /// A call has ended.
    pub on_call: Box<dyn Fn(ApiCall) + Send + Sync>,
    /// One of Shopify's limits makes us wait this long.
    pub on_throttled: Box<dyn Fn(Duration) + Send + Sync>,
}

impl Default for Observer {
    fn default() -> Self {
        Self { on_call: Box::new(|_| {}), on_throttled: Box::new(|_| {}) }
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observer").finish_non_exhaustive()
    }
}

/// Calls Shopify. Clones share connections, and what was learned of limits.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    timeout: Duration,
    pub(super) budgets: Arc<Budgets>,
    pub(super) observer: Arc<Observer>,
    heard: Heard,
}

impl Client {
    /// A client.
    ///
    /// # Errors
    /// Those of [`authorities`] for `ca_pem`, or proxy or TLS can't be set up.
    pub fn new(options: Options, observer: Arc<Observer>) -> Result<Self> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("shopify-token-operator/", env!("CARGO_PKG_VERSION")))
            .default_headers(HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static("application/json"))]))
            .https_only(true)
            .no_proxy()
            .redirect(redirect::Policy::none())
            .referer(false)
            // A create isn't idempotent: who calls decides whether to call again. What the server says it hasn't begun
            // (GOAWAY, REFUSED_STREAM: RFC 9113, section 8.7) is repeated by reqwest, twice at most.
            // Gzip is read all the same: see `encoding`.
            .no_gzip()
            .no_brotli()
            .no_deflate()
            .no_zstd()
            // Every shop is a host of its own.
            .pool_max_idle_per_host(1)
            .pool_idle_timeout(IDLE)
            // A connection that died without a word must not outlive the call that finds out.
            .http2_keep_alive_interval(Duration::from_secs(5))
            .http2_keep_alive_timeout(Duration::from_secs(5))
            .timeout(options.timeout)
            .connect_timeout(options.connect_timeout);
        if let Some(pem) = options.ca_pem {
            builder = builder.tls_certs_merge(authorities(&pem)?);
        }
        if let Some(target) = options.connect_to {
            builder = builder.dns_resolver(target);
        } else {
            builder = builder.dns_resolver(Lookup { proxy: options.proxies.host() });
            if let Some(proxy) = options.proxies.rule().context("the proxy can't be used")? {
                builder = builder.proxy(proxy);
            }
        }
        Ok(Self {
            http: builder.build().context("TLS can't be set up")?,
            timeout: options.timeout,
            budgets: Arc::default(),
            observer,
            heard: Heard::default(),
        })
    }

    /// A clone that notes for itself what it hears of each surface.
    #[must_use]
    pub fn listening(&self) -> (Self, Heard) {
        let heard = Heard::default();
        (Self { heard: heard.clone(), ..self.clone() }, heard)
    }

    /// A request to a URL of [`Shop::url`], or of a host whose name was checked ([`super::customer`]).
    pub(super) fn request(&self, method: Method, url: Url) -> RequestBuilder {
        self.http.request(method, url)
    }

    /// Sends a request and reads the answer to its end, whatever its status.
    ///
    /// # Errors
    /// `BackingOff` and unreachable if there is no answer, or none that can be read in the time and
    /// size allowed; a redirect is a failure too and never followed.
    pub(super) async fn send(
        &self,
        surface: Surface,
        operation: ShopifyCall,
        shop: &Shop,
        request: RequestBuilder,
    ) -> Result<Answer, Failure> {
        let answer = self.receive(surface, operation, shop, request).await;
        let answer = answer.map_err(|lost| self.lost(shop, lost))?;
        if let Some(redirect) = failure::redirect(&answer, shop) {
            return Err(redirect);
        }
        Ok(answer)
    }

    /// The same, for those who know what else it means that there is no answer, or that it is a redirect.
    ///
    /// # Errors
    /// Why there is no answer.
    pub(super) async fn receive(
        &self,
        surface: Surface,
        operation: ShopifyCall,
        shop: &Shop,
        request: RequestBuilder,
    ) -> Result<Answer, Lost> {
        let started = Instant::now();
        let called = async {
            match request.send().await {
                Err(error) => (code_of(&error), None, Err(Lost::Silent(error))),
                Ok(response) => {
                    let status = response.status();
                    let request_id = answer::request_id(response.headers());
                    match read(response).await {
                        Ok(answer) => (status.as_str().to_owned(), request_id, Ok(answer)),
                        Err(lost @ Lost::Unreadable(_)) => ("error".to_owned(), request_id, Err(lost)),
                        Err(Lost::Silent(error)) => (code_of(&error), request_id, Err(Lost::Silent(error))),
                    }
                }
            }
        };
        let span = spans::shopify_call(operation, shop);
        let (code, request_id, outcome) = waiting(called.instrument(span.clone())).await;
        spans::answered(&span, &code);
        span.record("shopify.request_id", request_id.as_deref());
        drop(span);
        let took = started.elapsed();
        tracing::debug!(
            %operation,
            %shop,
            code,
            request_id,
            ms = took.as_millis(),
            "called Shopify"
        );
        (self.observer.on_call)(ApiCall { operation, code, took });
        self.heard.note(surface, outcome.as_ref().map_or(Word::Silence, word));
        let answer = outcome?;
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            let wait = answer.retry_after.and_then(|wait| wait.to_std().ok());
            (self.observer.on_throttled)(wait.unwrap_or_default());
        }
        Ok(answer)
    }

    /// What the last call brought counts as an answer, though it can't be read.
    pub(super) fn has_answered(&self, surface: Surface) {
        self.heard.note(surface, Word::Refusal);
    }

    /// What it means that `whom` gave no answer, or none that can be read.
    pub(super) fn lost(&self, whom: impl fmt::Display, lost: Lost) -> Failure {
        match lost {
            Lost::Silent(error) => self.silence(whom, error),
            Lost::Unreadable(what) => failure::unreadable(whom, what),
        }
    }

    /// No answer, or half of one.
    fn silence(&self, whom: impl fmt::Display, error: reqwest::Error) -> Failure {
        let error = error.without_url();
        let message = if error.is_timeout() && error.is_connect() {
            format!("{NO_CONNECTION} {whom} in time: check the network, DNS, proxy and egress rules")
        } else if error.is_timeout() {
            format!("{NO_WHOLE_ANSWER} {whom} within {} s", self.timeout.as_secs_f64())
        } else if error.is_connect() {
            format!(
                "{CANT_CONNECT} {whom} ({}): check the network, DNS, proxy, egress rules and trusted CAs",
                root_cause(&error)
            )
        } else {
            format!("{CONNECTION} {whom} broke ({})", root_cause(&error))
        };
        failure::unreachable(message)
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Lost {
    /// There was none, or half of one.
    Silent(reqwest::Error),
    /// It can't be read; the text says why, after "the answer".
    Unreadable(&'static str),
}

impl Lost {
    /// Whether nothing was asked, because the name has an address that isn't public.
    pub(super) fn is_not_public(&self) -> bool {
        let mut cause = match self {
            Self::Silent(error) => error.source(),
            Self::Unreadable(_) => None,
        };
        while let Some(error) = cause {
            if error.is::<NotPublic>() {
                return true;
            }
            cause = error.source();
        }
        false
    }
}

async fn read(mut response: Response) -> Result<Answer, Lost> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(Lost::Silent)? {
        if body.len() + chunk.len() > LARGEST_BODY {
            return Err(Lost::Unreadable("is larger than 1 MiB"));
        }
        body.extend_from_slice(&chunk);
    }
    let body = encoding::plain(response.headers(), body, LARGEST_BODY).map_err(Lost::Unreadable)?;
    Ok(Answer::new(response.status(), response.headers(), body))
}

/// A header that holds a credential: marked sensitive, so that no library prints it.
///
/// # Errors
/// `InvalidCredential` for a value that can't stand in a header.
pub(super) fn secret_header(value: &SecretString) -> Result<HeaderValue, Failure> {
    let mut header = HeaderValue::from_str(value.expose_secret()).map_err(|_| {
        Failure::new(
            Reason::InvalidCredential,
            "the token has characters that can't be in an HTTP header: write it again, without control characters",
        )
    })?;
    header.set_sensitive(true);
    Ok(header)
}

fn word(answer: &Answer) -> Word {
    match answer.status.as_u16() {
        408 | 500.. => Word::Silence,
        200..300 => Word::Success,
        _ => Word::Refusal,
    }
}

fn code_of(error: &reqwest::Error) -> String {
    if error.is_timeout() { "timeout".to_owned() } else { "error".to_owned() }
}

/// The innermost cause: the operating system's or the TLS library's words, never a body.
fn root_cause(error: &reqwest::Error) -> String {
    let mut cause = error.source();
    while let Some(inner) = cause.and_then(|c| c.source()) {
        cause = Some(inner);
    }
    cause.map_or_else(|| "no cause given".to_owned(), |c| c.to_string().chars().take(200).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        core::cause::Cause,
        shopify::stub::{Reply, Stub, reply, shop},
    };

    async fn call(client: &Client) -> Result<Answer, Failure> {
        let request = client.request(Method::GET, shop().url(&["x"]));
        client.send(Surface::AdminApi, ShopifyCall::TokenScopes, &shop(), request).await
    }

    fn assert_silent(outcome: Result<Answer, Failure>, message: &str) {
        let failure = outcome.unwrap_err();
        assert_eq!(failure.reason, Reason::BackingOff, "{failure:?}");
        assert!(failure.unreachable, "{failure:?}");
        assert!(failure.message.contains(message), "{failure:?}");
        assert_eq!(Cause::of(&failure.message), Cause::Silence, "{failure:?}");
        assert!(!failure.message.contains("https://acme"), "{failure:?}");
    }

    #[tokio::test]
    async fn sends_what_production_sends() {
        let stub = Stub::always(200, "", "{}").await;
        let answer = call(&stub.client()).await.unwrap();
        assert_eq!(answer.body, b"{}");
        assert_eq!(answer.request_id.as_deref(), Some("ab-1"));
        let request = stub.request(0).to_lowercase();
        assert!(request.starts_with("get /x http/1.1\r\n"), "{request}");
        assert!(request.contains("host: acme.myshopify.com\r\n"));
        assert!(request.contains("accept: application/json\r\n"));
        assert!(request.contains(concat!("user-agent: shopify-token-operator/", env!("CARGO_PKG_VERSION"))));
        assert!(!request.contains("accept-encoding"));
        assert_eq!(stub.codes(), ["token_scopes 200"]);
    }

    #[tokio::test]
    async fn localhost_is_this_machine() {
        let stub = Stub::always(200, "", "{}").await;
        let client = stub.client_with(Options {
            connect_to: Some(ConnectTo::Host("localhost".into(), stub.address.port())),
            ..stub.options()
        });
        assert!(call(&client).await.is_ok());
    }

    #[tokio::test]
    async fn redirects_are_never_followed() {
        for (status, to, reason) in [
            (301, "https://evil.myshopify.com/", Reason::ShopNotFound),
            (308, "https://evil.myshopify.com/", Reason::ShopNotFound),
            (302, "https://evil.myshopify.com/", Reason::BackingOff),
            (303, "https://evil.myshopify.com/", Reason::BackingOff),
            (307, "https://evil.myshopify.com/", Reason::BackingOff),
            // Not a renamed shop's.
            (301, "https://acme.myshopify.com/", Reason::BackingOff),
            (301, "http://portal.example.com/?acme.myshopify.com", Reason::BackingOff),
            (308, "/login", Reason::BackingOff),
            (301, "", Reason::BackingOff),
        ] {
            let stub = Stub::always(status, &format!("location: {to}\r\n"), "").await;
            let failure = call(&stub.client()).await.unwrap_err();
            assert_eq!(failure.reason, reason, "{status}");
            assert!(failure.message.contains("redirect"), "{failure:?}");
            if reason == Reason::BackingOff {
                assert_eq!(Cause::of(&failure.message), Cause::Redirected, "{failure:?}");
            }
            assert!(failure.message.ends_with("(x-request-id ab-1)"), "{failure:?}");
            assert_eq!(stub.count(), 1, "{status}");
        }
    }

    #[tokio::test]
    async fn bodies_over_the_limit_are_cut_off() {
        let large = "x".repeat(LARGEST_BODY + 1);
        let stub = Stub::always(200, "", &large).await;
        assert_silent(call(&stub.client()).await, "larger than 1 MiB");
        let stub = Stub::always(200, "", &large[..LARGEST_BODY]).await;
        assert!(call(&stub.client()).await.is_ok());
    }

    #[tokio::test]
    async fn chunks_without_end_are_cut_off() {
        let stub = Stub::start(|_, _| {
            Reply::Endless(
                b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec(),
                format!("1000\r\n{}\r\n", "x".repeat(0x1000)).into_bytes(),
            )
        })
        .await;
        assert_silent(call(&stub.client()).await, "larger than 1 MiB");
    }

    #[tokio::test]
    async fn headers_without_end_are_cut_off() {
        let stub = Stub::start(|_, _| Reply::Endless(b"HTTP/1.1 200 OK\r\n".to_vec(), b"a: b\r\n".repeat(100))).await;
        assert_silent(call(&stub.client()).await, "broke");
    }

    #[tokio::test]
    async fn the_timeout_covers_head_and_body() {
        let half = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n".to_vec();
        for endless in [false, true] {
            let half = half.clone();
            let stub = Stub::start(
                move |_, _| {
                    if endless { Reply::Endless(half.clone(), Vec::new()) } else { Reply::Silence }
                },
            )
            .await;
            let client = stub.client_with(Options { timeout: Duration::from_millis(300), ..stub.options() });
            let started = Instant::now();
            assert_silent(call(&client).await, "within 0.3 s");
            assert!(started.elapsed() < Duration::from_secs(3));
            assert_eq!(stub.codes(), ["token_scopes timeout"]);
        }
    }

    #[tokio::test]
    async fn truncated_answers_are_no_answers() {
        let stub = Stub::start(|_, _| Reply::Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{}".to_vec())).await;
        assert_silent(call(&stub.client()).await, "broke");
        assert_eq!(stub.codes(), ["token_scopes error"]);
        let stub = Stub::start(|_, _| Reply::Raw(Vec::new())).await;
        assert_silent(call(&stub.client()).await, "broke");
        let stub = Stub::start(|_, _| Reply::Raw(b"220 smtp canary\r\n".to_vec())).await;
        let failure = call(&stub.client()).await.unwrap_err();
        assert!(!failure.message.contains("canary"), "{failure:?}");
    }

    #[tokio::test]
    async fn a_certificate_for_another_name_is_refused() {
        let stub = Stub::with_names(&["*.example.com"], |_, _| reply(200, "", "{}")).await;
        assert_silent(call(&stub.client()).await, "not valid for name");
        assert_eq!(stub.count(), 0);
    }

    #[tokio::test]
    async fn an_unknown_authority_is_refused() {
        let stub = Stub::always(200, "", "{}").await;
        let client = stub.client_with(Options { ca_pem: None, ..stub.options() });
        assert_silent(call(&client).await, "can't connect to acme.myshopify.com");
        assert_eq!(stub.count(), 0);
    }

    #[tokio::test]
    async fn plain_http_is_refused() {
        let stub = Stub::always(200, "", "{}").await;
        let client = stub.client();
        let mut url = shop().url(&["x"]);
        url.set_scheme("http").unwrap();
        let request = client.request(Method::GET, url);
        assert!(client.send(Surface::AdminApi, ShopifyCall::TokenScopes, &shop(), request).await.is_err());
        assert_eq!(stub.count(), 0);
    }

    #[tokio::test]
    async fn nobody_listens() {
        let stub = Stub::always(200, "", "{}").await;
        let client = stub.client_with(Options {
            connect_to: Some("127.0.0.1:1").map(|to| crate::shopify::parse_connect_to(to).unwrap()),
            ..stub.options()
        });
        assert_silent(call(&client).await, "refused");
    }

    #[tokio::test]
    async fn throttling_is_counted() {
        let stub = Stub::always(429, "retry-after: 2.5\r\n", "{}").await;
        assert!(call(&stub.client()).await.is_ok(), "what it means is the caller's to say");
        assert_eq!(*stub.waits.lock().unwrap(), [Duration::from_millis(2500)]);
    }

    #[test]
    fn secret_headers_are_marked() {
        let header = secret_header(&SecretString::from("canary")).unwrap();
        assert!(!format!("{header:?}").contains("canary"));
        let failure = secret_header(&SecretString::from("canary\n")).unwrap_err();
        assert_eq!(failure.reason, Reason::InvalidCredential);
        assert!(!failure.message.contains("canary"));
    }
}
