//! `run`: what starts in which order, and what stops in which.

mod uninstall;

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context, anyhow, bail};
use kube::{Client, Resource};
use tokio::{
    net::TcpListener,
    task::JoinError,
    time::{Instant, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

pub use self::uninstall::uninstall;
use crate::{
    api::{GROUP, ShopifyApp, ShopifyToken, VERSION},
    cli::{RunOptions, ShopifyOptions},
    clock::Clock,
    controller::{self, consent::Consent},
    install, kubernetes,
    lease::{Candidate, Lost},
    metrics::Metrics,
    proxy::Proxies,
    server::{self, Probes, Readiness},
    shopify,
};

/// Time for the reconciles under way when the operator stops; a pod has 30 s by default.
const DRAIN: Duration = Duration::from_secs(25);
/// Pause before the API server is asked again whether it serves the custom resources.
const PAUSE: Duration = Duration::from_secs(2);

/// What an instance stands on.
pub struct Ground {
    /// Client of the API server.
    pub client: Client,
    /// Client of Shopify.
    pub shopify: Arc<shopify::Client>,
    /// The operator's own namespace.
    pub namespace: String,
    /// The time of day.
    pub clock: Clock,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Where livez, readyz and metrics are served.
    pub admin: TcpListener,
    /// Where the install pages are served, where there is a public URL.
    pub oauth: Option<TcpListener>,
}

impl Ground {
    /// The cluster that kubectl would talk to, the system's clock, and the admin port of `options`; counts in `metrics`.
    /// Needs a runtime.
    pub fn of(options: &RunOptions, metrics: Arc<Metrics>) -> anyhow::Result<Self> {
        let proxies = Proxies::from_env()?;
        let config = kubernetes::config(&kubernetes::Choice::default(), &proxies).context("no cluster to work with")?;
        let namespace = config.default_namespace.clone();
        let address = options.admin_addr;
        let admin = server::listen(address).with_context(|| format!("can't listen on {address}"))?;
        tracing::info!(address = %admin.local_addr()?, "serves livez, readyz and metrics");
        let oauth = match &options.public_url {
            Some(public) => {
                let address = options.oauth_addr;
                let oauth = server::listen(address).with_context(|| format!("can't listen on {address}"))?;
                tracing::info!(address = %oauth.local_addr()?, %public, callback = public.callback(), "serves install pages");
                Some(oauth)
            }
            None => None,
        };
        Ok(Self {
            client: kubernetes::client(config, metrics.clone(), options.concurrency)?,
            shopify: Arc::new(shopify_client(&options.shopify, proxies, &metrics)?),
            namespace,
            clock: Clock::system(),
            metrics,
            admin,
            oauth,
        })
    }
}

/// A client of Shopify that takes the proxy of `proxies` and reports to `metrics`.
///
/// # Errors
/// Those of [`shopify::authorities`], and when the file of `--shopify-ca-file` can't be read.
pub fn shopify_client(
    options: &ShopifyOptions,
    proxies: Proxies,
    metrics: &Arc<Metrics>,
) -> anyhow::Result<shopify::Client> {
    let ca_pem = options.shopify_ca_file.as_deref().map(ca_file).transpose()?;
    let (calls, waits) = (Arc::clone(metrics), Arc::clone(metrics));
    let observer = shopify::Observer {
        on_call: Box::new(move |call| calls.shopify_call(call.operation, &call.code, call.took)),
        on_throttled: Box::new(move |wait| waits.shopify_throttled(wait)),
    };
    let transport = shopify::Options {
        connect_to: options.shopify_connect_to.clone(),
        proxies,
        ca_pem,
        ..shopify::Options::default()
    };
    shopify::Client::new(transport, Arc::new(observer)).context("no client of Shopify can be made")
}

/// The content of the file, once it is sure that there are certificates in it.
fn ca_file(path: &Path) -> anyhow::Result<Vec<u8>> {
    let named = || format!("--shopify-ca-file {}", path.display());
    let pem = std::fs::read(path).with_context(named)?;
    shopify::authorities(&pem).with_context(named)?;
    Ok(pem)
}

/// What the watches add to readiness and liveness.
fn probes(watches: &Arc<controller::Watches>) -> Probes {
    let (unready, stuck) = (Arc::clone(watches), Arc::clone(watches));
    Probes {
        unready: Arc::new(move || unready.missing(Instant::now())),
        stuck: Arc::new(move || stuck.stuck(Instant::now())),
    }
}

/// Runs the operator until `shutdown` is cancelled. `Ok` is a clean stop; all else ends the process with an error.
///
/// `controller` is started once the custom resources are served and the lease is held. It has to return soon after
/// its token is cancelled; by itself it never may.
pub async fn run<C, F>(
    options: &RunOptions,
    ground: Ground,
    controller: C,
    shutdown: CancellationToken,
) -> anyhow::Result<()>
where
    C: FnOnce(controller::Setup, CancellationToken) -> F,
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let Ground { client, shopify, namespace, clock, metrics, admin, oauth } = ground;
    let leading = |leads| metrics.leading(&options.lease.lease_name, leads);
    leading(false);
    let readiness = Readiness::waiting_for("the API server hasn't been asked yet for the custom resources");
    let stop_server = CancellationToken::new();
    let watches = Arc::new(controller::Watches::default());
    let router = server::admin(readiness.clone(), probes(&watches), metrics.clone());
    let mut server = AbortOnDropHandle::new(tokio::spawn(server::serve(admin, router, stop_server.clone())));

    let setup = controller::Setup {
        client: client.clone(),
        shopify,
        clock: clock.clone(),
        metrics: metrics.clone(),
        watches,
        namespaces: options.watch_namespaces.0.clone(),
        selector: options.selector.clone(),
        concurrency: options.concurrency,
        revocation_timeout: options.revocation_timeout,
        public_url: options.public_url.clone(),
    };
    let mut pages = oauth.zip(options.public_url.clone()).map(|(listener, public)| {
        let router = install::router(Consent::new(setup.clone()), public, stop_server.clone());
        AbortOnDropHandle::new(tokio::spawn(server::serve(listener, router, stop_server.clone())))
    });
    let mut candidate = options.lease.leader_elect.then(|| {
        let namespace = options.lease.lease_namespace.as_deref().unwrap_or(&namespace);
        Candidate::new(client.clone(), namespace, &options.lease.lease_name, clock)
    });
    let start = |stop| AbortOnDropHandle::new(tokio::spawn(controller(setup, stop)));

    let ended = tokio::select! {
        ended = work(&client, candidate.as_mut(), leading, &readiness, start, &shutdown) => ended,
        ended = &mut server => Err(anyhow!("the admin server ended: {ended:?}")),
        ended = ended(pages.as_mut()) => Err(anyhow!("the server of the install pages ended: {ended:?}")),
    };

    readiness.shut_down();
    leading(false);
    let lost = ended.as_ref().is_err_and(anyhow::Error::is::<Lost>);
    if let Some(candidate) = candidate.as_mut().filter(|_| !lost)
        && let Err(error) = candidate.release().await
    {
        tracing::warn!(%error, "the lease can't be given up: it ends by itself");
    }
    stop_server.cancel();
    ended?;
    if let Some(pages) = pages {
        pages.await.context("the server of the install pages failed")?;
    }
    server.await.context("the admin server failed")
}

/// Returns once a task has ended; never, if there is none.
async fn ended(task: Option<&mut AbortOnDropHandle<()>>) -> Result<(), JoinError> {
    match task {
        Some(task) => task.await,
        None => std::future::pending().await,
    }
}

/// Everything between the start and the end of the drain.
async fn work(
    client: &Client,
    mut candidate: Option<&mut Candidate>,
    leading: impl Fn(bool),
    readiness: &Readiness,
    start: impl FnOnce(CancellationToken) -> AbortOnDropHandle<anyhow::Result<()>>,
    shutdown: &CancellationToken,
) -> anyhow::Result<()> {
    let mut leadership = async || {
        custom_resources(client, readiness).await;
        readiness.ready();
        if let Some(candidate) = &mut candidate {
            candidate.acquire().await;
        }
    };
    if shutdown.run_until_cancelled(leadership()).await.is_none() {
        return Ok(());
    }
    leading(true);
    tracing::info!("the controller starts");

    // Nothing begins from the signal on, however much there is to do before it is told.
    let mut controller = start(shutdown.child_token());
    let stopped = async {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => {}
            ended = &mut controller => {
                ended.context("the controller failed")??;
                bail!("the controller ended by itself")
            }
        }
        tracing::info!("stops once what is under way is done");
        readiness.shut_down();
        if let Ok(ended) = timeout(DRAIN, &mut controller).await {
            return ended.context("the controller failed")?;
        }
        tracing::warn!(after = ?DRAIN, "what was under way is cut off: the next leader takes it up");
        Ok(())
    };
    let kept = async {
        match candidate {
            Some(candidate) => candidate.keep().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        ended = stopped => ended,
        lost = kept => Err(lost.into()),
    }
}

/// Returns once the API server serves both kinds; until then the readiness says what is missing.
async fn custom_resources(client: &Client, readiness: &Readiness) {
    let mut said = String::new();
    loop {
        let missing = match missing(client).await {
            Ok(missing) if missing.is_empty() => return,
            Ok(missing) => format!("CustomResourceDefinitions not installed: {}", missing.join(", ")),
            Err(error) => format!("the API server can't say whether it serves the custom resources: {error}"),
        };
        if said != missing {
            tracing::warn!("{missing}");
            readiness.wait_for(&*missing);
            said = missing;
        }
        sleep(PAUSE).await;
    }
}

/// The kinds that aren't served. Discovery tells it to everyone: no right to read `CustomResourceDefinitions` is needed.
async fn missing(client: &Client) -> Result<Vec<String>, kube::Error> {
    let served = match client.list_api_group_resources(&format!("{GROUP}/{VERSION}")).await {
        Ok(list) => list.resources,
        // An unknown group is answered in plain text, without a reason.
        Err(kube::Error::Api(status)) if status.code == 404 => Vec::new(),
        Err(error) => return Err(error),
    };
    let mut needed = vec![ShopifyApp::plural(&()), ShopifyToken::plural(&())];
    needed.retain(|plural| served.iter().all(|resource| resource.name != *plural));
    Ok(needed.iter().map(|plural| format!("{plural}.{GROUP}")).collect())
}

#[cfg(test)]
mod tests;
