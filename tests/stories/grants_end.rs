//! How what hangs below an app of another namespace ends, and what holds the app until then.

use std::time::Duration;

use chrono::TimeDelta;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::{Api, api::DeleteParams};
use serde_json::json;
use shopify_token_operator::{
    api::{ShopifyApp, ShopifyToken},
    controller::{key::ObjectKey, uninstall},
};

use crate::{
    grants::{grant, held, of, to_others, to_web, two_with_web},
    specs::{storefront, with},
    world::{SHOP, World},
};

const GRANT: &str = "oauth.clientCredentials";

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_is_deleted_is_there_until_the_storefront_tokens_elsewhere_are_revoked() {
    let (platform, team) = two_with_web("grant-wait").await;
    platform.remove::<ShopifyApp>("acme").await;
    platform.remove::<Secret>("acme-app").await;
    let needed_by = format!("{}/web", team.namespace);
    platform
        .eventually("its wait is told", async || {
            let status = platform.api::<ShopifyApp>().get("acme").await.unwrap().status.unwrap();
            status.conditions.iter().any(|c| c.reason == "Revoking" && c.message.contains(&needed_by))
        })
        .await;
    team.a_while().await;
    assert_eq!(held(&platform).await, [true; 2]);
    // The token in hand is dead: only the app can make another one.
    team.pass(TimeDelta::hours(25));
    team.ready("admin").await;
    team.delete("admin").await;
    team.delete("web").await;
    for name in ["web", "admin"] {
        team.gone(name).await;
    }
    assert!(team.live().is_empty());
    platform.eventually("the app is gone", async || !platform.exists::<ShopifyApp>("acme").await).await;
    platform.eventually("its Secret is gone", async || !platform.exists::<Secret>("acme-app").await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawn_grant_holds_no_app_and_leaks_no_storefront_token() {
    let (platform, team) = two_with_web("grant-leak").await;
    grant(&platform, to_others()).await;
    team.because("admin", "Stalled", "NotGranted").await;
    platform.eventually("the app is free", async || held(&platform).await == [false; 2]).await;
    platform.remove::<ShopifyApp>("acme").await;
    platform.remove::<Secret>("acme-app").await;
    platform.eventually("the app is gone", async || !platform.exists::<ShopifyApp>("acme").await).await;
    team.ready("web").await;
    team.delete("admin").await;
    team.delete("web").await;
    for name in ["web", "admin"] {
        team.gone(name).await;
    }
    assert!(team.live().is_empty(), "revoked with the token in hand");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_grant_and_a_token_in_hand_a_deletion_ends_with_a_warning() {
    let (platform, team) = two_with_web("grant-late").await;
    grant(&platform, json!([])).await;
    team.because("admin", "Stalled", "NotGranted").await;
    team.pass(TimeDelta::hours(25));
    let calls = team.sim.calls(GRANT);
    team.delete("web").await;
    team.gone("web").await;
    let tells =
        |note: &str| note.contains("of ShopifyToken \"admin\" appRef names a ShopifyApp") && note.contains("grants");
    team.eventually("a warning says why", async || {
        let news = team.news("web").await.into_iter();
        news.filter(|e| e.reason.as_deref() == Some("RevocationFailed")).filter_map(|e| e.note).any(|note| tells(&note))
    })
    .await;
    assert_eq!(team.sim.calls(GRANT), calls, "an app that grants nothing is used for nothing");
    assert_eq!(team.live().len(), 1, "as the warning says");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_uninstallation_revokes_what_hangs_below_and_frees_the_app() {
    let (mut platform, team) = two_with_web("grant-uninstall").await;
    platform.stop().await;
    let done = uninstall(platform.setup_with(&team).await).await.unwrap();
    assert_eq!(done.revoked.keys().map(ObjectKey::name).collect::<Vec<_>>(), ["web"]);
    assert!(team.live().is_empty());
    assert_eq!(held(&platform).await, [false; 2]);
    assert!(!team.is_protected::<ShopifyToken>("web").await && !team.is_protected::<ShopifyToken>("admin").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_outside_the_selector_is_held_and_freed_by_the_instance_of_the_token() {
    let mut platform = World::new("grant-shard").await;
    let team = platform.beside("grant-shard-team", json!({"team": "web"})).await;
    let mut setup = platform.setup_with(&team).await;
    setup.selector = Some("shard=a".into());
    platform.start_with(setup);
    platform.make_app().await;
    grant(&platform, to_web()).await;
    let labelled = |name: &str| json!({"name": name, "labels": {"shard": "a"}});
    for (name, spec) in [("admin", of(&platform)), ("web", storefront()), ("other", storefront())] {
        let spec = with(spec, json!({"shop": SHOP}));
        team.apply(json!({"kind": "ShopifyToken", "metadata": labelled(name), "spec": spec})).await;
        team.ready(name).await;
    }
    assert_eq!(held(&platform).await, [true; 2]);
    team.delete("web").await;
    team.gone("web").await;
    assert_eq!(held(&platform).await, [true; 2], "another one needs it");
    team.delete("other").await;
    team.gone("other").await;
    assert_eq!(held(&platform).await, [false; 2], "nobody else would free it");
}

/// Deletes the world's namespace; `false`, said so, where nobody deletes what is in it.
async fn deleted(world: &World) -> bool {
    if !world.cluster.has_controller_manager() {
        dev::skipped("this cluster has no kube-controller-manager, which empties namespaces");
        return false;
    }
    let namespaces: Api<Namespace> = Api::all(world.admin.clone());
    namespaces.delete(&world.namespace, &DeleteParams::default()).await.unwrap();
    true
}

/// Waits longer than others: kube-controller-manager looks again after pauses of its own.
async fn gone(world: &World) {
    let namespaces: Api<Namespace> = Api::all(world.admin.clone());
    let gone = async {
        while namespaces.get_opt(&world.namespace).await.unwrap().is_some() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(2), gone).await.expect("the namespace is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tokens_namespace_goes_and_frees_the_app() {
    let (platform, team) = two_with_web("grant-team-gone").await;
    if !deleted(&team).await {
        return;
    }
    gone(&team).await;
    assert!(team.live().is_empty());
    platform.eventually("nobody needs the app any more", async || held(&platform).await == [false; 2]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_apps_namespace_waits_for_the_tokens_it_grants_to_and_no_longer() {
    let (platform, team) = two_with_web("grant-app-gone").await;
    if !deleted(&platform).await {
        return;
    }
    team.a_while().await;
    assert_eq!(held(&platform).await, [true; 2]);
    grant(&platform, to_others()).await;
    gone(&platform).await;
    team.delete("web").await;
    team.gone("web").await;
    assert!(team.live().is_empty(), "revoked with the token in hand");
}
