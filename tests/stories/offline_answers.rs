//! offline: whatever a refresh is answered, the pair isn't lost, and nobody hammers.

use chrono::TimeDelta;
use serde_json::{Value, json};
use shopify_sim::{Distribution, Edit, Fault, FaultKind, StatusFault};
use shopify_token_operator::api::ShopifyToken;

use crate::{
    offline::offline,
    specs::client_credentials,
    webhook::{Verdict, Webhook},
    world::{CLIENT_ID, SHOP, World, condition, message, revision},
};

const REFRESH: &str = "oauth.refresh";

impl World {
    async fn revision_of_web(&self) -> i64 {
        revision(&self.tokens().get("web").await.unwrap())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verdict_after_an_answer_that_was_lost_costs_no_token() {
    let (world, _) = World::with_offline("offline-520", json!({})).await;
    world.pass(TimeDelta::minutes(41));
    world.until("web", "refreshed", |t| revision(t) == 2).await;
    let kept = [world.recorded("refresh_token").await, world.recorded("previous_refresh_token").await];
    // Committed and not answered, two pages of who stands before Shopify, and then it says that there is no such token.
    let lost = |kind, times| world.sim.inject(Fault::new(REFRESH, kind).times(times));
    lost(FaultKind::StatusAfterCommit(StatusFault::new(520)), 1);
    lost(FaultKind::Status(StatusFault::new(520)), 2);
    let dead = r#"{"error":"invalid_request","error_description":"This request requires an active refresh_token"}"#;
    let dead = lost(FaultKind::Status(StatusFault { body: Some(dead.to_owned()), ..StatusFault::new(401) }), 20);
    for minutes in [41, 2, 2, 2] {
        world.pass(TimeDelta::minutes(minutes));
        world.a_while().await;
    }
    let token = world.because("web", "Stalled", "RefreshTokenDead").await;
    assert!(token.status.unwrap().install_url.is_some());
    let after = [world.recorded("refresh_token").await, world.recorded("previous_refresh_token").await];
    assert_eq!(after, kept, "what it was said of is kept");
    assert!(world.sim.calls(REFRESH) <= 12, "{} calls", world.sim.calls(REFRESH));
    // It was no last word.
    world.sim.clear_fault(dead);
    world.pass(TimeDelta::minutes(11));
    world.until("web", "refreshed", |t| revision(t) == 3).await;
    world.ready("web").await;
    world.applications_work().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_odd_answer_is_believed_as_far_as_it_can_be() {
    let (world, _) = World::with_offline("offline-odd", json!({})).await;
    let set = |value: Value| FaultKind::Edited(vec![Edit::Set { at: "/expires_in".into(), to: value }]);
    for (about, kind, rotates, warns) in [
        ("no expires_in", FaultKind::without("/expires_in"), true, true),
        ("null", set(Value::Null), true, true),
        ("zero", set(json!(0)), true, true),
        ("negative", set(json!(-3600)), true, true),
        ("a numeric string", set(json!("3600")), true, false),
        ("no number", set(json!("soon")), true, true),
        ("enormous", set(json!(1e18)), true, true),
        ("no end of it", FaultKind::without("/refresh_token_expires_in"), true, true),
        // The last: what is used once more brings the same pair again, with what is left of it.
        ("no refresh_token", FaultKind::without("/refresh_token"), false, false),
    ] {
        let (before, calls) = (world.revision_of_web().await, world.sim.calls(REFRESH));
        let (used, warned) = (world.recorded("refresh_token").await.unwrap(), warnings(&world).await);
        let fault = world.sim.inject(Fault::new(REFRESH, kind).times(1));
        world.pass(TimeDelta::minutes(41));
        world.until("web", about, |t| revision(t) > before).await;
        world.ready("web").await;
        world.sim.clear_fault(fault);
        world.applications_work().await;
        let status = world.tokens().get("web").await.unwrap().status.unwrap();
        let lives = status.expires_at.unwrap().0.as_second() - world.clock.now().timestamp();
        assert!((3500..=3600).contains(&lives), "{about}: {lives} s");
        assert_eq!(world.recorded("refresh_token").await.unwrap() != used, rotates, "{about}");
        world.a_while().await;
        assert_eq!(world.sim.calls(REFRESH) - calls, 1, "{about}: it is no reason to ask again");
        if warns {
            world.eventually(about, async || warnings(&world).await > warned).await;
        }
    }
}

/// How often the operator has told of an unusual lifetime.
async fn warnings(world: &World) -> i32 {
    let told = world.news("web").await.into_iter().filter(|event| event.reason.as_deref() == Some("UnusualLifetime"));
    told.map(|event| event.series.map_or(1, |series| series.count)).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pair_waits_for_minutes_until_it_can_be_written() {
    let (world, _) = World::with_offline("offline-broken", json!({})).await;
    let webhook = Webhook::new(&world, "", "v1", &["secrets"], Verdict::Broken).await;
    world.pass(TimeDelta::minutes(41));
    world.eventually("it came", async || world.sim.calls(REFRESH) == 1).await;
    for _ in 0..4 {
        world.pass(TimeDelta::minutes(2));
        world.a_while().await;
    }
    assert_eq!(world.sim.calls(REFRESH), 1, "it is in hand, and asked for no more");
    webhook.answers(Verdict::Allow);
    world.pass(TimeDelta::minutes(6));
    world.until("web", "written", |t| revision(t) == 2).await;
    world.ready("web").await;
    world.applications_work().await;
    assert_eq!(world.sim.calls(REFRESH), 1);
    webhook.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_never_expires_and_is_taken_no_longer_has_a_way_on() {
    let world = World::with_app("offline-migrate").await;
    let lone = world.sim.create_offline_token(SHOP, CLIENT_ID).unwrap();
    world.sim.set_distribution(CLIENT_ID, Distribution::Public).unwrap();
    world.secret_of("boot", &[("access_token", &lone)]).await;
    world.token("web", offline(json!({}))).await;
    let token = world.because("web", "Stalled", "MigrationRequired").await;
    let said = message(&token, "Stalled");
    assert!(said.contains("migrate"), "{said}");
    assert_eq!(condition(&token, "Ready"), Some(("False".into(), "MigrationRequired".into())));
    assert!(world.secret("web").await.is_none());
    world.told("web", &["IssueFailed"]).await;
    let calls = world.sim.total_calls();
    world.a_while().await;
    assert!(world.sim.total_calls() - calls <= 1 && calls <= 2, "{calls} calls");
    world.change("web", json!({"spec": {"source": {"offline": {"migrate": true}}}})).await;
    let migrated = |t: &ShopifyToken| t.status.as_ref().unwrap().refresh_token_expires_at.is_some();
    world.until("web", "migrated", migrated).await;
    world.ready("web").await;
    world.applications_work().await;
    assert_eq!(world.sim.calls("oauth.migrate"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_of_the_app_asks_the_shop_before_the_new_pair_is_written() {
    let (world, _) = World::with_offline("offline-permit", json!({})).await;
    let webhook = Webhook::new(&world, "", "v1", &["secrets"], Verdict::Hold("web")).await;
    world.pass(TimeDelta::minutes(41));
    world.eventually("it is about to be written", async || webhook.held() == 1).await;
    world.token("other", client_credentials()).await;
    world.a_while().await;
    assert_eq!((world.sim.calls(REFRESH), world.sim.calls("oauth.clientCredentials")), (1, 0));
    webhook.answers(Verdict::Allow);
    world.until("web", "refreshed", |t| revision(t) == 2).await;
    world.ready("other").await;
    assert_eq!(world.sim.calls("oauth.clientCredentials"), 1);
    webhook.remove().await;
}
