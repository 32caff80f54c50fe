//! A first credential: from YAML to a Secret that works.

use serde_json::json;

use crate::world::{SHOP, World};

#[tokio::test(flavor = "multi_thread")]
async fn client_credentials_from_yaml_to_secret() {
    let world = World::with_app("issue").await;
    world.token("web", json!({"source": {"clientCredentials": {"appRef": {"name": "acme"}}}})).await;
    let token = world.ready("web").await;
    let status = token.status.unwrap();
    assert_eq!(status.revision, Some(1));

    let secret = world.secret("web").await.unwrap();
    assert!(world.sim.is_valid_admin(SHOP, secret.access_token()));
    assert_eq!(secret.data["shop_domain"], SHOP);
    assert_eq!(secret.record("revision"), Some("1"));
    assert_eq!(world.events("web").await, ["Issued"]);
    assert_eq!(world.sim.calls("oauth.clientCredentials"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn storefront_from_yaml_to_secret() {
    let world = World::with_app("issue-sf").await;
    world.token("admin", json!({"source": {"clientCredentials": {"appRef": {"name": "acme"}}}})).await;
    world.token("web", json!({"source": {"storefront": {"adminTokenRef": {"name": "admin"}}}})).await;
    world.ready("web").await;
    let secret = world.secret("web").await.unwrap();
    assert!(world.sim.is_valid_storefront(SHOP, secret.access_token()));
    assert_eq!(world.live().len(), 1);
    assert_eq!(world.sim.calls("admin.storefrontAccessTokenCreate"), 1);
}
