//! The finalizer: what a revocation needs stays until it is done, and no longer.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use k8s_openapi::api::{core::v1::Secret, events::v1::Event};
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::json;
use shopify_sim::{Fault, FaultKind, StatusFault};
use shopify_token_operator::{
    api::{ShopifyApp, ShopifyToken},
    core::vocabulary::FINALIZER,
};

use crate::{
    specs::storefront,
    webhook::{Verdict, Webhook},
    world::{CLIENT_ID, CLIENT_SECRET, SHOP, World, message},
};

/// Whether the finalizer is on storefront token, admin token, app and credentials.
async fn protected(world: &World) -> [bool; 4] {
    [
        world.is_protected::<ShopifyToken>("web").await,
        world.is_protected::<ShopifyToken>("admin").await,
        world.is_protected::<ShopifyApp>("acme").await,
        world.is_protected::<Secret>("acme-app").await,
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_protected_before_the_first_create_and_again_when_stripped() {
    let world = World::with_admin("protect").await;
    assert_eq!(protected(&world).await, [false; 4]);
    let create = "admin.storefrontAccessTokenCreate";
    world.sim.inject(Fault::new(create, FaultKind::Status(StatusFault::new(500))));
    world.storefront("web", json!({})).await;
    world.eventually("a create", async || world.sim.calls(create) > 0).await;
    assert_eq!(protected(&world).await, [true; 4]);
    world.sim.clear_faults();
    world.pass(TimeDelta::minutes(6));
    world.ready("web").await;

    let calls = world.sim.total_calls();
    world.strip::<ShopifyToken>("web").await;
    world.strip::<ShopifyToken>("admin").await;
    world.strip::<ShopifyApp>("acme").await;
    world.strip::<Secret>("acme-app").await;
    world.eventually("all is protected again", async || protected(&world).await == [true; 4]).await;
    assert_eq!(world.sim.total_calls(), calls);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_deleted_first_waits_for_the_last_revocation() {
    let world = World::with_storefront("protect-wait", json!({})).await;
    world.storefront("other", json!({})).await;
    world.ready("other").await;
    world.remove::<Secret>("acme-app").await;
    world
        .eventually("its wait is told, of it and of those that need it", async || {
            let events = world.api::<Event>().list(&ListParams::default()).await.unwrap().items;
            let waits = events.iter().filter(|e| e.reason.as_deref() == Some("DeletionWaits"));
            let names: BTreeSet<_> = waits.filter_map(|e| e.regarding.as_ref()?.name.as_deref()).collect();
            names == BTreeSet::from(["acme-app", "other", "web"])
        })
        .await;
    world.remove::<ShopifyApp>("acme").await;
    world.delete("admin").await;
    world.delete("other").await;
    world.gone("other").await;
    world.a_while().await;
    assert_eq!(protected(&world).await, [true; 4]);
    let admin = world.because("admin", "Reconciling", "Revoking").await;
    assert!(
        crate::world::message(&admin, "Reconciling").contains("kept until the tokens that need it are revoked: web")
    );

    world.delete("web").await;
    world.gone("web").await;
    assert!(world.live().is_empty());
    world.gone("admin").await;
    world.eventually("the app is gone", async || !world.exists::<ShopifyApp>("acme").await).await;
    world.eventually("its Secret is gone", async || !world.exists::<Secret>("acme-app").await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_taken_off_when_nobody_needs_it_any_more() {
    let world = World::with_storefront("protect-off", json!({})).await;
    assert_eq!(protected(&world).await, [true; 4]);
    world.delete("web").await;
    world.gone("web").await;
    world.eventually("all is free", async || protected(&world).await == [false; 4]).await;
    world.ready("admin").await;

    world.storefront("web", json!({})).await;
    world.ready("web").await;
    world.eventually("all is protected", async || protected(&world).await == [true; 4]).await;
    world.change("web", json!({"spec": {"deletionPolicy": "Retain"}})).await;
    // Its own is there to tell what stays when it goes.
    world.eventually("Retain needs nothing", async || protected(&world).await == [true, false, false, false]).await;

    // What was free and was protected again is kept alive as ever, and goes as ever.
    world.storefront("other", json!({})).await;
    world.ready("other").await;
    world.eventually("the admin token is protected", async || world.is_protected::<ShopifyToken>("admin").await).await;
    let revision = |token: &ShopifyToken| token.status.as_ref().unwrap().revision;
    let before = revision(&world.ready("admin").await);
    world.change("admin", json!({"spec": {"rotation": {"trigger": "again"}}})).await;
    world
        .eventually("it is issued again", async || revision(&world.tokens().get("admin").await.unwrap()) > before)
        .await;
    world.delete("other").await;
    world.gone("other").await;
    world.delete("admin").await;
    world.gone("admin").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_no_app_names_any_more_can_be_deleted() {
    let world = World::with_storefront("protect-moved", json!({})).await;
    world.secret_of("renewed", &[("client_id", CLIENT_ID), ("client_secret", CLIENT_SECRET)]).await;
    world.apply(json!({"kind": "ShopifyApp", "metadata": {"name": "acme"}, "spec": {"credentialsRef": {"name": "renewed"}}})).await;
    world.eventually("the new one is protected", async || world.is_protected::<Secret>("renewed").await).await;
    world.remove::<Secret>("acme-app").await;
    world.eventually("the old one is gone", async || !world.exists::<Secret>("acme-app").await).await;
    world.delete("web").await;
    world.gone("web").await;
    world.eventually("the new one is free", async || !world.is_protected::<Secret>("renewed").await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_secret_of_a_custom_admin_token_is_protected_too() {
    let world = World::with_app("protect-custom").await;
    let theirs = world.sim.create_admin_token(SHOP, CLIENT_ID).unwrap();
    world.secret_of("theirs", &[("token", &theirs)]).await;
    world.token("admin", json!({"source": {"custom": {"tokenRef": {"name": "theirs", "key": "token"}}}})).await;
    world.storefront("web", json!({})).await;
    world.ready("web").await;
    assert!(world.is_protected::<Secret>("theirs").await);
    world.remove::<Secret>("theirs").await;
    world.delete("admin").await;
    world.a_while().await;
    assert!(world.exists::<Secret>("theirs").await);
    world.delete("web").await;
    for name in ["web", "admin"] {
        world.gone(name).await;
    }
    world.eventually("theirs is gone", async || !world.exists::<Secret>("theirs").await).await;
    assert!(world.live().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_the_api_server_keeps_from_going_says_so() {
    let world = World::with_app("protect-refused").await;
    world.secret_of("stray", &[("client_id", "x")]).await;
    let finalizer = json!({"metadata": {"finalizers": [FINALIZER]}});
    world.api::<Secret>().patch_metadata("stray", &PatchParams::default(), &Patch::Merge(finalizer)).await.unwrap();
    let webhook = Webhook::new(&world, "", "v1", &["secrets"], Verdict::Deny).await;
    world.remove::<Secret>("stray").await;
    let told = async || {
        let news = world.api::<Event>().list(&ListParams::default()).await.unwrap().items;
        let of = |e: &Event| e.regarding.as_ref().and_then(|r| r.name.clone()).as_deref() == Some("stray");
        news.into_iter().filter(of).filter_map(|e| e.note).collect::<Vec<_>>()
    };
    world.eventually("its wait is told", async || !told().await.is_empty()).await;
    let notes = told().await;
    assert!(notes[0].contains("was deleted") && notes[0].contains(webhook.name()), "{notes:?}");
    webhook.answers(Verdict::Allow);
    let look = json!({"metadata": {"annotations": {"look": "again"}}});
    world.api::<Secret>().patch_metadata("stray", &PatchParams::default(), &Patch::Merge(look)).await.unwrap();
    world.eventually("it is gone", async || !world.exists::<Secret>("stray").await).await;
    assert_eq!(told().await.len(), 1);
    webhook.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_shards_need_is_respected() {
    let mut world = World::new("protect-shards").await;
    for shard in ["a", "b"] {
        let mut setup = world.setup().await;
        setup.selector = Some(format!("shard={shard}"));
        world.start_with(setup);
    }
    world.secret_of("acme-app", &[("client_id", CLIENT_ID), ("client_secret", CLIENT_SECRET)]).await;
    let labelled = |name: &str, shard: &str| json!({"name": name, "labels": {"shard": shard}});
    world.apply(json!({"kind": "ShopifyApp", "metadata": labelled("acme", "a"), "spec": {"credentialsRef": {"name": "acme-app"}}})).await;
    let spec = json!({"shop": SHOP, "source": {"clientCredentials": {"appRef": {"name": "acme"}}}});
    world.apply(json!({"kind": "ShopifyToken", "metadata": labelled("admin", "a"), "spec": spec})).await;
    let spec = json!({"shop": SHOP, "source": {"storefront": {"adminTokenRef": {"name": "admin"}}}});
    world.apply(json!({"kind": "ShopifyToken", "metadata": labelled("web", "b"), "spec": spec})).await;
    world
        .eventually("web is Ready, at the latest by the net below the watches", async || {
            world.pass(TimeDelta::seconds(30));
            let web = world.tokens().get("web").await.unwrap();
            crate::world::condition(&web, "Ready") == Some(("True".into(), "Issued".into()))
        })
        .await;
    assert_eq!(protected(&world).await, [true; 4]);

    world.delete("admin").await;
    world.remove::<ShopifyApp>("acme").await;
    world.remove::<Secret>("acme-app").await;
    world.pass(TimeDelta::minutes(2));
    world.a_while().await;
    assert_eq!(protected(&world).await, [true; 4]);
    world.delete("web").await;
    world.gone("web").await;
    assert!(world.live().is_empty());
    world.pass(TimeDelta::minutes(2));
    world.gone("admin").await;
    world.eventually("the app is gone", async || !world.exists::<ShopifyApp>("acme").await).await;
    world.eventually("its Secret is gone", async || !world.exists::<Secret>("acme-app").await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_outside_the_selector_is_released_by_the_instance_that_protected_it() {
    let mut world = World::with_admin("protection-shard").await;
    world.stop().await;
    let setup = shopify_token_operator::controller::Setup { selector: Some("shard=a".into()), ..world.setup().await };
    world.start_with(setup);
    world.token("web", storefront()).await;
    world.change("web", json!({"metadata": {"labels": {"shard": "a"}}})).await;
    world.ready("web").await;
    assert!(world.is_protected::<ShopifyToken>("admin").await && world.is_protected::<ShopifyApp>("acme").await);
    world.delete("web").await;
    world.gone("web").await;
    assert!(!world.is_protected::<ShopifyToken>("admin").await, "nobody else would take it off");
    assert!(!world.is_protected::<ShopifyApp>("acme").await);
    let secrets = world.api::<Secret>().list(&kube::api::ListParams::default()).await.unwrap();
    assert!(secrets.iter().all(|s| s.metadata.finalizers.as_ref().is_none_or(Vec::is_empty)));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_created_with_what_goes() {
    let world = World::with_admin("protection-going").await;
    // Somebody else keeps it a while.
    let keep = Patch::Merge(json!({"metadata": {"finalizers": ["example.com/backup"]}}));
    world.tokens().patch("admin", &PatchParams::default(), &keep).await.unwrap();
    world.delete("admin").await;
    world.storefront("web", json!({})).await;
    let token = world.because("web", "Reconciling", "AdminTokenNotReady").await;
    let text = message(&token, "Reconciling");
    assert!(text.starts_with("ShopifyToken \"admin\" is being deleted"), "{text}");
    assert_eq!((world.live().len(), world.sim.calls("admin.storefrontAccessTokenCreate")), (0, 0));
    world.strip::<ShopifyToken>("admin").await;
    world.gone("admin").await;
    world.admin_token("admin").await;
    world.ready("web").await;
}
