//! Whom a record is bound to: its object, and the app that issued it.

use chrono::TimeDelta;
use k8s_openapi::api::core::v1::Secret;
use kube::{
    ResourceExt,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;
use shopify_sim::AppConfig;
use shopify_token_operator::api::ShopifyToken;

use crate::{
    specs::{custom, storefront, with},
    world::{CLIENT_ID, CLIENT_SECRET, SCOPES, SHOP, World, condition, message, revision},
};

const TOKEN: &str = "tokens.shopify-operator.dev/token";
const ROTATE_AT: &str = "tokens.shopify-operator.dev/rotate-at";

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_in_another_namespace_revokes_nothing() {
    let world = World::with_storefront("whose-copy", json!({})).await;
    let copy = World::with_custom_admin("whose-copied").await;
    let mut secret = world.api::<Secret>().get("web").await.unwrap();
    secret.metadata = kube::api::ObjectMeta {
        name: Some("web".into()),
        annotations: secret.metadata.annotations,
        labels: secret.metadata.labels,
        ..Default::default()
    };
    copy.api::<Secret>().create(&kube::api::PostParams::default(), &secret).await.unwrap();
    copy.token("web", storefront()).await;
    copy.because("web", "Stalled", "SecretConflict").await;
    copy.delete("web").await;
    copy.gone("web").await;
    assert_eq!(world.live().len(), 1, "the original's token lives");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_secret_is_verified_before_ready() {
    let world = World::with_custom_admin("whose-restored").await;
    let orphan = json!({"secret": {"creationPolicy": "Orphan"}, "deletionPolicy": "Retain"});
    for (name, alive) in [("alive", true), ("dead", false)] {
        world.token(name, with(storefront(), orphan.clone())).await;
        let before = world.ready(name).await;
        world.delete(name).await;
        world.gone(name).await;
        let held = world.api::<Secret>().get(name).await.unwrap();
        let id = before.status.unwrap().token_id.unwrap();
        if !alive {
            world.sim.delete_storefront_token(SHOP, &id).unwrap();
            world.pass(TimeDelta::minutes(2));
        }
        world.token(name, with(storefront(), orphan.clone())).await;
        let after = world.ready(name).await;
        assert_eq!(after.status.as_ref().unwrap().token_id.as_deref() == Some(id.as_str()), alive, "{name}");
        let now = world.api::<Secret>().get(name).await.unwrap();
        assert_ne!(now.annotations()[TOKEN], held.annotations()[TOKEN], "{name} belongs to the new object");
        assert_eq!(condition(&after, "TokenValid"), Some(("True".into(), "Verified".into())));
    }
}

/// Out of a backup, say: applications hold the newer one by then.
#[tokio::test(flavor = "multi_thread")]
async fn an_older_secret_put_back_is_verified_and_costs_nobody_an_overlap() {
    let world = World::with_custom_admin("whose-put-back").await;
    let rotation = json!({"verifyInterval": 0, "rotation": {"overlap": "24h"}});
    let at = async |n: i64| {
        let ready = ("True".to_owned(), "Issued".to_owned());
        let is = |t: &ShopifyToken| revision(t) == n && condition(t, "Ready").as_ref() == Some(&ready);
        world.until("web", &format!("Ready at revision {n}"), is).await;
        world.api::<Secret>().get("web").await.unwrap()
    };
    let value = |secret: &Secret| String::from_utf8(secret.data.as_ref().unwrap()["access_token"].0.clone()).unwrap();
    world.token("web", with(storefront(), rotation)).await;
    let mut backup = at(1).await;
    world.change("web", json!({"metadata": {"annotations": {ROTATE_AT: "now"}}})).await;
    let newer = at(2).await;
    // Nothing asks for another one any more.
    world.change("web", json!({"metadata": {"annotations": {ROTATE_AT: null}}})).await;
    backup.metadata.resource_version = None;
    world.api::<Secret>().replace("web", &PostParams::default(), &backup).await.unwrap();
    let seen = at(3).await;
    assert_eq!(value(&seen), value(&backup), "Shopify confirms it");
    world.told("web", &["Issued", "Rotated", "Repaired"]).await;
    assert!(world.sim.is_valid_storefront(SHOP, &value(&newer)), "applications hold it");
    let status = world.tokens().get("web").await.unwrap().status.unwrap();
    let left = status.previous[0].revoke_at.0.as_second() - world.clock.now().timestamp();
    assert!(left > 23 * 3600, "revoked in {left} s");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_beside_the_persons_own_is_refused() {
    let world = World::with_custom_admin("whose-own").await;
    let own = world.tokens().get("admin").await.unwrap().credentials_secret().unwrap().to_owned();
    let before = world.api::<Secret>().get(&own).await.unwrap().data;
    world.token("beside", with(custom(), json!({"secret": {"name": own, "creationPolicy": "Merge"}}))).await;
    let token = world.because("beside", "Stalled", "SecretConflict").await;
    assert!(message(&token, "Stalled").contains("spec.secret.name"));
    world.delete("beside").await;
    world.gone("beside").await;
    assert_eq!(world.api::<Secret>().get(&own).await.unwrap().data, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn merge_takes_no_key_that_somebody_else_wrote() {
    let world = World::with_custom_admin("whose-key").await;
    world.secret_of("theirs", &[("scopes", "mine")]).await;
    world.token("web", with(storefront(), json!({"secret": {"name": "theirs", "creationPolicy": "Merge"}}))).await;
    let token = world.because("web", "Stalled", "SecretConflict").await;
    assert!(message(&token, "Stalled").contains("\"scopes\""), "{}", message(&token, "Stalled"));
    assert!(world.live().is_empty(), "nothing is created for a Secret that can't be written");
    // The person takes the key out.
    let gone = json!({"data": {"scopes": null}});
    world.api::<Secret>().patch("theirs", &PatchParams::default(), &Patch::Merge(gone)).await.unwrap();
    let token = world.ready("web").await;
    assert_eq!(revision(&token), 1);
}

/// The app's Secret names another app from now on.
async fn another_app_behind_the_same_reference(world: &World) {
    let other = AppConfig::new("another-app", "another-secret").installed(SHOP, SCOPES.iter().copied());
    world.sim.add_app(other).unwrap();
    let data = json!({"stringData": {"client_id": "another-app", "client_secret": "another-secret"}});
    world.api::<Secret>().patch("acme-app", &PatchParams::default(), &Patch::Merge(data)).await.unwrap();
    world.until("web", "made with the other app", |t| revision(t) == 2).await;
    assert_eq!(world.sim.live_storefront_tokens(SHOP, "another-app").len(), 1, "made with the other app");
    assert_eq!(world.live().len(), 1, "the old one keeps its overlap");
    world.pass(TimeDelta::hours(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_app_behind_the_same_reference_revokes_with_the_old_one() {
    let world = World::with_admin("whose-moved").await;
    world.token("web", with(storefront(), json!({"rotation": {"overlap": "1h"}}))).await;
    world.ready("web").await;
    // The old app is still there under another name.
    world.secret_of("old-app", &[("client_id", CLIENT_ID), ("client_secret", CLIENT_SECRET)]).await;
    world
        .apply(json!({
            "apiVersion": "tokens.shopify-operator.dev/v1alpha1", "kind": "ShopifyApp",
            "metadata": {"name": "old"}, "spec": {"credentialsRef": {"name": "old-app"}},
        }))
        .await;
    another_app_behind_the_same_reference(&world).await;
    world.eventually("revoked", async || world.live().is_empty()).await;
    assert_eq!(world.sim.live_storefront_tokens(SHOP, "another-app").len(), 1);
    world.eventually("told", async || world.events("web").await.contains(&"Revoked".to_owned())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_app_that_is_gone_left_behind_is_named() {
    let world = World::with_admin("whose-left").await;
    world.token("web", with(storefront(), json!({"rotation": {"overlap": "1h"}}))).await;
    let id = world.ready("web").await.status.unwrap().token_id.unwrap();
    another_app_behind_the_same_reference(&world).await;
    world.eventually("told", async || world.events("web").await.contains(&"RevocationFailed".to_owned())).await;
    let news = world.news("web").await;
    let warned = news.iter().any(|e| e.note.as_deref().is_some_and(|note| note.contains(&id)));
    assert!(warned, "the id that is left behind: {news:?}");
    let token = world.until("web", "done with it", |t| t.status.as_ref().unwrap().previous.is_empty()).await;
    assert_eq!(condition(&token, "Ready"), Some(("True".into(), "Issued".into())));
}

/// A token `web` of the third of three apps, with older ones of the others in overlap; the first app's are beyond reach.
async fn of_three_apps(name: &str) -> (World, [String; 3]) {
    let world = World::with_app(name).await;
    let apps = ["1", "2", "3"].map(|digit| digit.repeat(32));
    for (number, app) in (1..).zip(&apps) {
        world.sim.add_app(AppConfig::new(app, CLIENT_SECRET).installed(SHOP, SCOPES.iter().copied())).unwrap();
        let value = world.sim.create_admin_token(SHOP, app).unwrap();
        let (admin, legacy) = (format!("admin-{number}"), format!("legacy-{number}"));
        world.secret_of(&legacy, &[("token", &value)]).await;
        let source = json!({"source": {"custom": {"tokenRef": {"name": legacy, "key": "token"}}}});
        world.token(&admin, with(source, json!({"verifyInterval": "0s"}))).await;
        world.ready(&admin).await;
        let made_with = json!({"source": {"storefront": {"adminTokenRef": {"name": admin}}}});
        world.token("web", with(made_with, json!({"verifyInterval": "0s"}))).await;
        world.until("web", "made with it", |t| revision(t) == number).await;
    }
    world.change("admin-1", json!({"spec": {"suspend": true}})).await;
    world.because("admin-1", "Suspended", "Suspended").await;
    world.remove::<Secret>("legacy-1").await;
    world.remove::<Secret>("admin-1").await;
    (world, apps)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_cannot_be_revoked_yet_keeps_no_other_alive() {
    let (world, apps) = of_three_apps("whose-many").await;
    world.delete("web").await;
    let live = |app: &str| world.sim.live_storefront_tokens(SHOP, app).len();
    world.eventually("the others are revoked", async || apps[1..].iter().all(|app| live(app) == 0)).await;
    assert_eq!(live(&apps[0]), 1);
    assert!(world.tokens().get_opt("web").await.unwrap().is_some(), "it is waited for");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_whose_overlap_cannot_end_yet_keeps_no_other_alive() {
    let (world, apps) = of_three_apps("whose-overlap").await;
    world.pass(TimeDelta::hours(25));
    let live = |app: &str| world.sim.live_storefront_tokens(SHOP, app).len();
    world.eventually("the other is revoked", async || live(&apps[1]) == 0).await;
    world.because("web", "Reconciling", "AdminTokenNotReady").await;
    assert_eq!((live(&apps[0]), live(&apps[2])), (1, 1));
    let previous = |t: &ShopifyToken| t.status.iter().flat_map(|s| &s.previous).count();
    world.until("web", "left with one", |t| previous(t) == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_cannot_be_read_for_a_moment_is_waited_for() {
    let world = World::with_admin("whose-unread").await;
    world.token("web", with(storefront(), json!({"rotation": {"overlap": "90m"}}))).await;
    let id = world.ready("web").await.status.unwrap().token_id.unwrap();
    // What created it has another name by now, and somebody is about to write its Secret anew.
    world.secret_of("former-app", &[("client_id", CLIENT_ID)]).await;
    world.apply(json!({"kind": "ShopifyApp", "metadata": {"name": "former"}, "spec": {"credentialsRef": {"name": "former-app"}}})).await;
    another_app_behind_the_same_reference(&world).await;
    world.until("web", "tried", |t| t.status.as_ref().is_some_and(|s| s.failed_attempts.is_some())).await;
    assert_eq!(world.live().len(), 1);
    let left = world.news("web").await.into_iter().filter_map(|e| e.note).any(|note| note.contains(&id));
    assert!(!left, "it isn't given up");
    world.secret_of("former-app", &[("client_id", CLIENT_ID), ("client_secret", CLIENT_SECRET)]).await;
    world.pass(TimeDelta::minutes(6));
    world.eventually("revoked", async || world.live().is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_never_verified_as_its_own_is_not_revoked_with_it() {
    let world = World::with_storefront("whose-unverified", json!({"deletionPolicy": "Retain"})).await;
    let id = world.tokens().get("web").await.unwrap().status.unwrap().token_id.unwrap();
    world.delete("web").await;
    world.gone("web").await;
    assert_eq!(world.live().len(), 1, "retained");
    world.storefront("web", json!({"suspend": true})).await;
    world.because("web", "Suspended", "Suspended").await;
    world.eventually("protected", async || world.is_protected::<ShopifyToken>("web").await).await;
    world.delete("web").await;
    world.gone("web").await;
    assert_eq!(world.live().len(), 1, "others may work with it");
    let named = |e: &k8s_openapi::api::events::v1::Event| e.note.as_ref().is_some_and(|note| note.contains(&id));
    world.eventually("it is named", async || world.news("web").await.iter().any(named)).await;
    assert!(!world.events("web").await.contains(&"Revoked".to_owned()));
}
