//! Shopify down or throttling: nothing is lost, nobody hammers, and it goes on at once when it is back.

use std::time::Duration;

use chrono::TimeDelta;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use serde_json::json;
use shopify_sim::{Fault, FaultKind, NotInstalled, ShopConfig, StatusFault, Surface};
use shopify_token_operator::{api::ShopifyToken, time::from_kube};
use tokio::time::Instant;

use crate::{
    specs::{client_credentials, storefront, with},
    world::{CLIENT_ID, CLIENT_SECRET, SHOP, World, condition, revision},
};

fn unverified() -> serde_json::Value {
    with(client_credentials(), json!({"verifyInterval": "0s"}))
}

async fn down_at_renewal_time(name: &str, fault: FaultKind) {
    let world = World::with_app(name).await;
    world.token("web", unverified()).await;
    world.ready("web").await;
    world.sim.inject(Fault::new("*", fault));
    world.pass(TimeDelta::hours(16));
    let token = world.because("web", "Reconciling", "BackingOff").await;
    assert_eq!(condition(&token, "Ready"), Some(("True".into(), "Issued".into())));
    world.pass(TimeDelta::minutes(7 * 60 + 50));
    world.a_while().await;
    let token = world.tokens().get("web").await.unwrap();
    assert_eq!(condition(&token, "Ready"), Some(("True".into(), "Issued".into())), "it works for ten minutes more");
    assert!(world.sim.is_valid_admin(SHOP, world.secret("web").await.unwrap().access_token()));

    world.pass(TimeDelta::minutes(10));
    let expired = Some(("False".into(), "TokenExpired".into()));
    let token = world.until("web", "expired", |t| condition(t, "Ready") == expired).await;
    assert_eq!(condition(&token, "Reconciling"), Some(("True".into(), "BackingOff".into())));
    world.pass(TimeDelta::hours(5));
    world.a_while().await;
    world.sim.clear_faults();
    let back = Instant::now();
    world.until("web", "renewed", |t| revision(t) == 2).await;
    // A call that hangs ends after 5 s, then it is 10 s until the next.
    assert!(back.elapsed() < Duration::from_secs(20), "{:?}", back.elapsed());
    world.ready("web").await;
    assert!(world.sim.is_valid_admin(SHOP, world.secret("web").await.unwrap().access_token()));
    world.told("web", &["Issued", "IssueFailed", "Renewed"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ready_until_it_expires_whatever_the_outage_looks_like() {
    tokio::join!(
        down_at_renewal_time("outage-503", FaultKind::Status(StatusFault::new(503))),
        down_at_renewal_time("outage-hang", FaultKind::Hang),
        down_at_renewal_time("outage-refuse", FaultKind::RefuseBefore),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_asks_for_all_that_wait() {
    let world = World::with_app("outage-many").await;
    let names: Vec<String> = (0..25).map(|n| format!("web-{n}")).collect();
    for name in &names {
        world.token(name, unverified()).await;
    }
    for name in &names {
        world.ready(name).await;
    }
    world.sim.inject(Fault::new("*", FaultKind::Status(StatusFault::new(503))));
    let (calls, began) = (world.sim.total_calls(), world.clock.now());
    world.pass(TimeDelta::hours(16));
    for name in &names {
        world.because(name, "Reconciling", "BackingOff").await;
    }
    let burst = world.sim.total_calls() - calls;
    assert!(burst <= 4, "{burst} calls before it was known");
    let (calls, known) = (world.sim.total_calls(), world.clock.now());
    for _ in 0..5 {
        world.pass(TimeDelta::seconds(11));
        world.a_while().await;
    }
    let asked = i64::try_from(world.sim.total_calls() - calls).unwrap();
    let tens = (world.clock.now() - known).num_seconds() / 10 + 1;
    assert!((4..=tens).contains(&asked), "{asked} calls in {tens} times 10 s");

    world.pass(TimeDelta::hours(3));
    world.a_while().await;
    world.sim.clear_faults();
    let (calls, back) = (world.sim.calls("oauth.clientCredentials"), Instant::now());
    for name in &names {
        world.until(name, "renewed", |t| revision(t) == 2).await;
    }
    assert!(back.elapsed() < Duration::from_secs(20), "{:?}", back.elapsed());
    assert_eq!(world.sim.calls("oauth.clientCredentials") - calls, 25, "one each, {} later", world.clock.now() - began);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_template_waits_for_no_shop() {
    let world = World::with_app("outage-template").await;
    let names = ["one", "two", "three"];
    for name in names {
        world.token(name, unverified()).await;
        world.ready(name).await;
    }
    world.sim.inject(Fault::new("*", FaultKind::Status(StatusFault::new(503))));
    world.pass(TimeDelta::hours(16));
    for name in names {
        world.because(name, "Reconciling", "BackingOff").await;
    }
    let template = json!({"template": {"metadata": {"labels": {"team": "web"}}}});
    for name in names {
        world.change(name, json!({"spec": {"secret": template}})).await;
    }
    for name in names {
        let labelled = async || world.api::<Secret>().get(name).await.unwrap().labels().contains_key("team");
        world.eventually("the label is there", labelled).await;
        let token = world.because(name, "Reconciling", "BackingOff").await;
        assert_eq!(revision(&token), 1);
    }
    world.sim.clear_faults();
    for name in names {
        world.until(name, "renewed", |t| revision(t) == 2).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_asked_for_meanwhile_is_done_when_it_is_back() {
    let world = World::with_app("outage-asked").await;
    let names = ["one", "two", "three"];
    for name in names {
        world.token(name, unverified()).await;
        world.ready(name).await;
    }
    world.sim.inject(Fault::on(Surface::Admin, FaultKind::Status(StatusFault::new(503))));
    world.pass(TimeDelta::minutes(5));
    let asked = world.clock.now() - TimeDelta::seconds(1);
    for name in names {
        world.change(name, json!({"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": "down"}}})).await;
        world.because(name, "Reconciling", "BackingOff").await;
    }
    let handled = |t: &ShopifyToken| t.status.as_ref().unwrap().last_handled_reconcile_at.is_some();
    let mut waiting = 0;
    for name in names {
        waiting += usize::from(!handled(&world.tokens().get(name).await.unwrap()));
    }
    assert_eq!(waiting, 2, "one has asked, and who waits says nothing else");
    world.pass(TimeDelta::minutes(2));
    world.a_while().await;
    world.sim.clear_faults();
    world.pass(TimeDelta::minutes(6));
    for name in names {
        let verified = |t: &ShopifyToken| {
            let at = t.status.as_ref().unwrap().last_verified_time.as_ref().map(from_kube);
            handled(t) && at > Some(asked)
        };
        world.until(name, "verified", verified).await;
        world.ready(name).await;
    }
    world.a_while().await;
    assert!(world.sim.calls("admin.*") >= 4, "each was asked about");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_shop_goes_on() {
    let world = World::with_app("outage-other").await;
    let other = "other.myshopify.com";
    world.sim.add_shop(shopify_sim::ShopConfig::new(other));
    world.sim.install(other, crate::world::CLIENT_ID, crate::world::SCOPES.iter().copied()).unwrap();
    world.sim.inject(Fault::new("*", FaultKind::Hang).shop(SHOP));
    for n in 0..20 {
        world.token(&format!("web-{n}"), unverified()).await;
    }
    world.because("web-0", "Reconciling", "BackingOff").await;
    let began = Instant::now();
    world.token("other", with(unverified(), json!({"shop": other}))).await;
    world.ready("other").await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn shopifys_own_wait_is_honoured() {
    for code in [429, 503] {
        let world = World::with_app(&format!("outage-{code}")).await;
        let busy = StatusFault { retry_after: Some(120), ..StatusFault::new(code) };
        world.sim.inject(Fault::new("oauth.clientCredentials", FaultKind::Status(busy)).times(1));
        world.token("web", unverified()).await;
        let token = world.because("web", "Reconciling", "BackingOff").await;
        let status = token.status.unwrap();
        let wait = from_kube(&status.next_attempt_time.unwrap()) - from_kube(&status.last_failure_time.unwrap());
        assert!(wait >= TimeDelta::seconds(120), "{wait}");
        world.pass(TimeDelta::seconds(100));
        world.nudge("web").await;
        world.a_while().await;
        assert_eq!(world.sim.calls("oauth.clientCredentials"), 1, "{code}");
        world.pass(TimeDelta::seconds(22));
        world.ready("web").await;
        assert_eq!(world.sim.calls("oauth.clientCredentials"), 2, "{code}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_throttled_create_is_made_once() {
    let world = World::with_custom_admin("outage-throttled").await;
    world.sim.inject(Fault::new("admin.storefrontAccessTokenCreate", FaultKind::Throttled).times(1));
    world.token("web", storefront()).await;
    world.because("web", "Reconciling", "BackingOff").await;
    world.pass(TimeDelta::seconds(30));
    world.ready("web").await;
    assert_eq!(world.live().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_api_surface_is_down_and_the_others_go_on() {
    let world = World::with_custom_admin("outage-surface").await;
    let names: Vec<String> = (0..8).map(|n| format!("web-{n}")).collect();
    for name in &names {
        world.token(name, storefront()).await;
    }
    for name in &names {
        world.ready(name).await;
    }
    world.sim.inject(Fault::on(Surface::Storefront, FaultKind::Status(StatusFault::new(503))));
    world.pass(TimeDelta::minutes(65));
    for name in &names {
        world.because(name, "Reconciling", "BackingOff").await;
    }
    // Its answers are no sign of life of the Storefront API, nor is that one's silence a sign of death of the shop.
    let probes = world.sim.calls("storefront.probe");
    for n in 0..4 {
        let name = format!("new-{n}");
        world.token(&name, with(storefront(), json!({"verifyInterval": "0s"}))).await;
        world.ready(&name).await;
        world.token(&format!("app-{n}"), unverified()).await;
        world.ready(&format!("app-{n}")).await;
    }
    // Nor does a verification that waits hold a rotation up.
    let began = Instant::now();
    for name in &names {
        world.change(name, json!({"spec": {"rotation": {"trigger": "2"}}})).await;
    }
    for name in &names {
        world.until(name, "rotated", |t| revision(t) == 2).await;
    }
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    let asked = world.sim.calls("storefront.probe") - probes;
    assert!(asked <= 4, "{asked} probes in a few seconds");
    world.sim.clear_faults();
    world.pass(TimeDelta::seconds(11));
    for name in &names {
        world.ready(name).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn those_that_want_nothing_any_more_hold_nobody_up() {
    let world = World::with_app("outage-passed").await;
    let names: Vec<String> = (0..15).map(|n| format!("web-{n:02}")).collect();
    world.sim.inject(Fault::new("*", FaultKind::Status(StatusFault::new(503))));
    for name in &names {
        world.token(name, unverified()).await;
    }
    for name in &names {
        world.because(name, "Reconciling", "BackingOff").await;
    }
    for name in &names[..14] {
        world.change(name, json!({"spec": {"suspend": true}})).await;
    }
    world.because(&names[13], "Suspended", "Suspended").await;
    world.sim.clear_faults();
    let back = Instant::now();
    world.ready(&names[14]).await;
    assert!(back.elapsed() < Duration::from_secs(13), "{:?}", back.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_asks_for_all_tokens_of_an_app_while_its_secret_is_rejected() {
    let world = World::with_app("outage-secret").await;
    world.secret_of("acme-app", &[("client_id", CLIENT_ID), ("client_secret", "shpss_mistyped")]).await;
    let names: Vec<String> = (0..30).map(|n| format!("web-{n:02}")).collect();
    for name in &names {
        world.token(name, unverified()).await;
    }
    for name in &names {
        world.because(name, "Stalled", "CredentialsRejected").await;
    }
    let calls = world.sim.total_calls();
    assert!(calls <= 8, "{calls} calls before it was known");
    for _ in 0..6 {
        world.pass(TimeDelta::minutes(11));
        world.a_while().await;
    }
    let asked = world.sim.total_calls() - calls;
    assert!((1..=8).contains(&asked), "{asked} calls in 66 minutes");
    world.secret_of("acme-app", &[("client_id", CLIENT_ID), ("client_secret", CLIENT_SECRET)]).await;
    for name in &names {
        world.ready(name).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_surface_refuses_is_not_tried_again_because_another_is_down() {
    let world = World::with_custom_admin("outage-both").await;
    world.token("web", storefront()).await;
    world.ready("web").await;
    world.sim.inject(Fault::on(Surface::Storefront, FaultKind::Status(StatusFault::new(503))));
    world.pass(TimeDelta::minutes(65));
    world.because("web", "Reconciling", "BackingOff").await;
    let create = "admin.storefrontAccessTokenCreate";
    let throttled = StatusFault { retry_after: Some(120), ..StatusFault::new(429) };
    world.sim.inject(Fault::new(create, FaultKind::Status(throttled)));
    let before = world.sim.calls(create);
    world.change("web", json!({"spec": {"rotation": {"trigger": "2"}}})).await;
    world.eventually("refused", async || world.sim.calls(create) > before).await;
    for _ in 0..3 {
        world.nudge("web").await;
        world.a_while().await;
    }
    let calls = world.sim.calls(create) - before;
    assert_eq!(calls, 1, "Shopify asked for two minutes");
    world.sim.clear_faults();
    world.pass(TimeDelta::minutes(3));
    world.until("web", "rotated", |t| revision(t) == 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_throttled_probe_of_rejected_credentials_does_not_send_the_next_one_at_once() {
    let world = World::with_app("outage-secret-429").await;
    world.secret_of("acme-app", &[("client_id", CLIENT_ID), ("client_secret", "shpss_mistyped")]).await;
    let names: Vec<String> = (0..20).map(|n| format!("web-{n:02}")).collect();
    for name in &names {
        world.token(name, unverified()).await;
    }
    for name in &names {
        world.because(name, "Stalled", "CredentialsRejected").await;
    }
    world.sim.inject(Fault::on(Surface::TokenEndpoint, FaultKind::Status(StatusFault::new(429))));
    let calls = world.sim.total_calls();
    world.pass(TimeDelta::minutes(11));
    world.a_while().await;
    world.a_while().await;
    let asked = world.sim.total_calls() - calls;
    assert!((1..=2).contains(&asked), "{asked} calls in 3 s");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_may_not_be_installed_on_one_shop_goes_on_at_the_others() {
    let world = World::with_app("outage-not-installed").await;
    let other = "other.myshopify.com";
    world.sim.add_shop(ShopConfig::new(other));
    // The same words as for a wrong secret.
    world.sim.switch(|switches| switches.cc_not_installed = NotInstalled::InvalidRequest);
    world.token("web", unverified()).await;
    world.ready("web").await;
    world.token("other", with(unverified(), json!({"shop": other}))).await;
    world.because("other", "Stalled", "CredentialsRejected").await;
    let began = Instant::now();
    world.token("new", unverified()).await;
    world.ready("new").await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    world.told("new", &["Issued"]).await;

    // Once nobody is granted anything any more it is the secret.
    world.sim.revoke_secret(CLIENT_ID, CLIENT_SECRET).unwrap();
    world.pass(TimeDelta::hours(20));
    world.because("web", "Stalled", "CredentialsRejected").await;
    world.because("new", "Stalled", "CredentialsRejected").await;
    let calls = world.sim.total_calls();
    world.pass(TimeDelta::seconds(11));
    world.a_while().await;
    let asked = world.sim.total_calls() - calls;
    assert!(asked <= 2, "{asked} calls for three tokens");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_that_a_silent_shop_keeps_from_being_used_passes_on() {
    let world = World::with_app("outage-turns").await;
    let other = "other.myshopify.com";
    world.sim.add_shop(ShopConfig::new(other));
    world.sim.install(other, CLIENT_ID, crate::world::SCOPES.iter().copied()).unwrap();
    world.secret_of("acme-app", &[("client_id", CLIENT_ID), ("client_secret", "shpss_mistyped")]).await;
    let names: Vec<String> = (0..12).map(|n| format!("web-{n:02}")).collect();
    for name in &names {
        world.token(name, unverified()).await;
    }
    world.token("z-other", with(unverified(), json!({"shop": other}))).await;
    for name in &names {
        world.because(name, "Stalled", "CredentialsRejected").await;
    }
    world.because("z-other", "Stalled", "CredentialsRejected").await;
    // Shopify accepts the secret from now on, and one of the shops is down.
    world.sim.add_secret(CLIENT_ID, "shpss_mistyped").unwrap();
    world.sim.inject(Fault::on(Surface::TokenEndpoint, FaultKind::Status(StatusFault::new(503))).shop(SHOP));
    let began = Instant::now();
    world.pass(TimeDelta::minutes(11));
    world.ready("z-other").await;
    // The next turn would be ten seconds later.
    assert!(began.elapsed() < Duration::from_secs(9), "{:?}", began.elapsed());
}
