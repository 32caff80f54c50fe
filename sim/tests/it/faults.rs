//! Every kind of fault, over HTTP/1.1 and HTTP/2.

use std::time::{Duration, Instant};

use reqwest::Error;
use serde_json::Value;
use shopify_sim::{CutMode, Fault, FaultKind, Sim, StatusFault};

use crate::client::{APP, SECRET, SHOP, Shop, builder, json, start};

const CREATE: &str = "admin.storefrontAccessTokenCreate";

/// Runs a test with a client of either protocol.
async fn on_both(test: impl AsyncFn(&Sim, &Shop, &str)) {
    for http2 in [false, true] {
        let (sim, _) = start().await;
        let builder = builder(&sim).timeout(Duration::from_secs(2));
        let builder = if http2 { builder } else { builder.http1_only() };
        let shop = Shop::with(builder, SHOP);
        let admin = sim.create_admin_token(SHOP, APP).unwrap();
        // A pooled connection that is cut must not be mistaken for an idle one.
        let warm = shop.probe("x").send().await.unwrap();
        assert_eq!(warm.version() == reqwest::Version::HTTP_2, http2);
        test(&sim, &shop, &admin).await;
        sim.stop().await;
    }
}

fn live(sim: &Sim) -> usize {
    sim.live_storefront_tokens(SHOP, APP).len()
}

async fn attempt(shop: &Shop, admin: &str) -> Result<(u16, String), Error> {
    let response = shop.create_request(admin, "t").send().await?;
    Ok((response.status().as_u16(), response.text().await?))
}

/// The fault strikes exactly one create, whose outcome is returned.
async fn struck(sim: &Sim, shop: &Shop, admin: &str, kind: FaultKind) -> Result<(u16, String), Error> {
    let before = sim.calls(CREATE);
    sim.inject(Fault::new(CREATE, kind).shop(SHOP).times(1));
    let outcome = attempt(shop, admin).await;
    assert_eq!(sim.calls(CREATE), before + 1, "the client must not retry");
    outcome
}

#[tokio::test]
async fn refused_before_anything_happens() {
    on_both(async |sim, shop, admin| {
        let error = struck(sim, shop, admin, FaultKind::RefuseBefore).await.unwrap_err();
        assert!(error.status().is_none() && !error.is_timeout(), "{error:?}");
        assert_eq!(live(sim), 0);
        assert_eq!(attempt(shop, admin).await.unwrap().0, 200, "the next one passes");
    })
    .await;
}

#[tokio::test]
async fn committed_then_dropped() {
    on_both(async |sim, shop, admin| {
        let error = struck(sim, shop, admin, FaultKind::CommitThenDrop).await.unwrap_err();
        assert!(error.status().is_none() && !error.is_timeout(), "{error:?}");
        assert_eq!(live(sim), 1);
        let call = sim.call_log().pop().unwrap();
        assert_eq!(call.status, None);
        assert_eq!(call.fault.as_deref(), Some("commit_then_drop"));
    })
    .await;
}

#[tokio::test]
async fn answered_late() {
    on_both(async |sim, shop, admin| {
        let start = Instant::now();
        let delay = Duration::from_millis(200);
        struck(sim, shop, admin, FaultKind::Delay(delay)).await.unwrap();
        struck(sim, shop, admin, FaultKind::DelayBefore(delay)).await.unwrap();
        assert!(start.elapsed() >= 2 * delay);
        assert_eq!(live(sim), 2);
    })
    .await;
}

#[tokio::test]
async fn committed_after_the_client_has_gone() {
    on_both(async |sim, shop, admin| {
        let delay = FaultKind::DelayBefore(Duration::from_millis(2500));
        let error = struck(sim, shop, admin, delay).await.unwrap_err();
        assert!(error.is_timeout());
        assert_eq!(live(sim), 0);
        tokio::time::sleep(Duration::from_millis(1500)).await;
        assert_eq!(live(sim), 1);
    })
    .await;
}

#[tokio::test]
async fn a_status_before_and_after_the_commit() {
    on_both(async |sim, shop, admin| {
        let fault = StatusFault { retry_after: Some(7), ..StatusFault::new(429) };
        sim.inject(Fault::new(CREATE, FaultKind::Status(fault)).times(1));
        let response = shop.create_request(admin, "t").send().await.unwrap();
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers()["retry-after"], "7");
        assert!(response.headers().contains_key("x-request-id"));
        assert_eq!(live(sim), 0);

        let fault = StatusFault { body: Some("error code: 520".to_owned()), ..StatusFault::new(520) };
        let (status, body) = struck(sim, shop, admin, FaultKind::StatusAfterCommit(fault)).await.unwrap();
        assert_eq!((status, body.as_str()), (520, "error code: 520"));
        assert_eq!(live(sim), 1);
    })
    .await;
}

#[tokio::test]
async fn throttled_as_each_api_says_it() {
    on_both(async |sim, shop, admin| {
        let (status, body) = struck(sim, shop, admin, FaultKind::Throttled).await.unwrap();
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(status, 200);
        assert_eq!(body["errors"][0]["extensions"]["code"], "THROTTLED");
        assert_eq!(live(sim), 0);
        sim.inject(Fault::new("oauth.*", FaultKind::Throttled).times(1));
        let response = shop.grant(APP, SECRET).send().await.unwrap();
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers()["retry-after"], "2.0");
    })
    .await;
}

#[tokio::test]
async fn bodies_that_cannot_be_read() {
    on_both(async |sim, shop, admin| {
        let (status, body) = struck(sim, shop, admin, FaultKind::Garbage).await.unwrap();
        assert_eq!(status, 200);
        assert!(serde_json::from_str::<Value>(&body).is_err());
        assert_eq!(live(sim), 1);

        let error = struck(sim, shop, admin, FaultKind::Truncated).await.unwrap_err();
        assert!(error.is_body() || error.is_decode(), "{error:?}");
        assert_eq!(live(sim), 2);

        sim.inject(Fault::new(CREATE, FaultKind::Endless).times(1));
        let mut response = shop.create_request(admin, "t").send().await.unwrap();
        assert_eq!(response.status(), 200);
        let mut read = 0;
        while read < 300_000 {
            read += response.chunk().await.unwrap().unwrap().len();
        }
        assert!(response.content_length().is_none());
        assert_eq!(live(sim), 3);
    })
    .await;
}

#[tokio::test]
async fn never_answered() {
    on_both(async |sim, shop, admin| {
        let error = struck(sim, shop, admin, FaultKind::Hang).await.unwrap_err();
        assert!(error.is_timeout());
        assert_eq!(live(sim), 0);
        let error = struck(sim, shop, admin, FaultKind::CommitThenHang).await.unwrap_err();
        assert!(error.is_timeout());
        assert_eq!(live(sim), 1);
    })
    .await;
}

#[tokio::test]
async fn faults_pick_their_calls() {
    let (sim, shop) = start().await;
    let admin = sim.create_admin_token(SHOP, APP).unwrap();
    let status = async || attempt(&shop, &admin).await.unwrap().0;
    let fault = |code| FaultKind::Status(StatusFault::new(code));

    sim.inject(Fault::new(CREATE, fault(500)).skip(1).times(2));
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(status().await);
    }
    assert_eq!(seen, [200, 500, 500, 200]);

    sim.inject(Fault::new("*", fault(500)).shop("other.myshopify.com"));
    sim.inject(Fault::new("admin.storefrontAccessTokenDelete", fault(500)));
    assert_eq!(status().await, 200);
    let all = sim.inject(Fault::new("*", fault(503)));
    assert_eq!(status().await, 503);
    sim.clear_fault(all);
    assert_eq!(status().await, 200);
    assert_eq!(sim.armed_faults().len(), 3);
    sim.clear_faults();
    assert!(sim.armed_faults().is_empty());
}

#[tokio::test]
async fn a_sweep_cuts_each_call_in_turn() {
    let (sim, shop) = start().await;
    let shop = Shop::with(builder(&sim).timeout(Duration::from_secs(1)), &shop.domain);
    let run = async || -> Result<(), Error> {
        let token = json(shop.grant(APP, SECRET).send().await?).await;
        let token = token["access_token"].as_str().unwrap().to_owned();
        attempt(&shop, &token).await?;
        Ok(())
    };
    for (mode, tokens) in [(CutMode::BeforeSend, 1), (CutMode::AfterCommit, 2), (CutMode::Timeout, 2)] {
        let before = live(&sim);
        let mut cuts = 0;
        loop {
            sim.cut_nth(cuts, mode);
            let outcome = run().await;
            if sim.calls_since_mark() <= cuts {
                outcome.unwrap();
                break;
            }
            assert_eq!(outcome.unwrap_err().is_timeout(), mode == CutMode::Timeout);
            cuts += 1;
        }
        assert_eq!(cuts, 2, "a grant and a create");
        assert_eq!(live(&sim) - before, tokens);
    }
    sim.mark();
    assert_eq!(sim.calls_since_mark(), 0);
}

#[tokio::test]
async fn a_stopped_simulation_lets_go_of_its_port() {
    let (sim, shop) = start().await;
    sim.inject(Fault::new("*", FaultKind::Hang));
    let address = sim.address();
    let hanging = tokio::spawn(shop.probe("x").send());
    tokio::time::sleep(Duration::from_millis(200)).await;
    sim.stop().await;
    assert!(hanging.await.unwrap().is_err(), "also what hangs is closed");
    std::net::TcpListener::bind(address).unwrap();

    let (sim, shop) = start().await;
    drop(sim);
    // Dropping doesn't wait.
    let gone = async { while shop.probe("x").send().await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(5), gone).await.unwrap();
}
