//! Drift of the Secret: restored, without minting where the value can be had again.

use chrono::TimeDelta;
use k8s_openapi::api::core::v1::Secret;
use kube::{
    ResourceExt,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use shopify_token_operator::api::ShopifyToken;

use crate::{
    specs::{client_credentials, custom, storefront},
    world::{SHOP, SecretView, World, revision},
};

const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
const TOKENS: [&str; 3] = ["cc", "sf", "custom"];

/// A world with a Ready token of each source, and their Secrets.
async fn three(name: &str) -> (World, Vec<(&'static str, SecretView)>) {
    let world = World::with_custom_admin(name).await;
    world.token("cc", client_credentials()).await;
    world.token("sf", storefront()).await;
    world.token("custom", custom()).await;
    let mut secrets = Vec::new();
    for name in TOKENS {
        world.ready(name).await;
        secrets.push((name, world.secret(name).await.unwrap()));
    }
    (world, secrets)
}

async fn edit(world: &World, name: &str, patch: Value) {
    world.api::<Secret>().patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
}

/// Names of a Secret's annotations, without the one that only a replacement has.
fn annotations(secret: &SecretView) -> Vec<&str> {
    let rollout = "tokens.shopify-operator.dev/rollout";
    secret.annotations.keys().map(String::as_str).filter(|name| *name != rollout).collect()
}

/// Whether a Secret is again as it was, what its record says apart.
async fn restored(world: &World, name: &str, before: &SecretView) -> bool {
    let Some(now) = world.secret(name).await else { return false };
    let live = world.api::<Secret>().get(name).await.unwrap();
    now.data == before.data
        && annotations(&now) == annotations(before)
        && live.owner_references().len() == 1
        && live.labels().get(MANAGED_BY).map(String::as_str) == Some("shopify-token-operator")
}

fn mints(world: &World) -> (u64, u64) {
    (world.sim.calls("oauth.clientCredentials"), world.sim.calls("admin.storefrontAccessTokenCreate"))
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_that_leave_the_value_need_no_shopify() {
    let (world, secrets) = three("repair-edits").await;
    let calls = world.sim.total_calls();
    for (name, before) in &secrets {
        for patch in [
            json!({"data": {"shop_domain": "ZXZpbC5leGFtcGxl"}}),
            json!({"data": {"scopes": null, "api_version": null}}),
            json!({"metadata": {"labels": {MANAGED_BY: null}}}),
            json!({"metadata": {"labels": {MANAGED_BY: "somebody"}}}),
            json!({"metadata": {"ownerReferences": null}}),
        ] {
            edit(&world, name, patch.clone()).await;
            world
                .eventually(&format!("{name} is restored after {patch}"), async || restored(&world, name, before).await)
                .await;
        }
        assert_eq!(world.secret(name).await.unwrap().annotations, before.annotations, "{name}");
        world.eventually("told", async || world.events(name).await.contains(&"Repaired".to_owned())).await;
    }
    assert_eq!(world.sim.total_calls(), calls);
}

/// Whether a Secret has the label that a template asks for.
async fn labelled(world: &World, name: &str) -> bool {
    let secret = world.api::<Secret>().get(name).await.unwrap();
    secret.labels().get("team").map(String::as_str) == Some("web")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_spec_is_written_although_a_verification_is_due() {
    let mut world = World::with_app("repair-due").await;
    world.admin_token("web").await;
    world.admin_token("kept").await;
    world.ready("web").await;
    world.ready("kept").await;
    let template = json!({"template": {"metadata": {"labels": {"team": "web"}}}});
    let asked = json!({"reconcile.fluxcd.io/requestedAt": "1"});
    world.change("web", json!({"metadata": {"annotations": asked}, "spec": {"secret": template}})).await;
    world.eventually("the label is there", async || labelled(&world, "web").await).await;
    let handled = |t: &ShopifyToken| t.status.as_ref().unwrap().last_handled_reconcile_at.as_deref() == Some("1");
    world.until("web", "verified", handled).await;
    assert_eq!(world.sim.calls("oauth.clientCredentials"), 2);

    world.stop().await;
    world.pass(TimeDelta::hours(2));
    world.change("kept", json!({"spec": {"deletionPolicy": "Retain"}})).await;
    world.start().await;
    let owned = async || world.api::<Secret>().get("kept").await.unwrap().owner_references().len();
    world.eventually("the Secret stays when the token goes", async || owned().await == 0).await;
    world.ready("kept").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_was_edited_is_had_again() {
    let (world, secrets) = three("repair-value").await;
    let (issued, created) = mints(&world);
    for (name, before) in &secrets[1..] {
        edit(&world, name, json!({"data": {"access_token": "ZXZpbA=="}})).await;
        world.eventually("restored", async || restored(&world, name, before).await).await;
        world.ready(name).await;
    }
    assert_eq!(mints(&world), (issued, created));
    edit(&world, "cc", json!({"data": {"access_token": "ZXZpbA=="}})).await;
    world.eventually("issued anew", async || mints(&world).0 == issued + 1).await;
    world
        .eventually("written", async || {
            world.sim.is_valid_admin(SHOP, world.secret("cc").await.unwrap().access_token())
        })
        .await;
    world.ready("cc").await;
    world.a_while().await;
    assert_eq!(mints(&world), (issued + 1, created));
    assert_eq!(world.live().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_was_deleted_is_written_again() {
    let (world, secrets) = three("repair-deleted").await;
    let (issued, created) = mints(&world);
    for (name, before) in &secrets {
        world.api::<Secret>().delete(name, &DeleteParams::default()).await.unwrap();
        world
            .eventually(&format!("{name} is back"), async || {
                world.secret(name).await.is_some_and(|now| now.data.keys().eq(before.data.keys()))
            })
            .await;
        let token = world.ready(name).await;
        world.eventually("told", async || world.events(name).await.contains(&"Repaired".to_owned())).await;
        if *name != "cc" {
            assert!(restored(&world, name, before).await);
        }
        assert_eq!(token.status.unwrap().secret.unwrap().name, *name);
    }
    world.a_while().await;
    assert_eq!(mints(&world), (issued + 1, created), "only what is nowhere else is issued anew");
    assert_eq!(world.live().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_was_edited_or_removed_is_made_again() {
    let (world, secrets) = three("repair-record").await;
    let (_, created) = mints(&world);
    for (name, before) in &secrets {
        let all: Value = before
            .annotations
            .keys()
            .map(|annotation| (annotation.clone(), Value::Null))
            .collect::<serde_json::Map<_, _>>()
            .into();
        let damaged = json!({"tokens.shopify-operator.dev/revision": "many"});
        for edited in [damaged, all] {
            edit(&world, name, json!({"metadata": {"annotations": edited}})).await;
            world
                .eventually(&format!("{name} has a record again"), async || {
                    let now = world.secret(name).await.unwrap();
                    annotations(&now) == annotations(before)
                        && now.record("revision").is_some_and(|r| r.parse::<i64>().is_ok())
                })
                .await;
            let recorded = world.secret(name).await.unwrap().record("revision").unwrap().to_owned();
            world.until(name, "reported", |t| revision(t).to_string() == recorded).await;
            world.ready(name).await;
        }
        if *name != "cc" {
            assert!(restored(&world, name, before).await, "{name}");
        }
    }
    assert_eq!(mints(&world).1, created);
    assert_eq!(world.live().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_keys_stay() {
    let (world, _) = three("repair-foreign").await;
    let calls = world.sim.total_calls();
    for name in TOKENS {
        let foreign = json!({"data": {"theirs": "aGVycw=="}, "metadata": {"labels": {"team": "web"}, "annotations": {"example.com/a": "b"}}});
        edit(&world, name, foreign).await;
    }
    world.a_while().await;
    assert_eq!(world.sim.total_calls(), calls);
    for name in TOKENS {
        // A repair and a rotation leave them too.
        edit(&world, name, json!({"data": {"shop_domain": null}})).await;
        world.eventually("repaired", async || world.secret(name).await.unwrap().data.contains_key("shop_domain")).await;
        world.change(name, json!({"metadata": {"annotations": {"tokens.shopify-operator.dev/rotate-at": "1"}}})).await;
        world.until(name, "handled", |t| t.status.as_ref().unwrap().last_handled_rotate_at.is_some()).await;
        let secret = world.api::<Secret>().get(name).await.unwrap();
        assert_eq!(secret.labels()["team"], "web");
        assert_eq!(secret.annotations()["example.com/a"], "b");
        assert_eq!(secret.data.unwrap()["theirs"].0, b"hers");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_writer_is_named_and_not_raced() {
    let world = World::with_app("repair-contended").await;
    world.token("web", client_credentials()).await;
    world.ready("web").await;
    let began = std::time::Instant::now();
    while began.elapsed() < std::time::Duration::from_secs(6) {
        edit(&world, "web", json!({"data": {"access_token": null}})).await;
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let minted = world.sim.calls("oauth.clientCredentials");
    assert!(minted <= 7, "{minted} grants in six seconds");
    world.eventually("told", async || world.events("web").await.contains(&"Contended".to_owned())).await;
    // Left alone, it comes back.
    world.ready("web").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_label_that_somebody_else_keeps_writing_is_not_raced() {
    let world = World::with_app("repair-labels").await;
    world.token("web", client_credentials()).await;
    world.ready("web").await;
    let writes = world.writes().len();
    let began = std::time::Instant::now();
    while began.elapsed() < std::time::Duration::from_secs(6) {
        edit(&world, "web", json!({"metadata": {"labels": {MANAGED_BY: "another"}}})).await;
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let ours = world.writes()[writes..].iter().filter(|w| w.starts_with("update secrets/web/")).count();
    assert!((1..=6).contains(&ours), "{ours} writes in six seconds");
    world.eventually("told", async || world.events("web").await.contains(&"Contended".to_owned())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_somebody_keeps_putting_back_is_not_raced() {
    let world = World::with_app("repair-put-back").await;
    world.token("web", client_credentials()).await;
    world.ready("web").await;
    let Secret { metadata, data, .. } = world.api::<Secret>().get("web").await.unwrap();
    world.pass(TimeDelta::hours(17));
    world.until("web", "renewed", |t| revision(t) == 2).await;
    let granted = world.sim.calls("oauth.clientCredentials");
    let began = std::time::Instant::now();
    while began.elapsed() < std::time::Duration::from_secs(6) {
        edit(&world, "web", json!({"data": data, "metadata": {"annotations": metadata.annotations}})).await;
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let granted = world.sim.calls("oauth.clientCredentials") - granted;
    assert!((1..=7).contains(&granted), "{granted} grants in six seconds");
    world.eventually("told", async || world.events("web").await.contains(&"Contended".to_owned())).await;
    // Left alone, it comes back.
    world.pass(TimeDelta::minutes(6));
    let now = world.clock.now().timestamp();
    let renewed =
        |t: &ShopifyToken| t.status.iter().filter_map(|s| s.renewal_time.as_ref()).any(|at| at.0.as_second() > now);
    world.until("web", "renewed again", renewed).await;
}
