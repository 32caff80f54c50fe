//! Rotation: exactly one for each request, with an overlap in which both credentials work.

use chrono::TimeDelta;
use serde_json::json;

use crate::{
    gate::Gate,
    specs::{client_credentials, custom, storefront, with},
    world::{SHOP, World, condition, message, revision},
};

const ROTATE_AT: &str = "tokens.shopify-operator.dev/rotate-at";

/// A storefront token that nothing verifies meanwhile.
fn unverified(rotation: &serde_json::Value) -> serde_json::Value {
    with(storefront(), json!({"verifyInterval": "0s", "rotation": rotation}))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_new_trigger_is_exactly_one_rotation() {
    let world = World::with_custom_admin("rotate-trigger").await;
    world.token("web", unverified(&json!({"trigger": "one"}))).await;
    let token = world.ready("web").await;
    assert_eq!(token.status.unwrap().last_handled_trigger.as_deref(), Some("one"), "handled by the first issue");

    world.change("web", json!({"spec": {"rotation": {"trigger": "two"}}})).await;
    let token = world.until("web", "rotated", |t| revision(t) == 2).await;
    assert_eq!(token.status.unwrap().last_handled_trigger.as_deref(), Some("two"));
    world.nudge("web").await;
    world.change("web", json!({"spec": {"rotation": {"trigger": "two", "overlap": "2h"}}})).await;
    world.a_while().await;
    assert_eq!(world.sim.calls("admin.storefrontAccessTokenCreate"), 2);
    world.told("web", &["Issued", "Rotated"]).await;

    // An older value is a new one too; none at all asks for nothing.
    world.change("web", json!({"spec": {"rotation": {"trigger": "one"}}})).await;
    world.until("web", "rotated", |t| revision(t) == 3).await;
    world.change("web", json!({"spec": {"rotation": {"trigger": null}}})).await;
    world.a_while().await;
    assert_eq!(world.sim.calls("admin.storefrontAccessTokenCreate"), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn rotate_at_works_for_every_source() {
    let world = World::with_custom_admin("rotate-at").await;
    world.token("sf", unverified(&json!({}))).await;
    world.token("cc", client_credentials()).await;
    world.token("custom", custom()).await;
    let rotate = async |value: &str| {
        for name in ["sf", "cc", "custom"] {
            world.change(name, json!({"metadata": {"annotations": {ROTATE_AT: value}}})).await;
            world
                .until(name, "handled", |t| t.status.as_ref().unwrap().last_handled_rotate_at.as_deref() == Some(value))
                .await;
        }
    };
    for name in ["sf", "cc", "custom"] {
        world.ready(name).await;
    }
    let checks = world.sim.calls("admin.currentAppInstallation");
    rotate("1").await;
    rotate("1").await;
    world.a_while().await;
    assert_eq!(world.sim.calls("admin.storefrontAccessTokenCreate"), 2);
    assert_eq!(world.sim.calls("oauth.clientCredentials"), 2);
    assert!(world.sim.calls("admin.currentAppInstallation") > checks, "custom was verified");
    assert_eq!(revision(&world.ready("sf").await), 2);
    assert_eq!(revision(&world.ready("cc").await), 2);
    assert_eq!(revision(&world.ready("custom").await), 1, "there is only the one");
}

/// The record has all annotations of the Secret to share with.
#[tokio::test(flavor = "multi_thread")]
async fn a_rotate_at_may_be_as_long_as_annotations_may() {
    let world = World::with_app("rotate-long").await;
    world.token("web", client_credentials()).await;
    world.ready("web").await;
    for (value, wanted) in [("x".repeat(262_000), 2), ("x".repeat(262_001), 3)] {
        world.change("web", json!({"metadata": {"annotations": {ROTATE_AT: value}}})).await;
        world.until("web", "rotated", |t| revision(t) == wanted).await;
    }
    world.nudge("web").await;
    world.a_while().await;
    assert_eq!(world.sim.calls("oauth.clientCredentials"), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotate_at_that_was_there_at_first_is_handled() {
    let world = World::with_app("rotate-first").await;
    let spec = with(client_credentials(), json!({"shop": SHOP}));
    let metadata = json!({"name": "web", "annotations": {ROTATE_AT: "1"}});
    world.apply(json!({"kind": "ShopifyToken", "metadata": metadata, "spec": spec})).await;
    world.ready("web").await;
    world.nudge("web").await;
    world.a_while().await;
    assert_eq!(world.sim.calls("oauth.clientCredentials"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn by_interval_with_an_overlap() {
    let world = World::with_custom_admin("rotate-interval").await;
    world.token("web", unverified(&json!({"interval": "720h", "overlap": "24h"}))).await;
    let token = world.ready("web").await;
    let status = token.status.unwrap();
    let (issued, renewal) = (status.issued_at.unwrap().0, status.renewal_time.unwrap().0);
    assert_eq!(renewal.as_second() - issued.as_second(), 720 * 3600);
    let first = world.secret("web").await.unwrap().access_token().to_owned();

    world.pass(TimeDelta::hours(719));
    world.a_while().await;
    assert_eq!(world.sim.calls("admin.storefrontAccessTokenCreate"), 1);
    world.pass(TimeDelta::hours(1));
    let token = world.until("web", "rotated", |t| revision(t) == 2).await;
    let [previous] = token.status.unwrap().previous.try_into().unwrap();
    let secret = world.secret("web").await.unwrap();
    assert_eq!(secret.data["previous_access_token"], first);
    assert!(secret.record("previous").unwrap().contains(&previous.token_id));
    assert!(world.sim.is_valid_storefront(SHOP, &first));
    assert!(world.sim.is_valid_storefront(SHOP, secret.access_token()));

    world.pass(TimeDelta::hours(23));
    world.a_while().await;
    assert!(world.sim.is_valid_storefront(SHOP, &first), "the overlap isn't over");
    world.pass(TimeDelta::hours(1));
    world.eventually("revoked", async || !world.sim.is_valid_storefront(SHOP, &first)).await;
    world.until("web", "alone", |t| t.status.as_ref().unwrap().previous.is_empty()).await;
    let secret = world.secret("web").await.unwrap();
    assert!(world.sim.is_valid_storefront(SHOP, secret.access_token()));
    assert_eq!(secret.data.get("previous_access_token"), None);
    assert_eq!(secret.record("previous"), None);
    world.told("web", &["Issued", "Rotated", "Revoked"]).await;
    assert_eq!(world.live().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sixth_waits_for_the_first_of_five_to_end() {
    let world = World::with_custom_admin("rotate-five").await;
    world.token("web", unverified(&json!({"trigger": "1", "overlap": "10h"}))).await;
    world.ready("web").await;
    for n in 2..=6 {
        world.change("web", json!({"spec": {"rotation": {"trigger": n.to_string()}}})).await;
        world.until("web", "rotated", |t| revision(t) == n).await;
        world.pass(TimeDelta::minutes(10));
    }
    world.change("web", json!({"spec": {"rotation": {"trigger": "7"}}})).await;
    let token = world.because("web", "Reconciling", "Rotating").await;
    assert_eq!(condition(&token, "Ready"), Some(("True".into(), "Issued".into())));
    assert!(message(&token, "Reconciling").contains("5 older tokens"), "{}", message(&token, "Reconciling"));
    world.a_while().await;
    assert_eq!(world.live().len(), 6);
    // The first of them ends after 10 hours, of which 50 minutes have passed.
    world.pass(TimeDelta::minutes(551));
    world.until("web", "rotated", |t| revision(t) == 7).await;
    let token = world.ready("web").await;
    assert_eq!(token.status.unwrap().previous.len(), 5);
    assert_eq!(world.live().len(), 6);
    assert_eq!(world.sim.calls("admin.storefrontAccessTokenCreate"), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_secret_cannot_be_written_the_old_one_lives() {
    let mut world = World::new("rotate-unwritten").await;
    let gate = Gate::default();
    let setup = world.setup_behind(&gate).await;
    world.start_with(setup);
    world.make_app().await;
    world.hand_in().await;
    world.token("admin", custom()).await;
    world.token("web", unverified(&json!({"trigger": "1", "overlap": "1h"}))).await;
    world.ready("web").await;
    let first = world.secret("web").await.unwrap().access_token().to_owned();

    gate.close();
    world.change("web", json!({"spec": {"rotation": {"trigger": "2"}}})).await;
    world.eventually("created", async || world.live().len() == 2).await;
    for _ in 0..3 {
        world.pass(TimeDelta::hours(2));
        world.a_while().await;
        assert!(world.sim.is_valid_storefront(SHOP, &first));
        assert_eq!(world.secret("web").await.unwrap().access_token(), first);
    }
    gate.open();
    world.until("web", "rotated", |t| revision(t) == 2).await;
    assert_eq!(world.sim.calls("admin.storefrontAccessTokenCreate"), 2, "the one that was made is published");
    assert!(world.sim.is_valid_storefront(SHOP, &first), "its overlap begins now");
    world.pass(TimeDelta::minutes(61));
    world.eventually("revoked", async || world.live().len() == 1).await;
    assert!(!world.sim.is_valid_storefront(SHOP, &first));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issued_token_that_cannot_be_written_is_not_issued_again() {
    let mut world = World::new("rotate-unwritten-cc").await;
    let gate = Gate::default();
    let setup = world.setup_behind(&gate).await;
    world.start_with(setup);
    world.make_app().await;
    world.token("web", client_credentials()).await;
    let first = world.ready("web").await;
    gate.close();
    world.pass(TimeDelta::hours(16));
    world.eventually("issued", async || world.sim.calls("oauth.clientCredentials") == 2).await;
    world.nudge("web").await;
    world.pass(TimeDelta::hours(1));
    world.a_while().await;
    assert_eq!(revision(&world.tokens().get("web").await.unwrap()), revision(&first));
    gate.open();
    world.until("web", "renewed", |t| revision(t) == 2).await;
    assert_eq!(world.sim.calls("oauth.clientCredentials"), 2);
}
