//! One story's world: a namespace, a Shopify, a clock for both sides, and the operator.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use chrono::TimeDelta;
use dev::{Cluster, Manifests, shared_cluster};
use k8s_openapi::api::{
    core::v1::{Namespace, Secret, ServiceAccount},
    events::v1::Event,
    rbac::v1::{Role, RoleBinding},
};
use kube::{
    Api, Client, Config, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::{Value, json};
use shopify_sim::{AppConfig, ShopConfig, Sim};
use shopify_token_operator::{
    api::{ShopifyApp, ShopifyToken},
    clock::Clock,
    controller::{self, Setup},
    core::vocabulary::{EventReason, OPERATOR},
    kubernetes,
    metrics::Metrics,
    shopify::{self, ConnectTo, Observer},
};
use tokio::{task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;

pub(crate) const FINALIZER: &str = "tokens.shopify-operator.dev/in-use";
pub(crate) const SHOP: &str = "acme.myshopify.com";
pub(crate) const CLIENT_ID: &str = "0123456789abcdef0123456789abcdef";
pub(crate) const CLIENT_SECRET: &str = "shpss_canaryc0ffee0123456789abcdef012345";
/// Where the install pages are, as far as merchants know.
pub(crate) const PUBLIC_URL: &str = "https://tokens.example.com";
pub(crate) const SCOPES: &[&str] = &["read_products", "write_orders", "unauthenticated_read_product_listings"];
const PATIENCE: Duration = Duration::from_secs(40);
/// A `ServiceAccount` with rights of a story's choice.
const OTHER_RIGHTS: &str = "other-rights";

/// Client secret and other values that may be nowhere but in a Secret contain this.
pub(crate) const CANARY: &str = "canaryc0ffee";

/// One story's world.
pub(crate) struct World {
    pub cluster: &'static Cluster,
    /// As an administrator, like the people of the story.
    pub admin: Client,
    pub namespace: String,
    pub sim: Arc<Sim>,
    pub clock: Clock,
    pub metrics: Arc<Metrics>,
    operators: Vec<Operator>,
}

struct Operator {
    stop: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl World {
    /// A namespace and a Shopify with the app `CLIENT_ID` installed on `SHOP`; the operator isn't started yet.
    pub(crate) async fn new(name: &str) -> Self {
        Self::on(shared_cluster().expect("a control plane"), name).await
    }

    /// The same on a cluster of the caller's.
    pub(crate) async fn on(cluster: &'static Cluster, name: &str) -> Self {
        let admin = cluster.client().await.expect("a client");
        install_rbac(cluster).await;
        let namespace = cluster.create_namespace(name).await.expect("a namespace");
        let sim = Arc::new(Sim::start(a_shop()).await.expect("a simulator"));
        Self {
            cluster,
            admin,
            namespace,
            sim,
            clock: Clock::system(),
            metrics: Arc::new(Metrics::new()),
            operators: Vec::new(),
        }
    }

    /// Another namespace beside this one, with labels; it has no operator of its own.
    pub(crate) async fn beside(&self, name: &str, labels: Value) -> Self {
        let namespace = self.cluster.create_namespace(name).await.expect("a namespace");
        let world = Self {
            cluster: self.cluster,
            admin: self.admin.clone(),
            namespace,
            sim: Arc::clone(&self.sim),
            clock: self.clock.clone(),
            metrics: Arc::clone(&self.metrics),
            operators: Vec::new(),
        };
        world.relabel(labels).await;
        world
    }

    /// Changes labels of the namespace; null takes one off.
    pub(crate) async fn relabel(&self, labels: Value) {
        let namespaces = Api::<Namespace>::all(self.admin.clone());
        let patch = Patch::Merge(json!({"metadata": {"labels": labels}}));
        let labelled = namespaces.patch_metadata(&self.namespace, &PatchParams::default(), &patch).await;
        labelled.expect("a labelled namespace");
    }

    /// The setup of an operator over both namespaces.
    pub(crate) async fn setup_with(&self, other: &Self) -> Setup {
        Setup { namespaces: vec![self.namespace.clone(), other.namespace.clone()], ..self.setup().await }
    }

    /// The same, with the operator running and a ShopifyApp `acme` with its Secret.
    pub(crate) async fn with_app(name: &str) -> Self {
        let mut world = Self::new(name).await;
        world.start().await;
        world.make_app().await;
        world
    }

    /// The same, with an admin token `admin` that is Ready.
    pub(crate) async fn with_admin(name: &str) -> Self {
        let world = Self::with_app(name).await;
        world.admin_token("admin").await;
        world.ready("admin").await;
        world
    }

    /// Applies an admin token of the app `acme`.
    pub(crate) async fn admin_token(&self, name: &str) {
        self.token(name, json!({"source": {"clientCredentials": {"appRef": {"name": "acme"}}}})).await;
    }

    /// Applies a storefront token whose admin token is `admin`, with more spec.
    pub(crate) async fn storefront(&self, name: &str, more: Value) {
        let mut spec = json!({"source": {"storefront": {"adminTokenRef": {"name": "admin"}}}});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.token(name, spec).await;
    }

    /// An app `acme`, an admin token `admin` and a storefront token `web`, all Ready.
    pub(crate) async fn with_storefront(name: &str, more: Value) -> Self {
        let world = Self::with_admin(name).await;
        world.storefront("web", more).await;
        world.ready("web").await;
        world
    }

    pub(crate) async fn make_app(&self) {
        self.secret_of("acme-app", &[("client_id", CLIENT_ID), ("client_secret", CLIENT_SECRET)]).await;
        self.apply(json!({"kind": "ShopifyApp", "metadata": {"name": "acme"}, "spec": {"credentialsRef": {"name": "acme-app"}}})).await;
    }

    /// The operator's own client: a `ServiceAccount` bound to exactly the RBAC of `deploy/`.
    pub(crate) async fn operator_config(&self) -> Config {
        let text = self
            .cluster
            .service_account_kubeconfig("shopify-token-operator", "shopify-token-operator")
            .await
            .expect("a ServiceAccount's kubeconfig");
        let kubeconfig = Kubeconfig::from_yaml(&text).unwrap();
        Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap()
    }

    pub(crate) fn shopify(&self) -> shopify::Client {
        let options = shopify::Options {
            connect_to: Some(ConnectTo::Address(self.sim.address())),
            ca_pem: Some(self.sim.ca_pem().as_bytes().to_vec()),
            timeout: Duration::from_secs(5),
            ..shopify::Options::default()
        };
        shopify::Client::new(options, Arc::new(Observer::default())).unwrap()
    }

    pub(crate) async fn setup(&self) -> Setup {
        Setup {
            client: kubernetes::client(self.operator_config().await, Arc::clone(&self.metrics), 16).unwrap(),
            shopify: Arc::new(self.shopify()),
            clock: self.clock.clone(),
            metrics: Arc::clone(&self.metrics),
            watches: Arc::default(),
            namespaces: vec![self.namespace.clone()],
            selector: None,
            concurrency: 16,
            revocation_timeout: TimeDelta::hours(1),
            public_url: Some(PUBLIC_URL.parse().unwrap()),
        }
    }

    /// The setup of an operator that has these rights, in this namespace and nowhere else.
    pub(crate) async fn setup_with_rights(&self, rules: Value) -> Setup {
        let account = serde_json::from_value(json!({"metadata": {"name": OTHER_RIGHTS}})).unwrap();
        self.api::<ServiceAccount>().create(&PostParams::default(), &account).await.unwrap();
        self.grant_rights(&self.namespace, rules).await;
        let text = self.cluster.service_account_kubeconfig(&self.namespace, OTHER_RIGHTS).await.expect("a kubeconfig");
        let kubeconfig = Kubeconfig::from_yaml(&text).unwrap();
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
        Setup { client: kubernetes::client(config, Arc::clone(&self.metrics), 16).unwrap(), ..self.setup().await }
    }

    /// Gives the account of [`Self::setup_with_rights`] of a namespace these rights in this one.
    pub(crate) async fn grant_rights(&self, of: &str, rules: Value) {
        let (name, new) = (OTHER_RIGHTS, PostParams::default());
        let binding = json!({
            "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": of}],
        });
        let role = serde_json::from_value(json!({"metadata": {"name": name}, "rules": rules})).unwrap();
        self.api::<Role>().create(&new, &role).await.unwrap();
        self.api::<RoleBinding>().create(&new, &serde_json::from_value(binding).unwrap()).await.unwrap();
    }

    pub(crate) async fn start(&mut self) {
        let setup = self.setup().await;
        self.start_with(setup);
    }

    pub(crate) fn start_with(&mut self, setup: Setup) {
        let stop = CancellationToken::new();
        let task = tokio::spawn(controller::run(setup, stop.clone()));
        self.operators.push(Operator { stop, task });
    }

    /// Stops the operator, or each of its shards, in an orderly way.
    pub(crate) async fn stop(&mut self) {
        for Operator { stop, task } in std::mem::take(&mut self.operators) {
            stop.cancel();
            task.await.expect("no panic").expect("an orderly end");
        }
    }

    /// Lets time pass, for the operator and for Shopify.
    pub(crate) fn pass(&self, time: TimeDelta) {
        self.sim.clock().advance(time.to_std().unwrap());
        self.clock.advance(time);
    }

    /// Applies an object of ours in this namespace, as a person would.
    pub(crate) async fn apply(&self, object: Value) -> Value {
        self.try_apply(object).await.expect("the API server takes the object")
    }

    pub(crate) async fn try_apply(&self, mut object: Value) -> Result<Value, kube::Error> {
        object["apiVersion"] = json!("tokens.shopify-operator.dev/v1alpha1");
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        let parameters = PatchParams {
            field_validation: Some(kube::api::ValidationDirective::Strict),
            ..PatchParams::apply("person").force()
        };
        let patch = Patch::Apply(&object);
        Ok(match object["kind"].as_str().unwrap() {
            "ShopifyApp" => {
                serde_json::to_value(self.api::<ShopifyApp>().patch(&name, &parameters, &patch).await?).unwrap()
            }
            _ => serde_json::to_value(self.tokens().patch(&name, &parameters, &patch).await?).unwrap(),
        })
    }

    /// Applies a ShopifyToken.
    pub(crate) async fn token(&self, name: &str, spec: Value) {
        let mut spec = spec;
        spec["shop"] = spec.get("shop").cloned().unwrap_or(json!(SHOP));
        self.apply(json!({"kind": "ShopifyToken", "metadata": {"name": name}, "spec": spec})).await;
    }

    /// Changes a ShopifyToken by merge patch.
    pub(crate) async fn change(&self, name: &str, patch: Value) {
        self.tokens().patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.expect("a patched token");
    }

    /// Edits a ShopifyToken in a way that means nothing: the operator looks at it at once.
    pub(crate) async fn nudge(&self, name: &str) {
        let text = self.clock.now().to_rfc3339();
        self.change(name, json!({"metadata": {"annotations": {"example.com/nudge": text}}})).await;
    }

    pub(crate) async fn delete(&self, name: &str) {
        self.tokens().delete(name, &DeleteParams::default()).await.expect("a deleted token");
    }

    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.admin.clone(), &self.namespace)
    }

    pub(crate) fn tokens(&self) -> Api<ShopifyToken> {
        self.api()
    }

    /// Makes or replaces a Secret as a person would.
    pub(crate) async fn secret_of(&self, name: &str, data: &[(&str, &str)]) {
        let data: BTreeMap<_, _> = data.iter().copied().collect();
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data});
        self.api::<Secret>().patch(name, &PatchParams::apply("person").force(), &Patch::Apply(secret)).await.unwrap();
    }

    /// The Secret's data as text, and its annotations; `None` if it isn't there.
    pub(crate) async fn secret(&self, name: &str) -> Option<SecretView> {
        self.api::<Secret>().get_opt(name).await.unwrap().map(SecretView::from)
    }

    /// Waits until a token's state is as wished, and returns it.
    pub(crate) async fn until(
        &self,
        name: &str,
        wish: &str,
        fulfilled: impl Fn(&ShopifyToken) -> bool,
    ) -> ShopifyToken {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let token = self.tokens().get_opt(name).await.unwrap();
            match &token {
                Some(token) if fulfilled(token) => return token.clone(),
                _ if Instant::now() > deadline => {
                    panic!("{name} is not {wish}: {}", serde_json::to_string_pretty(&token.map(|t| t.status)).unwrap())
                }
                _ => tokio::time::sleep(Duration::from_millis(30)).await,
            }
        }
    }

    /// Waits until a token is Ready and quiet: nothing stands in the way, and its generation was observed.
    pub(crate) async fn ready(&self, name: &str) -> ShopifyToken {
        self.until(name, "Ready", |t| {
            condition(t, "Ready") == Some(("True".into(), "Issued".into()))
                && condition(t, "Reconciling").is_none()
                && condition(t, "Stalled").is_none()
                && t.status.as_ref().unwrap().observed_generation == t.metadata.generation.unwrap()
        })
        .await
    }

    /// Waits until a condition is True with a reason.
    pub(crate) async fn because(&self, name: &str, type_: &str, reason: &str) -> ShopifyToken {
        self.until(name, &format!("{type_}: {reason}"), |t| condition(t, type_) == Some(("True".into(), reason.into())))
            .await
    }

    /// Waits until something is so.
    pub(crate) async fn eventually(&self, wish: &str, fulfilled: impl AsyncFn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !fulfilled().await {
            assert!(Instant::now() < deadline, "not so after {PATIENCE:?}: {wish}");
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    /// Waits until a token is gone.
    pub(crate) async fn gone(&self, name: &str) {
        self.eventually(&format!("{name} is gone"), async || self.tokens().get_opt(name).await.unwrap().is_none())
            .await;
    }

    /// A moment in which the operator could do something wrong.
    pub(crate) async fn a_while(&self) {
        tokio::time::sleep(Duration::from_millis(1500)).await;
    }

    /// Whether an app's condition is True with a reason.
    pub(crate) async fn app_is(&self, name: &str, type_: &str, reason: &str) -> bool {
        let status = self.api::<ShopifyApp>().get(name).await.unwrap().status;
        let mut conditions = status.into_iter().flat_map(|s| s.conditions);
        conditions.any(|c| c.type_ == type_ && c.status == "True" && c.reason == reason)
    }

    /// Waits until an app is Ready.
    pub(crate) async fn ready_app(&self, name: &str) {
        self.eventually("the app is Ready", async || self.app_is(name, "Ready", "CredentialsPresent").await).await;
    }

    /// The finalizer is on the object.
    pub(crate) async fn is_protected<K>(&self, name: &str) -> bool
    where
        K: kube::Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>,
        K: Clone + std::fmt::Debug + serde::de::DeserializeOwned,
    {
        let object = self.api::<K>().get_metadata_opt(name).await.unwrap();
        object.is_some_and(|o| o.finalizers().iter().any(|f| f == FINALIZER))
    }

    /// Whether the object is there.
    pub(crate) async fn exists<K>(&self, name: &str) -> bool
    where
        K: kube::Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>,
        K: Clone + std::fmt::Debug + serde::de::DeserializeOwned,
    {
        self.api::<K>().get_metadata_opt(name).await.unwrap().is_some()
    }

    /// Deletes an object of any kind.
    pub(crate) async fn remove<K>(&self, name: &str)
    where
        K: kube::Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>,
        K: Clone + std::fmt::Debug + serde::de::DeserializeOwned,
    {
        self.api::<K>().delete(name, &DeleteParams::default()).await.expect("a deleted object");
    }

    /// Takes the finalizers of an object off, as a careless tool does.
    pub(crate) async fn strip<K>(&self, name: &str)
    where
        K: kube::Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>,
        K: Clone + std::fmt::Debug + serde::de::DeserializeOwned,
    {
        let patch = Patch::Merge(json!({"metadata": {"finalizers": null}}));
        self.api::<K>().patch_metadata(name, &PatchParams::default(), &patch).await.expect("a stripped object");
    }

    /// Waits until a counter of the operator's metrics stands at `wanted`: what was done is counted after it can be seen.
    pub(crate) async fn counts(&self, series: &str, wanted: u64) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = self.metrics.encode().unwrap();
            let line = text.lines().find_map(|l| l.strip_prefix(series));
            let counted = line.map_or(0, |value| value.trim().parse().unwrap());
            if counted == wanted {
                return;
            }
            assert!(counted < wanted && Instant::now() < deadline, "{series} is {counted}, not {wanted}");
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    /// Reasons of the events of an object, in order.
    pub(crate) async fn events(&self, name: &str) -> Vec<String> {
        self.news(name).await.into_iter().filter_map(|e| e.reason).collect()
    }

    /// The events of an object, in order.
    pub(crate) async fn news(&self, name: &str) -> Vec<Event> {
        let mut events = self.api::<Event>().list(&ListParams::default()).await.unwrap().items;
        for event in events.iter().filter(|e| e.reporting_controller.as_deref() == Some(OPERATOR)) {
            is_as_documented(event);
        }
        events.sort_by_key(|e| e.event_time.clone().map(|t| t.0));
        events.retain(|e| {
            let object = e.regarding.clone().unwrap_or_default();
            // A Deployment of that name has events of its own.
            object.name.as_deref() == Some(name) && object.kind.is_some_and(|k| k.starts_with("Shopify"))
        });
        events
    }

    /// Waits until these and no other events have been told of an object.
    pub(crate) async fn told(&self, name: &str, reasons: &[&str]) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let events = self.events(name).await;
            if events == reasons {
                return;
            }
            assert!(Instant::now() < deadline, "{name}: told of {events:?}, not of {reasons:?}");
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    /// Storefront tokens that live at Shopify.
    pub(crate) fn live(&self) -> Vec<shopify_sim::LiveStorefrontToken> {
        self.sim.live_storefront_tokens(SHOP, CLIENT_ID)
    }
}

/// What a person sees of a Secret.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct SecretView {
    pub name: String,
    pub data: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    pub version: String,
}

impl From<Secret> for SecretView {
    fn from(secret: Secret) -> Self {
        let text = |v: &k8s_openapi::ByteString| String::from_utf8(v.0.clone()).unwrap();
        Self {
            name: secret.name_any(),
            data: secret.data.iter().flatten().map(|(k, v)| (k.clone(), text(v))).collect(),
            annotations: secret.annotations().clone(),
            version: secret.resource_version().unwrap(),
        }
    }
}

impl SecretView {
    pub(crate) fn access_token(&self) -> &str {
        &self.data["access_token"]
    }

    pub(crate) fn record(&self, name: &str) -> Option<&str> {
        self.annotations.get(&format!("tokens.shopify-operator.dev/{name}")).map(String::as_str)
    }
}

/// Revision of the credential, 0 before the first.
pub(crate) fn revision(token: &ShopifyToken) -> i64 {
    token.status.as_ref().and_then(|s| s.revision).unwrap_or_default()
}

/// Status and reason of a condition.
pub(crate) fn condition(token: &ShopifyToken, type_: &str) -> Option<(String, String)> {
    let condition = token.status.as_ref()?.conditions.iter().find(|c| c.type_ == type_)?;
    Some((condition.status.clone(), condition.reason.clone()))
}

/// Message of a condition.
pub(crate) fn message(token: &ShopifyToken, type_: &str) -> String {
    let condition = token.status.iter().flat_map(|s| &s.conditions).find(|c| c.type_ == type_);
    condition.map(|c| c.message.clone()).unwrap_or_default()
}

/// Applies namespace, `ServiceAccount` and RBAC of `deploy/base`, once a cluster; applying is idempotent.
/// The Shopify of [`World::new`].
/// Whether the table of events says so: a reason, its type, and the kind of the object.
fn is_as_documented(event: &Event) {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let (reason, type_) = (text(&event.reason), text(&event.type_));
    let kind = text(&event.regarding.clone().unwrap_or_default().kind);
    let documented = EventReason::parse(&reason).unwrap_or_else(|| panic!("{reason} is documented nowhere"));
    assert!(documented.kinds().contains(&kind.as_str()), "{reason} is told of a {kind}");
    assert_eq!(type_ == "Warning", documented.is_warning(), "{reason} is {type_}");
}

pub(crate) fn a_shop() -> shopify_sim::Config {
    shopify_sim::Config { canary: Some(CANARY.into()), ..shopify_sim::Config::default() }
        .shop(ShopConfig::new(SHOP))
        .app(AppConfig {
            scopes: SCOPES.iter().map(|scope| (*scope).to_owned()).collect(),
            ..AppConfig::new(CLIENT_ID, CLIENT_SECRET)
                .installed(SHOP, SCOPES.iter().copied())
                .redirect_url(format!("{PUBLIC_URL}/oauth/callback"))
        })
}

async fn install_rbac(cluster: &Cluster) {
    static DONE: tokio::sync::Mutex<Vec<PathBuf>> = tokio::sync::Mutex::const_new(Vec::new());
    let mut done = DONE.lock().await;
    if done.iter().any(|dir| dir == cluster.dir()) {
        return;
    }
    for file in ["namespace", "service_account", "cluster_role", "grant_role", "lease_role"] {
        let path = dev::repository(&format!("deploy/base/{file}.yaml"));
        cluster.apply(&Manifests::Path(path), "shopify-token-operator").await.expect("deploy/base applies");
    }
    done.push(cluster.dir().to_owned());
}
