//! etcd, on a socket in the cluster's private directory: no port, and no other user gets in.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::cluster::Cluster;
use crate::process::Process;

/// Where kube-apiserver finds it.
pub(crate) fn url(cluster: &Cluster) -> String {
    format!("unix://{}", cluster.dir().join("etcd.sock").display())
}

/// Where its data is.
pub(crate) fn data_dir(cluster: &Cluster) -> PathBuf {
    cluster.dir().join("etcd")
}

pub(crate) fn start(binary: &Path, cluster: &Cluster) -> Result<Process> {
    let mut command = Command::new(binary);
    command
        .env("GOGC", "400")
        .arg(format!("--data-dir={}", data_dir(cluster).display()))
        .arg(format!("--listen-client-urls={}", url(cluster)))
        // Both required, and of no use: nobody discovers this etcd, it has no peers.
        .arg("--advertise-client-urls=http://127.0.0.1:0")
        .arg("--listen-peer-urls=http://127.0.0.1:0")
        // The data is thrown away anyhow.
        .arg("--unsafe-no-fsync")
        .arg("--log-level=warn");
    Process::spawn("etcd", command, cluster.dir())
}
