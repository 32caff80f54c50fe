//! `spec.suspend`: the operator leaves an object alone until it is resumed, or deleted.

use chrono::TimeDelta;
use k8s_openapi::api::core::v1::Secret;
use kube::api::DeleteParams;
use serde_json::json;

use crate::{
    specs::{client_credentials, custom, storefront, with},
    world::{CLIENT_ID, SHOP, World, condition, revision},
};

fn suspended(yes: bool) -> serde_json::Value {
    json!({"spec": {"suspend": yes}})
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_issued_before_it_is_resumed() {
    let world = World::with_app("suspend-new").await;
    world.token("web", with(client_credentials(), json!({"suspend": true}))).await;
    let token = world.because("web", "Suspended", "Suspended").await;
    assert_eq!(condition(&token, "Ready"), Some(("False".into(), "Pending".into())));
    assert_eq!((condition(&token, "Reconciling"), condition(&token, "Stalled")), (None, None));
    world.a_while().await;
    assert_eq!(world.sim.total_calls(), 0);
    world.change("web", suspended(false)).await;
    let token = world.ready("web").await;
    assert_eq!(condition(&token, "Suspended"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_issue_check_or_revocation_until_resumed() {
    let world = World::with_custom_admin("suspend").await;
    let spec = with(storefront(), json!({"rotation": {"overlap": "1h", "trigger": "1"}}));
    world.token("web", spec).await;
    world.ready("web").await;
    world.change("web", json!({"spec": {"rotation": {"trigger": "2"}}})).await;
    world.until("web", "rotated", |t| revision(t) == 2).await;
    world.ready("web").await;
    world.change("web", suspended(true)).await;
    let token = world.because("web", "Suspended", "Suspended").await;
    assert_eq!(condition(&token, "Ready"), Some(("True".into(), "Issued".into())), "it works");

    let calls = world.sim.total_calls();
    world.change("web", json!({"spec": {"rotation": {"trigger": "3"}}})).await;
    let asked = json!({"reconcile.fluxcd.io/requestedAt": "1", "tokens.shopify-operator.dev/rotate-at": "1"});
    world.change("web", json!({"metadata": {"annotations": asked}})).await;
    world.pass(TimeDelta::hours(30));
    world.a_while().await;
    assert_eq!(world.sim.total_calls(), calls);
    assert_eq!(world.live().len(), 2);
    let token = world.tokens().get("web").await.unwrap();
    assert_eq!(token.status.unwrap().last_handled_reconcile_at, None, "nobody has acted upon it");

    world.change("web", suspended(false)).await;
    world.until("web", "rotated", |t| revision(t) == 3).await;
    world.eventually("the first is revoked, the second in overlap", async || world.live().len() == 2).await;
    let token = world.ready("web").await;
    assert_eq!(token.status.unwrap().last_handled_reconcile_at.as_deref(), Some("1"));
    assert_eq!(world.sim.calls("admin.storefrontAccessTokenCreate"), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_deleted_comes_back_when_resumed() {
    let world = World::with_app("suspend-lost").await;
    world.hand_in().await;
    world.token("web", custom()).await;
    world.ready("web").await;
    world.change("web", suspended(true)).await;
    world.because("web", "Suspended", "Suspended").await;
    world.api::<Secret>().delete("web", &DeleteParams::default()).await.unwrap();
    let token =
        world.until("web", "not Ready", |t| condition(t, "Ready") == Some(("False".into(), "Pending".into()))).await;
    assert_eq!(condition(&token, "Suspended"), Some(("True".into(), "Suspended".into())));
    assert!(world.secret("web").await.is_none());
    world.change("web", suspended(false)).await;
    world.ready("web").await;
    assert!(world.secret("web").await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn deletion_revokes_all_the_same() {
    let world = World::with_custom_admin("suspend-deleted").await;
    world.token("web", with(storefront(), json!({"rotation": {"trigger": "1"}}))).await;
    world.ready("web").await;
    world.change("web", json!({"spec": {"rotation": {"trigger": "2"}}})).await;
    world.until("web", "rotated", |t| revision(t) == 2).await;
    world.change("web", suspended(true)).await;
    world.because("web", "Suspended", "Suspended").await;
    world.delete("web").await;
    world.gone("web").await;
    assert_eq!(world.live().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn expiry_is_told_without_a_jump_of_the_clock() {
    let world = World::with_app("suspend-expiry").await;
    world.sim.set_token_lifetime(CLIENT_ID, std::time::Duration::from_secs(5)).unwrap();
    world.token("web", with(client_credentials(), json!({"renewBefore": "1s"}))).await;
    world.ready("web").await;
    world.change("web", suspended(true)).await;
    let token =
        world.until("web", "expired", |t| condition(t, "Ready") == Some(("False".into(), "TokenExpired".into()))).await;
    assert_eq!(condition(&token, "Suspended"), Some(("True".into(), "Suspended".into())));
    world.change("web", suspended(false)).await;
    world.until("web", "renewed", |t| revision(t) == 2).await;
    assert!(world.sim.is_valid_admin(SHOP, world.secret("web").await.unwrap().access_token()));
}
