//! What starts in which order and what stops in which, against an API server over HTTP.

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
            oauth: None,
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
        self.get("/metrics").await.1.lines().any(|l| l == r#"leader{lease="shopify-token-operator"} 1"#)
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
