//! What is wrong is told with what to do: no CRDs, no rights, no such object, two of one name, no cluster.

use std::fs;

use dev::{LocalCluster, Manifests, Options};
use serde_json::json;

use crate::{
    plugin::{command, of, plugin, run, unbroken},
    world::World,
};

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_isnt_there_is_named() {
    let world = World::new("missing").await;
    for line in [
        &["status", "none"][..],
        &["rotate", "none"],
        &["inspect", "secret", "none"],
        &["install-url", "none"],
        &["revoke", "none", "--yes"],
    ] {
        let run = plugin(&world, line).await;
        run.failed(3, &["ShopifyToken none not found in namespace missing-", "status -A"]);
    }
    plugin(&world, &["status", "-A", "none"]).await.failed(3, &["not found in any namespace"]);
    plugin(&world, &["rotate", "-l", "team=none"]).await.failed(3, &["no ShopifyToken is selected"]);
    plugin(&world, &["rotate"]).await.failed(2, &["required arguments"]);
    plugin(&world, &["status", "secret/web"]).await.failed(2, &["names no ShopifyToken"]);
    let empty = plugin(&world, &["status"]).await;
    assert_eq!((empty.code, empty.out.as_str()), (0, ""));
    assert!(empty.err.contains("No ShopifyTokens in namespace missing-"), "{empty:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_of_one_name_are_told_apart() {
    let world = World::new("twice").await;
    let other = world.beside("twice-other", json!({})).await;
    let name = format!("of-{}", world.namespace);
    for world in [&world, &other] {
        world.admin_token(&name).await;
    }
    let run = plugin(&world, &["rotate", "-A", &name]).await;
    let run = run.failed(3, &["2 ShopifyTokens are named", &world.namespace, &other.namespace, "-n instead of -A"]);
    assert_eq!(run.out, "", "neither was asked");
    plugin(&world, &["status", &name]).await.done();
    other.delete(&name).await;
    plugin(&world, &["status", "-A", &name]).await.done();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_rights_is_told_which() {
    let world = World::with_admin("rights").await;
    let text = world.cluster.service_account_kubeconfig(&world.namespace, "default").await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("kubeconfig");
    fs::write(&file, text).unwrap();
    let role = "ClusterRole view in that namespace";
    run(of(&file, &["status"])).await.failed(1, &["you may not list shopifytokens in namespace rights-", role]);
    run(of(&file, &["status", "admin"])).await.failed(1, &["you may not get shopifytokens", role]);
    run(of(&file, &["status", "-A"]))
        .await
        .failed(1, &["in every namespace", "ClusterRole view in every namespace (a ClusterRoleBinding)"]);
    run(of(&file, &["inspect", "secret", "secret/admin"])).await.failed(1, &["you may not get secrets"]);

    // Who may see may not act; --as is who asks.
    let view = json!([{"apiGroups": ["tokens.shopify-operator.dev"], "resources": ["shopifytokens"], "verbs": ["get", "list"]}]);
    drop(world.setup_with_rights(view).await);
    let account = format!("system:serviceaccount:{}:other-rights", world.namespace);
    plugin(&world, &["status", "--as", &account]).await.done();
    let run = plugin(&world, &["rotate", "admin", "--as", &account]).await;
    run.failed(1, &["you may not patch shopifytokens", "ClusterRole edit in that namespace"]);
    plugin(&world, &["status", "--watch", "--as", &account]).await.failed(1, &["you may not watch shopifytokens"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_cluster_the_kubeconfig_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let absent = dir.path().join("absent");
    let looked = format!("no kubeconfig is there ({})", absent.display());
    let told = run(of(&absent, &["status"])).await;
    let told = told.failed(1, &["no cluster to talk to", &looked, "--kubeconfig, KUBECONFIG"]);
    assert_eq!(told.err.matches("environment variable not found").count(), 1, "{told:#?}");
    let world = World::new("context").await;
    run(command(&world, &["status", "--context", "none"])).await.failed(1, &["the kubeconfig has no context \"none\""]);
    let silent = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "x",
        "clusters": [{"name": "c", "cluster": {"server": "http://user:canary@127.0.0.1:1"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
    });
    fs::write(&absent, silent.to_string()).unwrap();
    let away = "the API server gave no answer that can be used: at http://127.0.0.1:1/: ";
    let told = run(of(&absent, &["status"])).await.failed(1, &[away, "Connection refused", "kubectl version"]);
    assert!(!told.err.contains("canary"), "{told:#?}");
    let checked = run(of(&absent, &["check"])).await.failed(4, &["one thing is wrong"]);
    assert!(unbroken(&checked.out).starts_with(&format!("wrong API server get version: {away}")), "{checked:#?}");
    let named = ["status", "--kubeconfig", absent.to_str().unwrap()];
    run(command(&world, &named)).await.failed(1, &["the API server gave no answer"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_without_the_crds_says_how_to_install_them() {
    let cluster = LocalCluster::start(Options { quiet: true, ..Options::default() }).await.unwrap();
    let kubeconfig = cluster.kubeconfig_path();
    for line in [
        &["status"][..],
        &["status", "-A"],
        &["status", "web"],
        &["rotate", "web"],
        &["status", "--watch"],
        &["revoke", "web", "-y"],
    ] {
        let run = run(of(&kubeconfig, line)).await;
        run.failed(
            1,
            &[
                "this cluster serves no ShopifyTokens",
                "helm install, or install.yaml of a release by kubectl apply --server-side -f install.yaml",
            ],
        );
    }
    let checked = run(of(&kubeconfig, &["check"])).await.failed(4, &["2 things are wrong"]);
    assert!(
        checked.out.contains("ShopifyApp and ShopifyToken of tokens.shopify-operator.dev/v1alpha1 isn't served"),
        "{checked:#?}"
    );

    // An older release's: without a field that this one has.
    let mut crds = Manifests::Path(dev::repository("crds")).objects().unwrap();
    crds.retain(|crd| crd.types.as_ref().is_some_and(|types| types.kind == "CustomResourceDefinition"));
    for crd in &mut crds {
        let schema = &mut crd.data["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
        schema["properties"].as_object_mut().unwrap().remove("rolloutRestartTargets");
    }
    cluster.apply(&Manifests::Objects(crds), "default").await.unwrap();
    let checked = run(of(&kubeconfig, &["check"])).await.failed(4, &["2 things are wrong"]);
    assert!(checked.out.contains("it lacks spec.rolloutRestartTargets"), "{checked:#?}");
    cluster.apply(&Manifests::Path(dev::repository("crds")), "default").await.unwrap();
    let checked = run(of(&kubeconfig, &["check"])).await.failed(4, &["one thing is wrong"]);
    assert!(checked.out.contains("nobody holds lease shopify-token-operator/shopify-token-operator"), "{checked:#?}");
    assert!(checked.out.contains("is that of this release"), "{checked:#?}");
}
