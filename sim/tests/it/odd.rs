//! Answers that are well-formed and yet not what was asked for, and pages in
//! place of answers.

use serde_json::{Value, json};
use shopify_sim::{AppConfig, Fault, FaultKind, Page, PageFault, ShopConfig, StatusFault, Surface};

use crate::client::{APP, SCOPES, SECRET, SHOP, Shop, config, json, start, start_with};

const INSTALLATION: &str = "{ currentAppInstallation { id accessScopes { handle } } }";

#[tokio::test]
async fn an_answer_with_null_with_less_or_without_data() {
    let (sim, shop) = start().await;
    let admin = shop.token().await;
    let struck = async |kind| {
        sim.inject(Fault::new("admin.currentAppInstallation", kind).times(1));
        shop.query(&admin, INSTALLATION).await
    };
    let body = struck(FaultKind::null("/data/currentAppInstallation")).await;
    assert_eq!(body["data"], json!({ "currentAppInstallation": null }));
    assert!(body.get("errors").is_none());
    let body = struck(FaultKind::without("/data/currentAppInstallation/accessScopes")).await;
    assert_eq!(body["data"]["currentAppInstallation"].as_object().unwrap().len(), 1);
    let body = struck(FaultKind::null("/data")).await;
    assert!(body["data"].is_null() && body.get("data").is_some() && body.get("errors").is_none());

    sim.inject(Fault::new("oauth.*", FaultKind::without("/access_token")).times(1));
    let granted = json(shop.grant(APP, SECRET).send().await.unwrap()).await;
    assert!(granted.get("access_token").is_none());
    assert_eq!(granted["expires_in"], 86_399);
    assert_eq!(sim.live_access_tokens(SHOP).len(), 2, "granted all the same");
}

#[tokio::test]
async fn a_fault_can_be_of_one_app() {
    let (sim, shop) = start_with(config().app(AppConfig::new("custom", "s").installed(SHOP, SCOPES))).await;
    let [ours, theirs] = [APP, "custom"].map(|app| sim.create_admin_token(SHOP, app).unwrap());
    sim.inject(Fault::on(Surface::Admin, FaultKind::null("/data/currentAppInstallation")).app("custom"));
    let installation =
        async |token: &str| shop.query(token, INSTALLATION).await["data"]["currentAppInstallation"].clone();
    assert!(installation(&ours).await.is_object());
    assert!(installation(&theirs).await.is_null());
    sim.inject(Fault::on(Surface::TokenEndpoint, FaultKind::Status(StatusFault::new(500))).app("custom"));
    assert_eq!(shop.grant("custom", "s").send().await.unwrap().status(), 500);
    assert_eq!(shop.grant(APP, SECRET).send().await.unwrap().status(), 200);
    let log = sim.call_log();
    assert_eq!(log.last().unwrap().app.as_deref(), Some(APP));
    assert_eq!(sim.calls_of("custom", "*"), 2);
    shop.grant("nobody", "shpss_typed_in_the_wrong_field").send().await.unwrap();
    assert_eq!(sim.call_log().last().unwrap().app, None, "only what is known is told");
}

/// What each surface of a shop answers: token endpoint, Admin GraphQL, Admin REST, Storefront.
async fn statuses(shop: &Shop, admin: &str) -> [u16; 4] {
    let rest = shop.http.get(shop.url("/admin/oauth/access_scopes.json")).header("x-shopify-access-token", admin);
    let calls = [shop.grant(APP, SECRET), shop.graphql(admin, INSTALLATION, &json!({})), rest, shop.probe("x")];
    let mut statuses = [0; 4];
    for (status, call) in statuses.iter_mut().zip(calls) {
        *status = call.send().await.map_or(0, |response| response.status().as_u16());
    }
    statuses
}

#[tokio::test]
async fn a_fault_can_be_of_one_surface_of_one_shop() {
    const OTHER: &str = "other.myshopify.com";
    let mut config = config().shop(ShopConfig::new(OTHER));
    config.apps[0] = config.apps[0].clone().installed(OTHER, SCOPES);
    let (sim, shop) = start_with(config).await;
    let other = Shop::new(&sim, OTHER);
    let [admin, other_admin] = [SHOP, OTHER].map(|shop| sim.create_admin_token(shop, APP).unwrap());
    let well = [200, 200, 200, 401];
    for (surface, struck) in [
        (Surface::TokenEndpoint, [true, false, false, false]),
        (Surface::Admin, [false, true, true, false]),
        (Surface::Storefront, [false, false, false, true]),
    ] {
        for (kind, status) in [
            (FaultKind::Status(StatusFault::new(503)), 503),
            (FaultKind::Reset, 0),
            (FaultKind::Page(PageFault::new(403, Page::BotWall)), 403),
        ] {
            sim.inject(Fault::on(surface, kind).shop(SHOP));
            let expected: Vec<_> =
                well.iter().zip(struck).map(|(&well, struck)| if struck { status } else { well }).collect();
            assert_eq!(statuses(&shop, &admin).await, *expected, "{surface:?}");
            assert_eq!(statuses(&other, &other_admin).await, well, "{surface:?}");
            sim.clear_faults();
        }
    }
}

#[tokio::test]
async fn pages_of_walls_and_proxies_with_any_status() {
    let (sim, shop) = start().await;
    let admin = shop.token().await;
    for code in [200, 401, 403] {
        for (page, title) in [(Page::BotWall, "Just a moment..."), (Page::Proxy, "could not be retrieved")] {
            let kind = FaultKind::Page(PageFault::new(code, page));
            sim.inject(Fault::new("*", kind).shop(SHOP).times(1));
            let response = shop.create_request(&admin, "t").send().await.unwrap();
            assert_eq!(response.status(), code);
            assert_eq!(response.headers()["content-type"], "text/html; charset=utf-8");
            let header = if page == Page::BotWall { "cf-mitigated" } else { "x-squid-error" };
            assert!(response.headers().contains_key(header));
            assert!(response.text().await.unwrap().contains(title));
        }
    }
    sim.inject(Fault::new("*", FaultKind::Page(PageFault::new(404, Page::PlainText))).times(1));
    let response = shop.create_request(&admin, "t").send().await.unwrap();
    assert_eq!(response.status(), 404);
    assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
    assert_eq!(response.text().await.unwrap(), "Not Found");
    assert!(sim.live_storefront_tokens(SHOP, APP).is_empty(), "none of them reached Shopify");
}

#[tokio::test]
async fn encodings_that_nobody_asked_for() {
    let (sim, shop) = start().await;
    let admin = shop.token().await;
    sim.inject(Fault::new("admin.*", FaultKind::Gzip).times(1));
    let response = shop.create_request(&admin, "t").send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-encoding"], "gzip");
    let bytes = response.bytes().await.unwrap();
    assert!(bytes.starts_with(b"\x1f\x8b"));
    sim.inject(Fault::new("admin.*", FaultKind::Bom).times(1));
    let bytes = shop.create_request(&admin, "t").send().await.unwrap().bytes().await.unwrap();
    let json = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap();
    assert!(serde_json::from_slice::<Value>(json).unwrap()["data"].is_object());
    assert_eq!(sim.live_storefront_tokens(SHOP, APP).len(), 2);
}

#[tokio::test]
async fn grants_and_wrong_secrets_are_counted_by_app() {
    let (sim, shop) = start_with(config().app(AppConfig::new("second", "s").installed(SHOP, SCOPES))).await;
    shop.token().await;
    for secret in ["wrong", "wrong", ""] {
        assert_eq!(shop.grant(APP, secret).send().await.unwrap().status(), 400);
    }
    sim.inject(Fault::new("oauth.*", FaultKind::Status(StatusFault::new(503))).times(1));
    shop.grant(APP, "wrong").send().await.unwrap();
    let counts = sim.grant_counts(APP).unwrap();
    assert_eq!((counts.asked, counts.granted, counts.secret_rejected), (5, 1, 3));
    let counts = sim.grant_counts("second").unwrap();
    assert_eq!((counts.asked, counts.granted, counts.secret_rejected), (0, 0, 0));
    assert!(sim.grant_counts("nobody").is_err());
}
