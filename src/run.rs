//! `run`: what starts in which order, and what stops in which.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context, anyhow, bail};
use kube::{Client, Resource};
use tokio::{
    net::TcpListener,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::{
    api::{GROUP, ShopifyApp, ShopifyToken, VERSION},
    cli::{RunOptions, ShopifyOptions, UninstallOptions},
    clock::Clock,
    controller, kubernetes,
    lease::{Candidate, Lost},
    metrics::Metrics,
    proxy::Proxies,
    server::{self, Readiness},
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
}

impl Ground {
    /// The cluster that kubectl would talk to, the system's clock, and the admin port of `options`.
    pub async fn of(options: &RunOptions) -> anyhow::Result<Self> {
        let proxies = Proxies::from_env()?;
        let config = kubernetes::config(&proxies).context("no cluster to work with")?;
        let namespace = config.default_namespace.clone();
        let metrics = Arc::new(Metrics::new());
        let address = options.admin_addr;
        let admin = server::listen(address).with_context(|| format!("can't listen on {address}"))?;
        tracing::info!(address = %admin.local_addr()?, "serves livez, readyz and metrics");
        Ok(Self {
            client: kubernetes::client(config, metrics.clone())?,
            shopify: Arc::new(shopify_client(&options.shopify, proxies, &metrics)?),
            namespace,
            clock: Clock::system(),
            metrics,
            admin,
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
    let Ground { client, shopify, namespace, clock, metrics, admin } = ground;
    let readiness = Readiness::waiting_for("the API server hasn't been asked yet for the custom resources");
    let stop_server = CancellationToken::new();
    let router = server::admin(readiness.clone(), metrics.clone());
    let mut server = AbortOnDropHandle::new(tokio::spawn(server::serve(admin, router, stop_server.clone())));

    let setup = controller::Setup {
        client: client.clone(),
        shopify,
        clock: clock.clone(),
        metrics: metrics.clone(),
        namespaces: options.watch_namespaces.0.clone(),
        selector: options.selector.clone(),
        concurrency: options.concurrency,
        revocation_timeout: options.revocation_timeout,
    };
    let mut candidate = options.lease.leader_elect.then(|| {
        let namespace = options.lease.lease_namespace.as_deref().unwrap_or(&namespace);
        Candidate::new(client.clone(), namespace, &options.lease.lease_name, clock)
    });
    let start = |stop| AbortOnDropHandle::new(tokio::spawn(controller(setup, stop)));

    let ended = tokio::select! {
        ended = work(&client, candidate.as_mut(), &metrics, &readiness, start, &shutdown) => ended,
        ended = &mut server => Err(anyhow!("the admin server ended: {ended:?}")),
    };

    readiness.shut_down();
    metrics.leading(false);
    let lost = ended.as_ref().is_err_and(anyhow::Error::is::<Lost>);
    if let Some(candidate) = candidate.as_mut().filter(|_| !lost)
        && let Err(error) = candidate.release().await
    {
        tracing::warn!(%error, "the lease can't be given up: it ends by itself");
    }
    stop_server.cancel();
    ended?;
    server.await.context("the admin server failed")
}

/// How long nobody works after an uninstallation: the time to delete the operator.
const AFTERWARDS: Duration = Duration::from_mins(5);

/// Uninstalls, holding the operator's lease: one that runs stops, and waits for minutes before it starts again.
///
/// # Errors
/// Of Kubernetes, and when an operator runs that can't be stopped.
pub async fn uninstall(options: &UninstallOptions) -> anyhow::Result<controller::Uninstalled> {
    let proxies = Proxies::from_env()?;
    let config = kubernetes::config(&proxies).context("no cluster to work with")?;
    let namespace = options.lease.lease_namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
    let metrics = Arc::new(Metrics::new());
    let client = kubernetes::client(config, metrics.clone())?;
    let setup = controller::Setup {
        client: client.clone(),
        shopify: Arc::new(shopify_client(&options.shopify, proxies, &metrics)?),
        clock: Clock::system(),
        metrics,
        namespaces: options.watch_namespaces.0.clone(),
        selector: None,
        concurrency: 16,
        revocation_timeout: options.timeout,
    };
    if !options.lease.leader_elect {
        return controller::uninstall(setup).await;
    }
    let candidate = Candidate::new(client, &namespace, &options.lease.lease_name, Clock::system());
    alone(candidate, Box::pin(controller::uninstall(setup))).await
}

/// Does `work` while holding the lease, and keeps others from it for a while afterwards.
async fn alone<T>(mut candidate: Candidate, work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let stops_within = candidate.take_over().await.context(
        "the operator's lease can't be had: scale its Deployment to zero, then run uninstall again (with --leader-elect=false where there is no lease)",
    )?;
    let done = tokio::select! {
        done = async { sleep(stops_within).await; work.await } => done,
        lost = candidate.keep() => Err(lost.into()),
    };
    let ended = match &done {
        Ok(_) => candidate.leave_for(AFTERWARDS).await,
        Err(_) => candidate.release().await,
    };
    if let Err(error) = ended {
        tracing::warn!(%error, "the lease ends by itself");
    }
    done
}

/// Everything between the start and the end of the drain.
async fn work(
    client: &Client,
    mut candidate: Option<&mut Candidate>,
    metrics: &Metrics,
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
    metrics.leading(true);
    tracing::info!("the controller starts");

    let stop = CancellationToken::new();
    let mut controller = start(stop.clone());
    let stopped = async {
        tokio::select! {
            ended = &mut controller => {
                ended.context("the controller failed")??;
                bail!("the controller ended by itself")
            }
            () = shutdown.cancelled() => {}
        }
        tracing::info!("stops once what is under way is done");
        readiness.shut_down();
        stop.cancel();
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
mod tests {
    use std::{
        net::SocketAddr,
        sync::{Mutex, atomic::AtomicBool, atomic::Ordering},
    };

    use clap::Parser;
    use tokio::task::JoinHandle;

    use super::*;
    use crate::{
        cli::{Cli, Command},
        lease::tests::Server,
    };

    const BOTH: [&str; 2] = ["shopifyapps", "shopifytokens"];
    const SOON: Duration = Duration::from_secs(5);

    fn options(flags: &[&str]) -> RunOptions {
        let line = ["shopify-token-operator", "run"].iter().chain(flags);
        match Cli::parse_from(line).command {
            Command::Run(options) => options,
            other => panic!("{other:?}"),
        }
    }

    /// What a test sees of an instance.
    struct Instance {
        admin: SocketAddr,
        shutdown: CancellationToken,
        task: JoinHandle<anyhow::Result<()>>,
    }

    impl Instance {
        async fn start<C, F>(server: &Server, flags: &[&str], controller: C) -> Self
        where
            C: FnOnce(controller::Setup, CancellationToken) -> F + Send + 'static,
            F: Future<Output = anyhow::Result<()>> + Send + 'static,
        {
            let admin = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = admin.local_addr().unwrap();
            let ground = Ground {
                client: server.client(),
                shopify: Arc::new(shopify::Client::new(shopify::Options::default(), Arc::default()).unwrap()),
                namespace: "shop".to_owned(),
                clock: Clock::system(),
                metrics: Arc::new(Metrics::new()),
                admin,
            };
            let shutdown = CancellationToken::new();
            let (options, stop) = (options(flags), shutdown.clone());
            let task = tokio::spawn(async move { run(&options, ground, controller, stop).await });
            Self { admin: address, shutdown, task }
        }

        async fn get(&self, path: &str) -> (u16, String) {
            let answer = reqwest::get(format!("http://{}{path}", self.admin)).await.unwrap();
            (answer.status().as_u16(), answer.text().await.unwrap())
        }

        async fn leads(&self) -> bool {
            self.get("/metrics").await.1.lines().any(|l| l == "leader 1")
        }

        async fn ended(self) -> anyhow::Result<()> {
            timeout(SOON, self.task).await.unwrap().unwrap()
        }
    }

    async fn until(what: &str, holds: impl AsyncFn() -> bool) {
        let waits = async {
            while !holds().await {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(SOON, waits).await.unwrap_or_else(|_| panic!("{what}"));
    }

    async fn obedient(_: controller::Setup, stop: CancellationToken) -> anyhow::Result<()> {
        stop.cancelled().await;
        Ok(())
    }

    #[test]
    fn what_is_wrong_with_the_ca_file_is_said_by_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        for (path, said) in [
            (dir.path().join("absent"), "No such file"),
            (dir.path().to_owned(), "directory"),
            (file("empty.pem", ""), "there is no certificate in it"),
            (file("text.pem", "hello"), "there is no certificate in it"),
            (file("half.pem", "-----BEGIN CERTIFICATE-----\naGk="), "certificate 1 isn't PEM"),
        ] {
            let options = options(&[&format!("--shopify-ca-file={}", path.display())]);
            let error = shopify_client(&options.shopify, Proxies::default(), &Arc::new(Metrics::new())).unwrap_err();
            let told = format!("{error:#}");
            assert!(told.starts_with(&format!("--shopify-ca-file {}: ", path.display())), "{told}");
            assert!(told.contains(said), "{told}");
        }
    }

    #[tokio::test]
    async fn what_is_missing_is_said_until_it_is_there() {
        let server = Server::default();
        let instance = Instance::start(&server, &[], obedient).await;
        until("both are missing", async || {
            let (code, text) = instance.get("/readyz").await;
            code == 503 && BOTH.iter().all(|r| text.contains(&format!("{r}.tokens.shopify-operator.dev")))
        })
        .await;
        server.install(&BOTH[..1]);
        until("one is missing", async || {
            let (code, text) = instance.get("/readyz").await;
            code == 503 && !text.contains(BOTH[0]) && text.contains(BOTH[1])
        })
        .await;
        assert_eq!(server.holder(), "");
        server.install(&BOTH);
        until("it leads", async || instance.leads().await).await;
        assert_eq!(instance.get("/readyz").await.0, 200);
        instance.shutdown.cancel();
        instance.ended().await.unwrap();
    }

    #[tokio::test]
    async fn a_stop_drains_before_the_lease_is_given_up() {
        let server = Server::default();
        server.install(&BOTH);
        let held = Arc::new(Mutex::new(None));
        let (draining, drained) = (CancellationToken::new(), CancellationToken::new());
        let controller = {
            let (server, held) = (server.clone(), held.clone());
            let (draining, drained) = (draining.clone(), drained.clone());
            async move |_: controller::Setup, stop: CancellationToken| {
                stop.cancelled().await;
                draining.cancel();
                drained.cancelled().await;
                *held.lock().unwrap() = Some(server.holder());
                Ok(())
            }
        };
        let instance = Instance::start(&server, &["--selector=team=web", "--concurrency=3"], controller).await;
        until("it leads", async || instance.leads().await).await;

        let standby = Instance::start(&server, &[], obedient).await;
        until("a standby is ready", async || standby.get("/readyz").await.0 == 200).await;
        assert!(!standby.leads().await);
        standby.shutdown.cancel();
        standby.ended().await.unwrap();

        let holder = server.holder();
        instance.shutdown.cancel();
        draining.cancelled().await;
        assert_eq!(instance.get("/readyz").await, (503, "shutting down\n".to_owned()));
        assert_eq!(instance.get("/livez").await.0, 200);
        drained.cancel();
        instance.ended().await.unwrap();
        assert_eq!(held.lock().unwrap().clone(), Some(holder));
        assert_eq!(server.holder(), "");
    }

    #[tokio::test]
    async fn a_lost_lease_stops_the_controller_at_once() {
        struct Dropped(Arc<AtomicBool>);
        impl Drop for Dropped {
            fn drop(&mut self) {
                self.0.store(true, Ordering::SeqCst);
            }
        }

        let server = Server::default();
        server.install(&BOTH);
        let stopped = Arc::new(AtomicBool::new(false));
        let guard = Dropped(stopped.clone());
        let controller = async move |_: controller::Setup, _: CancellationToken| {
            let _guard = guard;
            std::future::pending().await
        };
        let instance = Instance::start(&server, &[], controller).await;
        until("it leads", async || instance.leads().await).await;
        server.give_to_another();
        let error = instance.ended().await.unwrap_err();
        assert_eq!(error.to_string(), "another instance has taken the lease");
        until("the controller is stopped", async || stopped.load(Ordering::SeqCst)).await;
        assert_eq!(server.holder(), "other");
    }

    #[tokio::test]
    async fn a_controller_that_ends_by_itself_ends_the_process() {
        let server = Server::default();
        server.install(&BOTH);
        let flags = ["--leader-elect=false"];
        let ended = async |_: controller::Setup, _: CancellationToken| Ok(());
        let error = Instance::start(&server, &flags, ended).await.ended().await.unwrap_err();
        assert_eq!(error.to_string(), "the controller ended by itself");
        let failed = async |_: controller::Setup, _: CancellationToken| Err(anyhow!("no watch"));
        let error = Instance::start(&server, &flags, failed).await.ended().await.unwrap_err();
        assert_eq!(error.to_string(), "no watch");
        let panicked = async |_: controller::Setup, _: CancellationToken| panic!("poison");
        let error = Instance::start(&server, &flags, panicked).await.ended().await.unwrap_err();
        assert_eq!(error.to_string(), "the controller failed");
        assert_eq!(server.holder(), "");
    }
}
