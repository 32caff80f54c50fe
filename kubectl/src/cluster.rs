//! Which cluster, as whom, in which namespace: as kubectl takes it.

use std::time::Duration;

use http::{HeaderName, HeaderValue};
use kube::{
    Api, Client, Config, Resource,
    api::{ApiResource, DynamicObject},
    core::NamespaceResourceScope,
};
use shopify_token_operator::{api::ShopifyToken, kubernetes, proxy::Proxies};

use crate::{
    cli::ClusterOptions,
    failure::{Code, Failure, Result},
};

/// The `User-Agent`, and the field manager of what is written.
pub const AGENT: &str = "kubectl-shopify_token";

/// The cluster that the command line and the kubeconfig choose.
#[derive(Clone)]
pub struct Cluster {
    /// As the person of the kubeconfig.
    pub client: Client,
    /// Namespace of `-n`, or of the context.
    pub namespace: String,
    /// URL of the API server, without a user's name and password.
    pub server: String,
}

impl Cluster {
    /// Reads the kubeconfig; nothing is asked of the cluster yet. Needs a runtime.
    pub fn choose(options: &ClusterOptions) -> Result<Self> {
        let wrong = |error: anyhow::Error| Failure::new(Code::Failed, format!("no cluster to talk to: {error:#}"));
        let choice = kubernetes::Choice { kubeconfig: options.kubeconfig.clone(), context: options.context.clone() };
        let mut config =
            Proxies::from_env().and_then(|proxies| kubernetes::config(&choice, &proxies)).map_err(|error| {
                wrong(error).remedy("name a kubeconfig (--kubeconfig, KUBECONFIG) and a context (--context)")
            })?;
        config.connect_timeout = Some(Duration::from_secs(10));
        impersonate(&mut config, options)?;
        let namespace = options.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let server = kubernetes::shown(&config.cluster_url);
        let client = kubernetes::client_of_person(config, AGENT).map_err(wrong)?;
        Ok(Self { client, namespace, server })
    }

    /// ShopifyTokens as the API server has them, of one namespace or of all.
    #[must_use]
    pub fn tokens(&self, namespace: Option<&str>) -> Api<DynamicObject> {
        let kind = ApiResource::erase::<ShopifyToken>(&());
        match namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &kind),
            None => Api::all_with(self.client.clone(), &kind),
        }
    }

    /// Objects of a kind in a namespace.
    #[must_use]
    pub fn api<K>(&self, namespace: &str) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), namespace)
    }
}

/// `--as` and `--as-group`, or what the kubeconfig's user says of them.
fn impersonate(config: &mut Config, options: &ClusterOptions) -> Result<()> {
    let user = options.as_user.clone().or_else(|| config.auth_info.impersonate.clone());
    let groups = match options.as_group.as_slice() {
        [] => config.auth_info.impersonate_groups.clone().unwrap_or_default(),
        groups => groups.to_vec(),
    };
    let user = user.into_iter().map(|user| ("impersonate-user", user));
    for (name, value) in user.chain(groups.into_iter().map(|group| ("impersonate-group", group))) {
        let value = HeaderValue::try_from(value)
            .map_err(|_| Failure::new(Code::Usage, "--as and --as-group take names of printable characters"))?;
        config.headers.push((HeaderName::from_static(name), value));
    }
    Ok(())
}
