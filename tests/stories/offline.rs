//! offline: a pair that is never lost, whatever happens to an answer or a Secret.

use chrono::TimeDelta;
use k8s_openapi::api::core::v1::Secret;
use kube::{
    ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};
use shopify_sim::{CutMode, Fault, FaultKind, OfflinePair, StatusFault, Surface};

use crate::{
    specs::with,
    webhook::{Verdict, Webhook},
    world::{CLIENT_ID, SCOPES, SHOP, World, condition, message, revision},
};

const REFRESH: &str = "oauth.refresh";

pub(crate) fn offline(more: Value) -> Value {
    let source = with(json!({"appRef": {"name": "acme"}, "bootstrapRef": {"name": "boot"}}), more);
    json!({"source": {"offline": source}})
}

impl World {
    /// A world with an app, and its pair in Secret `boot`.
    pub(crate) async fn with_pair(name: &str) -> (Self, OfflinePair) {
        let world = Self::with_app(name).await;
        let pair = world.sim.create_offline_pair(SHOP, CLIENT_ID).unwrap();
        world.boot(&pair).await;
        (world, pair)
    }

    pub(crate) async fn boot(&self, pair: &OfflinePair) {
        let ends = pair.refresh_token_expires_at.to_rfc3339();
        let data = [
            ("access_token", pair.access_token.as_str()),
            ("expires_at", &pair.expires_at.unwrap().to_rfc3339()),
            ("refresh_token", &pair.refresh_token),
            ("refresh_token_expires_at", &ends),
        ];
        self.secret_of("boot", &data).await;
    }

    /// A Ready offline token `web`, begun with a pair.
    pub(crate) async fn with_offline(name: &str, more: Value) -> (Self, OfflinePair) {
        let (world, pair) = Self::with_pair(name).await;
        world.token("web", with(offline(json!({})), more)).await;
        world.ready("web").await;
        (world, pair)
    }

    pub(crate) async fn recorded(&self, key: &str) -> Option<String> {
        self.secret("web-record").await?.data.remove(key)
    }

    /// What applications hold works, and shows neither refresh token nor code.
    pub(crate) async fn applications_work(&self) {
        let secret = self.secret("web").await.unwrap();
        assert!(self.sim.is_valid_admin(SHOP, secret.access_token()));
        let allowed = ["access_token", "api_version", "expires_at", "scopes", "shop_domain"];
        assert!(secret.data.keys().all(|key| allowed.contains(&key.as_str())), "{:?}", secret.data.keys());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ninety_days_from_a_pair() {
    let (world, pair) = World::with_offline("offline", json!({})).await;
    assert_eq!((world.sim.calls(REFRESH), world.secret("web").await.unwrap().access_token()), (0, &*pair.access_token));
    assert_eq!(world.recorded("refresh_token").await.as_ref(), Some(&pair.refresh_token));
    let ends = world.tokens().get("web").await.unwrap().status.unwrap().refresh_token_expires_at;
    assert!(ends.is_some());
    world.told("web", &["Issued"]).await;
    // Longer than any refresh token lives.
    for day in 1..=45 {
        let before = revision(&world.tokens().get("web").await.unwrap());
        world.pass(TimeDelta::minutes(41));
        world.until("web", "refreshed", |t| revision(t) > before).await;
        if day % 15 == 0 {
            world.applications_work().await;
        }
        world.pass(TimeDelta::days(3));
        world.until("web", "refreshed", |t| revision(t) > before + 1).await;
    }
    world.ready("web").await;
    world.applications_work().await;
    assert_eq!(world.sim.live_refresh_tokens(SHOP).iter().filter(|t| t.used_at.is_none()).count(), 1);
    let kept = world.sim.live_refresh_tokens(SHOP).into_iter().find(|t| t.used_at.is_none()).unwrap();
    assert_eq!(world.recorded("refresh_token").await, Some(kept.value));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_whose_answer_is_lost_is_had_again() {
    let (world, _) = World::with_offline("offline-lost", json!({})).await;
    for (n, mode) in [CutMode::AfterCommit, CutMode::BeforeSend, CutMode::Timeout].into_iter().enumerate() {
        world.sim.mark();
        world.sim.cut_nth(0, mode);
        world.pass(TimeDelta::minutes(41));
        world.until("web", "refreshed", |t| revision(t) == 2 + i64::try_from(n).unwrap()).await;
        world.ready("web").await;
        world.applications_work().await;
    }
    // Once it was committed, and then answered 520.
    world.sim.mark();
    world.sim.cut_nth(0, CutMode::AfterCommit);
    let fault = Fault::on(Surface::TokenEndpoint, FaultKind::Status(StatusFault::new(520)));
    world.sim.inject(fault.skip(1).times(1));
    world.pass(TimeDelta::minutes(41));
    world.until("web", "refreshed", |t| revision(t) == 5).await;
    world.ready("web").await;
    world.applications_work().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_one_before_is_tried_before_a_person_is_asked() {
    let (world, _) = World::with_offline("offline-previous", json!({})).await;
    world.pass(TimeDelta::minutes(41));
    world.until("web", "refreshed", |t| revision(t) == 2).await;
    let (current, previous) =
        (world.recorded("refresh_token").await.unwrap(), world.recorded("previous_refresh_token").await.unwrap());
    // Shopify never saw the current one used: the one before still counts.
    world.sim.retire_refresh_token(&current).unwrap();
    world.pass(TimeDelta::minutes(41));
    world.until("web", "refreshed", |t| revision(t) == 3).await;
    assert_eq!(world.recorded("previous_refresh_token").await, Some(previous.clone()));
    world.applications_work().await;

    // Now neither: a person has until the access token ends.
    world.sim.retire_refresh_token(&world.recorded("refresh_token").await.unwrap()).unwrap();
    world.sim.retire_refresh_token(&previous).unwrap();
    let calls = world.sim.calls(REFRESH);
    // What came again was issued the time before.
    world.pass(TimeDelta::minutes(14));
    let token = world.because("web", "Stalled", "RefreshTokenDead").await;
    assert_eq!(condition(&token, "Ready"), Some(("True".into(), "Issued".into())), "its access token lives");
    assert!(message(&token, "Stalled").contains("bootstrapRef"), "{}", message(&token, "Stalled"));
    world.a_while().await;
    assert_eq!(world.sim.calls(REFRESH) - calls, 2, "each is asked once");
    world.pass(TimeDelta::minutes(20));
    world.until("web", "expired", |t| condition(t, "Ready").is_some_and(|(status, _)| status == "False")).await;
    // The remedy: another one in the bootstrap Secret.
    let pair = world.sim.create_offline_pair(SHOP, CLIENT_ID).unwrap();
    world.boot(&pair).await;
    world.ready("web").await;
    world.applications_work().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lone_token_is_verified_and_published() {
    let world = World::with_app("offline-lone").await;
    let token = world.sim.create_offline_token(SHOP, CLIENT_ID).unwrap();
    world.secret_of("boot", &[("access_token", &token)]).await;
    world.token("web", offline(json!({}))).await;
    world.ready("web").await;
    let secret = world.secret("web").await.unwrap();
    assert_eq!((secret.access_token(), secret.data.get("expires_at")), (token.as_str(), None));
    // With a word of the person it becomes a pair, once.
    world.sim.mark();
    world.sim.cut_nth(0, CutMode::AfterCommit);
    world.change("web", json!({"spec": {"source": {"offline": {"migrate": true}}}})).await;
    world.until("web", "migrated", |t| revision(t) == 2).await;
    world.ready("web").await;
    world.told("web", &["Issued", "IssueFailed", "Migrated"]).await;
    world.applications_work().await;
    assert!(world.recorded("refresh_token").await.is_some());
    assert!(!world.sim.is_valid_admin(SHOP, &token), "it was revoked by that");
    world.a_while().await;
    assert_eq!(world.sim.calls("oauth.migrate"), 2);

    world.secret_of("dead-boot", &[("access_token", "shpat_0123456789abcdef0123456789abcdef")]).await;
    let mut spec = offline(json!({"bootstrapRef": {"name": "dead-boot"}}));
    spec["shop"] = json!("other.myshopify.com");
    world.sim.add_shop(shopify_sim::ShopConfig::new("other.myshopify.com"));
    world.sim.install("other.myshopify.com", CLIENT_ID, ["read_products"]).unwrap();
    world.token("dead", spec).await;
    world.because("dead", "Stalled", "TokenRejected").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_one_for_an_app_and_shop() {
    let (world, _) = World::with_offline("offline-rival", json!({})).await;
    let calls = world.sim.total_calls();
    world.token("zweb", offline(json!({}))).await;
    let token = world.because("zweb", "Stalled", "SecretConflict").await;
    assert!(message(&token, "Stalled").contains("ShopifyToken \"web\""), "{}", message(&token, "Stalled"));
    assert_eq!(world.sim.total_calls(), calls);
    assert!(world.secret("zweb-record").await.is_none());
    world.delete("web").await;
    world.gone("web").await;
    world.ready("zweb").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_stays_when_its_object_goes_and_is_taken_up_again() {
    let (world, _) = World::with_offline("offline-retain", json!({})).await;
    world.pass(TimeDelta::minutes(41));
    world.until("web", "refreshed", |t| revision(t) == 2).await;
    let kept = world.recorded("refresh_token").await;
    world.delete("web").await;
    world.gone("web").await;
    world.told("web", &["Issued", "Renewed", "Retained"]).await;
    world.a_while().await;
    assert_eq!(world.recorded("refresh_token").await, kept);
    world.applications_work().await;
    // The bootstrap Secret is the same, and no new beginning: its pair was used long ago.
    world.token("web", offline(json!({}))).await;
    world.ready("web").await;
    assert_eq!(world.recorded("refresh_token").await, kept);
    world.pass(TimeDelta::minutes(41));
    world.until("web", "refreshed", |t| revision(t) == 3).await;
    world.applications_work().await;

    world.change("web", json!({"spec": {"deletionPolicy": "Revoke"}})).await;
    world
        .until("web", "observed", |t| t.status.as_ref().unwrap().observed_generation == t.metadata.generation.unwrap())
        .await;
    world.delete("web").await;
    world.gone("web").await;
    for name in ["web", "web-record"] {
        world.eventually("its Secrets go", async || !world.exists::<Secret>(name).await).await;
    }
    world.told("web", &["Issued", "Renewed", "Retained", "Renewed", "Retained"]).await;
    let notes: Vec<String> = world.news("web").await.into_iter().filter_map(|event| event.note).collect();
    assert!(notes.last().unwrap().contains("with the app's uninstallation only"), "{notes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_without_a_scope_is_kept_apart_and_paced() {
    let (world, _) = World::with_offline("offline-scope", json!({"requiredScopes": ["read_products"]})).await;
    let published = world.secret("web").await.unwrap().access_token().to_owned();
    world.sim.set_scopes(SHOP, CLIENT_ID, ["write_orders"]).unwrap();
    world.pass(TimeDelta::minutes(41));
    let token = world.because("web", "Stalled", "ScopesMissing").await;
    assert_eq!(condition(&token, "Ready"), Some(("True".into(), "Issued".into())), "the one before lives");
    assert!(message(&token, "Stalled").contains("read_products"), "{}", message(&token, "Stalled"));
    world.a_while().await;
    assert_eq!(world.sim.calls(REFRESH), 1, "its own write of the record is no reason to try again");
    assert_eq!(world.secret("web").await.unwrap().access_token(), published);
    assert_ne!(world.recorded("access_token").await.as_ref(), Some(&published), "the pair isn't lost");
    // Granted again: the next refresh brings it.
    world.sim.set_scopes(SHOP, CLIENT_ID, SCOPES.iter().copied()).unwrap();
    world.change("web", json!({"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": "now"}}})).await;
    world.until("web", "refreshed", |t| revision(t) == 2).await;
    world.ready("web").await;
    assert_eq!(world.sim.calls(REFRESH), 2);
    world.applications_work().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pair_that_cannot_be_written_is_not_lost() {
    let (world, _) = World::with_offline("offline-unwritten", json!({})).await;
    let webhook = Webhook::new(&world, "", "v1", &["secrets"], Verdict::Deny).await;
    world.pass(TimeDelta::minutes(41));
    world.because("web", "Reconciling", "WriteRefused").await;
    let refreshed = world.sim.calls(REFRESH);
    assert_eq!(refreshed, 1);
    world.pass(TimeDelta::minutes(1));
    world.a_while().await;
    assert_eq!(world.sim.calls(REFRESH), 1, "it is in hand");
    webhook.answers(Verdict::Allow);
    world.pass(TimeDelta::minutes(6));
    world.until("web", "refreshed", |t| revision(t) == 2).await;
    world.applications_work().await;
    assert_eq!(world.sim.calls(REFRESH), 1);
    webhook.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nor_is_it_if_its_record_is_deleted_meanwhile() {
    let (world, _) = World::with_offline("offline-in-hand", json!({})).await;
    let webhook = Webhook::new(&world, "", "v1", &["secrets"], Verdict::Deny).await;
    world.pass(TimeDelta::minutes(41));
    world.because("web", "Reconciling", "WriteRefused").await;
    // Nothing is left of it but what the operator has in hand.
    world.remove::<Secret>("boot").await;
    world.remove::<Secret>("web-record").await;
    world.a_while().await;
    webhook.answers(Verdict::Allow);
    world.pass(TimeDelta::minutes(6));
    world.until("web", "refreshed", |t| revision(t) == 2).await;
    world.applications_work().await;
    assert_eq!(world.sim.calls(REFRESH), 1);
    // And it goes on from there.
    world.pass(TimeDelta::minutes(41));
    world.until("web", "refreshed", |t| revision(t) == 3).await;
    world.applications_work().await;
    webhook.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_has_edited_costs_no_refresh_token() {
    let (world, _) = World::with_offline("offline-edited", json!({})).await;
    world.pass(TimeDelta::minutes(41));
    world.until("web", "refreshed", |t| revision(t) == 2).await;
    let kept = world.recorded("refresh_token").await.unwrap();
    // The refresh token that was used long ago is taken out of the bootstrap Secret, and of the record nobody can tell
    // when its access token ends.
    let taken_out = Patch::Merge(json!({"data": {"refresh_token": null}}));
    world.api::<Secret>().patch("boot", &PatchParams::default(), &taken_out).await.unwrap();
    world.secret_of("web-record", &[("expires_at", "now")]).await;
    world.a_while().await;
    assert_eq!(world.recorded("refresh_token").await.as_ref(), Some(&kept));
    world.pass(TimeDelta::minutes(41));
    world.until("web", "refreshed", |t| revision(t) == 3).await;
    world.ready("web").await;
    world.applications_work().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_may_do_wrong_is_named() {
    let (world, pair) = World::with_pair("offline-mistakes").await;
    let foreign = world.api::<Secret>();
    world.secret_of("web-record", &[("mine", "x")]).await;
    world.token("web", offline(json!({}))).await;
    let token = world.because("web", "Stalled", "SecretConflict").await;
    assert!(message(&token, "Stalled").contains("was there before"), "{}", message(&token, "Stalled"));
    assert_eq!(foreign.get("web-record").await.unwrap().labels().len(), 0);
    // Before it is free to begin with the good one.
    world.secret_of("boot", &[("refresh_token", &format!("{}\n", pair.refresh_token))]).await;
    world.remove::<Secret>("web-record").await;
    let token = world.because("web", "Stalled", "InvalidCredential").await;
    assert!(message(&token, "Stalled").contains("newline"), "{}", message(&token, "Stalled"));
    world.remove::<Secret>("boot").await;
    world.because("web", "Reconciling", "CredentialsMissing").await;
    world.secret_of("boot", &[("refresh_token", "shprt_0123456789abcdef0123456789abcdef")]).await;
    world.because("web", "Stalled", "RefreshTokenDead").await;
    world.boot(&pair).await;
    world.ready("web").await;
    world.applications_work().await;
}
