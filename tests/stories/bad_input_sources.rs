//! Bad input of the sources that a person begins by hand: what they bring is refused by name, asked about rarely, and heals.

use std::time::Instant;

use dev::{Manifests, repository};
use serde_json::{Value, json};
use shopify_sim::{AppConfig, ShopConfig};

use crate::{
    bad_input::{few, heals, heals_at_the_next_attempt, refused},
    delegate::delegate,
    offline::offline,
    world::{CLIENT_ID, SCOPES, SHOP, World, revision},
};

const OTHER: &str = "fedcba9876543210fedcba9876543210";
const REFRESH: &str = "oauth.refresh";
const DELEGATE: &str = "admin.delegateAccessTokenCreate";

#[tokio::test(flavor = "multi_thread")]
async fn what_is_brought_for_an_offline_token_is_of_this_app_and_shop() {
    let (world, pair) = World::with_pair("bad-bootstrap").await;
    let elsewhere = "other.myshopify.com";
    world.sim.add_shop(ShopConfig::new(elsewhere));
    world.sim.install(elsewhere, CLIENT_ID, SCOPES.iter().copied()).unwrap();
    let other = AppConfig {
        scopes: SCOPES.iter().map(|scope| (*scope).to_owned()).collect(),
        ..AppConfig::new(OTHER, "shpss_canaryc0ffeeffffffffffffffffffffff").installed(SHOP, SCOPES.iter().copied())
    };
    world.sim.add_app(other).unwrap();
    let of_other_app = world.sim.create_offline_pair(SHOP, OTHER).unwrap().refresh_token;
    let of_other_shop = world.sim.create_offline_pair(elsewhere, CLIENT_ID).unwrap().refresh_token;
    let dead = world.sim.create_offline_pair(SHOP, CLIENT_ID).unwrap().refresh_token;
    // Another pair of the app at the shop has ended it.
    let pair = {
        world.sim.retire_refresh_token(&dead).unwrap();
        drop(pair);
        world.sim.create_offline_pair(SHOP, CLIENT_ID).unwrap()
    };
    let inside = format!("shprt_can ary{}", "0".repeat(20));
    let control = format!("shprt_{}\u{7}", "0".repeat(20));
    for (about, value, reason, says, calls) in [
        ("of another app", of_other_app.as_str(), "RefreshTokenDead", "refuses the refresh token", 1),
        ("of another shop", &of_other_shop, "RefreshTokenDead", "refuses the refresh token", 1),
        ("dead", &dead, "RefreshTokenDead", "bootstrapRef", 1),
        ("white space", &inside, "InvalidCredential", "\"refresh_token\" of Secret \"boot\"", 0),
        ("a control character", &control, "InvalidCredential", "has a control character", 0),
        ("nothing", "", "InvalidCredential", "is empty", 0),
    ] {
        let (before, started) = (world.sim.calls(REFRESH), Instant::now());
        world.remove::<k8s_openapi::api::core::v1::Secret>("boot").await;
        world.secret_of("boot", &[("refresh_token", value)]).await;
        world.token("web", offline(json!({}))).await;
        refused(&world, "web", "Stalled", reason, says).await;
        world.a_while().await;
        let spent = world.sim.calls(REFRESH) - before;
        assert!(spent <= calls * few(started), "{about}: {spent} calls");
        // The person brings the one that lives.
        world.boot(&pair).await;
        heals(&world, "web").await;
        world.applications_work().await;
        world.delete("web").await;
        world.gone("web").await;
        for name in ["web", "web-record"] {
            world.remove::<k8s_openapi::api::core::v1::Secret>(name).await;
        }
    }
    world.secret_of("boot", &[("refresh_token", &pair.refresh_token), ("expires_at", "tomorrow")]).await;
    world.token("web", offline(json!({}))).await;
    refused(&world, "web", "Stalled", "InvalidCredential", "isn't a time as in 2026-11-22T12:00:00Z").await;
    world.boot(&pair).await;
    heals(&world, "web").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delegate_has_no_more_than_its_parent() {
    let world = World::with_admin("bad-delegate").await;
    let started = Instant::now();
    let themes = |spec: Value| {
        let mut spec = spec;
        spec["source"]["delegate"]["scopes"] = json!(["read_themes"]);
        spec
    };
    world.token("web", themes(delegate())).await;
    refused(&world, "web", "Stalled", "ScopesMissing", "take them out of the delegate's scopes").await;
    world.a_while().await;
    assert!(world.sim.calls(DELEGATE) <= few(started), "{} calls", world.sim.calls(DELEGATE));
    assert!(world.delegates().is_empty());
    // The merchant approves the app with it.
    world.sim.set_scopes(SHOP, CLIENT_ID, SCOPES.iter().copied().chain(["read_themes"])).unwrap();
    world.change("admin", json!({"metadata": {"annotations": {"tokens.shopify-operator.dev/rotate-at": "now"}}})).await;
    world.until("admin", "issued anew", |t| revision(t) == 2).await;
    heals_at_the_next_attempt(&world, "web").await;
    assert_eq!(world.secret("web").await.unwrap().record("parent-revision"), Some("2"));
    assert_eq!(world.delegates().len(), 1);

    // What can be seen of the spec alone costs no call.
    let calls = world.sim.calls(DELEGATE);
    let spec = json!({"source": {"delegate": {"adminTokenRef": {"name": "web"}, "scopes": ["read_products"]}}});
    world.token("below", spec).await;
    refused(&world, "below", "Stalled", "InvalidCredential", "clientCredentials, offline or custom").await;
    assert_eq!(world.sim.calls(DELEGATE), calls);
    let spec = json!({"source": {"delegate": {"adminTokenRef": {"name": "admin"}, "scopes": ["read_products"]}}});
    world.token("below", spec).await;
    heals(&world, "below").await;
}

/// Whoever forgets to fill one in shall not find it Ready, nor have it tried at Shopify.
#[tokio::test(flavor = "multi_thread")]
async fn samples_that_nobody_has_filled_in_say_what_is_empty() {
    let mut world = World::new("unfilled").await;
    world.cluster.apply(&Manifests::Path(repository("deploy/samples")), &world.namespace).await.unwrap();
    world.start().await;
    for (name, place) in [
        ("legacy", r#"key "token" of Secret "legacy-pasted" is empty"#),
        ("backoffice", r#"key "client_id" of Secret "acme-app" is empty"#),
        ("customers", r#"key "client_id" of Secret "headless-client" is empty"#),
        ("admin", r#"key "client_id" of Secret "acme-app" is empty"#),
        ("importer", r#"key "client_id" of Secret "acme-app" is empty"#),
    ] {
        refused(&world, name, "Stalled", "InvalidCredential", place).await;
    }
    for name in ["web", "reports"] {
        refused(&world, name, "Reconciling", "AdminTokenNotReady", "admin").await;
    }
    assert_eq!(world.sim.total_calls(), 0);
}
