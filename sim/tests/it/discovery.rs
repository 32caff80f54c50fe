//! Discovery of customer accounts, at each of a shop's domains.

use serde_json::Value;
use shopify_sim::{Config, CustomerDiscovery, Fault, FaultKind, ShopConfig, ShopState, StatusFault, Surface};

use crate::client::{SHOP, Shop, json, start, start_with};

const OPENID: &str = "/.well-known/openid-configuration";
const API: &str = "/.well-known/customer-account-api";

async fn get(shop: &Shop, path: &str) -> reqwest::Response {
    shop.http.get(shop.url(path)).send().await.unwrap()
}

fn location(response: &reqwest::Response) -> &str {
    response.headers()["location"].to_str().unwrap()
}

#[tokio::test]
async fn the_documents_have_the_shape_of_real_ones() {
    let (sim, shop) = start().await;
    let openid = json(get(&shop, OPENID).await).await;
    let issuer = openid["issuer"].as_str().unwrap();
    let id = issuer.strip_prefix("https://shopify.com/authentication/").unwrap();
    assert!(id.parse::<u64>().is_ok());
    for (field, path) in [
        ("token_endpoint", "/oauth/token"),
        ("authorization_endpoint", "/oauth/authorize"),
        ("end_session_endpoint", "/logout"),
        ("jwks_uri", "/.well-known/jwks.json"),
    ] {
        assert_eq!(openid[field], format!("{issuer}{path}"));
    }
    assert_eq!(openid["token_endpoint_auth_methods_supported"][0], "client_secret_basic");
    assert_eq!(openid["code_challenge_methods_supported"][0], "S256");
    let api = json(get(&shop, API).await).await;
    assert_eq!(api["graphql_api"], "https://acme.myshopify.com/customer/api/2026-10/graphql");
    assert_eq!((sim.calls("customer.discovery"), sim.calls("customer.discoveryApi")), (1, 1));
}

#[tokio::test]
async fn a_shop_sends_customers_to_its_primary_domain() {
    let config = Config::default().shop(ShopConfig {
        primary_domain: Some("www.acme.example".to_owned()),
        account_domain: Some("account.acme.example".to_owned()),
        ..ShopConfig::new(SHOP)
    });
    let (sim, shop) = start_with(config).await;
    let response = get(&shop, OPENID).await;
    assert_eq!(response.status(), 301);
    assert_eq!(location(&response), "https://www.acme.example/.well-known/openid-configuration");
    let site = Shop::new(&sim, "www.acme.example");
    let openid = json(get(&site, OPENID).await).await;
    assert_eq!(openid["issuer"], "https://account.acme.example/authentication");
    let api = json(get(&site, API).await).await;
    assert_eq!(api["graphql_api"], "https://www.acme.example/customer/api/2026-10/graphql");
    assert_eq!(sim.calls_to(SHOP, "customer.*"), 3, "all are calls to the shop");
    // The Admin API is at the permanent domain alone.
    assert_eq!(site.probe("x").send().await.unwrap().status(), 404);
}

#[tokio::test]
async fn each_bad_variant_is_what_its_name_says() {
    let (sim, shop) = start().await;
    let serve = async |variant| {
        sim.switch(|switches| switches.customer_discovery = variant);
        let response = get(&shop, OPENID).await;
        (response.status().as_u16(), response)
    };
    for (variant, status) in [(CustomerDiscovery::NotFound, 404), (CustomerDiscovery::Page, 200)] {
        let (answered, response) = serve(variant).await;
        assert_eq!(answered, status);
        assert!(response.headers()["content-type"].to_str().unwrap().starts_with("text/html"));
    }
    let (status, response) = serve(CustomerDiscovery::Password).await;
    assert_eq!((status, location(&response)), (302, "/password"));
    assert!(get(&shop, "/password").await.text().await.unwrap().contains("password"));
    for (variant, to) in [
        (CustomerDiscovery::TwoRedirects, "https://acme.myshopify.com/.well-known/openid-configuration?again"),
        (CustomerDiscovery::RedirectToHttp, "http://acme.myshopify.com/.well-known/openid-configuration"),
        (CustomerDiscovery::RedirectToPort, "https://acme.myshopify.com:8443/.well-known/openid-configuration"),
        (CustomerDiscovery::RedirectToAddress, "https://10.0.0.1/.well-known/openid-configuration"),
    ] {
        let (status, response) = serve(variant).await;
        assert_eq!((status, location(&response)), (302, to));
    }
    let again = get(&shop, "/.well-known/openid-configuration?again").await;
    assert_eq!(again.status(), 302, "and so on");
    let text = serve(CustomerDiscovery::Malformed).await.1.text().await.unwrap();
    assert!(serde_json::from_str::<Value>(&text).is_err());
    let text = serve(CustomerDiscovery::Huge).await.1.text().await.unwrap();
    assert!(text.len() > 10_000_000 && serde_json::from_str::<Value>(&text).is_ok());
    let body = json(serve(CustomerDiscovery::MissingField).await.1).await;
    assert!(body.get("token_endpoint").is_none() && body.get("jwks_uri").is_some());
    assert!(json(get(&shop, API).await).await.get("graphql_api").is_none());
    let body = json(serve(CustomerDiscovery::HttpUrls).await.1).await;
    assert!(body["issuer"].as_str().unwrap().starts_with("http://shopify.com/"));
}

#[tokio::test]
async fn a_shop_s_state_and_faults_are_answered_there_too() {
    let (sim, shop) = start().await;
    sim.inject(Fault::on(Surface::CustomerAccounts, FaultKind::Status(StatusFault::new(503))).times(1));
    assert_eq!(get(&shop, OPENID).await.status(), 503);
    sim.set_shop_state(SHOP, ShopState::Locked).unwrap();
    assert_eq!(get(&shop, OPENID).await.status(), 423);
    sim.set_shop_state(SHOP, ShopState::Closed).unwrap();
    assert!(get(&shop, API).await.text().await.unwrap().contains("Store unavailable"));
}
