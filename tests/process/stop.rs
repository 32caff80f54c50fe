//! SIGTERM: what is under way finishes and is recorded, then the process ends in time.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;
use shopify_sim::{Fault, FaultKind};

use crate::{
    operator::{ALONE, Operator, holder},
    world::{SHOP, World},
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
