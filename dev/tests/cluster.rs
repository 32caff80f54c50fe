//! What a cluster does for its clients.
#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::fs;
use std::time::Duration;

use dev::{Cluster, LocalCluster, Manifests, Options, shared_cluster};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret, ServiceAccount};
use kube::api::{Api, DeleteParams, ListParams, ObjectMeta, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tokio::time::{sleep, timeout};

const WIDGETS: &str = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: { name: widgets.example.com }
spec:
  group: example.com
  scope: Namespaced
  names: { kind: Widget, plural: widgets, singular: widget }
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema:
          type: object
          properties:
            spec: { type: object, properties: { size: { type: integer } } }
---
apiVersion: example.com/v1
kind: Widget
metadata: { name: small }
spec: { size: 1 }
---
apiVersion: v1
kind: ServiceAccount
metadata: { name: reader }
";

/// Polls until `check` yields a value.
async fn eventually<T>(mut check: impl AsyncFnMut() -> Option<T>) -> T {
    let poll = async {
        loop {
            if let Some(value) = check().await {
                return value;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(Duration::from_mins(1), poll).await.unwrap()
}

/// Says why a test does less, rather than failing where `KUBEBUILDER_ASSETS` is set.
fn lacks_controller_manager(cluster: &Cluster) -> bool {
    let lacks = !cluster.has_controller_manager();
    if lacks {
        dev::skipped("there is no kube-controller-manager");
    }
    lacks
}

async fn client_of(kubeconfig: &str) -> Client {
    let kubeconfig = Kubeconfig::from_yaml(kubeconfig).unwrap();
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    Client::try_from(config).unwrap()
}

#[tokio::test]
async fn a_namespace_gets_its_service_account_and_can_be_deleted() {
    let cluster = shared_cluster().unwrap();
    if lacks_controller_manager(cluster) {
        return;
    }
    let client = cluster.client().await.unwrap();
    let namespace = cluster.create_namespace("dev").await.unwrap();
    let accounts = Api::<ServiceAccount>::namespaced(client.clone(), &namespace);
    eventually(async || accounts.get_opt("default").await.unwrap()).await;

    let namespaces = Api::<Namespace>::all(client);
    namespaces.delete(&namespace, &DeleteParams::default()).await.unwrap();
    eventually(async || {
        let found = namespaces.get_opt(&namespace).await.unwrap();
        found.is_none().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_service_account_has_only_its_own_rights() {
    let cluster = shared_cluster().unwrap();
    let namespace = cluster.create_namespace("dev").await.unwrap();
    let account = "
apiVersion: v1
kind: ServiceAccount
metadata: { name: nobody }
";
    let account = Manifests::Yaml(account.to_owned());
    cluster.apply(&account, &namespace).await.unwrap();

    let kubeconfig = cluster.service_account_kubeconfig(&namespace, "nobody").await.unwrap();

    let secrets = Api::<Secret>::default_namespaced(client_of(&kubeconfig).await);
    match secrets.list(&ListParams::default()).await {
        Err(kube::Error::Api(status)) => {
            assert!(status.is_forbidden(), "{status:?}");
            let user = format!("system:serviceaccount:{namespace}:nobody");
            assert!(status.message.contains(&user), "{}", status.message);
        }
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn manifests_are_applied_and_requests_audited() {
    let cluster = shared_cluster().unwrap();
    let namespace = cluster.create_namespace("dev").await.unwrap();
    let widgets = Manifests::Yaml(WIDGETS.to_owned());

    let applied = cluster.apply(&widgets, &namespace).await.unwrap();
    let again = cluster.apply(&widgets, &namespace).await.unwrap();

    assert_eq!(applied[1].metadata.namespace.as_ref(), Some(&namespace));
    assert_eq!(applied[1].metadata.resource_version, again[1].metadata.resource_version);
    let kubectl = cluster
        .kubectl_command()
        .args(["get", "widgets,serviceaccounts", "--output=name"])
        .args(["--namespace", &namespace])
        .output()
        .unwrap();
    let listed = String::from_utf8(kubectl.stdout).unwrap();
    assert!(listed.contains("widget.example.com/small"), "{listed}");
    assert!(listed.contains("serviceaccount/reader"), "{listed}");

    let audit = fs::read_to_string(cluster.audit_log_path()).unwrap();
    let uri = format!("/apis/example.com/v1/namespaces/{namespace}/widgets/small");
    let patches = audit.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()).filter(|event| {
        event["verb"] == "patch"
            && event["stage"] == "ResponseComplete"
            && event["requestURI"].as_str().is_some_and(|it| it.starts_with(&uri))
    });
    assert_eq!(patches.count(), 2);
}

#[tokio::test]
async fn the_api_server_can_be_restarted() {
    let mut cluster = LocalCluster::start(Options {
        crds: vec![Manifests::Yaml(WIDGETS.split("---").next().unwrap().to_owned())],
        apiserver_flags: vec!["--max-requests-inflight=1000".to_owned()],
        quiet: true,
        ..Options::default()
    })
    .await
    .unwrap();
    let client = cluster.client().await.unwrap();
    let config_maps = Api::<ConfigMap>::default_namespaced(client);
    let kept = ConfigMap {
        metadata: ObjectMeta { name: Some("kept".to_owned()), ..ObjectMeta::default() },
        ..ConfigMap::default()
    };
    config_maps.create(&PostParams::default(), &kept).await.unwrap();
    let server = cluster.server().unwrap();

    cluster.restart_apiserver().await.unwrap();

    assert_eq!(cluster.server().unwrap(), server);
    config_maps.get("kept").await.unwrap();
    let dir = cluster.dir().to_owned();
    cluster.stop().unwrap();
    assert!(!dir.exists());
}
