//! The rights of `src/rbac.rs`: every one is used in a full life, where it is granted, and no other is needed; of the operator
//! of the whole cluster, and of one that has its own namespace only.

use std::collections::BTreeSet;

use dev::{LocalCluster, Manifests, Options};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Namespace, Secret},
    rbac::v1::{ClusterRole, ClusterRoleBinding},
};
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use shopify_token_operator::{
    api::ShopifyApp,
    rbac::{GRANTS, LEASES, ROLLOUTS, Rule, WATCHED},
};

use crate::{
    audit::{self, Mark, Request},
    canary::every_other_source,
    operator::{OPERATOR, Operator, command},
    world::World,
};

/// Where, a verb, and a resource with group and subresource.
type Right = (&'static str, String, String);

/// Of whom a right is: a namespace that is watched, the cluster, the operator's own namespace.
const PLACES: [(&str, &[Rule]); 4] =
    [("watched", WATCHED), ("watched", ROLLOUTS), ("cluster", GRANTS), ("own", LEASES)];

/// By the table.
fn granted() -> BTreeSet<Right> {
    let mut rights = BTreeSet::new();
    for (place, rule) in PLACES.iter().flat_map(|(place, rules)| rules.iter().map(move |rule| (*place, rule))) {
        for resource in rule.resources {
            let group = if rule.group.is_empty() { String::new() } else { format!("{}/", rule.group) };
            rights.extend(rule.verbs.iter().map(|verb| (place, (*verb).to_owned(), format!("{group}{resource}"))));
        }
    }
    rights
}

fn used(request: Request) -> Right {
    let place = match (request.resource.as_str(), request.namespace.as_str()) {
        ("namespaces", _) => "cluster",
        (_, OPERATOR) => "own",
        _ => "watched",
    };
    (place, request.verb, request.resource)
}

/// As some clusters have it (`OpenShift`): who sets an owner reference that blocks the owner's deletion needs a right on the owner.
const ENFORCEMENT: &str = "--enable-admission-plugins=OwnerReferencesPermissionEnforcement";

/// A cluster whose audit log has one operator's requests and no other's, and where every right is asked for.
async fn a_cluster() -> LocalCluster {
    let crds = vec![Manifests::Path(format!("{}/crds", env!("CARGO_MANIFEST_DIR")).into())];
    let apiserver_flags = vec![ENFORCEMENT.to_owned()];
    LocalCluster::start(Options { crds, apiserver_flags, quiet: true, ..Options::default() }).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_verbs_used_are_the_verbs_granted() {
    let local = a_cluster().await;
    let world = World::on(Box::leak(Box::new(dev::Cluster::clone(&local))), "rbac").await;
    let operator = Operator::cluster_wide(&world, &[]).await;
    world.make_app().await;
    let platform = an_app_elsewhere(&world).await;
    a_life(&world, vec![a_rollout(&world).await]).await;
    let last = one_token(platform).await;

    // All the rest goes at once with its namespace.
    let namespaces: Api<Namespace> = Api::all(world.admin.clone());
    namespaces.delete(&world.namespace, &DeleteParams::default()).await.unwrap();
    world
        .eventually("the namespace is gone", async || namespaces.get_opt(&world.namespace).await.unwrap().is_none())
        .await;
    assert_eq!(world.live().len(), 1, "revoked on the way, but for the one of another namespace");
    operator.stop().await;
    uninstall(&world).await;
    assert_eq!(world.live(), [], "revoked at last");
    let left = last.tokens().list(&ListParams::default()).await.unwrap();
    assert!(left.items.len() == 2 && left.items.iter().all(|token| token.metadata.finalizers.is_none()), "{left:?}");

    compare(&world, &granted());
}

/// The operator of one namespace has what `deploy/overlays/namespaced` gives it, and asks for nothing beyond that namespace.
#[tokio::test(flavor = "multi_thread")]
async fn the_verbs_used_in_one_namespace_are_those_granted_there() {
    let local = a_cluster().await;
    let mut world = World::on(Box::leak(Box::new(dev::Cluster::clone(&local))), "rbac").await;
    world.namespace = OPERATOR.to_owned();
    let granted = confine(&world).await;
    let operator = Operator::start(&world, &[]).await;
    world.make_app().await;
    a_life(&world, Vec::new()).await;

    world.tokens().delete_collection(&DeleteParams::default(), &ListParams::default()).await.unwrap();
    world
        .eventually("the tokens are gone", async || {
            world.tokens().list(&ListParams::default()).await.unwrap().items.is_empty()
        })
        .await;
    world.remove::<ShopifyApp>("acme").await;
    world.eventually("the app is gone", async || !world.exists::<ShopifyApp>("acme").await).await;
    assert_eq!(world.live(), [], "revoked");
    operator.stop().await;
    compare(&world, &granted);
}

/// The references to a Secret's owner take no right there, for they block no deletion.
#[tokio::test(flavor = "multi_thread")]
async fn owner_references_take_no_right() {
    let local = a_cluster().await;
    let world = World::on(Box::leak(Box::new(dev::Cluster::clone(&local))), "owners").await;
    let operator = Operator::cluster_wide(&world, &[]).await;
    world.make_app().await;
    world.admin_token("admin").await;
    world.ready("admin").await;
    let mut owners = world.api::<Secret>().get("admin").await.unwrap().metadata.owner_references.unwrap();
    assert_eq!(owners.iter().map(|owner| owner.block_owner_deletion).collect::<Vec<_>>(), [None]);

    // One that does is refused to the same account.
    owners[0].block_owner_deletion = Some(true);
    let secret = serde_json::from_value(json!({"metadata": {"name": "blocks", "ownerReferences": owners}})).unwrap();
    let client = Client::try_from(world.operator_config().await).unwrap();
    let secrets: Api<Secret> = Api::namespaced(client, &world.namespace);
    let refused = secrets.create(&PostParams::default(), &secret).await.unwrap_err().to_string();
    assert!(refused.contains("cannot set blockOwnerDeletion"), "{refused}");
    operator.stop().await;
}

/// Takes the rights of the whole cluster away, and gives those of the overlay for one namespace: which that are.
async fn confine(world: &World) -> BTreeSet<Right> {
    let bindings: Api<ClusterRoleBinding> = Api::all(world.admin.clone());
    for name in [OPERATOR, "shopify-token-operator-grants"] {
        bindings.delete(name, &DeleteParams::default()).await.unwrap();
    }
    let overlay = dev::repository("deploy/overlays/namespaced");
    let objects = world.cluster.kustomization(&overlay).unwrap();
    let roles: Vec<Value> =
        objects.into_iter().filter(|object| object["kind"].as_str().unwrap().contains("Role")).collect();
    let kinds: BTreeSet<_> = roles.iter().map(|role| role["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["Role", "RoleBinding"].into(), "none of the cluster");
    let text = roles.iter().map(Value::to_string).collect::<Vec<_>>().join("\n---\n");
    world.cluster.apply(&Manifests::Yaml(text), OPERATOR).await.unwrap();
    roles.iter().flat_map(|role| role["rules"].as_array().into_iter().flatten()).flat_map(rights_of).collect()
}

/// What a rule of a Role grants in the operator's own namespace.
fn rights_of(rule: &Value) -> Vec<Right> {
    let words = |field: &str| rule[field].as_array().unwrap().iter().map(|word| word.as_str().unwrap());
    let mut rights = Vec::new();
    for (group, resource) in words("apiGroups").flat_map(|group| words("resources").map(move |it| (group, it))) {
        let resource = if group.is_empty() { resource.to_owned() } else { format!("{group}/{resource}") };
        rights.extend(words("verbs").map(|verb| ("own", verb.to_owned(), resource.clone())));
    }
    rights
}

/// What the operator asked for is what it is granted, both ways, and nothing was refused.
fn compare(world: &World, granted: &BTreeSet<Right>) {
    let requests = audit::since(world.cluster, Mark::START);
    let refused: Vec<_> =
        requests.iter().filter(|r| r.code == 403 && !r.message.contains("because it is being terminated")).collect();
    assert!(refused.is_empty(), "{refused:#?}");
    let used: BTreeSet<Right> = requests.into_iter().filter(|r| r.code != 403).map(used).collect();
    let unused: Vec<_> = granted.difference(&used).collect();
    let unexpected: Vec<_> = used.difference(granted).collect();
    assert!(unused.is_empty() && unexpected.is_empty(), "granted, never used: {unused:?}; used: {unexpected:?}");
}

/// The Job of `deploy/uninstall`, as a process.
async fn uninstall(world: &World) {
    let kubeconfig = world.cluster.service_account_kubeconfig(OPERATOR, OPERATOR).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut command = command(world, &dir, &kubeconfig);
    let ended = command.arg("uninstall").env("SHOPIFY_CONNECT_TO", world.sim.address().to_string()).status().await;
    assert!(ended.unwrap().success(), "{}", std::fs::read_to_string(dir.path().join("stderr")).unwrap());
}

/// Another namespace, with an app that is granted to this one; a token is issued with it.
async fn an_app_elsewhere(world: &World) -> World {
    let platform = world.beside("rbac-platform", json!({})).await;
    platform.make_app().await;
    let namespaces = json!({"matchLabels": {"kubernetes.io/metadata.name": world.namespace}});
    let spec = json!({"credentialsRef": {"name": "acme-app"}, "grants": [{"namespaces": namespaces}]});
    platform.apply(json!({"kind": "ShopifyApp", "metadata": {"name": "acme"}, "spec": spec})).await;
    let granted = json!({"name": "acme", "namespace": platform.namespace});
    world.token("granted", json!({"source": {"clientCredentials": {"appRef": granted}}})).await;
    world.ready("granted").await;
    platform
}

/// A storefront token there, which is left when all else goes.
async fn one_token(platform: World) -> World {
    platform.admin_token("admin").await;
    platform.storefront("web", json!({})).await;
    platform.ready("web").await;
    platform
}

/// A target of Argo Rollouts, and the right to restart it that `deploy/components/argo-rollouts` adds.
async fn a_rollout(world: &World) -> Value {
    let definition = dev::repository("tests/stories/argo_rollouts.crd.yaml");
    world.cluster.apply(&Manifests::Path(definition), OPERATOR).await.unwrap();
    let rollout =
        json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": {"name": "web"}, "spec": {}});
    apply_workload(world, "rollouts", &rollout).await;
    let patch = std::fs::read_to_string(dev::repository("deploy/components/argo-rollouts/rules.yaml")).unwrap();
    let patch = Patch::<()>::Json(serde_saphyr::from_str(&patch).unwrap());
    let roles: Api<ClusterRole> = Api::all(world.admin.clone());
    roles.patch(OPERATOR, &PatchParams::default(), &patch).await.unwrap();
    json!({"kind": "Rollout", "name": "web"})
}

/// Every source; issue, rotate with rollouts, repair, fail twice in the same way, change the Secret's name, delete.
async fn a_life(world: &World, mut targets: Vec<Value>) {
    let template =
        json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": "web"}]}});
    for (kind, plural) in [("Deployment", "deployments"), ("StatefulSet", "statefulsets"), ("DaemonSet", "daemonsets")]
    {
        let spec = json!({"selector": {"matchLabels": {"app": "web"}}, "template": template});
        let workload = json!({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "web"}, "spec": spec});
        apply_workload(world, plural, &workload).await;
        targets.push(json!({"kind": kind, "name": "web"}));
    }
    let storefront = json!({"storefront": {"adminTokenRef": {"name": "admin"}}});
    world.token("admin", json!({"source": {"clientCredentials": {"appRef": {"name": "acme"}}}})).await;
    let rotation = json!({"overlap": "1s"});
    world.token("web", json!({"source": storefront, "rotation": rotation, "rolloutRestartTargets": targets})).await;
    world.token("stays", json!({"source": storefront})).await;
    for name in ["web", "stays"] {
        world.ready(name).await;
    }

    let rotate = json!({"metadata": {"annotations": {"tokens.shopify-operator.dev/rotate-at": "1"}}});
    world.change("web", rotate).await;
    world.until("web", "rotated", |t| t.status.as_ref().unwrap().revision == Some(2)).await;
    world.ready("web").await;
    let restarted = async || {
        let deployment = world.api::<Deployment>().get("web").await.unwrap();
        deployment.spec.unwrap().template.metadata.unwrap().annotations.is_some()
    };
    world.eventually("restarted", restarted).await;

    // Twice the same repair: the second is counted in the first one's event.
    for edited in ["1", "2"] {
        let patch = Patch::Merge(json!({"stringData": {"shop_domain": edited}}));
        world.api::<Secret>().patch("stays", &PatchParams::default(), &patch).await.unwrap();
        world.eventually("repaired", async || world.secret("stays").await.unwrap().data["shop_domain"] != edited).await;
    }
    world.change("web", json!({"spec": {"secret": {"name": "renamed"}}})).await;
    world.eventually("the old Secret is left", async || !world.exists::<Secret>("web").await).await;
    world.delete("web").await;
    world.gone("web").await;
    others(world).await;
}

/// What the others read and write when they begin, and when they are rotated.
async fn others(world: &World) {
    every_other_source(world).await;
    for name in ["delegate", "offline"] {
        let before = world.ready(name).await.status.unwrap().revision;
        world.change(name, json!({"metadata": {"annotations": {"tokens.shopify-operator.dev/rotate-at": "1"}}})).await;
        world.until(name, "rotated", |token| token.status.as_ref().unwrap().revision > before).await;
    }
}

async fn apply_workload(world: &World, plural: &str, workload: &Value) {
    let version = workload["apiVersion"].as_str().unwrap();
    let uri = format!("/apis/{version}/namespaces/{}/{plural}", world.namespace);
    let request =
        http::Request::post(uri).header("content-type", "application/json").body(serde_json::to_vec(workload).unwrap());
    world.admin.request::<Value>(request.unwrap()).await.unwrap();
}
