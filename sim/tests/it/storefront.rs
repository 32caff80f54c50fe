//! The Storefront API, and shops that don't answer.

use serde_json::json;
use shopify_sim::{ShopState, Switches};

use crate::client::{APP, SHOP, Shop, json, start};

#[tokio::test]
async fn a_probe_tells_live_tokens_from_dead_ones() {
    let (sim, shop) = start().await;
    let token = sim.create_storefront_token(SHOP, APP, "t").unwrap();
    let response = shop.probe(&token.value).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(
        json(response).await,
        json!({
            "data": { "shop": { "name": "acme" } },
            "extensions": { "cost": { "requestedQueryCost": 1 } },
        })
    );
    sim.delete_storefront_token(SHOP, &token.id).unwrap();
    let response = shop.probe(&token.value).send().await.unwrap();
    assert_eq!(response.status(), 401);
    assert_eq!(
        json(response).await,
        json!({ "errors": [{ "message": "", "extensions": { "code": "UNAUTHORIZED" } }] })
    );
    assert_eq!(sim.calls("storefront.probe"), 2);
}

#[tokio::test]
async fn uninstalling_ends_storefront_tokens_or_not() {
    let (sim, _shop) = start().await;
    let survivor = |kills| {
        sim.set_switches(Switches { sf_uninstall_kills_tokens: kills, ..Switches::default() });
        sim.install(SHOP, APP, ["unauthenticated_read_content"]).unwrap();
        let token = sim.create_storefront_token(SHOP, APP, "t").unwrap();
        sim.uninstall(SHOP, APP).unwrap();
        sim.is_valid_storefront(SHOP, &token.value)
    };
    assert!(!survivor(true));
    assert!(survivor(false));
}

#[tokio::test]
async fn shops_out_of_business_say_so_everywhere() {
    let (sim, shop) = start().await;
    let admin = shop.token().await;
    let frozen = "This shop's plan does not have access to this feature";
    let states = [
        (ShopState::Frozen, 402, frozen, "Unavailable Shop"),
        (ShopState::Fraud, 403, "User does not have access", "Unavailable Shop"),
        (ShopState::Locked, 423, "This shop is unavailable", "This shop is unavailable"),
    ];
    for (state, status, admin_text, storefront_text) in states {
        sim.set_shop_state(SHOP, state).unwrap();
        let calls = [
            (shop.create_request(&admin, "t"), admin_text),
            (shop.grant(APP, "x"), admin_text),
            (shop.probe("x"), storefront_text),
        ];
        for (call, text) in calls {
            let response = call.send().await.unwrap();
            assert_eq!(response.status(), status);
            assert_eq!(json(response).await, json!({ "errors": text }));
        }
    }
    sim.set_shop_state(SHOP, ShopState::Closed).unwrap();
    let unknown = Shop::new(&sim, "unknown.myshopify.com");
    for shop in [&shop, &unknown] {
        let response = shop.create_request(&admin, "t").send().await.unwrap();
        assert_eq!(response.status(), 404);
        let page = response.text().await.unwrap();
        assert!(page.contains("<title>Store unavailable</title>"));
    }
    sim.set_shop_state(SHOP, ShopState::Open).unwrap();
    assert!(sim.is_valid_admin(SHOP, &admin));
}
