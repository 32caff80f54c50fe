//! What people may do who view, edit or administer a namespace: what the roles add to those of Kubernetes.

use std::time::Duration;

use dev::{Cluster, Manifests, shared_cluster, skipped};
use k8s_openapi::api::{
    authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec},
    rbac::v1::RoleBinding,
};
use kube::{Api, api::PostParams};
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::ROOT;

const OURS: &str = "tokens.shopify-operator.dev";
const PATIENCE: Duration = Duration::from_mins(1);

/// Whether roles are aggregated and Jobs get their pods; says so where they don't.
pub(crate) fn has_controllers(cluster: &Cluster) -> bool {
    if !cluster.has_controller_manager() {
        skipped("this cluster has no kube-controller-manager, which aggregates roles and runs Jobs");
    }
    cluster.has_controller_manager()
}

/// Binds a user to a role of the cluster, in a namespace.
pub(crate) async fn bind(cluster: &Cluster, namespace: &str, user: &str, role: &str) {
    let binding = json!({
        "metadata": {"generateName": "people-"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    });
    let bindings: Api<RoleBinding> = Api::namespaced(cluster.client().await.unwrap(), namespace);
    bindings.create(&PostParams::default(), &serde_json::from_value(binding).unwrap()).await.unwrap();
}

/// Whether a user may, by the API server's word; `resource` with its subresource after a slash.
async fn may(cluster: &Cluster, namespace: &str, user: &str, verb: &str, group: &str, resource: &str) -> bool {
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let attributes = ResourceAttributes {
        namespace: Some(namespace.into()),
        verb: Some(verb.into()),
        group: Some(group.into()),
        resource: Some(resource.into()),
        subresource: Some(subresource.into()),
        ..ResourceAttributes::default()
    };
    let spec = SubjectAccessReviewSpec {
        resource_attributes: Some(attributes),
        user: Some(user.into()),
        ..SubjectAccessReviewSpec::default()
    };
    let reviews: Api<SubjectAccessReview> = Api::all(cluster.client().await.unwrap());
    let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
    reviews.create(&PostParams::default(), &review).await.unwrap().status.unwrap().allowed
}

#[tokio::test]
async fn who_views_sees_no_secret_and_who_edits_edits() {
    let cluster = shared_cluster().unwrap();
    if !has_controllers(cluster) {
        return;
    }
    let namespace = cluster.create_namespace("users").await.unwrap();
    let roles = Manifests::Path(format!("{ROOT}/deploy/base/user_roles.yaml").into());
    cluster.apply(&roles, &namespace).await.unwrap();
    for role in ["view", "edit", "admin"] {
        bind(cluster, &namespace, role, role).await;
    }
    // kube-controller-manager aggregates.
    let deadline = Instant::now() + PATIENCE;
    for (user, verb) in [("view", "get"), ("edit", "create"), ("admin", "create")] {
        while !may(cluster, &namespace, user, verb, OURS, "shopifytokens").await {
            assert!(Instant::now() < deadline, "{user} may not {verb} ShopifyTokens");
            sleep(Duration::from_millis(100)).await;
        }
    }
    let (reads, writes) = (["get", "list", "watch"], ["create", "delete", "deletecollection", "patch", "update"]);
    for kind in ["shopifyapps", "shopifytokens"] {
        for user in ["view", "edit", "admin"] {
            for verb in reads {
                assert!(may(cluster, &namespace, user, verb, OURS, kind).await, "{user} may {verb} {kind}");
            }
            for verb in writes {
                let allowed = may(cluster, &namespace, user, verb, OURS, kind).await;
                assert_eq!(allowed, user != "view", "{user}: {verb} {kind}");
                // What the operator says is its own.
                assert!(!may(cluster, &namespace, user, verb, OURS, &format!("{kind}/status")).await, "{user}: {verb}");
            }
            assert!(!may(cluster, "default", user, "get", OURS, kind).await, "{user} in another namespace");
        }
    }
    for verb in reads {
        assert!(!may(cluster, &namespace, "view", verb, "", "secrets").await, "view: {verb} secrets");
    }
}
