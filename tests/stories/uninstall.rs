//! Uninstalling: what should be revoked is, and no object has a finalizer of ours afterwards.

use chrono::TimeDelta;
use k8s_openapi::api::core::v1::Secret;
use serde_json::json;
use shopify_sim::{Fault, FaultKind};
use shopify_token_operator::{
    api::{ShopifyApp, ShopifyToken},
    controller::{Uninstalled, key::ObjectKey, uninstall},
};

use crate::{
    webhook::{Verdict, Webhook},
    world::{CANARY, CLIENT_ID, SHOP, World, condition},
};

/// An operator that is installed anew goes on with it, whatever its object's policy: nothing is revoked by deleting it.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_token_is_refreshed_with_stays_with_its_object() {
    let mut world = World::with_app("uninstall-record").await;
    let pair = world.sim.create_offline_pair(SHOP, CLIENT_ID).unwrap();
    world.secret_of("boot", &[("refresh_token", pair.refresh_token.as_str())]).await;
    let source = json!({"offline": {"appRef": {"name": "acme"}, "bootstrapRef": {"name": "boot"}}});
    world.token("web", json!({"source": source, "deletionPolicy": "Revoke"})).await;
    world.ready("web").await;
    world.stop().await;
    uninstall(world.setup().await).await.unwrap();
    let record = world.secret("web-record").await.expect("its object is still there");
    assert!(record.data.contains_key("refresh_token"));
    world.start().await;
    world.ready("web").await;
    world.delete("web").await;
    world.gone("web").await;
    world.eventually("the record goes with its object", async || world.secret("web-record").await.is_none()).await;
}

/// Nothing hangs: without an operator every object can be deleted.
async fn nothing_hangs(world: &World, tokens: &[&str]) {
    for name in tokens {
        assert!(!world.is_protected::<ShopifyToken>(name).await, "{name}");
        world.delete(name).await;
        world.gone(name).await;
    }
    assert!(!world.is_protected::<ShopifyApp>("acme").await);
    assert!(!world.is_protected::<Secret>("acme-app").await);
    world.remove::<ShopifyApp>("acme").await;
    world.remove::<Secret>("acme-app").await;
    assert!(!world.exists::<ShopifyApp>("acme").await);
    assert!(!world.exists::<Secret>("acme-app").await);
}

fn names(done: &Uninstalled) -> (Vec<&str>, Vec<&str>) {
    (done.revoked.keys().map(ObjectKey::name).collect(), done.left.keys().map(ObjectKey::name).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn revokes_what_a_deletion_would_and_lets_everything_go() {
    let mut world = World::with_storefront("uninstall", json!({})).await;
    world.storefront("other", json!({})).await;
    world.storefront("kept", json!({"deletionPolicy": "Retain"})).await;
    world.secret_of("merged", &[("theirs", "stays")]).await;
    let merge = json!({"secret": {"name": "merged", "creationPolicy": "Merge"}, "source": {"clientCredentials": {"appRef": {"name": "acme"}}}});
    world.token("merge", merge).await;
    for name in ["other", "kept", "merge"] {
        world.ready(name).await;
    }
    world.stop().await;

    let done = uninstall(world.setup().await).await.unwrap();
    assert_eq!(names(&done), (vec!["other", "web"], vec![]));
    let text = done.to_string();
    assert!(text.contains("2 ShopifyTokens revoked, 0 not"), "{text}");
    assert!(!text.contains(CANARY));
    assert_eq!(world.live().len(), 1, "what is retained");
    let merged = world.secret("merged").await.unwrap();
    assert_eq!(merged.data.into_iter().collect::<Vec<_>>(), [("theirs".to_owned(), "stays".to_owned())]);
    assert!(world.secret("kept").await.is_some());
    nothing_hangs(&world, &["web", "other", "kept", "merge", "admin"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_older_specs_named_is_left_too() {
    let mut world = World::with_app("uninstall-older").await;
    world.secret_of("old", &[("theirs", "stays")]).await;
    let source = json!({"clientCredentials": {"appRef": {"name": "acme"}}});
    let secret = json!({"name": "old", "creationPolicy": "Merge"});
    world.token("web", json!({"source": source, "secret": secret})).await;
    world.ready("web").await;
    world.change("web", json!({"spec": {"secret": {"name": "new", "creationPolicy": "Orphan"}}})).await;
    let marked = async || world.secret("old").await.unwrap().record("leave-at").is_some();
    world.eventually("both names are known", marked).await;
    world.stop().await;
    uninstall(world.setup().await).await.unwrap();
    let old = world.secret("old").await.unwrap();
    assert_eq!(old.data.into_iter().collect::<Vec<_>>(), [("theirs".to_owned(), "stays".to_owned())]);
    assert!(old.annotations.is_empty(), "{:?}", old.annotations);
    assert!(world.sim.is_valid_admin(SHOP, world.secret("new").await.unwrap().access_token()));
    nothing_hangs(&world, &["web"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_that_comes_back_issues_anew_at_once() {
    let mut world = World::with_storefront("uninstall-back", json!({})).await;
    world.stop().await;
    uninstall(world.setup().await).await.unwrap();
    let token = world.tokens().get("web").await.unwrap();
    assert_eq!(condition(&token, "Ready"), Some(("False".into(), "TokenRejected".into())));

    world.start().await;
    world.until("web", "on revision 2", |t| t.status.as_ref().unwrap().revision == Some(2)).await;
    world.ready("web").await;
    assert!(world.sim.is_valid_storefront(SHOP, world.secret("web").await.unwrap().access_token()));
    assert_eq!(world.live().len(), 1);
    assert!(world.is_protected::<ShopifyToken>("web").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_shopify_unreachable_it_ends_in_time_and_says_what_is_left() {
    let mut world = World::with_storefront("uninstall-silent", json!({})).await;
    world.stop().await;
    world.sim.inject(Fault::new("*", FaultKind::RefuseBefore));
    let mut setup = world.setup().await;
    setup.revocation_timeout = TimeDelta::minutes(5);
    let running = tokio::spawn(uninstall(setup));
    world.eventually("Shopify is asked", async || world.sim.total_calls() > 5).await;
    world.pass(TimeDelta::minutes(6));
    let done = running.await.unwrap().unwrap();
    assert_eq!(names(&done), (vec![], vec!["web"]));
    assert!(done.to_string().contains("NOT REVOKED"), "{done}");
    assert_eq!(world.live().len(), 1);
    nothing_hangs(&world, &["web", "admin"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_shopify_does_not_answer_at_first_is_tried_again() {
    let mut world = World::with_storefront("uninstall-retry", json!({})).await;
    world.stop().await;
    world.sim.inject(Fault::new("admin.*", FaultKind::RefuseBefore).times(1));
    let done = uninstall(world.setup().await).await.unwrap();
    assert_eq!(names(&done), (vec!["web"], vec![]));
    assert_eq!(world.live().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_operator_is_noticed() {
    let world = World::with_storefront("uninstall-running", json!({})).await;
    let error = uninstall(world.setup().await).await.unwrap_err();
    assert!(error.to_string().contains("scale its Deployment to zero"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_webhook_denies_keeps_no_other_object_and_is_named_without_its_words() {
    for (group, version, resource, named) in
        [("tokens.shopify-operator.dev", "v1alpha1", "shopifyapps", "ShopifyApp"), ("", "v1", "secrets", "Secret")]
    {
        let mut world = World::with_storefront("uninstall-denied", json!({})).await;
        world.stop().await;
        let webhook = Webhook::new(&world, group, version, &[resource], Verdict::Deny).await;
        let error = uninstall(world.setup().await).await.unwrap_err();
        let told = format!("{error:#}");
        let name = if named == "Secret" { "acme-app" } else { "acme" };
        assert!(told.contains(&format!("{named} {}/{name}", world.namespace)), "{told}");
        assert!(!told.contains("not like this"), "{told}");
        assert_eq!(world.is_protected::<ShopifyApp>("acme").await, named == "ShopifyApp");
        assert_eq!(world.is_protected::<Secret>("acme-app").await, named == "Secret");
        webhook.remove().await;
        world.eventually("it is let", async || uninstall(world.setup().await).await.is_ok()).await;
        nothing_hangs(&world, &["web", "admin"]).await;
    }
}
