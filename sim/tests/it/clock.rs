//! Time passes when a test says so.

use std::time::Duration;

use chrono::TimeDelta;
use serde_json::json;

use crate::client::{APP, SHOP, start};

#[tokio::test]
async fn a_token_lives_a_day_less_a_second() {
    let (sim, shop) = start().await;
    let admin = shop.token().await;
    let live = sim.live_access_tokens(SHOP);
    let lifetime = live[0].expires_at.unwrap() - live[0].issued_at;
    assert_eq!(lifetime.num_seconds(), 86_399);
    sim.clock().advance(Duration::from_secs(86_390));
    assert!(sim.is_valid_admin(SHOP, &admin));
    sim.clock().advance(Duration::from_secs(10));
    assert!(!sim.is_valid_admin(SHOP, &admin));
    assert!(sim.live_access_tokens(SHOP).is_empty());
    let response = shop.graphql(&admin, "{ shop { id } }", &json!({})).send().await.unwrap();
    assert_eq!(response.status(), 401);
    let id = response.headers()["x-request-id"].to_str().unwrap();
    let epoch: i64 = id.rsplit('-').next().unwrap().parse().unwrap();
    assert!((sim.now().timestamp() - epoch).abs() < 5, "virtual time");
}

#[tokio::test]
async fn clocks_can_be_set_back_and_lifetimes_changed() {
    let (sim, shop) = start().await;
    sim.set_token_lifetime(APP, Duration::from_mins(1)).unwrap();
    let admin = shop.token().await;
    sim.clock().set_offset(TimeDelta::minutes(2));
    assert!(!sim.is_valid_admin(SHOP, &admin));
    sim.clock().set_offset(TimeDelta::minutes(-10));
    assert!(sim.is_valid_admin(SHOP, &admin));
    assert_eq!(sim.clock().clone().offset(), TimeDelta::minutes(-10));
    assert_eq!(shop.query(&admin, "{ shop { name } }").await["data"]["shop"]["name"], "acme");
}
