//! Killed at any instruction: nothing leaks, nothing is lost.

use std::{ops::RangeInclusive, time::Duration};

use serde_json::json;
use shopify_sim::{Fault, FaultKind};
use tokio::time::sleep;

use crate::{
    operator::{ALONE, Operator},
    world::{SHOP, World},
};

const LONG: FaultKind = FaultKind::Delay(Duration::from_mins(1));

/// A world with the admin token that storefront tokens are made with.
async fn world(name: &str) -> (World, Operator) {
    let world = World::new(name).await;
    world.make_app().await;
    let operator = Operator::start(&world, &[ALONE]).await;
    world.token("admin", json!({"source": {"clientCredentials": {"appRef": {"name": "acme"}}}})).await;
    world.ready("admin").await;
    (world, operator)
}

async fn committed(world: &World, operation: &str, count: u64) {
    world.eventually(&format!("{count} {operation}"), async || world.sim.calls(operation) >= count).await;
    // The simulator commits before it delays the answer; the log is written before that.
    sleep(Duration::from_millis(200)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn between_a_grant_and_its_secret_nothing_is_lost() {
    let world = World::new("crash-cc").await;
    world.make_app().await;
    world.sim.inject(Fault::new("oauth.clientCredentials", LONG).times(1));
    let operator = Operator::start(&world, &[ALONE]).await;
    world.token("web", json!({"source": {"clientCredentials": {"appRef": {"name": "acme"}}}})).await;
    committed(&world, "oauth.clientCredentials", 1).await;
    assert!(world.secret("web").await.is_none());
    operator.kill().await;

    let _operator = Operator::start(&world, &[ALONE]).await;
    world.ready("web").await;
    let secret = world.secret("web").await.unwrap();
    // Shopify can't revoke the first one: it expires. What counts is that the Secret's works, and is the last.
    assert!(world.sim.is_valid_admin(SHOP, secret.access_token()));
    assert_eq!(world.sim.live_access_tokens(SHOP).last().unwrap().value, secret.access_token());
    assert_eq!(secret.record("revision"), Some("1"));
    world.a_while().await;
    assert_eq!(world.sim.calls("oauth.clientCredentials"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn between_a_create_and_its_secret_the_token_is_found_again() {
    let (world, operator) = world("crash-sf").await;
    world.sim.inject(Fault::new("admin.storefrontAccessTokenCreate", LONG).times(1));
    world.token("web", json!({"source": {"storefront": {"adminTokenRef": {"name": "admin"}}}})).await;
    committed(&world, "admin.storefrontAccessTokenCreate", 1).await;
    assert_eq!(world.live().len(), 1);
    assert!(world.secret("web").await.is_none());
    operator.kill().await;

    let _operator = Operator::start(&world, &[ALONE]).await;
    world.ready("web").await;
    let live = world.live();
    assert_eq!(live.len(), 1, "{live:?}");
    let secret = world.secret("web").await.unwrap();
    assert_eq!(secret.access_token(), live[0].value);
    assert_eq!(secret.record("token-id"), Some(live[0].id.as_str()));
    assert_eq!(world.sim.calls("admin.storefrontAccessTokenCreate"), 1);
    world.told("web", &["Adopted"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_rotation_the_one_in_use_keeps_its_overlap() {
    let (world, operator) = world("crash-rot").await;
    world.token("web", json!({"source": {"storefront": {"adminTokenRef": {"name": "admin"}}}})).await;
    world.ready("web").await;
    let old = world.secret("web").await.unwrap();
    world.sim.inject(Fault::new("admin.storefrontAccessTokenCreate", LONG).times(1));
    rotate(&world, "1").await;
    committed(&world, "admin.storefrontAccessTokenCreate", 2).await;
    operator.kill().await;
    assert_eq!(world.secret("web").await.unwrap().access_token(), old.access_token());

    let _operator = Operator::start(&world, &[ALONE]).await;
    handled(&world, "1").await;
    let (secret, live) = (world.secret("web").await.unwrap(), world.live());
    let values: Vec<&str> = live.iter().map(|t| t.value.as_str()).collect();
    assert_eq!(values, [old.access_token(), secret.access_token()]);
    assert_eq!(secret.data["previous_access_token"], old.access_token());
    assert_eq!(world.sim.calls("admin.storefrontAccessTokenCreate"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn as_soon_as_a_rotation_is_asked_for() {
    killed_at("crash-soon", 1..=4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_the_midst_of_a_rotation() {
    killed_at("crash-midst", 5..=8).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_a_rotation_is_nearly_done() {
    killed_at("crash-late", 9..=12).await;
}

/// Wherever the kill strikes, so many times 15 ms after the request: I2.
async fn killed_at(name: &str, moments: RangeInclusive<u64>) {
    let kills = moments.clone().count() as u64;
    let (world, mut operator) = world(name).await;
    let spec = json!({"source": {"storefront": {"adminTokenRef": {"name": "admin"}}}, "rotation": {"overlap": "1s"}});
    world.token("web", spec).await;
    world.ready("web").await;
    for round in moments {
        let id = round.to_string();
        rotate(&world, &id).await;
        sleep(Duration::from_millis(round * 15)).await;
        operator.kill().await;
        operator = Operator::start(&world, &[ALONE]).await;
        handled(&world, &id).await;
    }
    assert_eq!(world.sim.calls("admin.storefrontAccessTokenCreate"), kills + 1, "one for each rotation");
    world.eventually("only the current one is left", async || world.live().len() == 1).await;
    let secret = world.secret("web").await.unwrap();
    assert_eq!(secret.access_token(), world.live()[0].value);
    assert_eq!(secret.record("revision"), Some((kills + 1).to_string().as_str()));
    drop(operator);
}

async fn rotate(world: &World, value: &str) {
    world.change("web", json!({"metadata": {"annotations": {"tokens.shopify-operator.dev/rotate-at": value}}})).await;
}

async fn handled(world: &World, value: &str) {
    world
        .until("web", "rotated", |t| {
            t.status.as_ref().is_some_and(|s| s.last_handled_rotate_at.as_deref() == Some(value))
        })
        .await;
}
