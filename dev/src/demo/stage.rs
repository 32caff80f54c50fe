//! What the demo runs: a cluster, a simulated Shopify, and the operator as a process of its own.

use std::time::Duration;

use anyhow::{Context as _, Result};
use kube::ResourceExt as _;
use kube::api::DynamicObject;
use serde_json::json;
use shopify_sim::{AppConfig, Config, CustomerClientConfig, InstallationConfig, ShopConfig, Sim};

use crate::operator::{Operator, repository};
use crate::{LocalCluster, Manifests};

/// The shop that the samples name.
pub(super) const SHOP: &str = "acme.myshopify.com";
/// The app that the samples' tokens are issued with.
pub(super) const CLIENT_ID: &str = "3bf1b2f57d4a4e6d9a4e1f0c8b7a6d5e";
/// The app that a merchant approves in a browser.
pub(super) const PARTNER_ID: &str = "9c2e7d1a4b8f4063a5d7e9f1b3c5a7e9";
/// The client that the samples' customers sign in with.
pub(super) const CUSTOMER_CLIENT: &str = "shp_6b1e7a52-0c3d-4f8e-9a6b-2d5c8e1f7a90";
/// Where the samples are applied.
pub(super) const NAMESPACE: &str = "shop";

/// Ends, in this order, when dropped.
pub(super) struct Stage {
    pub(super) operator: Operator,
    pub(super) sim: Sim,
    /// Of the app that the merchant has approved.
    pub(super) refresh_token: String,
    pub(super) cluster: LocalCluster,
}

/// A Shopify where the samples' app is installed on their shop, and an older app that has a permanent token.
/// Merchants who approve a partner's app are sent back to `public_url`.
pub(super) async fn shopify(credentials: &Credentials, public_url: &str) -> Result<Sim> {
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
        .app(
            AppConfig { title: "Acme Reports".to_owned(), ..AppConfig::new(PARTNER_ID, &credentials.client_secret) }
                .redirect_url(format!("{public_url}/oauth/callback")),
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

/// The samples, with credentials where their Secrets are empty.
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
        operator.process.terminate(Duration::from_secs(10)).await?;
        drop(operator);
        sim.stop().await;
        cluster.stop()
    }
}
