//! Pages of bot walls, proxies and captive portals in Shopify's place: none of them decides anything.

use chrono::TimeDelta;
use k8s_openapi::api::core::v1::Secret;
use serde_json::json;
use shopify_sim::{Fault, FaultKind, Page, PageFault, Surface};
use shopify_token_operator::api::ShopifyToken;

use crate::{
    specs::{client_credentials, custom},
    world::{SHOP, World, condition, message},
};

const PAGES: [(u16, Page); 10] = [
    (401, Page::BotWall),
    (401, Page::PlainText),
    (402, Page::Proxy),
    (403, Page::BotWall),
    (403, Page::PlainText),
    (404, Page::Proxy),
    (404, Page::PlainText),
    (423, Page::Proxy),
    (503, Page::BotWall),
    (200, Page::BotWall),
];

/// Longer than a surface that doesn't answer is left alone.
const TURN: TimeDelta = TimeDelta::seconds(11);

fn page(code: u16, page: Page) -> FaultKind {
    FaultKind::Page(PageFault::new(code, page))
}

/// What stands in the way is a page: said so, never in the page's words.
fn says_what_it_looks_like(token: &ShopifyToken, status: u16) {
    let told = message(token, "Reconciling");
    assert!(told.contains(&format!("answered {status} with a page of text/")) && told.contains("proxy"), "{told}");
    assert!(!told.contains("JavaScript") && !told.contains("policy"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_behind_a_wall_is_retried_and_then_revokes() {
    let world = World::with_storefront("pages-delete", json!({})).await;
    for (n, (status, kind)) in PAGES.into_iter().enumerate() {
        let name = format!("web-{n}");
        world.storefront(&name, json!({})).await;
        world.ready(&name).await;
        let before = world.live().len();
        // The whole of Shopify, or the Admin API alone.
        world.sim.inject(match n % 2 {
            0 => Fault::new("*", page(status, kind)),
            _ => Fault::on(Surface::Admin, page(status, kind)),
        });
        world.delete(&name).await;
        let token = world.because(&name, "Reconciling", "BackingOff").await;
        says_what_it_looks_like(&token, status);
        assert_eq!(condition(&token, "Stalled"), None, "{status} {kind:?}");
        world.pass(TURN);
        world.a_while().await;
        assert!(world.exists::<ShopifyToken>(&name).await, "let go: {status} {kind:?}");
        assert_eq!(world.live().len(), before, "{status} {kind:?}");

        world.sim.clear_faults();
        world.pass(TURN);
        world.gone(&name).await;
        assert_eq!(world.live().len(), before - 1, "leaked: {status} {kind:?}");
        world.ready("admin").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_is_no_verdict_on_a_token_that_works() {
    let world = World::with_app("pages-probe").await;
    world.hand_in().await;
    world.token("shop", custom()).await;
    world.ready("shop").await;
    let published = world.secret("shop").await.unwrap();
    for (status, kind) in PAGES {
        world.sim.inject(Fault::on(Surface::Admin, page(status, kind)));
        world.pass(TimeDelta::hours(25));
        world.nudge("shop").await;
        let token = world.because("shop", "Reconciling", "BackingOff").await;
        says_what_it_looks_like(&token, status);
        assert_eq!(condition(&token, "Ready"), Some(("True".into(), "Issued".into())), "{status} {kind:?}");
        assert_eq!(condition(&token, "TokenValid"), Some(("Unknown".into(), "Unreachable".into())), "{status}");
        world.sim.clear_faults();
        world.pass(TURN);
        world.ready("shop").await;
    }
    assert_eq!(world.secret("shop").await.unwrap().version, published.version, "nothing was written");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_at_the_token_endpoint_says_nothing_of_shop_or_app() {
    let world = World::with_app("pages-grant").await;
    for (n, (status, kind)) in PAGES.into_iter().enumerate() {
        let name = format!("admin-{n}");
        world.sim.inject(Fault::on(Surface::TokenEndpoint, page(status, kind)));
        world.token(&name, client_credentials()).await;
        let token = world.because(&name, "Reconciling", "BackingOff").await;
        says_what_it_looks_like(&token, status);
        assert_eq!(condition(&token, "Stalled"), None, "{status} {kind:?}");
        assert!(!world.exists::<Secret>(&name).await);
        world.sim.clear_faults();
        world.pass(TURN);
        world.ready(&name).await;
    }
    world.ready_app("acme").await;
}

/// A page may have come in place of the answer of what was done.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_in_place_of_a_create_s_answer_makes_no_second_token() {
    let world = World::with_admin("pages-create").await;
    world.sim.inject(Fault::new("admin.storefrontAccessTokenCreate", page(502, Page::Proxy)).times(1));
    world.storefront("web", json!({})).await;
    let token = world.because("web", "Reconciling", "BackingOff").await;
    assert!(message(&token, "Reconciling").contains(SHOP));
    world.pass(TimeDelta::minutes(2));
    world.ready("web").await;
    assert_eq!(world.live().len(), 1);
}
