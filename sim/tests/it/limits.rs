//! Rate limits and versions.

use std::time::Duration;

use serde_json::json;
use shopify_sim::{AppConfig, Config, FutureVersion, ShopConfig};

use crate::client::{APP, SCOPES, SECRET, SHOP, start, start_with};

/// A bucket of 20 points that fills by one in a second.
fn slow_shop() -> Config {
    Config::default()
        .shop(ShopConfig { restore_rate: Some(1), ..ShopConfig::new(SHOP) })
        .app(AppConfig::new(APP, SECRET).installed(SHOP, SCOPES))
}

#[tokio::test]
async fn an_empty_bucket_throttles_with_200() {
    let (sim, shop) = start_with(slow_shop()).await;
    let admin = shop.token().await;
    assert!(shop.create(&admin, "a").await["data"].is_object());
    let response = shop.create_request(&admin, "b").send().await.unwrap();
    assert_eq!(response.status(), 200);
    let body = crate::client::json(response).await;
    assert!(body.get("data").is_none());
    assert_eq!(
        body["errors"],
        json!([{ "message": "Throttled", "extensions": {
            "code": "THROTTLED",
            "documentation": "https://shopify.dev/api/usage/rate-limits",
        }}])
    );
    let cost = &body["extensions"]["cost"];
    assert_eq!(cost["requestedQueryCost"], 11);
    assert!(cost["actualQueryCost"].is_null());
    assert_eq!(cost["throttleStatus"]["maximumAvailable"], 20.0);
    assert_eq!(sim.live_storefront_tokens(SHOP, APP).len(), 1);
    sim.clock().advance(Duration::from_secs(3));
    assert!(shop.create(&admin, "b").await["data"].is_object());
}

#[tokio::test]
async fn buckets_belong_to_one_app_on_one_shop() {
    let (sim, shop) = start_with(slow_shop().app(AppConfig::new("second", "s").installed(SHOP, SCOPES))).await;
    let available = async |token: &str| {
        let body = shop.query(token, "{ shop { name } }").await;
        body["extensions"]["cost"]["throttleStatus"]["currentlyAvailable"].as_u64()
    };
    let first = sim.create_admin_token(SHOP, APP).unwrap();
    let second = sim.create_admin_token(SHOP, "second").unwrap();
    shop.create(&first, "t").await;
    assert!(available(&first).await < Some(15));
    assert_eq!(available(&second).await, Some(19));
}

#[tokio::test]
async fn a_query_over_1000_points_is_refused() {
    let (_sim, shop) = start().await;
    let admin = shop.token().await;
    let one = |n| format!("a{n}: storefrontAccessTokenDelete(input: {{id: \"x\"}}) {{ __typename }}");
    let many = (0..101).map(one).collect::<Vec<_>>().join(" ");
    let body = shop.query(&admin, &format!("mutation {{ {many} }}")).await;
    assert_eq!(body["errors"][0]["extensions"]["code"], "MAX_COST_EXCEEDED");
}

#[tokio::test]
async fn versions_fall_forward() {
    let (sim, shop) = start().await;
    let admin = shop.token().await;
    let version = async |asked: &str| {
        let response = shop
            .http
            .post(shop.url(&format!("/admin/api/{asked}/graphql.json")))
            .header("x-shopify-access-token", &admin)
            .json(&json!({ "query": "{ shop { id } }" }))
            .send()
            .await
            .unwrap();
        let served = response.headers().get("x-shopify-api-version");
        served.map(|served| served.to_str().unwrap().to_owned())
    };
    for (asked, served) in [
        ("2026-10", Some("2026-10")),
        ("2026-07", Some("2026-07")),
        ("2019-04", Some("2026-01")),
        ("2031-01", None),
        ("unstable", Some("unstable")),
        ("latest", None),
    ] {
        assert_eq!(version(asked).await.as_deref(), served, "{asked}");
    }
    sim.switch(|switches| switches.future_version = FutureVersion::Oldest);
    assert_eq!(version("2031-01").await.as_deref(), Some("2026-01"));
    sim.set_api_versions(["2026-04", "2026-07", "2031-01"]);
    assert_eq!(version("2031-01").await.as_deref(), Some("2031-01"), "released");
    assert_eq!(version("2026-01").await.as_deref(), Some("2026-04"), "retired");
}

#[tokio::test]
async fn a_future_version_is_not_found_in_shopifys_words() {
    let (_sim, shop) = start().await;
    let admin = shop.token().await;
    let path = "/admin/api/2031-01/storefront_access_tokens.json";
    let response = shop.http.get(shop.url(path)).header("x-shopify-access-token", &admin).send().await.unwrap();
    assert_eq!(response.status(), 404);
    assert_eq!(crate::client::json(response).await, json!({ "errors": "Not Found" }));
}

#[tokio::test]
async fn refusals_say_the_version_too() {
    let (sim, shop) = start().await;
    let admin = shop.token().await;
    sim.set_api_versions(["2026-10"]);
    let rest = "/admin/api/2025-01/storefront_access_tokens";
    let calls = [
        (401, shop.graphql("wrong", "{ shop { id } }", &json!({}))),
        (400, shop.graphql(&admin, "", &json!({}))),
        (200, shop.graphql(&admin, "{ nonsense }", &json!({}))),
        (401, shop.probe("wrong")),
        (404, shop.http.delete(shop.url(&format!("{rest}/1.json"))).header("x-shopify-access-token", &admin)),
        (200, shop.http.get(shop.url(&format!("{rest}.json"))).header("x-shopify-access-token", &admin)),
    ];
    for (status, call) in calls {
        let response = call.send().await.unwrap();
        assert_eq!(response.status(), status);
        assert_eq!(response.headers()["x-shopify-api-version"], "2026-10");
    }
}
