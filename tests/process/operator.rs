//! The operator as a process, with the rights of its `ServiceAccount` and nothing else of this process.

use std::{
    fs::{self, File},
    net::SocketAddr,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep, timeout},
};

use crate::world::World;

pub(crate) const OPERATOR: &str = "shopify-token-operator";
/// No lease: a process that was killed holds none that the next one would have to wait for.
pub(crate) const ALONE: &str = "--leader-elect=false";
const PATIENCE: Duration = Duration::from_secs(40);

/// A process of the operator; killed when dropped, with its log printed if the test fails.
pub(crate) struct Operator {
    child: Child,
    dir: TempDir,
    address: SocketAddr,
}

impl Operator {
    /// Starts one for the world's namespace, with a lease of the namespace's name, and waits until it is ready.
    pub(crate) async fn start(world: &World, flags: &[&str]) -> Self {
        let namespace = format!("--watch-namespaces={}", world.namespace);
        Self::cluster_wide(world, &[&[namespace.as_str()], flags].concat()).await
    }

    /// The same for all namespaces.
    pub(crate) async fn cluster_wide(world: &World, flags: &[&str]) -> Self {
        let kubeconfig = world.cluster.service_account_kubeconfig(OPERATOR, OPERATOR).await.unwrap();
        let to = world.sim.address().to_string();
        Self::launch(world, &kubeconfig, flags, &[("SHOPIFY_CONNECT_TO", &to)]).await
    }

    /// One that reaches Kubernetes by `kubeconfig`, and Shopify as `variables` say.
    pub(crate) async fn launch(world: &World, kubeconfig: &str, flags: &[&str], variables: &[(&str, &str)]) -> Self {
        let operator = Self::begin(world, kubeconfig, flags, variables).await;
        operator.until("ready", async |it| it.get("/readyz").await.is_some_and(|(code, _)| code == 200)).await;
        operator
    }

    /// The same, which isn't ready yet, and may never be.
    pub(crate) async fn begin(world: &World, kubeconfig: &str, flags: &[&str], variables: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut command = command(world, &dir, kubeconfig);
        command.arg("run").args(flags).env("ADMIN_ADDR", "127.0.0.1:0").envs(variables.iter().copied());
        let mut operator =
            Self { child: command.spawn().unwrap(), dir, address: SocketAddr::from(([127, 0, 0, 1], 0)) };
        operator.address = operator.listening().await;
        operator
    }

    /// The port is the system's choice; the log tells it.
    async fn listening(&self) -> SocketAddr {
        self.told_address("serves livez, readyz and metrics").await
    }

    /// The address that a line of the log tells.
    pub(crate) async fn told_address(&self, message: &str) -> SocketAddr {
        let told = || {
            let log = self.log();
            log.lines().find_map(|line| {
                let line: Value = serde_json::from_str(line).ok()?;
                (line["message"] == message).then(|| line["address"].as_str()?.parse().ok())?
            })
        };
        self.until("listening", async |_| told().is_some()).await;
        told().unwrap()
    }

    /// Waits until something is so.
    pub(crate) async fn until(&self, wish: &str, fulfilled: impl AsyncFn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !fulfilled(self).await {
            assert!(Instant::now() < deadline, "the operator isn't {wish} after {PATIENCE:?}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Where the admin port is.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Status and body of a page of the admin port, `None` if nobody answers.
    pub(crate) async fn get(&self, path: &str) -> Option<(u16, String)> {
        self.get_at(self.address, path).await
    }

    /// The same at another address of this machine.
    pub(crate) async fn get_at(&self, address: SocketAddr, path: &str) -> Option<(u16, String)> {
        let answer = reqwest::get(format!("http://{address}{path}")).await.ok()?;
        Some((answer.status().as_u16(), answer.text().await.ok()?))
    }

    /// The sum of a metric's series that have all these labels, such as `result="success"`.
    pub(crate) async fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let (_, page) = self.get("/metrics").await.expect("metrics");
        let series = page.lines().filter_map(|line| line.strip_prefix(name)).filter_map(|rest| {
            let (told, value) = rest.rsplit_once(' ')?;
            let ours = (told.is_empty() || told.starts_with('{')) && labels.iter().all(|label| told.contains(label));
            ours.then(|| value.parse::<f64>().ok())?
        });
        series.sum()
    }

    /// Whether it holds the lease.
    pub(crate) async fn leads(&self) -> bool {
        self.metric("leader", &[]).await > 0.0
    }

    /// SIGKILL: gone when this returns.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id().expect("a running operator")).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self, within: Duration) -> ExitStatus {
        timeout(within, self.child.wait()).await.unwrap_or_else(|_| panic!("still there after {within:?}")).unwrap()
    }

    /// SIGTERM, and the end it should come to.
    pub(crate) async fn stop(mut self) {
        self.signal(Signal::TERM);
        assert!(self.ended(Duration::from_secs(30)).await.success(), "a clean end");
    }

    /// Everything it has printed.
    pub(crate) fn log(&self) -> String {
        ["stdout", "stderr"].map(|name| fs::read_to_string(self.file(name)).unwrap()).concat()
    }

    /// Arguments and environment, as everyone on the machine or its administrator sees them.
    pub(crate) fn command_line(&self) -> String {
        let id = self.child.id().expect("a running operator");
        let file = |name: &str| fs::read(format!("/proc/{id}/{name}")).unwrap_or_default();
        ["cmdline", "environ"].map(|name| String::from_utf8_lossy(&file(name)).into_owned()).concat()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

impl Drop for Operator {
    #[allow(clippy::print_stderr, reason = "what a person needs who looks at a failed test")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            eprintln!("the operator's last lines:\n{}", lines[lines.len().saturating_sub(30)..].join("\n"));
        }
    }
}

/// The binary with nothing but `kubeconfig`, the simulator's authority and a lease of the world's; it prints into `dir`.
pub(crate) fn command(world: &World, dir: &TempDir, kubeconfig: &str) -> Command {
    let file = |name: &str| dir.path().join(name);
    fs::write(file("kubeconfig"), kubeconfig).unwrap();
    fs::write(file("ca.pem"), world.sim.ca_pem()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_shopify-token-operator"));
    command
        .env_clear()
        .env("KUBECONFIG", file("kubeconfig"))
        .env("LEASE_NAME", &world.namespace)
        .env("LOG_FORMAT", "json")
        .env("SHOPIFY_CA_FILE", file("ca.pem"))
        .stdin(Stdio::null())
        .stdout(File::create(file("stdout")).unwrap())
        .stderr(File::create(file("stderr")).unwrap())
        .kill_on_drop(true);
    command
}

/// Who holds the world's lease; empty for nobody.
pub(crate) async fn holder(world: &World) -> String {
    let leases: Api<Lease> = Api::namespaced(world.admin.clone(), OPERATOR);
    let lease = leases.get(&world.namespace).await.unwrap();
    lease.spec.unwrap().holder_identity.unwrap_or_default()
}
