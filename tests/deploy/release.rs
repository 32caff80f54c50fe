//! The life of a release on a cluster of its own: installed, upgraded from an older one, uninstalled, installed again.
//!
//! There is no kubelet: the operator's pods are processes here, with the arguments and variables of their containers and
//! the rights of their account.

use std::{
    fs,
    net::TcpListener,
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use dev::{LocalCluster, Manifests, Options};
use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        batch::v1::Job,
        core::v1::{Namespace, Pod, PodSpec, ServiceAccount},
        rbac::v1::ClusterRole,
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use shopify_token_operator::{api::ShopifyApp, core::vocabulary::FINALIZER};
use tokio::time::{Instant, sleep};

use super::{
    OPERATOR, ROOT,
    chart::{self, helm},
    users::has_controllers,
};

const NAMESPACE: &str = "tokens";
const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) struct World {
    pub(crate) cluster: LocalCluster,
    pub(crate) client: Client,
}

impl World {
    pub(crate) async fn new() -> Self {
        let cluster = LocalCluster::start(Options { quiet: true, ..Options::default() }).await.unwrap();
        let client = cluster.client().await.unwrap();
        let namespace = json!({"metadata": {
            "name": NAMESPACE, "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
        }});
        let namespace = serde_json::from_value(namespace).unwrap();
        Api::<Namespace>::all(client.clone()).create(&PostParams::default(), &namespace).await.unwrap();
        Self { cluster, client }
    }

    fn helm_in(&self, namespace: &str, arguments: &[&str]) -> Output {
        let mut helm = helm();
        helm.env("KUBECONFIG", self.cluster.kubeconfig_path()).args(["--namespace", namespace]);
        helm.args(arguments).output().unwrap()
    }

    fn helm(&self, arguments: &[&str]) -> Output {
        self.helm_in(NAMESPACE, arguments)
    }

    fn helm_does(&self, arguments: &[&str]) {
        let output = self.helm(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    async fn definition(&self, plural: &str) -> CustomResourceDefinition {
        let name = format!("{plural}.tokens.shopify-operator.dev");
        Api::<CustomResourceDefinition>::all(self.client.clone()).get(&name).await.unwrap()
    }

    /// A container as a process, with nothing of this one's environment but what it takes to run.
    pub(crate) async fn container(&self, namespace: &str, pod: &PodSpec, dir: &Path) -> Command {
        let account = pod.service_account_name.as_deref().unwrap();
        let kubeconfig = dir.join("kubeconfig");
        fs::write(&kubeconfig, self.cluster.service_account_kubeconfig(namespace, account).await.unwrap()).unwrap();
        let container = &pod.containers[0];
        let mut command = Command::new(env!("CARGO_BIN_EXE_shopify-token-operator"));
        command.env_clear().env("KUBECONFIG", kubeconfig).args(container.args.iter().flatten());
        for variable in container.env.iter().flatten() {
            command.env(&variable.name, variable.value.as_deref().unwrap());
        }
        command
    }

    async fn eventually(&self, wish: &str, fulfilled: impl AsyncFn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !fulfilled().await {
            assert!(Instant::now() < deadline, "{wish}: not so after {PATIENCE:?}");
            sleep(Duration::from_millis(100)).await;
        }
    }
}

/// A copy of the chart as an older version may have been: another definition, and one value less.
fn older_chart(dir: &Path) -> String {
    let older = dir.join("chart");
    let copied = Command::new("cp").arg("-r").arg(chart::directory()).arg(&older).status().unwrap();
    assert!(copied.success());
    let definition = older.join("definitions/tokens.shopify-operator.dev_shopifyapps.yaml");
    let mut crd: Value = serde_saphyr::from_str(&fs::read_to_string(&definition).unwrap()).unwrap();
    let spec = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties";
    let fields = crd.pointer_mut(spec).unwrap().as_object_mut().unwrap();
    assert!(fields.remove("secretRotation").is_some());
    fs::write(&definition, serde_saphyr::to_string(&crd).unwrap()).unwrap();
    let values = fs::read_to_string(older.join("values.yaml")).unwrap();
    let end = values.find("monitoring:").unwrap();
    let rest = values[end..].find("\nuninstall:").unwrap();
    fs::write(older.join("values.yaml"), values[..end].to_owned() + &values[end + rest..]).unwrap();
    older.display().to_string()
}

pub(crate) struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// The Deployment's container works with the rights of the release.
async fn it_works(world: &World) -> Running {
    let dir = tempfile::tempdir().unwrap();
    let deployment = world.api::<Deployment>().get(OPERATOR).await.unwrap();
    let pod = deployment.spec.unwrap().template.spec.unwrap();
    ready_at(world, world.container(NAMESPACE, &pod, dir.path()).await).await
}

/// Starts an operator, and waits until it is ready.
pub(crate) async fn ready_at(world: &World, mut command: Command) -> Running {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    command.env("ADMIN_ADDR", address.to_string()).stderr(Stdio::null());
    let running = Running(command.spawn().unwrap());
    let url = format!("http://{address}/readyz");
    let ready = async || reqwest::get(&url).await.is_ok_and(|answer| answer.status().is_success());
    world.eventually("the operator is ready", ready).await;
    running
}

/// Plays the kubelet of the Job: runs its pod's container to the end, and says how it ended.
async fn run_the_job(world: &World) {
    let name = "shopify-token-operator-uninstall";
    let pods = world.api::<Pod>();
    let selected = ListParams::default().labels(&format!("batch.kubernetes.io/job-name={name}"));
    world.eventually("the Job has a pod", async || !pods.list(&selected).await.unwrap().items.is_empty()).await;
    let pod = pods.list(&selected).await.unwrap().items.remove(0);
    let dir = tempfile::tempdir().unwrap();
    let mut command = world.container(NAMESPACE, pod.spec.as_ref().unwrap(), dir.path()).await;
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("finalizers taken off 1 objects"), "{said}");
    let ended = Patch::Merge(json!({"status": {"phase": "Succeeded"}}));
    pods.patch_status(&pod.name_any(), &PatchParams::default(), &ended).await.unwrap();
}

/// What kustomize has applied is taken up, but for the Deployment, whose selector can't be changed.
async fn from_kustomize(world: &World) {
    let base = world.cluster.kustomization(&Path::new(ROOT).join("deploy/base")).unwrap();
    let objects = base.into_iter().map(|object| serde_json::from_value(object).unwrap()).collect();
    world.cluster.apply(&Manifests::Objects(objects), OPERATOR).await.unwrap();
    let deployments: Api<Deployment> = Api::namespaced(world.client.clone(), OPERATOR);
    deployments.delete(OPERATOR, &DeleteParams::default()).await.unwrap();
    let taken =
        world.helm_in(OPERATOR, &["install", OPERATOR, &chart::directory(), "--take-ownership", "--force-conflicts"]);
    assert!(taken.status.success(), "{}", String::from_utf8_lossy(&taken.stderr));
    let labels = deployments.get(OPERATOR).await.unwrap().metadata.labels.unwrap();
    assert_eq!(labels["app.kubernetes.io/managed-by"], "Helm");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_is_installed_upgraded_uninstalled_and_installed_again() {
    let world = World::new().await;
    if !has_controllers(&world.cluster) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (older, chart) = (older_chart(dir.path()), chart::directory());

    world.helm_does(&["install", OPERATOR, &older, "--set", "priorityClassName=system-cluster-critical"]);
    let has_new_field = async || {
        let crd = serde_json::to_value(world.definition("shopifyapps").await).unwrap();
        crd.to_string().contains("secretRotation")
    };
    assert!(!has_new_field().await, "the older definition is there");

    // The older release's values alone: what it didn't know has its default, and what was set stays.
    world.helm_does(&["upgrade", OPERATOR, &chart, "--reuse-values", "--set", "replicas=2"]);
    assert!(has_new_field().await, "definitions are upgraded with the release");
    let deployment = world.api::<Deployment>().get(OPERATOR).await.unwrap().spec.unwrap();
    assert_eq!(deployment.replicas, Some(2));
    assert_eq!(deployment.template.spec.unwrap().priority_class_name.as_deref(), Some("system-cluster-critical"));
    // And back, definitions too.
    world.helm_does(&["rollback", OPERATOR]);
    assert!(!has_new_field().await, "definitions are rolled back with the release");
    drop(it_works(&world).await);
    world.helm_does(&["upgrade", OPERATOR, &chart, "--reset-then-reuse-values"]);
    assert!(has_new_field().await);
    let running = it_works(&world).await;

    let app = json!({
        "apiVersion": "tokens.shopify-operator.dev/v1alpha1", "kind": "ShopifyApp",
        "metadata": {"name": "acme", "finalizers": [FINALIZER]}, "spec": {"credentialsRef": {"name": "acme-app"}},
    });
    let apps = world.api::<ShopifyApp>();
    apps.create(&PostParams::default(), &serde_json::from_value(app).unwrap()).await.unwrap();
    drop(running);

    let mut uninstalling = helm();
    uninstalling.env("KUBECONFIG", world.cluster.kubeconfig_path());
    uninstalling.args(["uninstall", OPERATOR, "--namespace", NAMESPACE, "--timeout", "3m"]);
    let uninstalling = tokio::task::spawn_blocking(move || uninstalling.output().unwrap());
    run_the_job(&world).await;
    let output = uninstalling.await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(world.api::<Deployment>().get_opt(OPERATOR).await.unwrap().is_none());
    assert!(world.api::<ServiceAccount>().get_opt(OPERATOR).await.unwrap().is_none());
    let job = world.api::<Job>().get("shopify-token-operator-uninstall").await.unwrap();
    assert_eq!(job.status.unwrap().succeeded, Some(1), "its log is there to be read");
    for plural in ["shopifyapps", "shopifytokens"] {
        assert!(world.definition(plural).await.metadata.deletion_timestamp.is_none(), "{plural} are kept");
    }
    assert_eq!(apps.get("acme").await.unwrap().finalizers(), [""; 0], "nothing hangs");

    // Kept definitions belong to a release of the same name and namespace, or to the one that takes them.
    let output = world.helm(&["install", "another", &chart]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("invalid ownership metadata"), "{said}");
    // With rights in its namespace alone it works, too.
    let set = "fullnameOverride=shopify-token-operator,watchNamespaces={tokens}";
    world.helm_does(&["install", "another", &chart, "--take-ownership", "--set", set]);
    let cluster_roles: Api<ClusterRole> = Api::all(world.client.clone());
    assert!(cluster_roles.get_opt(OPERATOR).await.unwrap().is_none());
    drop(it_works(&world).await);
    world.helm_does(&["uninstall", "another", "--no-hooks"]);
    world.helm_does(&["install", OPERATOR, &chart, "--take-ownership"]);
    assert_eq!(apps.get("acme").await.unwrap().name_any(), "acme");
    world.helm_does(&["uninstall", OPERATOR, "--no-hooks"]);
    from_kustomize(&world).await;
}
