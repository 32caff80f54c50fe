//! A Shopify that knows late of what it made a moment ago, and one that answers oddly.

use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use serde_json::json;
use shopify_sim::{AppConfig, Fault, FaultKind, Surface};

use crate::{
    specs::{client_credentials, custom, storefront},
    world::{SCOPES, SHOP, World, condition, message},
};

/// `web` is gone, and its storefront token with it: revoked, and nobody was warned.
async fn revoked_without_a_warning(world: &World) {
    world.gone("web").await;
    assert!(world.live().is_empty(), "a live token that nobody knows: {:?}", world.live());
    world.eventually("told", async || world.events("web").await.last().is_some_and(|last| last == "Revoked")).await;
    for event in world.news("web").await {
        assert_eq!(event.type_.as_deref(), Some("Normal"), "{:?}: {:?}", event.reason, event.note);
    }
    let note = world.news("web").await.pop().unwrap().note.unwrap();
    let one = format!("storefront token revoked at {SHOP}: gid://shopify/StorefrontAccessToken/");
    assert!(note.starts_with(&one), "{note}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_with_a_token_granted_a_moment_ago_revokes_all_the_same() {
    let world = World::with_storefront("odd-fresh", json!({})).await;
    world.sim.switch(|switches| switches.cc_accepted_after = Duration::from_millis(300));
    // The admin token at hand is dead, so the deletion asks for a fresh one.
    world.sim.revoke_admin_token(world.secret("admin").await.unwrap().access_token()).unwrap();
    world.delete("web").await;
    revoked_without_a_warning(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storefront_token_that_is_not_listed_yet_is_deleted_by_its_recorded_id() {
    let world = World::with_admin("odd-unlisted").await;
    world.sim.switch(|switches| switches.sf_listed_after = Duration::from_mins(10));
    world.token("web", storefront()).await;
    world.ready("web").await;
    world.delete("web").await;
    revoked_without_a_warning(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_custom_token_of_no_installation_is_stalled_and_delays_no_other() {
    const LEGACY: &str = "legacy-custom-app";
    let world = World::with_app("odd-installation").await;
    world.sim.add_app(AppConfig::new(LEGACY, "no secret").installed(SHOP, SCOPES.iter().copied())).unwrap();
    let value = world.sim.create_admin_token(SHOP, LEGACY).unwrap();
    let nothing = FaultKind::null("/data/currentAppInstallation");
    world.sim.inject(Fault::on(Surface::Admin, nothing).app(LEGACY));
    world.secret_of("legacy", &[("token", &value)]).await;
    world.token("odd", custom()).await;
    let odd = world
        .until("odd", "Stalled", |token| condition(token, "Stalled").is_some_and(|(status, _)| status == "True"))
        .await;
    let told = message(&odd, "Stalled");
    assert!(told.contains(SHOP) && !told.contains(&value), "{told}");
    assert!(!world.exists::<Secret>("odd").await);

    let begun = tokio::time::Instant::now();
    world.token("well", client_credentials()).await;
    world.ready("well").await;
    assert!(begun.elapsed() < Duration::from_secs(5), "held up for {:?}", begun.elapsed());
}
