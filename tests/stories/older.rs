//! Another name for the Secret: what the old one holds is cleaned up by the policy of its time, after an overlap, and said.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use k8s_openapi::api::core::v1::Secret;
use kube::{
    ResourceExt,
    api::{ObjectMeta, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use shopify_token_operator::api::ShopifyToken;

use crate::{
    specs::{client_credentials, custom, storefront, with},
    webhook::{Verdict, Webhook},
    world::{SHOP, World, condition, revision},
};

const LEAVE_AT: &str = "leave-at";

/// A storefront token whose Secret is `old`, with an overlap of two hours and an own verification of nothing.
fn named_old(secret: &Value) -> Value {
    let secret = with(json!({"name": "old"}), secret.clone());
    with(storefront(), json!({"verifyInterval": "0s", "rotation": {"overlap": "2h"}, "secret": secret}))
}

/// The spec names another Secret, which is written; the old one gets its mark.
async fn rename(world: &World, from: &str, to: &str) {
    world.change("web", json!({"spec": {"secret": {"name": to}}})).await;
    written(world, to).await;
    marked(world, from).await;
}

async fn written(world: &World, name: &str) {
    let of_ours = async || world.secret(name).await.is_some_and(|s| s.record("revision").is_some());
    world.eventually("the new Secret is written", of_ours).await;
    world.ready("web").await;
}

async fn marked(world: &World, name: &str) {
    let is_marked = async || world.secret(name).await.is_some_and(|s| s.record(LEAVE_AT).is_some());
    world.eventually("the old Secret has its mark", is_marked).await;
}

/// Waits until an event of the token says so.
async fn says(world: &World, reason: &str, words: &str) {
    let told = async || {
        let news = world.news("web").await;
        news.iter()
            .any(|e| e.reason.as_deref() == Some(reason) && e.note.as_deref().is_some_and(|note| note.contains(words)))
    };
    world.eventually(&format!("{reason}: {words}"), told).await;
}

async fn raw(world: &World, name: &str) -> Secret {
    world.api::<Secret>().get(name).await.unwrap()
}

async fn has_gone(world: &World, name: &str) {
    world.eventually("the old Secret is gone", async || world.secret(name).await.is_none()).await;
}

/// What the new Secret holds works, it is the only one, and nothing was created for it.
async fn still_works(world: &World, name: &str) {
    let value = world.secret(name).await.unwrap().access_token().to_owned();
    assert!(world.sim.is_valid_storefront(SHOP, &value));
    assert_eq!(world.live().len(), 1);
    assert_eq!(world.sim.calls("admin.storefrontAccessTokenCreate"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_was_made_goes_after_an_overlap() {
    let world = World::with_custom_admin("older-owner").await;
    world.token("web", named_old(&json!({}))).await;
    world.ready("web").await;
    let value = world.secret("old").await.unwrap().access_token().to_owned();
    rename(&world, "old", "new").await;
    says(&world, "Leaving", "Secret \"old\" is kept until").await;
    says(&world, "Leaving", "then deleted; let your applications read \"new\"").await;
    assert_eq!(world.secret("new").await.unwrap().access_token(), value, "found at Shopify, not made anew");
    world.pass(TimeDelta::minutes(118));
    world.nudge("web").await;
    world.a_while().await;
    assert_eq!(world.secret("old").await.unwrap().access_token(), value);
    still_works(&world, "new").await;

    world.pass(TimeDelta::minutes(3));
    has_gone(&world, "old").await;
    says(&world, "Left", "Secret \"old\" is deleted").await;
    world.ready("web").await;
    still_works(&world, "new").await;
    world.told("web", &["Issued", "Adopted", "Leaving", "Left"]).await;
    assert_eq!(world.sim.calls("admin.storefrontAccessTokenDelete"), 0, "nothing is revoked");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orphan_stays_and_looks_managed_no_more() {
    let world = World::with_custom_admin("older-orphan").await;
    let template = json!({"metadata": {"labels": {"team": "web"}}});
    world.token("web", named_old(&json!({"creationPolicy": "Orphan", "template": template}))).await;
    world.ready("web").await;
    rename(&world, "old", "new").await;
    says(&world, "Leaving", "then left as it is").await;
    let before = raw(&world, "old").await;
    world.pass(TimeDelta::minutes(121));
    says(&world, "Left", "Secret \"old\" is left as it is").await;
    let after = raw(&world, "old").await;
    assert_eq!(after.data, before.data);
    assert!(after.annotations().is_empty() && after.owner_references().is_empty(), "{:?}", after.metadata);
    assert_eq!(*after.labels(), BTreeMap::from([("team".to_owned(), "web".to_owned())]));
    still_works(&world, "new").await;
    let version = after.resource_version();
    world.nudge("web").await;
    world.pass(TimeDelta::hours(3));
    world.a_while().await;
    assert_eq!(raw(&world, "old").await.resource_version(), version, "it is nobody's business any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_were_merged_are_taken_out() {
    let world = World::with_custom_admin("older-merge").await;
    for name in ["old", "new"] {
        world.secret_of(name, &[("password", "theirs")]).await;
    }
    world.token("web", named_old(&json!({"creationPolicy": "Merge"}))).await;
    world.ready("web").await;
    rename(&world, "old", "new").await;
    says(&world, "Leaving", "then the operator's keys are taken out").await;
    world.pass(TimeDelta::minutes(121));
    says(&world, "Left", "the operator's keys are taken out of Secret \"old\"").await;
    let after = raw(&world, "old").await;
    assert_eq!(after.data.as_ref().unwrap().keys().collect::<Vec<_>>(), ["password"]);
    assert!(after.annotations().is_empty(), "{:?}", after.annotations());
    assert_eq!(world.secret("new").await.unwrap().data["password"], "theirs");
    still_works(&world, "new").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_policy_of_its_time_counts_and_the_object_waits_for_it() {
    let world = World::with_app("older-policy").await;
    world.secret_of("old", &[("password", "theirs")]).await;
    let merged = json!({"name": "old", "creationPolicy": "Merge"});
    world.token("web", with(client_credentials(), json!({"secret": merged}))).await;
    world.ready("web").await;
    world.change("web", json!({"spec": {"secret": {"name": "new", "creationPolicy": "Owner"}}})).await;
    written(&world, "new").await;
    marked(&world, "old").await;
    world.nudge("web").await;
    world.a_while().await;
    assert!(world.is_protected::<ShopifyToken>("web").await, "there is something to undo");
    // It goes before the overlap has ended.
    world.delete("web").await;
    world.gone("web").await;
    let after = raw(&world, "old").await;
    assert_eq!(after.data.as_ref().unwrap().keys().collect::<Vec<_>>(), ["password"]);
    assert!(after.annotations().is_empty(), "{:?}", after.annotations());
    says(&world, "Left", "the operator's keys are taken out of Secret \"old\"").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn afterwards_the_object_is_free() {
    let world = World::with_app("older-free").await;
    world.secret_of("old", &[("password", "theirs")]).await;
    let spec = json!({"secret": {"name": "old", "creationPolicy": "Merge"}, "rotation": {"overlap": "2h"}});
    world.token("web", with(client_credentials(), spec)).await;
    world.ready("web").await;
    world.change("web", json!({"spec": {"secret": {"name": "new", "creationPolicy": "Owner"}}})).await;
    written(&world, "new").await;
    marked(&world, "old").await;
    world.pass(TimeDelta::minutes(121));
    says(&world, "Left", "\"old\"").await;
    world.eventually("let go", async || !world.is_protected::<ShopifyToken>("web").await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn there_and_back_is_ours_again() {
    let world = World::with_custom_admin("older-back").await;
    world.token("web", named_old(&json!({}))).await;
    world.ready("web").await;
    let first = world.secret("old").await.unwrap().access_token().to_owned();
    rename(&world, "old", "new").await;
    world.change("web", json!({"spec": {"rotation": {"trigger": "1"}}})).await;
    world.until("web", "rotated", |t| revision(t) == 2).await;
    let second = world.secret("new").await.unwrap().access_token().to_owned();
    assert_ne!(first, second);

    // Nothing but the other Secret tells that this one is behind.
    world.change("web", json!({"spec": {"secret": {"name": "old"}, "rotation": {"trigger": null}}})).await;
    marked(&world, "new").await;
    let old = world.secret("old").await.unwrap();
    assert_eq!((old.access_token(), old.record("revision")), (second.as_str(), Some("2")), "the newest one");
    assert_eq!(old.data["previous_access_token"], first);
    assert_eq!(old.record(LEAVE_AT), None);
    world.pass(TimeDelta::minutes(121));
    has_gone(&world, "new").await;
    world.eventually("the first is revoked", async || world.live().len() == 1).await;
    world.ready("web").await;
    assert!(world.sim.is_valid_storefront(SHOP, world.secret("old").await.unwrap().access_token()));
    assert_eq!(world.sim.calls("admin.storefrontAccessTokenCreate"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn there_and_back_comes_to_rest_whatever_the_source() {
    for (name, source) in [("older-back-cc", client_credentials()), ("older-back-custom", custom())] {
        let world = World::with_custom_admin(name).await;
        world.token("web", with(source, json!({"secret": {"name": "old"}, "verifyInterval": "0s"}))).await;
        world.ready("web").await;
        rename(&world, "old", "new").await;
        rename(&world, "new", "old").await;
        world.until("web", "written anew", |t| revision(t) == 3).await;
        // Each old name is told of, also where the reason is the same.
        for name in ["old", "new"] {
            says(&world, "Leaving", &format!("Secret {name:?} is kept until")).await;
        }
        // The app counts its tokens a moment after the last one was issued.
        world.a_while().await;
        let (calls, writes) = (world.sim.total_calls(), world.writes().len());
        world.nudge("web").await;
        world.a_while().await;
        assert_eq!((world.sim.total_calls(), world.writes().len()), (calls, writes), "{name}");
        let secret = world.secret("old").await.unwrap();
        assert_eq!((secret.record("revision"), secret.record(LEAVE_AT)), (Some("3"), None), "{name}");
        assert!(world.sim.is_valid_admin(SHOP, secret.access_token()), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_in_overlap_keeps_its_time() {
    let world = World::with_custom_admin("older-overlap").await;
    world.token("web", named_old(&json!({}))).await;
    world.ready("web").await;
    world.change("web", json!({"spec": {"rotation": {"trigger": "1"}}})).await;
    world.until("web", "rotated", |t| revision(t) == 2).await;
    world.pass(TimeDelta::hours(1));
    rename(&world, "old", "new").await;
    assert_eq!(world.live().len(), 2);
    world.pass(TimeDelta::minutes(61));
    world.eventually("revoked", async || world.live().len() == 1).await;
    assert!(world.exists::<Secret>("old").await, "its own overlap began with the new name");
    world.ready("web").await;
    assert!(world.sim.is_valid_storefront(SHOP, world.secret("new").await.unwrap().access_token()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_cleans_up_at_once_unless_all_is_retained() {
    let world = World::with_custom_admin("older-deleted").await;
    world.token("web", named_old(&json!({}))).await;
    world.ready("web").await;
    rename(&world, "old", "new").await;
    world.delete("web").await;
    world.gone("web").await;
    has_gone(&world, "old").await;
    assert!(world.live().is_empty());

    world.token("web", named_old(&json!({}))).await;
    world.ready("web").await;
    world.change("web", json!({"spec": {"secret": {"name": "kept"}, "deletionPolicy": "Retain"}})).await;
    written(&world, "kept").await;
    marked(&world, "old").await;
    world.nudge("web").await;
    world.a_while().await;
    world.delete("web").await;
    world.gone("web").await;
    for name in ["old", "kept"] {
        let secret = raw(&world, name).await;
        assert!(secret.owner_references().is_empty(), "the garbage collector leaves {name} alone");
        assert!(world.sim.is_valid_storefront(SHOP, world.secret(name).await.unwrap().access_token()));
    }
    assert_eq!(raw(&world, "old").await.annotations().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_that_was_away_finds_it() {
    let mut world = World::with_custom_admin("older-restart").await;
    world.token("web", named_old(&json!({}))).await;
    world.ready("web").await;
    world.stop().await;
    world.change("web", json!({"spec": {"secret": {"name": "new"}}})).await;
    world.start().await;
    written(&world, "new").await;
    marked(&world, "old").await;
    world.stop().await;
    world.pass(TimeDelta::minutes(60));
    world.start().await;
    world.a_while().await;
    assert!(world.exists::<Secret>("old").await, "the overlap goes on from where it was");
    world.stop().await;
    world.pass(TimeDelta::minutes(61));
    world.start().await;
    has_gone(&world, "old").await;
    still_works(&world, "new").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_ours_is_left_alone() {
    let world = World::with_custom_admin("older-foreign").await;
    world.token("web", named_old(&json!({}))).await;
    world.ready("web").await;
    // A person's copy, with everything on it that the operator has put there.
    let mut copy = raw(&world, "old").await;
    copy.metadata = ObjectMeta {
        name: Some("copy".into()),
        annotations: copy.metadata.annotations,
        labels: copy.metadata.labels,
        owner_references: copy.metadata.owner_references,
        ..ObjectMeta::default()
    };
    world.api::<Secret>().create(&PostParams::default(), &copy).await.unwrap();
    rename(&world, "old", "new").await;
    // And a person's own under the old name.
    world.remove::<Secret>("old").await;
    world.secret_of("old", &[("password", "theirs")]).await;
    let versions = [raw(&world, "old").await, raw(&world, "copy").await].map(|s| s.resource_version());
    world.pass(TimeDelta::hours(3));
    world.nudge("web").await;
    world.a_while().await;
    assert_eq!([raw(&world, "old").await, raw(&world, "copy").await].map(|s| s.resource_version()), versions);
    let told = world.events("web").await;
    assert!(!told.contains(&"Left".to_owned()), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn before_the_new_one_is_there_nothing_is_left() {
    let world = World::with_custom_admin("older-conflict").await;
    world.token("web", named_old(&json!({}))).await;
    world.ready("web").await;
    world.secret_of("new", &[("password", "theirs")]).await;
    world.change("web", json!({"spec": {"secret": {"name": "new"}}})).await;
    world.because("web", "Stalled", "SecretConflict").await;
    world.pass(TimeDelta::hours(3));
    world.nudge("web").await;
    world.a_while().await;
    assert_eq!(world.secret("old").await.unwrap().record(LEAVE_AT), None, "applications still need it");
    world.remove::<Secret>("new").await;
    written(&world, "new").await;
    marked(&world, "old").await;
    // Suspended, overlaps wait, too.
    world.change("web", json!({"spec": {"suspend": true}})).await;
    world.because("web", "Suspended", "Suspended").await;
    world.pass(TimeDelta::hours(3));
    world.nudge("web").await;
    world.a_while().await;
    assert!(world.exists::<Secret>("old").await);
    world.change("web", json!({"spec": {"suspend": false}})).await;
    has_gone(&world, "old").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_told_and_holds_nothing_up() {
    let world = World::with_custom_admin("older-refused").await;
    for name in ["old", "new"] {
        world.secret_of(name, &[("password", "theirs")]).await;
    }
    let spec = with(named_old(&json!({"creationPolicy": "Merge"})), json!({"rotation": {"overlap": "10m"}}));
    world.token("web", spec).await;
    world.ready("web").await;
    rename(&world, "old", "new").await;
    let webhook = Webhook::new(&world, "", "v1", &["secrets"], Verdict::Deny).await;
    world.pass(TimeDelta::minutes(11));
    says(&world, "WriteRefused", "Secret \"old\"").await;
    let token = world.ready("web").await;
    assert_eq!(condition(&token, "Ready"), Some(("True".into(), "Issued".into())), "the credential works");
    world.a_while().await;
    let denied = world.writes().iter().filter(|w| w.starts_with("update secrets/old/ 4")).count();
    assert!(denied <= 5, "growing pauses: {denied}");

    world.delete("web").await;
    world.because("web", "Reconciling", "WriteRefused").await;
    world.pass(TimeDelta::minutes(61));
    world.gone("web").await;
    says(&world, "RevocationFailed", "Secret \"old\" is left as it is").await;
    webhook.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shorter_overlap_counts_at_once() {
    let world = World::with_custom_admin("older-shorter").await;
    world.token("web", named_old(&json!({}))).await;
    world.ready("web").await;
    rename(&world, "old", "new").await;
    let patch = json!({"spec": {"rotation": {"overlap": "1m"}}});
    world.tokens().patch("web", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    let mark = world.secret("old").await.unwrap().record(LEAVE_AT).map(str::to_owned);
    let sooner = async || world.secret("old").await.unwrap().record(LEAVE_AT).map(str::to_owned) != mark;
    world.eventually("marked anew", sooner).await;
    world.pass(TimeDelta::minutes(2));
    has_gone(&world, "old").await;
    still_works(&world, "new").await;
}
