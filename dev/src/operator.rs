//! The operator as a process of its own, with exactly the rights of deploy/base.

use std::env;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use shopify_sim::Sim;

use crate::process::Process;
use crate::wait::wait_until;
use crate::{LocalCluster, Manifests, Options};

const OPERATOR: &str = "shopify-token-operator";

/// A running operator; killed on drop.
#[derive(Debug)]
pub(crate) struct Operator {
    pub(crate) process: Process,
    /// Of its admin port.
    pub(crate) admin: SocketAddr,
}

/// A file of the repository.
#[must_use]
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name(path)
}

/// A cluster that serves the custom resources, with the operator's rights and a namespace for what it works on.
pub(crate) async fn cluster(namespace: &str, quiet: bool) -> Result<LocalCluster> {
    let crds = vec![Manifests::Path(repository("crds"))];
    let cluster = LocalCluster::start(Options { crds, quiet, ..Options::default() }).await?;
    // As in deploy/base, and nothing else: where the operator lives, who it is, what it may do.
    for file in ["namespace", "service_account", "cluster_role", "grant_role", "lease_role"] {
        let path = repository("deploy").join(format!("base/{file}.yaml"));
        cluster.apply(&Manifests::Path(path), OPERATOR).await?;
    }
    let object = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace } });
    cluster.apply(&Manifests::Objects(vec![serde_json::from_value(object)?]), namespace).await?;
    Ok(cluster)
}

impl Operator {
    /// Starts the operator's binary, as its own `ServiceAccount`, with further `arguments`, and waits until it is ready.
    /// Its log is `<name>.log`.
    pub(crate) async fn start(
        name: &'static str,
        binary: &Path,
        cluster: &LocalCluster,
        sim: &Sim,
        arguments: &[&str],
    ) -> Result<Self> {
        ensure!(binary.is_file(), "{} isn't there: build it with `cargo build --release`", binary.display());
        let (ca, kubeconfig) = (cluster.dir().join("shopify-ca.pem"), cluster.dir().join("operator.kubeconfig"));
        fs::write(&ca, sim.ca_pem())?;
        fs::write(&kubeconfig, cluster.service_account_kubeconfig(OPERATOR, OPERATOR).await?)?;
        let admin = free_address(8080)?;
        let mut command = Command::new(binary);
        command
            // No variable of the caller's is taken for a flag; those of TLS are not ours to ignore.
            .env_clear()
            .envs(env::vars_os().filter(|(name, _)| name == "SSL_CERT_FILE" || name == "SSL_CERT_DIR"))
            .env("KUBECONFIG", kubeconfig)
            .args(["run", "--log-format=text"])
            .arg(format!("--admin-addr={admin}"))
            .arg(format!("--shopify-connect-to={}", sim.address()))
            .arg(format!("--shopify-ca-file={}", ca.display()))
            .args(arguments);
        let mut process = Process::spawn(name, command, cluster.dir())?;
        let http = reqwest::Client::builder().no_proxy().build()?;
        wait_until("the operator is ready", &mut [&mut process], async || {
            let answer = http.get(format!("http://{admin}/readyz")).send().await?;
            ensure!(answer.status().is_success(), "{}", answer.text().await?.trim());
            Ok(())
        })
        .await?;
        Ok(Self { process, admin })
    }
}

/// An address of this machine with the usual port if that is free, so that what was noted down works again.
pub(crate) fn free_address(usual: u16) -> Result<SocketAddr> {
    let at = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    let listener = at(usual).or_else(|_| at(0)).context("no free port on 127.0.0.1")?;
    Ok(listener.local_addr()?)
}
