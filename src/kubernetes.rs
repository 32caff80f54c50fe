//! The client of the Kubernetes API server, every call of which is counted and bounded in time.

mod config;
mod lean;
mod rollout;
mod token_file;

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use anyhow::Context as _;
use futures::{FutureExt, future::BoxFuture};
use http::{HeaderValue, Method, Request, Response, Uri, header::USER_AGENT};
use kube::{
    Client, Config,
    client::{AuthError, Body, ClientBuilder, DynBody},
};
use tokio::{sync::Semaphore, time::timeout};
use tower::{
    BoxError, Layer, Service,
    layer::util::Identity,
    util::{BoxService, MapErrLayer, MapRequestLayer, option_layer},
};
use tracing::{Instrument, Span};

use self::token_file::TokenFile;
pub use self::{
    config::{Choice, config, shown},
    lean::{Lean, Lenient, Metadata},
    rollout::Rollout,
};
use crate::{core::vocabulary::labels::Verb, metrics::Metrics, spans};

/// What calls the API server, under whatever a test puts around it.
pub type Transport = BoxService<Request<Body>, Answer, BoxError>;
/// What it answers.
pub type Answer = Response<Box<DynBody>>;

const AGENT: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));

const CANT_BUILD: &str = "the Kubernetes client can't be built";

/// Time for the head of an answer, retries by the client included. A watch's comes at once.
const ANSWER: Duration = Duration::from_secs(30);
/// Silence after which a connection counts as dead: longer than the API server keeps a quiet watch (60 s, as asked).
const SILENCE: Duration = Duration::from_secs(90);

/// Calls at a time for each reconcile at a time, for those that come back from a shop wait for no worker. Each has a connection
/// that stays, after a handshake of a millisecond, and of very many the API server answers none sooner.
const CALLS: usize = 2;
/// How long a call waits until there aren't too many others. Those may hang at somebody's webhook: then it goes all the same.
const LINE: Duration = Duration::from_secs(1);

/// A client that counts its calls in `metrics`, for so many reconciles at a time. Needs a runtime.
pub fn client(config: Config, metrics: Arc<Metrics>, concurrency: u16) -> anyhow::Result<Client> {
    client_with_layer(config, metrics, concurrency, &Identity::new())
}

/// The same with a layer of the caller's around each call: it may refuse a call, or cut off its answer.
pub fn client_with_layer<L>(
    mut config: Config,
    metrics: Arc<Metrics>,
    concurrency: u16,
    layer: &L,
) -> anyhow::Result<Client>
where
    L: Layer<Transport>,
    L::Service: Service<Request<Body>, Response = Answer, Error = BoxError> + Send + 'static,
    <L::Service as Service<Request<Body>>>::Future: Send + 'static,
{
    config.headers.push((USER_AGENT, HeaderValue::from_static(AGENT)));
    config.read_timeout = Some(SILENCE);
    config.reset_reader_on_write = true;
    let authorized = authorized(&mut config)?;
    let builder = ClientBuilder::try_from(config).map_err(without_words).context(CANT_BUILD)?;
    let turns = Arc::new(Semaphore::new(CALLS * usize::from(concurrency.max(1))));
    let measured =
        tower::layer::layer_fn(move |inner| Measured { inner, metrics: metrics.clone(), turns: turns.clone() });
    Ok(builder.with_layer(layer).with_layer(&option_layer(authorized)).with_layer(&measured).build())
}

/// A client for a command that a person runs, under the name of `agent`: its calls aren't counted.
///
/// # Errors
/// The credentials of `config` can't be read, or its certificates.
pub fn client_of_person(mut config: Config, agent: &'static str) -> anyhow::Result<Client> {
    config.headers.push((USER_AGENT, HeaderValue::from_static(agent)));
    let authorized = authorized(&mut config)?;
    let server = shown(&config.cluster_url);
    let builder = ClientBuilder::try_from(config).map_err(without_words).context(CANT_BUILD)?;
    let named = MapErrLayer::new(move |error| Unanswered::at(&server, error));
    Ok(builder.with_layer(&named).with_layer(&option_layer(authorized)).build())
}

/// A call that the API server at this address didn't answer.
#[derive(Debug, thiserror::Error)]
#[error("at {server}")]
struct Unanswered {
    server: String,
    #[source]
    error: BoxError,
}

impl Unanswered {
    /// What the client says itself, as of credentials, stays as it is.
    fn at(server: &str, error: BoxError) -> BoxError {
        if error.is::<kube::Error>() || error.is::<AuthError>() {
            return error;
        }
        Self { server: server.to_owned(), error }.into()
    }
}

/// kube's own words quote the variables of a plugin and what it printed.
fn without_words(error: kube::Error) -> anyhow::Error {
    let plugin = if let kube::Error::Auth(error) = &error { of_plugin(error) } else { None };
    plugin.map_or_else(|| error.into(), anyhow::Error::msg)
}

/// What a plugin of the kubeconfig (`exec`) has failed at, by the code it ended with and nothing else.
fn of_plugin(error: &AuthError) -> Option<String> {
    let failed = match error {
        AuthError::AuthExecRun { out, .. } => out.status.to_string(),
        AuthError::AuthExecParse(_) => "it printed no ExecCredential".to_owned(),
        _ => return None,
    };
    Some(format!("the credential plugin (exec) of the kubeconfig's user failed: {failed}; run it by hand to see why"))
}

/// Puts the token of a file on each call, where the user of `config` has one.
fn authorized(config: &mut Config) -> anyhow::Result<Option<MapRequestLayer<impl Authorize>>> {
    let token = TokenFile::take_from(&mut config.auth_info)?;
    Ok(token.map(|token| MapRequestLayer::new(move |request| token.authorize(request))))
}

/// What puts something on a call.
trait Authorize: Fn(Request<Body>) -> Request<Body> + Clone + Send + Sync + 'static {}

impl<F: Fn(Request<Body>) -> Request<Body> + Clone + Send + Sync + 'static> Authorize for F {}

/// Counts calls, and bounds their time and how many there are at a time.
struct Measured<S> {
    inner: S,
    metrics: Arc<Metrics>,
    turns: Arc<Semaphore>,
}

impl<S> Service<Request<Body>> for Measured<S>
where
    S: Service<Request<Body>, Response = Answer, Error = BoxError>,
    S::Future: Send + 'static,
{
    type Response = Answer;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Answer, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let call = Call::of(request.method(), request.uri());
        let metrics = self.metrics.clone();
        let span = call.span();
        let turns = call.takes_a_turn().then(|| self.turns.clone());
        let answer = self.inner.call(request);
        let waits = metrics.clone();
        let answer = async move {
            let _turn = match &turns {
                Some(turns) => timeout(LINE, turns.acquire()).await.inspect_err(|_| waits.kubernetes_delayed()).ok(),
                None => None,
            };
            timeout(ANSWER, answer).await
        };
        let answer = answer.instrument(span.clone());
        async move {
            let (code, answer) = match answer.await {
                Ok(Ok(answer)) => (answer.status().as_str().to_owned(), Ok(answer)),
                Ok(Err(error)) => {
                    let plugin = error.downcast_ref().and_then(of_plugin);
                    ("error".to_owned(), Err(plugin.map_or(error, BoxError::from)))
                }
                Err(elapsed) => ("timeout".to_owned(), Err(elapsed.into())),
            };
            metrics.kubernetes_request(call.verb, &call.resource, &code);
            spans::answered(&span, &code);
            answer
        }
        .boxed()
    }
}

/// A call as the API server's authorisation sees it.
#[derive(Debug, Eq, PartialEq)]
struct Call {
    verb: Verb,
    /// With its subresource after a slash; `none` for paths such as `/version`.
    resource: String,
}

impl Call {
    fn of(method: &Method, uri: &Uri) -> Self {
        let path: Vec<&str> = uri.path().split('/').filter(|s| !s.is_empty()).collect();
        let below_version = match path.as_slice() {
            ["api", _, rest @ ..] | ["apis", _, _, rest @ ..] => rest,
            _ => &[],
        };
        let (resource, name, subresource) = match *below_version {
            // `status` and `finalize` are subresources of the namespace, all else lives in it.
            ["namespaces", _, resource, ref rest @ ..] if !matches!(resource, "status" | "finalize") => {
                (resource, rest.first(), rest.get(1))
            }
            [resource, ref rest @ ..] => (resource, rest.first(), rest.get(1)),
            [] => ("none", None, None),
        };
        let watches = uri.query().is_some_and(|q| q.split('&').any(|p| matches!(p, "watch=true" | "watch=1")));
        let verb = match (method, name) {
            (&Method::GET, _) if watches => Verb::Watch,
            (&Method::GET, None) if resource != "none" => Verb::List,
            (&Method::GET, _) => Verb::Get,
            (&Method::POST, _) => Verb::Create,
            (&Method::PUT, _) => Verb::Update,
            (&Method::PATCH, _) => Verb::Patch,
            (&Method::DELETE, None) => Verb::DeleteCollection,
            (&Method::DELETE, _) => Verb::Delete,
            _ => Verb::Other,
        };
        let resource = match subresource {
            Some(subresource) => format!("{resource}/{subresource}"),
            None => resource.to_owned(),
        };
        Self { verb, resource }
    }

    /// Whether it waits until there aren't too many others. A watch lasts and begins with a list, and the lease must not be lost
    /// behind what others write.
    fn takes_a_turn(&self) -> bool {
        !matches!(self.verb, Verb::Watch | Verb::List) && self.resource != "leases"
    }

    /// The span of a write. The lease's are the operator's pulse, one each two seconds for as long as it lives.
    fn span(&self) -> Span {
        let writes =
            matches!(self.verb, Verb::Create | Verb::Update | Verb::Patch | Verb::Delete | Verb::DeleteCollection);
        if writes && self.resource != "leases" {
            spans::kubernetes_write(self.verb, &self.resource)
        } else {
            Span::none()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        net::SocketAddr,
        sync::{
            Mutex,
            atomic::{AtomicUsize, Ordering},
        },
    };

    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::Api;
    use tokio::net::TcpListener;
    use tokio_util::sync::CancellationToken;

    use super::*;

    #[test]
    fn a_call_is_named_as_authorisation_names_it() {
        let cases = [
            ("GET", "/api/v1/secrets?limit=50", Verb::List, "secrets"),
            ("GET", "/api/v1/namespaces/shop/secrets/web", Verb::Get, "secrets"),
            ("GET", "/api/v1/secrets?labelSelector=a&watch=true", Verb::Watch, "secrets"),
            ("POST", "/api/v1/namespaces/shop/secrets", Verb::Create, "secrets"),
            (
                "PATCH",
                "/apis/tokens.shopify-operator.dev/v1alpha1/namespaces/shop/shopifytokens/web/status?fieldManager=x",
                Verb::Patch,
                "shopifytokens/status",
            ),
            ("PUT", "/apis/coordination.k8s.io/v1/namespaces/shop/leases/operator", Verb::Update, "leases"),
            ("DELETE", "/api/v1/namespaces/shop/secrets/web", Verb::Delete, "secrets"),
            ("DELETE", "/api/v1/namespaces/shop/secrets", Verb::DeleteCollection, "secrets"),
            ("GET", "/api/v1/namespaces", Verb::List, "namespaces"),
            ("GET", "/api/v1/namespaces/shop", Verb::Get, "namespaces"),
            ("PUT", "/api/v1/namespaces/shop/finalize", Verb::Update, "namespaces/finalize"),
            ("GET", "/version", Verb::Get, "none"),
            ("GET", "/apis/apps/v1", Verb::Get, "none"),
        ];
        for (method, uri, verb, resource) in cases {
            let call = Call::of(&method.parse().unwrap(), &uri.parse().unwrap());
            let expected = Call { verb, resource: resource.to_owned() };
            assert_eq!(call, expected, "{method} {uri}");
        }
    }

    async fn api_server() -> (SocketAddr, CancellationToken) {
        let router = axum::Router::new().fallback(async |request: axum::extract::Request| {
            assert_eq!(request.headers()[USER_AGENT], AGENT);
            (
                http::StatusCode::NOT_FOUND,
                r#"{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404,"message":""}"#,
            )
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        tokio::spawn(crate::server::serve(listener, router, stop.clone()));
        (address, stop)
    }

    #[tokio::test]
    async fn calls_are_counted_and_a_layer_can_fail_them() {
        let (address, _stop) = api_server().await;
        let metrics = Arc::new(Metrics::new());
        let config = || Config::new(format!("http://{address}").parse().unwrap());

        let plain = client(config(), metrics.clone(), 1).unwrap();
        let maps: Api<ConfigMap> = Api::namespaced(plain, "shop");
        assert_eq!(maps.get_opt("web").await.unwrap(), None);

        let calls = Arc::new(AtomicUsize::new(0));
        let seen = calls.clone();
        let counting = MapRequestLayer::new(move |request: Request<Body>| {
            seen.fetch_add(1, Ordering::SeqCst);
            request
        });
        let counted = client_with_layer(config(), metrics.clone(), 1, &counting).unwrap();
        let maps: Api<ConfigMap> = Api::namespaced(counted, "shop");
        assert_eq!(maps.get_opt("web").await.unwrap(), None);
        assert_eq!(calls.load(Ordering::SeqCst), 1);

        let failing = tower::layer::layer_fn(|_: Transport| {
            tower::service_fn(async |_: Request<Body>| Err::<Answer, _>(BoxError::from("cut")))
        });
        let failed = client_with_layer(config(), metrics.clone(), 1, &failing).unwrap();
        let maps: Api<ConfigMap> = Api::namespaced(failed, "shop");
        assert!(maps.get_opt("web").await.is_err());

        let page = metrics.encode().unwrap();
        for line in [
            r#"kubernetes_requests_total{verb="get",resource="configmaps",code="404"} 2"#,
            r#"kubernetes_requests_total{verb="get",resource="configmaps",code="error"} 1"#,
        ] {
            assert!(page.lines().any(|l| l == line), "{line} isn't in\n{page}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_calls_at_a_time_and_nobody_waits_for_long() {
        let (begun, ends) = (Arc::<Mutex<Vec<String>>>::default(), Arc::new(Semaphore::new(0)));
        let (told, end) = (begun.clone(), ends.clone());
        let held = tower::layer::layer_fn(move |_: Transport| {
            let (told, end) = (told.clone(), end.clone());
            tower::service_fn(move |request: Request<Body>| {
                let (told, end) = (told.clone(), end.clone());
                async move {
                    told.lock().unwrap().push(request.uri().path().rsplit_once('/').unwrap().1.to_owned());
                    end.acquire().await.unwrap().forget();
                    Err::<Answer, _>(BoxError::from("it ends"))
                }
            })
        });
        let config = Config::new("http://127.0.0.1:1".parse().unwrap());
        let metrics = Arc::<Metrics>::default();
        let client = client_with_layer(config, metrics.clone(), 1, &held).unwrap();
        let delayed = |times: u8| {
            let line = format!("kubernetes_requests_delayed_total {times}");
            assert!(metrics.encode().unwrap().lines().any(|it| it == line));
        };
        let begins = async |expected: &[&str]| {
            tokio::time::sleep(Duration::from_millis(10)).await;
            assert_eq!(std::mem::take(&mut *begun.lock().unwrap()), expected);
        };
        let asks = |path: &str| {
            let request = Request::get(format!("/api/v1/namespaces/shop/{path}")).body(Vec::new()).unwrap();
            let client = client.clone();
            tokio::spawn(async move { client.request::<serde_json::Value>(request).await })
        };
        for (path, name) in [("secrets/a", "a"), ("secrets/b", "b")] {
            asks(path);
            begins(&[name]).await;
        }
        let given_up = asks("secrets/c");
        begins(&[]).await;
        for (path, name) in [("leases/operator", "operator"), ("secrets?watch=true", "secrets"), ("secrets", "secrets")]
        {
            asks(path);
            begins(&[name]).await;
        }
        given_up.abort();
        asks("secrets/d");
        begins(&[]).await;
        ends.add_permits(1);
        begins(&["d"]).await;
        asks("secrets/e");
        begins(&[]).await;
        delayed(0);
        tokio::time::sleep(LINE).await;
        begins(&["e"]).await;
        delayed(1);
    }
}
