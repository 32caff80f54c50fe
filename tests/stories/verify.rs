//! Verification: what Shopify says of a credential is noticed, recorded and acted upon.

use chrono::TimeDelta;
use kube::ResourceExt;
use serde_json::json;
use shopify_sim::{Fault, FaultKind, StatusFault, Surface};
use shopify_token_operator::api::ShopifyToken;

use crate::{
    specs::{client_credentials, custom, storefront, with},
    world::{CLIENT_ID, SCOPES, SHOP, World, condition, message, revision},
};

const HOUR: TimeDelta = TimeDelta::seconds(3601);

/// Whether a condition has a status and a reason.
fn is(token: &ShopifyToken, type_: &str, status: &str, reason: &str) -> bool {
    condition(token, type_) == Some((status.into(), reason.into()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storefront_token_deleted_at_shopify_is_replaced() {
    let world = World::with_custom_admin("verify-deleted").await;
    world.token("web", storefront()).await;
    world.ready("web").await;
    let [live] = world.live().try_into().unwrap();
    world.sim.delete_storefront_token(SHOP, &live.id).unwrap();
    world.pass(HOUR);
    world.until("web", "replaced", |t| revision(t) == 2).await;
    let token = world.ready("web").await;
    assert!(is(&token, "TokenValid", "True", "Verified"));
    assert!(token.status.unwrap().previous.is_empty(), "there is nothing to revoke");
    let secret = world.secret("web").await.unwrap();
    assert!(world.sim.is_valid_storefront(SHOP, secret.access_token()));
    world.told("web", &["Issued", "VerificationFailed", "ReplacedAtShopify"]).await;
    assert_eq!(world.sim.calls("admin.storefrontAccessTokenCreate"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_credentials_token_that_is_refused_is_issued_again() {
    let world = World::with_app("verify-refused").await;
    world.token("web", client_credentials()).await;
    world.ready("web").await;
    world.sim.revoke_admin_token(world.secret("web").await.unwrap().access_token()).unwrap();
    world.pass(HOUR);
    world.until("web", "replaced", |t| revision(t) == 2).await;
    world.ready("web").await;
    assert!(world.sim.is_valid_admin(SHOP, world.secret("web").await.unwrap().access_token()));
    world.told("web", &["Issued", "VerificationFailed", "ReplacedAtShopify"]).await;
    assert_eq!(world.sim.calls("oauth.clientCredentials"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_custom_token_that_is_refused_needs_a_person() {
    let world = World::with_app("verify-custom").await;
    let value = world.hand_in().await;
    world.token("web", custom()).await;
    world.ready("web").await;
    world.sim.revoke_admin_token(&value).unwrap();
    world.pass(HOUR);
    let token = world.because("web", "Stalled", "TokenRejected").await;
    assert!(is(&token, "Ready", "False", "TokenRejected"));
    assert!(is(&token, "TokenValid", "False", "Rejected"));
    assert_eq!(condition(&token, "Reconciling"), None);

    let value = world.hand_in().await;
    world.until("web", "republished", |t| revision(t) == 2).await;
    let token = world.ready("web").await;
    assert!(is(&token, "TokenValid", "True", "Verified"));
    assert_eq!(world.secret("web").await.unwrap().access_token(), value);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_custom_token_found_refused_on_request_is_not_ready() {
    let world = World::with_app("verify-rotate").await;
    let value = world.hand_in().await;
    world.token("web", custom()).await;
    world.ready("web").await;
    world.sim.revoke_admin_token(&value).unwrap();
    world.change("web", json!({"metadata": {"annotations": {"tokens.shopify-operator.dev/rotate-at": "1"}}})).await;
    let token = world.because("web", "Stalled", "TokenRejected").await;
    assert!(is(&token, "Ready", "False", "TokenRejected"));
    assert!(is(&token, "TokenValid", "False", "Rejected"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replacement_that_is_refused_does_not_replace() {
    let world = World::with_app("verify-worse").await;
    let value = world.hand_in().await;
    world.token("web", custom()).await;
    world.ready("web").await;
    world.secret_of("legacy", &[("token", "shpat_nobody_knows_it")]).await;
    let token = world.because("web", "Stalled", "TokenRejected").await;
    assert!(is(&token, "Ready", "True", "Issued"), "applications hold the one that works");
    assert_eq!(world.secret("web").await.unwrap().access_token(), value);
    world.secret_of("legacy", &[("token", &value)]).await;
    world.ready("web").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scopes_that_change_are_recorded() {
    let world = World::with_custom_admin("verify-scopes").await;
    for (name, spec) in [("cc", client_credentials()), ("custom", custom()), ("sf", storefront())] {
        world.token(name, spec).await;
        world.ready(name).await;
    }
    let more = SCOPES.iter().copied().chain(["read_orders", "unauthenticated_read_content"]);
    world.sim.set_scopes(SHOP, CLIENT_ID, more).unwrap();
    world.pass(HOUR);
    for (name, scope) in [("cc", "read_orders"), ("custom", "read_orders"), ("sf", "unauthenticated_read_content")] {
        let token = world
            .until(name, "told of its scopes", |t| t.status.as_ref().unwrap().scopes.iter().any(|s| s == scope))
            .await;
        assert_eq!(revision(&token), 1);
        let secret = world.secret(name).await.unwrap();
        assert!(secret.data["scopes"].contains(scope), "{}", secret.data["scopes"]);
        assert!(secret.record("scopes").unwrap().contains(scope));
    }
    assert_eq!(world.sim.calls("oauth.clientCredentials"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn shopify_out_of_reach_says_nothing_of_the_credential() {
    let world = World::with_app("verify-silent").await;
    world.token("web", with(client_credentials(), json!({"renewBefore": "1h"}))).await;
    world.ready("web").await;
    world.sim.inject(Fault::new("*", FaultKind::Status(StatusFault::new(503))));
    world.pass(HOUR);
    let token = world.because("web", "Reconciling", "BackingOff").await;
    assert!(is(&token, "TokenValid", "Unknown", "Unreachable"));
    assert!(is(&token, "Ready", "True", "Issued"));
    world.sim.clear_faults();
    world.pass(TimeDelta::seconds(11));
    let token = world.ready("web").await;
    assert!(is(&token, "TokenValid", "True", "Verified"));
    world.told("web", &["Issued", "VerificationFailed", "Recovered"]).await;
    assert_eq!(world.sim.calls("oauth.clientCredentials"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interval_of_zero_is_never() {
    let world = World::with_custom_admin("verify-never").await;
    let never = json!({"verifyInterval": "0s"});
    for (name, spec) in [("custom", custom()), ("sf", storefront())] {
        world.token(name, with(spec, never.clone())).await;
        world.ready(name).await;
    }
    let calls = world.sim.total_calls();
    world.pass(TimeDelta::days(30));
    world.a_while().await;
    assert_eq!(world.sim.total_calls(), calls);
    // Asked for, it is checked all the same.
    let requested = json!({"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": "now"}}});
    world.change("sf", requested).await;
    world.eventually("asked", async || world.sim.total_calls() > calls).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_echoed_and_verifies_once() {
    let world = World::with_app("verify-asked").await;
    world.token("web", client_credentials()).await;
    world.ready("web").await;
    let calls = world.sim.total_calls();
    for value in ["one", "two", "two"] {
        let requested = json!({"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": value}}});
        world.change("web", requested).await;
        world
            .until("web", "echoed", |t| t.status.as_ref().unwrap().last_handled_reconcile_at.as_deref() == Some(value))
            .await;
    }
    world.a_while().await;
    assert_eq!(world.sim.total_calls(), calls + 2);
    assert_eq!(world.sim.calls("oauth.clientCredentials"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn strays_with_our_marker_are_revoked() {
    let world = World::with_custom_admin("verify-strays").await;
    world.token("web", with(storefront(), json!({"rotation": {"overlap": "2h"}}))).await;
    let token = world.ready("web").await;
    let uid = token.uid().unwrap();
    let make = |title: String| world.sim.create_storefront_token(SHOP, CLIENT_ID, &title).unwrap().id;
    let never_published = make(format!("web #stok:{uid}:7"));
    let perhaps_published = make(format!("web #stok:{uid}:1"));
    let foreign = make("web #stok:of-somebody-else:1".into());
    let plain = make("web".into());
    world.pass(HOUR);
    let lives = |id: &str| world.live().iter().any(|t| t.id == id);
    world.eventually("revoked", async || !lives(&never_published)).await;
    assert!(lives(&perhaps_published), "somebody may hold it: it gets an overlap");
    world.pass(HOUR * 2);
    world.eventually("revoked", async || !lives(&perhaps_published)).await;
    let token = world.ready("web").await;
    assert_eq!(revision(&token), 1, "{}", message(&token, "Ready"));
    assert!(lives(&foreign) && lives(&plain));
    assert_eq!(world.live().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_refused_probe_of_a_token_that_is_still_listed_revokes_nothing() {
    let world = World::with_custom_admin("verify-once").await;
    world.token("web", with(storefront(), json!({"rotation": {"overlap": "2h"}}))).await;
    world.ready("web").await;
    let probe = || Fault::on(Surface::Storefront, FaultKind::Status(StatusFault::new(401)));
    world.sim.inject(probe().times(1));
    let probes = world.sim.calls("storefront.probe");
    world.pass(HOUR);
    world.eventually("asked", async || world.sim.calls("storefront.probe") > probes).await;
    world.a_while().await;
    assert_eq!(revision(&world.tokens().get("web").await.unwrap()), 1, "a passing refusal");
    assert_eq!(world.live().len(), 1);

    // Refused twice, some time apart: replaced, and the old one keeps its overlap as long as it is listed.
    world.sim.inject(probe());
    for minutes in [61, 2, 2] {
        world.pass(TimeDelta::minutes(minutes));
        world.a_while().await;
    }
    world.until("web", "replaced", |t| revision(t) == 2).await;
    assert_eq!(world.live().len(), 2, "it may work for those who hold it");
}
