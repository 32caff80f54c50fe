//! Revocation: a deleted storefront token is gone at Shopify, and no deletion lasts for ever.

use chrono::TimeDelta;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use serde_json::json;
use shopify_sim::{DeleteUnknown, Fault, FaultKind, NotInstalled, ShopState, StatusFault, Surface, Switches};

use crate::world::{CLIENT_ID, SHOP, World, message, revision};

const REVOKED: &str = r#"shopify_token_revocations_total{source="Storefront",result="success"}"#;
const GIVEN_UP: &str = r#"shopify_token_revocations_total{source="Storefront",result="given_up"}"#;
const GRANT: &str = "oauth.clientCredentials";

/// The last event of `web`: its reason and note.
async fn told(world: &World, reason: &str) -> String {
    world.eventually(reason, async || world.events("web").await.last().is_some_and(|last| last == reason)).await;
    world.news("web").await.last().unwrap().note.clone().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_the_object_deletes_the_token() {
    let world = World::with_storefront("revoke", json!({})).await;
    let id = world.live().pop().unwrap().id;
    world.delete("web").await;
    world.gone("web").await;
    assert!(world.live().is_empty());
    assert_eq!(told(&world, "Revoked").await, format!("storefront token revoked at {SHOP}: {id}"));
    world.counts(REVOKED, 1).await;
    world.counts(GIVEN_UP, 0).await;
    assert_eq!(world.sim.calls("admin.storefrontAccessTokenDelete"), 1);
    assert_eq!(world.sim.calls(GRANT), 1, "the admin token at hand was good enough");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_in_overlap_goes_too_and_a_suspended_one() {
    let world = World::with_storefront("revoke-overlap", json!({"rotation": {"trigger": "1"}})).await;
    world.change("web", json!({"spec": {"rotation": {"trigger": "2"}}})).await;
    world.until("web", "rotated", |t| t.status.as_ref().unwrap().revision == Some(2)).await;
    assert_eq!(world.live().len(), 2);
    world.change("web", json!({"spec": {"suspend": true}})).await;
    world.because("web", "Suspended", "Suspended").await;
    let ids = world.live();
    world.delete("web").await;
    world.gone("web").await;
    assert!(world.live().is_empty());
    let note = told(&world, "Revoked").await;
    assert!(note.starts_with(&format!("2 storefront tokens revoked at {SHOP}: ")), "{note}");
    assert!(ids.iter().all(|token| note.contains(&token.id)), "{note}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_attempt_before_has_revoked_is_told_too() {
    let world = World::with_storefront("revoke-twice", json!({"rotation": {"trigger": "1"}})).await;
    world.change("web", json!({"spec": {"rotation": {"trigger": "2"}}})).await;
    world.until("web", "rotated", |t| t.status.as_ref().unwrap().revision == Some(2)).await;
    let ids = world.live();
    assert_eq!(ids.len(), 2);
    world.sim.inject(Fault::new("admin.storefrontAccessTokenDelete", FaultKind::Throttled).skip(1).times(1));
    world.delete("web").await;
    world.eventually("a first attempt", async || world.live().len() == 1).await;
    world.pass(TimeDelta::minutes(1));
    world.gone("web").await;
    let note = told(&world, "Revoked").await;
    assert!(note.starts_with(&format!("2 storefront tokens revoked at {SHOP}: ")), "{note}");
    assert!(ids.iter().all(|token| note.contains(&token.id)), "{note}");
}

#[tokio::test(flavor = "multi_thread")]
async fn already_gone_is_a_success() {
    for unknown in [DeleteUnknown::UserErrors, DeleteUnknown::TopLevelError] {
        let world = World::with_storefront("revoke-gone", json!({})).await;
        world.sim.set_switches(Switches { sf_delete_unknown: unknown, ..Switches::default() });
        // It has come through, and its answer hasn't.
        world.sim.inject(Fault::new("admin.storefrontAccessTokenDelete", FaultKind::CommitThenDrop).times(1));
        world.delete("web").await;
        world.eventually("a first attempt", async || world.live().is_empty()).await;
        world.pass(TimeDelta::minutes(1));
        world.gone("web").await;
        assert_eq!(told(&world, "Revoked").await, format!("no storefront token of it is left at {SHOP}"));

        world.storefront("web", json!({})).await;
        world.ready("web").await;
        world.sim.delete_storefront_token(SHOP, &world.live()[0].id).unwrap();
        world.delete("web").await;
        world.gone("web").await;
        world.counts(REVOKED, 2).await;
        world.counts(GIVEN_UP, 0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_pass_is_retried_until_the_timeout() {
    for (fault, type_, reason) in [
        (FaultKind::Status(StatusFault::new(500)), "Reconciling", "BackingOff"),
        (FaultKind::Status(StatusFault::new(402)), "Stalled", "ShopUnavailable"),
        (FaultKind::Status(StatusFault::new(423)), "Stalled", "ShopUnavailable"),
        (FaultKind::Status(StatusFault::new(429)), "Reconciling", "BackingOff"),
        (FaultKind::Throttled, "Reconciling", "BackingOff"),
        (FaultKind::Hang, "Reconciling", "BackingOff"),
    ] {
        let case = format!("{fault:?}");
        let world = World::with_storefront("revoke-retry", json!({})).await;
        world.sim.inject(Fault::new("admin.*", fault));
        world.sim.mark();
        world.delete("web").await;
        world.because("web", type_, reason).await;
        world.a_while().await;
        assert!(world.sim.calls_since_mark() <= 4, "{case}: {} calls", world.sim.calls_since_mark());

        world.pass(TimeDelta::minutes(30));
        world.a_while().await;
        assert!(world.tokens().get_opt("web").await.unwrap().is_some(), "{case}: half an hour is too early");
        world.pass(TimeDelta::minutes(31));
        world.gone("web").await;
        let note = told(&world, "RevocationFailed").await;
        assert!(note.contains("gid://shopify/StorefrontAccessToken/"), "{case}: {note}");
        world.counts(REVOKED, 0).await;
        world.counts(GIVEN_UP, 1).await;
        assert_eq!(world.live().len(), 1, "{case}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn shopify_that_comes_back_is_asked_at_once() {
    let world = World::with_storefront("revoke-back", json!({})).await;
    world.sim.inject(Fault::new("*", FaultKind::Status(StatusFault::new(503))));
    world.delete("web").await;
    world.because("web", "Reconciling", "BackingOff").await;
    world.pass(TimeDelta::minutes(50));
    world.a_while().await;
    world.sim.clear_faults();
    world.pass(TimeDelta::seconds(11));
    world.gone("web").await;
    told(&world, "Revoked").await;
    assert!(world.live().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_that_was_lost_is_not_waited_for() {
    let world = World::with_storefront("revoke-403", json!({})).await;
    world.sim.inject(Fault::new("admin.*", FaultKind::Status(StatusFault::new(403))));
    world.delete("web").await;
    world.gone("web").await;
    let note = told(&world, "RevocationFailed").await;
    assert!(note.contains("let go without revoking") && note.contains("delete it in Shopify's admin"), "{note}");
    world.counts(GIVEN_UP, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_uninstalled_app_holds_nothing_up() {
    for (switch, wait) in [(NotInstalled::AppNotInstalled, 0), (NotInstalled::InvalidRequest, 61)] {
        let world = World::with_storefront("revoke-uninstalled", json!({})).await;
        world.sim.set_switches(Switches { cc_not_installed: switch, ..Switches::default() });
        world.sim.uninstall(SHOP, CLIENT_ID).unwrap();
        world.delete("web").await;
        if wait > 0 {
            let token = world.because("web", "Stalled", "CredentialsRejected").await;
            assert!(message(&token, "Stalled").contains("isn't installed"));
            world.pass(TimeDelta::minutes(wait));
        }
        world.gone("web").await;
        told(&world, "RevocationFailed").await;
        assert!(world.live().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_admin_tokens_secret_a_fresh_token_revokes() {
    let world = World::with_storefront("revoke-fresh", json!({})).await;
    world.change("admin", json!({"spec": {"suspend": true}})).await;
    world.because("admin", "Suspended", "Suspended").await;
    world.remove::<Secret>("admin").await;
    world.delete("web").await;
    world.gone("web").await;
    assert!(world.live().is_empty());
    assert_eq!(world.sim.calls(GRANT), 2);
    assert!(world.secret("admin").await.is_none());

    // And where the published one is dead.
    world.change("admin", json!({"spec": {"suspend": false}})).await;
    world.ready("admin").await;
    world.storefront("web", json!({})).await;
    world.ready("web").await;
    world.change("admin", json!({"spec": {"suspend": true}})).await;
    world.because("admin", "Suspended", "Suspended").await;
    world.sim.revoke_admin_token(world.secret("admin").await.unwrap().access_token()).unwrap();
    world.delete("web").await;
    world.gone("web").await;
    assert!(world.live().is_empty());
}

/// `admin` has no token, and issues none.
async fn without_an_admin_token(world: &World) {
    world.change("admin", json!({"spec": {"suspend": true}})).await;
    world.because("admin", "Suspended", "Suspended").await;
    world.remove::<Secret>("admin").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_endpoint_that_fails_is_asked_at_growing_pauses() {
    let world = World::with_storefront("revoke-endpoint", json!({})).await;
    world.change("admin", json!({"spec": {"suspend": true}})).await;
    world.because("admin", "Suspended", "Suspended").await;
    world.sim.revoke_admin_token(world.secret("admin").await.unwrap().access_token()).unwrap();
    world.sim.inject(Fault::on(Surface::TokenEndpoint, FaultKind::Status(StatusFault::new(503))));
    world.delete("web").await;
    world.because("web", "Reconciling", "BackingOff").await;
    world.sim.mark();
    world.a_while().await;
    world.a_while().await;
    assert!(world.sim.calls_since_mark() <= 4, "{} calls in 3 s", world.sim.calls_since_mark());
    world.sim.clear_faults();
    world.pass(TimeDelta::minutes(6));
    world.gone("web").await;
    assert!(world.live().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_kept_to_revoke_with_that_died_meanwhile_says_nothing_of_the_app() {
    let world = World::with_storefront("revoke-spare", json!({})).await;
    world.storefront("other", json!({})).await;
    world.ready("other").await;
    without_an_admin_token(&world).await;
    world.delete("other").await;
    world.gone("other").await;
    for spare in world.sim.live_access_tokens(SHOP) {
        world.sim.revoke_admin_token(&spare.value).unwrap();
    }
    world.pass(TimeDelta::minutes(5));
    world.delete("web").await;
    world.gone("web").await;
    told(&world, "Revoked").await;
    assert!(world.live().is_empty());
    assert_eq!(world.sim.calls(GRANT), 3, "another one was asked for");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_that_is_closed_for_a_while_is_waited_for() {
    let world = World::with_storefront("revoke-closed", json!({})).await;
    without_an_admin_token(&world).await;
    world.sim.set_shop_state(SHOP, ShopState::Closed).unwrap();
    world.delete("web").await;
    world.because("web", "Stalled", "ShopNotFound").await;
    world.sim.set_shop_state(SHOP, ShopState::Open).unwrap();
    world.pass(TimeDelta::minutes(11));
    world.gone("web").await;
    told(&world, "Revoked").await;
    assert!(world.live().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_record_names_is_deleted_even_where_the_list_fails() {
    let world = World::with_storefront("revoke-unlisted", json!({})).await;
    let list = world.sim.inject(Fault::new("admin.storefrontAccessTokens", FaultKind::null("/data/shop")));
    world.delete("web").await;
    world.eventually("the token is gone", async || world.live().is_empty()).await;
    world.a_while().await;
    assert!(world.tokens().get_opt("web").await.unwrap().is_some(), "a stray of it may be there");
    world.sim.clear_fault(list);
    world.pass(TimeDelta::minutes(11));
    world.gone("web").await;
    told(&world, "Revoked").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_warning_names_no_token_that_was_deleted() {
    let world = World::with_storefront("revoke-list-403", json!({})).await;
    world.sim.inject(Fault::new("admin.storefrontAccessTokens", FaultKind::Status(StatusFault::new(403))));
    world.delete("web").await;
    world.gone("web").await;
    let note = told(&world, "RevocationFailed").await;
    assert!(note.contains("let go without revoking a token with its marker at"), "{note}");
    assert!(world.live().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_retain_leaves_in_overlap_is_named() {
    let spec = json!({"deletionPolicy": "Retain", "rotation": {"trigger": "1", "overlap": "24h"}});
    let world = World::with_storefront("revoke-retain-overlap", spec).await;
    let old = world.live()[0].id.clone();
    world.change("web", json!({"spec": {"rotation": {"trigger": "2"}}})).await;
    world.until("web", "rotated", |t| revision(t) == 2).await;
    world.delete("web").await;
    world.gone("web").await;
    assert_eq!(world.live().len(), 2);
    world.told("web", &["Issued", "Rotated", "Retained", "RevocationFailed"]).await;
    let news = world.news("web").await;
    let notes: Vec<String> = news.into_iter().filter_map(|e| e.note).collect();
    let (retained, older) = (&notes[2], &notes[3]);
    let new = world.live().into_iter().map(|t| t.id).find(|id| *id != old).unwrap();
    assert!(retained.contains(&new) && !retained.contains(&old), "{retained}");
    assert!(older.contains(&old) && !older.contains(&new), "{older}");
    // It held up nothing that it doesn't need.
    world.delete("admin").await;
    world.gone("admin").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn retain_keeps_token_and_secret_and_orphan_the_secret() {
    let world = World::with_storefront("revoke-retain", json!({"deletionPolicy": "Retain"})).await;
    world.storefront("orphan", json!({"secret": {"creationPolicy": "Orphan"}})).await;
    world.ready("orphan").await;
    let kept = world.live()[0].clone();
    let before = world.sim.total_calls();
    world.delete("web").await;
    world.gone("web").await;
    assert_eq!(world.sim.total_calls(), before);
    world.delete("orphan").await;
    world.gone("orphan").await;
    assert_eq!(world.live().into_iter().map(|t| t.id).collect::<Vec<_>>(), [kept.id]);
    world.a_while().await;
    assert_eq!(world.secret("web").await.unwrap().access_token(), kept.value);
    for name in ["web", "orphan"] {
        let secret = world.api::<Secret>().get(name).await.unwrap();
        assert!(secret.owner_references().is_empty() && secret.metadata.deletion_timestamp.is_none());
    }
}
