//! The API server restarts, an object can't be read: the rest goes on.

use std::time::Duration;

use dev::{LocalCluster, Manifests, Options};
use k8s_openapi::{
    api::{
        core::v1::Secret,
        rbac::v1::{ClusterRoleBinding, RoleBinding},
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api,
    api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams},
    core::{ApiResource, GroupVersionKind},
};
use serde_json::json;
use shopify_sim::{Fault, FaultKind};
use shopify_token_operator::controller::{self, key::ObjectKey};

use crate::{
    operator::{ALONE, OPERATOR, Operator},
    world::{SHOP, World, condition, message},
};

const TOKENS: &str = "shopifytokens.tokens.shopify-operator.dev";
const APPS: &str = "shopifyapps.tokens.shopify-operator.dev";

/// A cluster of its own: what happens to it would disturb other tests.
async fn cluster(name: &str) -> (LocalCluster, World) {
    let crds = vec![Manifests::Path(format!("{}/crds", env!("CARGO_MANIFEST_DIR")).into())];
    let local = LocalCluster::start(Options { crds, quiet: true, ..Options::default() }).await.unwrap();
    let world = World::on(Box::leak(Box::new(dev::Cluster::clone(&local))), name).await;
    world.make_app().await;
    (local, world)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_restarts_costs_no_second_issue() {
    let (mut local, world) = cluster("restarts").await;
    let operator = Operator::start(&world, &[ALONE]).await;
    let grant = json!({"source": {"clientCredentials": {"appRef": {"name": "acme"}}}});
    world.token("admin", grant.clone()).await;
    world.ready("admin").await;
    // The answers come while nothing can be written.
    for operation in ["oauth.clientCredentials", "admin.storefrontAccessTokenCreate"] {
        world.sim.inject(Fault::new(operation, FaultKind::Delay(Duration::from_secs(2))).times(1));
    }
    for n in 0..4 {
        world.token(&format!("cc-{n}"), grant.clone()).await;
        world.token(&format!("sf-{n}"), json!({"source": {"storefront": {"adminTokenRef": {"name": "admin"}}}})).await;
    }
    world.eventually("calls under way", async || world.sim.calls("oauth.clientCredentials") > 1).await;
    local.restart_apiserver().await.unwrap();
    for n in 0..4 {
        world.ready(&format!("cc-{n}")).await;
        world.ready(&format!("sf-{n}")).await;
    }
    assert_eq!(world.sim.calls("oauth.clientCredentials"), 5);
    assert_eq!(world.sim.calls("admin.storefrontAccessTokenCreate"), 4);
    assert_eq!(world.live().len(), 4);

    // Every watch is back: a change in a Secret, a new object.
    local.restart_apiserver().await.unwrap();
    world.secret_of("sf-0", &[("shop_domain", "edited")]).await;
    world.eventually("repaired", async || world.secret("sf-0").await.unwrap().data["shop_domain"] == SHOP).await;
    world.token("late", grant).await;
    world.ready("late").await;
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_that_goes_back_is_noticed() {
    let (mut local, world) = cluster("restored").await;
    let operator = Operator::start(&world, &[ALONE]).await;
    let grant = json!({"source": {"clientCredentials": {"appRef": {"name": "acme"}}}});
    world.token("before", grant.clone()).await;
    world.ready("before").await;
    local.back_up().await.unwrap();
    // What is written from here on is forgotten, and its versions are given again.
    for n in 0..60 {
        world.secret_of("noise", &[("n", &n.to_string())]).await;
    }
    world.token("forgotten", grant.clone()).await;
    world.ready("forgotten").await;
    local.restore().await.unwrap();
    world.token("after", grant).await;
    world.ready("after").await;
    world.secret_of("before", &[("shop_domain", "edited")]).await;
    world.eventually("repaired", async || world.secret("before").await.unwrap().data["shop_domain"] == SHOP).await;
    let log = operator.log();
    assert!(log.contains("history went back"), "{log}");
    operator.until("ready", async |it| it.get("/readyz").await.is_some_and(|(code, _)| code == 200)).await;
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_without_rights_is_named_and_stops_no_other() {
    let (_local, world) = cluster("rights").await;
    // Its rights are bound in one of two namespaces only.
    Api::<ClusterRoleBinding>::all(world.admin.clone()).delete(OPERATOR, &DeleteParams::default()).await.unwrap();
    let binding = json!({
        "metadata": {"name": OPERATOR},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": OPERATOR},
        "subjects": [{"kind": "ServiceAccount", "name": OPERATOR, "namespace": OPERATOR}],
    });
    let binding: RoleBinding = serde_json::from_value(binding).unwrap();
    world.api::<RoleBinding>().create(&PostParams::default(), &binding).await.unwrap();
    let other = world.cluster.create_namespace("no-rights").await.unwrap();
    let kubeconfig = world.cluster.service_account_kubeconfig(OPERATOR, OPERATOR).await.unwrap();
    let to = world.sim.address().to_string();
    let namespaces = format!("--watch-namespaces={other},{}", world.namespace);
    let operator = Operator::begin(&world, &kubeconfig, &[&namespaces, ALONE], &[("SHOPIFY_CONNECT_TO", &to)]).await;
    world.token("web", json!({"source": {"clientCredentials": {"appRef": {"name": "acme"}}}})).await;
    world.ready("web").await;
    world.ready_app("acme").await;
    let named = format!("namespace \"{other}\": the API server answered 403 (Forbidden)");
    operator
        .until("saying what is missing", async |it| {
            it.get("/readyz").await.is_some_and(|(code, text)| code == 503 && text.contains(&named))
        })
        .await;
    // Nor does it hold the end up.
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_cant_be_read_leaves_the_others_alone() {
    let (_local, world) = cluster("unreadable").await;
    let grant = json!({"source": {"clientCredentials": {"appRef": {"name": "acme"}}}});
    let bad = unreadable(&world).await;
    let operator = Operator::start(&world, &[ALONE]).await;
    world.token("web", grant.clone()).await;
    world.ready("web").await;
    world.token("sf", json!({"source": {"storefront": {"adminTokenRef": {"name": "web"}}}})).await;
    world.ready("sf").await;
    // Finalizers go by a live list, with the unreadable ones in it.
    world.delete("sf").await;
    world.gone("sf").await;
    assert_eq!(world.live(), []);
    let invalid = [r#"kind="ShopifyToken""#, r#"result="invalid_object""#];
    operator.until("counting it", async |it| it.metric("controller_reconciles_total", &invalid).await >= 1.0).await;
    // Against its schema the API server takes no change of it, not even the end of a finalizer.
    open_schema(&world, TOKENS).await;
    bad.delete("bad", &DeleteParams::default()).await.unwrap();
    world.eventually("it is let go", async || bad.get_opt("bad").await.unwrap().is_none()).await;
    let told = async || world.events("bad").await.last().is_some_and(|e| e == "RevocationFailed");
    world.eventually("and that is told", told).await;
    assert!(world.events("bad").await.contains(&"IssueFailed".to_owned()), "nor is it passed over in silence");
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_a_source_that_is_unknown_is_let_go() {
    let (_local, world) = cluster("unknown-source").await;
    open_schema(&world, TOKENS).await;
    let kind = GroupVersionKind::gvk("tokens.shopify-operator.dev", "v1alpha1", "ShopifyToken");
    let tokens: Api<DynamicObject> =
        Api::namespaced_with(world.admin.clone(), &world.namespace, &ApiResource::from_gvk(&kind));
    let newer = json!({
        "apiVersion": "tokens.shopify-operator.dev/v1alpha1",
        "kind": "ShopifyToken",
        "metadata": {"name": "admin", "finalizers": ["tokens.shopify-operator.dev/in-use"]},
        "spec": {"shop": SHOP, "source": {"marketplace": {}}},
    });
    let apply = async || tokens.patch("admin", &PatchParams::apply("person"), &Patch::Apply(&newer)).await;
    world.eventually("the open schema counts", async || apply().await.is_ok()).await;
    let operator = Operator::start(&world, &[ALONE, "--revocation-timeout=5s"]).await;
    world.eventually("told", async || world.events("admin").await.contains(&"IssueFailed".to_owned())).await;
    world.storefront("web", json!({})).await;
    world.because("web", "Stalled", "DependencyInvalid").await;
    // Its deletion waits for somebody to mend that, and no longer than a revocation may take.
    world.delete("web").await;
    world.gone("web").await;
    tokens.delete("admin", &DeleteParams::default()).await.unwrap();
    world.eventually("it is let go", async || tokens.get_opt("admin").await.unwrap().is_none()).await;
    let told = async || world.events("admin").await.last().is_some_and(|e| e == "RevocationFailed");
    world.eventually("and that is told", told).await;
    operator.stop().await;

    apply().await.unwrap();
    let uninstalled = tokio::time::timeout(Duration::from_secs(30), controller::uninstall(world.setup().await));
    let done = uninstalled.await.expect("nothing to wait for").unwrap();
    assert_eq!(done.left.keys().map(ObjectKey::name).collect::<Vec<_>>(), ["admin"]);
    assert!(tokens.get("admin").await.unwrap().metadata.finalizers.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_cant_be_read_stalls_its_tokens_and_ends_after_them() {
    let (_local, world) = cluster("unreadable-app").await;
    let operator = Operator::start(&world, &[ALONE, "--revocation-timeout=8s"]).await;
    world.admin_token("admin").await;
    world.ready("admin").await;
    for name in ["web", "late"] {
        world.storefront(name, json!({})).await;
        world.ready(name).await;
    }
    open_schema(&world, APPS).await;
    let apps: Api<DynamicObject> = Api::namespaced_with(
        world.admin.clone(),
        &world.namespace,
        &ApiResource::from_gvk(&GroupVersionKind::gvk("tokens.shopify-operator.dev", "v1alpha1", "ShopifyApp")),
    );
    let admin_api = async |api: &str| {
        let patch = Patch::Merge(json!({"spec": {"adminApi": api}}));
        apps.patch("acme", &PatchParams::default(), &patch).await
    };
    world.eventually("the open schema counts", async || admin_api("Future").await.is_ok()).await;
    let token = world.because("admin", "Stalled", "DependencyInvalid").await;
    assert!(message(&token, "Stalled").contains("ShopifyApp \"acme\""), "{}", message(&token, "Stalled"));
    assert_eq!(condition(&token, "Ready"), Some(("True".into(), "Issued".into())));
    world.ready("web").await;
    // Without an admin token a deletion waits for somebody to mend the app.
    world.remove::<Secret>("admin").await;
    world.delete("web").await;
    world.because("web", "Stalled", "DependencyInvalid").await;
    world.eventually("told", async || world.events("acme").await.contains(&"IssueFailed".to_owned())).await;
    assert_eq!(world.live().len(), 2);
    admin_api("GraphQL").await.unwrap();
    world.gone("web").await;
    assert_eq!(world.live().len(), 1);
    // And no longer than a revocation may take; the app and its Secret stay as long.
    world.ready("admin").await;
    admin_api("Future").await.unwrap();
    world.because("admin", "Stalled", "DependencyInvalid").await;
    world.remove::<Secret>("admin").await;
    apps.delete("acme", &DeleteParams::default()).await.unwrap();
    world.remove::<Secret>("acme-app").await;
    world.a_while().await;
    assert!(world.exists::<Secret>("acme-app").await && apps.get_opt("acme").await.unwrap().is_some());
    world.delete("late").await;
    world.gone("late").await;
    world.eventually("the app is let go", async || apps.get_opt("acme").await.unwrap().is_none()).await;
    world.eventually("the Secret is let go", async || !world.exists::<Secret>("acme-app").await).await;
    operator.stop().await;
}

/// Nobody knows what it grants; and that it is there isn't told.
#[tokio::test(flavor = "multi_thread")]
async fn an_app_elsewhere_that_cant_be_read_is_like_none() {
    let (_local, world) = cluster("unreadable-elsewhere").await;
    let team = world.beside("unreadable-team", json!({"team": "web"})).await;
    let operator = Operator::cluster_wide(&world, &[ALONE]).await;
    let grants = json!([{"namespaces": {"matchLabels": {"team": "web"}}}]);
    let spec = json!({"credentialsRef": {"name": "acme-app"}, "grants": grants});
    world.apply(json!({"kind": "ShopifyApp", "metadata": {"name": "acme"}, "spec": spec})).await;
    for name in ["acme", "absent"] {
        let named = json!({"name": name, "namespace": world.namespace});
        team.token(name, json!({"source": {"clientCredentials": {"appRef": named}}})).await;
    }
    team.ready("acme").await;
    let absent = team.because("absent", "Stalled", "NotGranted").await;
    open_schema(&world, APPS).await;
    let kind = GroupVersionKind::gvk("tokens.shopify-operator.dev", "v1alpha1", "ShopifyApp");
    let apps: Api<DynamicObject> =
        Api::namespaced_with(world.admin.clone(), &world.namespace, &ApiResource::from_gvk(&kind));
    let admin_api = async |api: &str| {
        let patch = Patch::Merge(json!({"spec": {"adminApi": api}}));
        apps.patch("acme", &PatchParams::default(), &patch).await
    };
    world.eventually("the open schema counts", async || admin_api("Future").await.is_ok()).await;
    let token = team.because("acme", "Stalled", "NotGranted").await;
    assert_eq!(message(&token, "Stalled"), message(&absent, "Stalled"));
    assert_eq!(condition(&token, "Ready"), Some(("True".into(), "Issued".into())));
    admin_api("GraphQL").await.unwrap();
    team.ready("acme").await;
    operator.stop().await;
}

/// Lets the API server take anything for a kind. Returns the definition as it was.
async fn open_schema(world: &World, name: &str) -> CustomResourceDefinition {
    let crds: Api<CustomResourceDefinition> = Api::all(world.admin.clone());
    let crd = crds.get(name).await.unwrap();
    let mut open = crd.clone();
    let version = &mut open.spec.versions[0];
    version.selectable_fields = None;
    version.schema.as_mut().unwrap().open_api_v3_schema =
        Some(serde_json::from_value(json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})).unwrap());
    crds.replace(name, &PostParams::default(), &open).await.unwrap();
    crd
}

/// Stores a token as no release of ours would have let it in.
async fn unreadable(world: &World) -> Api<DynamicObject> {
    let crd = open_schema(world, TOKENS).await;
    let crds: Api<CustomResourceDefinition> = Api::all(world.admin.clone());

    let kind = GroupVersionKind::gvk("tokens.shopify-operator.dev", "v1alpha1", "ShopifyToken");
    let tokens: Api<DynamicObject> =
        Api::namespaced_with(world.admin.clone(), &world.namespace, &ApiResource::from_gvk(&kind));
    let bad = json!({
        "apiVersion": "tokens.shopify-operator.dev/v1alpha1",
        "kind": "ShopifyToken",
        "metadata": {"name": "bad", "finalizers": ["tokens.shopify-operator.dev/in-use"]},
        "spec": {"shop": 5, "source": "none"},
    });
    world
        .eventually("the open schema counts", async || {
            tokens.patch("bad", &PatchParams::apply("person"), &Patch::Apply(&bad)).await.is_ok()
        })
        .await;
    let mut closed = crds.get(TOKENS).await.unwrap();
    closed.spec = crd.spec;
    crds.replace(TOKENS, &PostParams::default(), &closed).await.unwrap();
    tokens
}
