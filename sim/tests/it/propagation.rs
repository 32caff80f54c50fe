//! What was made a moment ago isn't known everywhere yet.

use std::time::Duration;

use serde_json::{Value, json};
use shopify_sim::{DeleteUnlisted, Sim, Switches};

use crate::client::{APP, SHOP, Shop, json, start};

const LIST: &str = "{ shop { storefrontAccessTokens(first: 10) { nodes { id } } } }";

async fn listed(shop: &Shop, admin: &str) -> (usize, usize) {
    let count = |list: &Value| list.as_array().unwrap().len();
    let graphql = shop.query(admin, LIST).await;
    let rest = shop.http.get(shop.url("/admin/api/2026-10/storefront_access_tokens.json"));
    let rest = json(rest.header("x-shopify-access-token", admin).send().await.unwrap()).await;
    (count(&graphql["data"]["shop"]["storefrontAccessTokens"]["nodes"]), count(&rest["storefront_access_tokens"]))
}

async fn delete_by_rest(shop: &Shop, admin: &str, gid: &str) -> u16 {
    let id = gid.rsplit('/').next().unwrap();
    let request = shop.http.delete(shop.url(&format!("/admin/api/2026-10/storefront_access_tokens/{id}.json")));
    request.header("x-shopify-access-token", admin).send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn a_granted_token_is_refused_for_a_while() {
    let (sim, shop) = start().await;
    let custom = sim.create_admin_token(SHOP, APP).unwrap();
    sim.set_switches(Switches { cc_accepted_after: Duration::from_mins(1), ..Switches::default() });
    let admin = shop.token().await;
    let status = async |token: &str| {
        let graphql = shop.graphql(token, "{ shop { id } }", &json!({})).send().await.unwrap();
        let rest = shop.http.get(shop.url("/admin/oauth/access_scopes.json"));
        let rest = rest.header("x-shopify-access-token", token).send().await.unwrap();
        (graphql.status().as_u16(), rest.status().as_u16())
    };
    assert_eq!(status(&admin).await, (401, 401));
    assert!(!sim.is_valid_admin(SHOP, &admin));
    assert!(sim.live_access_tokens(SHOP).iter().any(|token| token.value == admin), "it lives all the same");
    assert_eq!(status(&custom).await, (200, 200), "nobody granted that one");
    sim.clock().advance(Duration::from_mins(1));
    assert_eq!(status(&admin).await, (200, 200));
    assert!(sim.is_valid_admin(SHOP, &admin));
}

#[tokio::test]
async fn a_storefront_token_is_refused_for_a_while() {
    let (sim, shop) = start().await;
    sim.set_switches(Switches { sf_accepted_after: Duration::from_mins(1), ..Switches::default() });
    let token = sim.create_storefront_token(SHOP, APP, "t").unwrap();
    assert_eq!(shop.probe(&token.value).send().await.unwrap().status(), 401);
    assert!(!sim.is_valid_storefront(SHOP, &token.value));
    sim.clock().advance(Duration::from_mins(1));
    assert_eq!(shop.probe(&token.value).send().await.unwrap().status(), 200);
}

async fn unlisted(delete: DeleteUnlisted) -> (Sim, Shop, String, String) {
    let (sim, shop) = start().await;
    let admin = sim.create_admin_token(SHOP, APP).unwrap();
    sim.set_switches(Switches {
        sf_listed_after: Duration::from_mins(1),
        sf_delete_unlisted: delete,
        ..Switches::default()
    });
    let created = shop.create(&admin, "t").await;
    let id = created["data"]["storefrontAccessTokenCreate"]["storefrontAccessToken"]["id"].as_str().unwrap().to_owned();
    assert_eq!(listed(&shop, &admin).await, (0, 0));
    assert_eq!(sim.live_storefront_tokens(SHOP, APP).len(), 1, "it exists all the same");
    (sim, shop, admin, id)
}

#[tokio::test]
async fn a_storefront_token_is_listed_after_a_while() {
    let (sim, shop, admin, _) = unlisted(DeleteUnlisted::Deleted).await;
    sim.clock().advance(Duration::from_mins(1));
    assert_eq!(listed(&shop, &admin).await, (1, 1));
}

#[tokio::test]
async fn what_is_not_listed_is_deleted_by_its_id() {
    let (sim, shop, admin, id) = unlisted(DeleteUnlisted::Deleted).await;
    let deleted = shop.delete(&admin, &id).await;
    assert_eq!(deleted["data"]["storefrontAccessTokenDelete"]["deletedStorefrontAccessTokenId"], id);
    let second = sim.create_storefront_token(SHOP, APP, "t").unwrap();
    assert_eq!(delete_by_rest(&shop, &admin, &second.id).await, 200);
    assert!(sim.live_storefront_tokens(SHOP, APP).is_empty());
}

#[tokio::test]
async fn or_is_not_found_until_it_is_listed() {
    let (sim, shop, admin, id) = unlisted(DeleteUnlisted::NotFound).await;
    let refused = shop.delete(&admin, &id).await;
    assert!(refused["data"]["storefrontAccessTokenDelete"]["deletedStorefrontAccessTokenId"].is_null());
    assert_eq!(delete_by_rest(&shop, &admin, &id).await, 404);
    assert_eq!(sim.live_storefront_tokens(SHOP, APP).len(), 1);
    sim.clock().advance(Duration::from_mins(1));
    assert_eq!(delete_by_rest(&shop, &admin, &id).await, 200);
}
