//! The admin port: liveness, readiness, metrics. Also how any router of the operator is served.

mod listen;

use std::{
    io,
    pin::pin,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    extract::State,
    http::{
        HeaderMap, HeaderValue, Request, StatusCode,
        header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, VARY},
    },
    response::{IntoResponse, Response},
    routing::get,
};
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::{AbortHandle, spawn_blocking},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::util::MapRequest;

pub use self::listen::listen;
use crate::metrics::{self, Metrics};

/// Pages of metrics that are made at a time: each holds a thread.
const ENCODERS: usize = 2;
/// Connections at a time.
const CONNECTIONS: usize = 256;
/// Time for a request's head, and for the next request on a kept connection.
const HEAD: Duration = Duration::from_secs(30);
/// Most headers of a request.
const HEADERS: usize = 64;
/// Most bytes of a request's head.
const LARGEST: usize = 16 * 1024;
/// Time for a whole connection, so that a client that doesn't read can't hold one.
const LIFETIME: Duration = Duration::from_mins(10);
/// Time for the requests that are under way when the server stops.
const DRAIN: Duration = Duration::from_secs(2);
/// Pause after a failed accept, such as one for lack of file descriptors.
const PAUSE: Duration = Duration::from_secs(1);

/// Whether this instance is ready, and if not, what for it waits.
#[derive(Clone, Debug)]
pub struct Readiness(Arc<RwLock<Stage>>);

#[derive(Clone, Debug)]
enum Stage {
    Waiting(String),
    Ready,
    ShuttingDown,
}

impl Readiness {
    /// Not ready, for want of `what`.
    #[must_use]
    pub fn waiting_for(what: impl Into<String>) -> Self {
        Self(Arc::new(RwLock::new(Stage::Waiting(what.into()))))
    }

    /// Not ready, for want of `what`.
    pub fn wait_for(&self, what: impl Into<String>) {
        self.enter(Stage::Waiting(what.into()));
    }

    /// Ready. A standby replica is, too.
    pub fn ready(&self) {
        self.enter(Stage::Ready);
    }

    /// Not ready any more, for good.
    pub fn shut_down(&self) {
        self.enter(Stage::ShuttingDown);
    }

    /// `Err` says what is missing.
    pub fn check(&self) -> Result<(), String> {
        let stage = self.0.read().unwrap_or_else(PoisonError::into_inner);
        match &*stage {
            Stage::Waiting(what) => Err(what.clone()),
            Stage::Ready => Ok(()),
            Stage::ShuttingDown => Err("shutting down".to_owned()),
        }
    }

    fn enter(&self, next: Stage) {
        let mut stage = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if !matches!(*stage, Stage::ShuttingDown) {
            *stage = next;
        }
    }
}

/// What probes ask of the work besides: what is wrong, if anything.
#[derive(Clone)]
pub struct Probes {
    /// What keeps an instance from being ready, once it works.
    pub unready: Probe,
    /// What only a new start mends.
    pub stuck: Probe,
}

/// Says what is wrong, if anything.
pub type Probe = Arc<dyn Fn() -> Option<String> + Send + Sync>;

impl Default for Probes {
    fn default() -> Self {
        Self { unready: Arc::new(|| None), stuck: Arc::new(|| None) }
    }
}

/// `/livez`, `/readyz` and `/metrics`.
pub fn admin(readiness: Readiness, probes: Probes, metrics: Arc<Metrics>) -> Router {
    let Probes { unready, stuck } = probes;
    let ready = move || readiness.check().and_then(|()| unready().map_or(Ok(()), Err));
    let alive = move || stuck().map_or(Ok(()), Err);
    Router::new()
        .route("/livez", get(async move || answer(alive())))
        .route("/readyz", get(async move || answer(ready())))
        .route("/metrics", get(scrape).with_state(Pages { metrics, encoders: Arc::new(Semaphore::new(ENCODERS)) }))
}

fn answer(probed: Result<(), String>) -> (StatusCode, String) {
    match probed {
        Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
        Err(wrong) => (StatusCode::SERVICE_UNAVAILABLE, format!("{wrong}\n")),
    }
}

/// Pages of metrics, and the places where they are made.
#[derive(Clone)]
struct Pages {
    metrics: Arc<Metrics>,
    encoders: Arc<Semaphore>,
}

async fn scrape(State(Pages { metrics, encoders }): State<Pages>, headers: HeaderMap) -> Response {
    let kind = (CONTENT_TYPE, HeaderValue::from_static(metrics::CONTENT_TYPE));
    let varies = (VARY, HeaderValue::from_static("accept-encoding"));
    let compressed = takes_gzip(&headers);
    // Of ten thousand tokens that takes as long as many reconciles. Who hangs up meanwhile holds a place until it is made.
    let place = encoders.acquire_owned().await;
    let page = spawn_blocking(move || {
        let _place = place;
        if compressed {
            metrics.encode_gzip()
        } else {
            metrics.encode().map(String::into_bytes).map_err(io::Error::other)
        }
    });
    let page = page.await.map_err(io::Error::other).flatten();
    let answered = page.map(|page| {
        let gzip = compressed.then_some([(CONTENT_ENCODING, HeaderValue::from_static("gzip"))]);
        ([kind, varies], gzip, page).into_response()
    });
    answered.unwrap_or_else(|error| {
        tracing::error!(%error, "the metrics can't be encoded");
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    })
}

/// Whether `Accept-Encoding` (RFC 9110, section 12.5.3) names gzip, and not with the weight zero.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let named = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    named.flat_map(|list| list.split(',')).any(|coding| {
        let (coding, weight) = coding.split_once(';').unwrap_or((coding, "q=1"));
        let weight = weight.trim().strip_prefix("q=").and_then(|weight| weight.parse::<f32>().ok());
        coding.trim().eq_ignore_ascii_case("gzip") && weight.is_some_and(|weight| weight > 0.0)
    })
}

/// Serves until `stop` is cancelled, then lets requests that are under way finish.
///
/// No client can keep others out: of 256 connections, each bounded in time, the one that was quiet longest gives way to
/// the next.
pub async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) {
    let mut open = Open::default();
    let connections = TaskTracker::new();
    let accepting = async {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => open.admit(|used| {
                    connections.spawn(connection(stream, router.clone(), used, stop.clone())).abort_handle()
                }),
                Err(error) if is_of_the_client(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "a connection can't be accepted");
                    sleep(PAUSE).await;
                }
            }
        }
    };
    stop.run_until_cancelled(accepting).await;
    drop(listener);
    connections.close();
    connections.wait().await;
}

/// The connections there are, and when each was last used.
#[derive(Default)]
struct Open {
    connections: Vec<(Used, AbortHandle)>,
    /// Counts connections and requests, as a clock would.
    turn: Arc<AtomicU64>,
}

impl Open {
    /// Makes room for a connection that `start` starts.
    fn admit(&mut self, start: impl FnOnce(Used) -> AbortHandle) {
        self.connections.retain(|(_, task)| !task.is_finished());
        let quietest = (0..self.connections.len()).min_by_key(|&at| self.connections[at].0.last());
        if let Some(at) = quietest.filter(|_| self.connections.len() >= CONNECTIONS) {
            let (_, task) = self.connections.swap_remove(at);
            task.abort();
        }
        let used = Used { turn: self.turn.clone(), last: Arc::default() };
        used.now();
        self.connections.push((used.clone(), start(used)));
    }
}

/// When a connection was last used.
#[derive(Clone)]
struct Used {
    turn: Arc<AtomicU64>,
    last: Arc<AtomicU64>,
}

impl Used {
    fn now(&self) {
        self.last.store(self.turn.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
    }

    fn last(&self) -> u64 {
        self.last.load(Ordering::Relaxed)
    }
}

fn is_of_the_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    )
}

async fn connection(stream: TcpStream, router: Router, used: Used, stop: CancellationToken) {
    let router = MapRequest::new(router, move |request: Request<Incoming>| {
        used.now();
        request
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_headers(HEADERS)
        .max_buf_size(LARGEST)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => Ok(ended),
        _ = timeout(LIFETIME, stop.cancelled()) => {
            connection.as_mut().graceful_shutdown();
            timeout(DRAIN, connection).await
        }
    };
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a connection broke"),
        Err(_) => tracing::debug!("a connection was cut off"),
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        task::JoinHandle,
    };

    use super::*;

    struct Served {
        address: SocketAddr,
        readiness: Readiness,
        stop: CancellationToken,
        task: JoinHandle<()>,
    }

    async fn served() -> Served {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let readiness = Readiness::waiting_for("the CustomResourceDefinitions");
        let stop = CancellationToken::new();
        let router = admin(readiness.clone(), Probes::default(), Arc::new(Metrics::new()));
        let task = tokio::spawn(serve(listener, router, stop.clone()));
        Served { address, readiness, stop, task }
    }

    impl Served {
        async fn get(&self, path: &str) -> reqwest::Response {
            reqwest::get(format!("http://{}{path}", self.address)).await.unwrap()
        }

        async fn readyz(&self) -> (u16, String) {
            let answer = self.get("/readyz").await;
            (answer.status().as_u16(), answer.text().await.unwrap())
        }
    }

    #[tokio::test]
    async fn readiness_says_what_is_missing() {
        let served = served().await;
        assert_eq!(served.get("/livez").await.status(), 200);
        assert_eq!(served.readyz().await, (503, "the CustomResourceDefinitions\n".to_owned()));
        served.readiness.ready();
        assert_eq!(served.readyz().await, (200, "ok\n".to_owned()));
        served.readiness.shut_down();
        served.readiness.ready();
        assert_eq!(served.readyz().await, (503, "shutting down\n".to_owned()));
        assert_eq!(served.get("/livez").await.status(), 200);
    }

    #[tokio::test]
    async fn metrics_are_open_metrics() {
        let answer = served().await.get("/metrics").await;
        assert_eq!(answer.headers()["content-type"], "application/openmetrics-text; version=1.0.0; charset=utf-8");
        assert!(answer.text().await.unwrap().ends_with("# EOF\n"));
    }

    const LIVEZ: &[u8] = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n";

    #[tokio::test]
    async fn metrics_are_compressed_for_who_takes_that() {
        let served = served().await;
        for (accepts, compressed) in [
            (None, false),
            (Some("identity"), false),
            (Some("br;q=1.0, GZIP;q=0.5"), true),
            (Some("gzip"), true),
            (Some("gzip;q=0, *"), false),
            (Some("gzip; q=x"), false),
        ] {
            let mut request = reqwest::Client::new().get(format!("http://{}/metrics", served.address));
            if let Some(accepts) = accepts {
                request = request.header("accept-encoding", accepts);
            }
            let answer = request.send().await.unwrap();
            assert_eq!(answer.headers().contains_key("content-encoding"), compressed, "{accepts:?}");
            assert_eq!(answer.headers()["vary"], "accept-encoding");
            let bytes = answer.bytes().await.unwrap();
            let page = if compressed {
                io::read_to_string(flate2::read::GzDecoder::new(&*bytes)).unwrap()
            } else {
                String::from_utf8(bytes.to_vec()).unwrap()
            };
            assert!(page.ends_with("# EOF\n"), "{accepts:?}: {page}");
        }
    }

    async fn asks(stream: &mut TcpStream) -> Option<String> {
        let mut answer = [0; 512];
        stream.write_all(LIVEZ).await.ok()?;
        let length = stream.read(&mut answer).await.ok().filter(|length| *length > 0)?;
        Some(String::from_utf8_lossy(&answer[..length]).into_owned())
    }

    #[tokio::test]
    async fn the_quietest_connection_gives_way() {
        let served = served().await;
        let mut used = TcpStream::connect(served.address).await.unwrap();
        let mut crowd = Vec::new();
        for number in 0..CONNECTIONS * 2 {
            crowd.push(TcpStream::connect(served.address).await.unwrap());
            if number % 100 == 0 {
                let answer = timeout(Duration::from_secs(2), asks(&mut used)).await.unwrap();
                assert!(answer.is_some_and(|answer| answer.starts_with("HTTP/1.1 200")), "after {number}");
            }
        }
        assert!(asks(&mut used).await.is_some());
        assert_eq!(crowd[0].read(&mut [0; 1]).await.unwrap_or(0), 0, "the quietest is cut off");
        assert!(asks(crowd.last_mut().unwrap()).await.is_some());
    }

    #[tokio::test]
    async fn a_stop_lets_no_client_hold_the_server() {
        let served = served().await;
        let mut silent = TcpStream::connect(served.address).await.unwrap();
        let mut half = TcpStream::connect(served.address).await.unwrap();
        half.write_all(b"GET /livez HTTP/1.1\r\nHost:").await.unwrap();
        served.get("/livez").await;
        served.stop.cancel();
        timeout(DRAIN * 2, served.task).await.unwrap().unwrap();
        assert_eq!(silent.read(&mut [0; 1]).await.unwrap_or(0), 0);
        assert!(TcpStream::connect(served.address).await.is_err());
    }
}
