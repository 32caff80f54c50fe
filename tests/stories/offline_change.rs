//! offline: what becomes of it when its app, its policies or its rivals change under it.

use chrono::TimeDelta;
use k8s_openapi::api::core::v1::Secret;
use kube::{
    ResourceExt,
    api::{DeleteParams, PropagationPolicy},
};
use serde_json::{Value, json};
use shopify_sim::{AppConfig, Fault, FaultKind, StatusFault};
use shopify_token_operator::controller::Setup;

use crate::{
    browser::{Browser, Pages},
    offline::offline,
    specs::with,
    world::{CLIENT_ID, CLIENT_SECRET, PUBLIC_URL, SCOPES, SHOP, World, condition, message, revision},
};

const REFRESH: &str = "oauth.refresh";
const OTHER: &str = "fedcba9876543210fedcba9876543210";
const OTHER_SECRET: &str = "shpss_canaryc0ffeeffffffffffffffffffffff";

/// An offline token that waits for its merchant.
fn of(app: &str) -> Value {
    json!({"source": {"offline": {"appRef": {"name": app}}}})
}

impl World {
    /// Whether the record Secret goes with its object.
    async fn record_is_owned(&self) -> bool {
        let record = self.api::<Secret>().get("web-record").await.unwrap();
        !record.owner_references().is_empty()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_app_touches_no_refresh_token() {
    let (world, pair) = World::with_offline("offline-app", json!({})).await;
    let other = AppConfig {
        scopes: SCOPES.iter().map(|scope| (*scope).to_owned()).collect(),
        ..AppConfig::new(OTHER, OTHER_SECRET)
            .installed(SHOP, SCOPES.iter().copied())
            .redirect_url(format!("{PUBLIC_URL}/oauth/callback"))
    };
    world.sim.add_app(other).unwrap();
    let calls = world.sim.total_calls();
    world.secret_of("acme-app", &[("client_id", OTHER), ("client_secret", OTHER_SECRET)]).await;
    let token = world.because("web", "Stalled", "SecretConflict").await;
    let said = message(&token, "Stalled");
    assert!(said.contains("\"web-record\"") && said.contains("another app"), "{said}");
    assert_eq!(condition(&token, "Ready"), Some(("True".into(), "Issued".into())), "what applications have lives");
    world.pass(TimeDelta::minutes(61));
    world.until("web", "over", |t| condition(t, "Ready") == Some(("False".into(), "TokenExpired".into()))).await;
    world.a_while().await;
    assert_eq!(world.sim.total_calls(), calls, "nothing is asked with a pair of another app");
    assert_eq!(world.recorded("refresh_token").await, Some(pair.refresh_token), "and it isn't lost");

    // Put back, it goes on where it was.
    world.secret_of("acme-app", &[("client_id", CLIENT_ID), ("client_secret", CLIENT_SECRET)]).await;
    world.ready("web").await;
    world.applications_work().await;

    // Or a person lets the old one go, and the other app begins.
    world.secret_of("acme-app", &[("client_id", OTHER), ("client_secret", OTHER_SECRET)]).await;
    world.because("web", "Stalled", "SecretConflict").await;
    let pair = world.sim.create_offline_pair(SHOP, OTHER).unwrap();
    world.boot(&pair).await;
    world.remove::<Secret>("web-record").await;
    let of_other = async || world.secret("web").await.unwrap().record("issuer") == Some(OTHER);
    world.eventually("the other app's is published", of_other).await;
    world.ready("web").await;
    assert!(world.sim.is_valid_admin(SHOP, world.secret("web").await.unwrap().access_token()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_uninstallation_is_named_and_over_once_it_is_approved_again() {
    let (world, _) = World::with_offline("offline-uninstall", json!({})).await;
    world.sim.uninstall(SHOP, CLIENT_ID).unwrap();
    let calls = world.sim.total_calls();
    world.pass(TimeDelta::minutes(41));
    let token = world.because("web", "Stalled", "RefreshTokenDead").await;
    assert!(message(&token, "Stalled").contains("uninstalled"), "{}", message(&token, "Stalled"));
    for _ in 0..6 {
        world.pass(TimeDelta::minutes(10));
        world.a_while().await;
    }
    let spent = world.sim.total_calls() - calls;
    assert!(spent <= 20, "{spent} calls in an hour and a half");
    let pages = Pages::start(world.setup().await).await;
    let shown = Browser::new(&world).goes_through(pages.address, &world, "approve").await;
    assert_eq!((shown.status, shown.title()), (200, "Approved"));
    world.ready("web").await;
    world.applications_work().await;
    pages.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_apps_of_one_client_id_have_one_token() {
    let world = World::with_app("offline-two-apps").await;
    world
        .apply(json!({"kind": "ShopifyApp", "metadata": {"name": "again"}, "spec": {"credentialsRef": {"name": "acme-app"}}}))
        .await;
    world.token("web", of("acme")).await;
    world.because("web", "Stalled", "ConsentRequired").await;
    // The younger is told before there is anything to be lost. Of two of the same second the UID decides.
    world.a_while().await;
    world.token("zweb", of("again")).await;
    let token = world.because("zweb", "Stalled", "SecretConflict").await;
    assert!(message(&token, "Stalled").contains("ShopifyToken \"web\""), "{}", message(&token, "Stalled"));
    // Another client id is in nobody's way.
    world.sim.add_app(AppConfig::new(OTHER, OTHER_SECRET)).unwrap();
    world.secret_of("other-app", &[("client_id", OTHER), ("client_secret", OTHER_SECRET)]).await;
    world
        .apply(json!({"kind": "ShopifyApp", "metadata": {"name": "other"}, "spec": {"credentialsRef": {"name": "other-app"}}}))
        .await;
    world.token("other", of("other")).await;
    world.because("other", "Stalled", "ConsentRequired").await;
    assert_eq!(world.sim.total_calls(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pair_that_is_to_stay_stays_from_then_on() {
    let (world, _) = World::with_offline("offline-policy", json!({"deletionPolicy": "Revoke"})).await;
    assert!(world.record_is_owned().await);
    let (calls, kept) = (world.sim.total_calls(), world.recorded("refresh_token").await);
    world.change("web", json!({"spec": {"deletionPolicy": "Retain"}})).await;
    world.eventually("nobody collects the record", async || !world.record_is_owned().await).await;
    assert_eq!((world.sim.calls(REFRESH), world.sim.total_calls()), (0, calls), "no refresh is needed for that");
    // In the foreground what an object owns goes before it does.
    let foreground =
        DeleteParams { propagation_policy: Some(PropagationPolicy::Foreground), ..DeleteParams::default() };
    world.tokens().delete("web", &foreground).await.unwrap();
    world.gone("web").await;
    world.a_while().await;
    assert_eq!(world.recorded("refresh_token").await, kept);
    world.applications_work().await;

    // And the other way: taken up again, it goes with its object.
    world.token("web", with(offline(json!({})), json!({"deletionPolicy": "Revoke"}))).await;
    world.ready("web").await;
    world.eventually("it goes with its object", async || world.record_is_owned().await).await;
    assert_eq!(revision(&world.tokens().get("web").await.unwrap()), 1);
}

/// Shopify takes no revocation for hours: the admin token that it needs is kept alive, though both are being deleted.
#[tokio::test(flavor = "multi_thread")]
async fn an_admin_token_that_is_needed_is_refreshed_until_it_is_not() {
    let (mut world, _) = World::with_offline("offline-needed", json!({})).await;
    let setup = Setup { revocation_timeout: TimeDelta::days(2), ..world.setup().await };
    world.stop().await;
    world.start_with(setup);
    world.token("sf", json!({"source": {"storefront": {"adminTokenRef": {"name": "web"}}}, "verifyInterval": 0})).await;
    world.ready("sf").await;
    let fault = FaultKind::Status(StatusFault::new(503));
    world.sim.inject(Fault::new("admin.storefrontAccessTokenDelete", fault));
    for name in ["sf", "web"] {
        world.delete(name).await;
    }
    world.because("sf", "Reconciling", "BackingOff").await;
    for hour in 1..=3 {
        // Its token ends with the hour.
        world.pass(TimeDelta::minutes(41));
        let refreshed = async || world.sim.calls(REFRESH) >= hour;
        world.eventually("it is refreshed", refreshed).await;
        world.pass(TimeDelta::minutes(19));
    }
    assert_eq!(world.live().len(), 1);
    world.sim.clear_faults();
    world.pass(TimeDelta::minutes(11));
    for name in ["sf", "web"] {
        world.gone(name).await;
    }
    assert!(world.live().is_empty(), "revoked, three hours later");
}

/// What is at hand in the record Secret is published without a call: that says nothing of whether it works.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_secret_makes_no_refused_token_work() {
    let (world, _) = World::with_offline("offline-lost", json!({"verifyInterval": "20m"})).await;
    world.pass(TimeDelta::minutes(41));
    // With the scopes that the answer named: nobody has to ask for them.
    world.until("web", "refreshed", |t| revision(t) == 2).await;
    world.sim.uninstall(SHOP, CLIENT_ID).unwrap();
    world.pass(TimeDelta::minutes(21));
    let refused = |t: &_| {
        condition(t, "Ready").is_some_and(|(status, _)| status == "False")
            && condition(t, "TokenValid") == Some(("False".into(), "Rejected".into()))
    };
    world.until("web", "refused", refused).await;
    world.remove::<Secret>("web").await;
    world.until("web", "published again", |t| revision(t) > 2).await;
    world.until("web", "refused still", refused).await;
}

/// Only the merchant could make up for a refresh token that ended unused.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_published_is_kept_warm() {
    let (world, _) = World::with_offline("offline-blocked", json!({})).await;
    let broken = json!({"type": "Opaque", "data": {"TOKEN": "{{ .nothing"}});
    world.change("web", json!({"spec": {"secret": {"template": broken}}})).await;
    world.because("web", "Stalled", "InvalidTemplate").await;
    let calls = world.sim.calls(REFRESH);
    for day in [61, 61, 61] {
        let before = world.recorded("refresh_token").await;
        world.pass(TimeDelta::days(day));
        world.eventually("it is refreshed", async || world.recorded("refresh_token").await != before).await;
        world.because("web", "Stalled", "InvalidTemplate").await;
    }
    world.a_while().await;
    assert_eq!(world.sim.calls(REFRESH) - calls, 3, "once each");
    assert!(world.events("web").await.contains(&"Renewed".into()));
    world.counts("shopify_token_issues_total{source=\"Offline\",result=\"kept\"}", 3).await;
    world.change("web", json!({"spec": {"secret": {"template": null}}})).await;
    world.ready("web").await;
    // Once as it began, and once now.
    world.counts("shopify_token_issues_total{source=\"Offline\",result=\"success\"}", 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_made_of_it_goes_by_its_app() {
    let (world, _) = World::with_offline("offline-rest", json!({})).await;
    let spec = json!({"credentialsRef": {"name": "acme-app"}, "adminApi": "REST", "apiVersion": "2026-07"});
    world.apply(json!({"kind": "ShopifyApp", "metadata": {"name": "acme"}, "spec": spec})).await;
    world.token("sf", json!({"source": {"storefront": {"adminTokenRef": {"name": "web"}}}})).await;
    world.ready("sf").await;
    assert_eq!(world.sim.calls("rest.storefrontTokens.create"), 1);
    assert_eq!(world.secret("sf").await.unwrap().data["api_version"], "2026-07");
}

/// The finalizer is there against a namespace that goes, not against a person.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_deleted_alone_goes() {
    let (world, _) = World::with_offline("offline-alone", json!({})).await;
    world.token("sf", json!({"source": {"storefront": {"adminTokenRef": {"name": "web"}}}, "verifyInterval": 0})).await;
    world.ready("sf").await;
    let record = world.api::<Secret>().get("web-record").await.unwrap();
    assert!(!record.finalizers().is_empty());
    world.remove::<Secret>("web-record").await;
    world.eventually("it goes", async || !world.exists::<Secret>("web-record").await).await;
    for name in ["sf", "web"] {
        world.delete(name).await;
        world.gone(name).await;
    }
    assert!(world.live().is_empty(), "with what applications have");
}
