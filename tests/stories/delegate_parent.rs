//! delegate: what becomes of it when its parent, its app or its spec changes under it.

use chrono::TimeDelta;
use k8s_openapi::api::core::v1::Secret;
use serde_json::json;
use shopify_sim::{AppConfig, Fault, FaultKind, StatusFault};
use shopify_token_operator::api::ShopifyToken;

use crate::{
    delegate::delegate,
    webhook::{Verdict, Webhook},
    world::{CLIENT_ID, SCOPES, SHOP, World, condition, message, revision},
};

const DESTROY: &str = "admin.delegateAccessTokenDestroy";
const OTHER: &str = "fedcba9876543210fedcba9876543210";
const OTHER_SECRET: &str = "shpss_canaryc0ffeeffffffffffffffffffffff";

#[tokio::test(flavor = "multi_thread")]
async fn a_parent_that_is_made_anew_counts_from_the_beginning() {
    let world = World::with_admin("delegate-anew").await;
    world.token("web", delegate()).await;
    world.ready("web").await;
    let first = world.held().await.0;
    // It is kept while its delegate lives, until a careless tool takes the finalizer off.
    world.delete("admin").await;
    world.because("admin", "Reconciling", "Revoking").await;
    world.strip::<ShopifyToken>("admin").await;
    world.gone("admin").await;
    world.eventually("its Secret goes", async || !world.exists::<Secret>("admin").await).await;
    world.pass(TimeDelta::minutes(1));
    world.admin_token("admin").await;
    assert_eq!(revision(&world.ready("admin").await), 1, "as before");
    world.until("web", "made anew", |t| revision(t) == 2).await;
    let (parent, secret) = (world.secret("admin").await.unwrap(), world.secret("web").await.unwrap());
    assert_eq!(secret.record("parent-revision"), Some("1"));
    assert_eq!(secret.record("parent-issued-at"), parent.record("issued-at"));
    assert_eq!(secret.data.get("previous_access_token"), Some(&first));
    world.ready("web").await;
    world.a_while().await;
    assert_eq!(revision(&world.tokens().get("web").await.unwrap()), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_in_hand_that_nobody_wants_any_more_is_destroyed() {
    let world = World::with_delegate("delegate-stray", json!({"rotation": {"trigger": "1"}})).await;
    let first = world.held().await.0;
    let webhook = Webhook::new(&world, "", "v1", &["secrets"], Verdict::Deny).await;
    world.change("web", json!({"spec": {"rotation": {"trigger": "2"}}})).await;
    world.because("web", "Reconciling", "WriteRefused").await;
    let living = world.delegates();
    assert!(living.len() == 2 && living[0] == first, "it was made, and can't be written down");
    // Another one is asked for: that one is nobody's any more. Shopify doesn't answer at first.
    world.sim.inject(Fault::new(DESTROY, FaultKind::Status(StatusFault::new(503))).times(1));
    let scopes = json!({"scopes": ["read_products", "write_orders"]});
    world.change("web", json!({"spec": {"source": {"delegate": scopes}}})).await;
    world
        .eventually("another one is made in its place", async || {
            let now = world.delegates();
            now.len() == 2 && now[0] == first && now[1] != living[1]
        })
        .await;
    assert_eq!(world.sim.calls(DESTROY), 2);
    world.counts(r#"shopify_token_revocations_total{source="Delegate",result="BackingOff"}"#, 1).await;
    world.counts(r#"shopify_token_revocations_total{source="Delegate",result="success"}"#, 1).await;
    world.counts(r#"shopify_token_issues_total{source="Delegate",result="BackingOff"}"#, 0).await;
    // And when the object goes, the one in hand goes as well as the one in the Secret.
    webhook.answers(Verdict::Allow);
    world.delete("web").await;
    world.gone("web").await;
    assert!(world.delegates().is_empty(), "{:?}", world.delegates());
    webhook.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_app_behind_its_parent_leaves_nothing_in_silence() {
    let world = World::with_admin("delegate-app").await;
    world.token("web", delegate()).await;
    world.ready("web").await;
    let first = world.held().await.0;
    let other = AppConfig {
        scopes: SCOPES.iter().map(|scope| (*scope).to_owned()).collect(),
        ..AppConfig::new(OTHER, OTHER_SECRET).installed(SHOP, SCOPES.iter().copied())
    };
    world.sim.add_app(other).unwrap();
    world.secret_of("acme-app", &[("client_id", OTHER), ("client_secret", OTHER_SECRET)]).await;
    world.until("admin", "issued by the other app", |t| revision(t) == 2).await;
    world.until("web", "made anew", |t| revision(t) == 2).await;
    world.ready("web").await;
    let secret = world.secret("web").await.unwrap();
    assert_eq!(secret.record("issuer"), Some(OTHER));
    let living: Vec<String> =
        world.sim.live_delegates(SHOP, OTHER).into_iter().map(|delegate| delegate.value).collect();
    assert_eq!(living, [secret.access_token()]);
    assert_eq!(secret.data.get("previous_access_token"), Some(&first), "applications may go on with it");
    // Nobody can destroy the old one with what is left: that is said, and it ends by itself.
    let destroyed = world.sim.calls(DESTROY);
    world.delete("web").await;
    world.gone("web").await;
    assert!(world.sim.live_delegates(SHOP, OTHER).is_empty());
    assert_eq!(world.delegates(), [first]);
    world.told("web", &["Issued", "Rotated", "RevocationFailed"]).await;
    let notes: Vec<String> = world.news("web").await.into_iter().filter_map(|event| event.note).collect();
    assert!(notes[2].contains("what created it is gone") && notes[2].contains("until it expires"), "{notes:?}");
    assert_eq!(world.sim.calls(DESTROY) - destroyed, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_uninstallation_is_named_and_over_once_it_is_installed_again() {
    let world = World::with_admin("delegate-uninstall").await;
    world.token("web", delegate()).await;
    world.ready("web").await;
    world.sim.uninstall(SHOP, CLIENT_ID).unwrap();
    let calls = world.sim.total_calls();
    // Nobody tells: the next look finds out.
    world.pass(TimeDelta::minutes(45));
    let token = world.because("web", "Reconciling", "AdminTokenNotReady").await;
    assert!(message(&token, "Reconciling").contains("\"admin\""), "{}", message(&token, "Reconciling"));
    let admin = world.because("admin", "Stalled", "AppNotInstalled").await;
    assert_eq!(condition(&admin, "Ready"), Some(("False".into(), "TokenRejected".into())));
    for _ in 0..6 {
        world.pass(TimeDelta::minutes(10));
        world.a_while().await;
    }
    let token = world.tokens().get("web").await.unwrap();
    assert_eq!(condition(&token, "Ready").map(|(status, _)| status).as_deref(), Some("False"));
    let spent = world.sim.total_calls() - calls;
    assert!(spent <= 20, "{spent} calls in more than an hour and a half");

    world.sim.install(SHOP, CLIENT_ID, SCOPES.iter().copied()).unwrap();
    world.change("admin", json!({"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": "installed"}}})).await;
    world.ready("admin").await;
    world.ready("web").await;
    assert_eq!(world.delegates(), [world.held().await.0]);
}
