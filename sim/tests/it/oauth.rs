//! The client-credentials grant, and every way in which it is refused.

use serde_json::{Value, json};
use shopify_sim::{AppConfig, ExpiresIn, NotInstalled, OauthErrorFormat, ShopConfig, Switches, WrongSecret};

use crate::client::{APP, SCOPES, SECRET, SHOP, Shop, config, json, start, start_with};

#[tokio::test]
async fn a_form_and_json_both_mint_a_day_long_token() {
    let (sim, shop) = start().await;
    let form = shop.grant(APP, SECRET).send().await.unwrap();
    assert_eq!(form.status(), 200);
    let id = form.headers()["x-request-id"].to_str().unwrap().to_owned();
    assert_eq!(id.split('-').count(), 6, "a UUID and an epoch");
    let form = json(form).await;
    assert_eq!(form["expires_in"], 86_399);
    assert_eq!(form["scope"], "unauthenticated_read_product_listings,write_orders");
    assert_eq!(form.as_object().unwrap().len(), 3);
    let value = form["access_token"].as_str().unwrap();
    let digits = value.strip_prefix("shpat_").unwrap();
    assert_eq!(digits.len(), 32);
    assert!(digits.bytes().all(|byte| byte.is_ascii_hexdigit()));

    let body = json!({
        "grant_type": "client_credentials", "client_id": APP, "client_secret": SECRET,
    });
    let request = shop.http.post(shop.url("/admin/oauth/access_token")).json(&body);
    let second = json(request.send().await.unwrap()).await;
    assert_ne!(second["access_token"], value);
    assert!(sim.is_valid_admin(SHOP, value), "both are live");
    assert_eq!(sim.live_access_tokens(SHOP).len(), 2);
    assert_eq!(sim.minted_by(value).as_deref(), Some(SECRET));
    assert_eq!(sim.calls("oauth.clientCredentials"), 2);
    assert_eq!(sim.calls_to("other.myshopify.com", "oauth.clientCredentials"), 0);
}

async fn refusal(shop: &Shop, client_id: &str, secret: &str) -> (u16, Value) {
    let response = shop.grant(client_id, secret).send().await.unwrap();
    (response.status().as_u16(), json(response).await)
}

#[tokio::test]
async fn refusals_have_shopifys_codes() {
    let config = config()
        .shop(ShopConfig::new("bare.myshopify.com"))
        .shop(ShopConfig { organization: "other".to_owned(), ..ShopConfig::new("foreign.myshopify.com") })
        .app(AppConfig::new("second", "s").installed("foreign.myshopify.com", SCOPES));
    let (sim, shop) = start_with(config).await;

    let (status, body) = refusal(&shop, "nobody", SECRET).await;
    assert_eq!(status, 400);
    assert_eq!(
        body,
        json!({
            "error": "application_cannot_be_found",
            "error_description": "Could not find Shopify API application with api_key nobody",
        })
    );
    let foreign = Shop::new(&sim, "foreign.myshopify.com");
    let (status, body) = refusal(&foreign, "second", "s").await;
    assert_eq!((status, &body["error"]), (400, &json!("shop_not_permitted")));
    assert_eq!(body["error_description"], "Client credentials cannot be performed on this shop.");

    let bare = Shop::new(&sim, "bare.myshopify.com");
    let (status, body) = refusal(&bare, APP, "even with a wrong secret").await;
    assert_eq!((status, &body["error"]), (400, &json!("app_not_installed")));
    let (status, body) = refusal(&shop, APP, "wrong").await;
    assert_eq!((status, &body["error"]), (400, &json!("invalid_request")));

    sim.set_switches(Switches {
        cc_not_installed: NotInstalled::InvalidRequest,
        cc_wrong_secret: WrongSecret::InvalidClient400,
        ..Switches::default()
    });
    let (status, body) = refusal(&bare, APP, SECRET).await;
    assert_eq!((status, &body["error"]), (400, &json!("invalid_request")));
    let (status, body) = refusal(&shop, APP, "wrong").await;
    assert_eq!((status, &body["error"]), (400, &json!("invalid_client")));
    sim.set_switches(Switches { cc_wrong_secret: WrongSecret::InvalidClient401, ..Switches::default() });
    let (status, body) = refusal(&shop, APP, "wrong").await;
    assert_eq!((status, &body["error"]), (401, &json!("invalid_client")));
    assert!(sim.live_access_tokens(SHOP).is_empty());
}

#[tokio::test]
async fn errors_are_html_unless_json_is_accepted() {
    let (sim, shop) = start().await;
    let request = shop
        .http
        .post(shop.url("/admin/oauth/access_token"))
        .form(&[("grant_type", "client_credentials"), ("client_id", "x")]);
    let response = request.try_clone().unwrap().send().await.unwrap();
    assert_eq!(response.status(), 400);
    assert_eq!(response.headers()["content-type"], "text/html; charset=utf-8");
    let page = response.text().await.unwrap();
    assert!(page.contains("<title>400 - Oauth error application_cannot_be_found</title>"));

    let set = |format| {
        sim.set_switches(Switches { oauth_error_format: format, ..Switches::default() });
    };
    set(OauthErrorFormat::Json);
    let body = json(request.send().await.unwrap()).await;
    assert_eq!(body["error"], "application_cannot_be_found");
    set(OauthErrorFormat::Html);
    let response = shop.grant("x", "y").send().await.unwrap();
    assert!(response.text().await.unwrap().starts_with("<!DOCTYPE html>"));
}

#[tokio::test]
async fn grants_that_are_not_simulated_are_refused() {
    let (sim, shop) = start().await;
    let request = shop
        .http
        .post(shop.url("/admin/oauth/access_token"))
        .header("accept", "application/json")
        .form(&[("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"), ("subject_token", "x")]);
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 400);
    assert_eq!(json(response).await["error"], "invalid_request");
    assert_eq!(sim.calls("oauth.tokenExchange"), 1);
}

#[tokio::test]
async fn the_switch_lets_a_new_token_end_the_previous_one() {
    let (sim, shop) = start().await;
    sim.set_switches(Switches { cc_invalidates_previous: true, ..Switches::default() });
    let first = shop.token().await;
    let second = shop.token().await;
    assert!(!sim.is_valid_admin(SHOP, &first));
    assert!(sim.is_valid_admin(SHOP, &second));
}

#[tokio::test]
async fn expires_in_can_be_anything() {
    let (sim, shop) = start().await;
    let answer = async |expires_in| {
        sim.set_expires_in(APP, expires_in).unwrap();
        json(shop.grant(APP, SECRET).send().await.unwrap()).await
    };
    let absent = answer(ExpiresIn::Absent).await;
    assert!(absent.get("expires_in").is_none());
    for weird in [json!(0), json!(-1), json!("86399"), json!(null), json!(1e300)] {
        let said = answer(ExpiresIn::Value(weird.clone())).await;
        assert_eq!(said["expires_in"], weird);
    }
}

#[tokio::test]
async fn two_secrets_are_live_and_tokens_are_pinned_to_theirs() {
    let (sim, shop) = start().await;
    let old = shop.token().await;
    sim.add_secret(APP, "new").unwrap();
    let response = shop.grant(APP, "new").send().await.unwrap();
    let new = json(response).await["access_token"].as_str().unwrap().to_owned();
    assert!(sim.is_valid_admin(SHOP, &old) && sim.is_valid_admin(SHOP, &new));
    let minters: Vec<_> = sim.live_access_tokens(SHOP).into_iter().map(|token| token.minted_by.unwrap()).collect();
    assert_eq!(minters, [SECRET, "new"]);

    sim.revoke_secret(APP, SECRET).unwrap();
    assert!(!sim.is_valid_admin(SHOP, &old));
    assert!(sim.is_valid_admin(SHOP, &new));
    assert_eq!(refusal(&shop, APP, SECRET).await.0, 400);
    assert_eq!(sim.minted_by(&old).as_deref(), Some(SECRET));
    sim.set_secret(APP, "third").unwrap();
    assert!(!sim.is_valid_admin(SHOP, &new));
}

#[tokio::test]
async fn every_value_contains_the_canary() {
    let mut config = config();
    config.canary = Some("canary".to_owned());
    let (sim, shop) = start_with(config).await;
    let token = shop.token().await;
    assert!(token.starts_with("shpat_canary"));
    assert_eq!(token.len(), 38);
    shop.create(&token, "t").await;
    let storefront = &sim.live_storefront_tokens(SHOP, APP)[0].value;
    assert!(storefront.starts_with("canary"));
    assert_eq!(storefront.len(), 32);
    let custom = sim.create_admin_token(SHOP, APP).unwrap();
    assert!(custom.contains("canary"));
}
