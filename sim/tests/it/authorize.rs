//! A merchant approves an app, or doesn't.

use std::collections::BTreeMap;

use aws_lc_rs::hmac;
use reqwest::Response;
use reqwest::header::LOCATION;
use shopify_sim::{AppConfig, CallbackSecret, Config, ShopConfig, Sim};
use url::Url;

use crate::client::{APP, SECRET, SHOP, Shop, json, start_with};

const BACK: &str = "https://operator.example.com/oauth/callback";

fn config() -> Config {
    let mut app = AppConfig::new(APP, SECRET).redirect_url(BACK);
    app.scopes = ["read_products".to_owned()].into();
    "Tokens <3".clone_into(&mut app.title);
    Config::default().shop(ShopConfig::new(SHOP)).app(app)
}

fn asking(shop: &Shop, parameters: &[(&str, &str)]) -> Url {
    Url::parse_with_params(&shop.url("/admin/oauth/authorize"), parameters).unwrap()
}

async fn decide(shop: &Shop, parameters: &[(&str, &str)], decision: &str) -> Response {
    shop.http.post(asking(shop, parameters)).form(&[("decision", decision)]).send().await.unwrap()
}

/// What the app is told at its address.
async fn told(shop: &Shop, parameters: &[(&str, &str)], decision: &str) -> BTreeMap<String, String> {
    let response = decide(shop, parameters, decision).await;
    assert_eq!(response.status(), 302);
    let location = response.headers()[LOCATION].to_str().unwrap();
    assert!(location.starts_with(BACK), "{location}");
    Url::parse(location).unwrap().query_pairs().into_owned().collect()
}

fn asked() -> [(&'static str, &'static str); 4] {
    [("client_id", APP), ("redirect_uri", BACK), ("scope", "write_orders, read_themes"), ("state", "s&t te")]
}

/// By Shopify's rule: all but the signature, sorted, as a query. Its own libraries encode that as a form.
fn is_signed(told: &BTreeMap<String, String>, secret: &str) -> bool {
    let mut told = told.clone();
    let hmac = hex::decode(told.remove("hmac").unwrap()).unwrap();
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&told).finish();
    hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), query.as_bytes(), &hmac).is_ok()
}

fn granted(sim: &Sim) -> Vec<String> {
    sim.create_offline_token(SHOP, APP).unwrap();
    sim.live_access_tokens(SHOP).pop().unwrap().scopes.into_iter().collect()
}

#[tokio::test]
async fn an_approval_installs_the_app_and_brings_a_code() {
    let (sim, shop) = start_with(config()).await;
    let page = shop.http.get(asking(&shop, &asked())).send().await.unwrap();
    assert_eq!(page.status(), 200);
    let page = page.text().await.unwrap();
    assert!(page.contains("Install Tokens &lt;3 on acme.myshopify.com, with read_themes, write_orders?"), "{page}");
    assert!(page.contains(r#"<form method="post"><button name="decision" value="approve">"#), "{page}");
    assert!(sim.create_authorization_code(SHOP, APP).is_err(), "looking at it installs nothing");

    let told = told(&shop, &asked(), "approve").await;
    let names: Vec<&str> = told.keys().map(String::as_str).collect();
    assert_eq!(names, ["code", "hmac", "host", "shop", "state", "timestamp"]);
    assert_eq!((told["shop"].as_str(), told["state"].as_str()), (SHOP, "s&t te"));
    assert_eq!(told["timestamp"].parse::<i64>().unwrap() / 60, sim.now().timestamp() / 60);
    let form = [("client_id", APP), ("client_secret", SECRET), ("code", &told["code"])];
    let exchanged = shop.http.post(shop.url("/admin/oauth/access_token")).form(&form).send().await.unwrap();
    assert_eq!(json(exchanged).await["scope"], "read_themes,write_orders");
    assert_eq!((sim.calls("oauth.authorize"), sim.calls("oauth.consent")), (1, 1));
}

#[tokio::test]
async fn without_scopes_the_app_s_configuration_decides() {
    let (sim, shop) = start_with(config()).await;
    let asked = [("client_id", APP), ("redirect_uri", BACK), ("grant_options[]", "")];
    let told = told(&shop, &asked, "approve").await;
    assert!(!told.contains_key("state"));
    assert_eq!(granted(&sim), ["read_products"]);
}

#[tokio::test]
async fn a_refusal_is_told_and_installs_nothing() {
    let (sim, shop) = start_with(config()).await;
    let told = told(&shop, &asked(), "deny").await;
    assert_eq!((told["error"].as_str(), told["state"].as_str()), ("access_denied", "s&t te"));
    assert!(told.contains_key("hmac") && !told.contains_key("code"));
    assert!(sim.create_authorization_code(SHOP, APP).is_err());
}

#[tokio::test]
async fn addresses_that_are_not_listed_and_other_mistakes_are_pages() {
    let (sim, shop) = start_with(config()).await;
    let with = |name: &str, value: &'static str| {
        asked().map(|(known, usual)| if known == name { (known, value) } else { (known, usual) })
    };
    let not_listed = "Oauth error invalid_request: The redirect_uri is not whitelisted";
    for (parameters, words) in [
        (with("redirect_uri", "https://operator.example.com/oauth/callback?next=x"), not_listed),
        (with("redirect_uri", "https://evil.example.com/"), not_listed),
        (with("redirect_uri", ""), not_listed),
        (with("client_id", "nobody"), "Oauth error application_cannot_be_found"),
        ([("client_id", APP), ("redirect_uri", BACK), ("grant_options[]", "per-user"), ("state", "")], "Online access"),
    ] {
        for request in [shop.http.get(asking(&shop, &parameters)), shop.http.post(asking(&shop, &parameters))] {
            let request = request.header("accept", "application/json").form(&[("decision", "approve")]);
            let response = request.send().await.unwrap();
            assert_eq!(response.status(), 400, "{parameters:?}");
            let page = response.text().await.unwrap();
            assert!(page.starts_with("<!DOCTYPE html>") && page.contains(words), "{page}");
        }
    }
    assert_eq!(decide(&shop, &asked(), "").await.status(), 400);
    assert!(sim.create_authorization_code(SHOP, APP).is_err());
}

#[tokio::test]
async fn which_of_two_secrets_signs_is_a_switch() {
    let (sim, shop) = start_with(config()).await;
    sim.add_secret(APP, "new").unwrap();
    let told = async || told(&shop, &asked(), "approve").await;
    let oldest = told().await;
    assert!(is_signed(&oldest, SECRET) && !is_signed(&oldest, "new"));
    sim.switch(|switches| switches.callback_secret = CallbackSecret::Newest);
    assert!(is_signed(&told().await, "new"));
    sim.switch(|switches| switches.callback_secret = CallbackSecret::Oldest);
    sim.revoke_secret(APP, SECRET).unwrap();
    assert!(is_signed(&told().await, "new"));
}
