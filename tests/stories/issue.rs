//! A first credential: from YAML to a Secret that works.

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use serde_json::json;

use crate::{
    specs::{client_credentials, custom, storefront, with},
    world::{SHOP, World, condition},
};

const TRUE: &str = "True";

#[tokio::test(flavor = "multi_thread")]
async fn client_credentials_from_yaml_to_secret() {
    let world = World::with_app("issue").await;
    world.token("web", client_credentials()).await;
    let token = world.ready("web").await;
    let status = token.status.as_ref().unwrap();
    assert_eq!(status.revision, Some(1));
    assert_eq!(condition(&token, "TokenValid"), Some((TRUE.into(), "Verified".into())));
    assert_eq!(condition(&token, "Suspended"), None);
    let (issued, expires) = (status.issued_at.clone().unwrap().0, status.expires_at.clone().unwrap().0);
    assert_eq!(expires.as_second() - issued.as_second(), 86_399);

    let secret = world.secret("web").await.unwrap();
    assert!(world.sim.is_valid_admin(SHOP, secret.access_token()));
    assert_eq!(
        secret.data.keys().collect::<Vec<_>>(),
        ["access_token", "api_version", "expires_at", "scopes", "shop_domain"]
    );
    assert_eq!(secret.data["shop_domain"], SHOP);
    assert_eq!(secret.data["api_version"], "2026-10");
    assert_eq!(secret.data["expires_at"], expires.to_string());
    assert_eq!(secret.data["scopes"], "read_products,unauthenticated_read_product_listings,write_orders");
    assert_eq!(secret.record("revision"), Some("1"));
    assert_eq!(secret.record("issued-at"), Some(issued.to_string().as_str()));
    assert_eq!(secret.record("expires-at"), Some(expires.to_string().as_str()));
    assert_eq!(secret.record("token-id"), None);
    assert!(secret.record("inputs").is_some() && secret.record("content").is_some());
    world.told("web", &["Issued"]).await;
    assert_eq!(world.sim.calls("oauth.clientCredentials"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn storefront_from_yaml_to_secret() {
    let world = World::with_app("issue-sf").await;
    world.token("admin", client_credentials()).await;
    world.token("web", storefront()).await;
    let token = world.ready("web").await;
    let secret = world.secret("web").await.unwrap();
    assert!(world.sim.is_valid_storefront(SHOP, secret.access_token()));
    let [live] = world.live().try_into().unwrap();
    assert_eq!(live.value, secret.access_token());
    assert_eq!(secret.record("token-id"), Some(live.id.as_str()));
    assert_eq!(token.status.as_ref().unwrap().token_id, Some(live.id));
    assert_eq!(live.title, format!("web #stok:{}:1", token.uid().unwrap()));
    assert_eq!(secret.data.get("expires_at"), None);
    assert_eq!(world.sim.calls("admin.storefrontAccessTokenCreate"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn storefront_over_rest() {
    let world = World::with_app("issue-rest").await;
    let app = json!({"kind": "ShopifyApp", "metadata": {"name": "acme"},
        "spec": {"credentialsRef": {"name": "acme-app"}, "adminApi": "REST", "apiVersion": "2026-07"}});
    world.apply(app).await;
    world.token("admin", client_credentials()).await;
    world.token("web", storefront()).await;
    world.ready("web").await;
    let secret = world.secret("web").await.unwrap();
    assert!(world.sim.is_valid_storefront(SHOP, secret.access_token()));
    assert_eq!(secret.data["api_version"], "2026-07");
    assert_eq!(world.live().len(), 1);
    assert_eq!(world.sim.calls("rest.storefrontTokens.create"), 1);
    assert_eq!(world.sim.calls("admin.*"), 0);
    world.delete("web").await;
    world.gone("web").await;
    assert_eq!(world.live().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn custom_from_a_persons_secret() {
    let world = World::with_app("issue-custom").await;
    world.token("web", custom()).await;
    world.because("web", "Reconciling", "CredentialsMissing").await;
    let value = world.hand_in().await;
    let token = world.ready("web").await;
    assert_eq!(condition(&token, "TokenValid"), Some((TRUE.into(), "Verified".into())));
    assert_eq!(token.status.unwrap().scopes.len(), 3);
    let secret = world.secret("web").await.unwrap();
    assert_eq!(secret.access_token(), value);
    assert_eq!(secret.record("expires-at"), None);
    assert_eq!(world.sim.calls("oauth.*"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_at_once_in_any_order_never_fails() {
    let world = {
        let mut world = World::new("issue-order").await;
        world.start().await;
        world
    };
    world.token("web", storefront()).await;
    world.because("web", "Reconciling", "AdminTokenNotReady").await;
    world.token("admin", client_credentials()).await;
    world.because("admin", "Reconciling", "AppNotFound").await;
    world.make_app().await;
    world.ready("web").await;
    assert_eq!(world.sim.calls("oauth.clientCredentials"), 1);
    assert_eq!(world.live().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn presets_and_templates() {
    let world = World::with_custom_admin("issue-keys").await;
    let secret = json!({"name": "web-env", "preset": "Hydrogen", "template": {
        "type": "example.com/env",
        "metadata": {"labels": {"team": "web"}, "annotations": {"example.com/reload": "true"}},
        "data": {".env": "TOKEN={{ access_token }}\n"},
    }});
    world.token("web", with(storefront(), json!({"secret": secret}))).await;
    let secret = json!({"preset": "Node"});
    world.token("jobs", with(client_credentials(), json!({"secret": secret}))).await;
    world.ready("web").await;
    world.ready("jobs").await;

    let live = world.api::<Secret>().get("web-env").await.unwrap();
    assert_eq!(live.type_.as_deref(), Some("example.com/env"));
    assert_eq!(live.labels()["team"], "web");
    assert_eq!(live.labels()["app.kubernetes.io/managed-by"], "shopify-token-operator");
    assert_eq!(live.annotations()["example.com/reload"], "true");
    let web = world.secret("web-env").await.unwrap();
    assert_eq!(web.data["PUBLIC_STOREFRONT_API_TOKEN"], web.access_token());
    assert_eq!(web.data["PUBLIC_STORE_DOMAIN"], SHOP);
    assert_eq!(web.data[".env"], format!("TOKEN={}\n", web.access_token()));
    let jobs = world.secret("jobs").await.unwrap();
    assert_eq!(jobs.data["SHOPIFY_ACCESS_TOKEN"], jobs.access_token());

    // What a template no longer names is taken out, without Shopify.
    let calls = world.sim.total_calls();
    world.change("web", json!({"spec": {"secret": {"preset": null, "template": {"metadata": null, "data": {".env": null, "OTHER": "x"}}}}})).await;
    world.ready("web").await;
    let web = world.secret("web-env").await.unwrap();
    assert_eq!(web.data.keys().collect::<Vec<_>>(), ["OTHER", "access_token", "api_version", "scopes", "shop_domain"]);
    assert!(!web.annotations.contains_key("example.com/reload"));
    assert_eq!(world.sim.total_calls(), calls);
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_waits_and_shows_columns() {
    let world = World::with_app("issue-kubectl").await;
    world.token("web", client_credentials()).await;
    let kubectl = |arguments: &[&str]| {
        let output = world.cluster.kubectl_command().args(["-n", &world.namespace]).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    kubectl(&["wait", "--for=condition=Ready", "stok/web", "--timeout=30s"]);
    let shown = kubectl(&["get", "stok", "-o", "wide"]);
    let mut lines = shown.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let header =
        ["NAME", "SOURCE", "SHOP", "READY", "REASON", "EXPIRES", "RENEWAL", "SECRET", "REVISION", "SCOPES", "AGE"];
    assert_eq!(lines.next().unwrap(), header);
    let line = lines.next().unwrap();
    assert_eq!(line[..5], ["web", "ClientCredentials", SHOP, "True", "Issued"]);
    assert_eq!(line[7..9], ["web", "1"]);
    let selected = kubectl(&["get", "stok", "-o", "name", &format!("--field-selector=spec.shop={SHOP}")]);
    assert_eq!(selected.trim(), "shopifytoken.tokens.shopify-operator.dev/web");
    assert_eq!(kubectl(&["get", "shopify", "-o", "name"]).lines().count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_nobody_has_looked_at_is_not_current() {
    let mut world = World::new("issue-unseen").await;
    world.token("web", client_credentials()).await;
    let unseen = world.tokens().get("web").await.unwrap();
    assert_eq!(unseen.status.map(|s| s.observed_generation), Some(-1));
    world.start().await;
    world.make_app().await;
    let token = world.ready("web").await;
    assert_eq!(Some(token.status.unwrap().observed_generation), token.metadata.generation);
}
