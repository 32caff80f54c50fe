//! The rights of `deploy/`: every one is used in a full life, and no other is needed.

use std::collections::BTreeSet;

use dev::{LocalCluster, Manifests, Options};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Namespace, Secret},
    rbac::v1::PolicyRule,
};
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::{Value, json};

use crate::{
    audit::{self, Mark},
    operator::Operator,
    world::World,
};

/// A verb and a resource, with group and subresource.
type Right = (String, String);

/// Rights that no request shows.
const NOT_SEEN: [(&str, &str); 1] = [
    // Asked for by the admission plugin OwnerReferencesPermissionEnforcement (OpenShift), never by a request.
    ("update", "tokens.shopify-operator.dev/shopifytokens/finalizers"),
];

fn granted() -> BTreeSet<Right> {
    let mut rights = BTreeSet::new();
    for file in ["cluster_role", "grant_role", "lease_role"] {
        let path = format!("{}/deploy/base/{file}.yaml", env!("CARGO_MANIFEST_DIR"));
        for role in Manifests::Path(path.into()).objects().unwrap() {
            let rules: Vec<PolicyRule> = serde_json::from_value(role.data["rules"].clone()).unwrap_or_default();
            for rule in rules {
                for (group, resource) in rule.api_groups.iter().flatten().flat_map(|group| {
                    rule.resources.iter().flatten().map(move |resource| (group.as_str(), resource.as_str()))
                }) {
                    let resource = if group.is_empty() { resource.to_owned() } else { format!("{group}/{resource}") };
                    rights.extend(rule.verbs.iter().map(|verb| (verb.clone(), resource.clone())));
                }
            }
        }
    }
    rights
}

#[tokio::test(flavor = "multi_thread")]
async fn the_verbs_used_are_the_verbs_granted() {
    let crds = vec![Manifests::Path(format!("{}/crds", env!("CARGO_MANIFEST_DIR")).into())];
    let local = LocalCluster::start(Options { crds, quiet: true, ..Options::default() }).await.unwrap();
    let world = World::on(Box::leak(Box::new(dev::Cluster::clone(&local))), "rbac").await;
    let operator = Operator::cluster_wide(&world, &[]).await;
    world.make_app().await;
    a_life(&world).await;

    // All the rest goes at once with its namespace.
    let namespaces: Api<Namespace> = Api::all(world.admin.clone());
    namespaces.delete(&world.namespace, &DeleteParams::default()).await.unwrap();
    world
        .eventually("the namespace is gone", async || namespaces.get_opt(&world.namespace).await.unwrap().is_none())
        .await;
    assert_eq!(world.live(), [], "revoked on the way");
    operator.stop().await;

    let requests = audit::since(world.cluster, Mark::START);
    let refused: Vec<_> =
        requests.iter().filter(|r| r.code == 403 && !r.message.contains("because it is being terminated")).collect();
    assert!(refused.is_empty(), "{refused:#?}");
    let used: BTreeSet<Right> = requests.into_iter().filter(|r| r.code != 403).map(|r| (r.verb, r.resource)).collect();
    let granted = granted();
    assert!(granted.len() > 20, "the roles were read");
    let not_seen = NOT_SEEN.map(|(verb, resource)| (verb.to_owned(), resource.to_owned()));
    let unused: Vec<_> = granted.difference(&used).filter(|right| !not_seen.contains(right)).collect();
    let unexpected: Vec<_> = used.difference(&granted).collect();
    assert!(unused.is_empty() && unexpected.is_empty(), "granted, never used: {unused:?}; used: {unexpected:?}");
}

/// Issue, also with an app of another namespace, rotate with rollouts, repair, fail twice in the same way, change the
/// Secret's name, delete.
async fn a_life(world: &World) {
    let platform = world.beside("rbac-platform", json!({})).await;
    platform.make_app().await;
    let namespaces = json!({"matchLabels": {"kubernetes.io/metadata.name": world.namespace}});
    let spec = json!({"credentialsRef": {"name": "acme-app"}, "grants": [{"namespaces": namespaces}]});
    platform.apply(json!({"kind": "ShopifyApp", "metadata": {"name": "acme"}, "spec": spec})).await;
    let granted = json!({"name": "acme", "namespace": platform.namespace});
    world.token("granted", json!({"source": {"clientCredentials": {"appRef": granted}}})).await;
    world.ready("granted").await;
    let template =
        json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": "web"}]}});
    let mut targets = Vec::new();
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
}

async fn apply_workload(world: &World, plural: &str, workload: &Value) {
    let uri = format!("/apis/apps/v1/namespaces/{}/{plural}", world.namespace);
    let request =
        http::Request::post(uri).header("content-type", "application/json").body(serde_json::to_vec(workload).unwrap());
    world.admin.request::<Value>(request.unwrap()).await.unwrap();
}
