//! Install pages of two replicas: either serves them, the leader alone exchanges, and another takes over.

use std::time::Duration;

use reqwest::Url;
use serde_json::json;
use shopify_sim::{Fault, FaultKind};
use tokio::time::sleep;

use crate::{
    browser::Browser,
    operator::Operator,
    world::{PUBLIC_URL, World},
};

const EXCHANGE: &str = "oauth.code";

#[tokio::test(flavor = "multi_thread")]
async fn either_replica_serves_and_a_dead_leader_loses_nothing() {
    let world = World::new("install").await;
    world.make_app().await;
    let public = format!("--public-url={PUBLIC_URL}");
    let flags = [public.as_str(), "--oauth-addr=127.0.0.1:0"];
    let leader = Operator::start(&world, &flags).await;
    leader.until("leading", async |it| it.leads().await).await;
    let standby = Operator::start(&world, &flags).await;
    let (at_leader, at_standby) =
        (leader.told_address("serves install pages").await, standby.told_address("serves install pages").await);
    world.token("web", json!({"source": {"offline": {"appRef": {"name": "acme"}}}})).await;
    world.because("web", "Stalled", "ConsentRequired").await;

    // Begun at one, finished at the other.
    let mut browser = Browser::new(&world);
    let asked = browser.begins(at_leader, &world, "web").await;
    let back = browser.decides(&asked, "approve").await;
    let shown = browser.opens(at_standby, back.as_str()).await;
    let shown = browser.opens(at_standby, shown.location().as_str()).await;
    assert_eq!((shown.status, shown.title()), (200, "Approved"));
    assert_eq!(browser.opens(at_leader, back.as_str()).await.status, 410, "a used state is used everywhere");
    assert!(standby.metric("shopify_api_requests_total", &[]).await < 1.0, "a standby asks nothing of Shopify");

    // The leader dies in the middle of the next exchange, which Shopify hasn't seen yet.
    world.sim.inject(Fault::new(EXCHANGE, FaultKind::Hang).times(1));
    let asked = browser.begins(at_standby, &world, "web").await;
    let back = browser.decides(&asked, "approve").await;
    let seen = browser.opens(at_standby, back.as_str()).await.location();
    while world.sim.calls(EXCHANGE) < 2 {
        sleep(Duration::from_millis(20)).await;
    }
    let log = leader.log();
    leader.kill().await;
    assert!(world.secret("web-record").await.unwrap().data.contains_key("authorization_code"), "it is kept");
    world.until("web", "exchanged by the next", |t| t.status.as_ref().unwrap().revision == Some(2)).await;
    let shown = browser.opens(at_standby, seen.as_str()).await;
    assert_eq!((shown.status, shown.title()), (200, "Approved"));

    // Neither says what nobody may read.
    let log = log + &standby.log();
    assert!(log.contains("an approval came back"), "{log}");
    let secrets = |url: &Url| url.query_pairs().map(|(_, value)| value.into_owned()).collect::<Vec<_>>();
    let cookies = browser.cookies.values().cloned();
    for value in secrets(&back).into_iter().chain(cookies).filter(|value| value.len() > 30) {
        assert!(!log.contains(&value), "{value} is in the log");
    }
    standby.stop().await;
}
