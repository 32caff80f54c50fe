//! Titles of storefront tokens that are too long.

use serde_json::json;
use shopify_sim::LongTitle;

use crate::client::{APP, SHOP, json, start};

const TOKEN: &str = "/data/storefrontAccessTokenCreate/storefrontAccessToken";

#[tokio::test]
async fn a_long_title_is_cut_or_refused() {
    let (sim, shop) = start().await;
    let admin = shop.token().await;
    // Characters count, not bytes.
    let (fits, long) = ("é".repeat(255), format!("{}#end", "é".repeat(255)));
    for title in [&fits, &long] {
        let created = shop.create(&admin, title).await;
        assert_eq!(created.pointer(TOKEN).unwrap()["title"], *fits);
        assert_eq!(created["data"]["storefrontAccessTokenCreate"]["userErrors"], json!([]));
    }
    sim.switch(|switches| switches.sf_long_title = LongTitle::Refused);
    let refused = shop.create(&admin, &long).await;
    assert!(refused.pointer(TOKEN).unwrap().is_null());
    let message = "Title is too long (maximum is 255 characters)";
    let user_errors = json!([{ "field": ["input", "title"], "message": message }]);
    assert_eq!(refused["data"]["storefrontAccessTokenCreate"]["userErrors"], user_errors);
    let rest = shop
        .http
        .post(shop.url("/admin/api/2026-10/storefront_access_tokens.json"))
        .header("x-shopify-access-token", &admin)
        .json(&json!({ "storefront_access_token": { "title": long } }));
    let response = rest.send().await.unwrap();
    assert_eq!(response.status(), 422);
    let errors = json!({ "title": ["is too long (maximum is 255 characters)"] });
    assert_eq!(json(response).await, json!({ "errors": errors }));
    assert!(shop.create(&admin, &fits).await.pointer(TOKEN).unwrap().is_object());
    assert_eq!(sim.live_storefront_tokens(SHOP, APP).len(), 3);
}
