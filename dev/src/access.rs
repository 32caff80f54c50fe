//! What tests and the demo do with a cluster: namespaces, manifests, rights of a service account.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::ResourceExt as _;
use kube::api::{Api, DynamicObject, ObjectMeta, PostParams};

use crate::{Cluster, Manifests, kubeconfig, manifests};

/// Longer than any run.
const TOKEN_SECONDS: i64 = 24 * 60 * 60;

impl Cluster {
    /// Creates a namespace and returns its name: `prefix`, a hyphen and some random letters.
    pub async fn create_namespace(&self, prefix: &str) -> Result<String> {
        let namespace = Namespace {
            metadata: ObjectMeta { generate_name: Some(format!("{prefix}-")), ..ObjectMeta::default() },
            ..Namespace::default()
        };
        let created = Api::<Namespace>::all(self.client().await?)
            .create(&PostParams::default(), &namespace)
            .await
            .with_context(|| format!("cannot create a namespace {prefix}-…"))?;
        Ok(created.name_any())
    }

    /// Applies manifests server-side and returns what is stored; `namespace` is for objects that
    /// name none. Waits for custom resource definitions to be served.
    pub async fn apply(&self, manifests: &Manifests, namespace: &str) -> Result<Vec<DynamicObject>> {
        manifests::apply(&self.client().await?, manifests, namespace).await
    }

    /// The objects of a kustomization, as kubectl builds it.
    pub fn kustomization(&self, dir: &Path) -> Result<Vec<serde_json::Value>> {
        let output = Command::new(self.kubectl()).arg("kustomize").arg(dir).output()?;
        ensure!(output.status.success(), "{}: {}", dir.display(), String::from_utf8_lossy(&output.stderr));
        serde_saphyr::from_multiple(str::from_utf8(&output.stdout)?).with_context(|| dir.display().to_string())
    }

    /// A kubeconfig with exactly the rights of a service account, by a token of its own.
    pub async fn service_account_kubeconfig(&self, namespace: &str, name: &str) -> Result<String> {
        let request = TokenRequest {
            spec: TokenRequestSpec { expiration_seconds: Some(TOKEN_SECONDS), ..TokenRequestSpec::default() },
            ..TokenRequest::default()
        };
        let token = Api::<ServiceAccount>::namespaced(self.client().await?, namespace)
            .create_token_request(name, &PostParams::default(), &request)
            .await
            .with_context(|| format!("no token for ServiceAccount {namespace}/{name}"))?
            .status
            .context("the API server answered a TokenRequest without a token")?
            .token;
        kubeconfig::with_token(self.dir(), &self.server()?, name, &token, namespace)
    }
}
