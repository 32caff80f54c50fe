//! Whose Secret it is: what is there already is left alone, and two tokens never share one.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use k8s_openapi::api::core::v1::{ResourceQuota, Secret};
use kube::{
    ResourceExt,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use crate::world::{SHOP, World, condition, message};

const GRANT: &str = "oauth.clientCredentials";

#[allow(clippy::needless_pass_by_value, reason = "reads better with json! in the calls")]
fn of_app(secret: Value) -> Value {
    json!({"source": {"clientCredentials": {"appRef": {"name": "acme"}}}, "secret": secret})
}

async fn conflicts(world: &World, name: &str, says: &str) {
    let token = world.because(name, "Stalled", "SecretConflict").await;
    assert!(message(&token, "Stalled").contains(says), "{}", message(&token, "Stalled"));
    world.eventually("a warning", async || world.events(name).await.last().is_some_and(|e| e == "IssueFailed")).await;
}

async fn patch_secret(world: &World, name: &str, patch: Value) {
    world.api::<Secret>().patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_was_there_before_is_never_adopted() {
    let world = World::with_app("conflict").await;
    world.secret_of("before", &[("password", "theirs")]).await;
    world.secret_of("owned", &[("password", "theirs")]).await;
    let owner = json!({"apiVersion": "cert-manager.io/v1", "kind": "Certificate", "name": "cert", "uid": "0", "controller": true});
    patch_secret(&world, "owned", json!({"metadata": {"ownerReferences": [owner]}})).await;
    world.secret_of("helm", &[("password", "theirs")]).await;
    patch_secret(&world, "helm", json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": "Helm"}}})).await;
    for (name, policy, says) in [
        ("before", "Owner", "was there before and is left alone"),
        ("owned", "Orphan", "is controlled by Certificate \"cert\""),
        ("helm", "Owner", "managed by \"Helm\""),
    ] {
        world.token(name, of_app(json!({"creationPolicy": policy}))).await;
        conflicts(&world, name, says).await;
        conflicts(&world, name, "creationPolicy: Merge").await;
        let secret = world.secret(name).await.unwrap();
        assert_eq!(secret.data, BTreeMap::from([("password".to_owned(), "theirs".to_owned())]));
    }
    world.a_while().await;
    assert_eq!(world.sim.total_calls(), 0);

    world.remove::<Secret>("before").await;
    world.ready("before").await;
    world.change("owned", json!({"spec": {"secret": {"creationPolicy": "Merge"}}})).await;
    world.ready("owned").await;
    world.change("helm", json!({"spec": {"secret": {"name": "another"}}})).await;
    world.ready("helm").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_tokens_for_one_secret_the_first_works() {
    for (first, second) in [("alpha", "beta"), ("zeta", "beta")] {
        let world = World::with_app("conflict-two").await;
        world.ready_app("acme").await;
        world.token(first, of_app(json!({"name": "shared"}))).await;
        world.token(second, of_app(json!({"name": "shared"}))).await;
        // Applied within one second, the name decides.
        let (winner, loser) = tokio::select! {
            () = async { world.ready(first).await; } => (first, second),
            () = async { world.ready(second).await; } => (second, first),
        };
        conflicts(&world, loser, winner).await;
        world.a_while().await;
        assert_eq!(world.sim.calls(GRANT), 1);
        assert_eq!(world.secret("shared").await.unwrap().record("revision"), Some("1"));

        world.delete(winner).await;
        world.gone(winner).await;
        if !world.cluster.has_controller_manager() {
            world.remove::<Secret>("shared").await;
        }
        world.ready(loser).await;
        assert_eq!(world.sim.calls(GRANT), 2);
        assert!(world.sim.is_valid_admin(SHOP, world.secret("shared").await.unwrap().access_token()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_cannot_be_written_still_works() {
    let world = World::with_app("conflict-fixed").await;
    world.token("web", of_app(json!({}))).await;
    world.token("typed", of_app(json!({}))).await;
    for name in ["web", "typed"] {
        world.ready(name).await;
    }
    patch_secret(&world, "web", json!({"immutable": true})).await;
    conflicts(&world, "web", "is immutable: true and can't be written").await;
    world.change("typed", json!({"spec": {"secret": {"template": {"type": "example.com/token"}}}})).await;
    conflicts(&world, "typed", "which Kubernetes can't change").await;
    for name in ["web", "typed"] {
        let token = world.tokens().get(name).await.unwrap();
        assert_eq!(
            condition(&token, "Ready"),
            Some(("True".into(), "Issued".into())),
            "applications hold a working one"
        );
    }
    world.a_while().await;
    assert_eq!(world.sim.calls(GRANT), 2);
    // Until it expires.
    world.pass(TimeDelta::hours(25));
    world.until("web", "expired", |t| condition(t, "Ready") == Some(("False".into(), "TokenExpired".into()))).await;
    assert_eq!(world.sim.calls(GRANT), 2);

    for name in ["web", "typed"] {
        world.remove::<Secret>(name).await;
        world.ready(name).await;
    }
    let typed = world.api::<Secret>().get("typed").await.unwrap();
    assert_eq!(typed.type_.as_deref(), Some("example.com/token"));
    assert_eq!(world.sim.calls(GRANT), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_immutable_secret_holds_no_deletion_up() {
    let world = World::with_storefront("conflict-delete", json!({})).await;
    world.secret_of("merged", &[("theirs", "stays")]).await;
    world.storefront("merge", json!({"secret": {"name": "merged", "creationPolicy": "Merge"}})).await;
    world.ready("merge").await;
    for (token, secret) in [("web", "web"), ("merge", "merged")] {
        patch_secret(&world, secret, json!({"immutable": true})).await;
        world.delete(token).await;
        world.gone(token).await;
    }
    assert!(world.live().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn merge_takes_its_keys_out_where_it_may_not_add_others() {
    let world = World::with_app("conflict-leave").await;
    world.secret_of("theirs", &[("password", "theirs"), ("SHOPIFY_SHOP", "theirs, too")]).await;
    world.token("web", of_app(json!({"name": "theirs", "creationPolicy": "Merge"}))).await;
    world.ready("web").await;
    world.change("web", json!({"spec": {"secret": {"preset": "Node"}}})).await;
    conflicts(&world, "web", "that somebody else wrote").await;
    assert!(world.secret("theirs").await.unwrap().data.contains_key("access_token"));
    world.delete("web").await;
    world.gone("web").await;
    let secret = world.secret("theirs").await.unwrap();
    assert_eq!(secret.data.keys().collect::<Vec<_>>(), ["SHOPIFY_SHOP", "password"]);
    assert!(secret.annotations.is_empty(), "{:?}", secret.annotations);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_used_up_quota_costs_one_mint() {
    let world = World::with_admin("conflict-quota").await;
    let quota: ResourceQuota =
        serde_json::from_value(json!({"metadata": {"name": "full"}, "spec": {"hard": {"secrets": "2"}}})).unwrap();
    let quotas = world.api::<ResourceQuota>();
    quotas.create(&PostParams::default(), &quota).await.unwrap();
    let full = json!({"status": {"hard": {"secrets": "2"}, "used": {"secrets": "2"}}});
    quotas.patch_status("full", &PatchParams::default(), &Patch::Merge(full)).await.unwrap();

    world.token("more", of_app(json!({}))).await;
    world.storefront("web", json!({})).await;
    for name in ["more", "web"] {
        let token = world.because(name, "Reconciling", "WriteRefused").await;
        assert!(message(&token, "Reconciling").contains("exceeded quota"), "{}", message(&token, "Reconciling"));
    }
    for _ in 0..3 {
        world.pass(TimeDelta::minutes(6));
        world.a_while().await;
    }
    assert_eq!(world.sim.calls(GRANT), 2);
    assert_eq!(world.live().len(), 1);
    world.remove::<ResourceQuota>("full").await;
    world.pass(TimeDelta::minutes(6));
    for name in ["more", "web"] {
        world.ready(name).await;
    }
    assert_eq!(world.sim.calls(GRANT), 2);
    assert_eq!(world.live().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn merge_adds_keys_and_takes_them_out() {
    let world = World::with_app("conflict-merge").await;
    world.token("web", of_app(json!({"name": "theirs", "creationPolicy": "Merge", "preset": "Node"}))).await;
    let token = world.because("web", "Reconciling", "CredentialsMissing").await;
    assert!(
        message(&token, "Reconciling").contains("creationPolicy Merge writes into a Secret that somebody else makes")
    );
    assert_eq!(world.sim.total_calls(), 0);

    world.secret_of("theirs", &[("password", "theirs")]).await;
    patch_secret(&world, "theirs", json!({"metadata": {"labels": {"team": "web"}}})).await;
    world.ready("web").await;
    let secret = world.secret("theirs").await.unwrap();
    assert_eq!(secret.data["password"], "theirs");
    assert_eq!(secret.data["SHOPIFY_ACCESS_TOKEN"], secret.access_token());

    world.delete("web").await;
    world.gone("web").await;
    let secret = world.api::<Secret>().get("theirs").await.unwrap();
    assert_eq!(secret.data.as_ref().unwrap().keys().collect::<Vec<_>>(), ["password"]);
    assert_eq!(*secret.labels(), BTreeMap::from([("team".to_owned(), "web".to_owned())]));
    assert!(secret.annotations().is_empty() && secret.owner_references().is_empty());
}
