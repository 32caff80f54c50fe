//! Writes that the API server refuses: told, tried again after growing pauses, and never quoted.

use std::time::Duration;

use chrono::TimeDelta;
use k8s_openapi::api::core::v1::Secret;
use serde_json::json;
use shopify_sim::{Fault, FaultKind, StatusFault};
use shopify_token_operator::{api::ShopifyToken, controller::Setup};

use crate::{
    webhook::{Verdict, Webhook},
    world::{CANARY, SCOPES, SHOP, World, condition, message},
};

const GRANT: &str = "oauth.clientCredentials";
const OURS: &str = "tokens.shopify-operator.dev";

/// Neither status nor events of the namespace hold a credential's value.
async fn nothing_is_quoted(world: &World) {
    let statuses = world.tokens().list(&kube::api::ListParams::default()).await.unwrap();
    let events = world.api::<k8s_openapi::api::events::v1::Event>().list(&kube::api::ListParams::default()).await;
    let text = serde_json::to_string(&(statuses, events.unwrap())).unwrap();
    assert!(!text.contains(CANARY) && !text.contains("not like this"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_hand_is_written_by_an_operator_that_is_to_stop() {
    let mut world = World::with_app("refused-stop").await;
    let webhook = Webhook::new(&world, "", "v1", &["secrets"], Verdict::Deny).await;
    world.admin_token("web").await;
    world.because("web", "Reconciling", "WriteRefused").await;
    // Another one of the app has its turn, and takes long for it.
    world.sim.inject(Fault::new(GRANT, FaultKind::Delay(Duration::from_secs(4))).times(1));
    world.admin_token("other").await;
    world.eventually("the other one asks", async || world.sim.calls(GRANT) == 2).await;
    webhook.answers(Verdict::Allow);
    world.change("web", json!({"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": "1"}}})).await;
    world.a_while().await;
    assert!(world.secret("web").await.is_none(), "it waits for its turn");
    world.stop().await;
    for name in ["web", "other"] {
        assert!(world.secret(name).await.is_some(), "{name} is lost");
    }
    assert_eq!(world.sim.calls(GRANT), 2, "and nobody asks for a further one");
    webhook.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_a_webhook_denies_costs_one_mint_and_names_the_webhook() {
    let world = World::with_app("refused-secret").await;
    let webhook = Webhook::new(&world, "", "v1", &["secrets"], Verdict::Deny).await;
    world.admin_token("denied").await;
    let token = world.because("denied", "Reconciling", "WriteRefused").await;
    assert!(message(&token, "Reconciling").contains(webhook.name()), "{}", message(&token, "Reconciling"));
    world.told("denied", &["IssueFailed"]).await;

    webhook.answers(Verdict::Broken);
    world.admin_token("broken").await;
    let token = world.because("broken", "Reconciling", "WriteRefused").await;
    assert!(message(&token, "Reconciling").contains("doesn't answer as it should"), "{token:?}");
    let failed = token.status.unwrap();
    assert!(failed.failed_attempts.is_some() && failed.next_attempt_time.is_some());

    world.pass(TimeDelta::minutes(6));
    world.until("broken", "tried again", |t| t.status.as_ref().is_some_and(|s| s.failed_attempts >= Some(2))).await;
    nothing_is_quoted(&world).await;
    assert_eq!(world.sim.calls(GRANT), 2, "what is in hand isn't asked for again");
    webhook.answers(Verdict::Allow);
    world.pass(TimeDelta::minutes(6));
    world.ready("denied").await;
    world.ready("broken").await;
    assert_eq!(world.sim.calls(GRANT), 2);
    webhook.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_a_webhook_rewrites_is_not_taken_for_the_one_that_was_written() {
    let world = World::with_app("refused-rewritten").await;
    let webhook = Webhook::new(&world, "", "v1", &["secrets"], Verdict::Rewrite).await;
    world.admin_token("web").await;
    let token = world.because("web", "Reconciling", "WriteRefused").await;
    let told = message(&token, "Reconciling");
    assert!(told.contains("data.access_token, data.shop_domain") && !told.contains("evil"), "{told}");
    world.a_while().await;
    world.nudge("web").await;
    world.a_while().await;
    nothing_is_quoted(&world).await;
    world.pass(TimeDelta::minutes(6));
    world.until("web", "tried again", |t| t.status.as_ref().is_some_and(|s| s.failed_attempts >= Some(2))).await;
    world.because("web", "Reconciling", "WriteRefused").await;
    assert_eq!(world.secret("web").await.unwrap().data["shop_domain"], "evil.example.com");
    webhook.answers(Verdict::Allow);
    world.pass(TimeDelta::minutes(6));
    world.ready("web").await;
    let secret = world.secret("web").await.unwrap();
    assert_eq!(secret.data["shop_domain"], SHOP);
    assert!(world.sim.is_valid_admin(SHOP, secret.access_token()));
    assert_eq!(world.sim.calls(GRANT), 1, "what is in hand isn't asked for again");
    webhook.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_in_hand_is_not_passed_off_as_another_apps() {
    const OTHER: &str = "fedcba9876543210fedcba9876543210";
    let world = World::with_app("refused-app").await;
    let webhook = Webhook::new(&world, "", "v1", &["secrets"], Verdict::Deny).await;
    world.admin_token("web").await;
    world.because("web", "Reconciling", "WriteRefused").await;
    let secret = "shpss_canaryc0ffee0000000000000000000000";
    let other = shopify_sim::AppConfig::new(OTHER, secret).installed(SHOP, SCOPES.iter().copied());
    world.sim.add_app(other).unwrap();
    world.secret_of("acme-app", &[("client_id", OTHER), ("client_secret", secret)]).await;
    world.a_while().await;
    webhook.answers(Verdict::Allow);
    world.pass(TimeDelta::minutes(6));
    world.ready("web").await;
    world.pass(TimeDelta::minutes(6));
    world.a_while().await;
    let value = world.secret("web").await.unwrap();
    let issuer = world.sim.live_access_tokens(SHOP).into_iter().find(|t| t.value == value.access_token()).unwrap();
    assert_eq!((issuer.client_id.as_str(), value.record("issuer")), (OTHER, Some(OTHER)));
    webhook.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_may_not_clean_up_ends_with_the_time_for_revocations() {
    let world = World::with_admin("refused-merge").await;
    world.secret_of("theirs", &[("password", "theirs")]).await;
    world.storefront("web", json!({"secret": {"name": "theirs", "creationPolicy": "Merge"}})).await;
    world.ready("web").await;
    let webhook = Webhook::new(&world, "", "v1", &["secrets"], Verdict::Deny).await;
    world.delete("web").await;
    let token = world.because("web", "Reconciling", "WriteRefused").await;
    assert!(message(&token, "Reconciling").contains("Secret \"theirs\""), "{}", message(&token, "Reconciling"));
    assert!(world.live().is_empty(), "revoked all the same");
    world.a_while().await;
    let attempts = world.tokens().get("web").await.unwrap().status.unwrap().failed_attempts;
    assert!(attempts <= Some(2), "it waits: {attempts:?}");
    world.pass(TimeDelta::minutes(61));
    world.gone("web").await;
    let notes = async || world.news("web").await.into_iter().filter_map(|e| e.note).collect::<Vec<_>>();
    let told = async || notes().await.iter().any(|n| n.contains("the Secret is left as it is"));
    world.eventually("what stays behind is told", told).await;
    let notes = notes().await;
    assert!(!notes.iter().any(|n| n.contains("without revoking")), "nothing lives on: {notes:?}");
    nothing_is_quoted(&world).await;
    webhook.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_finalizer_nothing_is_created_and_with_one_the_deletion_says_why_it_waits() {
    let world = World::with_admin("refused-finalizer").await;
    let webhook = Webhook::new(&world, OURS, "*", &["shopifytokens"], Verdict::Deny).await;
    world.storefront("web", json!({})).await;
    let token = world.because("web", "Reconciling", "WriteRefused").await;
    assert!(message(&token, "Reconciling").contains("our finalizer"), "{}", message(&token, "Reconciling"));
    world.told("web", &["IssueFailed"]).await;
    assert!(world.live().is_empty(), "nobody could ever revoke it");
    webhook.answers(Verdict::Allow);
    world.pass(TimeDelta::minutes(6));
    world.ready("web").await;

    webhook.answers(Verdict::Deny);
    world.delete("web").await;
    let token = world.because("web", "Reconciling", "WriteRefused").await;
    assert!(message(&token, "Reconciling").contains("take our finalizer off"), "{}", message(&token, "Reconciling"));
    assert!(world.live().is_empty());
    webhook.answers(Verdict::Allow);
    world.pass(TimeDelta::minutes(6));
    world.gone("web").await;
    nothing_is_quoted(&world).await;
    webhook.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_that_is_refused_is_told_once_and_holds_no_back_off_up() {
    let world = World::with_app("refused-status").await;
    let webhook = Webhook::new(&world, OURS, "*", &["shopifytokens/status"], Verdict::Deny).await;
    world.sim.inject(Fault::new(GRANT, FaultKind::Status(StatusFault::new(500))));
    world.admin_token("web").await;
    world.eventually("told", async || world.events("web").await.contains(&"WriteRefused".to_owned())).await;
    for _ in 0..4 {
        world.nudge("web").await;
        world.a_while().await;
    }
    let calls = world.sim.calls(GRANT);
    assert!(calls <= 6, "{calls} calls although the last attempt had failed");
    let told = world.events("web").await;
    assert_eq!(told.iter().filter(|e| *e == "WriteRefused").count(), 1, "{told:?}");
    world.sim.clear_faults();
    webhook.answers(Verdict::Allow);
    world.pass(TimeDelta::minutes(11));
    world.ready("web").await;
    webhook.remove().await;
}

/// An operator that may do what it needs, but write the status of a ShopifyToken.
async fn without_the_status(world: &World) -> Setup {
    let rules = json!([
        {"apiGroups": [OURS], "resources": ["shopifyapps", "shopifytokens", "shopifyapps/status"], "verbs": ["*"]},
        {"apiGroups": [""], "resources": ["secrets"], "verbs": ["*"]},
        {"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["*"]},
    ]);
    world.setup_with_rights(rules).await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_right_to_write_a_status_shopify_is_asked_no_more_often() {
    let mut world = World::new("refused-rights").await;
    let setup = without_the_status(&world).await;
    world.start_with(setup);
    world.make_app().await;
    let lacking =
        json!({"requiredScopes": ["read_themes"], "source": {"clientCredentials": {"appRef": {"name": "acme"}}}});
    world.token("lacking", lacking).await;
    world.eventually("told", async || world.events("lacking").await.contains(&"WriteRefused".to_owned())).await;
    for _ in 0..4 {
        world.nudge("lacking").await;
        world.a_while().await;
    }
    let calls = world.sim.calls(GRANT);
    assert!(calls <= 6, "{calls} grants although the last attempt had failed");
    nothing_is_quoted(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_step_has_done_is_told_though_its_status_is_not_written() {
    let mut world = World::new("refused-news").await;
    let setup = without_the_status(&world).await;
    world.start_with(setup);
    world.make_app().await;
    world.admin_token("web").await;
    world.eventually("told", async || world.events("web").await.contains(&"Issued".to_owned())).await;
    assert_eq!(world.events("web").await.iter().filter(|e| *e == "Issued").count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finalizer_that_somebody_keeps_stripping_is_not_raced() {
    let world = World::with_storefront("refused-strip", json!({})).await;
    let mut stripped = 0;
    for _ in 0..60 {
        if world.is_protected::<Secret>("acme-app").await {
            world.strip::<Secret>("acme-app").await;
            stripped += 1;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert!((3..=6).contains(&stripped), "put back {stripped} times in 6 s");
    world.eventually("told", async || world.events("web").await.contains(&"Contended".to_owned())).await;
    let token = world.tokens().get("web").await.unwrap();
    assert_eq!(condition(&token, "Ready"), Some(("True".into(), "Issued".into())));
    world.pass(TimeDelta::minutes(6));
    world.eventually("put back", async || world.is_protected::<Secret>("acme-app").await).await;
    assert!(world.is_protected::<ShopifyToken>("web").await);
}
