//! kube-apiserver: its flags, its port, waiting until it is ready.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, io};

use anyhow::{Context as _, Result};
use kube::Client;
use rustix::net::{AddressFamily, SocketType, bind, getsockname, socket, sockopt};

use crate::certificates::{
    ADMIN, APISERVER, CA_CERTIFICATE, CONTROLLER_MANAGER, SERVICE_ACCOUNT_KEY, SERVICE_ACCOUNT_PUBLIC_KEY,
};
use crate::cluster::Cluster;
use crate::etcd;
use crate::kubeconfig;
use crate::process::Process;
use crate::wait::wait_until;

const AUDIT_POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules: [{ level: Metadata }]
";
const AUDIT_POLICY_FILE: &str = "audit-policy.yaml";

/// A running kube-apiserver.
#[derive(Debug)]
pub(crate) struct Apiserver {
    process: Process,
    binary: PathBuf,
    flags: Vec<String>,
    port: ReservedPort,
}

impl Apiserver {
    /// Starts it and writes the kubeconfigs that lead to it.
    pub(crate) fn start(binary: PathBuf, flags: Vec<String>, ipv6: bool, cluster: &Cluster) -> Result<Self> {
        let host = if ipv6 { IpAddr::from(Ipv6Addr::LOCALHOST) } else { Ipv4Addr::LOCALHOST.into() };
        let port = ReservedPort::new(host).with_context(|| format!("no free port on {host}"))?;
        let server = format!("https://{}", port.address);
        for identity in [ADMIN, CONTROLLER_MANAGER] {
            let text = kubeconfig::with_certificate(cluster.dir(), &server, identity)?;
            fs::write(cluster.kubeconfig_of(identity), text)?;
        }
        fs::write(cluster.dir().join(AUDIT_POLICY_FILE), AUDIT_POLICY)?;
        Ok(Self { process: spawn(&binary, &flags, &port, cluster)?, binary, flags, port })
    }

    pub(crate) fn kill(&mut self) -> Result<()> {
        self.process.kill().context("cannot end kube-apiserver")
    }

    /// Kills it and starts it again, on the same port.
    pub(crate) fn restart(&mut self, cluster: &Cluster) -> Result<()> {
        self.kill()?;
        self.process = spawn(&self.binary, &self.flags, &self.port, cluster)?;
        Ok(())
    }

    /// Waits until `/readyz` answers.
    pub(crate) async fn wait_until_ready(&mut self, client: &Client, etcd: &mut Process) -> Result<()> {
        let processes = &mut [etcd, &mut self.process];
        wait_until("kube-apiserver is ready", processes, async || {
            let request = http::Request::get("/readyz").body(Vec::new())?;
            client.request_text(request).await?;
            Ok(())
        })
        .await
    }
}

fn spawn(binary: &Path, flags: &[String], port: &ReservedPort, cluster: &Cluster) -> Result<Process> {
    let host = port.address.ip();
    let file = |name: &str| cluster.dir().join(name).display().to_string();
    let mut command = Command::new(binary);
    command
        // Memory is there; its collector otherwise takes a good part of what a small machine can compute.
        .env("GOGC", "400")
        .arg(format!("--etcd-servers={}", etcd::url(cluster)))
        .arg(format!("--bind-address={host}"))
        .arg(format!("--advertise-address={host}"))
        .arg(format!("--secure-port={}", port.address.port()))
        .arg("--permit-port-sharing=true")
        // The Service `kubernetes` may not point to loopback.
        .arg("--endpoint-reconciler-type=none")
        .arg(format!("--service-cluster-ip-range={}", if host.is_ipv6() { "fd00::/112" } else { "10.0.0.0/24" }))
        .arg(format!("--cert-dir={}", file("apiserver")))
        .arg(format!("--tls-cert-file={}", file(&APISERVER.certificate())))
        .arg(format!("--tls-private-key-file={}", file(&APISERVER.key())))
        .arg(format!("--client-ca-file={}", file(CA_CERTIFICATE)))
        .arg("--authorization-mode=RBAC")
        .arg("--service-account-issuer=https://kubernetes.default.svc")
        .arg(format!("--service-account-key-file={}", file(SERVICE_ACCOUNT_PUBLIC_KEY)))
        .arg(format!("--service-account-signing-key-file={}", file(SERVICE_ACCOUNT_KEY)))
        .arg(format!("--audit-policy-file={}", file(AUDIT_POLICY_FILE)))
        .arg(format!("--audit-log-path={}", cluster.audit_log_path().display()))
        // One file, whatever its size: tests read it from the start.
        .arg("--audit-log-maxsize=0")
        .args(flags);
    Process::spawn("kube-apiserver", command, cluster.dir())
}

/// A port that nobody else gets, also while kube-apiserver restarts: bound here, not listening,
/// and shared with kube-apiserver by `SO_REUSEPORT`.
#[derive(Debug)]
struct ReservedPort {
    address: SocketAddr,
    _socket: OwnedFd,
}

impl ReservedPort {
    fn new(host: IpAddr) -> io::Result<Self> {
        let family = if host.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
        let socket = socket(family, SocketType::STREAM, None)?;
        sockopt::set_socket_reuseport(&socket, true)?;
        bind(&socket, &SocketAddr::new(host, 0))?;
        let address = SocketAddr::try_from(getsockname(&socket)?)?;
        Ok(Self { address, _socket: socket })
    }
}
