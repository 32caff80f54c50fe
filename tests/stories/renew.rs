//! Renewal of credentials that expire: in time, as the spec wants it, whatever the lifetime.

use chrono::TimeDelta;
use serde_json::json;
use shopify_sim::ExpiresIn;
use shopify_token_operator::{api::ShopifyToken, time::from_kube};

use crate::{
    specs::{client_credentials, with},
    world::{CLIENT_ID, SHOP, World, revision},
};

/// How long before its expiry a token is renewed, the jitter included.
fn renewed_before(token: &ShopifyToken) -> TimeDelta {
    let status = token.status.as_ref().unwrap();
    let (expires, renewal) = (status.expires_at.as_ref().unwrap(), status.renewal_time.as_ref().unwrap());
    from_kube(expires) - from_kube(renewal)
}

fn assert_documented(token: &ShopifyToken, renew_before: TimeDelta) {
    let before = renewed_before(token);
    // Both are truncated to the second.
    let second = TimeDelta::seconds(1);
    assert!(
        renew_before - second <= before && before <= renew_before * 11 / 10 + second,
        "{before} is not {renew_before}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn ninety_days_of_a_token_that_lives_one() {
    let world = World::with_app("renew").await;
    world.token("web", with(client_credentials(), json!({"verifyInterval": "0s"}))).await;
    let mut token = world.ready("web").await;
    let end = world.clock.now() + TimeDelta::days(90);
    let mut issued = 1;
    while world.clock.now() < end {
        assert_documented(&token, TimeDelta::seconds(86_399 / 3));
        let due = from_kube(token.status.as_ref().unwrap().renewal_time.as_ref().unwrap());
        world.pass(due - world.clock.now() + TimeDelta::seconds(1));
        world.nudge("web").await;
        issued += 1;
        token = world.until("web", "renewed", |t| revision(t) == issued).await;
        let secret = world.secret("web").await.unwrap();
        assert!(world.sim.is_valid_admin(SHOP, secret.access_token()));
        assert_eq!(secret.record("revision"), Some(issued.to_string().as_str()));
    }
    assert!(issued > 130, "{issued}");
    assert_eq!(world.sim.calls("oauth.clientCredentials"), issued.unsigned_abs());
    assert_eq!(world.sim.total_calls(), issued.unsigned_abs());
}

#[tokio::test(flavor = "multi_thread")]
async fn renewed_by_the_clock_alone() {
    let world = World::with_app("renew-clock").await;
    world.token("web", with(client_credentials(), json!({"verifyInterval": "0s"}))).await;
    world.ready("web").await;
    world.pass(TimeDelta::hours(15));
    world.a_while().await;
    assert_eq!(world.sim.calls("oauth.clientCredentials"), 1);
    world.pass(TimeDelta::hours(1));
    world.until("web", "renewed", |t| revision(t) == 2).await;
    world.told("web", &["Issued", "Renewed"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_life_is_renewed_without_a_jump_of_the_clock() {
    let world = World::with_app("renew-short").await;
    world.sim.set_token_lifetime(CLIENT_ID, std::time::Duration::from_secs(6)).unwrap();
    world.token("web", client_credentials()).await;
    for issued in 1..=3 {
        world.until("web", "renewed", |t| revision(t) >= issued).await;
        let secret = world.secret("web").await.unwrap();
        assert!(world.sim.is_valid_admin(SHOP, secret.access_token()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn renew_before_is_honoured_and_a_change_of_it_too() {
    let world = World::with_app("renew-before").await;
    world.token("hour", with(client_credentials(), json!({"renewBefore": "1h"}))).await;
    world.token("half", with(client_credentials(), json!({"renewBeforePercentage": 50}))).await;
    world.token("long", with(client_credentials(), json!({"renewBefore": "25h"}))).await;
    assert_documented(&world.ready("hour").await, TimeDelta::hours(1));
    assert_documented(&world.ready("half").await, TimeDelta::seconds(86_399 / 2));
    assert_documented(&world.ready("long").await, TimeDelta::seconds(86_399 / 3));
    world.told("long", &["Issued", "RenewBeforeIgnored"]).await;
    world.told("hour", &["Issued"]).await;

    let calls = world.sim.total_calls();
    world.change("hour", json!({"spec": {"renewBefore": "2h"}})).await;
    let token = world.until("hour", "seen", |t| t.status.as_ref().unwrap().observed_generation == 2).await;
    assert_documented(&token, TimeDelta::hours(2));
    assert_eq!(world.sim.total_calls(), calls);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unusual_lifetime_is_never_no_expiry() {
    let world = World::with_app("renew-odd").await;
    let odd = [json!(0), json!(-86_400), json!("soon"), json!(1_000_000_000_000_u64), json!(null)];
    let mut all = vec![("absent".to_owned(), ExpiresIn::Absent)];
    all.extend(odd.into_iter().enumerate().map(|(n, value)| (format!("odd-{n}"), ExpiresIn::Value(value))));
    for (name, says) in all {
        world.sim.set_expires_in(CLIENT_ID, says).unwrap();
        world.token(&name, client_credentials()).await;
        let status = world.ready(&name).await.status.unwrap();
        let lifetime = from_kube(&status.expires_at.unwrap()) - from_kube(&status.issued_at.unwrap());
        assert_eq!(lifetime, TimeDelta::seconds(86_399), "{name}");
        world.told(&name, &["Issued", "UnusualLifetime"]).await;
    }
    world.sim.set_expires_in(CLIENT_ID, ExpiresIn::Value(json!("3600"))).unwrap();
    world.token("text", client_credentials()).await;
    let status = world.ready("text").await.status.unwrap();
    let lifetime = from_kube(&status.expires_at.unwrap()) - from_kube(&status.issued_at.unwrap());
    assert_eq!(lifetime, TimeDelta::seconds(3600));
    world.told("text", &["Issued"]).await;
}
