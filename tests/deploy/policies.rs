//! The admission policies of `deploy/policies`, on a real API server: what they let in, and what they refuse.

use std::{path::Path, time::Duration};

use dev::{Cluster, Manifests, shared_cluster};
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client, Config,
    api::{DynamicObject, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use shopify_token_operator::api::ShopifyToken;
use tokio::time::{Instant, sleep};

use super::{
    ROOT,
    users::{bind, has_controllers},
};

const PATIENCE: Duration = Duration::from_mins(1);
const SHOPS: &str = "tokens.example.com/shops";

/// The policies of a file, bound to one namespace: other tests go on beside this one.
async fn enforced_in(cluster: &Cluster, namespace: &str, file: &str) {
    let path = Path::new(ROOT).join("deploy/policies").join(file);
    let mut objects = Manifests::Path(path).objects().unwrap();
    for object in &mut objects {
        if object.types.as_ref().unwrap().kind == "ValidatingAdmissionPolicyBinding" {
            let selector = json!({"matchLabels": {"kubernetes.io/metadata.name": namespace}});
            object.data["spec"]["matchResources"] = json!({"namespaceSelector": selector});
        }
    }
    let of = |object: &DynamicObject| object.types.as_ref().unwrap().kind.clone();
    assert!(objects.iter().any(|object| of(object) == "ValidatingAdmissionPolicyBinding"));
    cluster.apply(&Manifests::Objects(objects), namespace).await.unwrap();
}

async fn annotate(cluster: &Cluster, namespace: &str, shops: Option<&str>) {
    let namespaces: Api<Namespace> = Api::all(cluster.client().await.unwrap());
    let patch = Patch::Merge(json!({"metadata": {"annotations": {SHOPS: shops}}}));
    namespaces.patch_metadata(namespace, &PatchParams::default(), &patch).await.unwrap();
}

fn tokens(config: Config, namespace: &str) -> Api<ShopifyToken> {
    Api::namespaced(Client::try_from(config).unwrap(), namespace)
}

fn token(shop: &str, source: &Value) -> ShopifyToken {
    let spec = json!({"shop": shop, "source": source});
    serde_json::from_value(json!({
        "apiVersion": "tokens.shopify-operator.dev/v1alpha1", "kind": "ShopifyToken",
        "metadata": {"name": "web"}, "spec": spec,
    }))
    .unwrap()
}

fn client_credentials() -> Value {
    json!({"clientCredentials": {"appRef": {"name": "acme"}}})
}

/// What the API server would say to a new token: nothing, or why not.
async fn offered(api: &Api<ShopifyToken>, token: &ShopifyToken) -> Result<(), String> {
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    // Under a name that nobody has: one that was deleted may still be going.
    let mut token = token.clone();
    (token.metadata.name, token.metadata.generate_name) = (None, Some("offered-".to_owned()));
    match api.create(&dry, &token).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) => {
            assert_eq!(status.code, 403, "{status:?}");
            Err(status.message)
        }
        Err(error) => panic!("{error}"),
    }
}

/// Until an answer is as expected: policies, roles and annotations reach the API server's caches within seconds.
async fn until_offered(api: &Api<ShopifyToken>, token: &ShopifyToken, refused_with: Option<&str>) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let said = offered(api, token).await.err();
        match (&said, refused_with) {
            (None, None) => return,
            (Some(said), Some(with)) if said.contains(with) => return,
            _ => assert!(Instant::now() < deadline, "{said:?} instead of {refused_with:?}"),
        }
        sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn a_namespace_has_tokens_of_its_shops_alone() {
    let cluster = shared_cluster().unwrap();
    let namespace = cluster.create_namespace("shops").await.unwrap();
    enforced_in(cluster, &namespace, "shops.yaml").await;
    let api = tokens(cluster.config().await.unwrap(), &namespace);
    let (acme, outlet) =
        ["acme", "acme-outlet"].map(|shop| token(&format!("{shop}.myshopify.com"), &client_credentials())).into();
    let refused = format!("namespace {namespace} has no tokens of acme.myshopify.com: its annotation {SHOPS} names");

    until_offered(&api, &acme, Some(&refused)).await;
    annotate(cluster, &namespace, Some("other.myshopify.com")).await;
    until_offered(&api, &acme, Some(&refused)).await;
    annotate(cluster, &namespace, Some("acme.myshopify.com, other.myshopify.com")).await;
    until_offered(&api, &acme, None).await;
    until_offered(&api, &outlet, Some("has no tokens of acme-outlet.myshopify.com")).await;
    api.create(&PostParams::default(), &acme).await.unwrap();

    // What is there goes on, and can be deleted, when the annotation has gone.
    annotate(cluster, &namespace, None).await;
    until_offered(&api, &token("acme.myshopify.com", &client_credentials()), Some(&refused)).await;
    let patch = Patch::Merge(json!({"metadata": {"finalizers": ["tokens.shopify-operator.dev/in-use"]}}));
    api.patch("web", &PatchParams::default(), &patch).await.unwrap();
    let patch = Patch::Merge(json!({"spec": {"suspend": true}, "metadata": {"finalizers": null}}));
    api.patch("web", &PatchParams::default(), &patch).await.unwrap();
    api.delete("web", &kube::api::DeleteParams::default()).await.unwrap();

    annotate(cluster, &namespace, Some("*")).await;
    until_offered(&api, &outlet, None).await;
}

#[tokio::test]
async fn a_source_is_used_by_those_who_may() {
    let cluster = shared_cluster().unwrap();
    if !has_controllers(cluster) {
        return;
    }
    let namespace = cluster.create_namespace("sources").await.unwrap();
    // Editing namespaces comes with the roles of the base.
    let roles = Manifests::Path(format!("{ROOT}/deploy/base/user_roles.yaml").into());
    cluster.apply(&roles, &namespace).await.unwrap();
    enforced_in(cluster, &namespace, "sources.yaml").await;
    let developer = format!("developer-of-{namespace}");
    bind(cluster, &namespace, &developer, "edit").await;
    let mut config = cluster.config().await.unwrap();
    config.auth_info.impersonate = Some(developer.clone());
    config.auth_info.impersonate_groups = Some(vec!["system:authenticated".into()]);
    let api = tokens(config, &namespace);

    let admin = json!({"name": "admin"});
    let pasted = json!({"custom": {"tokenRef": {"name": "person", "key": "token"}}});
    let shop = "acme.myshopify.com";
    until_offered(&api, &token(shop, &pasted), Some("may not use custom in namespace")).await;
    for source in [
        client_credentials(),
        json!({"storefront": {"adminTokenRef": admin}}),
        json!({"delegate": {"adminTokenRef": admin, "scopes": ["read_products"]}}),
    ] {
        until_offered(&api, &token(shop, &source), None).await;
    }
    for (source, name) in [
        (json!({"offline": {"appRef": {"name": "acme"}}}), "offline"),
        (
            json!({"customerAccount": {"credentialsRef": {"name": "headless"}, "clientType": "Public"}}),
            "customerAccount",
        ),
    ] {
        let refused = format!("{developer} may not use {name} in namespace {namespace}");
        until_offered(&api, &token(shop, &source), Some(&refused)).await;
    }
    bind(cluster, &namespace, &developer, "shopify-sources-of-people").await;
    until_offered(&api, &token(shop, &pasted), None).await;

    // Nobody needs the right for anything but the source.
    let admins = tokens(cluster.config().await.unwrap(), &namespace);
    admins
        .create(&PostParams::default(), &token(shop, &json!({"offline": {"appRef": {"name": "acme"}}})))
        .await
        .unwrap();
    let other = format!("other-of-{namespace}");
    bind(cluster, &namespace, &other, "edit").await;
    let mut config = cluster.config().await.unwrap();
    config.auth_info.impersonate = Some(other);
    let api = tokens(config, &namespace);
    let suspend = Patch::Merge(json!({"spec": {"suspend": true}}));
    api.patch("web", &PatchParams::default(), &suspend).await.unwrap();
    let patch = Patch::Merge(json!({"spec": {"source": {"offline": {"appRef": {"name": "another"}}}}}));
    let error = api.patch("web", &PatchParams::default(), &patch).await.unwrap_err();
    assert!(error.to_string().contains("may not use offline"), "{error}");
}
