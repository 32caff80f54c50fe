//! Connections that end under a call: resets, refused streams, GOAWAY.

use std::error::Error;
use std::io::ErrorKind;

use reqwest::Version;
use shopify_sim::{Fault, FaultKind, Sim};

use crate::client::{APP, SHOP, Shop, builder, start};

const CREATE: &str = "admin.storefrontAccessTokenCreate";

async fn on(http2: bool, retries: bool) -> (Sim, Shop, String) {
    let (sim, _) = start().await;
    let mut client = builder(&sim);
    if !http2 {
        client = client.http1_only();
    }
    if !retries {
        client = client.retry(reqwest::retry::never());
    }
    let shop = Shop::with(client, SHOP);
    let warm = shop.probe("x").send().await.unwrap();
    assert_eq!(warm.version() == Version::HTTP_2, http2);
    let admin = sim.create_admin_token(SHOP, APP).unwrap();
    (sim, shop, admin)
}

fn sources<E: Error + 'static>(error: &reqwest::Error) -> Option<&E> {
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        source = error.source();
    }
    None
}

#[tokio::test]
async fn a_reset_is_one_of_tcp() {
    for http2 in [false, true] {
        let (sim, shop, admin) = on(http2, false).await;
        sim.inject(Fault::new(CREATE, FaultKind::Reset).times(1));
        let error = shop.create_request(&admin, "t").send().await.unwrap_err();
        let source = sources::<std::io::Error>(&error).map(std::io::Error::kind);
        assert_eq!(source, Some(ErrorKind::ConnectionReset), "http2: {http2}, {error:?}");
        assert!(sim.live_storefront_tokens(SHOP, APP).is_empty());
        assert_eq!(shop.create_request(&admin, "t").send().await.unwrap().status(), 200, "on a new connection");
    }
}

#[tokio::test]
async fn the_kth_call_is_refused_and_says_that_nothing_happened() {
    for kind in [FaultKind::RefusedStream, FaultKind::GoAway] {
        let (sim, shop, admin) = on(true, false).await;
        sim.inject(Fault::new(CREATE, kind).skip(1).times(1));
        assert_eq!(shop.create_request(&admin, "a").send().await.unwrap().status(), 200);
        let error = shop.create_request(&admin, "b").send().await.unwrap_err();
        let source = sources::<h2::Error>(&error).unwrap_or_else(|| panic!("{error:?}"));
        assert_eq!(source.reason(), Some(h2::Reason::REFUSED_STREAM));
        assert!(source.is_remote());
        assert_eq!(sim.live_storefront_tokens(SHOP, APP).len(), 1);
        assert_eq!(shop.create_request(&admin, "c").send().await.unwrap().status(), 200);
    }
}

#[tokio::test]
async fn a_client_that_retries_what_was_refused_creates_once() {
    for kind in [FaultKind::RefusedStream, FaultKind::GoAway] {
        let (sim, shop, admin) = on(true, true).await;
        sim.inject(Fault::new(CREATE, kind).times(1));
        assert_eq!(shop.create_request(&admin, "t").send().await.unwrap().status(), 200);
        assert_eq!(sim.calls(CREATE), 2);
        assert_eq!(sim.live_storefront_tokens(SHOP, APP).len(), 1);
    }
}

#[tokio::test]
async fn goaway_ends_the_connection_and_no_call_under_way() {
    let (sim, shop, admin) = on(true, false).await;
    let delay = FaultKind::Delay(std::time::Duration::from_millis(400));
    sim.inject(Fault::new("storefront.probe", delay).times(1));
    let under_way = tokio::spawn(shop.probe("x").send());
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    let before = sim.connections();
    sim.inject(Fault::new(CREATE, FaultKind::GoAway).times(1));
    shop.create_request(&admin, "t").send().await.unwrap_err();
    assert_eq!(under_way.await.unwrap().unwrap().status(), 401, "answered to its end");
    assert_eq!(shop.create_request(&admin, "t").send().await.unwrap().status(), 200);
    assert_eq!(sim.connections(), before + 1, "on a new connection");
}

#[tokio::test]
async fn over_http1_a_refused_stream_is_a_closed_connection() {
    for kind in [FaultKind::RefusedStream, FaultKind::GoAway] {
        let (sim, shop, admin) = on(false, false).await;
        sim.inject(Fault::new(CREATE, kind).times(1));
        let error = shop.create_request(&admin, "t").send().await.unwrap_err();
        assert!(error.status().is_none() && !error.is_timeout(), "{error:?}");
        assert!(sim.live_storefront_tokens(SHOP, APP).is_empty());
        assert_eq!(shop.create_request(&admin, "t").send().await.unwrap().status(), 200);
    }
}
