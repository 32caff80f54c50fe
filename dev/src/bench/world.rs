//! A control plane, a simulated Shopify and what tokens need, for one scenario.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::api::{Api, DynamicObject, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};
use shopify_sim::{AppConfig, Config, ShopConfig, Sim};

use crate::operator::{self, Operator};
use crate::{LocalCluster, Manifests};

/// Where everything is.
pub(super) const NAMESPACE: &str = "bench";
pub(super) const CLIENT_ID: &str = "3bf1b2f57d4a4e6d9a4e1f0c8b7a6d5e";
pub(super) const CLIENT_SECRET: &str = "shpss_0123456789abcdef0123456789abcdef";
const GROUP: &str = "tokens.shopify-operator.dev";
/// The token that every scenario has.
pub(super) const FIRST: &str = "t-0";
const SCOPES: [&str; 2] = ["read_products", "unauthenticated_read_product_listings"];

/// Ends, in this order, when dropped.
pub(super) struct World {
    pub(super) sim: Sim,
    pub(super) client: Client,
    pub(super) cluster: LocalCluster,
    shops: usize,
}

/// The shop of this number.
pub(super) fn shop(n: usize) -> String {
    format!("shop-{n}.myshopify.com")
}

/// The time: the operator's process goes by the machine's clock, too.
#[allow(clippy::disallowed_methods, reason = "nothing here is decided by it")]
pub(super) fn now() -> Timestamp {
    Timestamp::now()
}

/// How the API server calls ShopifyTokens.
pub(super) fn tokens() -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(GROUP, "v1alpha1", "ShopifyToken"), "shopifytokens")
}

impl World {
    /// With an app that is installed on this many shops, and its ShopifyApp.
    pub(super) async fn start(shops: usize) -> Result<Self> {
        let names: Vec<String> = (0..shops).map(shop).collect();
        let app = names.iter().fold(AppConfig::new(CLIENT_ID, CLIENT_SECRET), |app, shop| app.installed(shop, SCOPES));
        let config = names.iter().fold(Config::default(), |config, shop| config.shop(ShopConfig::new(shop))).app(app);
        let sim = Sim::start(config).await.context("the simulated Shopify can't start")?;
        let cluster = operator::cluster(NAMESPACE, true).await?;
        let credentials = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "acme-app"},
            "stringData": {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET},
        });
        cluster.apply(&Manifests::Objects(vec![serde_json::from_value(credentials)?]), NAMESPACE).await?;
        let world = Self { sim, client: cluster.client().await?, cluster, shops };
        world.app("acme", &json!({})).await?;
        world.warm_up().await?;
        Ok(world)
    }

    /// A young API server takes two seconds for the first object of a kind that is defined by a CRD: nobody's time is to count that.
    async fn warm_up(&self) -> Result<()> {
        let nothing_stays = PostParams { dry_run: true, ..PostParams::default() };
        for token in self.grants(1)? {
            self.tokens().create(&nothing_stays, &token).await.context("the API server takes no ShopifyToken")?;
        }
        Ok(())
    }

    /// One more ShopifyApp of these credentials.
    pub(super) async fn app(&self, name: &str, labels: &Value) -> Result<()> {
        let app = json!({
            "apiVersion": format!("{GROUP}/v1alpha1"), "kind": "ShopifyApp", "metadata": {"name": name, "labels": labels},
            "spec": {"credentialsRef": {"name": "acme-app"}},
        });
        self.cluster.apply(&Manifests::Objects(vec![serde_json::from_value(app)?]), NAMESPACE).await.map(drop)
    }

    /// The operator, as a process under its own rights.
    pub(super) async fn operator(&self, name: &'static str, binary: &Path, arguments: &[&str]) -> Result<Operator> {
        Operator::start(name, binary, &self.cluster, &self.sim, arguments).await
    }

    pub(super) fn tokens(&self) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), NAMESPACE, &tokens())
    }

    /// `count` tokens by client credentials, spread over the shops.
    pub(super) fn grants(&self, count: usize) -> Result<Vec<DynamicObject>> {
        let source = json!({"clientCredentials": {"appRef": {"name": "acme"}}});
        (0..count).map(|n| token(&format!("t-{n}"), &shop(n % self.shops), &source)).collect()
    }

    /// Ends everything; unlike drop, says what went wrong.
    pub(super) async fn end(self) -> Result<()> {
        let Self { sim, cluster, client, .. } = self;
        drop(client);
        sim.stop().await;
        cluster.stop()
    }
}

/// Lets the operator finish, and says what went wrong.
pub(super) async fn stop(mut operator: Operator) -> Result<()> {
    operator.process.terminate(Duration::from_secs(30)).await
}

/// A ShopifyToken.
pub(super) fn token(name: &str, shop: &str, source: &Value) -> Result<DynamicObject> {
    Ok(serde_json::from_value(json!({
        "apiVersion": format!("{GROUP}/v1alpha1"), "kind": "ShopifyToken", "metadata": {"name": name},
        "spec": {"shop": shop, "source": source},
    }))?)
}
