//! The REST Admin API.

use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{APP, SHOP, Shop, json, start};

const TOKENS: &str = "/admin/api/2026-10/storefront_access_tokens.json";

async fn call(shop: &Shop, token: &str, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
    let mut request = shop.http.request(method, shop.url(path)).header("x-shopify-access-token", token);
    if let Some(body) = body {
        request = request.json(&body);
    }
    let response = request.send().await.unwrap();
    (response.status().as_u16(), json(response).await)
}

fn titled(title: &str) -> Value {
    json!({ "storefront_access_token": { "title": title } })
}

#[tokio::test]
async fn a_storefront_token_is_created_listed_and_deleted() {
    let (sim, shop) = start().await;
    let admin = shop.token().await;
    let (status, created) = call(&shop, &admin, Method::POST, TOKENS, Some(titled("Test"))).await;
    assert_eq!(status, 200);
    let token = &created["storefront_access_token"];
    let id = token["id"].as_u64().unwrap();
    let live = sim.live_storefront_tokens(SHOP, APP);
    assert_eq!(token["admin_graphql_api_id"], format!("gid://shopify/StorefrontAccessToken/{id}"));
    assert_eq!(token["access_token"], live[0].value);
    assert_eq!(token["access_scope"], "unauthenticated_read_product_listings");
    assert!(token["created_at"].as_str().unwrap().ends_with("-05:00"));
    assert_eq!(token["title"], "Test");

    let (status, listed) = call(&shop, &admin, Method::GET, TOKENS, None).await;
    assert_eq!(status, 200);
    assert_eq!(listed, json!({ "storefront_access_tokens": [token] }));

    let path = format!("/admin/api/2026-10/storefront_access_tokens/{id}.json");
    let answer = call(&shop, &admin, Method::DELETE, &path, None).await;
    assert_eq!(answer, (200, json!({})));
    let answer = call(&shop, &admin, Method::DELETE, &path, None).await;
    assert_eq!(answer, (404, json!({ "errors": "Not Found" })));
    assert!(sim.live_storefront_tokens(SHOP, APP).is_empty());
    for (verb, calls) in [("create", 1), ("list", 1), ("delete", 2)] {
        assert_eq!(sim.calls(&format!("rest.storefrontTokens.{verb}")), calls);
    }
}

#[tokio::test]
async fn a_path_without_a_version_is_that_of_the_oldest_one() {
    let (sim, shop) = start().await;
    sim.set_api_versions(["2026-04", "2026-10"]);
    let admin = shop.token().await;
    let path = "/admin/storefront_access_tokens.json";
    let (status, created) = call(&shop, &admin, Method::POST, path, Some(titled("Old"))).await;
    let id = created["storefront_access_token"]["id"].as_u64().unwrap();
    assert_eq!(status, 200);
    let response = shop.http.get(shop.url(path)).header("x-shopify-access-token", &admin).send().await.unwrap();
    assert_eq!(response.headers()["x-shopify-api-version"], "2026-04");
    assert_eq!(json(response).await["storefront_access_tokens"][0]["title"], "Old");
    let path = format!("/admin/storefront_access_tokens/{id}.json");
    assert_eq!(call(&shop, &admin, Method::DELETE, &path, None).await, (200, json!({})));
    assert!(sim.live_storefront_tokens(SHOP, APP).is_empty());
    for verb in ["create", "list", "delete"] {
        assert_eq!(sim.calls(&format!("rest.storefrontTokens.{verb}")), 1);
    }
}

#[tokio::test]
async fn an_app_uninstalls_itself() {
    const CURRENT: &str = "/admin/api_permissions/current.json";
    let (sim, shop) = start().await;
    let admin = shop.token().await;
    assert_eq!(call(&shop, &admin, Method::DELETE, CURRENT, None).await, (200, json!({})));
    assert_eq!(call(&shop, &admin, Method::DELETE, CURRENT, None).await.0, 401, "its token is dead");
    assert_eq!(sim.calls("rest.uninstall"), 2);

    sim.install(SHOP, APP, ["read_orders"]).unwrap();
    let admin = shop.token().await;
    let query = "mutation { appUninstall { app { id } userErrors { code field message } } }";
    let body = json(shop.graphql(&admin, query, &json!({})).send().await.unwrap()).await;
    let answer = &body["data"]["appUninstall"];
    assert!(answer["app"]["id"].as_str().unwrap().starts_with("gid://shopify/App/"), "{body}");
    assert_eq!(answer["userErrors"], json!([]));
    assert_eq!(shop.graphql(&admin, query, &json!({})).send().await.unwrap().status(), 401);
    assert_eq!(sim.calls("admin.appUninstall"), 2);
}

#[tokio::test]
async fn refusals_have_shopifys_words() {
    let (sim, shop) = start().await;
    let admin = shop.token().await;
    let (status, body) = call(&shop, &admin, Method::POST, TOKENS, Some(titled(""))).await;
    assert_eq!((status, body), (422, json!({ "errors": { "title": ["can't be blank"] } })));
    let (status, _) = call(&shop, &admin, Method::POST, TOKENS, Some(json!({}))).await;
    assert_eq!(status, 400);
    for n in 0..100 {
        sim.create_storefront_token(SHOP, APP, &n.to_string()).unwrap();
    }
    let (status, body) = call(&shop, &admin, Method::POST, TOKENS, Some(titled("101st"))).await;
    let limit = "Api permission exceeds public access token limit of: 100";
    assert_eq!((status, body), (400, json!({ "errors": [limit] })));
    sim.set_scopes(SHOP, APP, ["read_orders"]).unwrap();
    let (status, body) = call(&shop, &admin, Method::POST, TOKENS, Some(titled("t"))).await;
    let ineligible = "Token must be eligible to manage storefront tokens.";
    assert_eq!((status, body), (403, json!({ "errors": ineligible })));
    let (status, _) = call(&shop, "wrong", Method::GET, TOKENS, None).await;
    assert_eq!(status, 401);
}

#[tokio::test]
async fn access_scopes_are_listed() {
    let (sim, shop) = start().await;
    let admin = shop.token().await;
    sim.set_scopes(SHOP, APP, ["read_products", "write_orders"]).unwrap();
    let path = "/admin/oauth/access_scopes.json";
    let (status, body) = call(&shop, &admin, Method::GET, path, None).await;
    assert_eq!(status, 200);
    let scopes = json!([{ "handle": "read_products" }, { "handle": "write_orders" }]);
    assert_eq!(body, json!({ "access_scopes": scopes }));
    assert_eq!(sim.calls("rest.accessScopes"), 1);
}

#[tokio::test]
async fn the_forty_first_call_at_once_is_refused() {
    let (sim, shop) = start().await;
    let admin = shop.token().await;
    let list = async || shop.http.get(shop.url(TOKENS)).header("x-shopify-access-token", &admin).send().await.unwrap();
    assert_eq!(list().await.headers()["x-shopify-shop-api-call-limit"], "1/40");
    let refused = loop {
        let response = list().await;
        if response.status() != 200 {
            break response;
        }
    };
    assert!(sim.calls("rest.storefrontTokens.list") >= 41);
    assert_eq!(refused.status(), 429);
    assert_eq!(refused.headers()["retry-after"], "2.0");
    assert_eq!(refused.headers()["x-shopify-shop-api-call-limit"], "40/40");
    assert_eq!(
        json(refused).await["errors"],
        "Exceeded 2 calls per second for api client. \
         Reduce request rates to resume uninterrupted service."
    );
    sim.clock().advance(std::time::Duration::from_secs(2));
    assert_eq!(list().await.status(), 200);
}
