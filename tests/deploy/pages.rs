//! The commands of the pages are run, in the order in which a person would, on a cluster of their own with a simulated Shopify.
//!
//! Each block of commands is run here, and each command of kubectl and helm in a sentence, or `EXPLAINED` and `NAMED` say why it isn't. There is no kubelet: pods are said to run, and the
//! operator is a process with the rights of its account.

use std::{fs, path::Path, time::Duration};

use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::json;
use shopify_sim::{AppConfig, Config, CustomerClientConfig, ShopConfig, Sim};
use tokio::{task::JoinHandle, time::sleep};

use self::reader::Reader;
use super::{
    OPERATOR, ROOT,
    kustomize::shown,
    release::{Running, World, ready_at},
    users::has_controllers,
};

mod reader;

/// Blocks that aren't run: the page, how the block begins, and why.
const EXPLAINED: &[(&str, &str, &str)] = &[
    ("README.md", "make demo", "tests/demo.rs runs the demo, and this test is a part of the other"),
    ("README.md", "docker build", "takes a daemon and registries; tests/deploy/image.rs builds the last stage"),
    ("docs/install.md", "docker build", "the same as in README.md"),
    ("docs/install.md", "helm uninstall", "the hook's Job needs a kubelet, which release.rs plays"),
    (
        "docs/install.md",
        "kubectl apply -k uninstall",
        "the Job needs a kubelet, which tests/crd/uninstall_job.rs plays",
    ),
    ("docs/kubectl.md", "make plugin", "compiles for minutes; the check is run on another page"),
    (
        "docs/guides/migrate.md",
        "kubectl shopify-token migrate webhook/shopify -n shop",
        "kubectl/tests/plugin/setup.rs has the definitions",
    ),
    (
        "docs/kubectl.md",
        "$ kubectl shopify-token status\n",
        "of a snapshot, which kubectl/tests/docs.rs compares it with",
    ),
    ("docs/kubectl.md", "$ kubectl shopify-token status web", "the same"),
    ("docs/kubectl.md", "$ kubectl shopify-token inspect", "the same"),
    ("docs/kubectl.md", "$ kubectl shopify-token migrate", "the same"),
    ("sim/README.md", "shopify-sim", "stays in the foreground; sim/tests starts it and asks what it was asked"),
];

/// Commands in sentences that aren't run, in the same way.
const NAMED: &[(&str, &str, &str)] = &[
    ("README.md", "kubectl -n shopify-token-operator describe pods", "pods need a kubelet"),
    ("README.md", "kubectl -n shopify-token-operator logs", "a log needs a kubelet"),
    ("docs/install.md", "kubectl -n shopify-token-operator describe pods", "the same"),
    ("docs/install.md", "kubectl -n shopify-token-operator logs", "the same"),
    ("docs/upgrade.md", "kubectl -n shopify-token-operator logs", "the same"),
    ("docs/install.md", "helm template --no-hooks", "an option of a command that is the reader's"),
    ("docs/install.md", "helm uninstall --timeout", "the same"),
    (
        "docs/reference.md",
        "kubectl argo rollouts restart",
        "a plugin of Argo Rollouts, with which something is compared",
    ),
    ("docs/tour.md", "kubectl get stok --watch", "doesn't end"),
    ("docs/upgrade.md", "kubectl apply --server-side -k .", "the one of docs/install.md, which is run"),
];

const SHOP: &str = "acme.myshopify.com";
const CLIENT: &str = "3bf1b2f57d4a4e6d9a4e1f0c8b7a6d5e";
const CUSTOMERS: &str = "shp_6b1e7a52-0c3d-4f8e-9a6b-2d5c8e1f7a90";
const SECRET: &str = "shpss_0123456789abcdef0123456789abcdef";
const PERMANENT: &str = "shpat_0123456789abcdef0123456789abcdef";

/// What the pages' app, its predecessor in a cron job, an older app and a client of customer accounts are at Shopify.
async fn shopify() -> Sim {
    let mut legacy = AppConfig::new("legacy", "shpss_unused").installed(SHOP, ["read_orders"]);
    legacy.installations[0].admin_token = Some(PERMANENT.to_owned());
    let scopes = ["read_products", "unauthenticated_read_product_listings"];
    let config = Config::default()
        .shop(ShopConfig::new(SHOP).customer_client(CustomerClientConfig::confidential(CUSTOMERS, SECRET)))
        .app(AppConfig::new(CLIENT, SECRET).installed(SHOP, scopes))
        .app(AppConfig::new("0123456789abcdef0123456789abcdef", SECRET).installed(SHOP, scopes))
        .app(legacy);
    Sim::start(config).await.unwrap()
}

/// Says of each pod that it runs.
fn kubelet(client: Client) -> JoinHandle<()> {
    let ready = json!({"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"});
    let runs = Patch::Merge(json!({"status": {"phase": "Running", "conditions": [ready]}}));
    tokio::spawn(async move {
        // Until the cluster ends.
        while let Ok(all) = Api::<Pod>::all(client.clone()).list(&ListParams::default()).await {
            for pod in all {
                let pods: Api<Pod> = Api::namespaced(client.clone(), &pod.namespace().unwrap());
                // It may have been removed meanwhile.
                drop(pods.patch_status(&pod.name_any(), &PatchParams::default(), &runs).await);
            }
            sleep(Duration::from_millis(200)).await;
        }
    })
}

/// The Deployment's container, which finds the simulated Shopify.
async fn operator(world: &World, sim: &Sim, dir: &Path) -> Running {
    let deployments: Api<Deployment> = Api::namespaced(world.client.clone(), OPERATOR);
    let pod = deployments.get(OPERATOR).await.unwrap().spec.unwrap().template.spec.unwrap();
    let ca = dir.join("shopify.pem");
    fs::write(&ca, sim.ca_pem()).unwrap();
    let mut command = world.container(OPERATOR, &pod, dir).await;
    command.env("SHOPIFY_CONNECT_TO", sim.address().to_string()).env("SHOPIFY_CA_FILE", ca);
    ready_at(world, command).await
}

/// By kustomize, from there to Helm, and away again.
async fn kustomize(reader: &mut Reader) {
    let page = "docs/install.md";
    let kustomization = shown("install.md", "With kustomize").swap_remove(0).replace("path/to/this/repository/", "");
    fs::write(reader.dir.path().join("kustomization.yaml"), kustomization).unwrap();
    reader.runs(page, "kubectl apply --server-side -k .\nkubectl").await;
    reader.runs(page, "kubectl apply --server-side -k .").await;
    reader.does(page, "kubectl -n shopify-token-operator delete deployment", &[]).await;
    let release = "shopify-token-operator deploy/chart --namespace shopify-token-operator";
    reader.does(page, "helm install … --take-ownership", &[("…", release)]).await;
    reader.does(page, "helm show values", &[]).await;
    away(reader).await;
}

async fn away(reader: &Reader) {
    reader.prepares("helm uninstall shopify-token-operator -n shopify-token-operator --no-hooks").await;
    reader.prepares("kubectl delete namespace shopify-token-operator").await;
}

async fn install(reader: &mut Reader) {
    reader.runs("README.md", "helm install").await;
    away(reader).await;
    reader.runs("docs/install.md", "kubectl create namespace").await;
}

async fn begin(reader: &mut Reader) {
    reader.does("README.md", "kubectl create namespace shop", &[]).await;
    reader.prepares("kubectl config set-context --current --namespace shop").await;
    reader.does("README.md", "kubectl -n shop apply", &[]).await;
    for (source, token) in [
        ("client-credentials", "admin"),
        ("custom", "legacy"),
        ("customer-account", "customers"),
        ("delegate", "reports"),
        ("storefront", "web"),
    ] {
        let told = reader.runs(&format!("docs/sources/{source}.md"), "kubectl -n shop apply").await;
        assert!(told.ends_with(&format!("shopifytoken.tokens.shopify-operator.dev/{token} condition met\n")), "{told}");
    }
    reader.does("README.md", "kubectl -n shop wait", &[]).await;
    reader.does("README.md", "kubectl -n shop describe", &[]).await;
}

async fn look(reader: &mut Reader) {
    for (page, begins) in [
        ("docs/README.md", "kubectl get stok"),
        ("docs/reasons.md", "kubectl describe"),
        ("docs/kubectl.md", "kubectl shopify-token rotate --all"),
        ("docs/kubectl.md", "kubectl shopify-token completion"),
        ("docs/upgrade.md", "kubectl get stok,sapp"),
        ("docs/install.md", "helm upgrade"),
        ("docs/upgrade.md", "helm upgrade"),
        ("docs/upgrade.md", "helm rollback"),
    ] {
        reader.runs(page, begins).await;
    }
    // Its first line shows a log, which needs a kubelet.
    reader.runs_rest("docs/upgrade.md", "kubectl -n shopify-token-operator logs").await;
    // One that waits for a person: nobody has filled it in.
    reader.prepares("kubectl apply -f deploy/samples/offline.yaml").await;
    reader.prepares("kubectl wait --for=condition=Stalled stok/backoffice").await;
    for (begins, code) in [("$ kubectl shopify-token rotate web --wait", 0), ("$ kubectl shopify-token check", 4)] {
        reader.sees("docs/kubectl.md", begins, code).await;
    }
}

/// What sentences say.
async fn heed(reader: &mut Reader) {
    for (page, begins, filled) in [
        ("docs/guides/rotate-a-client-secret.md", "kubectl describe stok", &[][..]),
        ("docs/guides/rotate-a-client-secret.md", "kubectl get stok -A", &[]),
        ("docs/monitoring.md", "kubectl -n NAMESPACE describe stok NAME", &[("NAMESPACE", "shop"), ("NAME", "admin")]),
        ("docs/monitoring.md", "kubectl get stok -A", &[]),
        ("docs/monitoring.md", "kubectl -n shopify-token-operator get pods,lease", &[]),
        ("docs/reasons.md", "kubectl describe secret", &[]),
        ("docs/reasons.md", "kubectl describe stok <admin token>", &[("<admin token>", "admin")]),
        ("docs/reasons.md", "kubectl get namespace <the token's>", &[("<the token's>", "shop")]),
        ("docs/reasons.md", "kubectl events", &[]),
        ("docs/reasons.md", "kubectl get secret <name>", &[("<name>", "admin")]),
        ("docs/reference.md", "kubectl events", &[]),
        ("docs/reference.md", "kubectl explain", &[]),
        ("docs/security.md", "kubectl get stok -A -o wide", &[]),
        ("docs/sources.md", "kubectl get sapp", &[]),
        ("docs/sources/offline.md", "kubectl get stok backoffice", &[]),
        ("docs/sources/storefront.md", "kubectl describe stok admin", &[]),
        ("docs/upgrade.md", "kubectl apply --server-side -k crds", &[]),
        ("docs/upgrade.md", "kubectl get stok,sapp", &[]),
        ("docs/upgrade.md", "kubectl -n shopify-token-operator get lease", &[]),
    ] {
        reader.does(page, begins, filled).await;
    }
    let kept = fs::read_to_string(reader.dir.path().join("before-rollback.yaml")).unwrap();
    assert!(["kind: ShopifyToken\n", "kind: ShopifyApp\n"].iter().all(|kind| kept.contains(kind)), "{kept}");

    reader.does("docs/security.md", "kubectl patch stok/web", &[]).await;
    let done = "kubectl wait --for=jsonpath='{.status.lastHandledTrigger}'=leaked-2026-11-29 stok/web --timeout=1m";
    reader.prepares(done).await;

    reader.prepares("kubectl create namespace scratch; kubectl config set-context --current --namespace scratch").await;
    reader.does("docs/sources.md", "kubectl create secret generic acme-app", &[("…", "x")]).await;
    reader.prepares("kubectl config set-context --current --namespace shop").await;
}

async fn migrate(reader: &mut Reader) {
    let page = "docs/guides/migrate.md";
    let text = fs::read_to_string(Path::new(ROOT).join(page)).unwrap();
    for (example, file) in [("cron", "cron.yaml"), ("eso", "external-secrets.yaml")] {
        let (_, given) = text.split_once(&format!("<!-- from {example} -->\n```yaml\n")).unwrap();
        fs::write(reader.dir.path().join(file), given.split_once("```").unwrap().0).unwrap();
    }
    reader.prepares("kubectl apply -f cron.yaml").await;
    reader.does(page, "kubectl get secret cron", &[]).await;
    reader.runs(page, "kubectl shopify-token migrate secret/cron").await;
    // Its comment has commands to be run first.
    reader.prepares("sed -n '/^# kubectl create/,/^#$/s/^# //p' shopify.yaml | bash -eu").await;
    reader.runs(page, "kubectl apply -f shopify.yaml").await;
    reader.runs(page, "kubectl shopify-token migrate webhook/shopify -f").await;
    reader.prepares("kubectl -n shop create cronjob token --image=token --schedule='0 0 * * *'").await;
    reader.does(page, "kubectl -n shop patch cronjob NAME", &[("NAME", "token")]).await;
    let suspended = reader.prepares("kubectl -n shop get cronjob token -o jsonpath='{.spec.suspend}'").await;
    assert_eq!(suspended, "true");
}

async fn rotate(reader: &mut Reader, sim: &Sim) {
    let page = "docs/guides/rotate-a-client-secret.md";
    let new = "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";
    let at_once = r#"
kubectl create namespace apps
kubectl -n apps apply -f deploy/samples/app.yaml -f deploy/samples/client_credentials.yaml
kubectl -n apps patch sapp acme --type merge -p '{"spec":{"secretRotation":{"within":"1s"}}}'
kubectl -n apps patch stok admin --type merge -p '{"spec":{"rotation":{"overlap":"15s"}}}'
kubectl -n apps wait --for=condition=Ready stok/admin sapp/acme"#;
    reader.prepares(at_once).await;
    reader.runs(page, "kubectl get sapp acme").await;
    sim.add_secret(CLIENT, new).unwrap();
    reader.types(page, "read -rs NEW", &format!("{new}\n")).await;
    reader.runs(page, "kubectl wait").await;
    reader.runs(page, "kubectl get sapp acme").await;

    sim.add_customer_secret(SHOP, CUSTOMERS, new).unwrap();
    let another = format!(
        r#"kubectl patch stok customers --type merge -p '{{"spec":{{"rotation":{{"overlap":"1s"}}}}}}'
kubectl patch secret headless-client --type merge -p '{{"stringData":{{"client_secret":"{new}"}}}}'"#
    );
    reader.prepares(&another).await;
    reader.runs("docs/reference.md", "now=").await;
}

async fn govern(reader: &mut Reader) {
    reader.prepares("kubectl create namespace argocd; kubectl create configmap argocd-cm -n argocd").await;
    reader.runs("docs/guides/gitops.md", "kubectl patch configmap").await;
    for begins in ["kubectl annotate namespace", "kubectl apply -f deploy/policies/sources.yaml"] {
        reader.runs("docs/guides/admission-policies.md", begins).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_of_the_pages_do_what_they_are_for() {
    let world = World::new().await;
    if !has_controllers(&world.cluster) {
        return;
    }
    let (sim, mut reader) = (shopify().await, Reader::new(&world));
    for (page, begins, _) in EXPLAINED {
        reader.next(page, begins);
    }
    for (page, begins, _) in NAMED {
        reader.next_said(page, begins);
    }
    let kubelet = kubelet(world.client.clone());
    kustomize(&mut reader).await;
    install(&mut reader).await;
    let dir = tempfile::tempdir().unwrap();
    let _operator = operator(&world, &sim, dir.path()).await;
    begin(&mut reader).await;
    look(&mut reader).await;
    heed(&mut reader).await;
    migrate(&mut reader).await;
    rotate(&mut reader, &sim).await;
    govern(&mut reader).await;
    reader.runs("docs/install.md", "kubectl delete -f crds").await;
    assert_eq!(sim.live_storefront_tokens(SHOP, CLIENT).len(), 0, "the last block is for the end");
    kubelet.abort();

    reader.open.retain(|_, blocks| !blocks.is_empty());
    assert!(reader.open.is_empty(), "neither run nor explained in tests/deploy/pages.rs: {:#?}", reader.open);
    reader.said.retain(|_, commands| !commands.is_empty());
    assert!(reader.said.is_empty(), "neither run nor named in tests/deploy/pages.rs: {:#?}", reader.said);
}
