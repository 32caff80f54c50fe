//! YAML manifests, and applying them as `kubectl apply --server-side` does.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::{GroupVersionKind, TypeMeta};
use kube::discovery::{self, Scope};
use kube::{Client, ResourceExt as _};
use tokio::time::{Instant, sleep};

/// Field manager of everything applied here.
const FIELD_MANAGER: &str = "dev";
const ESTABLISHED_WITHIN: Duration = Duration::from_secs(30);

/// One or more objects in YAML.
#[derive(Clone, Debug)]
pub enum Manifests {
    /// YAML text, `---` between documents.
    Yaml(String),
    /// A file, or a directory whose `.yaml` and `.yml` files are taken in order of their names.
    Path(PathBuf),
    /// Objects, as they are.
    Objects(Vec<DynamicObject>),
}

impl Manifests {
    /// Every object, in the order of the documents.
    pub fn objects(&self) -> Result<Vec<DynamicObject>> {
        match self {
            Self::Yaml(text) => parse(text).context("invalid manifest"),
            Self::Path(path) => read(path),
            Self::Objects(objects) => Ok(objects.clone()),
        }
    }
}

fn read(path: &Path) -> Result<Vec<DynamicObject>> {
    let cannot_read = || format!("cannot read {}", path.display());
    if !path.is_dir() {
        let text = fs::read_to_string(path).with_context(cannot_read)?;
        return parse(&text).with_context(|| format!("invalid manifest {}", path.display()));
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).with_context(cannot_read)? {
        let file = entry.with_context(cannot_read)?.path();
        if file.extension().is_some_and(|it| it == "yaml" || it == "yml") {
            files.push(file);
        }
    }
    files.sort();
    let objects: Result<Vec<_>> = files.iter().map(|file| read(file)).collect();
    Ok(objects?.concat())
}

fn parse(yaml: &str) -> Result<Vec<DynamicObject>> {
    Ok(serde_saphyr::from_multiple(yaml)?)
}

/// Applies every object; `namespace` is for those that name none. A custom resource definition is
/// waited for, so that its objects may follow.
pub(crate) async fn apply(client: &Client, manifests: &Manifests, namespace: &str) -> Result<Vec<DynamicObject>> {
    let mut applied = Vec::new();
    for object in manifests.objects()? {
        let types = object.types.clone().unwrap_or_default();
        let what = format!("{} {}", types.kind, object.name_any());
        applied.push(
            apply_object(client, &types, &object, namespace).await.with_context(|| format!("cannot apply {what}"))?,
        );
        if types.kind == "CustomResourceDefinition" {
            wait_until_established(client, &object.name_any()).await?;
        }
    }
    Ok(applied)
}

async fn apply_object(
    client: &Client,
    types: &TypeMeta,
    object: &DynamicObject,
    namespace: &str,
) -> Result<DynamicObject> {
    let kind = GroupVersionKind::try_from(types)?;
    let (resource, capabilities) = discovery::pinned_kind(client, &kind).await?;
    let api: Api<DynamicObject> = match capabilities.scope {
        Scope::Cluster => Api::all_with(client.clone(), &resource),
        Scope::Namespaced => {
            let namespace = object.namespace().unwrap_or_else(|| namespace.to_owned());
            Api::namespaced_with(client.clone(), &namespace, &resource)
        }
    };
    let params = PatchParams::apply(FIELD_MANAGER).force();
    Ok(api.patch(&object.name_any(), &params, &Patch::Apply(object)).await?)
}

async fn wait_until_established(client: &Client, name: &str) -> Result<()> {
    let api = Api::<CustomResourceDefinition>::all(client.clone());
    let deadline = Instant::now() + ESTABLISHED_WITHIN;
    while Instant::now() < deadline {
        let conditions = api.get(name).await?.status.unwrap_or_default().conditions;
        if conditions.iter().flatten().any(|condition| condition.type_ == "Established" && condition.status == "True") {
            return Ok(());
        }
        sleep(Duration::from_millis(50)).await;
    }
    bail!("the API server does not serve {name}: `kubectl describe crd {name}` says why")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_read_in_order_of_names() {
        let dir = tempfile::tempdir().unwrap();
        let config_map = |name: &str| format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{ name: {name} }}\n");
        fs::write(dir.path().join("2.yml"), format!("{}---\n---\n{}", config_map("b"), config_map("c"))).unwrap();
        fs::write(dir.path().join("1.yaml"), config_map("a")).unwrap();
        fs::write(dir.path().join("README.md"), "text").unwrap();

        let objects = Manifests::Path(dir.path().to_owned()).objects().unwrap();

        let names: Vec<_> = objects.iter().map(DynamicObject::name_any).collect();
        assert_eq!(names, ["a", "b", "c"]);
    }

    #[test]
    fn the_file_that_is_wrong_is_named() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("wrong.yaml"), "kind: [").unwrap();
        let error = Manifests::Path(dir.path().to_owned()).objects().unwrap_err();
        assert!(error.to_string().contains("wrong.yaml"), "{error}");
    }
}
