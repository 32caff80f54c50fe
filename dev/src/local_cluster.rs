//! Starts and ends a control plane on loopback.

use std::fs;
use std::ops::Deref;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Client;
use kube::api::Api;

use crate::apiserver::Apiserver;
use crate::certificates::{self, CA_CERTIFICATE, CONTROLLER_MANAGER, SERVICE_ACCOUNT_KEY};
use crate::data_dir::DataDir;
use crate::process::Process;
use crate::progress::Progress;
use crate::wait::wait_until;
use crate::{Binaries, Cluster, Manifests, etcd, manifests};

/// How to start a cluster.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Applied before kube-controller-manager starts, which notices later ones only after 40 s.
    pub crds: Vec<Manifests>,
    /// Further flags of kube-apiserver, for example `--max-requests-inflight=4000`.
    pub apiserver_flags: Vec<String>,
    /// kube-apiserver listens at `[::1]` and nowhere else, and Services have addresses of IPv6.
    pub ipv6: bool,
    /// Show no progress.
    pub quiet: bool,
}

/// A control plane that ends, and whose files go, when this is dropped.
///
/// When the process is killed instead, the kernel ends the control plane (on Linux) and the next
/// cluster of the same user removes the files.
#[derive(Debug)]
pub struct LocalCluster {
    // They end in this order.
    controller_manager: Option<Process>,
    apiserver: Apiserver,
    etcd: Process,
    etcd_binary: PathBuf,
    cluster: Cluster,
    dir: DataDir,
}

impl Deref for LocalCluster {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        &self.cluster
    }
}

impl LocalCluster {
    /// Starts a cluster and waits until it does its work.
    pub async fn start(options: Options) -> Result<Self> {
        let binaries = Binaries::locate(options.quiet).await?;
        let progress = Progress::new("Starting a cluster", options.quiet);

        let dir = DataDir::create()?;
        let cluster = Cluster::new(dir.path());
        certificates::write(dir.path())?;
        symlink(&binaries.kubectl, cluster.kubectl())?;
        let mut started = Self {
            controller_manager: None,
            etcd: etcd::start(&binaries.etcd, &cluster)?,
            etcd_binary: binaries.etcd,
            apiserver: Apiserver::start(binaries.apiserver, options.apiserver_flags, options.ipv6, &cluster)?,
            cluster,
            dir,
        };
        started.wait_until_ready().await?;

        let client = started.client().await?;
        for crds in &options.crds {
            manifests::apply(&client, crds, "default").await?;
        }
        if let Some(binary) = &binaries.controller_manager {
            let mut process = start_controller_manager(binary, &started.cluster)?;
            wait_for_service_account(&client, &mut process).await?;
            started.controller_manager = Some(process);
        }
        progress.finish();
        Ok(started)
    }

    /// Kills kube-apiserver and starts it again at the same address. Rights may be missing for a
    /// moment afterwards: its RBAC cache starts empty.
    pub async fn restart_apiserver(&mut self) -> Result<()> {
        self.apiserver.restart(&self.cluster)?;
        self.wait_until_ready().await
    }

    /// Keeps a copy of everything that the API server holds, with the control plane stopped for a moment.
    pub async fn back_up(&mut self) -> Result<()> {
        self.without_etcd(copy_dir).await
    }

    /// Puts the copy of [`LocalCluster::back_up`] back, as a restore of etcd does: resource versions go back.
    pub async fn restore(&mut self) -> Result<()> {
        self.without_etcd(|data, copy| {
            fs::remove_dir_all(data)?;
            copy_dir(copy, data)
        })
        .await
    }

    async fn without_etcd(&mut self, change: impl FnOnce(&Path, &Path) -> Result<()>) -> Result<()> {
        self.apiserver.kill()?;
        self.etcd.kill().context("cannot end etcd")?;
        change(&etcd::data_dir(&self.cluster), &self.cluster.dir().join("etcd-copy"))?;
        self.etcd = etcd::start(&self.etcd_binary, &self.cluster)?;
        self.apiserver.restart(&self.cluster)?;
        self.wait_until_ready().await
    }

    /// Ends the control plane and removes its files; unlike drop, says when it can't.
    pub fn stop(self) -> Result<()> {
        let Self { controller_manager, apiserver, etcd, dir, .. } = self;
        drop((controller_manager, apiserver, etcd));
        dir.remove()
    }

    async fn wait_until_ready(&mut self) -> Result<()> {
        let client = self.cluster.client().await?;
        self.apiserver.wait_until_ready(&client, &mut self.etcd).await
    }
}

fn copy_dir(from: &Path, to: &Path) -> Result<()> {
    let copied = Command::new("cp").arg("-a").args([from, to]).status().context("cannot run cp")?;
    ensure!(copied.success(), "cannot copy {} to {}", from.display(), to.display());
    Ok(())
}

fn start_controller_manager(binary: &Path, cluster: &Cluster) -> Result<Process> {
    let file = |name: &str| cluster.dir().join(name).display().to_string();
    let kubeconfig = cluster.kubeconfig_of(CONTROLLER_MANAGER);
    let mut command = Command::new(binary);
    command
        .arg(format!("--kubeconfig={}", kubeconfig.display()))
        .arg(format!("--service-account-private-key-file={}", file(SERVICE_ACCOUNT_KEY)))
        .arg(format!("--root-ca-file={}", file(CA_CERTIFICATE)))
        .arg("--use-service-account-credentials=true")
        .arg("--leader-elect=false")
        // The controllers get their ServiceAccounts one by one: half the time to start.
        .args(["--kube-api-qps=200", "--kube-api-burst=400"])
        // Serves nothing.
        .arg("--secure-port=0");
    Process::spawn(CONTROLLER_MANAGER.name, command, cluster.dir())
}

/// The first thing that shows that the controllers run.
async fn wait_for_service_account(client: &Client, process: &mut Process) -> Result<()> {
    let api = Api::<ServiceAccount>::namespaced(client.clone(), "default");
    wait_until("the namespace default has its ServiceAccount", &mut [process], async || {
        api.get("default").await?;
        Ok(())
    })
    .await
}
