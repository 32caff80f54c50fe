//! A deleted namespace: it finishes by itself, and nothing that could be revoked lives on.

use std::time::Duration;

use chrono::TimeDelta;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::{Api, api::DeleteParams};
use serde_json::json;
use shopify_sim::{Fault, FaultKind, StatusFault};

use crate::world::{CLIENT_ID, SHOP, World};

/// A namespace with two storefront tokens; `None`, said so, where nobody deletes what is in it.
async fn full(name: &str) -> Option<World> {
    let world = World::with_storefront(name, json!({})).await;
    if !world.cluster.has_controller_manager() {
        dev::skipped("this cluster has no kube-controller-manager, which empties namespaces");
        return None;
    }
    world.storefront("other", json!({})).await;
    world.ready("other").await;
    Some(world)
}

fn namespaces(world: &World) -> Api<Namespace> {
    Api::all(world.admin.clone())
}

async fn delete(world: &World) {
    namespaces(world).delete(&world.namespace, &DeleteParams::default()).await.unwrap();
}

/// Waits longer than others: kube-controller-manager looks again after pauses of its own.
async fn gone(world: &World) {
    let gone = async {
        while namespaces(world).get_opt(&world.namespace).await.unwrap().is_some() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(2), gone).await.expect("the namespace is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_goes_with_everything_in_it() {
    let Some(world) = full("namespace").await else { return };
    delete(&world).await;
    gone(&world).await;
    assert!(world.live().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn it_waits_for_shopify_and_revokes_what_is_left() {
    let Some(world) = full("namespace-500").await else { return };
    world.sim.inject(Fault::new("*", FaultKind::Status(StatusFault::new(503))));
    delete(&world).await;
    world.because("web", "Reconciling", "BackingOff").await;
    for _ in 0..5 {
        world.pass(TimeDelta::minutes(11));
        world.a_while().await;
    }
    assert_eq!(world.live().len(), 2);
    assert!(world.tokens().get_opt("web").await.unwrap().is_some());
    world.sim.clear_faults();
    world.pass(TimeDelta::seconds(11));
    gone(&world).await;
    assert!(world.live().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn it_goes_though_shopify_never_comes_back() {
    let Some(world) = full("namespace-dead").await else { return };
    world.sim.inject(Fault::new("*", FaultKind::Hang));
    delete(&world).await;
    world.because("web", "Reconciling", "BackingOff").await;
    world.pass(TimeDelta::minutes(61));
    gone(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_goes_though_the_app_was_uninstalled() {
    let Some(world) = full("namespace-uninstalled").await else { return };
    world.sim.uninstall(SHOP, CLIENT_ID).unwrap();
    delete(&world).await;
    gone(&world).await;
    assert!(world.live().is_empty());
}

/// What a token is revoked with may be Secrets that go with the namespace, too.
#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_what_an_offline_admin_token_is_refreshed_with() {
    let (world, _) = World::with_offline("namespace-offline", json!({})).await;
    if !world.cluster.has_controller_manager() {
        return;
    }
    world.token("sf", json!({"source": {"storefront": {"adminTokenRef": {"name": "web"}}}, "verifyInterval": 0})).await;
    world.ready("sf").await;
    let fault = FaultKind::Status(StatusFault::new(503));
    world.sim.inject(Fault::new("admin.storefrontAccessTokenDelete", fault));
    delete(&world).await;
    world.because("sf", "Reconciling", "BackingOff").await;
    world.eventually("its Secret goes", async || !world.exists::<Secret>("web").await).await;
    // The token in there ends meanwhile.
    world.pass(TimeDelta::minutes(41));
    world.eventually("it is refreshed", async || world.sim.calls("oauth.refresh") > 0).await;
    world.pass(TimeDelta::minutes(14));
    world.a_while().await;
    assert_eq!((world.live().len(), world.sim.calls("oauth.refresh")), (1, 1));
    let web = world.tokens().get("web").await.unwrap();
    assert_eq!(web.status.unwrap().failed_attempts, None, "nothing is tried that can't be done");
    world.sim.clear_faults();
    world.pass(TimeDelta::seconds(11));
    gone(&world).await;
    assert!(world.live().is_empty());
}
