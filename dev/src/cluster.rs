//! A running cluster as its clients see it: the directory with its files.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use kube::Client;
use kube::config::{Config, KubeConfigOptions, Kubeconfig};

use crate::certificates::{ADMIN, Identity};

/// A running cluster. Whoever holds the [`LocalCluster`](crate::LocalCluster) decides how long.
#[derive(Clone, Debug)]
pub struct Cluster {
    dir: PathBuf,
}

impl Cluster {
    /// The cluster whose data is in `dir`.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self> {
        let cluster = Self { dir: dir.into() };
        fs::metadata(cluster.kubeconfig_path()).with_context(|| format!("no cluster in {}", cluster.dir.display()))?;
        Ok(cluster)
    }

    pub(crate) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// The cluster's data: logs, keys, everything; gone when the cluster is.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The kubeconfig of a cluster administrator.
    #[must_use]
    pub fn kubeconfig_path(&self) -> PathBuf {
        self.kubeconfig_of(ADMIN)
    }

    pub(crate) fn kubeconfig_of(&self, identity: Identity) -> PathBuf {
        self.dir.join(format!("{}.kubeconfig", identity.name))
    }

    /// The text of [`kubeconfig_path`](Self::kubeconfig_path); it names files in [`dir`](Self::dir).
    pub fn kubeconfig(&self) -> Result<String> {
        let path = self.kubeconfig_path();
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    }

    /// One JSON object per line for each request, at level `Metadata`.
    #[must_use]
    pub fn audit_log_path(&self) -> PathBuf {
        self.dir.join("audit.log")
    }

    /// A kubectl of the cluster's version.
    #[must_use]
    pub fn kubectl(&self) -> PathBuf {
        self.dir.join("kubectl")
    }

    /// [`kubectl`](Self::kubectl) as the administrator.
    #[must_use]
    pub fn kubectl_command(&self) -> Command {
        let mut command = Command::new(self.kubectl());
        command.env("KUBECONFIG", self.kubeconfig_path());
        command
    }

    /// Without one nothing is garbage collected, namespaces stay in deletion, Deployments make no
    /// Pods, and no namespace gets its service account.
    #[must_use]
    pub fn has_controller_manager(&self) -> bool {
        self.dir.join("kube-controller-manager.log").exists()
    }

    /// The URL of the API server.
    pub fn server(&self) -> Result<String> {
        let kubeconfig = Kubeconfig::read_from(self.kubeconfig_path())?;
        kubeconfig
            .clusters
            .into_iter()
            .find_map(|named| named.cluster?.server)
            .context("the kubeconfig names no server")
    }

    /// A client with all rights. It belongs to the runtime that it is made in: take a new one in
    /// each test.
    pub async fn client(&self) -> Result<Client> {
        Ok(Client::try_from(self.config().await?)?)
    }

    /// The configuration of [`client`](Self::client).
    pub async fn config(&self) -> Result<Config> {
        let kubeconfig = Kubeconfig::read_from(self.kubeconfig_path())?;
        Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
            .await
            .context("cannot use the administrator's kubeconfig")
    }
}
