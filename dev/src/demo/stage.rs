//! What the demo runs: a cluster, a simulated Shopify, and the operator as a process of its own.

use std::env;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use kube::ResourceExt as _;
use kube::api::DynamicObject;
use serde_json::json;
use shopify_sim::{AppConfig, Config, CustomerClientConfig, InstallationConfig, ShopConfig, Sim};

use crate::process::Process;
use crate::wait::wait_until;
use crate::{LocalCluster, Manifests, Options};

/// The shop that the samples name.
pub(super) const SHOP: &str = "acme.myshopify.com";
/// The app that the samples' tokens are issued with.
pub(super) const CLIENT_ID: &str = "3bf1b2f57d4a4e6d9a4e1f0c8b7a6d5e";
/// The client that the samples' customers sign in with.
const CUSTOMER_CLIENT: &str = "shp_6b1e7a52-0c3d-4f8e-9a6b-2d5c8e1f7a90";
/// Where the samples are applied.
pub(super) const NAMESPACE: &str = "shop";
const OPERATOR: &str = "shopify-token-operator";

/// Ends, in this order, when dropped.
pub(super) struct Stage {
    pub(super) operator: Process,
    pub(super) sim: Sim,
    /// Of the app that the merchant has approved.
    pub(super) refresh_token: String,
    pub(super) cluster: LocalCluster,
    pub(super) admin: SocketAddr,
}

/// A file of the repository.
fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name(path)
}

/// A cluster that serves the custom resources, with the operator's rights and the namespace of the samples.
pub(super) async fn cluster(quiet: bool) -> Result<LocalCluster> {
    let crds = vec![Manifests::Path(repository("crds"))];
    let cluster = LocalCluster::start(Options { crds, quiet, ..Options::default() }).await?;
    // As in deploy/base, and nothing else: where the operator lives, who it is, what it may do.
    for file in ["namespace", "service_account", "cluster_role", "grant_role", "lease_role"] {
        let path = repository("deploy").join(format!("base/{file}.yaml"));
        cluster.apply(&Manifests::Path(path), OPERATOR).await?;
    }
    let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": NAMESPACE } });
    cluster.apply(&Manifests::Objects(vec![serde_json::from_value(namespace)?]), NAMESPACE).await?;
    Ok(cluster)
}

/// A Shopify where the samples' app is installed on their shop, and an older app that has a permanent token.
pub(super) async fn shopify(credentials: &Credentials) -> Result<Sim> {
    let mut legacy = AppConfig::new("legacy-custom-app", "shpss_unused").installed(SHOP, ["read_orders"]);
    for InstallationConfig { admin_token, .. } in &mut legacy.installations {
        *admin_token = Some(credentials.permanent_token.clone());
    }
    let config = Config { canary: credentials.canary.clone(), ..Config::default() }
        .shop(
            ShopConfig { name: "Acme Snowboards".to_owned(), ..ShopConfig::new(SHOP) }
                .customer_client(CustomerClientConfig::confidential(CUSTOMER_CLIENT, &credentials.customer_secret)),
        )
        .app(
            AppConfig::new(CLIENT_ID, &credentials.client_secret)
                .installed(SHOP, ["read_products", "unauthenticated_read_product_listings"]),
        )
        .app(legacy);
    Sim::start(config).await.context("the simulated Shopify can't start")
}

/// What a person would copy out of Shopify's admin.
#[derive(Clone)]
pub struct Credentials {
    /// Client secret of the app.
    pub client_secret: String,
    /// Permanent Admin API token.
    pub permanent_token: String,
    /// Client secret of the Headless channel's client.
    pub customer_secret: String,
    /// Part of everything that the simulated Shopify issues, so that a test can search for it.
    pub canary: Option<String>,
}

impl Default for Credentials {
    fn default() -> Self {
        Self {
            client_secret: "shpss_0123456789abcdef0123456789abcdef".to_owned(),
            permanent_token: "shpat_0123456789abcdef0123456789abcdef".to_owned(),
            customer_secret: "0123456789abcdef".repeat(4),
            canary: None,
        }
    }
}

/// Starts the operator's binary, as its own `ServiceAccount`, and waits until it is ready.
pub(super) async fn operator(binary: &Path, cluster: &LocalCluster, sim: &Sim) -> Result<(Process, SocketAddr)> {
    ensure!(binary.is_file(), "{} isn't there: build it with `cargo build --release`", binary.display());
    let (ca, kubeconfig) = (cluster.dir().join("shopify-ca.pem"), cluster.dir().join("operator.kubeconfig"));
    fs::write(&ca, sim.ca_pem())?;
    fs::write(&kubeconfig, cluster.service_account_kubeconfig(OPERATOR, OPERATOR).await?)?;
    let admin = free_address()?;
    let mut command = Command::new(binary);
    command
        // No variable of the caller's is taken for a flag; those of TLS are not ours to ignore.
        .env_clear()
        .envs(env::vars_os().filter(|(name, _)| name == "SSL_CERT_FILE" || name == "SSL_CERT_DIR"))
        .env("KUBECONFIG", kubeconfig)
        .args(["run", "--log-format=text"])
        .arg(format!("--admin-addr={admin}"))
        .arg(format!("--shopify-connect-to={}", sim.address()))
        .arg(format!("--shopify-ca-file={}", ca.display()));
    let mut process = Process::spawn("operator", command, cluster.dir())?;
    let http = reqwest::Client::builder().no_proxy().build()?;
    wait_until("the operator is ready", &mut [&mut process], async || {
        let answer = http.get(format!("http://{admin}/readyz")).send().await?;
        ensure!(answer.status().is_success(), "{}", answer.text().await?.trim());
        Ok(())
    })
    .await?;
    Ok((process, admin))
}

/// The usual port if it is free, so that what was noted down works again.
fn free_address() -> Result<SocketAddr> {
    let at = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    let listener = at(8080).or_else(|_| at(0)).context("no free port on 127.0.0.1")?;
    Ok(listener.local_addr()?)
}

/// The samples, with credentials where they say `replace-me`.
pub(super) fn samples(credentials: &Credentials, refresh_token: &str) -> Result<Vec<DynamicObject>> {
    let mut objects = Manifests::Path(repository("deploy").join("samples")).objects()?;
    for object in &mut objects {
        let name = object.name_any();
        let Some(data) = object.data.get_mut("stringData").and_then(|data| data.as_object_mut()) else { continue };
        for (key, value) in data {
            *value = match (name.as_str(), key.as_str()) {
                ("acme-app", "client_id") => json!(CLIENT_ID),
                ("acme-app", "client_secret") => json!(credentials.client_secret),
                ("legacy-pasted", "token") => json!(credentials.permanent_token),
                ("backoffice-approved", "refresh_token") => json!(refresh_token),
                ("headless-client", "client_id") => json!(CUSTOMER_CLIENT),
                ("headless-client", "client_secret") => json!(credentials.customer_secret),
                _ => anyhow::bail!("the demo has no value for {key} of the sample Secret {name}"),
            };
        }
    }
    Ok(objects)
}

impl Stage {
    /// Ends everything in its order; unlike drop, lets the operator finish, and says what went wrong.
    pub(super) async fn end(self) -> Result<()> {
        let Self { mut operator, sim, cluster, .. } = self;
        operator.terminate(Duration::from_secs(10)).await?;
        drop(operator);
        sim.stop().await;
        cluster.stop()
    }
}
