//! SIGTERM: what is under way finishes and is recorded, then the process ends in time.

use std::time::{Duration, Instant};

use futures::future::join_all;
use k8s_openapi::api::core::v1::Secret;
use kube::{ResourceExt, api::ListParams};
use rustix::process::Signal;
use serde_json::json;
use shopify_sim::{Fault, FaultKind, ShopConfig};

use crate::{
    operator::{ALONE, Operator, holder},
    world::{CLIENT_ID, SCOPES, SHOP, World},
};

/// `terminationGracePeriodSeconds` of `deploy/`.
const GRACE: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn issues_under_way_finish_and_the_lease_is_given_up() {
    let world = World::new("stop").await;
    world.make_app().await;
    let mut operator = Operator::start(&world, &[]).await;
    world.token("admin", json!({"source": {"clientCredentials": {"appRef": {"name": "acme"}}}})).await;
    world.ready("admin").await;
    assert_ne!(holder(&world).await, "");

    let late = FaultKind::Delay(Duration::from_secs(3));
    world.sim.inject(Fault::new("admin.storefrontAccessTokenCreate", late).times(1));
    world.token("web", json!({"source": {"storefront": {"adminTokenRef": {"name": "admin"}}}})).await;
    world.eventually("a create", async || world.sim.calls("admin.storefrontAccessTokenCreate") == 1).await;
    operator.signal(Signal::TERM);
    operator.until("draining", async |it| it.get("/readyz").await.is_some_and(|(code, _)| code == 503)).await;
    assert_eq!(operator.get("/livez").await.unwrap().0, 200, "no reason to kill it");
    assert_ne!(holder(&world).await, "", "nobody else may begin yet");
    assert!(world.secret("web").await.is_none(), "the answer is still to come");

    assert!(operator.ended(GRACE).await.success());
    let secret = world.secret("web").await.expect("what was under way is recorded");
    assert!(world.sim.is_valid_storefront(SHOP, secret.access_token()));
    assert_eq!(world.live().len(), 1);
    let status = world.ready("web").await.status.unwrap();
    assert_eq!(status.revision, Some(1));
    assert_eq!(world.events("web").await, ["Issued"]);
    assert_eq!(holder(&world).await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_never_answered_doesnt_hold_the_stop() {
    let world = World::new("stop-hang").await;
    world.make_app().await;
    let mut operator = Operator::start(&world, &[]).await;
    world.token("admin", json!({"source": {"clientCredentials": {"appRef": {"name": "acme"}}}})).await;
    world.ready("admin").await;
    world.sim.inject(Fault::new("admin.storefrontAccessTokenCreate", FaultKind::CommitThenHang).times(1));
    world.token("web", json!({"source": {"storefront": {"adminTokenRef": {"name": "admin"}}}})).await;
    world.eventually("a create", async || world.sim.calls("admin.storefrontAccessTokenCreate") == 1).await;
    let told = Instant::now();
    operator.signal(Signal::TERM);
    assert!(operator.ended(GRACE).await.success());
    assert!(told.elapsed() < GRACE);
    assert_eq!(holder(&world).await, "");

    let _operator = Operator::start(&world, &[]).await;
    world.ready("web").await;
    assert_eq!(world.live().len(), 1);
    assert_eq!(world.secret("web").await.unwrap().access_token(), world.live()[0].value);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_it_at_once() {
    let world = World::new("stop-twice").await;
    world.make_app().await;
    let mut operator = Operator::start(&world, &[ALONE]).await;
    world.sim.inject(Fault::new("oauth.clientCredentials", FaultKind::Hang));
    world.token("web", json!({"source": {"clientCredentials": {"appRef": {"name": "acme"}}}})).await;
    world.eventually("a call", async || world.sim.calls("oauth.clientCredentials") == 1).await;
    operator.signal(Signal::TERM);
    operator.until("draining", async |it| it.get("/readyz").await.is_some_and(|(code, _)| code == 503)).await;
    operator.signal(Signal::TERM);
    assert!(!operator.ended(Duration::from_secs(3)).await.success(), "work was cut off: not a success");
}

fn shops(world: &World, count: usize) -> Vec<String> {
    let shops: Vec<String> = (0..count).map(|n| format!("stop-{n}.myshopify.com")).collect();
    for shop in &shops {
        world.sim.add_shop(ShopConfig::new(shop));
        world.sim.install(shop, CLIENT_ID, SCOPES.iter().copied()).unwrap();
    }
    shops
}

/// Makes so many tokens, spread over the shops.
async fn tokens(world: &World, shops: &[String], count: usize) {
    let spec = |shop: &str| json!({"shop": shop, "source": {"clientCredentials": {"appRef": {"name": "acme"}}}});
    let names: Vec<String> = (0..count).map(|n| format!("web-{n}")).collect();
    join_all(names.iter().zip(shops.iter().cycle()).map(|(name, shop)| world.token(name, spec(shop)))).await;
}

/// How many of them have a Secret.
async fn issued(world: &World) -> u64 {
    let secrets = world.api::<Secret>().list(&ListParams::default()).await.unwrap().items;
    secrets.iter().filter(|secret| secret.name_any().starts_with("web-")).count().try_into().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_worker_yet_begins_nothing_any_more() {
    let world = World::new("stop-many").await;
    world.make_app().await;
    // A worker is lent while its shop answers, so one call of the app may be on its way to each of them.
    let shops = shops(&world, 16);
    let mut operator = Operator::start(&world, &[ALONE, "--concurrency=4"]).await;
    world.sim.inject(Fault::new("oauth.clientCredentials", FaultKind::Delay(Duration::from_millis(500))));
    tokens(&world, &shops, 200).await;
    let calls = || world.sim.calls("oauth.clientCredentials");
    world.eventually("some are issued", async || calls() > 0).await;
    operator.signal(Signal::TERM);
    let before = calls();
    assert!(operator.ended(GRACE).await.success());
    let after = calls() - before;
    assert!(before < 150, "{before} of 200 before the signal");
    assert!(after <= 20, "{after} calls after the signal: those on their way, and nobody's else");
    assert_eq!(issued(&world).await, calls(), "each that was made is recorded");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_its_turn_begins_nothing_any_more() {
    let world = World::new("stop-turns").await;
    world.make_app().await;
    let shops = shops(&world, 10);
    let mut operator = Operator::start(&world, &[ALONE, "--concurrency=4"]).await;
    world.sim.inject(Fault::new("oauth.clientCredentials", FaultKind::Delay(Duration::from_secs(12))));
    tokens(&world, &shops, 30).await;
    let calls = || world.sim.calls("oauth.clientCredentials");
    world.eventually("each shop is asked", async || calls() == 10).await;
    operator.signal(Signal::TERM);
    assert!(operator.ended(GRACE).await.success());
    assert_eq!(calls(), 10, "what was under way ends, and nobody asks after it");
    assert_eq!(issued(&world).await, 10, "each that was made is recorded");
}
